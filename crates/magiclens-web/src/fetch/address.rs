//! Addresses that may be asked: public hosts over http and https, checked where the connection is made.
//!
//! A host that is written as a number is checked before each request; a name is checked by its addresses in
//! [`PublicOnly`], whose answer is the one that is connected to. So a name that changes its address between a check and
//! the connection (DNS rebinding) gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::config::FetchConfig;
use super::reason::{FetchFailure, reasons};

/// Parses an address and checks all that can be known without asking anybody. The fragment is gone from the result.
pub(super) fn parse(text: &str, config: &FetchConfig) -> Result<Url, FetchFailure> {
    check_length(text, config)?;
    let url = Url::parse(text.trim()).map_err(|error| bad(format!("not an address: {error}")))?;
    check(url, config)
}

/// The target of a redirect: `location` relative to `base`, checked as [`parse`] does.
pub(super) fn join(base: &Url, location: &str, config: &FetchConfig) -> Result<Url, FetchFailure> {
    check_length(location, config)?;
    let url = base
        .join(location.trim())
        .map_err(|error| bad(format!("redirect to no address: {error}")))?;
    check(url, config)
}

fn check_length(text: &str, config: &FetchConfig) -> Result<(), FetchFailure> {
    let (bytes, max_url_bytes) = (text.len(), config.max_url_bytes);
    if max_url_bytes < bytes {
        return Err(bad(format!(
            "{bytes} bytes, more than `max_url_bytes` of {max_url_bytes}"
        )));
    }
    Ok(())
}

fn check(mut url: Url, config: &FetchConfig) -> Result<Url, FetchFailure> {
    url.set_fragment(None);
    check_length(url.as_str(), config)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(format!("the scheme is `{}`, not http or https", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it carries a user name or password"));
    }
    check_port(&url, &config.ports)?;
    let ip = match url.host() {
        None => return Err(bad("it has no host")),
        Some(Host::Domain(_)) => return Ok(url),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
    };
    if !config.allow_private_addresses && !is_public(ip) {
        return Err(FetchFailure::new(
            reasons::PRIVATE_ADDRESS,
            format!("{ip} is not a public address"),
        ));
    }
    Ok(url)
}

fn check_port(url: &Url, ports: &[u16]) -> Result<(), FetchFailure> {
    let port = url.port_or_known_default().unwrap_or(0);
    let allowed = if ports.is_empty() {
        !BAD_PORTS.contains(&port)
    } else {
        ports.contains(&port)
    };
    if !allowed {
        return Err(bad(format!("port {port} may not be asked")));
    }
    Ok(())
}

fn bad(detail: impl Into<String>) -> FetchFailure {
    FetchFailure::new(reasons::BAD_ADDRESS, detail)
}

/// The ports of other protocols: <https://fetch.spec.whatwg.org/#bad-port>, and 0.
const BAD_PORTS: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531,
    532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060,
    5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// True if an address belongs to the public internet: globally reachable in the special-purpose registries of IANA
/// (RFC 6890), by what it embeds where it embeds an IPv4 address.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match (a, b, c) {
        // This host, private, loopback.
        (0 | 10 | 127, ..) => true,
        // Carrier-grade NAT, benchmarking.
        (100, 64..=127, _) | (198, 18 | 19, _) => true,
        // Link-local, where clouds keep their metadata services.
        (169, 254, _) => true,
        (172, 16..=31, _) | (192, 168, _) => true,
        // Protocol assignments, documentation, the 6to4 relay.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224.., ..) => true,
        _ => false,
    };
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        // IPv4-mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments with Teredo, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Of the rest only 2000::/3 is handed out: no loopback, unique local, link-local, site-local, multicast.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Looks names up as the system does.
pub(super) struct SystemLookup;

impl Resolve for SystemLookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// Looks names up and keeps public addresses only.
pub(super) struct PublicOnly(pub(super) Arc<dyn Resolve>);

/// A name that has addresses, but no public one.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` is at {address}, which is not a public address")]
pub(super) struct PrivateAddress {
    host: String,
    address: IpAddr,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let found = self.0.resolve(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            let private = found.iter().map(SocketAddr::ip).find(|&ip| !is_public(ip));
            let public: Vec<SocketAddr> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            match private {
                Some(address) if public.is_empty() => Err(PrivateAddress { host, address }.into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DropReason;

    fn check_ip(ip: &str, public: bool) {
        assert_eq!(is_public(ip.parse().unwrap()), public, "{ip}");
    }

    #[test]
    fn special_addresses_are_not_public() {
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:c0a8:101::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            check_ip(ip, false);
        }
    }

    #[test]
    fn their_neighbors_are_public() {
        for ip in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:200::1",
            "2002:808:808::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
        ] {
            check_ip(ip, true);
        }
    }

    fn check_url(url: &str, config: &FetchConfig, expected: Result<&str, DropReason>) {
        let found = parse(url, config);
        assert_eq!(
            found.as_ref().map(Url::as_str).map_err(|failure| failure.reason),
            expected,
            "{url}"
        );
    }

    #[test]
    fn addresses_are_checked_as_they_are_meant() {
        let config = FetchConfig::default();
        let (bad, private) = (Err(reasons::BAD_ADDRESS), Err(reasons::PRIVATE_ADDRESS));
        for (url, expected) in [
            ("http://example.org/a.png#top", Ok("http://example.org/a.png")),
            (
                " https://EXAMPLE.org:443/a b.png\n",
                Ok("https://example.org/a%20b.png"),
            ),
            ("http://@example.org/", Ok("http://example.org/")),
            ("http://[2606:4700::1111]/", Ok("http://[2606:4700::1111]/")),
            ("http://1.1.1.1/", Ok("http://1.1.1.1/")),
            ("a.png", bad),
            ("", bad),
            ("http://", bad),
            ("file:///etc/passwd", bad),
            ("ftp://example.org/a.png", bad),
            ("data:image/png;base64,AAAA", bad),
            ("gopher://example.org:70/", bad),
            ("http://me@example.org/", bad),
            ("http://me:secret@example.org/", bad),
            ("http://:secret@example.org/", bad),
            ("http://example.org:22/", bad),
            ("http://example.org:6667/", bad),
            ("http://example.org:0/", bad),
            ("http://example.org:99999/", bad),
            // Other spellings of loopback, private networks and the metadata service.
            ("http://127.1/", private),
            ("http://2130706433/", private),
            ("http://0x7f000001/", private),
            ("http://0177.0.0.1/", private),
            ("http://0x7f.1/", private),
            ("http://127.0.0.1./", private),
            ("http://①②⑦.0.0.1/", private),
            ("http://127%2e0.0.1/", private),
            ("http://2852039166/latest/meta-data/", private),
            ("http://10.0.0.1:8080/", private),
            ("http://0/", private),
            ("http://[::1]/", private),
            ("http://[::ffff:127.0.0.1]/", private),
            ("http://[64:ff9b::7f00:1]/", private),
            ("http://[2002:a00:1::]/", private),
            ("http://[fd00::1]/", private),
        ] {
            check_url(url, &config, expected);
        }
        check_url(&format!("http://example.org/{}", "a".repeat(8_000)), &config, bad);
        // Spaces grow to three bytes each.
        check_url(&format!("http://example.org/{}", " a".repeat(3_000)), &config, bad);
    }

    #[test]
    fn private_addresses_and_ports_can_be_set() {
        let private = FetchConfig {
            allow_private_addresses: true,
            ..FetchConfig::default()
        };
        check_url("http://127.0.0.1:8080/", &private, Ok("http://127.0.0.1:8080/"));
        let ports = FetchConfig {
            ports: vec![80, 8080],
            ..FetchConfig::default()
        };
        check_url("http://example.org/", &ports, Ok("http://example.org/"));
        check_url("http://example.org:8080/", &ports, Ok("http://example.org:8080/"));
        check_url("https://example.org/", &ports, Err(reasons::BAD_ADDRESS));
    }

    #[test]
    fn redirects_are_checked_as_addresses_are() {
        let config = FetchConfig::default();
        let base = Url::parse("https://example.org/a/b.png?c").unwrap();
        for (location, expected) in [
            ("../d.png", Ok("https://example.org/d.png")),
            ("//other.example/e", Ok("https://other.example/e")),
            ("http://127.0.0.1/", Err(reasons::PRIVATE_ADDRESS)),
            ("//0x7f.1/", Err(reasons::PRIVATE_ADDRESS)),
            ("file:///etc/passwd", Err(reasons::BAD_ADDRESS)),
            ("http://me:secret@example.org/", Err(reasons::BAD_ADDRESS)),
            ("http://example.org:25/", Err(reasons::BAD_ADDRESS)),
            ("http://[::bad", Err(reasons::BAD_ADDRESS)),
        ] {
            let found = join(&base, location, &config);
            assert_eq!(
                found.as_ref().map(Url::as_str).map_err(|failure| failure.reason),
                expected,
                "{location}"
            );
        }
    }
}

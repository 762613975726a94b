//! robots.txt before any image, from servers that have one, have none, or will not say.

use super::server::send_forever;
use super::*;

/// Checks the fate of `/a.png` for this answer to robots.txt, and the number of requests for robots.txt.
fn check_robots(robots: (u16, &'static str, &'static [u8]), expected: Option<DropReason>, asked: usize) {
    let server = Server::start(move |request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, robots.0, robots.1, robots.2),
        _ => send_png(stream),
    });
    let all = fetch_with(config(), &[server.url("/a.png")]);
    assert_eq!(reason(&all[0]), expected, "{robots:?}: {:?}", all[0].result);
    assert_eq!(server.count("/robots.txt"), asked, "{robots:?}");
    // An image is asked for only if it may be.
    assert_eq!(server.count("/a.png"), usize::from(expected.is_none()), "{robots:?}");
    if let Err(failure) = &all[0].result {
        assert_eq!(
            failure.retryable,
            expected == Some(reasons::ROBOTS_UNREACHABLE),
            "{robots:?}"
        );
    }
}

#[test]
fn statuses_mean_what_the_standard_says() {
    let (no, unknown) = (Some(reasons::ROBOTS_DISALLOWED), Some(reasons::ROBOTS_UNREACHABLE));
    let all = b"user-agent: *\ndisallow: /";
    for (robots, expected, asked) in [
        ((200, "", &b""[..]), None, 1),
        ((200, "", b"user-agent: otherbot\ndisallow: /"), None, 1),
        ((200, "", b"user-agent: *\ndisallow: /b"), None, 1),
        ((200, "content-type: text/html\r\n", b"<html>Welcome</html>"), None, 1),
        ((200, "", all), no, 1),
        ((200, "", b"user-agent: testbot\ndisallow: /*.png$"), no, 1),
        ((404, "", all), None, 1),
        ((410, "", all), None, 1),
        ((401, "", all), None, 1),
        ((403, "", all), None, 1),
        ((429, "", b""), unknown, 2),
        ((500, "", b""), unknown, 2),
        ((503, "", b""), unknown, 2),
        ((302, "", b""), unknown, 1),
        ((200, "content-encoding: gzip\r\n", b"\x1f\x8b\x08"), unknown, 1),
    ] {
        check_robots(robots, expected, asked);
    }
    let redirect = (302, "location: file:///robots.txt\r\n", &b""[..]);
    check_robots(redirect, Some(reasons::BAD_ADDRESS), 1);
}

#[test]
fn five_redirects_are_followed_and_more_are_no_robots_txt() {
    for (redirects, expected) in [(5, Some(reasons::ROBOTS_DISALLOWED)), (6, None)] {
        let server = Server::start(move |request, stream| match request.path.as_str() {
            "/robots.txt" => send(stream, 301, &format!("location: /r/{}\r\n", redirects - 1), b""),
            "/r/0" => send(stream, 200, "", b"user-agent: *\ndisallow: /"),
            "/a.png" => send_png(stream),
            path => {
                let next: u32 = path[3..].parse::<u32>().unwrap() - 1;
                send(stream, 302, &format!("location: /r/{next}\r\n"), b"")
            }
        });
        let all = fetch_with(config(), &[server.url("/a.png")]);
        assert_eq!(reason(&all[0]), expected, "{redirects}");
    }
}

#[test]
fn rules_hold_for_the_whole_run_and_are_asked_for_once_an_origin() {
    let server = Server::start(|request, stream| match (request.host(), request.path.as_str()) {
        ("a.test", "/robots.txt") => send(stream, 200, "", b"user-agent: *\ndisallow: /"),
        (_, "/robots.txt") => send(stream, 404, "", b""),
        _ => send_png(stream),
    });
    let fetcher = Fetcher::with_lookup(&config(), Arc::new(Names::new(&[]))).unwrap();
    for round in 1..=2 {
        let urls = ["a.test", "b.test"].map(|host| server.url_at(host, &format!("/{round}")));
        let all = fetch(&fetcher, &urls);
        assert_eq!(
            (reason(&all[0]), reason(&all[1])),
            (Some(reasons::ROBOTS_DISALLOWED), None)
        );
        assert_eq!(all[0].result.as_ref().unwrap_err().detail, format!("/{round}"));
    }
    assert_eq!(
        (server.count("/robots.txt"), server.count("/1"), server.count("/2")),
        (2, 1, 1)
    );
}

#[test]
fn a_redirect_leads_only_where_robots_allow() {
    let server = Server::start(|request, stream| match (request.host(), request.path.as_str()) {
        ("b.test", "/robots.txt") => send(stream, 200, "", b"user-agent: *\ndisallow: /"),
        (_, "/robots.txt") => send(stream, 200, "", b"user-agent: *\ndisallow: /private"),
        (_, "/to-b") => {
            let port = request
                .headers
                .iter()
                .find_map(|line| line.strip_prefix("host: a.test:"))
                .unwrap();
            send(stream, 302, &format!("location: http://b.test:{port}/b.png\r\n"), b"")
        }
        (_, "/to-private") => send(stream, 302, "location: /private/a.png\r\n", b""),
        _ => send_png(stream),
    });
    let fetcher = Fetcher::with_lookup(&config(), Arc::new(Names::new(&[]))).unwrap();
    let all = fetch(
        &fetcher,
        &["/to-b", "/to-private"].map(|path| server.url_at("a.test", path)),
    );
    let no = Some(reasons::ROBOTS_DISALLOWED);
    assert_eq!(
        (reason(&all[0]), all[0].final_url.clone()),
        (no, server.url_at("b.test", "/b.png"))
    );
    assert_eq!(
        (reason(&all[1]), all[1].final_url.clone()),
        (no, server.url_at("a.test", "/private/a.png"))
    );
    assert_eq!((server.count("/b.png"), server.count("/private/a.png")), (0, 0));
}

#[test]
fn an_endless_robots_txt_is_read_to_its_limit() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => {
            use std::io::Write;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuser-agent: *\ndisallow: /no\n")?;
            send_forever(stream, &b"disallow: /x/y\n".repeat(1_000), Duration::ZERO)
        }
        _ => send_png(stream),
    });
    let all = fetch_with(config(), &["/no.png", "/a.png", "/d"].map(|path| server.url(path)));
    let reasons: Vec<_> = all.iter().map(reason).collect();
    assert_eq!(reasons, [Some(reasons::ROBOTS_DISALLOWED), None, None]);
}

#[test]
fn half_a_rule_at_the_limit_is_no_rule() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 200, "", b"user-agent: *\ndisallow: /b\ndisallow: /abc\n"),
        _ => send_png(stream),
    });
    let robots_max_bytes = b"user-agent: *\ndisallow: /b\ndisallow: /a".len();
    let all = fetch_with(
        FetchConfig {
            robots_max_bytes,
            ..config()
        },
        &["/a", "/b"].map(|path| server.url(path)),
    );
    assert_eq!(
        (reason(&all[0]), reason(&all[1])),
        (None, Some(reasons::ROBOTS_DISALLOWED))
    );
}

#[test]
fn a_robots_txt_that_drips_or_breaks_off_is_unreachable() {
    for length in ["", "content-length: 1000\r\n"] {
        let server = Server::start(move |request, stream| match request.path.as_str() {
            "/robots.txt" => {
                use std::io::Write;
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{length}\r\nuser-agent: *\nallow: /\n").as_bytes())?;
                if length.is_empty() {
                    send_forever(stream, b"#", Duration::from_millis(10))
                } else {
                    Ok(())
                }
            }
            _ => send_png(stream),
        });
        let quick = FetchConfig {
            timeout_ms: 300,
            ..config()
        };
        check(quick, &server.url("/a.png"), reasons::ROBOTS_UNREACHABLE, true);
        assert_eq!((server.count("/robots.txt"), server.count("/a.png")), (2, 0));
    }
}

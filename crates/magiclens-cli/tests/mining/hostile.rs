//! Hostile input costs itself only, and says why.

use std::io::Write;

use crate::site::{figure, page, png, scene, write_site};
use crate::{Bench, PAGES_ONLY, WIDE};

/// A PNG that says it is huge and holds little.
fn bomb() -> Vec<u8> {
    let mut bytes = png(&scene(0));
    bytes[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0xEDB8_8320
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn poisoned_pages_and_images_cost_themselves_only() {
    let bench = Bench::new(&format!("{WIDE}{PAGES_ONLY}[input]\nmax_page_bytes = 300000\n"));
    let site = bench.path("site");
    write_site(&site, 1);
    let good = png(&scene(50));
    fs_err::write(site.join("bomb.png"), bomb()).unwrap();
    fs_err::write(site.join("cut.png"), &good[..good.len() / 2]).unwrap();
    fs_err::write(site.join("text.png"), "not an image at all. ".repeat(50)).unwrap();
    fs_err::write(bench.path("secret.png"), png(&scene(51))).unwrap();
    std::os::unix::fs::symlink(bench.path("secret.png"), site.join("link.png")).unwrap();
    let outside = format!("file://{}", bench.text("secret.png"));
    let poisoned = [
        "bomb.png",
        "cut.png",
        "text.png",
        "../secret.png",
        "link.png",
        "%2e%2e/secret.png",
        &outside,
    ];
    let body: String = poisoned
        .iter()
        .enumerate()
        .map(|(n, name)| figure(name, &format!("Poison {n}")))
        .collect();
    fs_err::write(site.join("x-poison.html"), page("Poison", &body)).unwrap();
    fs_err::write(
        site.join("x-endless.html"),
        page("Endless", &"<div><p>more ".repeat(100_000)),
    )
    .unwrap();
    fs_err::write(
        site.join("x-broken.html"),
        [b"<title>\xff\xfe\x00".as_slice(), &[0xC3, 0x28, 0xA0, 0xA1].repeat(500)].concat(),
    )
    .unwrap();
    fs_err::write(
        site.join("x-deep.html"),
        format!("<title>Deep</title>{}", "<b><figure><a>".repeat(15_000)),
    )
    .unwrap();
    fs_err::write(site.join("x-empty.html"), "").unwrap();
    let output = bench.mine("run", &[]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));

    let (found, kept, reasons) = bench.stage("run", "pages", "clean pixels");
    assert_eq!((found, kept), (6, 3), "{reasons:?}");
    assert_eq!(reasons.get("too many pixels"), Some(&1), "{reasons:?}");
    assert_eq!(reasons.get("not an image we read"), Some(&1), "{reasons:?}");
    let (_, _, missing) = bench.stage("run", "pages", "find");
    assert_eq!(
        missing.values().sum::<u64>(),
        3,
        "one address outside stands for two, as both are the same: {missing:?}"
    );
    let (_, _, unread) = bench.stage("run", "pages", "read");
    assert_eq!(unread.get("page too large"), Some(&1), "{unread:?}");
    // The good page is mined as if it stood alone.
    assert!(
        bench
            .triplets("run")
            .iter()
            .all(|triplet| triplet.provenance.page.ends_with("p000.html"))
    );
    assert!(!bench.triplets("run").is_empty());
}

#[test]
fn a_damaged_archive_gives_what_is_whole() {
    let bench = Bench::new(&format!("{WIDE}{PAGES_ONLY}"));
    let record = |url: &str, kind: &str, body: &[u8]| {
        let http = [
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
            body,
        ]
        .concat();
        let head = format!(
            "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nContent-Type: application/http; msgtype=response\r\nContent-Length: {}\r\n\r\n",
            http.len()
        );
        [head.as_bytes(), &http, b"\r\n\r\n"].concat()
    };
    let body = figure("1.png", "Filter “Whirl” applied") + &figure("/2.png", "Filter “Bloom” applied");
    let mut archive = Vec::new();
    // One image before its page, one behind it; garbage, a lying length and a half record between.
    archive.extend(record("https://example.org/1.png", "image/png", &png(&scene(1))));
    archive.extend(b"garbage between records\r\n".repeat(40));
    archive.extend(record(
        "https://example.org/page.html",
        "text/html",
        page("Filters", &body).as_bytes(),
    ));
    archive.extend(b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 99999999999\r\n\r\nlies");
    archive.extend(record("https://example.org/2.png", "image/png", &png(&scene(2))));
    let half = record("https://example.org/3.png", "image/png", &png(&scene(3)));
    archive.extend(&half[..half.len() / 3]);
    fs_err::write(bench.path("site/plain.warc"), &archive).unwrap();
    bench.mine("run", &[]);
    assert_eq!(bench.counts("run", "pages", 0)["numbers"]["pictures"], 2);
    let plain = bench.triplets("run");
    assert!(
        plain
            .iter()
            .any(|triplet| triplet.instruction.contains("Bloom") && triplet.relation == "variant"),
        "{plain:?}"
    );
    assert_eq!(plain[0].provenance.page, "https://example.org/page.html");

    // The same, compressed and cut off in the middle of the last member.
    let zipped = Bench::new(&format!("{WIDE}{PAGES_ONLY}"));
    let mut file = fs_err::File::create(zipped.path("site/zipped.warc.gz")).unwrap();
    let mut child = std::process::Command::new("gzip")
        .arg("-c")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&archive).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    file.write_all(&output.stdout).unwrap();
    zipped.mine("run", &[]);
    let ids = |bench: &Bench| {
        bench
            .triplets("run")
            .into_iter()
            .map(|t| (t.query, t.instruction, t.targets))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&bench), ids(&zipped));
}

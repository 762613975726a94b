//! WARC files, good and hostile, through the public interface.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use magiclens_web::input::{self, InputConfig, InputError, Record, plan};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nnot much of an image";

/// A record with the given header lines behind its first line.
fn record_with(lines: &str, block: &[u8]) -> Vec<u8> {
    let head = format!("WARC/1.0\r\n{lines}Content-Length: {}\r\n\r\n", block.len());
    [head.as_bytes(), block, b"\r\n\r\n"].concat()
}

fn record(kind: &str, address: &str, block: &[u8]) -> Vec<u8> {
    record_with(&format!("WARC-Type: {kind}\r\nWARC-Target-URI: {address}\r\n"), block)
}

fn http(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), body].concat()
}

/// A page at `http://example.org/NAME`.
fn page(name: &str) -> Vec<u8> {
    let body = format!("<html><title>{name}</title><p>{}", name.repeat(50));
    record(
        "response",
        &format!("http://example.org/{name}"),
        &http("Content-Type: text/html\r\n", body.as_bytes()),
    )
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One gzip member a record, as crawlers write.
fn members(records: &[Vec<u8>]) -> Vec<u8> {
    records.iter().flat_map(|record| gzip(record)).collect()
}

fn records_of(name: &str, bytes: &[u8], config: &InputConfig) -> Vec<Record> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs_err::write(&path, bytes).unwrap();
    let mut entry = plan(std::slice::from_ref(&path), config).unwrap().remove(0);
    entry.files = vec![name.to_owned()];
    input::records(&entry, &[path], config).map(Result::unwrap).collect()
}

/// One line a record: `page NAME`, `image NAME` or the reason with the item.
fn lines(records: &[Record]) -> Vec<String> {
    let name = |address: &str| address.trim_start_matches("http://example.org/").to_owned();
    records
        .iter()
        .map(|record| match record {
            Record::Html(page) => format!("page {}", name(&page.url)),
            Record::Page(page) => format!("links of {}", name(&page.url)),
            Record::Image(image) => format!("image {}", name(&image.url)),
            Record::Rejected(lost) | Record::RejectedImage(lost) => format!("{}: {}", name(&lost.item), lost.reason.0),
        })
        .collect()
}

fn small() -> InputConfig {
    InputConfig {
        max_record_bytes: 10_000,
        max_header_bytes: 1000,
        max_page_bytes: 5000,
        max_image_bytes: 5000,
        ..InputConfig::default()
    }
}

/// A file with everything that crawlers write, and what it gives.
fn crawl() -> (Vec<Vec<u8>>, Vec<&'static str>) {
    let html = "Content-Type: text/html\r\n";
    let respond = |name: &str, headers: &str, body: &[u8]| {
        record("response", &format!("http://example.org/{name}"), &http(headers, body))
    };
    let status = |name: &str, line: &str| {
        record(
            "response",
            &format!("http://example.org/{name}"),
            format!("HTTP/1.1 {line}\r\n\r\n<html>").as_bytes(),
        )
    };
    let records = vec![
        record_with("WARC-Type: warcinfo\r\n", b"software: x\r\n"),
        record("request", "http://example.org/one", b"GET /one HTTP/1.1\r\n\r\n"),
        page("one"),
        record("metadata", "http://example.org/one", b"fetchTimeMs: 1\r\n"),
        respond("1.png", "Content-Type: image/png\r\n", PNG),
        respond("2.png", html, PNG),
        respond(
            "packed",
            "content-type: text/html\r\nContent-Encoding: gzip\r\n",
            &gzip(b"<html>"),
        ),
        respond("packed.png", "Content-Encoding: gzip\r\n", &gzip(PNG)),
        respond(
            "chunked",
            "Content-Type: text/html\r\nTransfer-Encoding: chunked\r\n",
            b"6\r\n<html>\r\n0\r\n\r\n",
        ),
        respond("style.css", "Content-Type: text/css\r\n", b"p {}"),
        respond("data", "", b"{}"),
        respond("unknown", "", b"<!doctype html>"),
        respond("empty", html, b""),
        respond("odd", "Content-Encoding: compress\r\n", b"x"),
        respond("large", html, &[b'a'; 5001]),
        respond(
            "large.png",
            "Content-Type: image/png\r\n",
            &[PNG, &[b'a'; 5001]].concat(),
        ),
        status("moved", "301 Moved"),
        status("gone", "404 Not Found"),
        status("broken", "500 Oops"),
        status("part", "206 Partial Content"),
        record("revisit", "http://example.org/again", b"HTTP/1.1 200 OK\r\n\r\n"),
        record_with(
            "WARC-Type: resource\r\nWARC-Target-URI: http://example.org/r.png\r\nContent-Type: image/png\r\n",
            PNG,
        ),
        record_with(
            "WARC-Type: resource\r\nWARC-Target-URI: urn:thumbnail:x\r\nContent-Type: image/png\r\n",
            PNG,
        ),
        record("response", "dns:example.org", b"20240101\nexample.org. IN A 1.2.3.4"),
        record("response", "<http://example.org/angle>", &http(html, b"<p>")),
        record("conversion", "http://example.org/one", b"text"),
        record_with("WARC-Type: response\r\n", &http(html, b"<p>")),
        record_with("WARC-Target-URI: http://example.org/untyped\r\n", b"x"),
        page("last"),
    ];
    let expected = vec![
        "page one",
        "image 1.png",
        "image 2.png",
        "page packed",
        "image packed.png",
        "page chunked",
        "style.css: neither HTML nor an image",
        "data: neither HTML nor an image",
        "page unknown",
        "empty: empty",
        "odd: unknown content encoding",
        "large: page too large",
        "large.png: image too large",
        "moved: HTTP status 3xx",
        "gone: HTTP status 4xx",
        "broken: HTTP status 5xx",
        "part: HTTP status 2xx other than 200",
        "again: revisit",
        "image r.png",
        "urn:thumbnail:x: not a web address",
        "dns:example.org: not an HTTP response",
        "page angle",
        "crawl@: without an address",
        "untyped: record without a type",
        "page last",
    ];
    (records, expected)
}

/// The lines without the numbers behind `@`, which differ between the forms of a file.
fn without_places(lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| {
            line.split_once('@').map_or(line.clone(), |(_, rest)| {
                format!("crawl@{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
            })
        })
        .collect()
}

#[test]
fn all_forms_of_a_file_give_the_same() {
    let (records, expected) = crawl();
    let plain = records.concat();
    let cut_anywhere: Vec<u8> = plain.chunks(100).flat_map(gzip).collect();
    let forms = [
        ("crawl.warc", plain.clone()),
        ("crawl.warc.gz", members(&records)),
        ("one.warc.gz", gzip(&plain)),
        ("cut.warc.gz", cut_anywhere),
        ("misnamed.warc", members(&records)),
        ("misnamed.warc.gz", plain.clone()),
        ("padded.warc.gz", [members(&records), vec![0; 1000]].concat()),
        (
            "empty-member.warc.gz",
            [gzip(b""), members(&records), gzip(b"")].concat(),
        ),
    ];
    let whole = records_of("crawl.warc", &plain, &small());
    for (name, bytes) in forms {
        for buffer_bytes in [1, 7, 64, 1000, 256 << 10] {
            let config = InputConfig {
                buffer_bytes,
                ..small()
            };
            let found = records_of(name, &bytes, &config);
            assert_eq!(
                without_places(lines(&found)),
                expected,
                "{name}, buffer of {buffer_bytes}"
            );
            let kept = |records: &[Record]| {
                records
                    .iter()
                    .filter(|record| !matches!(record, Record::Rejected(_) | Record::RejectedImage(_)))
                    .cloned()
                    .collect::<Vec<_>>()
            };
            assert_eq!(kept(&found), kept(&whole), "{name}, buffer of {buffer_bytes}");
        }
    }
}

#[test]
fn images_come_in_the_same_pass() {
    let (records, _) = crawl();
    let mut found = lines(&records_of("crawl.warc.gz", &members(&records), &small()));
    found.retain(|line| line.starts_with("image "));
    let expected = ["1.png", "2.png", "packed.png", "r.png"].map(|name| format!("image {name}"));
    assert_eq!(found, expected);
}

#[test]
fn bodies_and_headers_arrive_as_sent() {
    let block = http(
        "Content-Type: text/html; charset=koi8-r\r\nX-Robots-Tag: noai\r\nX-Robots-Tag: noimageindex\r\n",
        b"<p>\xC1",
    );
    let bytes = record("response", "http://EXAMPLE.org/a b?q#part", &block);
    let records = records_of("a.warc", &bytes, &small());
    let [Record::Html(page)] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(page.url, "http://example.org/a%20b?q");
    assert_eq!(page.content_type, "text/html; charset=koi8-r");
    assert_eq!(page.robots_tags, ["noai", "noimageindex"]);
    assert_eq!(page.html, b"<p>\xC1");
}

/// `bad` between two good pages costs at most itself: in a plain file, as a gzip member of its own, and in one gzip member.
fn check_bad(bad: &[u8], expected: &[&str]) {
    let forms = [
        ("bad.warc", [page("a"), bad.to_vec(), page("b")].concat()),
        ("bad.warc.gz", members(&[page("a"), bad.to_vec(), page("b")])),
        ("one.warc.gz", gzip(&[page("a"), bad.to_vec(), page("b")].concat())),
    ];
    let shown = String::from_utf8_lossy(&bad[..bad.len().min(100)]).into_owned();
    for (name, bytes) in forms {
        for buffer_bytes in [3, 256 << 10] {
            let config = InputConfig {
                buffer_bytes,
                ..small()
            };
            let found = without_places(lines(&records_of(name, &bytes, &config)));
            let expected = [&["page a"], expected, &["page b"]].concat();
            assert_eq!(found, expected, "{shown:?} in {name}, buffer of {buffer_bytes}");
        }
    }
}

fn with_length(length: &str) -> Vec<u8> {
    let good = String::from_utf8(page("x")).unwrap();
    let (head, rest) = good.split_once("Content-Length: ").unwrap();
    format!(
        "{head}Content-Length: {length}{}",
        rest.trim_start_matches(|c: char| c.is_ascii_digit())
    )
    .into_bytes()
}

#[test]
fn a_lying_length_costs_one_record() {
    check_bad(&with_length("-5"), &["x: record without a length"]);
    check_bad(&with_length("+5"), &["x: record without a length"]);
    check_bad(&with_length(""), &["x: record without a length"]);
    check_bad(&with_length("abc"), &["x: record without a length"]);
    check_bad(&with_length("99999999999999999999999999"), &["x: record too large"]);
    check_bad(&with_length("18446744073709551615"), &["x: record too large"]);
    check_bad(&with_length("1000000"), &["x: record too large"]);
    check_bad(&with_length("9999"), &["x: wrong record length"]);
    check_bad(&with_length("300"), &["x: wrong record length"]);
    check_bad(&with_length("20"), &["x: wrong record length"]);
    check_bad(&with_length("0"), &["x: wrong record length"]);
}

#[test]
fn bad_headers_cost_one_record() {
    let folded = b"WARC/1.1\nwarc-type:\n response\nWARC-Target-URI:\n\thttp://example.org/folded\ncontent-length: 47\n\nHTTP/1.1 200 OK\nContent-Type: text/html\n\n<html>\n\n";
    check_bad(folded, &["page folded"]);
    let mut latin = record_with(
        "WARC-Type: response\r\nX-#: #\r\nWARC-Target-URI: http://example.org/l\r\n",
        &http("Content-Type: text/html\r\n", b"<p>"),
    );
    latin
        .iter_mut()
        .filter(|byte| **byte == b'#')
        .for_each(|byte| *byte = 0xE9);
    check_bad(&latin, &["page l"]);
    let endless = [
        b"WARC/1.0\r\nWARC-Type: response\r\n".as_slice(),
        &b"X-Y: z\r\n".repeat(500),
    ]
    .concat();
    check_bad(&endless, &["crawl@: endless record headers"]);
    let long = [b"WARC/1.0\r\nWARC-Type: ".as_slice(), &[b'x'; 3000], b"\r\n\r\n"].concat();
    check_bad(&long, &["crawl@: endless record headers"]);
    check_bad(b"WARC/1.0\r\nWARC-Type: response\r\n", &["crawl@: archive cut off"]);
    check_bad(b"WARC/1.0\r\n\r\n", &["crawl@: unreadable bytes"]);
    check_bad(b"\r\n\r\n\0\0\0\r\n", &[]);
    check_bad(
        b"nothing that makes sense\r\nWARC/9 and WARC/1.0 too\r\n",
        &["crawl@: unreadable bytes"],
    );
    let mut rng = StdRng::seed_from_u64(0);
    let noise: Vec<u8> = (0..20_000).map(|_| rng.random()).collect();
    check_bad(&noise, &["crawl@: unreadable bytes"]);
}

#[test]
fn a_page_about_warc_files_is_one_page() {
    let body = b"<html><pre>\r\n\r\nWARC/1.0\r\nWARC-Type: response\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n</pre>";
    check_bad(
        &record(
            "response",
            "http://example.org/spec",
            &http("Content-Type: text/html\r\n", body),
        ),
        &["page spec"],
    );
}

#[test]
fn a_large_record_is_passed_over() {
    let large = record(
        "response",
        "http://example.org/film",
        &http("Content-Type: video/mp4\r\n", &vec![7; 3 << 20]),
    );
    check_bad(&large, &["film: record too large"]);
}

#[test]
fn a_damaged_member_costs_itself() {
    let mut wrong_sum = gzip(&page("x"));
    let end = wrong_sum.len();
    wrong_sum[end - 6] ^= 1;
    let mut wrong_data = gzip(&page("x"));
    wrong_data[15] ^= 0xFF;
    let half = gzip(&page("x"))[..80].to_vec();
    // Members within a member: the search behind a damage meets them, but they hold no record.
    let mut nested = GzEncoder::new(Vec::new(), Compression::none());
    nested
        .write_all(&[&page("x")[..100], &gzip(b"<html>an inner body"), b"more"].concat())
        .unwrap();
    let mut nested = nested.finish().unwrap();
    let end = nested.len();
    nested[end - 6] ^= 1;
    for (name, bad, expected) in [
        ("wrong sum", wrong_sum, Some("x: damaged gzip")),
        ("wrong data", wrong_data, None),
        ("half", half, None),
        ("nested", nested, None),
        (
            "garbage",
            b"\x00\x1f\x8bgarbage".to_vec(),
            Some("crawl@: unreadable bytes"),
        ),
    ] {
        let bytes = [gzip(&page("a")), bad, gzip(&page("b")), gzip(&page("c"))].concat();
        for buffer_bytes in [5, 256 << 10] {
            let config = InputConfig {
                buffer_bytes,
                ..small()
            };
            let found = without_places(lines(&records_of("bad.warc.gz", &bytes, &config)));
            assert_eq!(found.len(), 4, "{name}: {found:?}");
            assert_eq!(
                [&found[0], &found[2], &found[3]],
                ["page a", "page b", "page c"],
                "{name}"
            );
            assert!(
                expected.is_none_or(|expected| found[1] == expected),
                "{name}: {found:?}"
            );
        }
    }
}

#[test]
fn a_bomb_costs_itself() {
    let bomb = gzip(&record(
        "response",
        "http://example.org/bomb",
        &http("Content-Type: text/html\r\n", &vec![b' '; 20 << 20]),
    ));
    let shapeless = gzip(&vec![0xAA; 20 << 20]);
    let bytes = [gzip(&page("a")), bomb, gzip(&page("b")), shapeless, gzip(&page("c"))].concat();
    let found = without_places(lines(&records_of("bomb.warc.gz", &bytes, &small())));
    assert_eq!(
        found,
        [
            "page a",
            "bomb: record too large",
            "page b",
            "crawl@: gzip bomb",
            "page c"
        ]
    );
}

#[test]
fn a_file_that_ends_early_gives_what_is_whole() {
    let records = [page("a"), page("b")];
    for bytes in [records.concat(), members(&records), gzip(&records.concat())] {
        let whole = lines(&records_of("cut.warc.gz", &bytes, &small()));
        assert_eq!(whole, ["page a", "page b"]);
        for cut in 0..bytes.len() {
            let found = lines(&records_of("cut.warc.gz", &bytes[..cut], &small()));
            let pages = found.iter().filter(|line| line.starts_with("page")).count();
            assert!(
                found.len() <= 2 && found[..pages] == whole[..pages],
                "cut at {cut}: {found:?}"
            );
            if cut <= 5 {
                continue;
            }
            let is_first_whole = if bytes.starts_with(b"WARC") {
                records[0].len()
            } else {
                gzip(&records[0]).len()
            } <= cut;
            assert!(
                pages != 0 || !is_first_whole || bytes.len() == gzip(&records.concat()).len(),
                "cut at {cut}: {found:?}"
            );
        }
    }
}

#[test]
fn random_damage_costs_only_what_it_hits() {
    let names: Vec<String> = (0..30).map(|n| format!("page{n}")).collect();
    let records: Vec<Vec<u8>> = names.iter().map(|name| page(name)).collect();
    let compressed: Vec<Vec<u8>> = records.iter().map(|record| gzip(record)).collect();
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let pieces = if seed % 2 == 0 { &records } else { &compressed };
        let mut bytes = pieces.concat();
        let mut is_hit = vec![false; pieces.len()];
        for _ in 0..rng.random_range(1..5) {
            let start = rng.random_range(0..bytes.len());
            let end = (start + rng.random_range(1..200)).min(bytes.len());
            if rng.random_bool(0.5) {
                bytes[start..end].iter_mut().for_each(|byte| *byte = rng.random());
            } else {
                bytes[start] ^= 1 << rng.random_range(0..8);
            }
            let mut offset = 0;
            for (piece, is_hit) in pieces.iter().zip(&mut is_hit) {
                *is_hit |= start < offset + piece.len() && offset < end;
                offset += piece.len();
            }
        }
        let config = InputConfig {
            buffer_bytes: if seed % 3 == 0 { 50 } else { 256 << 10 },
            ..small()
        };
        let found = lines(&records_of("hit.warc", &bytes, &config));
        for (name, is_hit) in names.iter().zip(is_hit) {
            let line = format!("page {name}");
            assert!(
                is_hit || found.contains(&line),
                "seed {seed}: {line} is lost in {found:?}"
            );
        }
    }
}

#[test]
fn random_bytes_end() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut bytes: Vec<u8> = (0..5000).map(|_| rng.random()).collect();
        // Many starts of members and records that are none.
        for _ in 0..50 {
            let at = rng.random_range(0..4900);
            let start: &[u8] = if rng.random_bool(0.5) {
                b"\x1f\x8b\x08\x00"
            } else {
                b"WARC/1.0\r\nContent-Length: 9\r\n\r\n"
            };
            bytes[at..at + start.len()].copy_from_slice(start);
        }
        let found = records_of("noise.warc.gz", &bytes, &small());
        assert!(
            found
                .iter()
                .all(|record| matches!(record, Record::Rejected(_) | Record::RejectedImage(_))),
            "{found:?}"
        );
    }
}

#[test]
fn a_wat_file_gives_links() {
    let json = |kind: &str, name: &str| {
        let json = format!(
            r#"{{"Envelope":{{"WARC-Header-Metadata":{{"WARC-Type":"{kind}","WARC-Target-URI":"http://example.org/{name}"}},
            "Payload-Metadata":{{"HTTP-Response-Metadata":{{"Response-Message":{{"Status":"200"}},
            "HTML-Metadata":{{"Links":[{{"path":"IMG@/src","url":"1.png","alt":"one"}}]}}}}}}}}}}"#
        );
        record("metadata", &format!("http://example.org/{name}"), json.as_bytes())
    };
    let records = [
        record_with("WARC-Type: warcinfo\r\n", b"software: x\r\n"),
        json("request", "a"),
        json("response", "a"),
        record("metadata", "http://example.org/odd", b"{}"),
        with_length("9999"),
        json("response", "b"),
    ];
    for bytes in [records.concat(), members(&records)] {
        let found = records_of("crawl.warc.wat.gz", &bytes, &small());
        assert_eq!(
            lines(&found),
            [
                "links of a",
                "odd: not a WAT record",
                "x: wrong record length",
                "links of b"
            ]
        );
        let Record::Page(page) = &found[0] else {
            panic!("{found:?}")
        };
        assert_eq!(
            (page.images[0].url.as_str(), page.images[0].alt.as_str()),
            ("http://example.org/1.png", "one")
        );
    }
}

#[test]
fn reading_stops_at_will_and_at_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("a.warc");
    fs_err::write(&path, [page("a"), page("b")].concat()).unwrap();
    let entry = plan(std::slice::from_ref(&path), &small()).unwrap().remove(0);
    assert_eq!(input::records(&entry, &entry.paths(), &small()).take(1).count(), 1);
    let gone = [folder.path().join("none")];
    let records: Vec<_> = input::records(&entry, &gone, &small()).collect();
    assert!(matches!(records.as_slice(), [Err(InputError::Io(_))]), "{records:?}");
}

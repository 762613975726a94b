//! Fetching from servers on loopback, friendly and hostile. Times are only ever bounded from below.

mod hostile;
mod pace;
mod robots;
mod server;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use magiclens_data::ImageId;

use super::*;
use crate::DropReason;
use server::{Names, PNG, Server, send, send_png};

/// Fast and patient, for servers on loopback.
fn config() -> FetchConfig {
    FetchConfig {
        allowed: true,
        user_agent: "TestBot/1.0 (+test@example.org)".to_owned(),
        per_host_interval_ms: 0,
        per_host_concurrency: 4,
        attempts: 2,
        backoff_ms: 1,
        allow_private_addresses: true,
        ..FetchConfig::default()
    }
}

/// Fetches, in the order of the list.
fn fetch(fetcher: &Fetcher, urls: &[String]) -> Vec<Fetched> {
    let mut all = Vec::new();
    fetcher.fetch(urls.to_vec(), &mut |fetched| all.push(fetched));
    all.sort_by(|a, b| a.places.cmp(&b.places));
    all
}

fn fetch_with(config: FetchConfig, urls: &[String]) -> Vec<Fetched> {
    fetch(&Fetcher::new(&config).unwrap(), urls)
}

fn reason(fetched: &Fetched) -> Option<DropReason> {
    fetched.result.as_ref().err().map(|failure| failure.reason)
}

/// The one address ends so, and may be tried again or not.
fn check(config: FetchConfig, url: &str, expected: DropReason, retryable: bool) {
    let all = fetch_with(config, &[url.to_owned()]);
    let failure = all[0].result.as_ref().unwrap_err();
    assert_eq!(
        (failure.reason, failure.retryable),
        (expected, retryable),
        "{url}: {failure:?}"
    );
}

#[test]
fn a_image_comes_with_its_type_tags_and_hash() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/a.png" => send(
            stream,
            200,
            "content-type: image/png\r\nx-robots-tag: nofollow\r\nx-robots-tag: all\r\n",
            PNG,
        ),
        "/untyped" => send(stream, 200, "content-type: application/octet-stream\r\n", PNG),
        "/vector" => send(stream, 203, "Content-Type: Image/SVG+xml\r\n", b"<svg/>"),
        _ => send(stream, 404, "", b""),
    });
    let urls = ["/a.png#part", "/untyped", "/vector"].map(|path| server.url(path));
    let all = fetch_with(config(), &urls);
    assert_eq!(
        all[0],
        Fetched {
            places: vec![0],
            url: server.url("/a.png#part"),
            final_url: server.url("/a.png"),
            result: Ok(Body {
                bytes: PNG.to_vec(),
                content_type: "image/png".to_owned(),
                robots_tags: vec!["nofollow".to_owned(), "all".to_owned()],
                hash: ImageId::of_bytes(PNG),
            }),
        }
    );
    assert_eq!(all[1].result.as_ref().unwrap().bytes, PNG);
    assert_eq!(all[2].result.as_ref().unwrap().bytes, b"<svg/>");
    let requests = server.requests();
    for line in [
        "user-agent: testbot/1.0 (+test@example.org)",
        "accept-encoding: identity",
    ] {
        assert!(
            requests
                .iter()
                .all(|request| request.headers.iter().any(|header| header == line)),
            "{line}"
        );
    }
}

#[test]
fn each_answer_has_its_reason() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 404, "", b""),
        "/html" => send(
            stream,
            200,
            "content-type: text/html\r\n",
            &b"<!doctype html>".repeat(100),
        ),
        "/short" => send(stream, 200, "content-type: text/plain\r\n", b"no"),
        "/untyped" => send(stream, 200, "", b"GIF is what I am not"),
        "/empty" => send(stream, 200, "content-type: image/png\r\n", b""),
        "/gzip" => send(
            stream,
            200,
            "content-type: image/svg+xml\r\ncontent-encoding: gzip\r\n",
            b"\x1f\x8b\x08",
        ),
        status => send(stream, status[1..].parse().unwrap(), "content-type: image/png\r\n", PNG),
    });
    for (path, expected, retryable) in [
        ("/404", reasons::NOT_FOUND, false),
        ("/410", reasons::GONE, false),
        ("/401", reasons::FORBIDDEN, false),
        ("/403", reasons::FORBIDDEN, false),
        ("/451", reasons::FORBIDDEN, false),
        ("/418", reasons::UNEXPECTED_STATUS, false),
        ("/206", reasons::UNEXPECTED_STATUS, false),
        ("/300", reasons::UNEXPECTED_STATUS, false),
        ("/302", reasons::UNEXPECTED_STATUS, false),
        ("/999", reasons::UNEXPECTED_STATUS, false),
        ("/408", reasons::TIMED_OUT, true),
        ("/429", reasons::TOO_MANY_REQUESTS, true),
        ("/500", reasons::SERVER_ERROR, true),
        ("/503", reasons::SERVER_ERROR, true),
        ("/html", reasons::NOT_AN_IMAGE, false),
        ("/short", reasons::NOT_AN_IMAGE, false),
        ("/untyped", reasons::NOT_AN_IMAGE, false),
        ("/empty", reasons::NOT_AN_IMAGE, false),
        ("/gzip", reasons::NOT_AN_IMAGE, false),
    ] {
        check(config(), &server.url(path), expected, retryable);
        assert_eq!(server.count(path), if retryable { 2 } else { 1 }, "{path}");
    }
}

#[test]
fn without_permission_nobody_is_asked() {
    let server = Server::start(|_, stream| send_png(stream));
    let off = FetchConfig {
        allowed: false,
        user_agent: String::new(),
        ..config()
    };
    check(off, &server.url("/a.png"), reasons::NOT_ALLOWED, false);
    assert!(server.requests().is_empty());
    let nameless = FetchConfig {
        user_agent: String::new(),
        ..config()
    };
    assert!(
        Fetcher::new(&nameless)
            .err()
            .unwrap()
            .to_string()
            .contains("`user_agent`")
    );
}

#[test]
fn an_address_is_fetched_once_however_often_it_is_asked_for() {
    let server = Server::start(|_, stream| send_png(stream));
    let urls = ["/a.png", "/b.png", "/a.png#x", "bad address", "/x/../a.png"];
    let urls = urls.map(|path| {
        if path.starts_with('/') {
            server.url(path)
        } else {
            path.to_owned()
        }
    });
    let all = fetch_with(config(), &urls);
    let places: Vec<_> = all.iter().map(|fetched| fetched.places.clone()).collect();
    assert_eq!(places, [vec![0, 2, 4], vec![1], vec![3]]);
    assert_eq!(all[0].url, urls[0]);
    assert_eq!(reason(&all[2]), Some(reasons::BAD_ADDRESS));
    assert_eq!(
        (
            server.count("/a.png"),
            server.count("/b.png"),
            server.count("/robots.txt")
        ),
        (1, 1, 1)
    );
}

#[test]
fn what_may_pass_is_tried_again() {
    let asked = AtomicUsize::new(0);
    let server = Server::start(move |request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 404, "", b""),
        _ if asked.fetch_add(1, Ordering::SeqCst) < 2 => send(stream, 502, "", b""),
        _ => send_png(stream),
    });
    let all = fetch_with(
        FetchConfig {
            attempts: 3,
            ..config()
        },
        &[server.url("/a.png")],
    );
    assert_eq!(reason(&all[0]), None);
    assert_eq!(server.count("/a.png"), 3);
}

#[test]
fn opt_outs_are_kept() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 404, "", b""),
        "/tag" => send(
            stream,
            200,
            "content-type: image/png\r\nX-Robots-Tag: nofollow, NoAI\r\n",
            PNG,
        ),
        "/us" => send(
            stream,
            200,
            "content-type: image/png\r\nX-Robots-Tag: testbot: noindex\r\n",
            PNG,
        ),
        "/other" => send(
            stream,
            200,
            "content-type: image/png\r\nX-Robots-Tag: otherbot: noindex\r\n",
            PNG,
        ),
        "/second" => send(stream, 200, "X-Robots-Tag: all\r\nX-Robots-Tag: noimageindex\r\n", PNG),
        "/tdm" => send(stream, 200, "content-type: image/png\r\nTDM-Reservation: 1\r\n", PNG),
        "/no-tdm" => send(stream, 200, "content-type: image/png\r\nTDM-Reservation: 0\r\n", PNG),
        _ => send(stream, 404, "", b""),
    });
    let urls = ["/tag", "/us", "/other", "/second", "/tdm", "/no-tdm"].map(|path| server.url(path));
    let out = Some(reasons::OPTED_OUT);
    let kept: Vec<_> = fetch_with(config(), &urls).iter().map(reason).collect();
    assert_eq!(kept, [out, out, None, out, out, None]);
    let all = fetch_with(
        FetchConfig {
            respect_opt_outs: false,
            ..config()
        },
        &urls,
    );
    assert!(all.iter().all(|fetched| fetched.result.is_ok()));
    assert_eq!(all[0].result.as_ref().unwrap().robots_tags, ["nofollow, NoAI"]);
}

#[test]
fn redirects_are_followed_to_their_limit() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 404, "", b""),
        "/0" => send_png(stream),
        "/loop" => send(stream, 307, "location: /loop\r\n", b""),
        path => {
            let next: u32 = path[1..].parse::<u32>().unwrap() - 1;
            let status = [301, 302, 303, 307, 308][next as usize % 5];
            send(stream, status, &format!("location: {next}\r\n"), b"")
        }
    });
    let all = fetch_with(config(), &["/5", "/6", "/loop"].map(|path| server.url(path)));
    assert_eq!((reason(&all[0]), all[0].final_url.clone()), (None, server.url("/0")));
    assert_eq!(reason(&all[1]), Some(reasons::TOO_MANY_REDIRECTS));
    assert_eq!(reason(&all[2]), Some(reasons::TOO_MANY_REDIRECTS));
    assert_eq!(server.count("/loop"), 6);
}

#[test]
fn a_panic_of_the_receiver_leaves_the_fetcher_whole() {
    let server = Server::start(|_, stream| send_png(stream));
    let fetcher = Fetcher::new(&config()).unwrap();
    let urls = vec![server.url("/a.png"), server.url("/b.png")];
    let broken = catch_unwind(AssertUnwindSafe(|| {
        fetcher.fetch(urls.clone(), &mut |_| panic!("the receiver"))
    }));
    assert!(broken.is_err());
    assert!(fetch(&fetcher, &urls).iter().all(|fetched| fetched.result.is_ok()));
}

#[test]
fn thousands_of_addresses_all_get_their_answer() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 200, "", b"user-agent: *\ndisallow: /*3"),
        path if path.ends_with('7') => send(stream, 404, "", b""),
        _ => send_png(stream),
    });
    let urls: Vec<String> = (0..1_000)
        .map(|n| server.url_at(&format!("h{}.test", n % 50), &format!("/{n}")))
        .collect();
    let fetcher = Fetcher::with_lookup(&config(), Arc::new(Names::new(&[]))).unwrap();
    let all = fetch(&fetcher, &urls);
    let places: Vec<usize> = all.iter().flat_map(|fetched| fetched.places.clone()).collect();
    assert_eq!(places, (0..1_000).collect::<Vec<_>>());
    for (n, fetched) in all.iter().enumerate() {
        let expected = match n.to_string() {
            text if text.contains('3') => Some(reasons::ROBOTS_DISALLOWED),
            text if text.ends_with('7') => Some(reasons::NOT_FOUND),
            _ => None,
        };
        assert_eq!(reason(fetched), expected, "{n}");
    }
    assert_eq!(server.count("/robots.txt"), 50);
}

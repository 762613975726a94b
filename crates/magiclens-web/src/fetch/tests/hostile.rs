//! Servers that mean harm, and addresses that lead where they should not.

use std::io::Write;
use std::net::TcpListener;

use reqwest::dns::Resolve;

use super::server::send_forever;
use super::*;

/// A server that answers for images with these bytes, then with one piece for ever.
fn raw_server(head: &'static [u8], piece: &'static [u8], pause: Duration) -> Server {
    Server::start(move |request, stream| {
        if request.path == "/robots.txt" {
            return send(stream, 404, "", b"");
        }
        stream.write_all(head)?;
        if piece.is_empty() {
            Ok(())
        } else {
            send_forever(stream, piece, pause)
        }
    })
}

fn check_raw(head: &'static [u8], piece: &'static [u8], expected: DropReason, retryable: bool) {
    let server = raw_server(head, piece, Duration::from_millis(1));
    let config = FetchConfig {
        max_bytes: 10_000,
        timeout_ms: 60_000,
        attempts: 1,
        ..config()
    };
    check(config, &server.url("/a.png"), expected, retryable);
}

#[test]
fn sizes_are_limited_whatever_is_said() {
    let endless = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n";
    check_raw(endless, &[b'x'; 1_000], reasons::TOO_LARGE, false);
    let chunked = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n";
    check_raw(chunked, b"10\r\n0123456789abcdef\r\n", reasons::TOO_LARGE, false);
    // Refused by what it says, although nothing follows.
    let said = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 10001\r\n\r\n";
    check_raw(said, b"", reasons::TOO_LARGE, false);
    let absurd = b"HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551000\r\n\r\n";
    check_raw(absurd, b"", reasons::TOO_LARGE, false);
    // Endless pages are left at the first bytes, long before the limit.
    let page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n";
    check_raw(page, b"<", reasons::NOT_AN_IMAGE, false);
}

#[test]
fn the_limit_itself_is_allowed() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 404, "", b""),
        path => send(
            stream,
            200,
            "content-type: image/png\r\n",
            &vec![b'x'; path[1..].parse().unwrap()],
        ),
    });
    let small = FetchConfig {
        max_bytes: 10_000,
        ..config()
    };
    let all = fetch_with(small, &["/10000", "/10001"].map(|path| server.url(path)));
    assert_eq!((reason(&all[0]), reason(&all[1])), (None, Some(reasons::TOO_LARGE)));
}

#[test]
fn broken_answers_end() {
    let many_headers: &'static str = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-filler: 1\r\n".repeat(200)).leak();
    for (head, piece, expected, retryable) in [
        (&b""[..], &b""[..], reasons::CUT_OFF, true),
        (b"HTTP/1.1 200 OK\r\ncontent-ty", b"", reasons::CUT_OFF, true),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 1000\r\n\r\n\x89PNG",
            b"",
            reasons::CUT_OFF,
            true,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n5\r\n\x89PNG\r\r\n",
            b"",
            reasons::CUT_OFF,
            true,
        ),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", b"", reasons::BAD_ANSWER, false),
        (b"\x00\x01\x02\x03\r\n\r\n", b"", reasons::BAD_ANSWER, false),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
            b"",
            reasons::BAD_ANSWER,
            false,
        ),
        (many_headers.as_bytes(), b"", reasons::BAD_ANSWER, false),
        (
            b"HTTP/1.1 200 OK\r\nx-one: ",
            &[b'x'; 10_000],
            reasons::BAD_ANSWER,
            false,
        ),
    ] {
        check_raw(head, piece, expected, retryable);
    }
}

#[test]
fn drips_end_in_time() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n\x89PNG\r\n\x1a\n";
    for (head, piece) in [(&head[..], &b"x"[..]), (b"HTTP/1.1 200 OK\r\nx-slow: ", b"x")] {
        let server = raw_server(head, piece, Duration::from_millis(20));
        let config = FetchConfig {
            timeout_ms: 1_500,
            attempts: 1,
            ..config()
        };
        check(config, &server.url("/a.png"), reasons::TIMED_OUT, true);
    }
}

#[test]
fn nobody_home() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    check(
        config(),
        &format!("http://127.0.0.1:{closed}/a.png"),
        reasons::CONNECTION_FAILED,
        true,
    );
    let fetcher = Fetcher::with_lookup(&config(), Arc::new(Names::new(&[]))).unwrap();
    let all = fetch(&fetcher, &["http://nowhere.example/a.png".to_owned()]);
    assert_eq!(reason(&all[0]), Some(reasons::HOST_NOT_FOUND));
    // https asked of a server that speaks http.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    check(
        config(),
        &format!("https://127.0.0.1:{port}/a.png"),
        reasons::TLS_FAILED,
        false,
    );
}

#[test]
fn redirects_lead_out_of_bounds_in_vain() {
    let server = Server::start(|request, stream| {
        let port = request
            .headers
            .iter()
            .find_map(|line| line.strip_prefix("host: outer.test:"))
            .unwrap_or("80");
        let location = match request.path.as_str() {
            "/robots.txt" => return send(stream, 404, "", b""),
            "/loopback" => format!("http://127.0.0.1:{port}/secret"),
            "/number" => format!("//2130706433:{port}/secret"),
            "/v6" => format!("http://[::ffff:127.0.0.1]:{port}/secret"),
            "/metadata" => "http://169.254.169.254/latest/meta-data/".to_owned(),
            "/name" => format!("http://inner.example:{port}/secret"),
            "/file" => "file:///etc/passwd".to_owned(),
            "/port" => "http://outer.test:22/".to_owned(),
            "/password" => format!("http://me:secret@outer.test:{port}/secret"),
            "/long" => format!("/{}", "a".repeat(10_000)),
            _ => return send_png(stream),
        };
        send(stream, 302, &format!("location: {location}\r\n"), b"")
    });
    let outside = FetchConfig {
        allow_private_addresses: false,
        ..config()
    };
    let names = Names::new(&[("inner.example", &[&["127.0.0.1"], &["10.0.0.1", "::1"]])]);
    let fetcher = Fetcher::with_lookup(&outside, Arc::new(names)).unwrap();
    let (private, bad) = (Some(reasons::PRIVATE_ADDRESS), Some(reasons::BAD_ADDRESS));
    for (path, expected) in [
        ("/loopback", private),
        ("/number", private),
        ("/v6", private),
        ("/metadata", private),
        ("/name", private),
        ("/file", bad),
        ("/port", bad),
        ("/password", bad),
        ("/long", bad),
        ("/a.png", None),
    ] {
        let all = fetch(&fetcher, &[server.url_at("outer.test", path)]);
        assert_eq!(reason(&all[0]), expected, "{path}: {:?}", all[0].result);
    }
    assert_eq!(server.count("/secret"), 0);
}

#[test]
fn private_addresses_are_not_even_asked_for_robots() {
    let server = Server::start(|_, stream| send_png(stream));
    let outside = FetchConfig {
        allow_private_addresses: false,
        ..config()
    };
    for host in ["127.0.0.1", "localhost", "[::1]", "0"] {
        check(
            outside.clone(),
            &server.url_at(host, "/a.png"),
            reasons::PRIVATE_ADDRESS,
            false,
        );
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_name_that_changes_its_address_gains_nothing() {
    let names = Names::new(&[(
        "rebind.example",
        &[&["1.1.1.1"], &["127.0.0.1", "1.0.0.1", "::1"], &["127.0.0.1"]],
    )]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let resolve = || {
        let found = runtime.block_on(names.resolve("rebind.example".parse().unwrap()));
        found.map(|addresses| addresses.map(|address| address.ip().to_string()).collect::<Vec<_>>())
    };
    // What a look-up gives is what is connected to, so only public addresses may be left.
    assert_eq!(resolve().unwrap(), ["1.1.1.1"]);
    assert_eq!(resolve().unwrap(), ["1.0.0.1"]);
    assert!(
        resolve()
            .unwrap_err()
            .to_string()
            .contains("`rebind.example` is at 127.0.0.1")
    );
}

#[test]
fn a_host_that_keeps_failing_is_left_alone() {
    let server = Server::start(|request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 404, "", b""),
        // Cut off.
        _ => Ok(()),
    });
    let config = FetchConfig {
        max_host_failures: 3,
        per_host_concurrency: 1,
        attempts: 1,
        ..config()
    };
    let urls: Vec<String> = (0..10).map(|n| server.url(&format!("/{n}"))).collect();
    let all = fetch_with(config, &urls);
    let expected: Vec<_> = (0..10)
        .map(|n| Some(if n < 3 { reasons::CUT_OFF } else { reasons::HOST_FAILING }))
        .collect();
    assert_eq!(all.iter().map(reason).collect::<Vec<_>>(), expected);
    assert!(all.iter().all(|fetched| fetched.result.as_ref().unwrap_err().retryable));
    assert_eq!(server.requests().len(), 4);
}

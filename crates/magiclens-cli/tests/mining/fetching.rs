//! Images that the input lacks, fetched from a server of our own; and asked for again only if they failed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::site::{figure, page, png, scene};
use crate::{Bench, PAGES_ONLY, WIDE, succeed};

/// Serves paths; the third image fails until it is mended.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    mended: Arc<AtomicBool>,
}

fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, mended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
    let (log, is_mended) = (Arc::clone(&asked), Arc::clone(&mended));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(stream.try_clone().unwrap())
                .lines()
                .map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            log.lock().unwrap().push(path.clone());
            let (status, head, body) = match path.as_str() {
                "/robots.txt" => ("200 OK", "text/plain", b"User-agent: *\nDisallow: /private/\n".to_vec()),
                "/1.png" => ("200 OK", "image/png", png(&scene(1))),
                "/2.png" => ("200 OK", "image/png", png(&scene(2))),
                "/3.png" if is_mended.load(Ordering::SeqCst) => ("200 OK", "image/png", png(&scene(3))),
                "/3.png" => ("503 Busy", "text/plain", Vec::new()),
                "/4.png" => ("200 OK", "image/png\r\nX-Robots-Tag: noai", png(&scene(4))),
                _ => ("404 Not Found", "text/plain", Vec::new()),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that went away is its own business.
            let _ = stream
                .write_all(answer.as_bytes())
                .and_then(|()| stream.write_all(&body));
        }
    });
    Server { address, asked, mended }
}

#[test]
fn missing_images_are_fetched_once_and_only_the_failed_again() {
    let server = serve();
    let bench = Bench::new(&format!(
        "{WIDE}{PAGES_ONLY}[fetch]\nallowed = true\nuser_agent = \"magiclens-test/1 (+https://example.org/bot)\"\nallow_private_addresses = true\n\
         per_host_interval_ms = 1\nattempts = 2\nbackoff_ms = 1\nmax_backoff_ms = 5\n"
    ));
    let at = |path: &str| format!("http://{}/{path}", server.address);
    let body = figure(&at("1.png"), "Original image")
        + &figure(&at("2.png"), "Filter “Bloom” applied")
        + &figure(&at("3.png"), "Filter “Whirl” applied")
        + &figure(&at("4.png"), "Left alone")
        + &figure(&at("private/5.png"), "Private")
        + &figure(&at("gone.png"), "Gone");
    fs_err::write(bench.path("site/a.html"), page("Filters", &body)).unwrap();
    bench.mine("run", &[]);
    let (asked, came, reasons) = bench.stage("run", "fetch", "fetch");
    assert_eq!((asked, came), (6, 2), "{reasons:?}");
    assert_eq!(reasons.values().sum::<u64>(), 4);
    assert_eq!(reasons.len(), 4, "four different reasons: {reasons:?}");
    assert_eq!(bench.counts("run", "pages", 0)["numbers"]["pictures"], 2);
    assert!(
        !server
            .asked
            .lock()
            .unwrap()
            .iter()
            .any(|path| path.starts_with("/private"))
    );

    server.mended.store(true, Ordering::SeqCst);
    server.asked.lock().unwrap().clear();
    succeed(&["retry", &bench.text("run")]);
    succeed(&["run", &bench.text("run")]);
    let asked: BTreeMap<String, usize> =
        server
            .asked
            .lock()
            .unwrap()
            .iter()
            .fold(BTreeMap::new(), |mut counts, path| {
                *counts.entry(path.clone()).or_default() += 1;
                counts
            });
    assert_eq!(asked.get("/3.png"), Some(&1), "{asked:?}");
    assert!(
        !asked.contains_key("/1.png") && !asked.contains_key("/gone.png"),
        "{asked:?}"
    );
    assert_eq!(bench.counts("run", "pages", 0)["numbers"]["pictures"], 3);
    assert_eq!(bench.stage("run", "fetch", "fetch").1, 3);
}

#[test]
fn nothing_is_fetched_unless_it_is_allowed() {
    let server = serve();
    let bench = Bench::new(&format!("{WIDE}{PAGES_ONLY}"));
    let at = |path: &str| format!("http://{}/{path}", server.address);
    let body = figure(&at("1.png"), "Original image") + &figure(&at("2.png"), "Filter “Bloom” applied");
    fs_err::write(bench.path("site/a.html"), page("Filters", &body)).unwrap();
    bench.mine("run", &[]);
    assert!(server.asked.lock().unwrap().is_empty());
    assert!(bench.triplets("run").is_empty());
    assert_eq!(bench.stage("run", "pages", "find").2.values().sum::<u64>(), 2);
}

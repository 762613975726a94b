//! Pace of fetching, and turns of hosts.

use std::sync::{Condvar, Mutex};
use std::time::Instant;

use super::*;

/// The times between requests are no shorter than this.
fn check_intervals(server: &Server, least: Duration) {
    let times: Vec<Instant> = server.requests().iter().map(|request| request.at).collect();
    for pair in times.windows(2) {
        assert!(least <= pair[1] - pair[0], "{:?} < {least:?}", pair[1] - pair[0]);
    }
}

fn answers(robots: &'static str) -> Server {
    Server::start(move |request, stream| match request.path.as_str() {
        "/robots.txt" => send(stream, 200, "", robots.as_bytes()),
        _ => send_png(stream),
    })
}

#[test]
fn requests_to_a_host_keep_their_distance() {
    let server = answers("");
    let fetcher = Fetcher::new(&FetchConfig {
        per_host_interval_ms: 60,
        ..config()
    })
    .unwrap();
    // The distance holds from call to call.
    for round in 0..2 {
        let urls: Vec<String> = (0..3).map(|n| server.url(&format!("/{round}/{n}"))).collect();
        assert!(fetch(&fetcher, &urls).iter().all(|fetched| fetched.result.is_ok()));
    }
    assert_eq!(
        server.paths(),
        ["/robots.txt", "/0/0", "/0/1", "/0/2", "/1/0", "/1/1", "/1/2"]
    );
    check_intervals(&server, Duration::from_millis(60));
}

#[test]
fn crawl_delay_is_kept_up_to_its_limit() {
    for (robots, max_crawl_delay_ms, least_ms) in [
        ("user-agent: *\ncrawl-delay: 0.08\n", 30_000, 80),
        // An hour counts as the limit: the test would not end otherwise.
        ("user-agent: *\ncrawl-delay: 3600\n", 70, 70),
        ("user-agent: otherbot\ncrawl-delay: 3600\n", 30_000, 0),
    ] {
        let server = answers(robots);
        let urls = ["/0", "/1", "/2"].map(|path| server.url(path));
        let all = fetch_with(
            FetchConfig {
                max_crawl_delay_ms,
                per_host_concurrency: 1,
                ..config()
            },
            &urls,
        );
        assert!(all.iter().all(|fetched| fetched.result.is_ok()));
        check_intervals(&server, Duration::from_millis(least_ms));
    }
}

#[test]
fn retry_after_is_kept() {
    for status in [429, 503] {
        let server = Server::start(move |request, stream| match request.path.as_str() {
            "/robots.txt" => send(stream, 404, "", b""),
            "/later" if request.headers.iter().any(|line| line.starts_with("host: a.")) => {
                send(stream, status, "retry-after: 1\r\n", b"")
            }
            "/tomorrow" => send(stream, status, "retry-after: 86400\r\n", b""),
            _ => send_png(stream),
        });
        let config = FetchConfig {
            per_host_concurrency: 1,
            max_backoff_ms: 1_500,
            ..config()
        };
        let fetcher = Fetcher::with_lookup(&config, Arc::new(Names::new(&[]))).unwrap();
        let all = fetch(
            &fetcher,
            &["/later", "/other"].map(|path| server.url_at("a.test", path)),
        );
        assert!(all[0].result.as_ref().is_err_and(|failure| failure.retryable));
        assert_eq!(reason(&all[1]), None);
        // The whole host rests meanwhile.
        let asked = server.requests();
        assert_eq!(asked.iter().filter(|request| request.path == "/later").count(), 2);
        assert!(Duration::from_secs(1) <= asked[2].at - asked[1].at);
        // Longer than we wait: left for another run.
        let all = fetch(&fetcher, &[server.url_at("b.test", "/tomorrow")]);
        assert!(all[0].result.as_ref().is_err_and(|failure| failure.retryable));
        assert_eq!(server.count("/tomorrow"), 1);
    }
}

#[test]
fn concurrency_is_limited_per_host_and_over_all() {
    for (per_host_concurrency, concurrency, hosts, most) in [(2, 64, 1, 2), (1, 64, 3, 3), (8, 3, 4, 3)] {
        let (under_way, at_most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let shared = at_most.clone();
        let server = Server::start(move |request, stream| {
            shared.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
            // Before the client can know that it has its answer.
            under_way.fetch_sub(1, Ordering::SeqCst);
            match request.path.as_str() {
                "/robots.txt" => send(stream, 404, "", b""),
                _ => send_png(stream),
            }
        });
        let config = FetchConfig {
            per_host_concurrency,
            concurrency,
            ..config()
        };
        let fetcher = Fetcher::with_lookup(&config, Arc::new(Names::new(&[]))).unwrap();
        let urls: Vec<_> = (0..24)
            .map(|n| server.url_at(&format!("h{}.test", n % hosts), &format!("/{n}")))
            .collect();
        assert!(fetch(&fetcher, &urls).iter().all(|fetched| fetched.result.is_ok()));
        let at_most = at_most.load(Ordering::SeqCst);
        assert!((1..=most).contains(&at_most), "{at_most} > {most}");
    }
}

#[test]
fn hosts_take_turns() {
    let server = answers("");
    let config = FetchConfig {
        concurrency: 1,
        per_host_concurrency: 1,
        ..config()
    };
    let fetcher = Fetcher::with_lookup(&config, Arc::new(Names::new(&[]))).unwrap();
    let hosts = ["a.test", "a.test", "a.test", "b.test", "c.test", "c.test"];
    let urls: Vec<_> = hosts
        .iter()
        .enumerate()
        .map(|(n, host)| server.url_at(host, &format!("/{n}")))
        .collect();
    fetch(&fetcher, &urls);
    let hosts: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.host()[..1].to_owned())
        .collect();
    assert_eq!(hosts.concat(), "abcabcaca");
}

#[test]
fn a_host_that_does_not_answer_stops_no_other() {
    // The slow host answers nothing until all images of the fast ones were asked for.
    let waiting = Arc::new((Mutex::new(20usize), Condvar::new()));
    let shared = waiting.clone();
    let server = Server::start(move |request, stream| {
        let (left, changed) = &*shared;
        match (request.host(), request.path.as_str()) {
            (_, "/robots.txt") => return send(stream, 404, "", b""),
            ("slow.test", _) => drop(changed.wait_while(left.lock().unwrap(), |left| *left > 0).unwrap()),
            (host, path) if host.starts_with("redirect") => {
                let port = request
                    .headers
                    .iter()
                    .find_map(|line| line.strip_prefix("host: ")?.split(':').nth(1));
                let location = format!("location: http://slow.test:{}{path}\r\n", port.unwrap());
                return send(stream, 302, &location, b"");
            }
            _ => {
                *left.lock().unwrap() -= 1;
                changed.notify_all();
            }
        }
        send_png(stream)
    });
    let config = FetchConfig {
        concurrency: 3,
        per_host_concurrency: 2,
        timeout_ms: 600_000,
        ..config()
    };
    let fetcher = Fetcher::with_lookup(&config, Arc::new(Names::new(&[]))).unwrap();
    // Redirects to the slow host wait in its queue, too, not in the places of others.
    let hosts = (0..10).map(|_| "slow.test".to_owned());
    let hosts = hosts
        .chain((0..10).map(|n| format!("redirect{n}.test")))
        .chain((0..20).map(|n| format!("fast{}.test", n % 4)));
    let urls: Vec<_> = hosts
        .enumerate()
        .map(|(n, host)| server.url_at(&host, &format!("/{n}")))
        .collect();
    assert!(fetch(&fetcher, &urls).iter().all(|fetched| fetched.result.is_ok()));
    assert_eq!(*waiting.0.lock().unwrap(), 0);
    assert_eq!(
        server
            .requests()
            .iter()
            .filter(|request| request.host() == "slow.test")
            .count(),
        21
    );
}

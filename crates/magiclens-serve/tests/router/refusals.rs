//! Every request that is refused: its status, and words that name what is wrong.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use magiclens_http::Hosts;
use magiclens_serve::Limits;
use serde_json::{Value, json};

use crate::house::{House, RED, form, get, limits, png, post, search};

async fn check(house: &House, request: Request<Body>, status: StatusCode, words: &str) {
    let what = format!("{} {}", request.method(), request.uri());
    let answer = house.send(request).await;
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains(words), "{what}: `{error}` does not contain `{words}`");
    assert!(!error.contains('\n') && !error.ends_with('.'), "{what}: {error}");
    assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{what}");
    assert!(
        answer
            .header(header::CONTENT_SECURITY_POLICY)
            .contains("default-src 'none'"),
        "{what}"
    );
}

#[tokio::test]
async fn fields_are_checked() {
    let house = House::new();
    let red = house.red.to_string();
    let rows: [(Value, &str); 10] = [
        (json!({}), "neither an image nor"),
        (json!({ "text": "   " }), "neither an image nor"),
        (json!({ "id": "../../etc/passwd" }), "`id` is not an id"),
        (json!({ "id": red, "k": 0 }), "`k` must be from 1 to 200"),
        (json!({ "id": red, "k": 201 }), "`k` must be from 1 to 200"),
        (json!({ "id": red, "k": -1 }), "`k` must be from 1 to 200"),
        (json!({ "id": red, "k": "many" }), "invalid type"),
        (json!({ "text": "x".repeat(2001) }), "`text` has 2001 characters"),
        (json!({ "text": "x", "paht": "" }), "unknown field `paht`"),
        (json!(["x"]), "cannot be read"),
    ];
    for (body, words) in rows {
        check(&house, search(body), StatusCode::BAD_REQUEST, words).await;
    }
    assert_eq!(
        house.search(json!({ "text": "é".repeat(2000) })).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn bodies_are_checked() {
    let house = House::new();
    let red = png(RED, 9, 9);
    let id = house.red.to_string();
    let bad = StatusCode::BAD_REQUEST;
    check(&house, post("application/json", "{".into()), bad, "cannot be read").await;
    check(
        &house,
        post("text/plain", "x".into()),
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "`text/plain`",
    )
    .await;
    check(&house, post("", "x".into()), StatusCode::UNSUPPORTED_MEDIA_TYPE, "``").await;
    check(&house, post("multipart/form-data", "x".into()), bad, "cannot be read").await;
    check(
        &house,
        post("multipart/form-data; boundary=edge", "--edge\r\nx".into()),
        bad,
        "cannot be read",
    )
    .await;
    check(
        &house,
        form(&[("id", &id)], Some(("a.png", &red))),
        bad,
        "`id` was given together with",
    )
    .await;
    check(
        &house,
        form(&[("text", "x"), ("colour", "red")], None),
        bad,
        "unknown field `colour`",
    )
    .await;
    check(
        &house,
        form(&[("text", "x"), ("k", "many")], None),
        bad,
        "`k` cannot be `many`",
    )
    .await;
    check(
        &house,
        form(&[("text", "x"), ("include_query", "2")], None),
        bad,
        "`include_query` cannot be `2`",
    )
    .await;
    check(&house, form(&[], None), bad, "neither an image nor").await;
    check(&house, form(&[], Some(("", b""))), bad, "neither an image nor").await;
}

#[tokio::test]
async fn a_file_that_is_no_image_is_named() {
    let house = House::new();
    let whole = png(RED, 9, 9);
    let cut = &whole[..whole.len() / 2];
    let bad = StatusCode::UNPROCESSABLE_ENTITY;
    let named = "cannot be used as an image";
    check(
        &house,
        form(&[], Some(("notes.txt", b"some words"))),
        bad,
        "`notes.txt` cannot be used",
    )
    .await;
    check(
        &house,
        form(&[], Some(("cut.png", cut))),
        bad,
        "`cut.png` cannot be used",
    )
    .await;
    check(&house, form(&[], Some(("empty.png", b""))), bad, "the file is empty").await;
    check(
        &house,
        form(&[], Some(("", b"some words"))),
        bad,
        "`the image` cannot be used",
    )
    .await;
    check(
        &house,
        form(&[], Some((&"long".repeat(200), b"some words"))),
        bad,
        named,
    )
    .await;
    check(
        &house,
        form(&[], Some(("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"))),
        bad,
        named,
    )
    .await;
    let answer = house.send(form(&[], Some(("notes.txt", b"some words")))).await;
    assert!(
        answer.json()["hint"].as_str().unwrap().contains("PNG"),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn sizes_are_bounded() {
    let house = House::new();
    let large = StatusCode::PAYLOAD_TOO_LARGE;
    check(
        &house,
        form(&[], Some(("wide.png", &png(RED, 101, 100)))),
        large,
        "101 x 100 pixels",
    )
    .await;
    check(
        &house,
        form(&[], Some(("huge.png", &[0; 200_000]))),
        large,
        "larger than 100000 bytes",
    )
    .await;
    // Without the header that announces it, as in a chunked upload.
    let mut chunked = form(&[], Some(("huge.png", &[0; 200_000])));
    chunked.headers_mut().remove(header::CONTENT_LENGTH);
    check(&house, chunked, large, "larger than 100000 bytes").await;
    let mut chunked = search(json!({ "text": "x".repeat(150_000) }));
    chunked.headers_mut().remove(header::CONTENT_LENGTH);
    check(&house, chunked, large, "larger than").await;
    check(
        &house,
        search(json!({ "text": "x".repeat(70_000) })),
        large,
        "larger than 65536 bytes",
    )
    .await;
}

#[tokio::test]
async fn only_ids_lead_to_images() {
    let house = House::new();
    fs_err::write(house.dir.path().join("secret.txt"), "secret").unwrap();
    let secret = house.dir.path().join("secret.txt");
    let escaped = secret.to_str().unwrap().replace('/', "%2f");
    for path in [
        "/api/images/..%2f..%2fsecret.txt/file",
        "/api/images/../../secret.txt/file",
        "/api/pictures/..%2f..%2fsecret.txt/file",
        "/api/images/%2e%2e/file",
        "/api/images/secret.txt",
        "/api/images/secret.txt/thumbnail",
        "/page/../src/lib.rs",
        "/page/..%2fsrc%2flib.rs",
        "/page/..%5csrc",
        "/page/",
        "/../../secret.txt",
        "/page/%00",
        "//etc/passwd",
    ] {
        let answer = house.get(path).await;
        assert!(
            [400, 404].contains(&answer.status.as_u16()),
            "{path}: {}",
            answer.status
        );
        assert!(answer.json()["error"].is_string(), "{path}");
    }
    let answer = house.get(&format!("/api/images/{escaped}/file")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.text().contains("\"secret\""));
    check(&house, get("/nothing"), StatusCode::NOT_FOUND, "`/nothing`").await;
    check(
        &house,
        get("/api/search"),
        StatusCode::METHOD_NOT_ALLOWED,
        "`/api/search`",
    )
    .await;
}

fn from(host: &str, origin: &str) -> Request<Body> {
    let mut request = search(json!({ "text": "red" }));
    let headers = request.headers_mut();
    match host {
        "" => _ = headers.remove(header::HOST),
        host => _ = headers.insert(header::HOST, host.parse().unwrap()),
    }
    if !origin.is_empty() {
        headers.insert(header::ORIGIN, origin.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn other_hosts_and_sites_are_refused() {
    let house = House::new();
    for (host, origin) in [
        ("localhost:7878", ""),
        ("LOCALHOST", ""),
        ("127.0.0.1:1", ""),
        ("[::1]:7878", ""),
        ("127.0.0.1:7878", "http://127.0.0.1:7878"),
        ("localhost:7878", "http://localhost:7878"),
    ] {
        assert_eq!(
            house.send(from(host, origin)).await.status,
            StatusCode::OK,
            "{host} {origin}"
        );
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:7878",
        "0.0.0.0",
        "a b",
        "[::2]",
        "",
    ] {
        check(
            &house,
            from(host, ""),
            StatusCode::FORBIDDEN,
            "does not answer to the host",
        )
        .await;
    }
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost:1",
        "http://127.0.0.1:7878.evil.example",
        "file://",
    ] {
        check(
            &house,
            from("127.0.0.1:7878", origin),
            StatusCode::FORBIDDEN,
            "from the site",
        )
        .await;
    }
    // A full address in the request line wins over the header.
    let request = Request::get("http://evil.example/healthz")
        .header(header::HOST, "localhost")
        .body(Body::empty());
    check(&house, request.unwrap(), StatusCode::FORBIDDEN, "`evil.example`").await;
}

#[tokio::test]
async fn a_server_for_others_answers_to_addresses_and_its_own_names_only() {
    let hosts = Hosts::for_address("0.0.0.0".parse().unwrap(), vec!["images.example".to_owned()]);
    let house = House::with(limits(), hosts);
    for (host, origin) in [
        ("images.example", "https://images.example"),
        ("Images.Example:7878", ""),
        ("192.168.1.4:7878", "http://192.168.1.4:7878"),
        ("[fe80::1]:7878", ""),
        ("localhost:7878", ""),
    ] {
        let answer = house.send(from(host, origin)).await;
        assert_eq!(answer.status, StatusCode::OK, "{host} {origin}");
    }
    // A rebound name of another site carries an Origin that agrees with it.
    for (host, origin) in [
        ("evil.example", "http://evil.example"),
        ("images.example.evil.example", ""),
        ("192.168.1.4.evil.example:7878", ""),
    ] {
        let refused = StatusCode::FORBIDDEN;
        check(&house, from(host, origin), refused, "does not answer to the host").await;
    }
    let other_site = from("images.example", "https://evil.example");
    check(&house, other_site, StatusCode::FORBIDDEN, "`https://evil.example`").await;

    let loopback = Hosts::for_address("::1".parse().unwrap(), Vec::new());
    let house = House::with(limits(), loopback);
    let refused = from("192.168.1.4:7878", "");
    check(&house, refused, StatusCode::FORBIDDEN, "`192.168.1.4:7878`").await;
}

#[tokio::test]
async fn a_full_house_refuses_at_once() {
    let house = House::with(
        Limits {
            max_searches: 2,
            ..limits()
        },
        Hosts::loopback(),
    );
    let waiting = async {
        tokio::join!(
            house.search(json!({ "text": "wait" })),
            house.search(json!({ "text": "red" }))
        )
    };
    let refused = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for request in [
            search(json!({ "text": "blue" })),
            form(&[], Some(("a.png", &[0; 50_000]))),
        ] {
            let answer = house.send(request).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.header(header::RETRY_AFTER), "1");
            assert!(answer.json()["error"].as_str().unwrap().contains("busy"));
        }
        assert_eq!(
            house.get("/api/info").await.status,
            StatusCode::OK,
            "the rest of the house is open"
        );
        house.gate.open();
    };
    let ((first, second), ()) = tokio::join!(waiting, refused);
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(
        house.search(json!({ "text": "blue" })).await.status,
        StatusCode::OK,
        "there is room again"
    );
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_given_up() {
    let house = House::with(
        Limits {
            timeout: Duration::from_millis(100),
            ..limits()
        },
        Hosts::loopback(),
    );
    let answer = house.search(json!({ "text": "wait" })).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
    house.gate.open();
    let answer = house.search(json!({ "text": "red" })).await;
    assert_eq!(answer.ids()[0], house.red);
}

#[tokio::test]
async fn work_keeps_its_place_when_its_request_is_given_up() {
    let tight = Limits {
        timeout: Duration::from_millis(100),
        max_searches: 1,
        ..limits()
    };
    let house = House::with(tight, Hosts::loopback());
    let given_up = house.search(json!({ "text": "wait" })).await;
    assert!(given_up.text().contains("took longer"), "{}", given_up.text());
    // The model is still at it, so there is no place for another search.
    let refused = house.search(json!({ "text": "red" })).await;
    assert!(refused.text().contains("busy"), "{}", refused.text());
    house.gate.open();
    let deadline = Instant::now() + Duration::from_secs(20);
    while house.search(json!({ "text": "red" })).await.status != StatusCode::OK {
        assert!(Instant::now() < deadline, "the place was not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn indexed_images_are_decoded_within_the_limits_of_the_service() {
    let small = Limits {
        max_pixels: 8 * 6 - 1,
        ..limits()
    };
    let house = House::with(small, Hosts::loopback());
    let by_instruction = search(json!({ "id": house.red, "text": "blue" }));
    check(&house, by_instruction, StatusCode::PAYLOAD_TOO_LARGE, "8 x 6 pixels").await;
    // By itself it is found by its stored vector.
    assert_eq!(house.search(json!({ "id": house.red })).await.status, StatusCode::OK);
}

//! The page's files: all there, of the right type, and nothing in them that the security policy would stop.

use axum::http::{StatusCode, header};

use crate::house::House;

/// What stands between `before` and the next quote.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(before)
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect()
}

#[tokio::test]
async fn every_file_that_the_page_names_is_served() {
    let house = House::new();
    let index = house.get("/").await;
    assert_eq!(index.status, StatusCode::OK);
    assert_eq!(index.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    let index = index.text();
    let mut wanted: Vec<String> = ["src=\"/page/", "href=\"/page/"]
        .iter()
        .flat_map(|before| quoted(&index, before))
        .map(|name| format!("/page/{name}"))
        .collect();
    let mut seen = 0;
    while seen < wanted.len() {
        let path = wanted[seen].clone();
        seen += 1;
        let answer = house.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let expected = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("no type is known for {other}"),
        };
        assert_eq!(answer.header(header::CONTENT_TYPE), expected);
        for import in quoted(&answer.text(), "from \"./") {
            let path = format!("/page/{import}");
            if !wanted.contains(&path) {
                wanted.push(path);
            }
        }
    }
    assert!(8 <= seen, "only {seen} files were found: {wanted:?}");
}

#[tokio::test]
async fn the_page_has_no_inline_code_and_calls_nobody_else() {
    let house = House::new();
    let index = house.get("/").await;
    for header in [
        "content-security-policy",
        "referrer-policy",
        "cross-origin-opener-policy",
    ] {
        assert!(!index.header(header).is_empty(), "{header}");
    }
    assert!(!index.header("content-security-policy").contains("unsafe"));
    let index = index.text();
    for inline in [
        "<style",
        " style=",
        " onclick=",
        " onload=",
        "javascript:",
        "http://",
        "https://",
    ] {
        assert!(!index.contains(inline), "the page contains `{inline}`");
    }
    assert_eq!(
        index.matches("<script").count(),
        index.matches("<script type=\"module\" src=").count()
    );
    for name in [
        "app.js",
        "api.js",
        "results.js",
        "details.js",
        "images.js",
        "indexing.js",
        "steps.js",
        "notice.js",
        "style.css",
    ] {
        let file = house.get(&format!("/page/{name}")).await.text();
        assert!(!file.contains("http://") && !file.contains("https://"), "{name}");
        assert!(
            !file.contains("innerHTML") && !file.contains("eval("),
            "{name} writes text as code"
        );
    }
}

//! Errors of object stores are told apart by status, whatever their messages say.

use std::io::Read;
use std::net::TcpListener;

use super::*;

/// The error of opening a bucket on a server that answers every request with this status and body.
fn refusal(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let head = format!(
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            // A client that went away needs no answer.
            let _ = stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice());
        }
    });
    let settings = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "reader"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ];
    Store::open_with("s3://bucket/run", &settings).unwrap_err().to_string()
}

#[test]
fn the_status_counts_and_not_the_words() {
    let no_bucket = refusal("404 Not Found", "");
    assert!(no_bucket.contains(": no such bucket: "), "{no_bucket}");
    let denied = refusal("403 Forbidden", "");
    assert!(denied.contains(": access is denied: "), "{denied}");
    for words in [
        "status code: 404 Not Found",
        "status code: 403 Forbidden",
        "see http://169.254.169.254/",
    ] {
        let other = refusal("400 Bad Request", words);
        assert!(other.contains(" cannot be reached: "), "{words}: {other}");
    }
}

//! The S3 protocol against a real server of it: `moto` (PyPI `moto[server]`), on loopback.

use std::io::Read;
use std::net::TcpStream;
use std::process::Child;

use super::*;

/// A server with no bucket; it ends with this.
struct Server {
    child: Child,
    host: String,
}

impl Server {
    fn start() -> Self {
        let python = std::env::var("MAGICLENS_PYTHON").expect(
            "`MAGICLENS_PYTHON` is not set: it names a Python with the package `moto[server]`; `scripts/test` makes one",
        );
        let mut child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(std::io::Result::ok);
        let mut said = Vec::new();
        let host = lines.by_ref().find_map(|line| {
            let host = line
                .split_once("Running on http://")
                .map(|(_, host)| host.trim().to_owned());
            said.push(line);
            host
        });
        // It writes a line for each request, and would stop if nobody read them.
        std::thread::spawn(move || lines.for_each(drop));
        let host = host.unwrap_or_else(|| panic!("moto did not start:\n{}", said.join("\n")));
        Self { child, host }
    }

    /// A request without a signature, as the server's owner may send it; the whole answer.
    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let (host, length) = (&self.host, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn make_bucket(&self) {
        let answer = self.request("PUT", "/bucket", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn open(&self, address: &str) -> Result<Store> {
        let endpoint = format!("http://{}", self.host);
        Store::open_with(address, &settings(&endpoint))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn settings(endpoint: &str) -> [(&str, &str); 5] {
    [
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "reader"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ]
}

/// Bytes that no part shares with another.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes as u64 / 8)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect()
}

#[test]
fn an_object_store_keeps_the_promises() {
    let server = Server::start();
    server.make_bucket();
    let store = server.open("s3://bucket/runs/a b/").unwrap();
    assert_eq!(store.address(), "s3://bucket/runs/a%20b");
    check_promises(&store);
    check_one_winner(&store);

    // Neighbors with the same beginning are not in it; nor are other tools' folder marks.
    let other = server.open("s3://bucket/runs/a b c").unwrap();
    assert!(other.list("pages").unwrap().is_empty());
    server.request("PUT", "/bucket/runs/a%20b/empty/", "");
    assert!(store.list("empty").unwrap().is_empty());

    // Large enough for three parts, and appears whole.
    let content = pattern(20_000_000);
    let mut file = store.create("pages/large").unwrap();
    file.write_all(&content).unwrap();
    assert!(!store.exists("pages/large").unwrap());
    let temporary = file.path().to_owned();
    file.publish().unwrap();
    assert!(!temporary.exists());
    let answer = server.request("HEAD", "/bucket/runs/a%20b/pages/large", "");
    assert!(
        answer.contains("-3\""),
        "the tag of an object of three parts ends so: {answer}"
    );
    let local = store.local("pages/large").unwrap();
    assert!(fs_err::read(local.path()).unwrap() == content);
    let copy = local.path().to_owned();
    drop(local);
    assert!(!copy.exists());

    let endpoint = format!("http://{}", server.host);
    let input = fetch_with("s3://bucket/runs/a%20b/pages/large", &settings(&endpoint)).unwrap();
    assert!(fs_err::read(input.path()).unwrap() == content);
    let missing = fetch_with("s3://bucket/none.warc.gz", &settings(&endpoint)).unwrap_err();
    let start = "`s3://bucket/none.warc.gz` does not exist";
    assert!(missing.to_string().starts_with(start), "{missing}");

    // Far more than one answer of the server lists.
    (0..1_050_u32)
        .into_par_iter()
        .for_each(|n| store.write(&format!("many/{n:04}"), b"").unwrap());
    let names: Vec<_> = (0..1_050).map(|n| format!("many/{n:04}")).collect();
    assert_eq!(store.list("many").unwrap(), names);
}

#[test]
fn any_thread_may_use_an_object_store() {
    let server = Server::start();
    server.make_bucket();
    let store = server.open("s3://bucket").unwrap();
    (0..16_u8)
        .into_par_iter()
        .for_each(|n| store.write(&n.to_string(), &[n]).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { assert_eq!(store.read("7").unwrap(), [7]) });
}

#[test]
fn an_object_store_that_refuses_is_named_with_the_way_out() {
    #[track_caller]
    fn check(opened: Result<Store>, parts: &[&str]) {
        let message = opened.map(|_| ()).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
    let server = Server::start();
    check(
        server.open("s3://bucket/run"),
        &[
            "`s3://bucket/run` cannot be opened: no such bucket",
            "hint: make the bucket first",
            "`AWS_ENDPOINT`",
        ],
    );
    server.make_bucket();
    server.open("s3://bucket/run").unwrap();
    // From now on the server knows its users, of whom there are none.
    server.request("POST", "/moto-api/reset-auth", "0");
    check(
        server.open("s3://bucket/run"),
        &[
            "`s3://bucket/run`: access is denied",
            "InvalidAccessKeyId",
            "hint: check `AWS_ACCESS_KEY_ID`",
        ],
    );
    let endpoint = format!("http://{}", server.host);
    drop(server);
    check(
        Store::open_with("s3://bucket/run", &settings(&endpoint)),
        &[
            "`s3://bucket/run` cannot be reached",
            "hint: check the network and `AWS_ENDPOINT`",
        ],
    );
    let without = |variable: &str| {
        let all = settings(&endpoint);
        let some: Vec<_> = all.into_iter().filter(|(name, _)| *name != variable).collect();
        Store::open_with("s3://bucket/run", &some)
    };
    check(
        without("AWS_ALLOW_HTTP"),
        &["`s3://bucket/run` cannot be reached", "needs `AWS_ALLOW_HTTP=true`"],
    );
    check(
        without("AWS_ACCESS_KEY_ID"),
        &["`s3://bucket/run`", "hint: ", "`AWS_ACCESS_KEY_ID`"],
    );
}

//! A hub on 127.0.0.1 that speaks the protocol of the real one, and misbehaves where it is told to.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::Digest as _;

/// The one repository's id.
pub const REPOSITORY: &str = "some/model";
/// The commit of its branch `main`.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The content breaks off after so many bytes, as often as is left in the count.
    BreaksOff(usize),
    /// States a size that is larger by one.
    LiesAboutSize,
    /// Gives other bytes than the hash is of.
    AltersBytes,
    /// Answers 429 with `Retry-After: 0`.
    Throttles,
    /// Answers 503.
    Fails,
    /// Ignores `Range` and gives the whole file.
    IgnoresRange,
    /// Gives so many bytes, then waits for [`FakeHub::release`].
    Stalls(usize),
    /// Answers 401 with `GatedRepo`.
    Gates,
}

/// A running hub; ends with the value.
pub struct FakeHub {
    address: String,
    state: Arc<State>,
}

struct State {
    files: Vec<(String, Vec<u8>)>,
    /// Faults and the number of answers that still have them.
    faults: Mutex<HashMap<Fault, usize>>,
    requests: Mutex<Vec<String>>,
    released: AtomicBool,
    stopped: AtomicBool,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

impl FakeHub {
    /// Serves these files. Those named `*.safetensors`, `*.bin` and `*.pkl` are stored as large files are: behind a redirect.
    pub fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            files: files
                .iter()
                .map(|(name, content)| ((*name).to_owned(), content.clone()))
                .collect(),
            faults: Mutex::default(),
            requests: Mutex::default(),
            released: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, state) = (stream.unwrap(), Arc::clone(&shared));
                std::thread::spawn(move || _ = state.answer(&stream));
            }
        });
        Self { address, state }
    }

    /// Base address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Misbehaves in the next `times` answers that it concerns.
    pub fn fault(&self, fault: Fault, times: usize) {
        self.state.faults.lock().unwrap().insert(fault, times);
    }

    /// Lets a stalled answer go on.
    pub fn release(&self) {
        self.state.released.store(true, Ordering::SeqCst);
    }

    /// Requests so far: method, path, `Range`, and whether they bore a token.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Number of requests that contain a text.
    pub fn count(&self, text: &str) -> usize {
        self.requests().iter().filter(|request| request.contains(text)).count()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.release();
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        _ = TcpStream::connect(self.address.trim_start_matches("http://"));
    }
}

impl State {
    fn has(&self, fault: Fault) -> bool {
        let mut faults = self.faults.lock().unwrap();
        match faults.get_mut(&fault) {
            Some(times) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    /// The bytes that a fault of a kind counts.
    fn bytes_of(&self, kind: impl Fn(Fault) -> Option<usize>) -> Option<usize> {
        let wanted = {
            let faults = self.faults.lock().unwrap();
            let found = faults
                .iter()
                .find(|(fault, times)| **times > 0 && kind(**fault).is_some());
            found.map(|(fault, _)| *fault)
        };
        let fault = wanted.filter(|fault| self.has(*fault))?;
        kind(fault)
    }

    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(request) = read_request(&mut reader)? else {
            return Ok(());
        };
        self.requests.lock().unwrap().push(format!(
            "{} {} {}{}",
            request.method,
            request.path,
            request.headers.get("range").map_or("", String::as_str),
            request.headers.get("authorization").map_or("", |_| " with token"),
        ));
        let busy = [
            (Fault::Throttles, "429 Too Many Requests"),
            (Fault::Fails, "503 Service Unavailable"),
        ];
        for (fault, status) in busy {
            if self.has(fault) {
                return reply(stream, status, &[("Retry-After", "0".into())], b"");
            }
        }
        if self.has(Fault::Gates) {
            return reply(stream, "401 Unauthorized", &[("X-Error-Code", "GatedRepo".into())], b"");
        }
        self.route(stream, &request)
    }

    fn route(&self, stream: &TcpStream, request: &Request) -> std::io::Result<()> {
        let path = request.path.split('?').next().unwrap();
        if let Some(revision) = path.strip_prefix(&format!("/api/models/{REPOSITORY}/revision/")) {
            return self.info(stream, revision);
        }
        if path.starts_with(&format!("/api/models/{REPOSITORY}/tree/")) {
            return self.tree(stream);
        }
        if path == format!("/api/models/{REPOSITORY}") {
            return self.info(stream, "main");
        }
        if let Some(rest) = path.strip_prefix(&format!("/{REPOSITORY}/resolve/")) {
            return self.resolve(stream, request, rest);
        }
        for (start, is_bucket) in [("/content/", false), ("/magiclens/models/", true)] {
            if let Some((_, content)) = path.strip_prefix(start).and_then(|name| self.file(name)) {
                return match (request.method.as_str(), is_bucket) {
                    ("HEAD", true) => head(stream, content.len()),
                    _ => self.content(stream, request, content),
                };
            }
        }
        let code = if path.starts_with("/api/models/") {
            "RepoNotFound"
        } else {
            "EntryNotFound"
        };
        let status = if code == "RepoNotFound" {
            "401 Unauthorized"
        } else {
            "404 Not Found"
        };
        reply(stream, status, &[("X-Error-Code", code.into())], b"")
    }

    fn file(&self, name: &str) -> Option<&(String, Vec<u8>)> {
        self.files.iter().find(|(file, _)| file == name)
    }

    fn info(&self, stream: &TcpStream, revision: &str) -> std::io::Result<()> {
        if ![COMMIT, "main", "refs%2Fpr%2F1"].contains(&revision) {
            return reply(
                stream,
                "404 Not Found",
                &[("X-Error-Code", "RevisionNotFound".into())],
                b"",
            );
        }
        let siblings: Vec<String> = self
            .files
            .iter()
            .map(|(name, _)| format!("{{\"rfilename\": \"{name}\"}}"))
            .collect();
        let body = format!(
            "{{\"id\": \"{REPOSITORY}\", \"modelId\": \"{REPOSITORY}\", \"sha\": \"{COMMIT}\", \"private\": false, \
             \"tags\": [], \"downloads\": 0, \"likes\": 0, \"siblings\": [{}]}}",
            siblings.join(", ")
        );
        reply(
            stream,
            "200 OK",
            &[("Content-Type", "application/json".into())],
            body.as_bytes(),
        )
    }

    /// The files with their sizes and hashes, which the Python client asks for.
    fn tree(&self, stream: &TcpStream) -> std::io::Result<()> {
        let entry = |(name, content): &(String, Vec<u8>)| {
            let (size, oid) = (content.len(), git_hash(content));
            let lfs = match is_large(name) {
                true => format!(
                    ", \"lfs\": {{\"oid\": \"{}\", \"size\": {size}, \"pointerSize\": 134}}",
                    sha256(content)
                ),
                false => String::new(),
            };
            format!("{{\"type\": \"file\", \"path\": \"{name}\", \"size\": {size}, \"oid\": \"{oid}\"{lfs}}}")
        };
        let entries: Vec<String> = self.files.iter().map(entry).collect();
        let body = format!("[{}]", entries.join(", "));
        reply(
            stream,
            "200 OK",
            &[("Content-Type", "application/json".into())],
            body.as_bytes(),
        )
    }

    /// `COMMIT/FILE`, or `main/FILE`. The content of a large file lies on another host, as with the real hub.
    fn resolve(&self, stream: &TcpStream, request: &Request, rest: &str) -> std::io::Result<()> {
        let file = rest.split_once('/').and_then(|(_, name)| self.file(name));
        let Some((name, content)) = file else {
            let headers = [
                ("X-Error-Code", "EntryNotFound".into()),
                ("X-Repo-Commit", COMMIT.into()),
            ];
            return reply(stream, "404 Not Found", &headers, b"");
        };
        let is_large = is_large(name);
        let mut size = content.len();
        if is_large && request.method == "HEAD" && self.has(Fault::LiesAboutSize) {
            size += 1;
        }
        let commit = ("X-Repo-Commit", COMMIT.to_owned());
        match (is_large, request.method.as_str()) {
            (true, _) => {
                let headers = [
                    commit,
                    ("X-Linked-Etag", format!("\"{}\"", sha256(content))),
                    ("X-Linked-Size", size.to_string()),
                    (
                        "Location",
                        format!("http://localhost:{}/content/{name}", stream.local_addr()?.port()),
                    ),
                ];
                reply(stream, "302 Found", &headers, b"")
            }
            (false, "HEAD") => {
                let etag = ("ETag", format!("\"{}\"", git_hash(content)));
                head_with(stream, size, &[commit, etag])
            }
            (false, _) => self.content(stream, request, content),
        }
    }

    fn content(&self, mut stream: &TcpStream, request: &Request, content: &[u8]) -> std::io::Result<()> {
        let mut content = content.to_owned();
        if self.has(Fault::AltersBytes) {
            content[0] ^= 1;
        }
        let range = request.headers.get("range").filter(|_| !self.has(Fault::IgnoresRange));
        let start = range.and_then(|range| {
            range
                .trim_start_matches("bytes=")
                .split('-')
                .next()?
                .parse::<usize>()
                .ok()
        });
        let from = start.unwrap_or(0).min(content.len());
        let part = &content[from..];
        let (status, range) = match start {
            Some(_) => {
                let range = format!(
                    "Content-Range: bytes {from}-{}/{}\r\n",
                    content.len() - 1,
                    content.len()
                );
                ("206 Partial Content", range)
            }
            None => ("200 OK", String::new()),
        };
        let length = part.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{range}Connection: close\r\n\r\n"
        )?;
        if let Some(bytes) = self.bytes_of(|fault| {
            if let Fault::BreaksOff(bytes) = fault {
                Some(bytes)
            } else {
                None
            }
        }) {
            return stream.write_all(&part[..bytes.min(length)]);
        }
        if let Some(bytes) = self.bytes_of(|fault| {
            if let Fault::Stalls(bytes) = fault {
                Some(bytes)
            } else {
                None
            }
        }) {
            stream.write_all(&part[..bytes.min(length)])?;
            stream.flush()?;
            while !self.released.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
            return stream.write_all(&part[bytes.min(length)..]);
        }
        stream.write_all(part)
    }
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => _ = headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => return Ok(Some(Request { method, path, headers })),
        }
    }
}

fn reply(mut stream: &TcpStream, status: &str, headers: &[(&str, String)], body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    )?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(body)
}

fn head(stream: &TcpStream, size: usize) -> std::io::Result<()> {
    head_with(stream, size, &[])
}

fn head_with(mut stream: &TcpStream, size: usize, headers: &[(&str, String)]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n"
    )?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".pkl"].iter().any(|end| name.ends_with(end))
}

/// The ETag of a small file.
pub fn git_hash(content: &[u8]) -> String {
    let mut hasher = sha1::Sha1::new_with_prefix(format!("blob {}\0", content.len()));
    hasher.update(content);
    hex(&hasher.finalize())
}

/// The ETag of a large file.
pub fn sha256(content: &[u8]) -> String {
    hex(&sha2::Sha256::digest(content))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

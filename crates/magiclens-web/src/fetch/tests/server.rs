//! A server on loopback that answers byte by byte as a test says, and a name service beside it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::fetch::address::PublicOnly;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) at: Instant,
    /// Path and query.
    pub(super) path: String,
    /// Header lines, in lower case.
    pub(super) headers: Vec<String>,
}

impl Request {
    /// The `Host` without its port.
    pub(super) fn host(&self) -> &str {
        let host = self
            .headers
            .iter()
            .find_map(|line| line.strip_prefix("host: "))
            .unwrap();
        host.split(':').next().unwrap()
    }
}

pub(super) struct Server {
    pub(super) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request on a thread of its own; the connection ends when `answer` does.
    pub(super) fn start(answer: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, shared) = (Arc::new(answer), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, requests) = (answer.clone(), shared.clone());
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if let Some(request) = read(&stream) {
                        requests.lock().unwrap().push(request.clone());
                        // The client may well have gone.
                        let _ = answer(&request, &mut stream);
                    }
                });
            }
        });
        Self { port, requests }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn url_at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }

    /// Number of requests for a path.
    pub(super) fn count(&self, path: &str) -> usize {
        self.paths().iter().filter(|asked| *asked == path).count()
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let at = Instant::now();
    let path = first.split(' ').nth(1)?.to_owned();
    let headers = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .map(|line| line.to_lowercase())
        .collect();
    Some(Request { at, path, headers })
}

/// The start of a PNG file: enough to be taken for an image.
pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";

/// Sends a whole answer. `headers` are lines that end with `\r\n`.
pub(super) fn send(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

pub(super) fn send_png(stream: &mut TcpStream) -> io::Result<()> {
    send(stream, 200, "content-type: image/png\r\n", PNG)
}

/// Sends one piece again and again until the client has gone.
pub(super) fn send_forever(stream: &mut TcpStream, piece: &[u8], pause: Duration) -> io::Result<()> {
    loop {
        stream.write_all(piece)?;
        thread::sleep(pause);
    }
}

/// Names under `.test` are on loopback; what others resolve to, one answer after the other, is checked as for real.
pub(super) struct Names(Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>);

impl Names {
    pub(super) fn new(names: &[(&str, &[&[&str]])]) -> Self {
        let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let names = names
            .iter()
            .map(|(name, answers)| ((*name).to_owned(), answers.iter().map(parse).collect()));
        Self(Mutex::new(names.collect()))
    }
}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        if name.as_str().ends_with(".test") {
            return answer(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
        }
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(name.as_str()).filter(|answers| !answers.is_empty());
        let ips = answers.map(|answers| answers.remove(0)).unwrap_or_default();
        PublicOnly(Arc::new(Fixed(ips))).resolve(name)
    }
}

struct Fixed(Vec<IpAddr>);

impl Resolve for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        answer(self.0.clone())
    }
}

fn answer(ips: Vec<IpAddr>) -> Resolving {
    Box::pin(async move {
        if ips.is_empty() {
            return Err(io::Error::other("no such name").into());
        }
        Ok(Box::new(ips.into_iter().map(|ip| SocketAddr::new(ip, 0))) as Addrs)
    })
}

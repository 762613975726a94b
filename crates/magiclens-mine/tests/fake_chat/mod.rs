//! A chat server for tests: a real HTTP server on loopback that answers from recorded replies, and can be slow, wrong, busy,
//! broken or endless. It speaks HTTP/1.1 by hand, since no HTTP library agrees to break it.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// The recorded replies, by file name without `.json`.
pub fn recorded(name: &str) -> &'static str {
    macro_rules! recorded {
        ($($name:literal),+ $(,)?) => {
            match name {
                $($name => include_str!(concat!("../../../../fixtures/mining/chat/", $name, ".json")),)+
                _ => panic!("no recorded reply `{name}`"),
            }
        };
    }
    recorded!(
        "vllm-instruct",
        "llama-server-instruct",
        "ollama-instruct",
        "vllm-caption",
        "llama-server-caption",
        "ollama-caption",
        "vllm-cut-off",
        "vllm-error-context",
        "vllm-error-model",
        "llama-server-error-context",
        "llama-server-error-loading",
        "llama-server-error-key",
        "llama-server-error-picture",
        "ollama-error-model",
    )
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its body.
    pub body: Value,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// How often this very body came before.
    pub repeats: usize,
    /// How many requests came before.
    pub number: usize,
}

impl Asked {
    /// The words of the last message.
    pub fn question(&self) -> String {
        let content = &self.body["messages"]
            .as_array()
            .and_then(|messages| messages.last())
            .expect("a message")["content"];
        match content {
            Value::String(text) => text.clone(),
            parts => parts[0]["text"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Whether an image is shown.
    pub fn shows_a_image(&self) -> bool {
        self.body.to_string().contains("\"image_url\"")
    }
}

/// What the server does.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A recorded reply, with 200.
    Recorded(&'static str),
    /// A recorded reply with another status.
    RecordedError(u16, &'static str),
    /// A completion with this text.
    Says(String),
    /// Any status and body.
    Raw(u16, String),
    /// 429 with `Retry-After`.
    Busy(&'static str),
    /// Another answer, later.
    Slow(Duration, Box<Answer>),
    /// 200 and bytes without end.
    Endless,
    /// A redirect to this address.
    Redirect(&'static str),
    /// The connection breaks in the middle of the body.
    HangsUp,
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    /// Requests in flight, now and at most.
    in_flight: Mutex<(usize, usize)>,
    is_stopped: AtomicBool,
}

/// The server. It takes no more connections once dropped.
pub struct FakeChat {
    address: SocketAddr,
    base_url: String,
    shared: Arc<Shared>,
}

impl FakeChat {
    /// Starts a server that answers by a script.
    pub fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: Mutex::default(),
            in_flight: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if served.is_stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (Ok(connection), served) = (connection, Arc::clone(&served)) else {
                    continue;
                };
                // An error is the client's going away.
                thread::spawn(move || serve(&connection, &served));
            }
        });
        Self {
            address,
            base_url: format!("http://{address}/v1"),
            shared,
        }
    }

    /// A server that knows both prompts: captions for images, instructions for pairs.
    pub fn helpful() -> Self {
        Self::start(|asked| {
            Answer::Recorded(if asked.shows_a_image() {
                "vllm-caption"
            } else {
                "vllm-instruct"
            })
        })
    }

    /// What a configuration names as `base_url`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// All requests so far, in the order of their coming.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The most requests that were in flight at once.
    pub fn most_in_flight(&self) -> usize {
        self.shared.in_flight.lock().unwrap().1
    }
}

impl Drop for FakeChat {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// The requests of one connection, until either side ends it.
fn serve(mut connection: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    while let Some(request) = read_request(&mut reader)? {
        if request.path != "/v1/chat/completions" {
            write!(
                connection,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 21\r\n\r\n{{\"detail\":\"Not Found\"}}"
            )?;
            continue;
        }
        {
            let mut in_flight = shared.in_flight.lock().unwrap();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
        }
        let asked = {
            let mut all = shared.asked.lock().unwrap();
            let asked = Asked {
                authorization: request.authorization,
                repeats: all.iter().filter(|earlier| earlier.body == request.body).count(),
                number: all.len(),
                body: request.body,
            };
            all.push(asked.clone());
            asked
        };
        let mut answer = (shared.script)(&asked);
        while let Answer::Slow(delay, later) = answer {
            thread::sleep(delay);
            answer = *later;
        }
        shared.in_flight.lock().unwrap().0 -= 1;
        if !write_answer(connection, answer)? {
            return connection.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

struct Request {
    path: String,
    authorization: Option<String>,
    body: Value,
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).expect("requests are JSON");
    Ok(Some(Request {
        path,
        authorization,
        body,
    }))
}

/// False if the connection is at its end.
fn write_answer(mut connection: &TcpStream, answer: Answer) -> io::Result<bool> {
    let (status, body, header) = match answer {
        Answer::Recorded(name) => (200, recorded(name).to_owned(), String::new()),
        Answer::RecordedError(status, name) => (status, recorded(name).to_owned(), String::new()),
        Answer::Says(text) => (200, completion(&text).to_string(), String::new()),
        Answer::Raw(status, body) => (status, body, String::new()),
        Answer::Busy(seconds) => {
            let body = r#"{"error":{"message":"Rate limit reached","code":429}}"#;
            (429, body.to_owned(), format!("Retry-After: {seconds}\r\n"))
        }
        Answer::Redirect(address) => (307, String::new(), format!("Location: {address}\r\n")),
        Answer::Endless => {
            connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = [b"1000\r\n", &[b' '; 0x1000][..], b"\r\n"].concat();
            loop {
                connection.write_all(&chunk)?;
            }
        }
        Answer::HangsUp => {
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\":[{")?;
            return Ok(false);
        }
        Answer::Slow(..) => unreachable!("waited for before"),
    };
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{header}Content-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())?;
    Ok(true)
}

/// The least that the protocol wants around a text.
pub fn completion(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_763_200_000, "model": "test-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    })
}

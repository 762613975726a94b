//! A headless Chromium, driven over WebDriver: JSON over HTTP.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long the page may take to get somewhere. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);

const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

pub const TAB: char = '\u{E004}';
pub const ENTER: char = '\u{E007}';
pub const ESCAPE: char = '\u{E00C}';
pub const LEFT: char = '\u{E012}';
pub const RIGHT: char = '\u{E014}';
pub const DOWN: char = '\u{E015}';

/// A program that ends with this value, by its own id.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Starts `command` and returns what follows `mark` on its standard output.
pub fn start(command: &mut Command, mark: &str) -> (Running, String) {
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut running = Running(spawned.unwrap_or_else(|error| {
        panic!("cannot start `{name}`: {error}\nhint: install it, on Debian with `apt-get install chromium chromium-driver`")
    }));
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let found = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| line.split_once(mark).map(|(_, rest)| rest.to_owned()));
    let found = found.unwrap_or_else(|| panic!("`{name}` ended without printing `{mark}`"));
    // Someone has to read on, or the program stops at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (running, found)
}

/// One window with a fresh profile. Closed with this value.
pub struct Browser {
    driver: Driver,
    session: String,
    _chromedriver: Running,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium, too; without an answer the driver's end does it.
        _ = self
            .driver
            .request("DELETE", &format!("/session/{}", self.session), &Value::Null);
    }
}

impl Browser {
    pub fn open() -> Self {
        let (chromedriver, port) = start(
            Command::new("chromedriver").arg("--port=0"),
            "started successfully on port ",
        );
        let driver = Driver::new(port.trim_end_matches('.'));
        let profile = TempDir::new().unwrap();
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        flags.push("--window-size=1280,900".to_owned());
        let options = json!({
            "goog:chromeOptions": { "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let answer = driver.request(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": options } }),
        );
        let answer = answer.unwrap_or_else(|error| {
            panic!("Chromium did not start: {error}\nhint: on Debian, `apt-get install chromium chromium-driver`")
        });
        let session = answer["sessionId"].as_str().unwrap().to_owned();
        Self {
            driver,
            session,
            _chromedriver: chromedriver,
            _profile: profile,
        }
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.driver
            .request(method, &path, body)
            .unwrap_or_else(|error| panic!("{method} {path} {body}: {error}"))
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, params: Value) -> Value {
        self.command(
            "POST",
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": params }),
        )
    }

    pub fn goto(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    pub fn back(&self) {
        self.command("POST", "/back", &json!({}));
    }

    pub fn forward(&self) {
        self.command("POST", "/forward", &json!({}));
    }

    pub fn reload(&self) {
        self.command("POST", "/refresh", &json!({}));
    }

    /// The value of a JavaScript expression.
    pub fn eval(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"))
    }

    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a JavaScript expression is true.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let started = Instant::now();
        while self.eval(&format!("Boolean({expression})")) != json!(true) {
            if PATIENCE < started.elapsed() {
                panic!(
                    "the page did not get to `{expression}`\naddress: {}\ntext: {}\nconsole: {:?}",
                    self.eval("location.href"),
                    self.eval("document.body.innerText.slice(0, 1500)"),
                    self.console(),
                );
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    }

    fn element(&self, selector: &str) -> String {
        let found = self.command(
            "POST",
            "/element",
            &json!({ "using": "css selector", "value": selector }),
        );
        let found = found.as_object().unwrap().values().next().unwrap();
        found.as_str().unwrap().to_owned()
    }

    /// A real click of the mouse.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.command("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Two real clicks, as quick as they come.
    pub fn double_click(&self, selector: &str) {
        let element = json!({ "element-6066-11e4-a52e-4f735466cecf": self.element(selector) });
        let mut steps = vec![json!({ "type": "pointerMove", "origin": element, "x": 0, "y": 0 })];
        for _ in 0..2 {
            steps.extend(["pointerDown", "pointerUp"].map(|kind| json!({ "type": kind, "button": 0 })));
        }
        self.command(
            "POST",
            "/actions",
            &json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": steps }] }),
        );
    }

    /// Real key strokes into an element; a path, into a file input.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.command("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    pub fn choose_file(&self, path: &Path) {
        self.type_into("#file", path.to_str().unwrap());
    }

    /// Real key strokes, wherever the focus is.
    pub fn press(&self, keys: &[char]) {
        let strokes: Vec<Value> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
            .collect();
        self.command(
            "POST",
            "/actions",
            &json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }),
        );
    }

    /// What the console said since the last call: messages of level "severe" only.
    pub fn console(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        let severe = entries
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["level"] == "SEVERE");
        severe
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The size of the page's viewport, as on another device.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// What the system prefers, for example `prefers-color-scheme`, `dark`.
    pub fn prefer(&self, feature: &str, value: &str) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": feature, "value": value }] }),
        );
    }
}

/// The way to chromedriver.
struct Driver {
    address: String,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Driver {
    fn new(port: &str) -> Self {
        // The client wants a TLS provider to be named, though nothing here leaves the machine.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            address: format!("http://127.0.0.1:{port}"),
            client: client.build().unwrap(),
            runtime: runtime.unwrap(),
        }
    }

    /// One exchange with the driver: its `value`, or its error.
    fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.address));
        if !body.is_null() {
            request = request.json(body);
        }
        let exchange = async { request.send().await?.json::<Value>().await };
        let answer = self
            .runtime
            .block_on(exchange)
            .map_err(|error| format!("no answer from chromedriver: {error}"))?;
        let value = &answer["value"];
        match value["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", value["message"].as_str().unwrap_or_default())),
            None => Ok(value.clone()),
        }
    }
}

//! A headless Chromium for the tests of the pages, driven over WebDriver.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::error::WebDriverResult;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, WebDriver, WebElement};
use tokio::runtime::Runtime;

/// How long the page may take to get somewhere. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
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
    driver: Option<WebDriver>,
    runtime: Runtime,
    _chromedriver: Running,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium, too; without an answer the driver's end does it.
        if let Some(driver) = self.driver.take() {
            _ = self.runtime.block_on(driver.quit());
        }
    }
}

impl Browser {
    pub fn open() -> Self {
        let (chromedriver, port) = start(
            Command::new("chromedriver").arg("--port=0"),
            "started successfully on port ",
        );
        let port = port.trim_end_matches('.');
        let profile = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let driver = runtime.block_on(WebDriver::new(
            format!("http://127.0.0.1:{port}"),
            capabilities(profile.path()),
        ));
        let driver = driver.unwrap_or_else(|error| {
            panic!("Chromium did not start: {error}\nhint: on Debian, `apt-get install chromium chromium-driver`")
        });
        Self {
            driver: Some(driver),
            runtime,
            _chromedriver: chromedriver,
            _profile: profile,
        }
    }

    fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("it is taken only when this value goes")
    }

    #[track_caller]
    fn wait<T>(&self, command: impl Future<Output = WebDriverResult<T>>) -> T {
        let done = self.runtime.block_on(command);
        done.unwrap_or_else(|error| panic!("the browser refused: {error}"))
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, params: Value) -> Value {
        self.wait(self.driver().cdp().send_raw(command, params))
    }

    pub fn goto(&self, url: &str) {
        self.wait(self.driver().goto(url));
    }

    pub fn back(&self) {
        self.wait(self.driver().back());
    }

    pub fn forward(&self) {
        self.wait(self.driver().forward());
    }

    pub fn reload(&self) {
        self.wait(self.driver().refresh());
    }

    /// The value of a JavaScript expression.
    pub fn eval(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"))
    }

    pub fn run(&self, script: &str) -> Value {
        self.wait(self.driver().execute(script, Vec::new())).json().clone()
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

    fn element(&self, selector: &str) -> WebElement {
        self.wait(self.driver().find(By::Css(selector)))
    }

    /// A real click of the mouse.
    pub fn click(&self, selector: &str) {
        self.wait(self.element(selector).click());
    }

    /// Two real clicks, as quick as they come.
    pub fn double_click(&self, selector: &str) {
        let element = self.element(selector);
        let driver = self.driver();
        self.wait(
            driver
                .action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO))
                .double_click_element(&element)
                .perform(),
        );
    }

    /// Real key strokes into an element; a path, into a file input.
    pub fn type_into(&self, selector: &str, text: &str) {
        self.wait(self.element(selector).send_keys(text));
    }

    pub fn choose_file(&self, path: &Path) {
        self.type_into("#file", path.to_str().unwrap());
    }

    /// Real key strokes, wherever the focus is.
    pub fn press(&self, keys: &[char]) {
        let chain = self
            .driver()
            .action_chain_with_delay(Some(Duration::ZERO), Some(Duration::ZERO));
        let chain = keys.iter().fold(chain, |chain, key| chain.key_down(*key).key_up(*key));
        self.wait(chain.perform());
    }

    /// What the console said since the last call: messages of level "severe" only.
    pub fn console(&self) -> Vec<String> {
        let entries = self.wait(self.driver().get_log("browser"));
        let severe = entries.into_iter().filter(|entry| entry.level == "SEVERE");
        severe.map(|entry| entry.message).collect()
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

fn capabilities(profile: &Path) -> thirtyfour::ChromeCapabilities {
    let mut capabilities = DesiredCapabilities::chrome();
    let profile = format!("--user-data-dir={}", profile.display());
    for flag in FLAGS.into_iter().chain([profile.as_str()]) {
        capabilities.add_arg(flag).unwrap();
    }
    capabilities
        .set_logging_prefs("browser", LoggingPrefsLogLevel::All)
        .unwrap();
    capabilities
}

//! A headless Chromium, driven over its DevTools protocol: opens a page, evaluates expressions in it, moves the mouse,
//! and collects whatever the console, the page's errors and the network had to say. No more of the protocol than that.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Longest wait for anything; a page takes a second.
const PATIENCE: Duration = Duration::from_secs(60);
const FLAGS: [&str; 13] = [
    "--headless",
    // Tests run in containers as root, where the sandbox does not start; the pages are our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-default-apps",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
];

pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    /// Session of the only tab.
    session: String,
    last_id: u64,
    /// What the page wrote to the console, threw, or had blocked.
    pub complaints: Vec<String>,
    /// Addresses that the page asked for.
    pub requests: Vec<String>,
    loaded: bool,
    _profile: TempDir,
}

impl Browser {
    /// # Panics
    /// Without a browser: a report that was not looked at in one is not tested.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let spawn = |name: &&str| {
            let mut command = Command::new(name);
            command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display()));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok()
        };
        let mut process = NAMES.iter().find_map(spawn).unwrap_or_else(|| {
            panic!(
                "none of {NAMES:?} is on the path, so reports cannot be tested; scripts/setup-browser installs Chromium"
            )
        });
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        let address = lines.by_ref().find_map(|line| {
            said += &format!("{line}\n");
            Some(line.strip_prefix("DevTools listening on ")?.to_owned())
        });
        let address = address.unwrap_or_else(|| panic!("Chromium ended before it listened; it said\n{said}"));
        // Nobody reads on: a full pipe would stop the browser.
        std::thread::spawn(move || lines.for_each(drop));

        let host = address.trim_start_matches("ws://").split('/').next().unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(&address, stream).unwrap();
        let mut browser = Self {
            process,
            socket,
            session: String::new(),
            last_id: 0,
            complaints: vec![],
            requests: vec![],
            loaded: false,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens a file in a window of this width, and returns when it has been drawn.
    pub fn open(&mut self, file: &Path, width: u32) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        self.loaded = false;
        let url = format!("file://{}", file.canonicalize().unwrap().display());
        self.call("Page.navigate", json!({ "url": url }));
        let start = Instant::now();
        while !self.loaded {
            assert!(start.elapsed() < PATIENCE, "{url} was not loaded in {PATIENCE:?}");
            self.read();
        }
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))");
    }

    /// Asks pages for `light` or `dark` from now on, as a system does.
    pub fn prefer(&mut self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.call("Emulation.setEmulatedMedia", json!({"features": [feature]}));
    }

    /// The value of a JavaScript expression, awaited if it is a promise.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let request = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", request);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// How many elements a CSS selector finds.
    pub fn count(&mut self, selector: &str) -> usize {
        let count = self.evaluate(&format!("document.querySelectorAll({}).length", json!(selector)));
        count.as_u64().unwrap() as usize
    }

    /// Moves the mouse to the middle of the first element that the selector finds.
    pub fn hover(&mut self, selector: &str) {
        let script = format!(
            "(() => {{ const mark = document.querySelector({}); mark.scrollIntoView({{block: 'center'}}); \
             const box = mark.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        );
        let place = self.evaluate(&script);
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": place[0], "y": place[1]}));
    }

    /// Sends a request and waits for its answer.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut request = json!({"id": self.last_id, "method": method, "params": params});
        if !self.session.is_empty() && !method.starts_with("Target.") {
            request["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let message = self.read();
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// Reads one message; events are noted.
    fn read(&mut self) -> Value {
        let message = self.socket.read().expect("Chromium answers");
        let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.loaded = true,
            Some("Network.requestWillBeSent") => {
                self.requests.push(params["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded") => {
                self.complaints.push(params.to_string());
            }
            _ => {}
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

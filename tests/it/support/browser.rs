//! A real browser: headless Chromium, by WebDriver (W3C).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::gateway::directory;
use super::{Connection, eventually};

/// A browser with one tab. Dropped, it ends.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    /// Starts one.
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver, which `.ci/need chromium chromedriver` installs");
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = said
            .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
        std::thread::spawn(move || said.for_each(drop));
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("a port")));
        let mut browser = Browser { driver, address, session: String::new() };
        let profile = format!("--user-data-dir={}", directory().display());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1200,900",
            &profile,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": args } } } });
        let created = browser.ask("POST", "/session", Some(&wanted));
        browser.session = created["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {created}")).to_owned();
        browser
    }

    pub fn open(&self, url: &str) {
        self.ask("POST", &format!("/session/{}/url", self.session), Some(&json!({ "url": url })));
    }

    /// What a script returns.
    pub fn run(&self, script: &str) -> Value {
        let question = json!({ "script": script, "args": [] });
        self.ask("POST", &format!("/session/{}/execute/sync", self.session), Some(&question))
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn await_that(&self, expression: &str) {
        eventually(expression, || (self.run(&format!("return !!({expression})")) == true).then_some(()));
    }

    /// Clicks as somebody would.
    pub fn click(&self, selector: &str) {
        let path = format!("/session/{}/element", self.session);
        let found = self.ask("POST", &path, Some(&json!({ "using": "css selector", "value": selector })));
        let (_, id) =
            found.as_object().and_then(|found| found.iter().next()).unwrap_or_else(|| panic!("no {selector}"));
        self.ask("POST", &format!("{path}/{}/click", id.as_str().unwrap()), Some(&json!({})));
    }

    /// The page as a picture, for people to look at.
    pub fn picture(&self, file: &str) {
        let picture = self.ask("GET", &format!("/session/{}/screenshot", self.session), None);
        std::fs::write(file, STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }

    /// What the page has complained of.
    pub fn complaints(&self) -> Value {
        self.ask("POST", &format!("/session/{}/se/log", self.session), Some(&json!({ "type": "browser" })))
    }

    /// The answer of the driver.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map_or_else(String::new, Value::to_string);
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", self.address, body.len());
        let answer = Connection::open(self.address).send(head + &body).answer(false);
        let mut value = answer.json();
        assert_eq!(answer.status, 200, "{path}: {value}");
        value["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Which ends the browser, too.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.ask("DELETE", &format!("/session/{}", self.session), None);
        }));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

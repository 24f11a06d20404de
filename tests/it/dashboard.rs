//! The dashboard, in a real browser.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::browser::Browser;
use crate::support::gateway::directory;
use crate::support::{Connection, Gateway, Reply, Upstream, eventually, gateway};

/// A target that fails until it is told not to.
fn moody() -> (Upstream, Arc<AtomicBool>) {
    let is_well = Arc::new(AtomicBool::new(true));
    let seen = is_well.clone();
    let upstream = Upstream::with(move |_| match seen.load(Ordering::Relaxed) {
        true => Reply::ok(),
        false => Reply::status(500, "no"),
    });
    (upstream, is_well)
}

fn page(gateway: &Gateway) -> String {
    format!("http://{}/dashboard", gateway.admin())
}

/// The state that the row of a target shows.
fn shows(url: &str, state: &str) -> String {
    format!("[...document.querySelectorAll('tr[data-state={state}]')].some((row) => row.textContent.includes('{url}'))")
}

const LIVE: &str = "document.getElementById('link').textContent === 'live'";
const DIALOG: &str = "document.getElementById('told').open && document.getElementById('text').textContent";

#[test]
fn a_circuit_is_seen_to_open_and_to_heal_and_operators_act_on_it() {
    let (upstream, is_well) = moody();
    let config = format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nroutes:\n  - path: /users\n    target: {}\n    breaker: {{ failures: 3, cooldown: 3s }}\n    \
         plugins: {{ rateLimit: {{ max: 1000, window: 60 }} }}\n",
        upstream.url(),
    );
    let gateway = gateway(&config);
    let browser = Browser::start();
    browser.open(&page(&gateway));
    browser.await_that(LIVE);
    browser.await_that(&shows(&upstream.url(), "CLOSED"));

    is_well.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        assert_eq!(gateway.request("GET", "/users", &[("X-Request-ID", "it-broke")]).status, 500);
    }
    browser.await_that(&shows(&upstream.url(), "OPEN"));
    browser.await_that("document.querySelector('#failures b').textContent === '500 '");
    browser.await_that("document.querySelector('section > .figures').textContent.includes('127.0.0.1')");
    is_well.store(true, Ordering::Relaxed);
    eventually("the probe", || (gateway.get("/users").status == 200).then_some(()));
    browser.await_that(&shows(&upstream.url(), "CLOSED"));

    if let Ok(file) = std::env::var("PICTURE") {
        browser.picture(&file);
    }
    browser.click("#failures button");
    browser.await_that(DIALOG);
    let told = browser.run(&format!("return {DIALOG}"));
    let told = told.as_str().unwrap();
    assert!(told.starts_with("[GET] /users → 500 ") && told.contains("it-broke"), "{told}");
    browser.click("#told button");

    browser.click("td.acts button");
    browser.click("#sure button[value=yes]");
    browser.await_that(&format!(
        "{} && document.querySelector('td.OPEN').textContent === 'OPEN, by hand'",
        shows(&upstream.url(), "OPEN")
    ));
    assert_eq!(gateway.get("/users").status, 503);
    browser.click("td.acts button:nth-of-type(2)");
    browser.click("#sure button[value=no]");
    assert_eq!(gateway.get("/users").status, 503, "nobody said yes");
    browser.click("td.acts button:nth-of-type(2)");
    browser.click("#sure button[value=yes]");
    browser.await_that(&shows(&upstream.url(), "CLOSED"));

    gateway.configure(config.replace("path: /users", "path: users"));
    browser.await_that("document.getElementById('alarm').textContent.includes('does not begin with a slash')");
    gateway.configure(config.replace("path: /users", "path: /people"));
    browser.await_that("document.querySelector('h2').textContent === '/people'");
    browser.await_that("document.getElementById('alarm').textContent === ''");
    assert_eq!(browser.complaints().as_array().map(Vec::len), Some(0), "{}", browser.complaints());
}

#[test]
fn who_may_look_sees_all_and_changes_nothing() {
    let (upstream, _) = moody();
    let directory = directory();
    let file = |name: &str, token: &str| {
        fs::write(directory.join(name), token).unwrap();
        directory.join(name).display().to_string()
    };
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0, tokenFile: {}, readTokenFile: {} }}\nroutes:\n  - {{ path: /users, target: {} }}\n",
        file("all", "all-powerful-token"),
        file("look", "only-looking-token"),
        upstream.url(),
    ));
    let browser = Browser::start();
    let log_in = |token: &str| {
        browser.await_that("document.getElementById('who').open");
        browser.run(&format!("document.getElementById('token').value = '{token}'"));
        browser.click("#who button");
    };
    browser.open(&page(&gateway));
    log_in("only-guessed-token");
    log_in("only-looking-token");
    browser.await_that(LIVE);
    browser.await_that(&shows(&upstream.url(), "CLOSED"));
    browser.click("td.acts button");
    browser.click("#sure button[value=yes]");
    browser.await_that("document.getElementById('why').textContent.startsWith('Who may look may not do this')");
    assert_eq!(gateway.get("/users").status, 200);
    log_in("all-powerful-token");
    browser.click("td.acts button");
    browser.click("#sure button[value=yes]");
    browser.await_that(&shows(&upstream.url(), "OPEN"));
}

/// What the page is told, and what it may do.
#[test]
fn events_come_once_a_second_and_the_page_may_load_nothing_else() {
    let (upstream, _) = moody();
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nroutes:\n  - {{ path: /users, target: {}, plugins: {{ rateLimit: {{ max: 3, window: 60 }} }} }}\n",
        upstream.url(),
    ));
    let page = gateway.operate("GET", "/dashboard", &[]);
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    let there = gateway.operate("GET", "/", &[("Accept", "text/html,*/*")]);
    assert_eq!((there.status, there.header("location")), (303, Some("/dashboard")));

    let admin = gateway.admin();
    let mut viewer = Connection::open(admin);
    viewer.send(format!("GET /events HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    let begun = std::time::Instant::now();
    let mut text = String::new();
    let mut told: Vec<serde_json::Value> = Vec::new();
    while told.len() < 4 {
        text += &String::from_utf8_lossy(&viewer.take(1));
        if let Some((_, rest)) = text.split_once("data: ")
            && let Some((event, _)) = rest.split_once("\n\n")
        {
            told.push(serde_json::from_str(event).unwrap());
            text.clear();
            if told.len() == 1 {
                // From here on it is known what was before.
                (0..5).for_each(|_| drop(gateway.get("/users")));
            }
        }
    }
    assert!(begun.elapsed().as_millis() >= 2_500, "{:?}", begun.elapsed());
    let route = |event: &serde_json::Value| event["routes"][0].clone();
    assert_eq!(route(&told[0])["perSecond"], 0.0, "of what was before nobody knows when");
    let busiest = &route(&told[3])["limits"]["busiest"][0];
    assert_eq!(
        (&busiest["key"], &busiest["allowed"], &busiest["refused"]),
        (&"127.0.0.1".into(), &3.into(), &2.into())
    );
    let seen: f64 = told.iter().map(|event| route(event)["byClass"][3].as_f64().unwrap()).sum();
    assert!((1.0..3.0).contains(&seen), "two were refused: {told:?}");
    assert_eq!(route(&told[3])["targets"][0]["state"], "CLOSED");
}

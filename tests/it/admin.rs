//! The listener for operators.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::gateway::directory;
use crate::support::{Connection, Gateway, Reply, Upstream, eventually, gateway};

const LISTEN: &str = "admin: { listen: 127.0.0.1:0 }\n";

fn over(targets: &[&Upstream], extra: &str) -> Gateway {
    let urls: Vec<String> = targets.iter().map(|target| target.url()).collect();
    gateway(format!("{LISTEN}routes: [{{ path: /, targets: [{}]{extra} }}]\n", urls.join(", ")))
}

fn act(gateway: &Gateway, action: &str, target: &Upstream) -> String {
    // However it is spelled.
    let url = target.url().replace("http://", "HTTP://");
    let response = gateway.operate("POST", &format!("/circuits/{action}?target={url}/"), &[]);
    assert_eq!(response.status, 200, "{response:?}");
    response.text().to_owned()
}

fn get(gateway: &Gateway, count: usize) -> Vec<u16> {
    (0..count).map(|_| gateway.get("/").status).collect()
}

#[test]
fn an_instance_is_drained_and_taken_back() {
    let (one, other) = (Upstream::start(), Upstream::start());
    for extra in ["", ", breaker: off", ", onAllOpen: tryAnyway"] {
        let gateway = over(&[&one, &other], extra);
        let said = act(&gateway, "open", &one);
        assert_eq!(said, format!(r#"{{"targetUrl":"{}","state":"OPEN","held":true}}"#, one.url()));
        let before = one.received().len();
        assert_eq!(get(&gateway, 6), [200; 6], "{extra}");
        assert_eq!(one.received().len(), before, "{extra}");
        let row = &gateway.stats()[0];
        assert_eq!((&row["state"], &row["held"], &row["retryAt"]), (&"OPEN".into(), &true.into(), &().into()), "{row}");
        act(&gateway, "open", &other);
        let refused = gateway.get("/");
        refused.is_problem(503, "no_target_available");
        assert_eq!(refused.json()["detail"], "Every target of this route has been taken out of service.");
        act(&gateway, "reset", &one);
        assert_eq!(get(&gateway, 4), [200; 4]);
        assert_eq!((one.received().len(), gateway.stats()[0]["held"].clone()), (before + 4, false.into()));
        eventually("it to be logged", || gateway.stderr().contains("its circuit is kept open by hand").then_some(()));
    }
}

#[test]
fn no_copies_go_to_one_that_is_drained() {
    let (target, shadow) = (Upstream::start(), Upstream::start());
    let gateway = over(&[&target], &format!(", mirror: {{ target: {} }}", shadow.url()));
    act(&gateway, "open", &shadow);
    assert_eq!(get(&gateway, 5), [200; 5]);
    act(&gateway, "reset", &shadow);
    assert_eq!(get(&gateway, 1), [200]);
    eventually("the one copy", || (gateway.stats()[0]["route"]["mirror"]["sent"] == 1).then_some(()));
    assert_eq!(shadow.received().len(), 1);
}

/// What is under way goes on.
#[test]
fn draining_cuts_nothing_off() {
    let slow = Upstream::with(|_| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        Reply::ok()
    });
    let gateway = over(&[&slow], "");
    let mut connection = gateway.connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("it to be under way", || (gateway.stats()[0]["inFlight"] == 1).then_some(()));
    act(&gateway, "open", &slow);
    assert_eq!(connection.answer(false).status, 200);
    eventually("it to be over", || (gateway.stats()[0]["inFlight"] == 0).then_some(()));
}

#[test]
fn a_circuit_is_kept_closed_whatever_comes_of_it() {
    let failing = Upstream::failing();
    let gateway = over(&[&failing], "");
    act(&gateway, "close", &failing);
    assert_eq!(get(&gateway, 10), [500; 10]);
    assert_eq!(gateway.states(), ["CLOSED"]);
    act(&gateway, "reset", &failing);
    assert_eq!(get(&gateway, 4), [500, 500, 500, 503]);
    act(&gateway, "reset", &failing);
    assert_eq!(get(&gateway, 1), [500]);
}

#[test]
fn what_is_asked_wrongly_is_answered_with_what_would_be_right() {
    let upstream = Upstream::start();
    let gateway = over(&[&upstream], "");
    let denied = |method: &str, target: &str, headers: &[(&str, &str)]| {
        let response = gateway.operate(method, target, headers);
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{response:?}");
        (response.status, response.json()["code"].as_str().unwrap().to_owned())
    };
    let error = |status, code: &str| (status, code.to_owned());
    assert_eq!(denied("POST", "/circuits/open", &[]), error(400, "target_missing"));
    assert_eq!(denied("POST", "/circuits/open?target=http://nobody:1", &[]), error(404, "no_such_target"));
    let typo = gateway.operate("POST", &format!("/circuits/open?target={}1", upstream.url()), &[]);
    assert!(
        typo.json()["detail"].as_str().unwrap().ends_with(&format!("did you mean {}?", upstream.url())),
        "{typo:?}"
    );
    let url = format!("/circuits/open?target={}", upstream.url());
    assert_eq!(denied("GET", &url, &[]), error(405, "method_not_allowed"));
    for (method, path) in [("POST", "/stats"), ("PUT", "/explain"), ("POST", "/")] {
        assert_eq!(denied(method, path, &[]), error(405, "method_not_allowed"), "{method} {path}");
    }
    for path in ["/nothing", "/stat", "/circuits", "/circuits/open/"] {
        assert_eq!(denied("GET", path, &[]), error(404, "not_found"), "{path}");
    }
    for headers in
        [[("Origin", "https://evil.example")], [("Sec-Fetch-Site", "cross-site")], [("Host", "rebound.evil.example")]]
    {
        assert_eq!(denied("POST", &url, &headers), error(403, "cross_site"), "{headers:?}");
    }
    assert_eq!(gateway.stats()[0]["held"], false);
    let stats = gateway.operate("GET", "/stats", &[]);
    assert_eq!((stats.status, stats.json().as_array().unwrap().len()), (200, 1));
    assert!(gateway.operate("GET", "/", &[]).text().contains("POST /circuits/open?target=URL"));
    // The main port has none of this.
    gateway.request("POST", "/circuits/open?target=x", &[("Content-Length", "0")]);
    assert_eq!(upstream.only().path(), "/circuits/open?target=x");
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let (upstream, folder) = (Upstream::start(), directory());
    let file = folder.join("token");
    fs::write(&file, "0123456789abcdef0123\n").unwrap();
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0, tokenFile: {} }}\nroutes: [{{ path: /, target: {} }}]\n",
        file.display(),
        upstream.url()
    ));
    let missing = gateway.operate("GET", "/stats", &[]);
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some("Bearer realm=\"aegis admin\"")));
    let with = |token: &str| gateway.operate("GET", "/stats", &[("Authorization", &format!("Bearer {token}"))]).status;
    assert_eq!((with("0123456789abcdef0123"), with("0123456789abcdef012"), with("")), (200, 401, 401));
}

/// Their heads and bodies had all the time that they wanted.
#[test]
fn whoever_is_slow_is_not_waited_for() {
    let upstream = Upstream::start();
    let gateway = over(&[&upstream], "");
    let begin = |text: String| {
        let mut connection = Connection::open(gateway.admin());
        connection.send(text);
        connection
    };
    let mut head = begin("GET /stats HTTP/1.1\r\nHo".to_owned());
    let post = format!("POST /nothing HTTP/1.1\r\nHost: {}\r\nContent-Length: 1000000\r\n\r\n", gateway.admin());
    let mut body = begin(post);
    assert_eq!(body.answer(false).status, 404);
    let begun = Instant::now();
    // One byte at a time, neither has an end.
    for connection in [&mut head, &mut body] {
        while connection.stream.write_all(b"x").is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(connection.is_closed());
    }
    assert_eq!(gateway.operate("GET", "/stats", &[]).status, 200);
}

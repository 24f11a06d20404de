//! Fields that a route changes on their way.

use crate::support::{Gateway, Reply, Upstream, curl, eventually, gateway, nobody, token};

fn with(upstream: &Upstream, headers: &str, more: &str) -> Gateway {
    let config = format!(
        "h2c: true\nroutes: [{{ path: /, target: {}, plugins: {{ headers: {headers}{more} }} }}]\n",
        upstream.url()
    );
    Gateway::start(&config, &[("SET", "from the environment")])
}

fn values<'h>(headers: &'h [(String, String)], name: &str) -> Vec<&'h str> {
    headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
}

#[test]
fn requests_arrive_changed_and_what_the_gateway_says_is_left_alone() {
    let upstream = Upstream::start();
    let rules = "{ request: { remove: [Cookie, x-gone], set: { X-Team: users, Authorization: 'Bearer ${SET}' }, add: { x-list: [b, c], X-One: d } } }";
    let gateway = with(&upstream, rules, ", auth: true");
    let bearer = format!("Bearer {}", token("u1"));
    let sent = [
        ("Authorization", bearer.as_str()),
        ("Cookie", "a=1"),
        ("X-Gone", "1"),
        ("x-gone", "2"),
        ("X-TEAM", "theirs"),
        ("x-team", "theirs, too"),
        ("X-List", "a"),
        ("X-Request-Id", "r1"),
    ];
    assert_eq!(gateway.request("GET", "/a", &sent).status, 200);
    let received = upstream.only().headers;
    for (name, expected) in [
        ("cookie", &[][..]),
        ("x-gone", &[]),
        ("x-team", &["users"]),
        ("authorization", &["Bearer from the environment"]),
        ("x-list", &["a", "b", "c"]),
        ("x-one", &["d"]),
        ("x-user-id", &["u1"]),
        ("x-request-id", &["r1"]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("host", &["gateway.test"]),
    ] {
        assert_eq!(values(&received, name), expected, "{name}");
    }
    let url = format!("http://{}/", gateway.address);
    let args = ["--http2-prior-knowledge", "-H", &format!("Authorization: {bearer}"), "-H", "cookie: a=1", &url];
    assert_eq!(curl(&args).status, 200);
    let received = upstream.received().pop().unwrap();
    assert_eq!((received.header("cookie"), received.header("x-team")), (None, Some("users")));
}

/// Servers that go by CGI read the other spelling as the same.
#[test]
fn what_is_decided_here_cannot_be_said_with_underscores() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "auth: {{ apiKeys: {{ header: x-key-of-it, keys: {{ user: batch, sha256: {:0<64} }} }} }}\nroutes:\n  \
         - {{ path: /, matchHeaders: {{ x-version: '2' }}, target: {target} }}\n  \
         - {{ path: /, target: {target}, plugins: {{ headers: {{ request: {{ remove: x-gone, set: {{ x-team: users }}, add: {{ x-list: b }} }} }} }} }}\n  \
         - {{ path: /token, target: {target}, plugins: {{ auth: {{ by: [jwt, apiKey], tokenFrom: {{ header: x-the-token }}, optional: true }} }} }}\n",
        "ab",
        target = upstream.url()
    ));
    let names = ["X_Gone", "x_team", "X_LIST", "X_Version", "x_key-of_it", "x_the_token", "x_free"];
    let fields: Vec<_> = names.iter().map(|name| (*name, "1")).collect();
    assert_eq!(gateway.request("GET", "/", &fields).status, 200);
    let received = upstream.only();
    let arrived: Vec<_> = names.iter().filter(|name| received.header(&name.to_lowercase()).is_some()).collect();
    assert_eq!(arrived, [&"x_free"]);
}

#[test]
fn what_is_sent_again_and_what_is_copied_is_changed_once() {
    let (upstream, copies) = (Upstream::start(), Upstream::start());
    let gateway = gateway(format!(
        "routes: [{{ path: /, targets: ['http://{}', {}], mirror: {{ target: {} }}, plugins: {{ headers: {{ request: {{ add: {{ x-a: '1' }} }} }} }} }}]\n",
        nobody(),
        upstream.url(),
        copies.url()
    ));
    for _ in 0..4 {
        assert_eq!(gateway.request("GET", "/", &[("X-A", "0")]).status, 200);
    }
    for received in upstream.received() {
        assert_eq!(values(&received.headers, "x-a"), ["0", "1"]);
    }
    let copies = eventually("the copies", || Some(copies.received()).filter(|copies| copies.len() == 4));
    assert!(copies.iter().all(|copy| values(&copy.headers, "x-a") == ["0", "1"]), "{copies:?}");
}

#[test]
fn answers_leave_changed_whoever_gives_them() {
    let upstream = Upstream::with(|_| {
        let fields = "Server: secret/1.0\r\nX-Powered-By: php\r\nCache-Control: no-cache\r\nX-List: a\r\nContent-Type: text/plain\r\nX-Request-Id: theirs\r\n";
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{fields}\r\nok").into_bytes())
    });
    let rules = "{ response: { remove: [server, X-Powered-By, x-ratelimit-reset], set: { Cache-Control: 'max-age=60', Content-Type: text/html, X-Team: users }, add: { x-list: b } } }";
    let gateway = with(&upstream, rules, ", rateLimit: { max: 1, window: 60 }");
    let answer = gateway.get("/");
    for (name, expected) in [
        ("server", &[][..]),
        ("x-powered-by", &[]),
        ("x-ratelimit-reset", &[]),
        ("x-ratelimit-limit", &["1"]),
        ("cache-control", &["max-age=60"]),
        ("content-type", &["text/html"]),
        ("x-team", &["users"]),
        ("x-list", &["a", "b"]),
    ] {
        assert_eq!(values(&answer.headers, name), expected, "{name}");
    }
    assert_ne!(answer.header("x-request-id"), Some("theirs"));
    let refused = gateway.get("/");
    refused.is_problem(429, "rate_limited");
    assert_eq!((refused.header("x-team"), refused.header("x-list")), (Some("users"), Some("b")));
    // What it is and how long it is good stays the gateway's to say.
    assert_eq!((refused.header("cache-control"), refused.header("x-ratelimit-reset")), (Some("no-store"), None));
    assert!(gateway.get("/gateway/livez").header("x-team").is_none());
    let url = format!("http://{}/", gateway.address);
    assert_eq!(curl(&["--http2-prior-knowledge", &url]).header("x-team"), Some("users"));
}

#[test]
fn interim_answers_and_tunnels_are_no_answers() {
    let upstream = Upstream::with(|request| match request.header("upgrade") {
        Some(_) => Reply::Talk(Box::new(|stream| {
            use std::io::Write;
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
        })),
        None => Reply::Bytes(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
    });
    let gateway = with(&upstream, "{ response: { set: { x-team: users } } }", "");
    let mut connection = gateway.connect();
    connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (early, last) = (connection.next_answer(false), connection.next_answer(false));
    assert_eq!((early.status, early.header("x-team")), (103, None));
    assert_eq!((last.status, last.header("x-team")), (200, Some("users")));
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut connection = gateway.connect();
    let mut head = String::from("GET / HTTP/1.1\r\nHost: x\r\n");
    upgrade.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    connection.send(head + "\r\n");
    let switched = connection.next_answer(false);
    assert_eq!((switched.status, switched.header("x-team")), (101, None));
}

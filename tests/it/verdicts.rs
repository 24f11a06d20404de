//! A service that decides on requests.

use std::io::Read;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::{Gateway, Reply, Upstream, eventually, gateway, nobody, signed};

/// A gateway that has `service` asked, with more in its block.
fn asking(service: &str, upstream: &Upstream, more: &str) -> Gateway {
    gateway(format!(
        "auth: {{ jwt: {{ claimsToHeaders: {{ tenant: x-tenant }} }} }}\nroutes:\n  - {{ path: /, target: {target}, plugins: {{ forwardAuth: {{ url: '{service}/check?x=1', responseHeaders: [X-User-Id, x-empty, x-plan]{more} }}, rateLimit: {{ max: 3, window: 60, key: user }} }} }}\n  \
         - {{ path: /token, target: {target}, plugins: {{ auth: {{ tokenFrom: {{ query: t }} }}, forwardAuth: {{ url: '{service}/' }} }} }}\n  \
         - {{ path: /open, target: {target}, plugins: {{ rateLimit: {{ max: 9, window: 60 }} }} }}\n",
        target = upstream.url()
    ))
}

#[test]
fn whom_the_service_lets_pass_goes_on_with_what_it_says() {
    let upstream = Upstream::start();
    let service = Upstream::with(|_| {
        Reply::Bytes(b"HTTP/1.1 204 Fine\r\nx-user-id: u1\r\nx-empty:\r\nx-plan: gold\r\nx-other: 1\r\n\r\n".to_vec())
    });
    let gateway = asking(&service.url(), &upstream, "");
    let sent = "POST /a/b?c=1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: any\r\nX-User-Id: admin\r\nX-Plan: free\r\nConnection: x-drop\r\nX-Drop: 1\r\nX-Forwarded-Method: GET\r\nX-Request-Id: r1\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(gateway.raw(sent).status, 200);
    let asked = service.only();
    assert_eq!((asked.line.as_str(), asked.body.len()), ("GET /check?x=1 HTTP/1.1", 0));
    for (name, value) in [
        ("host", Some(service.address.to_string())),
        ("authorization", Some("any".to_owned())),
        ("x-forwarded-method", Some("POST".to_owned())),
        ("x-forwarded-uri", Some("/a/b?c=1".to_owned())),
        ("x-forwarded-host", Some("api.test".to_owned())),
        ("x-forwarded-proto", Some("http".to_owned())),
        ("x-forwarded-for", Some("127.0.0.1".to_owned())),
        ("x-request-id", Some("r1".to_owned())),
        ("x-user-id", None),
        ("x-plan", None),
        ("x-drop", None),
        ("content-length", None),
    ] {
        assert_eq!(asked.header(name), value.as_deref(), "{name}");
    }
    let received = upstream.only();
    assert_eq!((received.header("x-user-id"), received.header("x-plan")), (Some("u1"), Some("gold")));
    assert_eq!(
        (received.header("x-other").or(received.header("x-empty")), received.body.as_slice()),
        (None, &b"hello"[..])
    );
    assert_eq!((gateway.get("/").status, gateway.get("/").status), (200, 200));
    // Limits come after it, and count whom it names.
    gateway.get("/").is_problem(429, "rate_limited");
    // Not over one in all cases: Pingora passes over a connection that the task which watches it lets go of in that very moment.
    let (asked, connections) = (service.received().len(), service.connections());
    assert!(asked >= 4 && connections < asked, "{asked} questions over {connections} connections");
    // Nobody else can say so, where nobody is asked either.
    assert_eq!(gateway.request("GET", "/open", &[("X-Plan", "gold")]).status, 200);
    assert_eq!(upstream.received().last().unwrap().header("x-plan"), None);
    let token = signed(&json!({ "sub": "u2", "tenant": "t2" }));
    assert_eq!(gateway.get(&format!("/token?a=1&t={token}")).status, 200);
    let asked = service.received().pop().unwrap();
    assert_eq!((asked.header("x-user-id"), asked.header("x-forwarded-uri")), (Some("u2"), Some("/token?a=1")));
    assert_eq!(asked.header("x-tenant"), Some("t2"));
    let before = service.received().len();
    gateway.get("/token").is_problem(401, "token_missing");
    assert_eq!(service.received().len(), before);
}

#[test]
fn what_the_service_says_instead_is_the_answer() {
    let upstream = Upstream::start();
    let says: Arc<Mutex<String>> = Arc::default();
    let said = says.clone();
    let service = Upstream::with(move |_| Reply::Bytes(said.lock().unwrap().clone().into_bytes()));
    let gateway = asking(&service.url(), &upstream, "");
    for (status, lines, body) in [
        (403, "content-type: text/plain\r\nx-secret: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n", "not you"),
        (302, "content-type: text/plain\r\nlocation: https://login.test/\r\n", ""),
        (401, "www-authenticate: Basic realm=\"x\"\r\n", "?"),
        (500, "", "broken"),
    ] {
        *says.lock().unwrap() = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{lines}\r\n{body}", body.len());
        let answer = gateway.get("/");
        assert_eq!(
            (answer.status, answer.text(), answer.header("x-gateway-error")),
            (status, body, Some("auth_denied"))
        );
        assert!(answer.header("x-request-id").is_some() && answer.header("x-secret").is_none(), "{answer:?}");
        let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie").count();
        assert_eq!((cookies, answer.header("location").is_some()), (2 * usize::from(status == 403), status == 302));
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
    }
    let plain = gateway.request("HEAD", "/", &[]);
    assert_eq!((plain.status, plain.header("content-type")), (500, Some("application/octet-stream")));
    gateway.log_line("auth_denied");
    for wrong in [
        "HTTP/1.1 304 X\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 X\r\ncontent-length: 70000\r\n\r\n{}", " ".repeat(70_000)),
    ] {
        *says.lock().unwrap() = wrong;
        gateway.get("/").is_problem(503, "auth_unavailable");
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn without_the_service_nobody_passes_and_it_is_told_once() {
    let (upstream, address) = (Upstream::start(), nobody());
    let gateway = asking(&format!("http://{address}"), &upstream, "");
    for _ in 0..3 {
        let refused = gateway.get("/");
        refused.is_problem(503, "auth_unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let service = Upstream::at(address, |_| Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()));
    assert_eq!((gateway.get("/").status, gateway.get("/").status), (200, 200));
    let said = eventually("it to be told", || Some(gateway.stderr()).filter(|said| said.contains("answers again")));
    assert_eq!(said.matches("requests that need it are refused").count(), 1, "{said}");
    drop(service);
    let silent = Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0])))));
    let gateway = asking(&silent.url(), &upstream, ", timeout: 100ms");
    gateway.get("/").is_problem(503, "auth_unavailable");
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn hints_that_come_before_what_the_service_says_are_passed_over() {
    let upstream = Upstream::start();
    let service = Upstream::with(|_| {
        Reply::Bytes(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 Fine\r\nx-user-id: u1\r\n\r\n".to_vec(),
        )
    });
    let gateway = asking(&service.url(), &upstream, "");
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(upstream.only().header("x-user-id"), Some("u1"));
}

/// It was told of the connection, and made links for that.
#[test]
fn what_a_trusted_proxy_says_of_a_request_is_what_the_service_hears() {
    let (upstream, service) = (Upstream::start(), Upstream::start());
    for (trusted, scheme, host) in [("127.0.0.1", "https", "outer.test"), ("10.0.0.0/8", "http", "inner.test")] {
        let plugins = format!("plugins: {{ forwardAuth: {{ url: '{}/' }} }}", service.url());
        let route = format!("routes: [{{ path: /, target: {}, {plugins} }}]", upstream.url());
        let gateway = gateway(format!("trustedProxies: {trusted}\n{route}\n"));
        let said = [("Host", "inner.test"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "outer.test")];
        assert_eq!(gateway.request("GET", "/", &[&said[..], &[("User-Agent", "mine/1")]].concat()).status, 200);
        let asked = service.received().pop().unwrap();
        let field = |name: &str| asked.header(name).map(str::to_owned);
        let told = ["x-forwarded-proto", "x-forwarded-host", "user-agent"].map(field);
        assert_eq!(told, [Some(scheme.to_owned()), Some(host.to_owned()), Some("mine/1".to_owned())], "{asked:?}");
    }
}

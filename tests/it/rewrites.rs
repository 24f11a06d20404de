//! The path that is sent in place of the one that was asked for.

use crate::support::{Reply, Upstream, curl, eventually, gateway, nobody};

#[test]
fn the_path_that_was_asked_for_decides_and_another_is_sent() {
    let (upstream, shadow) = (Upstream::start(), Upstream::start());
    let gateway = gateway(format!(
        "trustedProxies: 127.0.0.1
auth: {{ jwt: {{ secret: '${{JWT_SECRET}}' }} }}
routes:
  - path: /api
    stripPrefix: true
    target: {0}
    mirror: {{ target: {1} }}
    plugins: {{ auth: {{ tokenFrom: {{ query: t }}, forwardToken: false }} }}
  - {{ path: /, target: {0} }}
",
        upstream.url(),
        shadow.url()
    ));
    let token = crate::support::token("u");
    let fields = [("X-Request-ID", "sent"), ("X-Forwarded-Prefix", "/outer")];
    assert_eq!(gateway.request("GET", &format!("/api/a%20b?x=1&t={token}"), &fields).status, 200);
    let received = upstream.only();
    assert_eq!((received.path(), received.header("x-forwarded-prefix")), ("/a%20b?x=1", Some("/outer, /api")));
    let copy = eventually("the copy", || shadow.received().pop());
    assert_eq!(copy.path(), "/a%20b?x=1");
    let line = gateway.log_line("[sent]");
    assert!(line.starts_with(&format!("[GET] {}/a%20b → 200 (", upstream.url())), "{line}");
    assert!(line.ends_with("[sent] asked=/api/a%20b"), "{line}");
    gateway.request("GET", "/api/x", &[]).is_problem(401, "token_missing");
    gateway.request("GET", "/x/../api/x", &[]).is_problem(401, "token_missing");
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn what_is_sent_again_or_by_http2_has_the_same_path() {
    let (resets, good) = (Upstream::with(|_| Reply::Reset(Vec::new())), Upstream::start());
    let gateway = gateway(format!(
        "h2c: true\nroutes: [{{ path: /a, rewrite: {{ regex: '/(b+)', replacement: '/$$1$$1' }}, targets: [{}, {}] }}]\n",
        resets.url(),
        good.url()
    ));
    let url = format!("http://{}/a/b/c?q", gateway.address);
    (0..4).for_each(|_| assert_eq!(curl(&["--http2-prior-knowledge", &url]).status, 200));
    let paths =
        |upstream: &Upstream| upstream.received().iter().map(|request| request.path().to_owned()).collect::<Vec<_>>();
    let all: Vec<String> = [paths(&resets), paths(&good)].concat();
    assert!(all.len() > 4 && all.iter().all(|path| path == "/a/bb/c?q"), "{all:?}");
}

#[test]
fn no_rewrite_can_be_talked_into_a_path_that_is_refused() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /cut, rewrite: {{ regex: x, replacement: '' }}, target: {0} }}\n  - {{ path: /strip, stripPrefix: true, target: {0} }}\n",
        upstream.url()
    ));
    for path in
        ["/cut/.x./a", "/cut/%x2e", "/cut/.x", "/cut/..x%2Fa", "/cut/%2x", "/cut/%x5c", "/cut/..;x/", "/cut/.x/"]
    {
        let answer = gateway.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
    for (path, sent) in [
        ("/strip//a", "/a"),
        ("/strip/%2F/a", "/%2F/a"),
        ("/strip/./", "/"),
        ("/cut/x/x/a", "/cut/x/a"),
        ("/cut/x", "/cut/"),
    ] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert_eq!(upstream.received().last().unwrap().path(), sent);
    }
    assert!(gateway.get("/cut/.x").json()["detail"].as_str().unwrap().contains("as this route rewrites it"));
}

#[test]
fn a_target_gets_the_host_that_its_route_says_and_is_told_that_of_the_client() {
    let (upstream, shadow) = (Upstream::start(), Upstream::start());
    let gateway = gateway(format!(
        "defaults: {{ hostHeader: target }}\nroutes:\n  \
         - {{ path: /client, target: {target}, hostHeader: client }}\n  \
         - {{ path: /target, targets: ['http://{nobody}', {target}], mirror: {{ target: {shadow} }} }}\n  \
         - {{ path: /name, target: {target}, hostHeader: api.example.com }}\n",
        target = upstream.url(),
        nobody = nobody(),
        shadow = shadow.url(),
    ));
    let own = upstream.address.to_string();
    for (path, host) in
        [("/client", "gateway.test"), ("/target", &own), ("/target", &own), ("/name", "api.example.com")]
    {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        let received = upstream.received().pop().unwrap();
        assert_eq!((received.header("host"), received.header("x-forwarded-host")), (Some(host), Some("gateway.test")));
    }
    let copy = eventually("a copy", || shadow.received().pop());
    assert_eq!(
        (copy.header("host"), copy.header("x-forwarded-host")),
        (Some(&*shadow.address.to_string()), Some("gateway.test"))
    );
}

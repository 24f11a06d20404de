//! What browsers are told for the sake of security.

use crate::support::{Certificates, Response, Upstream, curl, gateway, nobody};

const SET: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-permitted-cross-domain-policies", "none"),
];

#[track_caller]
fn has_the_set(answer: &Response) {
    for (name, value) in SET {
        assert_eq!(answer.header(name), Some(value), "{name}: {answer:?}");
    }
}

#[test]
fn every_answer_of_the_route_has_them_and_no_other() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "defaults: {{ plugins: {{ securityHeaders: true }} }}\nroutes:\n  - {{ path: /, target: {0} }}\n  - {{ path: /auth, target: {0}, plugins: {{ auth: true }} }}\n  - {{ path: /away, target: 'http://{1}' }}\n  - {{ path: /plain, target: {0}, plugins: {{ securityHeaders: off }} }}\n",
        upstream.url(),
        nobody()
    ));
    for (path, status) in [("/", 200), ("/auth", 401), ("/away", 502)] {
        let answer = gateway.get(path);
        assert_eq!(answer.status, status);
        has_the_set(&answer);
        assert_eq!(answer.header("strict-transport-security"), None, "it has come by http");
    }
    let plain = gateway.get("/plain");
    assert!(SET.iter().all(|(name, _)| plain.header(name).is_none()), "{plain:?}");
}

#[test]
fn https_is_asked_for_by_https_or_where_a_trusted_proxy_says_so() {
    let (upstream, certificates) = (Upstream::start(), Certificates::make());
    let gateway = |more: &str, hsts: &str| {
        gateway(format!(
            "{more}tls: {{ listen: 127.0.0.1:0, certificates: {{ certFile: {}, keyFile: {} }} }}\nroutes: [{{ path: /, target: {}, plugins: {{ securityHeaders: {hsts} }} }}]\n",
            certificates.server_cert.display(),
            certificates.server_key.display(),
            upstream.url()
        ))
    };
    const HSTS: &str = "strict-transport-security";
    let direct = gateway("", "true");
    let ca = certificates.ca.to_str().unwrap();
    for version in ["--http1.1", "--http2"] {
        let secure = curl(&["--cacert", ca, version, &direct.https()]);
        assert_eq!((secure.status, secure.header(HSTS)), (200, Some("max-age=31536000")), "{secure:?}");
    }
    let told = [("X-Forwarded-Proto", "https")];
    assert_eq!((direct.request("GET", "/", &told).header(HSTS), direct.get("/").header(HSTS)), (None, None));
    let behind = gateway("trustedProxies: 127.0.0.1\n", "{ hsts: { maxAge: 1h, includeSubDomains: true } }");
    assert_eq!(behind.request("GET", "/", &told).header(HSTS), Some("max-age=3600; includeSubDomains"));
    let told = [("X-Forwarded-Proto", "http")];
    assert_eq!((behind.request("GET", "/", &told).header(HSTS), behind.get("/").header(HSTS)), (None, None));
    let always = gateway("", "{ hsts: { always: true }, frames: off }");
    let answer = always.get("/");
    assert_eq!((answer.header(HSTS), answer.header("x-frame-options")), (Some("max-age=31536000"), None));
}

#[test]
fn what_the_upstream_or_the_config_says_stays_unless_overridden() {
    let upstream = Upstream::with(|_| {
        let own = "X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: origin\r\n";
        crate::support::Reply::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{own}\r\n").into_bytes())
    });
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /, target: {0}, plugins: {{ securityHeaders: true, headers: {{ response: {{ set: {{ x-content-type-options: mine }} }} }} }} }}\n  - {{ path: /over, target: {0}, plugins: {{ securityHeaders: {{ override: true }} }} }}\n",
        upstream.url()
    ));
    let kept = gateway.get("/");
    for (name, value) in [
        ("x-frame-options", Some("SAMEORIGIN")),
        ("content-security-policy", None),
        ("referrer-policy", Some("origin")),
        ("x-content-type-options", Some("mine")),
        ("cross-origin-opener-policy", Some("same-origin")),
    ] {
        assert_eq!(kept.header(name), value, "{name}");
    }
    has_the_set(&gateway.get("/over"));
}

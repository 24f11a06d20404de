//! Whose requests are served at all.

use std::io::Write;

use crate::support::{Upstream, curl, gateway, token};

const PROXY: &str = "trustedProxies: [127.0.0.0/8, '::1']\n";

#[test]
fn deny_wins_over_allow_and_both_come_before_anything_else() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "{PROXY}routes: [{{ path: /, target: {}, plugins: {{ ipAllow: [192.0.2.0/24, 2001:db8::/32], ipDeny: [192.0.2.7, '2001:db8:bad::/48'], auth: true, rateLimit: {{ max: 1, window: 60 }} }} }}]\n",
        upstream.url()
    ));
    let bearer = format!("Bearer {}", token("u"));
    for (client, status) in [
        ("192.0.2.7", 403),
        ("::ffff:192.0.2.7", 403),
        ("198.51.100.1", 403),
        ("2001:db8:bad::1", 403),
        ("2001:db9::1", 403),
        // What a proxy that is not trusted says is nothing.
        ("192.0.2.1, 198.51.100.1", 403),
        ("198.51.100.1, 192.0.2.1", 200),
        ("::ffff:192.0.2.8", 200),
        ("2001:db8::1", 200),
    ] {
        let answer = gateway.request("GET", "/", &[("X-Forwarded-For", client), ("Authorization", &bearer)]);
        assert_eq!(answer.status, status, "{client}: {answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit").is_some(), status == 200, "{client}");
    }
    let refused = gateway.request("GET", "/", &[("X-Forwarded-For", "192.0.2.7")]);
    refused.is_problem(403, "ip_denied");
    let allowed = gateway.request("GET", "/", &[("X-Forwarded-For", "192.0.2.9")]);
    allowed.is_problem(401, "token_missing");
    gateway.log_line("ip_denied");
    // Nobody is in front: the address is the connection's.
    gateway.get("/").is_problem(403, "ip_denied");
    assert_eq!(upstream.received().len(), 3);
}

#[test]
fn tunnels_and_http_2_are_no_way_around() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "{PROXY}h2c: true\ndefaults: {{ plugins: {{ ipDeny: 127.0.0.0/8 }} }}\nroutes:\n  - {{ path: /, target: {0} }}\n  - {{ path: /open, target: {0}, plugins: {{ ipDeny: off }} }}\n",
        upstream.url()
    ));
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    gateway.request("GET", "/", &upgrade).is_problem(403, "ip_denied");
    let url = |path: &str| format!("http://{}{path}", gateway.address);
    let refused = curl(&["--http2-prior-knowledge", &url("/x")]);
    assert_eq!((refused.status, refused.version.as_str(), refused.code()), (403, "2", Some("ip_denied")));
    assert_eq!(curl(&["--http2-prior-knowledge", &url("/open")]).status, 200);
    assert_eq!(gateway.request("GET", "/", &[("X-Forwarded-For", "192.0.2.1")]).status, 200);
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn tens_of_thousands_of_networks_are_no_burden() {
    let upstream = Upstream::start();
    let mut list = Vec::new();
    for at in 0..30_000_u32 {
        write!(list, "{}{}", if at == 0 { "" } else { ", " }, std::net::Ipv4Addr::from(0x0A00_0000 + 2 * at)).unwrap();
    }
    let gateway = gateway(format!(
        "{PROXY}routes: [{{ path: /, target: {}, plugins: {{ ipDeny: [{}] }} }}]\n",
        upstream.url(),
        String::from_utf8(list).unwrap()
    ));
    let mut connection = gateway.connect();
    for (client, status) in [("10.0.0.0", 403), ("10.0.0.1", 200), ("10.0.234.94", 403), ("10.0.234.95", 200)] {
        let answer = connection.request("GET", "/", &[("X-Forwarded-For", client)]);
        assert_eq!(answer.status, status, "{client}");
    }
}

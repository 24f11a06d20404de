//! Targets that speak TLS, and HTTP/2.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::support::client::head;
use crate::support::front::front;
use crate::support::grpc::{Grpc, call};
use crate::support::{Certificates, Gateway, Reply, Upstream, eventually, gateway};

fn over(target: &str, tls: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, target: '{target}', breaker: off, upstreamTls: {{ {tls} }} }}]\n"))
}

fn cause(gateway: &Gateway) -> String {
    gateway.settled_stats()[0]["lastFailure"]["cause"].as_str().unwrap().to_owned()
}

/// A target by TLS whose certificate is for 127.0.0.1 and localhost.
fn secured(upstream: &Upstream) -> (Certificates, SocketAddr) {
    let certificates = Certificates::make();
    let address = front(&certificates, &["http/1.1"], None, upstream.address);
    (certificates, address)
}

#[test]
fn a_target_by_tls_has_to_prove_who_it_is() {
    let upstream = Upstream::start();
    let (certificates, address) = secured(&upstream);
    let ca = format!("caFile: {}", certificates.ca.display());
    let good = over(&format!("https://{address}"), &ca);
    assert_eq!((good.get("/").status, good.get("/").status), (200, 200));
    assert_eq!(good.stats()[0]["targetUrl"], format!("https://{address}"));
    let by_name = over(&format!("https://localhost:{}", address.port()), &ca);
    assert_eq!(by_name.get("/").status, 200);
    // Nobody vouches for it, somebody else does, or it is called otherwise.
    let stranger = Certificates::make();
    let name = "serverName: users.internal";
    for tls in ["", &format!("caFile: {}", stranger.ca.display()), &format!("{ca}, {name}")] {
        let gateway = over(&format!("https://{address}"), tls);
        gateway.get("/").is_problem(502, "upstream_connect_failed");
        assert!(cause(&gateway).contains("TLSHandshakeFailure"), "{tls}: {}", cause(&gateway));
    }
    let careless = over(&format!("https://{address}"), "insecureSkipVerify: true");
    assert_eq!(careless.get("/").status, 200);
    assert_eq!(upstream.received().len(), 4);
}

#[test]
fn a_name_of_ones_own_is_asked_for_and_looked_for() {
    let upstream = Upstream::start();
    let certificates = Certificates::make_for(&["users.internal"]);
    let address = front(&certificates, &["http/1.1"], None, upstream.address);
    let tls = format!("caFile: {}, serverName: users.internal", certificates.ca.display());
    assert_eq!(over(&format!("https://{address}"), &tls).get("/").status, 200);
}

#[test]
fn a_target_that_asks_for_a_certificate_is_shown_one() {
    let (upstream, certificates) = (Upstream::start(), Certificates::make());
    let address = front(&certificates, &["http/1.1"], Some(&certificates.ca), upstream.address);
    let Certificates { ca, client_cert, client_key, .. } = &certificates;
    let own = format!("certFile: {}, keyFile: {}", client_cert.display(), client_key.display());
    let with = over(&format!("https://{address}"), &format!("caFile: {}, {own}", ca.display()));
    assert_eq!(with.get("/").status, 200);
    let without = over(&format!("https://{address}"), &format!("caFile: {}", ca.display()));
    assert_eq!(without.get("/").status, 502);
    assert_eq!(upstream.received().len(), 1);
}

/// A check that spoke plainly to a target by TLS found it ill for ever.
#[test]
fn checks_speak_as_requests_do() {
    let (upstream, server) = (Upstream::start(), Grpc::start());
    let (certificates, address) = secured(&upstream);
    let behind = server.target().replace("h2c://", "").parse().unwrap();
    let h2 = front(&certificates, &["h2"], None, behind);
    let stranger = Certificates::make();
    let route = |path: &str, target: &str, check: &str, ca: &std::path::Path| {
        format!(
            "  - {{ path: {path}, target: '{target}', healthCheck: {{ {check}, interval: 100ms }}, upstreamTls: {{ caFile: {} }} }}\n",
            ca.display()
        )
    };
    let routes = [
        route("/http", &format!("https://{address}"), "path: /health", &certificates.ca),
        route("/grpc", &format!("h2://{h2}"), "type: grpc", &certificates.ca),
        route("/plain", &server.target(), "type: grpc", &certificates.ca),
        route("/stranger", &format!("https://localhost:{}", address.port()), "path: /health", &stranger.ca),
    ];
    let gateway = gateway(format!("routes:\n{}", routes.concat()));
    eventually("all to be asked", || {
        let states: Vec<String> =
            gateway.stats().iter().map(|row| row["health"]["state"].as_str().unwrap().to_owned()).collect();
        (states == ["HEALTHY", "HEALTHY", "HEALTHY", "UNHEALTHY"]).then_some(())
    });
    assert!(upstream.received().iter().any(|received| received.path() == "/health"));
}

/// Connections by TLS are used again only by who trusts the same authorities.
#[test]
fn what_one_route_trusts_another_need_not() {
    let upstream = Upstream::start();
    let (certificates, address) = secured(&upstream);
    let stranger = Certificates::make();
    let route = |path: &str, ca: &std::path::Path| {
        format!("  - {{ path: {path}, target: 'https://{address}', upstreamTls: {{ caFile: {} }} }}\n", ca.display())
    };
    let config = format!("routes:\n{}{}", route("/good", &certificates.ca), route("/bad", &stranger.ca));
    let gateway = gateway(config);
    assert_eq!((gateway.get("/good").status, gateway.get("/bad").status), (200, 502));
}

#[test]
fn the_protocol_is_chosen_in_the_handshake_unless_the_url_says_it() {
    let (server, certificates) = (Grpc::start(), Certificates::make());
    let behind = server.target().replace("h2c://", "").parse().unwrap();
    let both = front(&certificates, &["h2", "http/1.1"], None, behind);
    let tls = format!("upstreamTls: {{ caFile: {} }}", certificates.ca.display());
    for target in [format!("https://{both}"), format!("h2://{both}")] {
        let gateway = gateway(format!("h2c: true\nroutes: [{{ path: /, target: '{target}', {tls} }}]\n"));
        let answer = call(&gateway.address.to_string(), "Each", &[], None);
        assert_eq!(answer[..2], ["he|llo", "OK "], "{target}");
    }
    let upstream = Upstream::start();
    let old = front(&certificates, &["http/1.1"], None, upstream.address);
    let only = gateway(format!("routes: [{{ path: /, target: 'h2://{old}', {tls} }}]\n"));
    only.get("/").is_problem(502, "upstream_connect_failed");
}

#[test]
fn tunnels_go_by_http_1_whatever_else_the_target_speaks() {
    let upstream = Upstream::with(|request| match request.header("upgrade") {
        Some("websocket") => Reply::Talk(Box::new(|stream| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).unwrap();
            stream.write_all(&word).unwrap();
        })),
        _ => Reply::ok(),
    });
    let certificates = Certificates::make();
    let address = front(&certificates, &["h2", "http/1.1"], None, upstream.address);
    let gateway = over(&format!("https://{address}"), &format!("caFile: {}", certificates.ca.display()));
    let mut tunnel = gateway.connect();
    tunnel.send(head("GET", "/", &[("Upgrade", "websocket"), ("Connection", "Upgrade")]));
    assert_eq!(tunnel.next_answer(false).status, 101);
    tunnel.send("ping");
    assert_eq!(tunnel.take(4), b"ping");
}

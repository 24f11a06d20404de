//! gRPC from end to end: its makers' own client and server with the gateway between them.

use crate::support::grpc::{Grpc, call};
use crate::support::{Certificates, Gateway, eventually, gateway, nobody, token};

fn over(target: &str, extra: &str) -> Gateway {
    gateway(format!("h2c: true\nroutes: [{{ path: /echo.Echo, target: '{target}'{extra} }}]\n"))
}

fn ask(gateway: &Gateway, method: &str, metadata: &[&str]) -> [String; 3] {
    call(&gateway.address.to_string(), method, metadata, None)
}

#[test]
fn all_four_kinds_of_calls_pass_with_their_metadata() {
    let server = Grpc::start();
    let gateway = over(&server.target(), "");
    for (method, came) in [("Unary", "hello"), ("Parts", "h|e|l|l|o"), ("Joined", "hello"), ("Each", "he|llo")] {
        let [text, status, _] = ask(&gateway, method, &[]);
        assert_eq!((text.as_str(), status.as_str()), (came, "OK "), "{method}");
    }
    let [_, _, tail] = ask(&gateway, "Unary", &["x-user-id=root"]);
    assert_eq!(tail, "[('x-tail', 'end'), ('x-user', '-')]", "nobody says who he is");
    let large = format!("x-text={}", "x".repeat(7_000));
    assert_eq!(ask(&gateway, "Unary", &[&large])[0].len(), 7_000);
    assert!(gateway.log_line("/echo.Echo/Unary → 200").starts_with("[POST]"));
}

#[test]
fn tokens_are_asked_for_before_anything_is_forwarded() {
    let server = Grpc::start();
    let gateway = over(&server.target(), ", plugins: { auth: true, rateLimit: { max: 2, window: 60 } }");
    let [text, status, _] = ask(&gateway, "Unary", &[]);
    assert_eq!(
        (text.as_str(), status.as_str()),
        ("", "UNAUTHENTICATED This path needs a token: send Authorization: Bearer <JWT>.")
    );
    let bearer = format!("authorization=Bearer {}", token("u1"));
    let [text, status, tail] = ask(&gateway, "Unary", &[&bearer]);
    assert_eq!((text.as_str(), status.as_str()), ("hello", "OK "));
    assert!(tail.contains("('x-user', 'u1')"), "{tail}");
    assert_eq!(ask(&gateway, "Parts", &[&bearer])[1], "OK ");
    assert!(ask(&gateway, "Unary", &[&bearer])[1].starts_with("RESOURCE_EXHAUSTED "));
    assert!(gateway.log_line("→ 401").contains("token_missing"));
    assert_eq!(gateway.stats()[0]["route"]["unauthorized"], 1);
}

#[test]
fn what_a_server_says_is_passed_on_and_counts() {
    let server = Grpc::start();
    let gateway = over(&server.target(), ", breaker: { failures: 2 }");
    let [_, status, tail] = ask(&gateway, "Unary", &["x-text=NOT_FOUND"]);
    assert_eq!((status.as_str(), tail.contains("x-tail")), ("NOT_FOUND as you say", true), "{tail}");
    assert_eq!(gateway.states(), ["CLOSED"]);
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "Unary", &["x-text=UNAVAILABLE"])[1], "UNAVAILABLE as you say");
    }
    eventually("the circuit to open", || (gateway.states() == ["OPEN"]).then_some(()));
    assert_eq!(gateway.stats()[0]["lastFailure"]["cause"], "gRPC status UNAVAILABLE");
    let [_, refused, _] = ask(&gateway, "Unary", &[]);
    assert!(refused.starts_with("UNAVAILABLE Every target of this route is failing"), "{refused}");
}

#[test]
fn failures_of_the_way_are_told_in_words_of_grpc() {
    let dead = over(&format!("h2c://{}", nobody()), "");
    assert_eq!(ask(&dead, "Unary", &[])[1], "UNAVAILABLE No connection to a target of this route could be made.");
    let old = crate::support::Upstream::start();
    let gateway = over(&format!("h2c://{}", old.address), "");
    assert!(ask(&gateway, "Unary", &[])[1].starts_with("UNAVAILABLE "), "who speaks HTTP/1.1 only");
    let none = call(&gateway.address.to_string(), "Unary", &[], None);
    assert!(none[1].starts_with("UNAVAILABLE "));
}

#[test]
fn calls_come_by_tls_too() {
    let (server, certificates) = (Grpc::start(), Certificates::make());
    let gateway = gateway(format!(
        "tls: {{ listen: 127.0.0.1:0, certificates: {{ certFile: {}, keyFile: {} }} }}\nroutes: [{{ path: /echo.Echo, target: '{}' }}]\n",
        certificates.server_cert.display(),
        certificates.server_key.display(),
        server.target()
    ));
    let address = gateway.https().replace("https://", "");
    assert_eq!(call(&address, "Each", &[], Some(&certificates.ca))[..2], ["he|llo", "OK "]);
}

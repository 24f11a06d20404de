//! Who gets in.

use serde_json::json;

use crate::support::{Gateway, Upstream, aegis, gateway, now, signed};

fn users(upstream: &Upstream, jwt: &str) -> Gateway {
    let target = upstream.url();
    gateway(format!("{jwt}\nroutes: [{{ path: /users, targets: {target}, plugins: {{ auth: true }} }}]\n"))
}

fn with(gateway: &Gateway, authorization: &str) -> crate::support::Response {
    gateway.request("GET", "/users", &[("Authorization", authorization)])
}

#[test]
fn without_a_token_there_is_401_and_a_challenge() {
    let upstream = Upstream::start();
    let gateway = users(&upstream, "");
    let response = gateway.get("/users/7");
    response.is_problem(401, "token_missing");
    assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"aegis\""));
    assert_eq!(response.json()["instance"], "/users/7");
    assert!(upstream.received().is_empty());
    assert!(gateway.log_line("token_missing").starts_with("[GET] /users/7 → 401 ("));
}

#[test]
fn bad_tokens_are_refused_with_the_reason_and_nothing_is_forwarded() {
    let upstream = Upstream::start();
    let gateway = users(&upstream, "");
    let good = signed(&json!({ "userId": "u", "exp": now() + 60 }));
    let (head, tail) = good.rsplit_once('.').unwrap();
    let payload = head.split_once('.').unwrap().1;
    // {"alg":"none"}, with and without a signature.
    let none = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let none_signed = format!("eyJhbGciOiJub25lIn0.{payload}.{tail}");
    let long = "a".repeat(20 * 1024);
    for (token, code) in [
        (signed(&json!({ "userId": "u", "exp": now() - 1 })), "token_expired"),
        (signed(&json!({ "userId": "u", "nbf": now() + 60 })), "token_invalid"),
        (signed(&json!({ "exp": now() + 60 })), "token_invalid"),
        (signed(&json!({ "userId": "a\r\nx-admin: 1" })), "token_invalid"),
        (signed(&json!({ "userId": { "$gt": "" } })), "token_invalid"),
        (signed(&json!({ "userId": "u", "exp": "tomorrow" })), "token_invalid"),
        (format!("{head}.AAAA{}", &tail[4..]), "token_invalid"),
        (none, "token_invalid"),
        (none_signed, "token_invalid"),
        ("not-a-jwt".to_owned(), "token_invalid"),
        ("a.b.c".to_owned(), "token_invalid"),
        (long, "token_invalid"),
    ] {
        let response = with(&gateway, &format!("Bearer {token}"));
        response.is_problem(401, code);
        assert!(response.header("www-authenticate").unwrap().contains("error=\"invalid_token\""), "{response:?}");
        assert!(!response.text().contains(&token[..token.len().min(20)]), "the answer quotes the token");
    }
    let twice = [("Authorization", format!("Bearer {good}")), ("Authorization", format!("Bearer {good}"))];
    let twice: Vec<(&str, &str)> = twice.iter().map(|(name, value)| (*name, value.as_str())).collect();
    gateway.request("GET", "/users", &twice).is_problem(401, "token_invalid");
    with(&gateway, "Basic dTpw").is_problem(401, "token_missing");
    assert!(upstream.received().is_empty());
    assert_eq!(with(&gateway, &format!("Bearer {good}")).status, 200);
}

#[test]
fn a_token_without_exp_is_good_unless_the_config_requires_one() {
    let upstream = Upstream::start();
    let eternal = format!("Bearer {}", signed(&json!({ "userId": "test-123" })));
    assert_eq!(with(&users(&upstream, ""), &eternal).status, 200);
    assert_eq!(upstream.only().header("x-user-id"), Some("test-123"));
    let strict = users(&upstream, "auth: { jwt: { requiredClaims: [exp] } }");
    with(&strict, &eternal).is_problem(401, "token_invalid");
}

#[test]
fn an_upgrade_exempts_nothing() {
    let upstream = Upstream::start();
    let gateway = users(&upstream, "");
    for headers in [
        &[("Upgrade", "websocket"), ("Connection", "Upgrade")][..],
        &[("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
    ] {
        gateway.request("GET", "/users", headers).is_problem(401, "token_missing");
    }
    for method in ["OPTIONS", "HEAD", "POST", "PROPFIND"] {
        assert_eq!(gateway.request(method, "/users", &[("Content-Length", "0")]).status, 401, "{method}");
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn the_token_command_makes_tokens_that_the_gateway_takes() {
    let upstream = Upstream::start();
    let gateway = users(&upstream, "");
    let output = aegis(&[
        "token",
        "--user",
        "cli-user",
        "--secret",
        crate::support::SECRET,
        "--claim",
        "admin=true",
        "--claim",
        "tenant=gold",
    ])
    .output()
    .unwrap();
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(with(&gateway, &format!("Bearer {}", token.trim())).status, 200);
    assert_eq!(upstream.only().header("x-user-id"), Some("cli-user"));
    let expired =
        aegis(&["token", "--user", "u", "--secret", crate::support::SECRET, "--expires", "0s"]).output().unwrap();
    let expired = String::from_utf8(expired.stdout).unwrap();
    with(&gateway, &format!("Bearer {}", expired.trim())).is_problem(401, "token_expired");
}

#[test]
fn the_token_command_signs_as_the_config_says() {
    let upstream = Upstream::start();
    let jwt = "auth: { jwt: { issuer: me, audience: [api, web], userIdClaim: uid, requiredClaims: exp } }";
    let gateway = users(&upstream, jwt);
    let text = format!("{jwt}\nroutes: [{{ path: /, target: 'http://a:1', plugins: {{ auth: true }} }}]\n");
    let token = |text: &str, args: &[&str]| {
        let mut command = aegis(&[&["token", "--user", "cli-user", "-c", "aegis.yaml"], args].concat());
        std::fs::write(command.get_current_dir().unwrap().join("aegis.yaml"), text).unwrap();
        command.env("JWT_SECRET", crate::support::SECRET).output().unwrap()
    };
    let made = token(&text, &[]);
    let bearer = format!("Bearer {}", String::from_utf8(made.stdout).unwrap().trim());
    assert_eq!(with(&gateway, &bearer).status, 200);
    assert_eq!(upstream.only().header("x-user-id"), Some("cli-user"));
    let other = String::from_utf8(token(&text, &["--secret", "another secret"]).stdout).unwrap();
    with(&gateway, &format!("Bearer {}", other.trim())).is_problem(401, "token_invalid");
    let none = token("routes: [{ path: /, target: 'http://a:1' }]", &[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8(none.stderr).unwrap().contains("--secret"));
}

#[test]
fn the_connection_of_a_refused_request_is_good_for_the_next() {
    let upstream = Upstream::start();
    let gateway = users(&upstream, "");
    let good = format!("Bearer {}", signed(&json!({ "userId": "u" })));
    let mut connection = gateway.connect();
    for _ in 0..3 {
        connection.request("GET", "/users", &[]).is_problem(401, "token_missing");
        connection.send("POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
        connection.answer(false).is_problem(401, "token_missing");
        connection.request("GET", "/users/%2f..", &[]).is_problem(400, "path_invalid");
        assert_eq!(connection.request("GET", "/users", &[("Authorization", &good)]).status, 200);
    }
    assert_eq!(upstream.received().len(), 3);
}

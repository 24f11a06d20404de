//! Keys that are fetched from their issuer.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::support::issuer::{Issuer, Key, jwks};
use crate::support::{Certificates, Gateway, Reply, Response, Upstream, eventually, gateway, nobody, now};

/// A gateway that takes tokens as `jwt` says, with variables in its environment.
fn start(upstream: &Upstream, jwt: &str, env: &[(&str, &str)]) -> Gateway {
    let config = format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nauth: {{ jwt: {{ {jwt} }} }}\nroutes: [{{ path: /, target: {}, plugins: {{ auth: true }} }}]\n",
        upstream.url()
    );
    Gateway::start(&config, env)
}

/// It says so on standard error.
fn says(gateway: &Gateway, told: &str) {
    eventually(told, || gateway.stderr().contains(told).then_some(()));
}

fn at(url: &str) -> String {
    format!("jwksUrl: '{url}/keys'")
}

fn get(gateway: &Gateway, key: &Key) -> Response {
    gateway.request("GET", "/users", &[("Authorization", &key.bearer(&json!({ "sub": "u" })))])
}

#[test]
fn keys_are_there_when_the_first_request_comes_and_new_ones_are_asked_for_once_in_a_while() {
    let (upstream, issuer) = (Upstream::start(), Issuer::start());
    let (old, new, newer) = (Key::p256("old"), Key::rsa("new"), Key::p256("newer"));
    issuer.says("/keys", &jwks(&[&old]));
    let gateway = start(&upstream, &at(&issuer.url()), &[]);
    assert_eq!((get(&gateway, &old).status, issuer.asked()), (200, 1));
    issuer.says("/keys", &jwks(&[&new]));
    // All who come at once wait for one question.
    thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| get(&gateway, &new).status)).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap() == 200));
    });
    assert_eq!(issuer.asked(), 2);
    let forgotten = get(&gateway, &old);
    forgotten.is_problem(401, "token_invalid");
    assert_eq!(forgotten.json()["detail"], "The token is signed with a key that is not known.");
    issuer.says("/keys", &jwks(&[&new, &newer]));
    get(&gateway, &newer).is_problem(401, "token_invalid");
    assert_eq!((get(&gateway, &new).status, issuer.asked()), (200, 2));
}

/// It passed as it would have when its issuer was asked.
#[test]
fn a_token_that_ends_while_its_issuer_is_asked_is_none() {
    let (upstream, new) = (Upstream::start(), Key::p256("new"));
    let (first, second) = (jwks(&[&Key::p256("old")]), jwks(&[&new]));
    let (asked, ends) = (AtomicUsize::new(0), now() + 2);
    let issuer = Upstream::with(move |_| {
        let keys = match asked.fetch_add(1, Ordering::AcqRel) {
            0 => &first,
            _ => {
                eventually("the token to end", || (now() > ends).then_some(()));
                &second
            }
        };
        Reply::Close(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len()).into_bytes())
    });
    let gateway = start(&upstream, &at(&issuer.url()), &[]);
    let token = new.bearer(&json!({ "sub": "u", "exp": ends }));
    gateway.request("GET", "/", &[("Authorization", &token)]).is_problem(401, "token_expired");
    assert_eq!(get(&gateway, &new).status, 200);
    assert_eq!(issuer.received().len(), 2);
}

/// They were refused until the keys were fetched for another reason, up to a day later.
#[test]
fn tokens_that_name_no_key_have_newer_ones_asked_for_as_well() {
    let upstream = Upstream::start();
    let (old, new, other, newest) = (Key::p256("old"), Key::p256("new"), Key::rsa("rsa"), Key::p256("newest"));
    for next in [&new, &other] {
        let issuer = Issuer::start();
        issuer.says("/keys", &jwks(&[&old]));
        let gateway = start(&upstream, &at(&issuer.url()), &[]);
        let get = |key: &Key| {
            let bearer = key.bearer_without_name(&json!({ "sub": "u" }));
            gateway.request("GET", "/users", &[("Authorization", &bearer)])
        };
        assert_eq!((get(&old).status, issuer.asked()), (200, 1));
        issuer.says("/keys", &jwks(&[next]));
        assert_eq!((get(next).status, issuer.asked()), (200, 2));
        // Anybody can make such tokens.
        let refused = get(&newest);
        refused.is_problem(401, "token_invalid");
        assert_eq!((get(&old).status, issuer.asked()), (401, 2));
    }
}

#[test]
fn without_any_key_it_is_nobodys_token_that_is_wrong() {
    let (upstream, key, address) = (Upstream::start(), Key::p256("k"), nobody());
    let gateway = start(&upstream, &at(&format!("http://{address}")), &[]);
    let refused = get(&gateway, &key);
    refused.is_problem(503, "keys_unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    gateway.get("/users").is_problem(401, "token_missing");
    let issuer = Issuer::at(address);
    issuer.says("/keys", &jwks(&[&key]));
    eventually("the issuer to be asked again", || (get(&gateway, &key).status == 200).then_some(()));
    let rows = gateway.operate("GET", "/keys", &[]).json();
    assert_eq!((&rows[0]["source"], &rows[0]["keys"]), (&json!(format!("http://{address}/keys")), &json!(1)), "{rows}");
    assert!(rows[0]["lastSuccess"].is_string() && rows[0]["error"].is_null(), "{rows}");
    says(&gateway, "/keys: 1 keys");
}

#[test]
fn keys_stay_while_their_issuer_talks_nonsense_or_is_down() {
    let (upstream, issuer) = (Upstream::start(), Issuer::start());
    let (key, other) = (Key::p256("k"), Key::p256("o"));
    issuer.says("/keys", &jwks(&[&key]));
    let gateway = start(&upstream, &at(&issuer.url()), &[]);
    issuer.says("/keys", "<html>");
    get(&gateway, &other).is_problem(401, "token_invalid");
    // A second or so later it is asked again.
    eventually("another question", || (issuer.asked() >= 3).then_some(()));
    says(&gateway, "1 are known and stay");
    let said = gateway.stderr();
    assert_eq!(said.matches("cannot get the keys of tokens").count(), 1, "{said}");
    assert!(said.contains("/keys: what it answers is no JSON"), "{said}");
    let rows = gateway.operate("GET", "/keys", &[]).json();
    assert!(rows[0]["error"].as_str().unwrap().contains("no JSON") && rows[0]["keys"] == 1, "{rows}");
    drop(issuer);
    assert_eq!(get(&gateway, &key).status, 200);
}

#[test]
fn answers_that_are_none_are_told_of() {
    let (upstream, key) = (Upstream::start(), Key::p256("k"));
    for (status, lines, body, told) in [
        ("500 Sorry", "", "", "it answers 500"),
        ("200 OK", "", &*" ".repeat(1_100_000), "its answer is longer than 1048576 bytes"),
        ("302 Found", "location: /keys\r\n", "", "it leads from one place to the next"),
        ("302 Found", "location: file:///keys\r\n", "", "it leads to where no https is"),
        ("302 Found", "", "", "it answers 302"),
    ] {
        let issuer = Issuer::start();
        issuer.answers_with("/keys", status, lines, body);
        let gateway = start(&upstream, &at(&issuer.url()), &[]);
        get(&gateway, &key).is_problem(503, "keys_unavailable");
        says(&gateway, told);
    }
    let silent = Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0])))));
    let gateway = start(&upstream, &at(&silent.url()), &[]);
    get(&gateway, &key).is_problem(503, "keys_unavailable");
    says(&gateway, "no answer within 5 s");
}

#[test]
fn an_issuer_says_where_its_keys_are() {
    let (upstream, issuer, key) = (Upstream::start(), Issuer::start(), Key::p256("k"));
    let url = issuer.url();
    let page = "/.well-known/openid-configuration";
    issuer.says(page, &json!({ "issuer": url, "jwks_uri": format!("{url}/moved"), "x": 1 }).to_string());
    issuer.answers_with("/moved", "307 Temporary Redirect", "location: /keys?v=1\r\n", "");
    issuer.says("/keys?v=1", &jwks(&[&key]));
    let jwt = format!("issuer: '{url}', discovery: true");
    let gateway = start(&upstream, &jwt, &[]);
    let bearer = key.bearer(&json!({ "sub": "u", "iss": url }));
    assert_eq!(gateway.request("GET", "/users", &[("Authorization", &bearer)]).status, 200);
    get(&gateway, &key).is_problem(401, "token_invalid");
    assert_eq!(gateway.operate("GET", "/keys", &[]).json()[0]["source"], url);
    for (configuration, told) in [
        (json!({ "issuer": "http://other", "jwks_uri": "x" }), "it is the configuration of http://other"),
        (json!({ "issuer": url, "jwks_uri": "file:///x" }), "its keys are where no https is"),
        (json!({ "issuer": url }), "no configuration of an issuer (without `jwks_uri`)"),
        (json!({ "issuer": url, "jwks_uri": format!("{url}/gone") }), "/gone: it answers 404"),
    ] {
        issuer.says(page, &configuration.to_string());
        let gateway = start(&upstream, &jwt, &[]);
        says(&gateway, told);
    }
    issuer.answers_with(page, "404 Not Found", "", "");
    let gateway = start(&upstream, &jwt, &[]);
    says(&gateway, "openid-configuration: it answers 404");
}

#[test]
fn tokens_of_several_issuers_are_told_by_whom_they_name() {
    let (upstream, here, there) = (Upstream::start(), Issuer::start(), Issuer::start());
    let (one, other) = (Key::p256("same"), Key::p256("same"));
    here.says("/keys", &jwks(&[&one]));
    there.says("/keys", &jwks(&[&other]));
    let block = |name: &str, issuer: &Issuer| format!("{{ issuer: {name}, {} }}", at(&issuer.url()));
    let gateway = gateway(format!(
        "auth: {{ jwt: [{}, {}] }}\nroutes: [{{ path: /, target: {}, plugins: {{ auth: true }} }}]\n",
        block("here", &here),
        block("there", &there),
        upstream.url()
    ));
    let get = |key: &Key, name: &str| {
        let bearer = key.bearer(&json!({ "sub": "u", "iss": name }));
        gateway.request("GET", "/users", &[("Authorization", &bearer)])
    };
    assert_eq!((get(&one, "here").status, get(&other, "there").status), (200, 200));
    get(&one, "there").is_problem(401, "token_invalid");
    get(&one, "nowhere").is_problem(401, "token_invalid");
}

/// A server of TLS that answers everything with `answer`; where it is.
fn tls_server(certificates: &Certificates, answer: String) -> String {
    let chain = CertificateDer::pem_file_iter(&certificates.server_cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            // A client that knows no such authority is gone by now.
            if stream.read(&mut [0; 4_096]).is_ok() {
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.flush();
            }
        }
    });
    url
}

#[test]
fn an_issuer_by_https_is_who_its_certificate_says_and_does_not_lead_to_http() {
    let (upstream, key, certificates) = (Upstream::start(), Key::p256("k"), Certificates::make());
    let set = jwks(&[&key]);
    let url = tls_server(&certificates, format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{set}", set.len()));
    let ca = |certificates: &Certificates| certificates.ca.to_str().unwrap().to_owned();
    let trusting = start(&upstream, &at(&url), &[("SSL_CERT_FILE", &ca(&certificates))]);
    assert_eq!(get(&trusting, &key).status, 200, "{}", trusting.stderr());
    let strange = start(&upstream, &at(&url), &[("SSL_CERT_FILE", &ca(&Certificates::make()))]);
    get(&strange, &key).is_problem(503, "keys_unavailable");
    let plain = Issuer::start();
    plain.says("/keys", &set);
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {}/keys\r\ncontent-length: 0\r\n\r\n", plain.url());
    let url = tls_server(&certificates, head);
    let led = start(&upstream, &at(&url), &[("SSL_CERT_FILE", &ca(&certificates))]);
    get(&led, &key).is_problem(503, "keys_unavailable");
    assert_eq!(plain.asked(), 0);
    says(&led, "it leads to where no https is");
}

#[test]
fn hints_that_come_before_the_keys_are_passed_over() {
    let (upstream, key) = (Upstream::start(), Key::p256("a"));
    let keys = jwks(&[&key]);
    let issuer = Upstream::with(move |_| {
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        Reply::Bytes(format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len()).into_bytes())
    });
    let gateway = start(&upstream, &at(&issuer.url()), &[]);
    assert_eq!(get(&gateway, &key).status, 200);
}

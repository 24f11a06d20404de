//! What tokens may be signed with.

use std::fs;

use serde_json::json;

use crate::support::gateway::directory;
use crate::support::issuer::{Key, jwks};
use crate::support::{Gateway, Response, Upstream, aegis, gateway, now, signed};

/// A gateway that takes tokens as `jwt` says; `text` is in the file that it calls FILE.
fn with(upstream: &Upstream, jwt: &str, text: &str) -> Gateway {
    let file = directory().join("keys");
    fs::write(&file, text).unwrap();
    let jwt = jwt.replace("FILE", file.to_str().unwrap());
    gateway(format!(
        "auth: {{ jwt: {{ {jwt} }} }}\nroutes: [{{ path: /, target: {}, plugins: {{ auth: true }} }}]\n",
        upstream.url()
    ))
}

fn get(gateway: &Gateway, authorization: &str) -> Response {
    gateway.request("GET", "/users", &[("Authorization", authorization)])
}

#[test]
fn a_token_is_checked_with_the_key_of_the_set_that_it_names() {
    let upstream = Upstream::start();
    let (rsa, p256, stranger) = (Key::rsa("r"), Key::p256("p"), Key::p256("s"));
    let gateway = with(&upstream, "jwksFile: FILE", &jwks(&[&rsa, &p256]));
    let claims = json!({ "sub": "u", "exp": now() + 60 });
    assert_eq!((get(&gateway, &rsa.bearer(&claims)).status, get(&gateway, &p256.bearer(&claims)).status), (200, 200));
    let unknown = get(&gateway, &stranger.bearer(&claims));
    unknown.is_problem(401, "token_invalid");
    assert_eq!(unknown.json()["detail"], "The token is signed with a key that is not known.");
    get(&gateway, &stranger.named("p").bearer(&claims)).is_problem(401, "token_invalid");
    get(&gateway, &format!("Bearer {}", signed(&claims))).is_problem(401, "token_invalid");
    get(&gateway, &rsa.bearer(&json!({ "sub": "u", "exp": 1 }))).is_problem(401, "token_expired");
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn a_public_key_in_a_file_or_in_the_config_is_enough() {
    let (upstream, key) = (Upstream::start(), Key::p256("any"));
    let bearer = key.bearer(&json!({ "sub": "u" }));
    let in_file = with(&upstream, "publicKeyFile: FILE", &key.pem);
    let inline = with(&upstream, &format!("publicKey: {:?}", key.pem), "");
    for gateway in [in_file, inline] {
        assert_eq!(get(&gateway, &bearer).status, 200);
        let confused = jsonwebtoken::encode(
            &jsonwebtoken::Header::default(),
            &json!({ "sub": "admin" }),
            &jsonwebtoken::EncodingKey::from_secret(key.pem.as_bytes()),
        );
        get(&gateway, &format!("Bearer {}", confused.unwrap())).is_problem(401, "token_invalid");
    }
}

#[test]
fn the_token_command_signs_where_a_secret_is_known_and_says_so_where_none_is() {
    let upstream = Upstream::start();
    let secret = "0123456789abcdef".repeat(4);
    let gateway = with(&upstream, "secretFile: FILE, algorithms: [HS512]", &format!("{secret}\n"));
    let token = |jwt: &str, file: &str| {
        let mut command = aegis(&["token", "--user", "u", "-c", "aegis.yaml"]);
        let folder = command.get_current_dir().unwrap().to_owned();
        fs::write(folder.join("keys"), file).unwrap();
        let routes = "routes: [{ path: /, target: 'http://a:1', plugins: { auth: true } }]";
        fs::write(folder.join("aegis.yaml"), format!("auth: {{ jwt: {{ {jwt} }} }}\n{routes}\n")).unwrap();
        command.output().unwrap()
    };
    let made = token("secretFile: keys, algorithms: [HS512]", &secret);
    let bearer = format!("Bearer {}", String::from_utf8(made.stdout).unwrap().trim());
    assert!(bearer.starts_with("Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzUxMiJ9."), "{bearer}");
    assert_eq!(get(&gateway, &bearer).status, 200);
    let none = token("publicKeyFile: keys", &Key::p256("k").pem);
    assert_eq!(none.status.code(), Some(1));
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(said.contains("aegis: cannot sign: the config has no secret") && said.contains("--secret"), "{said}");
}

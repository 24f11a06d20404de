//! Who users are by a key or a certificate.

use std::path::Path;

use serde_json::json;

use crate::support::gateway::directory;
use crate::support::{Certificates, Upstream, curl, gateway, signed};

/// The SHA-256 of `one` and `two`, as `sha256sum` shows them.
const ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
const TWO: &str = "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";

#[test]
fn a_program_shows_its_key() {
    let upstream = Upstream::start();
    let file = directory().join("keys");
    std::fs::write(&file, format!("keys: [{{ user: nightly, sha256: {TWO}, roles: admin }}]")).unwrap();
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nauth: {{ apiKeys: {{ keys: {{ user: batch, sha256: {ONE}, scopes: read }}, file: {} }} }}\nroutes:\n  \
         - {{ path: /, target: {target}, plugins: {{ auth: {{ by: [jwt, apiKey], forwardToken: false }} }} }}\n  \
         - {{ path: /read, target: {target}, plugins: {{ auth: {{ by: apiKey, requireScopes: read }} }} }}\n  \
         - {{ path: /admin, target: {target}, plugins: {{ auth: {{ by: apiKey, requireRoles: admin }} }} }}\n",
        file.display(),
        target = upstream.url()
    ));
    let get = |path: &str, key: &str| gateway.request("GET", path, &[("X-Api-Key", key)]);
    assert_eq!(get("/", "one").status, 200);
    let received = upstream.only();
    assert_eq!((received.header("x-user-id"), received.header("x-api-key")), (Some("batch"), None));
    assert_eq!((get("/read", "one").status, get("/admin", "two").status), (200, 200));
    assert_eq!(upstream.received()[2].header("x-api-key"), Some("two"));
    get("/read", "two").is_problem(403, "insufficient_scope");
    for wrong in ["three", "", ONE, "ONE"] {
        let refused = get("/read", wrong);
        refused.is_problem(401, "credentials_invalid");
        assert_eq!(refused.header("www-authenticate"), Some("ApiKey realm=\"aegis\""));
    }
    let twice = gateway.request("GET", "/read", &[("X-Api-Key", "one"), ("X-Api-Key", "one")]);
    twice.is_problem(401, "credentials_invalid");
    let none = gateway.get("/");
    none.is_problem(401, "credentials_missing");
    assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"aegis\", ApiKey realm=\"aegis\""));
    // The first that is there decides, and a token that is no good is not made good by a key.
    let bearer = format!("Bearer {}", signed(&json!({ "sub": "u" })));
    let both = [("Authorization", bearer.as_str()), ("X-Api-Key", "one")];
    assert_eq!(gateway.request("GET", "/", &both).status, 200);
    let received = upstream.received().pop().unwrap();
    assert_eq!((received.header("x-user-id"), received.header("authorization")), (Some("u"), None));
    assert_eq!(received.header("x-api-key"), None);
    let bad = [("Authorization", "Bearer x"), ("X-Api-Key", "one")];
    gateway.request("GET", "/", &bad).is_problem(401, "token_invalid");
}

#[test]
fn a_client_is_known_by_its_certificate() {
    let (certificates, upstream) = (Certificates::make(), Upstream::start());
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let Certificates { ca, server_cert, server_key, client_cert, client_key } = &certificates;
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0 }}\ntls:\n  listen: 127.0.0.1:0\n  certificates: {{ certFile: {}, keyFile: {} }}\n  clientCaFile: {}\n  clientAuth: optional\n\
         routes: [{{ path: /, target: {}, plugins: {{ auth: {{ by: clientCertificate }} }} }}]\n",
        text(server_cert),
        text(server_key),
        text(ca),
        upstream.url()
    ));
    let (url, ca) = (format!("{}/x", gateway.https()), text(ca));
    let shown = curl(&["--cacert", &ca, "--cert", &text(client_cert), "--key", &text(client_key), &url]);
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(upstream.only().header("x-user-id"), Some("client"));
    let none = curl(&["--cacert", &ca, "-H", "X-User-Id: client", &url]);
    assert_eq!((none.status, none.code()), (401, Some("credentials_missing")), "{none:?}");
    gateway.get("/x").is_problem(401, "credentials_missing");
}

#[test]
fn a_user_has_a_password() {
    let upstream = Upstream::start();
    let file = directory().join("htpasswd");
    let hash = bcrypt::hash("open sesame", 4).unwrap();
    std::fs::write(&file, format!("# who may\n\nann:{hash}\n")).unwrap();
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nauth: {{ basic: {{ file: {} }} }}\nroutes: [{{ path: /, target: {}, plugins: {{ auth: {{ by: [jwt, basic], forwardToken: false }} }} }}]\n",
        file.display(),
        upstream.url()
    ));
    let basic = |text: &str| {
        use base64::Engine;
        let authorization = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
        gateway.request("GET", "/", &[("Authorization", &authorization)])
    };
    assert_eq!((basic("ann:open sesame").status, basic("ann:open sesame").status), (200, 200));
    let received = upstream.received().pop().unwrap();
    assert_eq!((received.header("x-user-id"), received.header("authorization")), (Some("ann"), None));
    for wrong in ["ann:open", "bob:open sesame", "ann"] {
        let refused = basic(wrong);
        refused.is_problem(401, "credentials_invalid");
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"aegis\", charset=\"UTF-8\""));
    }
    let none = gateway.get("/");
    none.is_problem(401, "credentials_missing");
    let both = "Bearer realm=\"aegis\", Basic realm=\"aegis\", charset=\"UTF-8\"";
    assert_eq!(none.header("www-authenticate"), Some(both));
    let bearer = format!("Bearer {}", signed(&json!({ "sub": "u" })));
    assert_eq!(gateway.request("GET", "/", &[("Authorization", &bearer)]).status, 200);
}

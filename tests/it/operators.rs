//! Who may use the admin listener, and who cannot keep others from it.

use std::fs;
use std::path::Path;

use crate::support::gateway::directory;
use crate::support::{Certificates, Connection, Gateway, Upstream, curl, eventually, gateway};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// With this in the block of the admin listener.
fn with(admin: &str, upstream: &Upstream) -> Gateway {
    gateway(format!("admin:\n  listen: 127.0.0.1:0\n{admin}routes: [{{ path: /, target: {} }}]\n", upstream.url()))
}

#[test]
fn a_token_to_look_changes_nothing() {
    let (upstream, directory) = (Upstream::start(), directory());
    fs::write(directory.join("all"), "all-powerful-token\n").unwrap();
    fs::write(directory.join("look"), "only-looking-token\n").unwrap();
    let gateway = with(&format!("  tokenFile: {0}/all\n  readTokenFile: {0}/look\n", directory.display()), &upstream);
    let drain = format!("/circuits/open?target={}", upstream.url());
    for (token, read, write) in
        [("all-powerful-token", 200, 200), ("only-looking-token", 200, 403), ("only-guessed-token", 401, 401)]
    {
        let bearer = format!("Bearer {token}");
        let fields = [("Authorization", bearer.as_str())];
        for page in ["/stats", "/metrics", "/config", "/keys"] {
            assert_eq!(gateway.operate("GET", page, &fields).status, read, "{token} {page}");
        }
        for target in [drain.as_str(), "/reload"] {
            assert_eq!(gateway.operate("POST", target, &fields).status, write, "{token} {target}");
        }
        let asked = gateway.operate("POST", "/explain", &fields).status;
        assert_eq!(asked, if read == 200 { 400 } else { 401 }, "to ask is to look: {token}");
    }
    let denied = gateway.operate("GET", "/events", &[]);
    assert_eq!((denied.status, denied.header("www-authenticate")), (401, Some("Bearer realm=\"aegis admin\"")));
    assert_eq!(gateway.operate("GET", "/dashboard", &[]).status, 200, "the page says nothing by itself");
}

#[test]
fn certificates_let_some_look_and_some_do_all() {
    let (certificates, upstream) = (Certificates::make(), Upstream::start());
    let Certificates { ca, server_cert, server_key, client_cert, client_key } = &certificates;
    let tls =
        |more: &str| format!("  tls: {{ certFile: {}, keyFile: {}{more} }}\n", text(server_cert), text(server_key));
    let reload = |gateway: &Gateway, args: &[&str]| {
        let url = format!("https://{}/reload", gateway.admin());
        curl(&[&["--cacert", text(ca), "-X", "POST", url.as_str()], args].concat())
    };
    let shown = ["--cert", text(client_cert), "--key", text(client_key)];
    let mutual = |more: &str| with(&tls(&format!(", clientCaFile: {}{more}", text(ca))), &upstream);

    let readers = mutual("");
    let url = format!("https://{}/stats", readers.admin());
    assert_eq!(curl(&[&["--cacert", text(ca), url.as_str()], &shown[..]].concat()).status, 200);
    assert_eq!(reload(&readers, &shown).status, 403);
    assert_eq!(reload(&readers, &[]).status, 0, "without a certificate there is no connection");
    assert_eq!(reload(&mutual(", writers: client"), &shown).status, 200);
    assert_eq!(reload(&mutual(", writers: [other]"), &shown).status, 403);

    // Without authorities it is TLS alone, and whoever is here may do everything.
    let plain = with(&tls(""), &upstream);
    let answer = reload(&plain, &["--http2"]);
    assert_eq!((answer.status, answer.version.as_str()), (200, "1.1"), "{answer:?}");
}

/// Connections that say nothing, or not all of it, take nobody's place.
#[test]
fn whoever_opens_connections_and_says_nothing_keeps_nobody_out() {
    let upstream = Upstream::start();
    let gateway = with("", &upstream);
    let admin = gateway.admin();
    let mut silent: Vec<Connection> = (0..400)
        .map(|number| {
            let mut connection = Connection::open(admin);
            if number % 2 == 0 {
                connection.send("GET /stats HTTP/1.1\r\nHost:");
            }
            connection
        })
        .collect();
    assert_eq!(gateway.operate("GET", "/stats", &[]).status, 200);
    assert!(silent[0].is_closed() && silent[1].is_closed(), "who has waited for longest makes room");
    eventually("few to be left", || {
        let open = fs::read_dir(format!("/proc/{}/fd", gateway.id())).unwrap().count();
        (open < 250).then_some(())
    });
}

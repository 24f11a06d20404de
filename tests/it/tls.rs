//! TLS for clients.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::HandshakeKind::{Full, Resumed};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::support::{Certificates, Gateway, Upstream, curl, eventually, gateway, token};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A gateway that shows the certificate of a server at 127.0.0.1, with more settings of TLS.
fn over(certificates: &Certificates, upstream: &Upstream, tls: &str) -> Gateway {
    let Certificates { server_cert, server_key, .. } = certificates;
    gateway(format!(
        "tls:\n  listen: 127.0.0.1:0\n  certificates: {{ certFile: {}, keyFile: {} }}\n{tls}\nroutes: [{{ path: /, target: {}, plugins: {{ auth: true }} }}]\n",
        text(server_cert),
        text(server_key),
        upstream.url()
    ))
}

fn bearer() -> String {
    format!("Authorization: Bearer {}", token("u1"))
}

#[test]
fn requests_come_by_tls_in_both_versions_and_protocols_and_are_told_from_plain_ones() {
    let (certificates, upstream) = (Certificates::make(), Upstream::start());
    let gateway = over(&certificates, &upstream, "");
    let url = format!("{}/x?q=1", gateway.https());
    let (ca, bearer) = (text(&certificates.ca), bearer());
    for (tls, protocol, version) in [
        ("--tlsv1.3", "--http1.1", "1.1"),
        ("--tlsv1.3", "--http2", "2"),
        ("--tls-max=1.2", "--http2", "2"),
        ("--tls-max=1.2", "--http1.1", "1.1"),
    ] {
        let (tls, most) = tls.split_once('=').unwrap_or((tls, "1.3"));
        let most: &[&str] = if tls == "--tls-max" { &[tls, most] } else { &[tls] };
        let args = [most, &[protocol, "--cacert", ca, "-H", &bearer, &url]].concat();
        let answer = curl(&args);
        assert_eq!(
            (answer.status, answer.version.as_str(), answer.body.as_str()),
            (200, version, "hello\n"),
            "{answer:?}"
        );
        assert!(answer.header("x-request-id").is_some());
        let refused = curl(&[most, &[protocol, "--cacert", ca, &url]].concat());
        assert_eq!((refused.status, refused.code()), (401, Some("token_missing")), "{refused:?}");
    }
    let host = gateway.https().replace("https://", "");
    for received in upstream.received() {
        assert_eq!((received.line.as_str(), received.header("host")), ("GET /x?q=1 HTTP/1.1", Some(host.as_str())));
        assert_eq!((received.header("x-forwarded-proto"), received.header("x-user-id")), (Some("https"), Some("u1")));
    }
    assert_eq!(gateway.get_as("u1", "/").status, 200);
    assert_eq!(upstream.received().last().unwrap().header("x-forwarded-proto"), Some("http"));
}

#[test]
fn the_name_that_is_asked_for_decides_which_certificate_is_shown() {
    let (first, other, upstream) = (Certificates::make(), Certificates::make_for(&["*.b.test"]), Upstream::start());
    let (gateway, pair) = {
        let pair =
            |c: &Certificates| format!("{{ certFile: {}, keyFile: {} }}", text(&c.server_cert), text(&c.server_key));
        let config = format!(
            "tls: {{ listen: 127.0.0.1:0, certificates: [{}, {}] }}\nroutes: [{{ path: /, target: {} }}]\n",
            pair(&first),
            pair(&other),
            upstream.url()
        );
        (gateway(config), [first, other])
    };
    let address = gateway.https().replace("https://", "");
    let port = address.rsplit_once(':').unwrap().1;
    let ask = |name: &str, certificates: &Certificates| {
        let (resolve, url) = (format!("{name}:{port}:127.0.0.1"), format!("https://{name}:{port}/"));
        curl(&["--resolve", &resolve, "--cacert", text(&certificates.ca), &url]).status
    };
    assert_eq!((ask("x.b.test", &pair[1]), ask("localhost", &pair[0])), (200, 200));
    assert_eq!((ask("x.b.test", &pair[0]), ask("localhost", &pair[1])), (0, 0));
}

#[test]
fn certificates_are_read_anew_and_bad_ones_are_not_taken() {
    let (certificates, next, upstream) = (Certificates::make(), Certificates::make(), Upstream::start());
    let gateway = over(&certificates, &upstream, "");
    let ask = |by: &Certificates| curl(&["--cacert", text(&by.ca), "-H", &bearer(), &gateway.https()]).status;
    assert_eq!((ask(&certificates), ask(&next)), (200, 0));
    fs::write(&certificates.server_key, "no key").unwrap();
    eventually("the bad key to be noticed", || {
        gateway.stderr().contains("the certificate of before is kept").then_some(())
    });
    assert_eq!(ask(&certificates), 200);
    for (from, to) in [(&next.server_cert, &certificates.server_cert), (&next.server_key, &certificates.server_key)] {
        let new = to.with_extension("new");
        fs::copy(from, &new).unwrap();
        fs::rename(&new, to).unwrap();
    }
    eventually("the new one to be shown", || (ask(&next) == 200).then_some(()));
    assert_eq!(ask(&certificates), 0);
}

/// What a reload changes of TLS counts for whoever shakes hands from then on.
#[test]
fn a_reload_brings_further_names_and_asks_for_certificates_of_clients() {
    let (first, other, upstream) = (Certificates::make(), Certificates::make_for(&["*.b.test"]), Upstream::start());
    let config = |cert: &[(&Certificates, &Path)], more: &str| {
        let pair = |(c, key): &(&Certificates, &Path)| {
            format!("{{ certFile: {}, keyFile: {} }}", text(&c.server_cert), text(key))
        };
        let pairs: Vec<String> = cert.iter().map(pair).collect();
        format!(
            "tls: {{ listen: 127.0.0.1:0, certificates: [{}]{more} }}\nroutes: [{{ path: /, target: {} }}]\n",
            pairs.join(", "),
            upstream.url()
        )
    };
    let (one, two) = ((&first, first.server_key.as_path()), (&other, other.server_key.as_path()));
    let gateway = gateway(config(&[one], ""));
    let port = gateway.https().rsplit_once(':').unwrap().1.to_owned();
    let ask = |name: &str, certificates: &Certificates, more: &[&str]| {
        let (resolve, url) = (format!("{name}:{port}:127.0.0.1"), format!("https://{name}:{port}/"));
        curl(&[&["--resolve", &resolve, "--cacert", text(&certificates.ca), &url], more].concat()).status
    };
    assert_eq!((ask("localhost", &first, &[]), ask("x.b.test", &other, &[])), (200, 0));
    gateway.configure(config(&[one, two], ""));
    eventually("the other name", || (ask("x.b.test", &other, &[]) == 200).then_some(()));
    assert_eq!(ask("localhost", &first, &[]), 200);
    // A key that is not that of the certificate.
    gateway.configure(config(&[(&other, first.server_key.as_path())], ""));
    gateway.said("tls.certificates[0]");
    assert_eq!((ask("localhost", &first, &[]), ask("x.b.test", &other, &[])), (200, 200));
    gateway.configure(config(&[one], &format!(", clientCaFile: {}", text(&first.ca))));
    eventually("clients to be asked who they are", || (ask("localhost", &first, &[]) == 0).then_some(()));
    let own = ["--cert", text(&first.client_cert), "--key", text(&first.client_key)];
    assert_eq!((ask("localhost", &first, &own), ask("x.b.test", &other, &own)), (200, 0));
}

#[test]
fn clients_show_who_they_are_where_that_is_required() {
    let (certificates, stranger, upstream) = (Certificates::make(), Certificates::make(), Upstream::start());
    let own = |c: &Certificates| [text(&c.client_cert).to_owned(), text(&c.client_key).to_owned()];
    for (auth, without) in [("", 0), ("  clientAuth: required\n", 0), ("  clientAuth: optional\n", 200)] {
        let gateway = over(&certificates, &upstream, &format!("  clientCaFile: {}\n{auth}", text(&certificates.ca)));
        let ask = |pair: Option<[String; 2]>| {
            let (url, bearer) = (gateway.https(), bearer());
            let mut args = vec!["--cacert", text(&certificates.ca), "-H", &bearer, &url];
            if let Some([cert, key]) = &pair {
                args.extend(["--cert", cert, "--key", key]);
            }
            curl(&args).status
        };
        assert_eq!(ask(Some(own(&certificates))), 200, "{auth}");
        assert_eq!((ask(None), ask(Some(own(&stranger)))), (without, 0), "{auth}");
    }
}

/// Whoever had once shown a certificate went on as that user, whatever was asked of clients by then.
#[test]
fn a_session_is_not_taken_up_again_once_other_clients_are_believed() {
    let (certificates, others, upstream) = (Certificates::make(), Certificates::make(), Upstream::start());
    let config = |ca: &Path, more: &str| {
        let Certificates { server_cert, server_key, .. } = &certificates;
        format!(
            "tls:\n  listen: 127.0.0.1:0\n  certificates: {{ certFile: {}, keyFile: {} }}\n  clientCaFile: {}\n{more}\
             routes: [{{ path: /, target: {}, plugins: {{ auth: {{ by: clientCertificate }} }} }}]\n",
            text(server_cert),
            text(server_key),
            text(ca),
            upstream.url()
        )
    };
    let gateway = gateway(config(&certificates.ca, ""));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut client = Client::new(&certificates, version);
        let address = gateway.https().replace("https://", "");
        assert_eq!((client.ask(&address), client.ask(&address)), (Some(Full), Some(Resumed)), "{version:?}");
        gateway.configure(config(&others.ca, ""));
        eventually("the other clients to be believed", || {
            Client::new(&certificates, version).ask(&address).is_none().then_some(())
        });
        assert_eq!(client.ask(&address), None, "{version:?}");
        gateway.configure(config(&certificates.ca, ""));
        eventually("the first ones again", || Client::new(&certificates, version).ask(&address).map(drop));
    }
}

/// A client that goes on where it was, if it is let.
struct Client(Arc<rustls::ClientConfig>);

impl Client {
    fn new(certificates: &Certificates, version: &'static rustls::SupportedProtocolVersion) -> Self {
        let read = |path: &Path| fs::read(path).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&read(&certificates.ca)).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(&read(&certificates.client_cert)).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&read(&certificates.client_key)).unwrap();
        Client(Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap()))
    }

    /// By which handshake it was answered 200, if it was.
    fn ask(&mut self, address: &str) -> Option<rustls::HandshakeKind> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = rustls::ClientConnection::new(self.0.clone(), name).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, std::net::TcpStream::connect(address).unwrap());
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer.starts_with(b"HTTP/1.1 200").then(|| stream.conn.handshake_kind()).flatten()
    }
}

#[test]
fn old_versions_are_refused_where_the_config_says_so() {
    let (certificates, upstream) = (Certificates::make(), Upstream::start());
    let gateway = over(&certificates, &upstream, "  minVersion: 1.3");
    let ask =
        |most: &str| curl(&["--tls-max", most, "--cacert", text(&certificates.ca), "-H", &bearer(), &gateway.https()]);
    assert_eq!(ask("1.3").status, 200);
    assert!(ask("1.2").error.contains("alert protocol version"), "{:?}", ask("1.2"));
}

#[test]
fn plain_requests_are_sent_to_https() {
    let (certificates, upstream) = (Certificates::make(), Upstream::start());
    let gateway = over(&certificates, &upstream, "  redirect: 127.0.0.1:0");
    let (_, said) =
        gateway.stderr().split_once("which leads to https").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let port = gateway.https().rsplit_once(':').unwrap().1.to_owned();
    assert!(said.contains(&format!("on port {port}")));
    let before = gateway.stderr();
    let line = before.lines().find(|line| line.contains("which leads")).unwrap();
    let plain = line.split_once("http://").unwrap().1.split_once(',').unwrap().0;
    let answer = curl(&["-X", "POST", "-d", "x", &format!("http://{plain}/a/../b?c=d")]);
    assert_eq!((answer.status, answer.code()), (308, Some("use_https")), "{answer:?}");
    assert_eq!(answer.header("location"), Some(format!("https://127.0.0.1:{port}/b?c=d").as_str()));
    let followed = curl(&[
        "--location-trusted",
        "--cacert",
        text(&certificates.ca),
        "-H",
        &bearer(),
        &format!("http://{plain}/x"),
    ]);
    assert_eq!((followed.status, upstream.only().path()), (200, "/x"));
}

#[test]
fn what_is_no_handshake_ends_the_connection_and_nothing_else() {
    let (certificates, upstream) = (Certificates::make(), Upstream::start());
    let gateway = over(&certificates, &upstream, "");
    let address = gateway.https().replace("https://", "");
    for junk in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0x16, 3, 1, 0, 5, 1, 2, 3], &[0; 100]] {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(15))).unwrap();
        stream.write_all(junk).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(curl(&["--cacert", text(&certificates.ca), "-H", &bearer(), &gateway.https()]).status, 200);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_plain_request_on_a_port_of_tls_is_told_so() {
    let (certificates, upstream) = (Certificates::make(), Upstream::start());
    let gateway = over(&certificates, &upstream, "");
    let url = gateway.https().replace("https://", "http://");
    for path in ["/", "/gateway/stats", "/a/../b"] {
        let answer = curl(&["--path-as-is", &format!("{url}{path}"), "-H", &bearer()]);
        assert_eq!((answer.status, answer.code()), (400, Some("bad_request")), "{answer:?}");
        assert!(answer.body.contains("This port speaks TLS: write https://"), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    // With a body that is still coming.
    let file = gateway.directory.join("body");
    fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
    let answer = curl(&["--data-binary", &format!("@{}", text(&file)), &url]);
    assert_eq!((answer.status, answer.code()), (400, Some("bad_request")), "{answer:?}");
    assert!(gateway.log_line("bad_request").starts_with("[GET] / "), "{}", gateway.stdout());
    assert!(upstream.received().is_empty());
    // What is neither gets nothing.
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.write_all(b"\0\0\0\0").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

//! Certificates made for one test, and a Redis that speaks TLS with them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::gateway::directory;
use super::nobody;
use super::redis::{Redis, data_node};

/// Files in PEM: an authority, and what it has signed for a server at 127.0.0.1 and localhost and for a client.
pub struct Certificates {
    pub ca: PathBuf,
    pub server_cert: PathBuf,
    pub server_key: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
}

impl Certificates {
    /// New ones, which those of any other call know nothing of.
    pub fn make() -> Self {
        Certificates::make_for(&["127.0.0.1", "localhost"])
    }

    /// The same for a server of these names.
    pub fn make_for(names: &[&str]) -> Self {
        let directory = directory();
        let mut authority = named("authority", &[]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let signed = |name: &str, hosts: &[&str]| {
            let key = KeyPair::generate().unwrap();
            let cert = named(name, hosts).signed_by(&key, &authority).unwrap();
            let file = |kind: &str, text: String| written(&directory, &format!("{name}-{kind}.pem"), text);
            (file("cert", cert.pem()), file("key", key.serialize_pem()))
        };
        let (server_cert, server_key) = signed("server", names);
        let (client_cert, client_key) = signed("client", &[]);
        let ca = written(&directory, "ca.pem", authority.pem());
        Certificates { ca, server_cert, server_key, client_cert, client_key }
    }
}

/// The TLS side of a server.
pub struct Tls {
    pub address: SocketAddr,
    pub certificates: Certificates,
}

impl Tls {
    pub fn url(&self) -> String {
        format!("rediss://{}", self.address)
    }
}

impl Redis {
    /// One with more arguments that speaks TLS at a port of its own, and on the plain one answers the test.
    pub fn start_tls(args: &[&str]) -> (Self, Tls) {
        let certificates = Certificates::make();
        let address = std::cell::Cell::new(nobody());
        let redis = Redis::launch("redis-server", |command, plain| {
            address.set(nobody());
            let Certificates { ca, server_cert, server_key, .. } = &certificates;
            data_node(command, plain).args(["--tls-port", &address.get().port().to_string()]);
            command.arg("--tls-ca-cert-file").arg(ca);
            command.arg("--tls-cert-file").arg(server_cert).arg("--tls-key-file").arg(server_key).args(args);
        });
        (redis, Tls { address: address.get(), certificates })
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn written(directory: &Path, name: &str, text: String) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    path
}

//! `admin:`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Compiler, samples};
use crate::config::error::Position;
use crate::config::file::{self, OrOff};
use crate::config::located::Located;
use crate::config::model::{Admin, AdminTls, CertificateFiles};
use crate::config::units::{Count, Secret};
use crate::tls::certificate;
use crate::tls::terminator::ClientAuth;

/// A token that is shorter can be guessed.
const LEAST_BYTES: usize = 16;
/// Of so many requests is remembered what became of them, if nothing is said.
const EXPLAINED: u32 = 4_096;
/// A request takes about 1 KiB.
const MOST_EXPLAINED: u32 = 100_000;

impl Compiler<'_> {
    pub(super) fn admin(&mut self, written: Option<&Located<file::Admin>>, listens: &[SocketAddr]) -> Option<Admin> {
        let written = written?;
        let listen = written.listen.as_ref().map_or((Ipv4Addr::LOCALHOST, 8001).into(), |listen| listen.0);
        let at = written.listen.as_ref().map_or(written.at, |listen| listen.at);
        let asks_for_certificates = written.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
        let is_guarded = written.token_file.is_some() || written.read_token_file.is_some() || asks_for_certificates;
        if !is_guarded && !listen.ip().is_loopback() {
            let message = format!(
                "whoever reaches {listen} could switch off targets; write tokenFile or tls.clientCaFile beside it, or listen on 127.0.0.1"
            );
            self.error(at, "admin.listen", message);
        }
        if let Some(other) = listens.iter().find(|other| collide(**other, listen)) {
            let message = format!("{listen} is not free, since requests come to {other}; choose another port");
            self.error(at, "admin.listen", message);
        }
        let name = |file: &Option<Located<String>>| file.as_ref().map(|file| file.value.clone());
        let (token, read_token) = (
            self.token(written.token_file.as_ref(), "admin.tokenFile"),
            self.token(written.read_token_file.as_ref(), "admin.readTokenFile"),
        );
        if let (Some(file), true) = (&written.read_token_file, token.is_some() && token == read_token) {
            let message = "it is the token of tokenFile, too, so whoever may look may do everything; write another one";
            self.error(file.at, "admin.readTokenFile", message);
        }
        Some(Admin {
            listen,
            token_file: name(&written.token_file),
            token,
            read_token_file: name(&written.read_token_file),
            read_token,
            tls: written.tls.as_ref().map(|tls| self.admin_tls(tls)),
            explain: self.explain(written.explain.as_ref()),
        })
    }

    fn admin_tls(&mut self, written: &Located<file::AdminTls>) -> AdminTls {
        let file::AdminTls { cert_file, key_file, client_ca_file, writers } = &written.value;
        let files = CertificateFiles { cert_file: cert_file.value.clone(), key_file: key_file.value.clone() };
        let before = self.current.and_then(|config| config.admin.as_ref()?.tls.as_ref());
        let known = before.filter(|before| before.files == files).and_then(|before| before.loaded.clone());
        let found = self.certificate(&files.cert_file, &files.key_file);
        let loaded = self.or_before(found, known, written.at, "admin.tls");
        let clients = client_ca_file.as_ref().and_then(|file| {
            let known = before.filter(|before| before.client_ca_file.as_ref() == Some(&file.value));
            let read = self.read(&file.value).map_err(|error| format!("cannot read {}: {error}", file.value));
            let found = read.and_then(|pem| certificate::chain(&file.value, &pem));
            let known = known.and_then(|before| Some(before.clients.as_ref()?.roots.clone()));
            let roots = self.or_before(found, known, file.at, "admin.tls.clientCaFile")?;
            Some(ClientAuth { roots, is_required: true })
        });
        if let (Some(writers), None) = (writers, client_ca_file) {
            let message = "nobody is known to sign certificates of operators; write clientCaFile beside it";
            self.error(writers.at, "admin.tls.writers", message);
        }
        let writers = writers.iter().flat_map(|writers| writers.value.iter().cloned()).collect();
        let client_ca_file_name = client_ca_file.as_ref().map(|file| file.value.clone());
        let tls = AdminTls { files, loaded, client_ca_file: client_ca_file_name, clients, writers };
        if let (Some(file), Some(_), Some(_)) = (client_ca_file, &tls.loaded, &tls.clients)
            && let Err(error) = tls.terminator(None)
        {
            let message = format!("no certificate in it is that of an authority: {error}");
            self.error(file.at, "admin.tls.clientCaFile", message);
        }
        tls
    }

    /// What was found; or else what was in use before, with a warning; or else an error.
    fn or_before<T>(&mut self, found: Result<T, String>, before: Option<T>, at: Position, path: &str) -> Option<T> {
        match (found, before) {
            (Ok(found), _) => Some(found),
            (Err(message), Some(before)) => {
                self.warn(at, path, format!("{message}; that of before is kept"));
                Some(before)
            }
            (Err(message), None) => {
                self.error(at, path, message);
                None
            }
        }
    }

    fn explain(&mut self, written: Option<&Located<OrOff<Count>>>) -> Option<u32> {
        let Some(written) = written else { return Some(EXPLAINED) };
        let count = written.value.0?.0.get();
        if count > MOST_EXPLAINED {
            let message =
                format!("{count} requests would take more than 100 MB; write at most {MOST_EXPLAINED}, or off");
            self.error(written.at, "admin.explain", message);
        }
        Some(count)
    }

    fn token(&mut self, file: Option<&Located<String>>, path: &'static str) -> Option<Secret> {
        let file = file?;
        let wrong = match self.read_text(&file.value) {
            Ok(text) if text.trim().len() >= LEAST_BYTES => {
                let token = Secret::new(text.trim());
                if samples::is_known(&token) {
                    self.warn(file.at, path, samples::KNOWN);
                }
                return Some(token);
            }
            Ok(text) => format!(
                "the token in {} has {} bytes and can be guessed; write at least {LEAST_BYTES}, `openssl rand -hex 24` makes a good one",
                file.value,
                text.trim().len()
            ),
            // Its name is not repeated: it may be the token itself.
            Err(error) => format!("cannot read it: {error}; write the name of a file with the token"),
        };
        self.error(file.at, path, wrong);
        None
    }
}

/// Whether only one of them can be listened on. Port 0 is any free one, and `[::]` takes IPv4, too.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |all: IpAddr, one: IpAddr| all == one || all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    let (here, there) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() == b.port() && a.port() != 0 && (covers(here, there) || covers(there, here))
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_collide_where_one_is_all_of_them() {
        let collide = |a: &str, b: &str| super::collide(a.parse().expect(a), b.parse().expect(b));
        for (a, b) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "[::]:1"),
            ("[::]:1", "[::1]:1"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"),
        ] {
            assert!(collide(a, b) && collide(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("0.0.0.0:0", "127.0.0.1:0"),
            ("0.0.0.0:1", "[::1]:1"),
        ] {
            assert!(!collide(a, b) && !collide(b, a), "{a} {b}");
        }
    }
}

//! `tls:`

use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use super::{Compiler, start};
use crate::config::file::{self, ClientAuth};
use crate::config::located::Located;
use crate::config::model::{CertificateFiles, Clients, Redirect, Tls};
use crate::tls::certificate::{self, Certificate};
use crate::tls::terminator;

impl Compiler<'_> {
    pub(super) fn tls(&mut self, written: Option<&file::Tls>, plain: &[SocketAddr]) -> Option<Tls> {
        let written = written?;
        let listen = match &written.listen {
            Some(listen) => listen.iter().map(|address| address.value.0).collect(),
            None => vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443))],
        };
        if let Some(double) = listen.iter().find(|address| address.port() != 0 && plain.contains(address)) {
            let at = written.listen.as_ref().and_then(|listen| listen.first()).map_or_else(start, |listen| listen.at);
            self.error(at, "tls.listen", format!("{double} is where plain requests come; choose another port"));
        }
        let (certificates, loaded) = self.certificates_of_clients(&written.certificates);
        let redirect = written.redirect.as_ref().map(|redirect| self.redirect(redirect, plain, &listen));
        let tls = Tls {
            clients: self.clients(written),
            listen,
            certificates,
            loaded,
            min_version: written.min_version.map(|version| version.0).unwrap_or_default(),
            redirect,
        };
        self.shakes_hands(&tls, written);
        Some(tls)
    }

    fn certificates_of_clients(
        &mut self,
        written: &file::OneOrMany<Located<file::CertificateFiles>>,
    ) -> (Vec<CertificateFiles>, Vec<Certificate>) {
        let (mut files, mut loaded) = (Vec::new(), Vec::new());
        for pair in written.iter() {
            let path = format!("tls.certificates[{}]", pair.index);
            let file::CertificateFiles { cert_file, key_file } = &pair.value;
            match Certificate::load(&cert_file.value, &key_file.value, SystemTime::now()) {
                Ok(certificate) => {
                    if let Some(warning) = &certificate.warning {
                        self.warn(pair.at, path, warning.clone());
                    }
                    loaded.push(certificate);
                }
                Err(message) => self.error(pair.at, path, message),
            }
            files.push(CertificateFiles { cert_file: cert_file.value.clone(), key_file: key_file.value.clone() });
        }
        if files.is_empty() && !self.told_of("tls") {
            self.error(start(), "tls.certificates", "there is none; write [{ certFile: cert.pem, keyFile: key.pem }]");
        }
        (files, loaded)
    }

    fn clients(&mut self, written: &file::Tls) -> Option<Clients> {
        let Some(file) = &written.client_ca_file else {
            if let Some(auth) = &written.client_auth {
                let message = "nobody is known to sign certificates of clients; write clientCaFile beside it";
                self.error(auth.at, "tls.clientAuth", message);
            }
            return None;
        };
        let read = std::fs::read(&file.value).map_err(|error| format!("cannot read {}: {error}", file.value));
        match read.and_then(|pem| certificate::chain(&file.value, &pem)) {
            Ok(roots) => {
                let is_required = written.client_auth.as_ref().is_none_or(|auth| auth.value == ClientAuth::Required);
                let auth = terminator::ClientAuth { roots, is_required };
                Some(Clients { client_ca_file: file.value.clone(), auth })
            }
            Err(message) => {
                self.error(file.at, "tls.clientCaFile", message);
                None
            }
        }
    }

    fn redirect(&mut self, written: &Located<file::Redirect>, plain: &[SocketAddr], tls: &[SocketAddr]) -> Redirect {
        let file::RedirectBlock { listen, port } = &written.value.0;
        if listen.0.port() != 0 && plain.iter().chain(tls).any(|taken| *taken == listen.0) {
            let message = format!("{listen} is where requests are served; choose another port");
            self.error(written.at, "tls.redirect", message);
        }
        let https = tls.first().map_or(443, SocketAddr::port);
        Redirect { listen: listen.0, port: port.as_ref().map_or(https, |port| port.0) }
    }

    /// Whether all of it goes together.
    fn shakes_hands(&mut self, tls: &Tls, written: &file::Tls) {
        if tls.loaded.is_empty() || tls.loaded.len() < tls.certificates.len() {
            return;
        }
        if let Err(error) = tls.terminator() {
            let at = written.client_ca_file.as_ref().map_or_else(start, |file| file.at);
            self.error(at, "tls.clientCaFile", format!("no certificate in it is that of an authority: {error}"));
        }
    }
}

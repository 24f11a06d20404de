//! `tls:`

use std::net::{Ipv4Addr, SocketAddr};

use rustls_pki_types::CertificateDer;

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
            let pair_files = CertificateFiles { cert_file: cert_file.value.clone(), key_file: key_file.value.clone() };
            match (self.certificate(&cert_file.value, &key_file.value), self.certificate_in_use(&pair_files)) {
                (Ok(certificate), _) => {
                    if let Some(warning) = &certificate.warning {
                        self.warn(pair.at, path, warning.clone());
                    }
                    loaded.push(certificate);
                }
                // Others are not to end with it, and the config is not to stand still for it.
                (Err(message), Some(certificate)) => {
                    self.warn(pair.at, path, format!("{message}; the certificate of before is kept"));
                    loaded.push(certificate);
                }
                (Err(message), None) => self.error(pair.at, path, message),
            }
            files.push(pair_files);
        }
        if files.is_empty() && !self.told_of("tls") {
            self.error(start(), "tls.certificates", "there is none; write [{ certFile: cert.pem, keyFile: key.pem }]");
        }
        (files, loaded)
    }

    /// What was last in these files that was good.
    fn certificate_in_use(&self, files: &CertificateFiles) -> Option<Certificate> {
        let tls = self.current?.tls.as_ref()?;
        tls.certificates.iter().zip(&tls.loaded).find(|(known, _)| *known == files).map(|(_, loaded)| loaded.clone())
    }

    /// And whom certificates of clients had to come from.
    fn authorities_in_use(&self, file: &str) -> Option<Vec<CertificateDer<'static>>> {
        let clients = self.current?.tls.as_ref()?.clients.as_ref()?;
        (clients.client_ca_file == file).then(|| clients.auth.roots.clone())
    }

    fn clients(&mut self, written: &file::Tls) -> Option<Clients> {
        let Some(file) = &written.client_ca_file else {
            if let Some(auth) = &written.client_auth {
                let message = "nobody is known to sign certificates of clients; write clientCaFile beside it";
                self.error(auth.at, "tls.clientAuth", message);
            }
            return None;
        };
        let read = self.read(&file.value).map_err(|error| format!("cannot read {}: {error}", file.value));
        let found = read.and_then(|pem| certificate::chain(&file.value, &pem));
        let roots = match (found, self.authorities_in_use(&file.value)) {
            (Ok(roots), _) => roots,
            (Err(message), Some(roots)) => {
                self.warn(file.at, "tls.clientCaFile", format!("{message}; the authorities of before are kept"));
                roots
            }
            (Err(message), None) => {
                self.error(file.at, "tls.clientCaFile", message);
                return None;
            }
        };
        let is_required = written.client_auth.as_ref().is_none_or(|auth| auth.value == ClientAuth::Required);
        let auth = terminator::ClientAuth { roots, is_required };
        Some(Clients { client_ca_file: file.value.clone(), auth })
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
        if let Err(error) = tls.terminator(None) {
            let at = written.client_ca_file.as_ref().map_or_else(start, |file| file.at);
            self.error(at, "tls.clientCaFile", format!("no certificate in it is that of an authority: {error}"));
        }
    }
}

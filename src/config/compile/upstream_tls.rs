//! `upstreamTls:`

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, ServerName};

use super::Compiler;
use crate::config::Position;
use crate::config::file;
use crate::config::model::{Destinations, Target, UpstreamTls};
use crate::config::units::Origin;
use crate::tls::certificate;

impl Compiler<'_> {
    /// What a block at `path` describes.
    pub(super) fn upstream_tls(&mut self, written: Option<&file::UpstreamTls>, path: &str) -> UpstreamTls {
        let Some(written) = written else { return UpstreamTls::default() };
        if let Some(name) = written.server_name.as_ref().filter(|name| ServerName::try_from(name.as_str()).is_err()) {
            let message = format!("\"{}\" is no name; write one such as users.internal", name.value);
            self.error(name.at, format!("{path}.serverName"), message);
        }
        if written.insecure_skip_verify.value {
            let message = "whoever answers at a target's address is taken for it; write caFile instead";
            self.warn(written.insecure_skip_verify.at, format!("{path}.insecureSkipVerify"), message);
        }
        let text =
            |file: &Option<crate::config::located::Located<String>>| file.as_ref().map(|file| file.value.clone());
        UpstreamTls {
            ca_file: text(&written.ca_file),
            cert_file: text(&written.cert_file),
            key_file: text(&written.key_file),
            server_name: text(&written.server_name),
            insecure_skip_verify: written.insecure_skip_verify.value,
            authorities: self.authorities(written, path),
            own: self.own_certificate(written, path),
        }
    }

    /// Fills in the name in the certificates of targets that are addresses: that which they are the addresses of.
    pub(super) fn certified(&mut self, tls: &mut UpstreamTls, destinations: &Destinations, at: Position, path: &str) {
        let is_address =
            |target: &&Target| matches!(&target.origin, Origin::Source(source) if source.certified().is_some());
        if tls.server_name.is_some() || destinations.targets().find(is_address).is_none() {
            return;
        }
        let name = |target: &'_ Target| match &target.origin {
            Origin::Url(url) => url.scheme.is_tls().then(|| url.host.clone()),
            Origin::Source(source) => source.certified().map(|name| name.trim_end_matches('.').to_owned()),
        };
        let mut names: Vec<String> = destinations.targets().filter_map(name).collect();
        names.sort();
        names.dedup();
        if let [name] = &names[..] {
            tls.server_name = Some(name.clone());
        } else {
            let message = format!(
                "targets that are addresses have to show a certificate for one name, and there are {}; write the name, or a route for each",
                names.join(" and ")
            );
            self.error(at, format!("{path}.serverName"), message);
        }
    }

    fn authorities(
        &mut self,
        written: &file::UpstreamTls,
        path: &str,
    ) -> Option<Vec<rustls_pki_types::CertificateDer<'static>>> {
        let file = written.ca_file.as_ref()?;
        let read = self.read(&file.value).map_err(|error| format!("cannot read {}: {error}", file.value));
        match read.and_then(|pem| certificate::chain(&file.value, &pem)) {
            Ok(authorities) => Some(authorities),
            Err(message) => {
                self.error(file.at, format!("{path}.caFile"), message);
                None
            }
        }
    }

    fn own_certificate(
        &mut self,
        written: &file::UpstreamTls,
        path: &str,
    ) -> Option<(Vec<rustls_pki_types::CertificateDer<'static>>, Vec<u8>)> {
        let (cert, key) = match (&written.cert_file, &written.key_file) {
            (None, None) => return None,
            (Some(cert), Some(key)) => (cert, key),
            (Some(alone), None) | (None, Some(alone)) => {
                let message = "a certificate and its key go together; write both certFile and keyFile";
                self.error(alone.at, path, message);
                return None;
            }
        };
        match self.certificate(&cert.value, &key.value) {
            Ok(certificate) => {
                // It has just been read, and was good.
                let key = self.read(&key.value).ok().and_then(|pem| PrivateKeyDer::from_pem_slice(&pem).ok())?;
                Some((certificate.key.cert.clone(), key.secret_der().to_vec()))
            }
            Err(message) => {
                self.error(cert.at, format!("{path}.certFile"), message);
                None
            }
        }
    }
}

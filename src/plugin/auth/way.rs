//! The ways to say who one is.

use std::sync::Arc;

use http::HeaderValue;

use super::api_keys::{self, ApiKeys};
use super::claims::Identity;
use super::jwt::Verifier;
use super::passwords::{self, Passwords};
use super::place::TokenFrom;
use crate::config::CertificateName;
use crate::plugin::Request;
use crate::refusal::Refusal;
use crate::tls::client::ClientCertificate;

/// One of them.
#[derive(Debug)]
pub enum Way {
    /// A token.
    Jwt(Arc<Verifier>, TokenFrom),
    /// A key.
    ApiKey(Arc<ApiKeys>),
    /// A user and a password.
    Basic(Arc<Passwords>),
    /// The certificate that the client has shown.
    ClientCertificate(CertificateName),
}

impl Way {
    /// Who sent the request, if it says so in this way.
    ///
    /// # Errors
    /// It says so, and it is not true.
    pub async fn identify(&self, request: &Request<'_>) -> Result<Option<Arc<Identity>>, Refusal> {
        match self {
            Way::Jwt(verifier, from) => match from.find(request.headers, request.query) {
                Err(Refusal::TokenMissing) => Ok(None),
                Err(other) => Err(other),
                Ok(token) => verifier.verify(token, request.now, request.wall).await.map(Some),
            },
            Way::ApiKey(keys) => keys.find(request.headers),
            Way::Basic(passwords) => passwords.find(request.headers, request.client_ip).await,
            Way::ClientCertificate(name) => request.certificate.map(|shown| named(shown, *name)).transpose(),
        }
    }

    /// Where what says so is, beside the connection.
    pub fn place(&self) -> Option<TokenFrom> {
        match self {
            Way::Jwt(_, from) => Some(from.clone()),
            Way::ApiKey(keys) => Some(TokenFrom::Header(keys.header.clone())),
            Way::Basic(_) => Some(TokenFrom::Authorization),
            Way::ClientCertificate(_) => None,
        }
    }

    /// What it is called in the config.
    pub fn name(&self) -> &'static str {
        match self {
            Way::Jwt(..) => "jwt",
            Way::ApiKey(_) => "apiKey",
            Way::Basic(_) => "basic",
            Way::ClientCertificate(_) => "clientCertificate",
        }
    }

    /// How it is asked for (RFC 9110, section 11.6.1).
    pub fn challenge(&self) -> &'static str {
        match self {
            Way::Jwt(..) => "Bearer realm=\"aegis\"",
            Way::ApiKey(_) => api_keys::CHALLENGE,
            Way::Basic(_) => passwords::CHALLENGE,
            Way::ClientCertificate(_) => BY_CERTIFICATE,
        }
    }
}

const BY_CERTIFICATE: &str = "ClientCertificate realm=\"aegis\"";
const NAMELESS: Refusal =
    Refusal::CredentialsInvalid { why: "The client's certificate names no user.", challenge: BY_CERTIFICATE };

/// Whom a certificate names.
fn named(shown: &ClientCertificate, name: CertificateName) -> Result<Arc<Identity>, Refusal> {
    let found = match name {
        CertificateName::CommonName => shown.common_name.as_deref(),
        CertificateName::Dns => shown.dns.as_deref(),
        CertificateName::Uri => shown.uri.as_deref(),
        CertificateName::Email => shown.email.as_deref(),
        CertificateName::Subject => Some(shown.subject.as_str()),
    };
    let is_plain = |text: &&str| !text.is_empty() && text.trim() == *text && !text.contains(char::is_control);
    let value = found.filter(is_plain).and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok());
    let value = value.ok_or(NAMELESS)?;
    Ok(Arc::new(Identity::plain(value, Vec::new())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_its_user_in_the_way_that_is_asked_for() {
        let shown = ClientCertificate {
            subject: "CN=billing, O=Example".into(),
            common_name: Some("billing".into()),
            dns: Some("billing.test".into()),
            uri: Some("spiffe://test/billing".into()),
            email: Some("a\r\nx-admin: 1".into()),
            fingerprint: String::new(),
        };
        let user = |name| named(&shown, name).map(|identity| identity.user_id.to_str().map(str::to_owned).ok());
        for (name, expected) in [
            (CertificateName::Subject, "CN=billing, O=Example"),
            (CertificateName::CommonName, "billing"),
            (CertificateName::Dns, "billing.test"),
            (CertificateName::Uri, "spiffe://test/billing"),
        ] {
            assert_eq!(user(name), Ok(Some(expected.to_owned())));
        }
        let refused = Err(NAMELESS);
        assert_eq!(user(CertificateName::Email), refused);
        assert_eq!(
            named(&ClientCertificate::default(), CertificateName::Dns).map(|_| None::<String>),
            refused.map(|_: Option<String>| None)
        );
    }
}

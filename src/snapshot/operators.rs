//! Who may use the admin listener, and how it is spoken to.

use std::sync::Arc;

use crate::config::Admin;
use crate::config::units::Secret;
use crate::tls::terminator::Terminator;

/// As a config says.
pub struct Operators {
    /// What those show who may do everything.
    pub token: Option<Secret>,
    /// What those show who may look.
    pub read_token: Option<Secret>,
    /// TLS, if it is spoken.
    pub tls: Option<Arc<Terminator>>,
    /// Whether they have to show a certificate.
    pub certified: bool,
    /// The names of those whose certificate lets them do everything.
    pub writers: Vec<String>,
}

impl Operators {
    /// Those of `config`. `None` where its TLS cannot be spoken: then nobody is one.
    pub fn new(config: &Admin, before: Option<&Operators>) -> Option<Self> {
        let before = before.and_then(|before| before.tls.as_deref());
        let tls = config.tls.as_ref().map(|tls| tls.terminator(before)).transpose();
        // What cannot be made has been an error of the config before.
        let tls = tls.inspect_err(|error| log::error!("admin.tls: {error}")).ok()?.map(Arc::new);
        Some(Operators {
            token: config.token.clone(),
            read_token: config.read_token.clone(),
            certified: config.tls.as_ref().is_some_and(|tls| tls.clients.is_some()),
            writers: config.tls.iter().flat_map(|tls| tls.writers.iter().cloned()).collect(),
            tls,
        })
    }

    /// Whether they are told from anybody else.
    pub fn are_known(&self) -> bool {
        self.token.is_some() || self.read_token.is_some() || self.certified
    }
}

//! Keys that programs show in place of a token.
//!
//! Only their digests are known. A key is found by its digest: how long that takes tells nothing of the keys that are
//! there, since nobody can choose a digest.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderName};

use super::claims::{Grant, Identity, Life};
use crate::config;
use crate::refusal::Refusal;

/// How they are asked for.
pub const CHALLENGE: &str = "ApiKey realm=\"aegis\"";

/// All keys that are taken.
pub struct ApiKeys {
    /// The field that they are in.
    pub header: HeaderName,
    users: HashMap<[u8; 32], Arc<Identity>>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("header", &self.header).field("keys", &self.users.len()).finish()
    }
}

impl ApiKeys {
    /// Those of `config`.
    pub fn new(config: &config::ApiKeys) -> Self {
        let users = config.all().map(|key| {
            let scopes = key.scopes.iter().cloned().map(Grant::Scope);
            let grants = scopes.chain(key.roles.iter().cloned().map(Grant::Role)).collect();
            (key.sha256.0, Arc::new(Identity::plain(key.user.value(), grants)))
        });
        ApiKeys { header: config.header.0.clone(), users: users.collect() }
    }

    /// Whose key a request shows, if it shows any.
    ///
    /// # Errors
    /// It shows several, or one that nobody has.
    pub fn find(&self, headers: &HeaderMap) -> Result<Option<Arc<Identity>>, Refusal> {
        let mut fields = headers.get_all(&self.header).iter();
        let Some(key) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(invalid("There is more than one API key."));
        }
        let digest = digest(&SHA256, key.as_bytes());
        let user = self.users.get(digest.as_ref());
        user.cloned().map(Some).ok_or(invalid("Nobody has this API key."))
    }
}

fn invalid(why: &'static str) -> Refusal {
    Refusal::CredentialsInvalid { why, challenge: CHALLENGE }
}

impl Identity {
    /// A user of whom nothing else is known, for as long as that is asked for.
    pub fn plain(user_id: http::HeaderValue, grants: Vec<Grant>) -> Self {
        Identity { user_id, headers: Vec::new(), claims: None, grants, life: Life::default() }
    }
}

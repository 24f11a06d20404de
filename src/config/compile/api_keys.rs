//! `auth.apiKeys:`, its file included.

use std::collections::HashMap;

use super::Compiler;
use crate::config::conceal;
use crate::config::decode::decode;
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::{ApiKey, ApiKeys};
use crate::config::units::FieldName;
use crate::config::yaml;

impl Compiler<'_> {
    pub(super) fn api_keys(&mut self, written: Option<&Located<file::ApiKeys>>) -> Option<ApiKeys> {
        let written = written?;
        let header =
            written.header.as_ref().and_then(|header| self.header_for("auth.apiKeys.header", "api-key", header));
        let from_file = written.file.as_ref().map_or_else(Vec::new, |file| self.key_file(file));
        let own: Vec<ApiKey> = written.keys.iter().map(|key| api_key(key)).collect();
        let mut seen = HashMap::new();
        for key in written.keys.iter() {
            if let Some(first) = seen.insert(key.sha256, key.index) {
                let message = format!("it is the key of keys[{first}] already; a key has one user");
                self.error(key.at, format!("auth.apiKeys.keys[{}]", key.index), message);
            }
        }
        if let (Some(file), Some(double)) = (&written.file, from_file.iter().find(|key| seen.contains_key(&key.sha256)))
        {
            let message = format!("a key of {} in it is among the keys here, too; a key has one user", double.user);
            self.error(file.at, "auth.apiKeys.file", message);
        }
        if own.is_empty() && from_file.is_empty() && !self.told_of("auth.apiKeys") {
            self.error(written.at, "auth.apiKeys", "there is no key; write keys: [{ user: u1, sha256: … }] or file");
        }
        Some(ApiKeys {
            header: FieldName(header.unwrap_or(http::HeaderName::from_static("x-api-key"))),
            keys: own,
            file: written.file.as_ref().map(|file| file.value.clone()),
            from_file,
        })
    }

    /// The keys in a file of its own: a list as `keys` is one. Its mistakes are told of in one line each.
    fn key_file(&mut self, file: &Located<String>) -> Vec<ApiKey> {
        let name = &file.value;
        let mut problems = Vec::new();
        let found: Result<Option<file::KeyFile>, String> = self
            .read_text(name)
            // Its name is not repeated: it may be a key itself.
            .map_err(|error| format!("cannot read it: {error}; write the name of a file with keys: […]"))
            .and_then(|text| yaml::read(&text, &mut problems).map_err(|problem| format!("{name}:{problem}")))
            .map(|mut root| {
                // It may be another file than was meant: nothing in it is repeated.
                problems.iter_mut().for_each(|problem| problem.path.clear());
                conceal::conceal_all(&mut root);
                decode(&mut root, &mut problems)
            });
        let told = problems.iter().map(|problem| format!("{name}:{problem}"));
        for message in told.chain(found.as_ref().err().cloned()) {
            self.error(file.at, "auth.apiKeys.file", message);
        }
        let keys = found.ok().flatten().map_or_else(Vec::new, |found| found.keys);
        let mut seen = HashMap::new();
        for key in &keys {
            if let Some(first) = seen.insert(key.sha256, key.index) {
                let at = format!("{name}:{}:{}: keys[{}]", key.at.line, key.at.column, key.index);
                let message = format!("{at}: it is the key of keys[{first}] already; a key has one user");
                self.error(file.at, "auth.apiKeys.file", message);
            }
        }
        keys.iter().map(|key| api_key(key)).collect()
    }
}

fn api_key(written: &file::ApiKey) -> ApiKey {
    let file::ApiKey { user, sha256, scopes, roles } = written;
    ApiKey { user: user.clone(), sha256: *sha256, scopes: scopes.0.clone(), roles: roles.0.clone() }
}

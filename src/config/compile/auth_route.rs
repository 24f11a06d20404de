//! `plugins.auth:`

use super::Compiler;
use crate::config::file::{AuthPlugin, Credential, Switch};
use crate::config::located::Located;
use crate::config::model::AuthPolicy;

impl Compiler<'_> {
    /// What the block at `path` asks of requests; `None` if it asks nothing.
    pub(super) fn policy(&mut self, written: Option<&Located<Switch<AuthPlugin>>>, path: &str) -> Option<AuthPolicy> {
        let Switch::On(block) = &written?.value else { return None };
        if let Some(by) = block.by.as_ref().filter(|by| by.is_empty())
            && !self.told_of(&format!("{path}.by"))
        {
            self.error(by.at, format!("{path}.by"), "the list is empty; write [jwt], say, or leave it out");
        }
        let by = block.by.as_ref().map(|by| by.iter().map(|way| way.value).collect::<Vec<_>>());
        self.are_scopes(&block.require_scopes, path);
        let needs = block.require_scopes.first().or(block.require_roles.first());
        if let (Some(optional), Some(_)) = (block.optional.as_ref().filter(|optional| optional.value), needs) {
            let message = "who leaves the token out would need no scope and no role; remove this, or what is required";
            self.error(optional.at, format!("{path}.optional"), message);
        }
        let names = |list: &[Located<String>]| list.iter().map(|name| name.value.clone()).collect();
        Some(AuthPolicy {
            by: by.unwrap_or_else(|| vec![Credential::Jwt]),
            require_scopes: names(&block.require_scopes),
            require_roles: names(&block.require_roles),
            optional: block.optional.as_ref().is_some_and(|optional| optional.value),
            token_from: block.token_from.clone().unwrap_or_default(),
            forward_token: block.forward_token.unwrap_or(true),
        })
    }

    /// Names that a challenge can hold, with no space between them (RFC 6749, section 3.3).
    fn are_scopes(&mut self, scopes: &[Located<String>], path: &str) {
        let good = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        for scope in scopes.iter().filter(|scope| scope.is_empty() || !scope.bytes().all(good)) {
            let message = format!("\"{}\" is no scope; write one without spaces, such as users:read", scope.value);
            self.error(scope.at, format!("{path}.requireScopes[{}]", scope.index), message);
        }
    }
}

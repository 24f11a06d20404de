//! `plugins.headers:`

use std::collections::HashSet;

use http::{HeaderName, HeaderValue};

use super::{Compiler, at_route};
use crate::config::conceal::word;
use crate::config::file::{self, Policies, Switch};
use crate::config::located::Located;
use crate::config::model::{HeaderEdits, HeaderRules};
use crate::config::units::FieldName;
use crate::downstream::headers::{X_USER_ID, is_forwarding, plain};
use crate::plugin::rate_limit::key::is_credential;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down { cors: bool },
}

impl Compiler<'_> {
    /// What the block at `path` changes; `None`: nothing. `cors` says who may read answers, if that is so.
    pub(super) fn headers(
        &mut self,
        written: Option<&Switch<file::HeaderRules>>,
        path: &str,
        cors: bool,
    ) -> Option<HeaderRules> {
        let Switch::On(block) = written? else { return None };
        Some(HeaderRules {
            request: self.edits(&block.request, &format!("{path}.request"), Way::Up),
            response: self.edits(&block.response, &format!("{path}.response"), Way::Down { cors }),
        })
    }

    fn edits(&mut self, written: &file::HeaderEdits, path: &str, way: Way) -> HeaderEdits {
        let mut edits = HeaderEdits::default();
        for name in written.remove.iter() {
            edits.remove.extend(self.name(name, &format!("{path}.remove[{}]", name.index), name, way));
        }
        let mut seen = HashSet::new();
        for (key, value) in &written.set {
            let path = format!("{path}.set.{}", word(key));
            let Some(name) = self.name(value, &path, key, way) else { continue };
            if edits.remove.contains(&name) {
                self.error(value.at, &path, "it is removed, too; leave that out, since set replaces what is there");
            }
            if !seen.insert(name.clone()) {
                self.error(value.at, &path, "the same name is there in other letters; write it once");
            }
            edits.set.extend(self.value(value, &path, &name).map(|value| (name, value)));
        }
        for (key, values) in &written.add {
            let path = format!("{path}.add.{}", word(key));
            for value in values.iter() {
                let Some(name) = self.name(value, &path, key, way) else { break };
                edits.add.extend(self.value(value, &path, &name).map(|value| (name, value)));
            }
        }
        edits
    }

    /// A name that may be changed.
    fn name(&mut self, at: &Located<String>, path: &str, text: &str, way: Way) -> Option<HeaderName> {
        let name = match text.parse() {
            Ok(FieldName(name)) => name,
            Err(message) => {
                self.error(at.at, path, message);
                return None;
            }
        };
        // Servers that go by CGI read x_user_id and x-user-id as one.
        let Some(why) = why_not(&name.as_str().replace('_', "-"), way) else { return Some(name) };
        self.error(at.at, path, format!("the header {name} {why}; leave it out"));
        None
    }

    fn value(&mut self, value: &Located<String>, path: &str, name: &HeaderName) -> Option<HeaderValue> {
        let text = value.value.as_str();
        match HeaderValue::from_str(text) {
            Ok(mut checked) if text.is_ascii() && text.trim_ascii() == text => {
                checked.set_sensitive(value.is_filled || is_credential(name.as_str()));
                Some(checked)
            }
            _ => {
                // Not shown: it may be a secret.
                let message = "no value of a header; write printable ASCII without spaces around it";
                self.error(value.at, path, message);
                None
            }
        }
    }

    /// What targets go by when they ask who the user is may come from nobody but the gateway.
    pub(super) fn identity_is_left_alone(
        &mut self,
        identity: &[HeaderName],
        routes: &[Located<file::Route>],
        defaults: &Policies,
    ) {
        let identity: HashSet<_> = identity.iter().map(|name| plain(name.as_str())).collect();
        let rules = |plugins: &file::Plugins| match &plugins.headers {
            Some(Switch::On(rules)) => Some(rules.request.clone()),
            _ => None,
        };
        let own = routes.iter().filter_map(|route| Some((format!("{}.", at_route(route)), rules(&route.plugins)?)));
        let inherited = rules(&defaults.plugins).map(|rules| ("defaults.".to_owned(), rules));
        for (place, edits) in own.chain(inherited) {
            for (key, name, at) in edits.names() {
                let name = name.to_ascii_lowercase();
                let plain = plain(&name);
                if plain != X_USER_ID.as_str() && identity.contains(&plain) {
                    let path = format!("{place}plugins.headers.request.{key}");
                    let why = "says who the user is, which targets believe";
                    self.error(at.at, path, format!("the header {plain} {why}; leave it out"));
                }
            }
        }
    }
}

/// Why a header cannot be changed on that way, if that is so.
fn why_not(name: &str, way: Way) -> Option<&'static str> {
    match name {
        "content-length" | "content-encoding" | "transfer-encoding" | "te" | "trailer" | "expect" => {
            Some("says how the message is read, which the gateway sees to")
        }
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "proxy-authorization"
        | "proxy-authenticate"
        | "upgrade"
        | "http2-settings" => Some("is between the two ends of one connection"),
        "x-request-id" => Some("is the request's id, by which it is found in the log"),
        "x-user-id" if way == Way::Up => Some("says who the user is, which targets believe"),
        "host" if way == Way::Up => Some("says which site the client asks for"),
        forwarding if way == Way::Up && is_forwarding(forwarding) => {
            Some("says where the request comes from, which targets believe")
        }
        "x-gateway-error" if way != Way::Up => Some("says that the gateway has answered itself"),
        cors if way == Way::Down { cors: true } && cors.starts_with("access-control-") => {
            Some("is what the plugin cors says")
        }
        _ => None,
    }
}

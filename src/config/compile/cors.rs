//! `plugins.cors:`

use std::time::Duration;

use http::{HeaderName, Method, header};

use super::Compiler;
use crate::config::file::{self, OneOrMany, Switch};
use crate::config::located::Located;
use crate::config::model::{Among, Cors};
use crate::config::units::{FieldName, WebOrigin};
use crate::routing::methods::is_forwardable;

type Words = Located<OneOrMany<Located<String>>>;

impl Compiler<'_> {
    /// What the block at `path` allows; `None`: the route knows nothing of CORS.
    pub(super) fn cors(&mut self, written: Option<&Switch<file::Cors>>, path: &str) -> Option<Cors> {
        let Switch::On(block) = written? else { return None };
        self.origins(block, &format!("{path}.origins"));
        let methods = block.methods.as_ref().map(|list| self.among(list, &format!("{path}.methods"), method));
        let headers = block.headers.as_ref().map(|list| self.among(list, &format!("{path}.headers"), name));
        let at = format!("{path}.exposeHeaders");
        let expose_headers = block.expose_headers.as_ref().map(|list| (list.at, self.among(list, &at, name)));
        if let Some((place, Among::All)) = &expose_headers
            && block.credentials
        {
            let message = "with credentials browsers take * for the name of a field; name those that pages may read";
            self.error(*place, at, message);
        }
        Some(Cors {
            origins: block.origins.iter().map(|origin| origin.value.clone()).collect(),
            methods: methods.unwrap_or_else(|| {
                Among::These(
                    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].to_vec(),
                )
            }),
            headers: headers.unwrap_or_else(|| Among::These([header::AUTHORIZATION, header::CONTENT_TYPE].to_vec())),
            expose_headers: expose_headers.map_or_else(|| Among::These(Vec::new()), |(_, some)| some),
            credentials: block.credentials,
            max_age: block.max_age.map_or(Duration::from_secs(600), |period| period.0),
        })
    }

    fn origins(&mut self, block: &file::Cors, path: &str) {
        let origins = &block.origins;
        if origins.is_empty() && !self.told_of(path) {
            self.error(origins.at, path, "the list is empty; write off, or an origin such as https://app.example.com");
        }
        for origin in origins.iter() {
            let path = format!("{path}[{}]", origin.index);
            match origin.value {
                WebOrigin::Any if block.credentials => {
                    let message = "with credentials that would let any page act for the user; name the origins";
                    self.error(origin.at, path, message);
                }
                WebOrigin::Any if origins.len() > 1 => {
                    self.error(origin.at, path, "* is every origin; remove it, or all the others");
                }
                WebOrigin::Null if block.credentials => {
                    let message = "every site can make pages whose origin is null, and with credentials they act for the user; leave it out unless that is meant";
                    self.warn(origin.at, path, message);
                }
                _ if origin.is_too_wide() => {
                    let message = format!("{} may be anybody's sites; name one domain", origin.value);
                    self.warn(origin.at, path, message);
                }
                _ => {}
            }
        }
    }

    fn among<T>(&mut self, list: &Words, path: &str, read: fn(&str) -> Result<T, String>) -> Among<T> {
        let mut some = Vec::new();
        for word in list.iter() {
            if word.value == "*" && list.len() == 1 {
                return Among::All;
            }
            let read = match word.value.as_str() {
                "*" => Err("* is all of them; remove it, or all the others".to_owned()),
                word => read(word),
            };
            match read {
                Ok(value) => some.push(value),
                Err(message) => self.error(word.at, format!("{path}[{}]", word.index), message),
            }
        }
        Among::These(some)
    }
}

fn method(text: &str) -> Result<Method, String> {
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if is_forwardable(&method) => Ok(method),
        _ => Err(format!("\"{text}\" is no method that is forwarded; write GET, PUT or the like")),
    }
}

fn name(text: &str) -> Result<HeaderName, String> {
    text.parse().map(|FieldName(name)| name)
}

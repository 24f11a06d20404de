//! What a token claims, and whether that is good at a given time. Pure.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The claims of a token. A claim that is given twice is refused when they are read: which one counts
/// would be anybody's guess.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// A claim as plain text, if it is text, a whole number, or `true` or `false`.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.0.get(name)? {
            Value::String(text) => Some(text.into()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
            Value::Bool(word) => Some(word.to_string().into()),
            _ => None,
        }
    }

    /// Whether they grant it: a scope in `scope` or `scp`, one of words or of a list; a role in the claim of that name,
    /// or where its dots lead.
    fn grants(&self, grant: &Grant, roles_claim: &str) -> bool {
        let holds = |value: &Value, word: &str, is_scope: bool| match value {
            Value::String(text) if is_scope => text.split(' ').any(|one| one == word),
            Value::String(text) => text == word,
            Value::Array(list) => list.iter().any(|one| one == word),
            _ => false,
        };
        match grant {
            Grant::Scope(scope) => {
                ["scope", "scp"].iter().filter_map(|name| self.0.get(*name)).any(|value| holds(value, scope, true))
            }
            Grant::Role(role) => self.at(roles_claim).is_some_and(|value| holds(value, role, false)),
        }
    }

    /// The claim of that name (which may well be a URL), or where the dots in it lead.
    fn at(&self, name: &str) -> Option<&Value> {
        let led = || {
            let mut steps = name.split('.');
            let first = self.0.get(steps.next()?)?;
            steps.try_fold(first, |value, step| value.get(step))
        };
        self.0.get(name).or_else(led)
    }

    /// Those of `names`; `None` if there is none of them.
    fn keep(&self, names: &[String]) -> Option<Self> {
        let kept = names.iter().filter_map(|name| Some((name.clone(), self.0.get(name)?.clone())));
        let kept: Map<String, Value> = kept.collect();
        (!kept.is_empty()).then_some(Claims(kept))
    }
}

/// What is required of claims.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The claim that names the user; `sub` where it is absent.
    pub user_id_claim: String,
    /// Accepted `iss`; empty: any.
    pub issuer: Vec<String>,
    /// Accepted `aud`, of which one must be named; empty: any.
    pub audience: Vec<String>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Claims that must be there.
    pub required: Vec<String>,
    /// Claims to send upstream, and in which header.
    pub headers: Vec<(String, HeaderName)>,
    /// The claim with the user's roles; a dot leads into a block.
    pub roles_claim: String,
    /// What routes ask for.
    pub grants: Vec<Grant>,
    /// Claims that limits go by.
    pub kept: Vec<String>,
}

/// What a token may allow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// This scope.
    Scope(String),
    /// What this role does.
    Role(String),
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::Scope(scope) => write!(f, "scope {scope}"),
            Grant::Role(role) => write!(f, "role {role}"),
        }
    }
}

/// Who a token says the user is, and when that is to be believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// The value of `x-user-id`.
    pub user_id: HeaderValue,
    /// The mapped claims.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The claims that limits go by.
    pub claims: Option<Arc<Claims>>,
    /// What of that which routes ask for is granted.
    pub grants: Vec<Grant>,
    /// When the token is good.
    pub life: Life,
}

/// From when until when a token is good, in seconds since the Unix epoch, leeway included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Life {
    begins: Option<f64>,
    ends: Option<f64>,
}

impl Life {
    /// When it is over, in seconds since the Unix epoch, if ever.
    pub fn ends(&self) -> Option<f64> {
        self.ends
    }

    /// Whether `now`, the time since the Unix epoch, is within it.
    ///
    /// # Errors
    /// It is over, or has not begun.
    pub fn covers(&self, now: Duration) -> Result<(), Refusal> {
        let now = now.as_secs_f64();
        // RFC 7519, 4.1.4: "on or after" exp it must not be accepted.
        if self.ends.is_some_and(|ends| now >= ends) {
            return Err(Refusal::TokenExpired);
        }
        if self.begins.is_some_and(|begins| now < begins) {
            return Err(Refusal::TokenInvalid("The token is not valid yet."));
        }
        Ok(())
    }
}

/// The token names an issuer that is none of those that are accepted, or none at all.
pub const OTHER_ISSUER: Refusal = Refusal::TokenInvalid("The token is of another issuer.");

impl Rules {
    /// Whether `claims` are to be those of an issuer of these.
    pub fn is_of(&self, claims: &Claims) -> bool {
        let named = claims.0.get("iss").and_then(Value::as_str);
        named.is_some_and(|named| self.issuer.iter().any(|issuer| issuer == named))
    }

    /// Checks everything about `claims` that does not depend on the time.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, claims: &Claims) -> Result<Identity, Refusal> {
        let kept = claims.keep(&self.kept).map(Arc::new);
        let grants = self.grants.iter().filter(|grant| claims.grants(grant, &self.roles_claim)).cloned().collect();
        let is_of_issuer = self.issuer.is_empty() || self.is_of(claims);
        let claims = &claims.0;
        if self.required.iter().any(|name| claims.get(name).is_none_or(Value::is_null)) {
            return Err(Refusal::TokenInvalid("The token lacks a claim that is required here."));
        }
        let leeway = self.leeway.as_secs_f64();
        let life = Life {
            begins: time(claims, "nbf")?.map(|nbf| nbf - leeway),
            ends: time(claims, "exp")?.map(|exp| exp + leeway),
        };
        if !is_of_issuer {
            return Err(OTHER_ISSUER);
        }
        if !self.audience.is_empty() && !names(claims.get("aud"), &self.audience) {
            return Err(Refusal::TokenInvalid("The token is for another audience."));
        }
        let user = claims.get(&self.user_id_claim).or_else(|| claims.get("sub"));
        let user = user.ok_or(Refusal::TokenInvalid("The token names no user."))?;
        let user_id =
            header_value(user).ok_or(Refusal::TokenInvalid("The token's user id is no plain text or whole number."))?;
        let mapped = self.headers.iter().filter_map(|(claim, header)| claims.get(claim).map(|value| (header, value)));
        let headers = mapped
            .map(|(header, value)| header_value(value).map(|value| (header.clone(), value)))
            .collect::<Option<_>>()
            .ok_or(Refusal::TokenInvalid("A claim of the token is no plain text or whole number."))?;
        Ok(Identity { user_id, headers, claims: kept, grants, life })
    }
}

/// A NumericDate (RFC 7519, section 2), in seconds since the Unix epoch.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => Err(Refusal::TokenInvalid("A time in the token is no number.")),
    }
}

/// Whether `claim`, a string or a list of them, names one of `accepted`.
fn names(claim: Option<&Value>, accepted: &[String]) -> bool {
    let is_accepted = |value: &Value| value.as_str().is_some_and(|text| accepted.iter().any(|a| a == text));
    match claim {
        Some(Value::Array(values)) => values.iter().any(is_accepted),
        Some(value) => is_accepted(value),
        None => false,
    }
}

/// A claim as a header value: text without control characters or space around it, which would not arrive
/// as it was, or a whole number.
fn header_value(claim: &Value) -> Option<HeaderValue> {
    match claim {
        Value::String(text) if !text.is_empty() && text.trim() == text && !text.contains(char::is_control) => {
            HeaderValue::from_bytes(text.as_bytes()).ok()
        }
        Value::Number(number) if number.is_i64() || number.is_u64() => HeaderValue::try_from(number.to_string()).ok(),
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim is given twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }

        deserializer.deserialize_map(Unique)
    }
}

#[cfg(test)]
mod tests;

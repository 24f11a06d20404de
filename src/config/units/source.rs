//! Where targets come from: a URL each, or something that knows them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Scheme, TargetUrl};

/// One target, or a source of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `http://HOST:PORT`: one target, wherever its name leads.
    Url(TargetUrl),
    /// What targets are asked from.
    Source(SourceUrl),
}

/// Something that knows targets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceUrl {
    /// What it is.
    pub kind: SourceKind,
    text: String,
}

/// What knows targets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// `dns://HOST:PORT`: each address of a name is a target.
    Dns {
        /// How they are spoken to: `dns+h2c://`, say.
        scheme: Scheme,
        /// The name.
        host: String,
        /// The port of all of them.
        port: u16,
    },
    /// `dns+srv://NAME`: each SRV record of a name is a target.
    Srv {
        /// How they are spoken to: `dns+srv+h2c://`, say.
        scheme: Scheme,
        /// The name, such as `_http._tcp.users.internal`.
        name: String,
    },
    /// `file://PATH`: each entry of a list in YAML is a target.
    File {
        /// Where it is.
        path: PathBuf,
    },
}

impl SourceUrl {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name that the targets have in common in their certificates, where they are addresses and are spoken to by TLS.
    pub fn certified(&self) -> Option<&str> {
        match &self.kind {
            SourceKind::Dns { scheme, host, .. } if scheme.is_tls() => Some(host),
            _ => None,
        }
    }
}

impl Origin {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Origin::Url(url) => url.as_str(),
            Origin::Source(source) => source.as_str(),
        }
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = match text.split_once("://") {
            Some((written, rest)) if written == "dns" || written.starts_with("dns+") => by_dns(text, written, rest)?,
            Some(("srv", _)) => {
                return Err(format!(
                    "\"{text}\": unknown scheme \"srv\"; write dns+srv://_http._tcp.users.internal, say"
                ));
            }
            Some(("file", "")) => {
                return Err(format!("\"{text}\" names no file; write file:///etc/aegis/users.yaml, say"));
            }
            Some(("file", path)) => SourceKind::File { path: path.into() },
            _ => return text.parse().map(Origin::Url),
        };
        Ok(Origin::Source(SourceUrl { kind, text: text.to_owned() }))
    }
}

/// `dns` or `dns+srv`, and how targets are spoken to, if not by HTTP/1.1.
fn by_dns(text: &str, written: &str, rest: &str) -> Result<SourceKind, String> {
    let (kind, scheme) = match written.strip_prefix("dns+srv") {
        Some(scheme) => ("dns+srv", scheme),
        None => ("dns", &written["dns".len()..]),
    };
    let named = scheme.strip_prefix('+').map_or(scheme.is_empty().then_some(Scheme::Http), Scheme::named);
    let scheme = named.ok_or_else(|| {
        format!("\"{text}\": unknown scheme \"{written}\"; write {kind}, {kind}+https, {kind}+h2 or {kind}+h2c")
    })?;
    if kind == "dns" { dns(text, scheme, rest) } else { srv(text, scheme, rest) }
}

fn dns(text: &str, scheme: Scheme, rest: &str) -> Result<SourceKind, String> {
    let wrong = |why: &str| format!("\"{text}\": {why}; write dns://HOST:PORT");
    let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
    if rest.parse::<std::net::SocketAddr>().is_ok() {
        return Err(format!("\"{text}\" is an address already; write {scheme}://{rest}"));
    }
    match port.parse() {
        Ok(port @ 1..) if is_name(host) => Ok(SourceKind::Dns { scheme, host: host.to_owned(), port }),
        Ok(1..) => Err(wrong("that is no name")),
        _ => Err(wrong("that is no port")),
    }
}

/// The name says service and protocol first (RFC 2782).
fn srv(text: &str, scheme: Scheme, name: &str) -> Result<SourceKind, String> {
    if let Some((name, port)) = name.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(format!("\"{text}\": SRV records bring the port themselves; write dns+srv://{name}"));
    }
    let mut labels = name.split('.');
    let mut is_marked = || labels.next().is_some_and(|label| label.len() > 1 && label.starts_with('_'));
    match is_name(name) {
        true if is_marked() && is_marked() => Ok(SourceKind::Srv { scheme, name: name.to_owned() }),
        true => Err(format!("\"{text}\" names no service and protocol; write dns+srv://_http._tcp.{name}, say")),
        false => Err(format!("\"{text}\" names no service; write dns+srv://_http._tcp.users.internal, say")),
    }
}

/// As DNS has them: up to 253 letters, digits, hyphens and underscores between dots.
fn is_name(name: &str) -> bool {
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    bare.len() <= 253 && bare.split('.').all(good)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_targets() {
        let kind = |text: &str| match text.parse() {
            Ok(Origin::Source(source)) => Ok(source.kind),
            Ok(Origin::Url(url)) => Err(format!("a target: {url}")),
            Err(why) => Err(why),
        };
        assert_eq!(
            kind("dns://users.internal:3001"),
            Ok(SourceKind::Dns { scheme: Scheme::Http, host: "users.internal".into(), port: 3001 })
        );
        assert_eq!(
            kind("dns+h2c://users.internal:3001"),
            Ok(SourceKind::Dns { scheme: Scheme::H2c, host: "users.internal".into(), port: 3001 })
        );
        assert_eq!(
            kind("dns+srv://_http._tcp.users."),
            Ok(SourceKind::Srv { scheme: Scheme::Http, name: "_http._tcp.users.".into() })
        );
        assert_eq!(
            kind("dns+srv+https://_http._tcp.users."),
            Ok(SourceKind::Srv { scheme: Scheme::Https, name: "_http._tcp.users.".into() })
        );
        assert_eq!(kind("file:///etc/u.yaml"), Ok(SourceKind::File { path: "/etc/u.yaml".into() }));
        assert_eq!(kind("file://u.yaml"), Ok(SourceKind::File { path: "u.yaml".into() }));
        assert_eq!(kind("http://a:1"), Err("a target: http://a:1".into()));
        for text in [
            "dns://users",
            "dns+://users:1",
            "dns+ftp://users:1",
            "dns+https+srv://_http._tcp.users",
            "dns+srvh2c://_http._tcp.users",
            "dns://users:0",
            "dns://users:http",
            "dns://:80",
            "dns://10.0.0.1:80",
            "dns://[::1]:80",
            "dns://a/b:80",
            "dns+srv://",
            "dns+srv://a b",
            "dns+srv://users.internal",
            "dns+srv://_http.users.internal",
            "dns+srv://_._.users.internal",
            "dns+srv://_http._tcp.users:80",
            "file://",
            "srv://a",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}

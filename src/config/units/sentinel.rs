//! `redis+sentinel://[user:password@]host[:port][,host[:port]…]/SERVICE[/DB]`

use std::fmt;
use std::str::FromStr;

use super::Secret;

/// Where sentinels are, and whose primary they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentinelUrl {
    /// `rediss+sentinel`: with TLS, to the sentinels and to the primary.
    pub tls: bool,
    /// Host and port of each; at least one.
    pub sentinels: Vec<(String, u16)>,
    /// What the sentinels call the primary.
    pub service: String,
    /// The database.
    pub db: i64,
    /// Who we are to the primary.
    pub user: Option<String>,
    /// And its proof.
    pub password: Option<Secret>,
    /// Who we are to the sentinels: `?sentinelUser=…`.
    pub sentinel_user: Option<String>,
    /// And its proof: `&sentinelPassword=…`.
    pub sentinel_password: Option<Secret>,
}

const FORM: &str = "redis+sentinel://[user:password@]host[:port][,host[:port]…]/SERVICE[/DB]";
const PORT: u16 = 26_379;

impl FromStr for SentinelUrl {
    type Err = String;

    /// The error never holds a part of the URL, which may be a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; write {FORM}");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("no URL of sentinels"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').ok_or_else(|| wrong("the service's name is missing"))?;
        let (user_info, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        let (service, db) = path.split_once('/').unwrap_or((path, "0"));
        if service.is_empty() {
            return Err(wrong("the service's name is missing"));
        }
        let mut url = SentinelUrl {
            tls: scheme == "rediss+sentinel",
            sentinels: hosts.split(',').map(host).collect::<Option<_>>().ok_or_else(|| wrong("no host and port"))?,
            service: decoded(service),
            db: db.parse().map_err(|_| wrong("the database is no number"))?,
            user: Some(decoded(user)).filter(|user| !user.is_empty()),
            password: Some(decoded(password)).filter(|password| !password.is_empty()).map(Secret::new),
            sentinel_user: None,
            sentinel_password: None,
        };
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sentinelUser" => url.sentinel_user = Some(value.into_owned()),
                "sentinelPassword" => url.sentinel_password = Some(Secret::new(value)),
                _ => return Err(wrong("only sentinelUser and sentinelPassword may follow the question mark")),
            }
        }
        Ok(url)
    }
}

/// A name or an address, and a port.
fn host(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok())?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    (!host.is_empty() && host.bytes().all(good)).then(|| (host.to_owned(), port))
}

fn decoded(text: &str) -> String {
    // A plus is a plus here; only in a form it is a space.
    let form = format!("={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(form.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

impl SentinelUrl {
    /// `a:26379,b:26379`
    pub fn hosts(&self) -> String {
        let host = |(host, port): &(String, u16)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        self.sentinels.iter().map(host).collect::<Vec<_>>().join(",")
    }
}

/// Without what is nobody's business.
impl fmt::Display for SentinelUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss+sentinel" } else { "redis+sentinel" };
        let who = if self.user.is_some() || self.password.is_some() { "********@" } else { "" };
        write!(f, "{scheme}://{who}{}/{}/{}", self.hosts(), self.service, self.db)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read_and_no_secret_is_shown() {
        let url: SentinelUrl = "rediss+sentinel://me:p%40ss+1@a:1,b,[::1]:3/limits/2?sentinelUser=s&sentinelPassword=t"
            .parse()
            .expect("a URL");
        assert_eq!(url.sentinels, [("a".to_owned(), 1), ("b".to_owned(), PORT), ("::1".to_owned(), 3)]);
        assert_eq!((url.tls, &*url.service, url.db, url.user.as_deref()), (true, "limits", 2, Some("me")));
        let revealed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
        assert_eq!(revealed(&url.password).as_deref(), Some("p@ss+1"));
        assert_eq!((url.sentinel_user.as_deref(), revealed(&url.sentinel_password).as_deref()), (Some("s"), Some("t")));
        assert_eq!(url.to_string(), "rediss+sentinel://********@a:1,b:26379,[::1]:3/limits/2");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_url() {
        for (text, what) in [
            ("redis+sentinel://a:1", "the service's name is missing"),
            ("redis+sentinel://a:1/", "the service's name is missing"),
            ("redis+sentinel://a:port/x", "no host and port"),
            ("redis+sentinel://a b/x", "no host and port"),
            ("redis+sentinel://[::1/x", "no host and port"),
            ("redis+sentinel:///x", "no host and port"),
            ("redis+sentinel://a/x/y", "the database is no number"),
            ("redis+sentinel://a/x?db=1", "only sentinelUser and sentinelPassword may follow the question mark"),
            ("redis+sentinel:a", "no URL of sentinels"),
        ] {
            assert_eq!(text.parse::<SentinelUrl>(), Err(format!("{what}; write {FORM}")), "{text}");
        }
    }
}

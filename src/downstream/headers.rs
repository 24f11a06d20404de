//! Header fields that only the gateway may set: taken from what the client sent, and written anew.

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::MaxSizeReached;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;

use super::client_ip::X_FORWARDED_FOR;

/// The field that names the user to the upstream.
pub static X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
static X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Names by which something is decided here, and which nobody may say in another spelling.
const SHADOWED: [&str; 9] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// A name in lower case as CGI-like servers read it, to whom `x_user_id` and `x-user-id` are one.
pub fn plain(name: &str) -> Cow<'_, str> {
    if name.contains('_') { name.replace('_', "-").into() } else { name.into() }
}

/// The names that are taken away from clients.
#[derive(Clone, Debug)]
pub struct Reserved {
    /// Identity: `x-user-id` and the headers that claims are mapped to, each [`plain`].
    identity: Vec<String>,
    /// Fields by which the config decides, or which it changes: nobody may say them in another spelling.
    decisive: Vec<HeaderName>,
}

impl Reserved {
    /// `x-user-id` and `mapped`, and other spellings of `decisive` fields.
    pub fn new(mapped: impl IntoIterator<Item = HeaderName>, decisive: Vec<HeaderName>) -> Self {
        let identity = std::iter::once(X_USER_ID.clone()).chain(mapped);
        Reserved { identity: identity.map(|name| plain(name.as_str()).into_owned()).collect(), decisive }
    }

    /// Takes out what the client may not say: who the user is and, unless a trusted proxy says it, where
    /// the request comes from. Names with underscores for hyphens go as well.
    pub fn strip(&self, request: &mut RequestHeader, from_trusted: bool) {
        let mut doomed: Vec<HeaderName> = Vec::new();
        for name in request.headers.keys() {
            let gone = match plain(name.as_str()) {
                Cow::Owned(plain) => {
                    self.is_identity(&plain)
                        || is_forwarding(&plain)
                        || SHADOWED.contains(&plain.as_str())
                        || self.is_misspelled(name.as_str(), &plain)
                }
                Cow::Borrowed(name) => self.is_identity(name) || !from_trusted && is_forwarding(name),
            };
            if gone {
                doomed.push(name.clone());
            }
        }
        for name in doomed {
            request.remove_header(&name);
        }
    }

    /// Whether a name with underscores, which is `plain` without, is none that the config means, and like one.
    fn is_misspelled(&self, name: &str, plain: &str) -> bool {
        let is_meant = self.decisive.iter().any(|decisive| decisive.as_str() == name);
        !is_meant && self.decisive.iter().any(|decisive| self::plain(decisive.as_str()) == plain)
    }

    fn is_identity(&self, plain: &str) -> bool {
        self.identity.iter().any(|reserved| reserved == plain)
    }
}

/// Whether a header of this name says where a request comes from.
pub fn is_forwarding(name: &str) -> bool {
    name.starts_with("x-forwarded-") || name == X_REAL_IP.as_str() || name == header::FORWARDED.as_str()
}

/// Writes `X-Forwarded-For`, `-Proto` and `-Host`. What a trusted proxy has said of them was left in by
/// [`Reserved::strip`]: the list of hops grows by `peer`, the other two stay.
///
/// # Errors
/// Should the header map refuse a field, which it does at tens of thousands.
pub fn forward(fields: &mut HeaderMap, peer: IpAddr, scheme: &'static str) -> Result<(), MaxSizeReached> {
    let list = hops(fields, peer.to_canonical());
    fields.try_insert(&X_FORWARDED_FOR, list)?;
    if !fields.contains_key(&X_FORWARDED_PROTO) {
        fields.try_insert(&X_FORWARDED_PROTO, HeaderValue::from_static(scheme))?;
    }
    if !fields.contains_key(&X_FORWARDED_HOST)
        && let Some(host) = fields.get(header::HOST).cloned()
    {
        fields.try_insert(&X_FORWARDED_HOST, host)?;
    }
    Ok(())
}

/// How the client wrote its URL, `https` or `http`: as a trusted proxy says, else as the connection is.
pub fn scheme(headers: &HeaderMap, from_trusted: bool, connection: &'static str) -> &'static str {
    let told = if from_trusted { headers.get(&X_FORWARDED_PROTO) } else { None };
    match told.and_then(|told| told.as_bytes().split(|byte| *byte == b',').next()).map(<[u8]>::trim_ascii) {
        Some(told) if told.eq_ignore_ascii_case(b"https") => "https",
        Some(told) if told.eq_ignore_ascii_case(b"http") => "http",
        _ => connection,
    }
}

/// Writes `X-Forwarded-Prefix`, by which whoever makes links knows what was taken away; after what a trusted proxy has taken
/// away before.
///
/// # Errors
/// Should the header map refuse a field, which it does at tens of thousands.
pub fn tell_prefix(fields: &mut HeaderMap, prefix: &HeaderValue) -> Result<(), MaxSizeReached> {
    let known = fields.get_all(&X_FORWARDED_PREFIX).iter().map(HeaderValue::as_bytes);
    let list: Vec<&[u8]> = known.chain([prefix.as_bytes()]).collect();
    // Made of values that were header values already.
    let list = HeaderValue::from_maybe_shared(Bytes::from(list.join(&b", "[..]))).unwrap_or_else(|_| prefix.clone());
    fields.try_insert(&X_FORWARDED_PREFIX, list).map(drop)
}

fn hops(headers: &HeaderMap, peer: IpAddr) -> HeaderValue {
    let mut list = Vec::new();
    for field in headers.get_all(&X_FORWARDED_FOR) {
        list.extend_from_slice(field.as_bytes());
        list.extend_from_slice(b", ");
    }
    write_address(&mut list, peer);
    // Made of values that were header values already, and an address.
    HeaderValue::from_maybe_shared(Bytes::from(list)).unwrap_or(HeaderValue::from_static("unknown"))
}

/// The address in text. That of IPv4, which is written for every request, without the machinery of formats: it is a tenth of
/// what that takes.
fn write_address(text: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // Writing to a vector cannot fail.
        let _ = write!(text, "{address}");
        return;
    };
    text.reserve("255.255.255.255".len());
    for (nth, octet) in address.octets().into_iter().enumerate() {
        if nth > 0 {
            text.push(b'.');
        }
        text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for text in
            ["0.0.0.0", "127.0.0.1", "10.1.200.255", "255.255.255.255", "::1", "2001:db8::a:0:1", "::ffff:1.2.3.4"]
        {
            let mut written = Vec::new();
            write_address(&mut written, text.parse().expect("an address"));
            assert_eq!(String::from_utf8_lossy(&written), text);
        }
    }

    fn request(fields: &[(&str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
        for (name, value) in fields {
            request.append_header((*name).to_owned(), *value).expect("a field");
        }
        request
    }

    fn names(request: &RequestHeader) -> Vec<&str> {
        let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    const SENT: &[(&str, &str)] = &[
        ("accept", "*/*"),
        ("X-User-Id", "admin"),
        ("x_user_id", "admin"),
        ("X_USER-ID", "admin"),
        ("X-Tenant", "gold"),
        ("x_tenant", "gold"),
        ("x-request_id", "1"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x_forwarded_for", "1.2.3.4"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "1.2.3.4"),
        ("forwarded", "for=1.2.3.4"),
        ("x_custom", "stays"),
    ];

    #[test]
    fn identity_and_forwarding_headers_are_taken_from_strangers_in_every_spelling() {
        let reserved = Reserved::new([HeaderName::from_static("x-tenant")], Vec::new());
        let mut sent = request(SENT);
        reserved.strip(&mut sent, false);
        assert_eq!(names(&sent), ["accept", "x_custom"]);
    }

    /// A client could say `x_org` where that is how the config writes it, and `x-org` beside it.
    #[test]
    fn identity_that_the_config_writes_with_underscores_is_taken_from_clients_as_well() {
        let reserved = Reserved::new([HeaderName::from_static("x_org_id")], Vec::new());
        let mut sent = request(&[("x_org_id", "a"), ("x-org-id", "a"), ("X_Org-Id", "a"), ("x_org", "stays")]);
        reserved.strip(&mut sent, true);
        assert_eq!(names(&sent), ["x_org"]);
    }

    #[test]
    fn what_the_config_decides_by_has_one_spelling_which_may_be_one_with_underscores() {
        let decisive = ["x-plan", "x_old", "x-both", "x_both"].map(HeaderName::from_static);
        let reserved = Reserved::new([], decisive.to_vec());
        let mut sent =
            request(&[("x_plan", ""), ("x-plan", ""), ("x_old", ""), ("x-old", ""), ("x_both", ""), ("x_c", "")]);
        reserved.strip(&mut sent, false);
        assert_eq!(names(&sent), ["x-old", "x-plan", "x_both", "x_c", "x_old"]);
    }

    #[test]
    fn a_trusted_proxy_may_say_where_a_request_comes_from_but_never_who_it_is() {
        let reserved = Reserved::new([], Vec::new());
        let mut sent = request(SENT);
        reserved.strip(&mut sent, true);
        let left = [
            "accept",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-real-ip",
            "x-tenant",
            "x_custom",
            "x_tenant",
        ];
        assert_eq!(names(&sent), left);
    }

    #[test]
    fn only_a_trusted_proxy_says_by_which_scheme_a_request_was_made() {
        for (told, connection, scheme_by_trusted) in [
            (None, "http", "http"),
            (Some("https"), "http", "https"),
            (Some("HTTPS, http"), "http", "https"),
            (Some("http"), "https", "http"),
            (Some("gopher"), "https", "https"),
        ] {
            let told: Vec<(&str, &str)> = told.map(|told| ("x-forwarded-proto", told)).into_iter().collect();
            let headers = request(&told).headers.clone();
            assert_eq!(scheme(&headers, true, connection), scheme_by_trusted, "{told:?}");
            assert_eq!(scheme(&headers, false, connection), connection, "{told:?}");
        }
    }

    #[test]
    fn prefixes_that_were_taken_away_are_told_in_their_order() {
        let prefix = HeaderValue::from_static("/users");
        for (known, told) in [(&[][..], "/users"), (&[("x-forwarded-prefix", "/api")], "/api, /users")] {
            let mut fields = request(known).headers.clone();
            tell_prefix(&mut fields, &prefix).expect("room");
            assert_eq!(fields.get_all("x-forwarded-prefix").iter().collect::<Vec<_>>(), [told]);
        }
    }

    #[test]
    fn forwarding_headers_are_written_or_continued() {
        let peer = "203.0.113.7".parse().expect("an address");
        let mut fresh = request(&[("host", "api.example.com")]).headers.clone();
        forward(&mut fresh, peer, "http").expect("room");
        assert_eq!(fresh["x-forwarded-for"], "203.0.113.7");
        assert_eq!(fresh["x-forwarded-proto"], "http");
        assert_eq!(fresh["x-forwarded-host"], "api.example.com");
        let mut told = request(&[
            ("host", "inner"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
        ])
        .headers
        .clone();
        forward(&mut told, peer, "https").expect("room");
        assert_eq!(told["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 3.3.3.3, 203.0.113.7");
        assert_eq!(told.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(
            (&told["x-forwarded-proto"], &told["x-forwarded-host"]),
            (&"https".parse().expect("v"), &"outer".parse().expect("v"))
        );
    }
}

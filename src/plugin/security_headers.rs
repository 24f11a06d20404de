//! `securityHeaders`: what browsers are told, so that they do not do what an attacker would have them do.
//!
//! The set is that of OWASP's Secure Headers Project, but for what would break pages that work. An upstream knows its pages
//! better: what it says stays, unless the config wants otherwise.

use http::header::{self, MaxSizeReached};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config;
use crate::config::Hsts;

/// One route's.
#[derive(Debug)]
pub struct SecurityHeaders {
    overrides: bool,
    /// And whether it is said over http, too.
    hsts: Option<(HeaderValue, bool)>,
    policy: Option<HeaderValue>,
    frames: Option<Frames>,
    others: Vec<(HeaderName, HeaderValue)>,
}

/// In whose frames a page may be shown, to browsers of then and now.
#[derive(Debug)]
struct Frames {
    options: HeaderValue,
    policy: HeaderValue,
}

impl SecurityHeaders {
    /// As `config` says.
    pub fn new(config: &config::SecurityHeaders) -> Self {
        let text = |name: &'static str, value: Option<&str>| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(value?).ok()?))
        };
        let others = [
            text("x-content-type-options", config.content_type_options.map(|it| it.0)),
            text("referrer-policy", config.referrer_policy.map(|it| it.0)),
            text("cross-origin-opener-policy", config.cross_origin_opener_policy.map(|it| it.0)),
            text("x-permitted-cross-domain-policies", config.permitted_cross_domain_policies.map(|it| it.0)),
            text("permissions-policy", config.permissions_policy.as_ref().map(|it| it.as_str())),
            text("cross-origin-resource-policy", config.cross_origin_resource_policy.map(|it| it.0)),
            text("cross-origin-embedder-policy", config.cross_origin_embedder_policy.map(|it| it.0)),
        ];
        let policy = config.content_security_policy.as_ref();
        SecurityHeaders {
            overrides: config.r#override,
            hsts: config.hsts.as_ref().map(|hsts| (strict_transport(hsts), hsts.always)),
            policy: policy.and_then(|policy| HeaderValue::from_str(policy.as_str()).ok()),
            frames: config.frames.map(|frames| match frames.0 {
                "sameOrigin" => Frames {
                    options: HeaderValue::from_static("SAMEORIGIN"),
                    policy: HeaderValue::from_static("frame-ancestors 'self'"),
                },
                _ => Frames {
                    options: HeaderValue::from_static("DENY"),
                    policy: HeaderValue::from_static("frame-ancestors 'none'"),
                },
            }),
            others: others.into_iter().flatten().collect(),
        }
    }

    /// Writes into the fields of an answer what they do not say yet. By https, it has come in a way that nobody else can
    /// have changed.
    ///
    /// # Errors
    /// There are tens of thousands of fields.
    pub fn dress(&self, by_https: bool, fields: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        let has_frames = fields.contains_key(header::X_FRAME_OPTIONS) || policies(fields).any(names_ancestors);
        let hsts = self.hsts.as_ref().filter(|(_, always)| by_https || *always);
        let hsts = hsts.map(|(value, _)| (&header::STRICT_TRANSPORT_SECURITY, value));
        let policy = self.policy.as_ref().map(|policy| (&header::CONTENT_SECURITY_POLICY, policy));
        let others = self.others.iter().map(|(name, value)| (name, value));
        for (name, value) in others.chain(hsts).chain(policy) {
            if self.overrides || !fields.contains_key(name) {
                fields.try_insert(name, value.clone())?;
            }
        }
        if let Some(frames) = self.frames.as_ref().filter(|_| self.overrides || !has_frames) {
            fields.try_insert(header::X_FRAME_OPTIONS, frames.options.clone())?;
            // Of several policies all hold, so this one takes nothing from any other.
            fields.try_append(header::CONTENT_SECURITY_POLICY, frames.policy.clone())?;
        }
        Ok(())
    }
}

/// RFC 6797, section 6.1.
fn strict_transport(hsts: &Hsts) -> HeaderValue {
    let below = if hsts.include_sub_domains { "; includeSubDomains" } else { "" };
    let known = if hsts.preload { "; preload" } else { "" };
    let text = format!("max-age={}{below}{known}", hsts.max_age.as_secs());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("max-age=0"))
}

fn policies(fields: &HeaderMap) -> impl Iterator<Item = &str> {
    fields.get_all(header::CONTENT_SECURITY_POLICY).iter().filter_map(|policy| policy.to_str().ok())
}

/// Whether a `Content-Security-Policy` says in whose frames a page may be shown.
pub fn names_ancestors(policy: &str) -> bool {
    let mut directives = policy.split([';', ',']).filter_map(|directive| directive.split_ascii_whitespace().next());
    directives.any(|name| name.eq_ignore_ascii_case("frame-ancestors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(text: &str) -> SecurityHeaders {
        let text = format!("routes: [{{ path: /, target: http://a:1, plugins: {{ securityHeaders: {text} }} }}]");
        let loaded = config::parse("test.yaml", &text, &|_| None).expect("a valid config");
        SecurityHeaders::new(loaded.config.routes[0].plugins.security_headers.as_ref().expect("a block"))
    }

    fn dressed(text: &str, by_https: bool, own: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut fields: HeaderMap = HeaderMap::new();
        for (name, value) in own {
            fields.append(*name, HeaderValue::from_static(value));
        }
        compiled(text).dress(by_https, &mut fields).expect("room");
        let mut lines: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
        lines.sort();
        lines
    }

    const STANDARD: [&str; 6] = [
        "content-security-policy: frame-ancestors 'none'",
        "cross-origin-opener-policy: same-origin",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
        "x-frame-options: DENY",
        "x-permitted-cross-domain-policies: none",
    ];
    const NOTHING: &str = "hsts: off, contentTypeOptions: off, frames: off, referrerPolicy: off, crossOriginOpenerPolicy: off, permittedCrossDomainPolicies: off";

    #[test]
    fn https_is_asked_for_over_https_alone_unless_the_config_says_otherwise() {
        assert_eq!(dressed("true", false, &[]), STANDARD);
        let hsts = |text, by_https| {
            let lines = dressed(text, by_https, &[]);
            lines.into_iter().find_map(|line| line.strip_prefix("strict-transport-security: ").map(str::to_owned))
        };
        assert_eq!(hsts("true", true).as_deref(), Some("max-age=31536000"));
        assert_eq!(
            hsts("{ hsts: { maxAge: 5m, includeSubDomains: true } }", true).as_deref(),
            Some("max-age=300; includeSubDomains")
        );
        let all = "{ hsts: { maxAge: 730d, includeSubDomains: true, preload: true, always: true } }";
        assert_eq!(hsts(all, false).as_deref(), Some("max-age=63072000; includeSubDomains; preload"));
        assert_eq!(hsts("{ hsts: off }", true), None);
    }

    #[test]
    fn each_can_be_turned_off_or_be_another() {
        assert_eq!(dressed(&format!("{{ {NOTHING} }}"), true, &[]), Vec::<String>::new());
        let others = "frames: sameOrigin, crossOriginResourcePolicy: same-site, crossOriginEmbedderPolicy: credentialless, permissionsPolicy: 'camera=()', contentSecurityPolicy: default-src 'none', referrerPolicy: origin";
        let expected = [
            "content-security-policy: default-src 'none'",
            "content-security-policy: frame-ancestors 'self'",
            "cross-origin-embedder-policy: credentialless",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-site",
            "permissions-policy: camera=()",
            "referrer-policy: origin",
            "x-content-type-options: nosniff",
            "x-frame-options: SAMEORIGIN",
            "x-permitted-cross-domain-policies: none",
        ];
        assert_eq!(dressed(&format!("{{ {others} }}"), false, &[]), expected);
        let ancestors = format!(
            "{{ {}, contentSecurityPolicy: frame-ancestors https://a.test }}",
            NOTHING.replace("frames: off, ", "")
        );
        assert_eq!(dressed(&ancestors, false, &[]), ["content-security-policy: frame-ancestors https://a.test"]);
    }

    #[test]
    fn what_an_upstream_says_stays_unless_it_is_overridden() {
        let own = [
            ("referrer-policy", "origin"),
            ("x-content-type-options", "x"),
            ("strict-transport-security", "max-age=1"),
        ];
        let lines = dressed("true", true, &own);
        for (name, value) in own {
            assert!(lines.contains(&format!("{name}: {value}")), "{name}: {lines:?}");
        }
        let replaced = dressed("{ override: true }", true, &own);
        assert_eq!(
            replaced,
            [&STANDARD[..3], &["strict-transport-security: max-age=31536000"], &STANDARD[3..]].concat()
        );
    }

    #[test]
    fn who_may_frame_a_page_is_said_by_one_of_two() {
        let frames = |text, own: &[_]| {
            let mut lines = dressed(text, false, own);
            lines.retain(|line| line.starts_with("x-frame") || line.starts_with("content-security"));
            lines
        };
        let own = [("x-frame-options", "SAMEORIGIN")];
        assert_eq!(frames("true", &own), ["x-frame-options: SAMEORIGIN"]);
        let own = [("content-security-policy", "default-src *; Frame-Ancestors 'self'")];
        assert_eq!(frames("true", &own), ["content-security-policy: default-src *; Frame-Ancestors 'self'"]);
        let own = [("content-security-policy", "default-src *; report-uri /frame-ancestors")];
        let both = [
            "content-security-policy: default-src *; report-uri /frame-ancestors",
            "content-security-policy: frame-ancestors 'none'",
            "x-frame-options: DENY",
        ];
        assert_eq!(frames("true", &own), both);
        let own = [("x-frame-options", "SAMEORIGIN"), ("content-security-policy", "frame-ancestors *")];
        let both = [
            "content-security-policy: frame-ancestors 'none'",
            "content-security-policy: frame-ancestors *",
            "x-frame-options: DENY",
        ];
        assert_eq!(frames("{ override: true }", &own), both);
    }
}

//! Which certificate a client is shown: by the name it asks for (SNI, RFC 6066, section 3).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// Certificates by name. Several may be for one: the first whose kind of key the client knows is shown.
#[derive(Default)]
pub struct Names {
    /// Under a name, or under what follows the `*` of a wildcard, as in `.example.com`.
    known: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For names that are nobody's, and for clients that ask for none.
    first: Vec<Arc<CertifiedKey>>,
}

impl Names {
    /// Of these; the first is for all other names.
    pub fn new(certificates: &[Certificate]) -> Self {
        let mut known: HashMap<String, Vec<_>> = HashMap::new();
        for certificate in certificates {
            for name in &certificate.names {
                let name = name.strip_prefix('*').unwrap_or(name);
                known.entry(name.to_owned()).or_default().push(certificate.key.clone());
            }
        }
        Names { known, first: certificates.iter().take(1).map(|certificate| certificate.key.clone()).collect() }
    }

    /// Those for `name`, in small letters: its own before those of a wildcard, and if there are none, the first.
    fn of(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let wildcard = |name: &str| name.find('.').and_then(|dot| self.known.get(&name[dot..]));
        let found = name.and_then(|name| self.known.get(name).or_else(|| wildcard(name)));
        found.unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has checked that it is a name, and made its letters small.
        let found = self.of(hello.server_name());
        let known = found.iter().find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        known.or(found.first()).cloned()
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::tests::made;

    #[test]
    fn a_name_goes_before_a_wildcard_and_the_first_is_for_the_rest() {
        let certificates = [made(&["first.example"]), made(&["*.b.example"]), made(&["x.b.example", "b.example"])];
        let names = Names::new(&certificates);
        let shown = |name: Option<&str>| {
            let found = names.of(name);
            certificates.iter().position(|certificate| Arc::ptr_eq(&certificate.key, &found[0]))
        };
        for (name, at) in [
            ("first.example", 0),
            ("x.b.example", 2),
            ("y.b.example", 1),
            ("b.example", 2),
            ("z.y.b.example", 0),
            ("else.example", 0),
        ] {
            assert_eq!(shown(Some(name)), Some(at), "{name}");
        }
        assert_eq!(shown(None), Some(0));
        assert!(Names::default().of(Some("a")).is_empty());
    }
}

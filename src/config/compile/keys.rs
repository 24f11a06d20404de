//! The keys of `auth.jwt`, and what they are good for.

use jsonwebtoken::Algorithm;
use url::Url;

use super::{Compiler, samples, start};
use crate::config::error::Position;
use crate::config::file::Jwt;
use crate::config::located::Located;
use crate::config::model::KeySource;
use crate::config::names::Way;
use crate::config::units::Secret;
use crate::plugin::auth::key::{Key, Keys, Kind, Material};
use crate::plugin::auth::{jwks, pem};

/// Where keys are from, the keys, and what all of them together are good for.
pub(super) struct Found {
    pub source: KeySource,
    pub keys: Keys,
    pub algorithms: Vec<Algorithm>,
}

/// One of the keys of the block that say where keys are from.
#[derive(Clone, Copy)]
enum Written<'w> {
    Secret(&'w Secret),
    SecretFile(&'w str),
    PublicKey(&'w str),
    PublicKeyFile(&'w str),
    JwksFile(&'w str),
    JwksUrl(&'w str),
    Discovery(&'w [Located<String>]),
}

/// Where that stands, and what it is to be good for.
struct Place<'p> {
    at: Position,
    path: &'p str,
    key: &'static str,
    wanted: &'p [Located<Algorithm>],
}

impl Compiler<'_> {
    /// The keys of the block at `path`, which has to say where they are if it is one of many; `None` if there is none, or what there is is no good, which has been told of.
    pub(super) fn keys(&mut self, written: &Located<Jwt>, path: &str, is_one_of_many: bool) -> Option<Found> {
        let wanted = self.algorithms(written, path);
        let mut sources = sources(written);
        let (key, at, source) = match (sources.next(), sources.next()) {
            (Some((first, ..)), Some((second, at, _))) => {
                self.error(at, format!("{path}.{second}"), format!("there is a {first}, too; write one of the two"));
                return None;
            }
            (Some(only), None) => only,
            (None, _) if is_one_of_many => {
                let message = "nothing says what its tokens are signed with; write discovery: true, jwksUrl, publicKeyFile or secret";
                self.error(written.at, path, message);
                return None;
            }
            (None, _) => {
                let secret = Secret::new(self.variable("JWT_SECRET")?);
                let place = Place { at: start(), path, key: "secret", wanted };
                return self.secret(&place, &secret, KeySource::Secret { secret: secret.clone() });
            }
        };
        let place = Place { at, path, key, wanted };
        match source {
            Written::Secret(secret) => self.secret(&place, secret, KeySource::Secret { secret: secret.clone() }),
            Written::SecretFile(name) => self.secret_file(&place, name),
            Written::PublicKey(pem) => {
                let found = pem::public_keys(pem.as_bytes()).map_err(|what| format!("this is {what}"));
                self.public(&place, KeySource::PublicKey { public_key: pem.to_owned() }, found)
            }
            Written::PublicKeyFile(name) => {
                let keys = |text: Vec<u8>| pem::public_keys(&text).map_err(|what| format!("{name} is {what}"));
                let source = KeySource::PublicKeyFile { public_key_file: name.to_owned() };
                let found = self.key_in(name).and_then(keys);
                self.public(&place, source, found)
            }
            Written::JwksFile(name) => self.jwks_file(&place, name),
            Written::JwksUrl(url) => {
                let source = KeySource::JwksUrl { jwks_url: self.remote(&place, url)? };
                self.fetched(&place, source)
            }
            Written::Discovery(issuers) => {
                let [issuer] = issuers else {
                    let message =
                        "it is the one issuer that says where its keys are; write issuer: https://… beside it";
                    return self.wrong(&place, message.to_owned());
                };
                let place = Place { at: issuer.at, key: "issuer", ..place };
                let url = self.remote(&place, issuer)?;
                if url.query().is_some() || url.fragment().is_some() {
                    let message = "an issuer has no query and no fragment (OpenID Connect Discovery 1.0, section 2)";
                    return self.wrong(&place, format!("{message}; write https://HOST/PATH"));
                }
                self.fetched(&place, KeySource::Discovery { discovery: true, issuer: issuer.value.clone() })
            }
        }
    }

    /// What tokens are to be signed with, where that is written.
    fn algorithms<'w>(&mut self, written: &'w Jwt, path: &str) -> &'w [Located<Algorithm>] {
        let Some(list) = &written.algorithms else { return &[] };
        let path = format!("{path}.algorithms");
        if list.is_empty() && !self.told_of(&path) {
            self.error(list.at, path, "the list is empty; write [HS256], say, or leave it out");
        }
        list
    }

    fn key_in(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let read = self.read(name).map(|bytes| bytes.to_vec());
        read.map_err(|error| format!("cannot read {name}: {error}; write the name of a file with the key"))
    }

    fn secret_file(&mut self, place: &Place<'_>, name: &str) -> Option<Found> {
        // Its name is not repeated where there is no such file: it may be the secret itself.
        let read =
            self.read(name).map_err(|error| format!("cannot read it: {error}; write the name of a file with the key"));
        let text = read.and_then(|bytes| {
            let text =
                std::str::from_utf8(&bytes).map_err(|_| format!("{name} is no text; write the secret as text"))?;
            match text.trim_end_matches(['\r', '\n']) {
                "" => Err(format!("{name} is empty; write the secret into it")),
                text => Ok(Secret::new(text)),
            }
        });
        match text {
            Ok(secret) => {
                let source = KeySource::SecretFile { secret_file: name.to_owned(), secret: secret.clone() };
                self.secret(place, &secret, source)
            }
            Err(message) => self.wrong(place, message),
        }
    }

    fn secret(&mut self, place: &Place<'_>, secret: &Secret, source: KeySource) -> Option<Found> {
        let found = self.bind(place, source, vec![Material::secret(secret.reveal().as_bytes())])?;
        // A key of at least the size of the hash (RFC 7518, section 3.2).
        let (name, least) = match found.algorithms.last() {
            Some(Algorithm::HS512) => ("HS512", 64),
            Some(Algorithm::HS384) => ("HS384", 48),
            _ => ("HS256", 32),
        };
        let bytes = secret.reveal().len();
        if bytes < least {
            self.warn(place.at, format!("{}.{}", place.path, place.key), format!(
                "the secret has {bytes} bytes and can be guessed; {name} wants at least {least} (RFC 7518, 3.2), `openssl rand -base64 {}` makes a good one",
                least * 3 / 2,
            ));
        }
        if samples::is_known(secret) {
            self.warn(place.at, format!("{}.{}", place.path, place.key), samples::KNOWN);
        }
        Some(found)
    }

    fn public(&mut self, place: &Place<'_>, source: KeySource, found: Result<Vec<Material>, String>) -> Option<Found> {
        match found {
            Ok(keys) => self.bind(place, source, keys),
            Err(message) => self.wrong(place, message),
        }
    }

    fn jwks_file(&mut self, place: &Place<'_>, name: &str) -> Option<Found> {
        let algorithms = self.public_algorithms(place)?;
        let keys = self.key_in(name).and_then(|json| {
            jwks::keys(&json, &algorithms).map_err(|what| format!("{name} is {what}; write what the issuer publishes"))
        });
        match keys {
            Ok(keys) => Some(Found { source: KeySource::JwksFile { jwks_file: name.to_owned() }, keys, algorithms }),
            Err(message) => self.wrong(place, message),
        }
    }

    /// A URL at which keys are asked for.
    fn remote(&mut self, place: &Place<'_>, text: &str) -> Option<Url> {
        self.service(place.at, &format!("{}.{}", place.path, place.key), text)
    }

    /// The URL of a service that decides who somebody is.
    pub(super) fn service(&mut self, at: Position, path: &str, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
        let Some(url) = url.filter(|url| url.username().is_empty() && url.password().is_none()) else {
            self.error(at, path, "no URL that can be asked; write https://HOST/PATH, without a user");
            return None;
        };
        let is_local = match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            name => name == Some(url::Host::Domain("localhost")),
        };
        if url.scheme() == "http" && !is_local {
            self.warn(at, path, "whoever is in between can answer in its place, and so be anybody; write https://");
        }
        if let Some(url::Host::Domain(name)) = url.host() {
            self.leads_to(at, path, name, Way::System);
        }
        Some(url)
    }

    fn fetched(&mut self, place: &Place<'_>, source: KeySource) -> Option<Found> {
        Some(Found { source, keys: Keys::default(), algorithms: self.public_algorithms(place)? })
    }

    /// Those that are written, if all of them are of public keys.
    fn public_algorithms(&mut self, place: &Place<'_>) -> Option<Vec<Algorithm>> {
        let secrets = Kind::Secret.algorithms();
        if let Some(wrong) = place.wanted.iter().find(|algorithm| secrets.contains(algorithm)) {
            let name = format!("{:?}", wrong.value);
            let message = format!(
                "the keys of {} are public, and whoever knows one could sign with {name}; write RS256, say",
                place.key
            );
            self.error(wrong.at, format!("{}.algorithms[{}]", place.path, wrong.index), message);
            return None;
        }
        Some(place.wanted.iter().map(|algorithm| algorithm.value).collect())
    }

    /// Binds each key to what is wanted of it. All that is wanted has to go with a key, and all keys have to be good
    /// for something.
    fn bind(&mut self, place: &Place<'_>, source: KeySource, found: Vec<Material>) -> Option<Found> {
        let kinds: Vec<Kind> = found.iter().map(|material| material.kind).collect();
        if let Some(wrong) =
            place.wanted.iter().find(|wanted| !kinds.iter().any(|kind| kind.algorithms().contains(wanted)))
        {
            let kind = kinds.first().copied().unwrap_or(Kind::Secret);
            let message = format!("{:?} does not go with {kind}; write {}", wrong.value, list(kind.algorithms()));
            self.error(wrong.at, format!("{}.algorithms[{}]", place.path, wrong.index), message);
            return None;
        }
        let wanted: Vec<Algorithm> = place.wanted.iter().map(|algorithm| algorithm.value).collect();
        let mut algorithms: Vec<Algorithm> = kinds.iter().flat_map(|kind| kind.choose(&wanted)).collect();
        algorithms.dedup();
        let keys: Option<Vec<Key>> = found.into_iter().map(|material| material.bind(&wanted, None)).collect();
        match keys {
            Some(keys) => Some(Found { source, keys: Keys::new(keys), algorithms }),
            None => self.wrong(place, format!("one of the keys goes with none of {}; remove it", list(&wanted))),
        }
    }

    fn wrong(&mut self, place: &Place<'_>, message: String) -> Option<Found> {
        self.error(place.at, format!("{}.{}", place.path, place.key), message);
        None
    }
}

/// What is written of where keys are from. A secret that is empty, as a variable may be, is none.
fn sources(written: &Jwt) -> impl Iterator<Item = (&'static str, Position, Written<'_>)> {
    let secret = written.secret.as_ref().filter(|secret| !secret.reveal().is_empty());
    let Jwt { secret_file, public_key, public_key_file, jwks_file, jwks_url, discovery, issuer, .. } = written;
    let discovery = discovery.as_ref().filter(|discovery| discovery.value);
    [
        secret.map(|secret| ("secret", secret.at, Written::Secret(&secret.value))),
        secret_file.as_ref().map(|file| ("secretFile", file.at, Written::SecretFile(&file.value))),
        public_key.as_ref().map(|key| ("publicKey", key.at, Written::PublicKey(&key.value))),
        public_key_file.as_ref().map(|file| ("publicKeyFile", file.at, Written::PublicKeyFile(&file.value))),
        jwks_file.as_ref().map(|file| ("jwksFile", file.at, Written::JwksFile(&file.value))),
        jwks_url.as_ref().map(|url| ("jwksUrl", url.at, Written::JwksUrl(&url.value))),
        discovery.map(|discovery| ("discovery", discovery.at, Written::Discovery(issuer))),
    ]
    .into_iter()
    .flatten()
}

fn list(algorithms: &[Algorithm]) -> String {
    let names: Vec<String> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    names.join(", ")
}

//! `Authorization: Basic` (RFC 7617), for users whose passwords are known as bcrypt makes them.
//!
//! Checking a password is slow on purpose, so it is done beside the threads that serve, by a few at a time; one that was
//! right is remembered by a digest that means nothing to any other process.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::fill;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::claims::Identity;
use crate::config;
use crate::crowd;
use crate::refusal::Refusal;

/// How they are asked for (RFC 7617, section 2.1).
pub const CHALLENGE: &str = "Basic realm=\"aegis\", charset=\"UTF-8\"";
/// Passwords that are checked at one time.
const AT_ONCE: usize = 2;
/// How long one may wait for that.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of one client, or one /64 of IPv6, so many are checked or wait for that: others come to their turn.
const OF_ONE_CLIENT: u32 = 8;
/// Users whose passwords are remembered.
const REMEMBERED: usize = 4_096;
const WRONG: Refusal = Refusal::CredentialsInvalid { why: "The user or the password is wrong.", challenge: CHALLENGE };

/// All users with passwords.
pub struct Passwords {
    users: HashMap<String, (String, Arc<Identity>)>,
    /// What the password of nobody is held against, one of them by the name: so it takes as long as somebody's.
    hashes: Vec<String>,
    /// Of this process.
    key: hmac::Key,
    known: Cache<[u8; 32], Arc<Identity>>,
    permits: Arc<Semaphore>,
    /// How many are checked of each client, or wait for that.
    clients: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// A client whose password is checked, or waits for that.
struct Turn {
    clients: Arc<Mutex<HashMap<IpAddr, u32>>>,
    client: IpAddr,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut clients = self.clients.lock();
        let left = clients.get(&self.client).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => clients.remove(&self.client),
            _ => clients.insert(self.client, left),
        };
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("users", &self.users.len()).finish()
    }
}

impl Passwords {
    /// Those of `config`.
    pub fn new(config: &config::Basic) -> Self {
        let user = |(user, hash): &(crate::config::units::UserId, String)| {
            (user.to_string(), (hash.clone(), Arc::new(Identity::plain(user.value(), Vec::new()))))
        };
        let mut secret = [0; 32];
        // Without chance the digests would be those of other processes, too, which nobody sees.
        let _ = fill(&mut secret);
        Passwords {
            users: config.users.iter().map(user).collect(),
            hashes: config.users.iter().map(|(_, hash)| hash.clone()).collect(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            known: Cache::new(REMEMBERED),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            clients: Arc::default(),
        }
    }

    /// Who a request of `client` says that it is from, if it says so by a password.
    ///
    /// # Errors
    /// It is not right, or so many are being checked, in all or of the client, that there is no saying.
    pub async fn find(&self, headers: &HeaderMap, client: IpAddr) -> Result<Option<Arc<Identity>>, Refusal> {
        let Some(credentials) = credentials(headers)? else { return Ok(None) };
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, credentials.as_bytes()).as_ref());
        if let Some(identity) = self.known.get(&digest) {
            return Ok(Some(identity));
        }
        let (user, password) = credentials.split_once(':').ok_or(WRONG)?;
        let found = self.users.get(user);
        let hash = found.map_or_else(|| self.hash_for(user), |(hash, _)| hash).to_owned();
        let turn = self.turn(client).ok_or(Refusal::AuthUnavailable)?;
        let is_right = self.check(password.to_owned(), hash, turn).await?;
        match found {
            Some((_, identity)) if is_right => {
                self.known.insert(digest, identity.clone());
                Ok(Some(identity.clone()))
            }
            _ => Err(WRONG),
        }
    }

    /// What the password of a user is held against that is none.
    fn hash_for(&self, nobody: &str) -> &str {
        let digest = hmac::sign(&self.key, nobody.as_bytes());
        let number = digest.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let place = number.checked_rem(self.hashes.len() as u64).unwrap_or_default();
        self.hashes.get(place as usize).map_or("", |hash| hash)
    }

    fn turn(&self, client: IpAddr) -> Option<Turn> {
        let client = crowd::one(client);
        let mut clients = self.clients.lock();
        let count = clients.entry(client).or_default();
        *count += 1;
        // Given back below if it is one too many.
        let (is_one_too_many, turn) = (*count > OF_ONE_CLIENT, Turn { clients: self.clients.clone(), client });
        drop(clients);
        (!is_one_too_many).then_some(turn)
    }

    async fn check(&self, password: String, hash: String, turn: Turn) -> Result<bool, Refusal> {
        let permit = tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| Refusal::AuthUnavailable)?;
        // It goes on when the client has left, and so holds its permit itself.
        let check = move || (bcrypt::verify(password, &hash).unwrap_or(false), permit, turn).0;
        Ok(tokio::task::spawn_blocking(check).await.unwrap_or(false))
    }
}

/// User and password with a colon between them.
fn credentials(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next().map(|field| field.as_bytes());
    let Some((scheme, rest)) = field.and_then(|field| field.split_at_checked(6)) else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return Ok(None);
    }
    if fields.next().is_some() {
        return Err(Refusal::CredentialsInvalid {
            why: "There is more than one Authorization header.",
            challenge: CHALLENGE,
        });
    }
    let bytes = STANDARD.decode(rest.trim_ascii()).map_err(|_| WRONG)?;
    String::from_utf8(bytes).map(Some).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn sent(values: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().expect("a value"));
        }
        headers
    }

    fn basic(text: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    fn passwords() -> Passwords {
        let hash = |password: &str| bcrypt::hash(password, 4).expect("a hash");
        let user = |user: &str, password: &str| (user.parse().expect("a user"), hash(password));
        let users = vec![user("ann", "a:b"), user("Zoë", "ü")];
        Passwords::new(&config::Basic { file: String::new(), users })
    }

    #[tokio::test]
    async fn a_password_that_is_right_is_checked_once() {
        let passwords = passwords();
        for (sent_by, user) in [("ann:a:b", "ann"), ("Zoë:ü", "Zoë")] {
            for _ in 0..2 {
                let found =
                    passwords.find(&sent(&[basic(sent_by.as_bytes())]), CLIENT).await.expect("right").expect("a user");
                assert_eq!(found.user_id.as_bytes(), user.as_bytes());
            }
        }
        assert_eq!(passwords.known.len(), 2);
        assert_eq!(format!("{passwords:?}"), "Passwords { users: 2 }");
    }

    #[tokio::test]
    async fn whatever_is_not_right_is_wrong_in_the_same_words() {
        let passwords = passwords();
        for wrong in [
            basic(b"ann:b"),
            basic(b"ann:"),
            basic(b"bob:a:b"),
            basic(b"ann"),
            basic(b"ann:\xff"),
            "Basic !".to_owned(),
            "basic ".to_owned() + "====",
        ] {
            assert_eq!(passwords.find(&sent(std::slice::from_ref(&wrong)), CLIENT).await, Err(WRONG), "{wrong}");
        }
        assert_eq!(passwords.known.len(), 0);
        let twice = sent(&[basic(b"ann:a:b"), "Bearer x".to_owned()]);
        assert!(passwords.find(&twice, CLIENT).await.is_err_and(|refusal| refusal != WRONG));
        for other in [vec![], vec!["Bearer a.b.c".to_owned()], vec!["Basic".to_owned()]] {
            assert_eq!(passwords.find(&sent(&other), CLIENT).await, Ok(None), "{other:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_too_long_is_told_so() {
        let passwords = passwords();
        let _all = passwords.permits.acquire_many(AT_ONCE as u32).await.expect("permits");
        assert_eq!(passwords.find(&sent(&[basic(b"ann:a:b")]), CLIENT).await, Err(Refusal::AuthUnavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_does_not_keep_others_waiting() {
        let passwords = Arc::new(passwords());
        let all = passwords.permits.clone().acquire_many_owned(AT_ONCE as u32).await.expect("permits");
        let ask = |client: [u8; 4], who: &'static str| {
            let passwords = passwords.clone();
            tokio::spawn(async move { passwords.find(&sent(&[basic(who.as_bytes())]), client.into()).await })
        };
        let mut many: Vec<_> = (0..OF_ONE_CLIENT).map(|_| ask([192, 0, 2, 1], "ann:wrong")).collect();
        tokio::task::yield_now().await;
        assert_eq!(ask([192, 0, 2, 1], "ann:a:b").await.expect("an answer"), Err(Refusal::AuthUnavailable));
        let other = ask([192, 0, 2, 2], "ann:a:b");
        tokio::task::yield_now().await;
        drop(all);
        assert!(other.await.expect("an answer").is_ok_and(|found| found.is_some()));
        for one in many.drain(..) {
            assert_eq!(one.await.expect("an answer"), Err(WRONG));
        }
        assert!(passwords.clients.lock().is_empty());
    }

    #[test]
    fn a_user_that_is_none_takes_as_long_as_some_user_and_always_the_same() {
        let users =
            (4..8).map(|cost| ("u".parse().expect("a user"), bcrypt::hash("x", cost).expect("a hash"))).collect();
        let passwords = Passwords::new(&config::Basic { file: String::new(), users });
        let hashes: std::collections::HashSet<String> =
            (0..200).map(|number| passwords.hash_for(&number.to_string()).to_owned()).collect();
        assert_eq!(hashes.len(), 4);
        assert_eq!(passwords.hash_for("bob"), passwords.hash_for("bob"));
    }
}

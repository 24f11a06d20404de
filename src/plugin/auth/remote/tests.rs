use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::units::Secret;
use crate::config::{Jwt, KeySource};
use crate::plugin::auth::jwt::{Verifier, Wanted};
use crate::refusal::Refusal;

fn remote(now: Instant) -> Remote {
    Remote::new(Place::Set("http://issuer/keys".parse().expect("a URL")), Vec::new(), now)
}

fn keys(id: &str) -> Keys {
    // The key of RFC 8037, appendix A.2.
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"{x}"}}]}}"#);
    jwks::keys(set.as_bytes(), &[]).expect("a set of keys")
}

fn answers(remote: &Remote, id: &str, now: Instant) {
    remote.settle(Ok((keys(id), Duration::from_secs(60))), now, SystemTime::UNIX_EPOCH);
}

fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// It was refused: somebody else's question had been answered while it was being checked with the keys of before.
#[test]
fn a_token_that_was_checked_with_older_keys_is_checked_again() {
    let now = Instant::now();
    let remote = remote(now);
    answers(&remote, "old", now);
    let before = remote.current().generation;
    assert_eq!(remote.state.lock().schedule.doubt(now), Doubt::Ask);
    answers(&remote, "new", now);
    assert_eq!(poll(remote.doubt(before, now)), Poll::Ready(true));
    assert_eq!(poll(remote.doubt(remote.current().generation, now)), Poll::Ready(false));
}

/// Keys are fetched on schedule too: what such an answer holds may be from before the token's key was published.
#[tokio::test]
async fn a_token_whose_key_is_newer_than_the_answer_on_its_way_has_the_issuer_asked_once_more() {
    let now = Instant::now();
    let source = KeySource::JwksUrl { jwks_url: "http://issuer/keys".parse().expect("a URL") };
    let config = Jwt { source, algorithms: Vec::new(), ..Jwt::with_secret(Secret::new("unused")) };
    let verifier = Verifier::new(&[config], &Wanted::default(), &[], now);
    let remote = verifier.remotes().next().expect("its keys").clone();
    answers(&remote, "old", now);
    remote.state.lock().schedule.begins();

    // {"alg":"EdDSA","kid":"new"}, {}, and a signature of nobody.
    let token = format!("eyJhbGciOiJFZERTQSIsImtpZCI6Im5ldyJ9.e30.{}", "A".repeat(86));
    let mut checked = pin!(verifier.verify(&token, now, SystemTime::UNIX_EPOCH));
    assert!(poll(checked.as_mut()).is_pending(), "the answer is waited for");
    answers(&remote, "old", now);
    assert!(poll(checked.as_mut()).is_pending(), "and the issuer asked again");
    remote.wake.notified().await;
    answers(&remote, "new", now);
    let forged = Err(Refusal::TokenInvalid("The token's signature does not match."));
    assert_eq!(checked.await.map(|_| ()), forged, "it is checked with the new key");
}

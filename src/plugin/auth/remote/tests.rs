use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

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

fn poll(doubt: impl Future<Output = bool>) -> Poll<bool> {
    pin!(doubt).poll(&mut Context::from_waker(Waker::noop()))
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

//! The end of a connection whose client is still sending.
//!
//! A socket that is closed with unread bytes in it is reset, and a reset takes away what the other side has
//! not read yet: the very answer that says why. So the sending side is closed first, and what still comes is
//! read and thrown away for a while (RFC 9112, section 9.6; nginx calls it a lingering close).

use std::time::Duration;

use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// In all. nginx has the same, in `lingering_time`.
const LONGEST: Duration = Duration::from_secs(30);
/// Without a byte, after which nothing more is expected. `lingering_timeout`.
const SILENCE: Duration = Duration::from_secs(5);

/// Closes `stream` as soon as the client has done so, has fallen silent, or has been sending for too long.
pub async fn linger(mut stream: Stream) {
    let until_the_end = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut chunk = [0; 1024];
        while let Ok(Ok(1..)) = timeout(SILENCE, stream.read(&mut chunk)).await {}
    };
    // However it ended, there is nobody to be told.
    let _ = timeout(LONGEST, until_the_end).await;
}

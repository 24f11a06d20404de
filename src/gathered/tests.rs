use std::sync::{Arc, Mutex};

use pingora::http::RequestHeader;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, SocketDigest, Ssl, TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::AsyncWriteExt;

use super::*;

/// Writes down what each write is, and takes `most` bytes of it; every other time it wants to be asked again.
#[derive(Debug)]
struct Socket {
    written: Written,
    most: usize,
    is_ready: bool,
}

type Written = Arc<Mutex<Vec<Vec<u8>>>>;

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        bytes.truncate(self.most);
        let taken = bytes.len();
        self.written.lock().expect("no panic").push(bytes);
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait]
impl Shutdown for Socket {
    async fn shutdown(&mut self) {}
}

impl UniqueID for Socket {
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl GetTimingDigest for Socket {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Socket {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Socket {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

impl Ssl for Socket {}

impl Peek for Socket {}

fn gathered(most: usize) -> (Stream, Written) {
    let written = Written::default();
    let socket = Socket { written: written.clone(), most, is_ready: false };
    (Box::new(Gathered::new(Box::new(socket), SHORT, AtomicBool::new(false))), written)
}

/// How much was written at a time.
fn lengths(written: &Written) -> Vec<usize> {
    written.lock().expect("no panic").iter().map(Vec::len).collect()
}

async fn request(session: &mut HttpSession, body: &[u8], holds: bool) -> pingora::Result<()> {
    let mut head = RequestHeader::build("PUT", b"/", None)?;
    head.insert_header("content-length", body.len())?;
    Gathered::hold(session.stream(), holds);
    session.write_request_header(Box::new(head)).await?;
    Gathered::hold(session.stream(), false);
    session.write_body(body).await?;
    session.finish_body().await?;
    Ok(())
}

const HEAD: &[u8] = b"PUT / HTTP/1.1\r\ncontent-length: 5000\r\n\r\n";

#[tokio::test]
async fn a_head_that_is_held_back_goes_with_its_body() {
    let body = [b'x'; 5_000];
    for (holds, most, expected) in [
        (true, usize::MAX, vec![HEAD.len() + 5_000]),
        (true, 3_000, vec![3_000, HEAD.len() + 2_000]),
        (true, 30, vec![30; 167].into_iter().chain([HEAD.len() + 5_000 - 167 * 30]).collect()),
        (false, usize::MAX, vec![HEAD.len(), 5_000]),
    ] {
        let (stream, written) = gathered(most);
        let mut session = HttpSession::new(stream);
        request(&mut session, &body, holds).await.expect("sent");
        assert_eq!(lengths(&written), expected, "{holds} {most}");
        assert_eq!(written.lock().expect("no panic").concat(), [HEAD, &body].concat());
    }
}

#[tokio::test]
async fn nothing_is_left_for_the_next_request() {
    let (mut stream, written) = gathered(usize::MAX);
    let mut sent = 0;
    for (holds, writes) in [(true, 1), (false, 2), (true, 1)] {
        let mut session = HttpSession::new(stream);
        request(&mut session, b"hello", holds).await.expect("sent");
        stream = session.into_inner();
        sent += writes;
        assert_eq!(lengths(&written).len(), sent);
    }
}

#[tokio::test]
async fn who_takes_nothing_is_found_out() {
    let mut session = HttpSession::new(gathered(0).0);
    assert!(request(&mut session, b"hello", true).await.is_err());
}

#[tokio::test]
async fn what_is_short_goes_with_what_comes_after_it() {
    for (holds, pieces, expected) in [
        (false, &[300, 11][..], &[311][..]),
        (false, &[300, 10_000], &[10_300]),
        (false, &[300, 1_159, 4], &[1_463]),
        (false, &[1_460, 4], &[1_460, 4]),
        (false, &[10_000, 5], &[10_000, 5]),
        (false, &[2_000, 2_000], &[2_000, 2_000]),
        (false, &[], &[]),
        (true, &[300, 10_000, 5], &[10_305]),
        (true, &[300, 20_000, 5], &[20_300, 5]),
    ] {
        let (mut stream, written) = gathered(usize::MAX);
        Gathered::hold(&stream, holds);
        for length in pieces {
            stream.write_all(&vec![b'x'; *length]).await.expect("written");
            if holds {
                stream.flush().await.expect("not flushed");
            }
        }
        Gathered::hold(&stream, false);
        stream.flush().await.expect("flushed");
        assert_eq!(lengths(&written), expected, "{holds} {pieces:?}");
    }
}

#[tokio::test]
async fn what_waits_goes_when_the_connection_ends_however_it_does() {
    let (mut stream, written) = gathered(usize::MAX);
    stream.write_all(b"an answer that breaks off").await.expect("written");
    assert!(lengths(&written).is_empty());
    drop(stream);
    assert_eq!(lengths(&written), [25]);
    let (mut stream, written) = gathered(usize::MAX);
    Gathered::hold(&stream, true);
    stream.write_all(b"a head without its body").await.expect("written");
    drop(stream);
    assert!(lengths(&written).is_empty());
    let (mut stream, written) = gathered(usize::MAX);
    stream.write_all(b"goodbye").await.expect("written");
    AsyncWriteExt::shutdown(&mut stream).await.expect("closed");
    assert_eq!(lengths(&written), [7]);
    let (mut stream, written) = gathered(usize::MAX);
    stream.write_all(b"goodbye").await.expect("written");
    Shutdown::shutdown(&mut *stream).await;
    assert_eq!(lengths(&written), [7]);
}

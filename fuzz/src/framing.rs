//! The strict reader of HTTP/1.1: it says the same in whatever pieces bytes come, and where it sees the end of a head or a
//! body, the parser behind it and a plain reading see the same end.

use aegis::downstream::framing::{Bounds, Chunks, Head, Wrong};

const BOUNDS: Bounds = Bounds { fields: 100, bytes: 4_096, target: 1_024 };

/// The first byte says how large pieces are.
pub fn run(data: &[u8]) {
    let Some((size, bytes)) = data.split_first() else { return };
    let size = usize::from(*size) % 32 + 1;
    let mut reader = Head::default();
    let head = whole(bytes, bytes.len().max(1), |piece| reader.take(piece, &BOUNDS));
    let mut reader = Head::default();
    let pieces = whole(bytes, size, |piece| reader.take(piece, &BOUNDS));
    assert_eq!(head.ok(), pieces.ok(), "by {size}: {head:?} {pieces:?}");
    if let Ok(Some(end)) = head {
        ends_at(bytes, end);
    }
    let mut reader = Chunks::default();
    let body = whole(bytes, bytes.len().max(1), |piece| reader.take(piece));
    let mut reader = Chunks::default();
    let pieces = whole(bytes, size, |piece| reader.take(piece));
    assert_eq!(body.ok(), pieces.ok(), "by {size}: {body:?} {pieces:?}");
    if let Ok(Some(end)) = body {
        assert_eq!(chunked(bytes), Some(end));
    }
}

/// Where something ends that comes in pieces of so many.
fn whole(
    bytes: &[u8],
    size: usize,
    mut take: impl FnMut(&[u8]) -> Result<Option<usize>, Wrong>,
) -> Result<Option<usize>, Wrong> {
    let mut before = 0;
    for piece in bytes.chunks(size) {
        if let Some(end) = take(piece)? {
            assert!(end <= piece.len(), "{end} of {}", piece.len());
            return Ok(Some(before + end));
        }
        before += piece.len();
    }
    Ok(None)
}

/// What is behind the strict reader sees the head end there, too, or sees none.
fn ends_at(bytes: &[u8], end: usize) {
    for bytes in [bytes, &bytes[..end]] {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        match httparse::Request::new(&mut fields).parse(bytes) {
            Ok(status) => assert_eq!(status, httparse::Status::Complete(end)),
            Err(_) => return,
        }
    }
    let head = &bytes[..end];
    let lines = head.split(|byte| *byte == b'\n').count() - 1;
    assert!(head.ends_with(b"\r\n\r\n") && lines == head.iter().filter(|byte| **byte == b'\r').count());
}

/// Where a body in chunks ends, read by its grammar (RFC 9112, section 7.1).
fn chunked(bytes: &[u8]) -> Option<usize> {
    let line = |at: usize| {
        let length = bytes.get(at..)?.windows(2).position(|pair| pair == b"\r\n")?;
        Some((&bytes[at..at + length], at + length + 2))
    };
    let mut at = 0;
    loop {
        let (size, data) = line(at)?;
        let digits = size.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if digits.first() == Some(&b'+') {
            return None;
        }
        at = data;
        if size == 0 {
            break;
        }
        if bytes.get(at + size..at + size + 2)? != b"\r\n" {
            return None;
        }
        at += size + 2;
    }
    loop {
        let (field, next) = line(at)?;
        at = next;
        if field.is_empty() {
            return Some(at);
        }
        if !field.contains(&b':') {
            return None;
        }
    }
}

//! The encoders: a piece of an answer goes in, what can be sent of it comes out.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;
use zstd::zstd_safe::CParameter;

use crate::config::{Coding, Level};

/// 256 KiB are looked back on: more takes more memory and makes answers hardly smaller.
const WINDOW_BITS: u32 = 18;
/// What all encoders together may take. Answers that find no room are sent as they are.
const MOST_KIB: usize = 256 * 1024;

static TAKEN_KIB: AtomicUsize = AtomicUsize::new(0);

/// The encoder of one answer, and its place among all of them.
pub struct Encoder {
    kind: Kind,
    _room: Room,
}

enum Kind {
    Gzip(GzEncoder<Vec<u8>>),
    Br(Box<CompressorWriter<Vec<u8>>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

/// How hard a coding tries at a level, and the memory that this takes, as measured with a megabyte of JSON.
fn effort(coding: Coding, level: Level) -> (u32, usize) {
    match (coding, level) {
        (Coding::Gzip, Level::Fast) => (1, 300),
        (Coding::Gzip, Level::Balanced) => (4, 300),
        (Coding::Gzip, Level::Small) => (9, 300),
        (Coding::Br, Level::Fast) => (1, 150),
        (Coding::Br, Level::Balanced) => (4, 1300),
        (Coding::Br, Level::Small) => (6, 2900),
        (Coding::Zstd, Level::Fast) => (1, 450),
        (Coding::Zstd, Level::Balanced) => (3, 1150),
        (Coding::Zstd, Level::Small) => (6, 2900),
    }
}

impl Encoder {
    /// One of this coding at this level, if there is room for it.
    pub fn new(coding: Coding, level: Level) -> Option<Self> {
        let (effort, kib) = effort(coding, level);
        let room = Room::take(&TAKEN_KIB, kib, MOST_KIB)?;
        let kind = match coding {
            Coding::Gzip => Kind::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(effort))),
            Coding::Br => {
                let (quality, lgwin) = (effort as i32, WINDOW_BITS as i32);
                let params = BrotliEncoderParams { quality, lgwin, ..BrotliEncoderParams::default() };
                Kind::Br(Box::new(CompressorWriter::with_params(Vec::new(), 4096, &params)))
            }
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), effort as i32).ok()?;
                encoder.set_parameter(CParameter::WindowLog(WINDOW_BITS)).ok()?;
                Kind::Zstd(encoder)
            }
        };
        Some(Encoder { kind, _room: room })
    }

    /// What can be sent when `piece` has come: with `flush` all of it, otherwise what is worth it.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn encode(&mut self, piece: &[u8], flush: bool) -> io::Result<Bytes> {
        fn put<W: Write>(writer: &mut W, piece: &[u8], flush: bool) -> io::Result<()> {
            writer.write_all(piece)?;
            if flush { writer.flush() } else { Ok(()) }
        }
        let out = match &mut self.kind {
            Kind::Gzip(writer) => {
                put(writer, piece, flush)?;
                writer.get_mut()
            }
            Kind::Br(writer) => {
                put(writer, piece, flush)?;
                writer.get_mut()
            }
            Kind::Zstd(writer) => {
                put(writer, piece, flush)?;
                writer.get_mut()
            }
        };
        Ok(std::mem::take(out).into())
    }

    /// What remains to be sent at the end.
    ///
    /// # Errors
    /// There is not enough memory.
    pub fn finish(self) -> io::Result<Bytes> {
        Ok(match self.kind {
            Kind::Gzip(writer) => writer.finish()?,
            Kind::Br(writer) => writer.into_inner(),
            Kind::Zstd(writer) => writer.finish()?,
        }
        .into())
    }
}

/// A share of what there is.
struct Room {
    of: &'static AtomicUsize,
    kib: usize,
}

impl Room {
    fn take(of: &'static AtomicUsize, kib: usize, most: usize) -> Option<Self> {
        let fits = |taken: usize| taken.checked_add(kib).filter(|taken| *taken <= most);
        of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok().map(|_| Room { of, kib })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.fetch_sub(self.kib, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What can be read of `bytes`, whether or not they are all.
    fn decoded(coding: Coding, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut text = Vec::new();
        let mut reader: Box<dyn Read + '_> = match coding {
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
            Coding::Br => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes).expect("a decoder")),
        };
        let mut buffer = [0; 4096];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (text, true),
                Ok(n) => text.extend_from_slice(&buffer[..n]),
                Err(_) => return (text, false),
            }
        }
    }

    const LEVELS: [Level; 3] = [Level::Fast, Level::Balanced, Level::Small];

    #[test]
    fn what_goes_in_comes_out_by_every_coding_at_every_level() {
        let text: Vec<u8> = (0..10_000_u32)
            .flat_map(|i| format!("{{\"id\":{}}},", i.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        for (coding, level) in Coding::ALL.into_iter().flat_map(|coding| LEVELS.map(|level| (coding, level))) {
            for flush in [false, true] {
                let mut encoder = Encoder::new(coding, level).expect("room");
                let mut out = Vec::new();
                for piece in text.chunks(30_000) {
                    out.extend_from_slice(&encoder.encode(piece, flush).expect("memory"));
                    if flush {
                        assert!(decoded(coding, &out).0.ends_with(&piece[piece.len() - 8..]), "{coding:?} {level:?}");
                    }
                }
                assert!(!decoded(coding, &out).1, "the end is missing");
                out.extend_from_slice(&encoder.finish().expect("memory"));
                assert_eq!(decoded(coding, &out), (text.clone(), true), "{coding:?} {level:?} {flush}");
                assert!(out.len() * 3 < text.len() * 2, "{coding:?} {level:?}: {} of {}", out.len(), text.len());
            }
            let empty = Encoder::new(coding, level).expect("room").finish().expect("memory");
            assert_eq!(decoded(coding, &empty), (Vec::new(), true));
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_it_is_given_back() {
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        let take = || Room::take(&TAKEN, 400, 1000);
        let (first, second) = (take(), take());
        assert!(first.is_some() && second.is_some() && take().is_none());
        drop(first);
        assert!(take().is_some(), "and that one is gone again");
        drop(second);
        assert_eq!(TAKEN.load(Ordering::Relaxed), 0);
    }
}

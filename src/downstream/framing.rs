//! Where a request of HTTP/1.1 begins and ends, read strictly: whatever two servers could read in two ways is none
//! (RFC 9112). Pingora reads it after us, and more kindly.

use memchr::{memchr, memchr_iter};

/// How large the head of a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Fields.
    pub fields: usize,
    /// Bytes of all of it.
    pub bytes: usize,
    /// Bytes of the target.
    pub target: usize,
}

/// What is wrong with what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It could be read in two ways, or in none.
    Malformed,
    /// The target is longer than it may be.
    TargetTooLong,
    /// The head is larger, or has more fields.
    HeadTooLarge,
}

/// Looks at the head of a request piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    bytes: usize,
    lines: usize,
    /// Of the line that is not complete, the length so far,
    line: usize,
    /// its last byte,
    last: u8,
    /// and the spaces in it, if it is the first one.
    spaces: usize,
    /// Bytes of its target.
    target: usize,
}

impl Head {
    /// Whether something of it has come.
    pub fn has_begun(&self) -> bool {
        self.bytes > 0
    }

    /// Takes the next piece. How much of it belongs to the head, if it ends in there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, piece: &[u8], bounds: &Bounds) -> Result<Option<usize>, Wrong> {
        let mut begin = 0;
        for end in memchr_iter(b'\n', piece) {
            let is_last = self.line_ends(&piece[begin..end])?;
            begin = end + 1;
            if self.target > bounds.target {
                return Err(Wrong::TargetTooLong);
            }
            if is_last {
                self.bytes += begin;
                return if self.bytes > bounds.bytes { Err(Wrong::HeadTooLarge) } else { Ok(Some(begin)) };
            }
            if self.lines > bounds.fields + 1 {
                return Err(Wrong::HeadTooLarge);
            }
        }
        self.goes_on(&piece[begin..])?;
        self.bytes += piece.len();
        if self.target > bounds.target {
            return Err(Wrong::TargetTooLong);
        }
        if self.bytes > bounds.bytes { Err(Wrong::HeadTooLarge) } else { Ok(None) }
    }

    /// A piece of a line that goes on after it.
    fn goes_on(&mut self, piece: &[u8]) -> Result<(), Wrong> {
        let Some((&last, rest)) = piece.split_last() else { return Ok(()) };
        // A CR is followed by an LF, which comes later if this is the last byte.
        let cr_inside = self.line > 0 && self.last == b'\r' || memchr(b'\r', rest).is_some();
        let folded = self.line == 0 && self.lines > 0 && matches!(piece[0], b' ' | b'\t');
        if cr_inside || folded || memchr(0, piece).is_some() {
            return Err(Wrong::Malformed);
        }
        if self.lines == 0 {
            self.first_line(piece)?;
        }
        (self.line, self.last) = (self.line + piece.len(), last);
        Ok(())
    }

    /// A line has ended with an LF, whose end this is. Whether it was the empty one after the head.
    fn line_ends(&mut self, piece: &[u8]) -> Result<bool, Wrong> {
        self.goes_on(piece)?;
        let (length, has_cr) = (self.line, self.last == b'\r' && self.line > 0);
        (self.line, self.last) = (0, 0);
        match (has_cr, length, self.lines) {
            (false, ..) => Err(Wrong::Malformed),
            // Empty lines before a request are passed over (RFC 9112, section 2.2).
            (true, 1, 0) => Ok(false),
            (true, 1, _) => Ok(true),
            (true, _, 0) if self.spaces != 2 => Err(Wrong::Malformed),
            (true, ..) => {
                self.lines += 1;
                Ok(false)
            }
        }
    }

    /// A request line is three words, with one space between them and nothing else that is not printed.
    fn first_line(&mut self, piece: &[u8]) -> Result<(), Wrong> {
        for byte in piece {
            match byte {
                b' ' => self.spaces += 1,
                // Of fragments only clients know.
                b'#' => return Err(Wrong::Malformed),
                b'\r' | 0x21..=0x7E | 0x80.. => self.target += usize::from(self.spaces == 1),
                _ => return Err(Wrong::Malformed),
            }
        }
        if self.spaces > 2 { Err(Wrong::Malformed) } else { Ok(()) }
    }
}

/// Extensions of a chunk, and all trailers, are no longer than this.
const MAX_LINE: usize = 4 * 1_024;
const MAX_TRAILERS: usize = 16 * 1_024;

/// Looks at a body in chunks piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunks {
    state: Chunk,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Chunk {
    /// In the line with the size: that so far, its digits, and whether an extension has begun.
    #[default]
    Begin,
    Size(u64),
    Extension(u64, usize),
    SizeEnd(u64),
    /// So many bytes are left.
    Data(u64),
    DataCr,
    DataLf,
    /// After the last chunk: in a line that is empty so far, or not.
    Line,
    Field(usize),
    FieldLf,
    EndLf,
    Over,
}

impl Chunks {
    /// Takes the next piece. How much of it belongs to the body, if it ends in there.
    ///
    /// # Errors
    /// It is malformed.
    pub fn take(&mut self, piece: &[u8]) -> Result<Option<usize>, Wrong> {
        let mut at = 0;
        while at < piece.len() && self.state != Chunk::Over {
            if let Chunk::Data(left) = self.state {
                let here = left.min((piece.len() - at) as u64);
                at += here as usize;
                self.state = if here == left { Chunk::DataCr } else { Chunk::Data(left - here) };
                continue;
            }
            self.state = self.next(piece[at]).ok_or(Wrong::Malformed)?;
            at += 1;
        }
        Ok((self.state == Chunk::Over).then_some(at))
    }

    /// The state after one byte that is none of a chunk's data.
    fn next(&mut self, byte: u8) -> Option<Chunk> {
        if matches!(self.state, Chunk::Line | Chunk::Field(_)) {
            self.trailers += 1;
        }
        let digit = char::from(byte).to_digit(16).map(u64::from);
        match (self.state, byte) {
            (Chunk::Begin, _) => digit.map(Chunk::Size),
            (Chunk::Size(size), b'\r') => Some(Chunk::SizeEnd(size)),
            (Chunk::Size(size), b';') => Some(Chunk::Extension(size, 0)),
            // Larger than any file: whoever sends it wants the number to wrap.
            (Chunk::Size(size), _) if size < 1 << 56 => digit.map(|digit| Chunk::Size(size * 16 + digit)),
            (Chunk::Extension(size, _), b'\r') => Some(Chunk::SizeEnd(size)),
            (Chunk::Extension(size, length), b'\t' | 0x20..=0x7E | 0x80..) if length < MAX_LINE => {
                Some(Chunk::Extension(size, length + 1))
            }
            (Chunk::SizeEnd(0), b'\n') => Some(Chunk::Line),
            (Chunk::SizeEnd(size), b'\n') => Some(Chunk::Data(size)),
            (Chunk::DataCr, b'\r') => Some(Chunk::DataLf),
            (Chunk::DataLf, b'\n') => Some(Chunk::Begin),
            (Chunk::Line, b'\r') => Some(Chunk::EndLf),
            (Chunk::EndLf, b'\n') => Some(Chunk::Over),
            (Chunk::Line, b'!'..=b'~') if byte != b':' => Some(Chunk::Field(1)),
            (Chunk::Field(0), b'\r') => Some(Chunk::FieldLf),
            (Chunk::Field(length), b':') if length > 0 => Some(Chunk::Field(0)),
            (Chunk::Field(length), b'!'..=b'~') if length > 0 && self.trailers < MAX_TRAILERS => {
                Some(Chunk::Field(length + 1))
            }
            (Chunk::Field(0), b'\t' | 0x20..=0x7E | 0x80..) if self.trailers < MAX_TRAILERS => Some(Chunk::Field(0)),
            (Chunk::FieldLf, b'\n') => Some(Chunk::Line),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { fields: 3, bytes: 200, target: 20 };

    /// What comes of `bytes`, in pieces of so many.
    fn head(bytes: &[u8], size: usize) -> Result<Option<usize>, Wrong> {
        let mut head = Head::default();
        let mut before = 0;
        for piece in bytes.chunks(size) {
            if let Some(end) = head.take(piece, &BOUNDS)? {
                return Ok(Some(before + end));
            }
            before += piece.len();
        }
        Ok(None)
    }

    fn chunks(bytes: &[u8], size: usize) -> Result<Option<usize>, Wrong> {
        let mut chunks = Chunks::default();
        let mut before = 0;
        for piece in bytes.chunks(size) {
            if let Some(end) = chunks.take(piece)? {
                return Ok(Some(before + end));
            }
            before += piece.len();
        }
        Ok(None)
    }

    #[test]
    fn a_head_ends_with_an_empty_line_in_whatever_pieces_it_comes() {
        for (text, length) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\nrest", Some(27)),
            ("GET / HTTP/1.0\r\n\r\n", Some(18)),
            ("\r\n\r\nGET / HTTP/1.0\r\n\r\n", Some(22)),
            ("GET / HTTP/1.1\r\nX: a b\tc\r\nY:\r\n\r\n", Some(32)),
            ("GET / HTTP/1.1\r\nHost: x\r\n", None),
            ("GET /\u{e9} HTTP/1.1\r\n\r\n", Some(20)),
        ] {
            for size in 1..=text.len() {
                assert_eq!(head(text.as_bytes(), size), Ok(length), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn a_head_that_could_be_read_in_two_ways_is_none() {
        for text in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\n\tX: a\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET /  HTTP/1.1\r\n\r\n",
            " GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET /?a\tb HTTP/1.1\r\n\r\n",
            "GET /?\u{1} HTTP/1.1\r\n\r\n",
            "GET /?\u{7f} HTTP/1.1\r\n\r\n",
            "GET /a#b HTTP/1.1\r\n\r\n",
            "GET /\r\n\r\n",
            "GET\r\n\r\n",
            "\nGET / HTTP/1.1\r\n\r\n",
        ] {
            for size in 1..=text.len() {
                assert_eq!(head(text.as_bytes(), size), Err(Wrong::Malformed), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let target = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1));
        let fields = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
        let field = |length: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(length));
        for size in [1, 7, 1_000] {
            assert!(head(target(20).as_bytes(), size).is_ok_and(|end| end.is_some()));
            assert!(head(fields(3).as_bytes(), size).is_ok_and(|end| end.is_some()));
            assert_eq!(head(fields(4).as_bytes(), size), Err(Wrong::HeadTooLarge));
            assert!(head(field(177).as_bytes(), size).is_ok_and(|end| end == Some(200)));
            assert_eq!(head(field(178).as_bytes(), size), Err(Wrong::HeadTooLarge));
        }
        assert_eq!(head(target(60).as_bytes(), 7), Err(Wrong::TargetTooLong), "before it ends");
        assert!(!Head::default().has_begun());
    }

    #[test]
    fn chunks_end_where_they_say() {
        for (text, length) in [
            ("5\r\nabcde\r\n0\r\n\r\nrest", Some(15)),
            ("0\r\n\r\n", Some(5)),
            ("5;a=\"b\";c\r\nabcde\r\n0\r\n\r\n", Some(23)),
            ("00a\r\n0123456789\r\n000\r\n\r\n", Some(24)),
            ("0\r\nX: y\r\nZ-1:\r\n\r\n", Some(17)),
            ("5\r\nabc", None),
        ] {
            for size in 1..=text.len() {
                assert_eq!(chunks(text.as_bytes(), size), Ok(length), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn chunks_that_could_be_read_in_two_ways_are_none() {
        for text in [
            "\r\n0\r\n\r\n",
            "5\nabcde\r\n",
            "5 \r\nabcde\r\n",
            " 5\r\n",
            "+5\r\n",
            "-1\r\n",
            "0x5\r\n",
            "g\r\n",
            "5\t\r\n",
            "5_0\r\n",
            "5;\nabcde\r\n",
            "5;a\0\r\n",
            "5\rabcde",
            "5\r\nabcdefg\r\n",
            "5\r\nabcde0\r\n",
            "5\r\nabcde\n0\r\n\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
            "1000000000000000\r\n",
            "0\n\n",
            "0\r\n\n",
            "0\r\nX y\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX: \u{1}\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
        ] {
            for size in 1..=text.len() {
                assert_eq!(chunks(text.as_bytes(), size), Err(Wrong::Malformed), "{text:?} by {size}");
            }
        }
        assert_eq!(chunks(format!("5;{}\r\n", "a".repeat(9_000)).as_bytes(), 99), Err(Wrong::Malformed));
        assert_eq!(chunks(format!("0\r\n{}\r\n", "X: y\r\n".repeat(9_000)).as_bytes(), 99), Err(Wrong::Malformed));
    }
}

//! A body in chunks (RFC 9112, 7.1): bytes in, pieces, trailers and the end out; and the lines around
//! chunks of ours.
//!
//! Sizes and extensions are never passed on: what is sent is chunked anew. Extensions are read to the
//! letter and forgotten, for what two readers disagree about in them has split messages.
//!
//! Servers of old fill the line of a size up with blanks. Of a response they are passed over: all who know
//! of them read them alike, nobody behind us sees them, and no client has written them. In a request they
//! are refused.

use super::body::{Event, Read};
use super::lines::Lines;
use super::{Malformed, is_space, is_token};

/// Bytes of extensions behind one size, and of all those of a body: nobody is known to use any, and a
/// byte of content must not cost a kilobyte of them.
const LONGEST_EXTENSION: usize = 256;
const MOST_EXTENSIONS: usize = 16 * 1024;

/// Digits of a size.
const MOST_DIGITS: u32 = 16;

/// Bytes and lines of trailers.
const LONGEST_TRAILERS: usize = 8 * 1024;
const MOST_TRAILERS: usize = 32;

/// Reads one body.
#[derive(Clone, Debug, Default)]
pub struct ChunkReader {
    part: Part,
    /// Of the chunk under way: its size as read so far, then what is to come of it.
    left: u64,
    digits: u32,
    /// Bytes of extensions behind this size, and behind all of them.
    extension: usize,
    extensions: usize,
    trailers: Lines,
    trailer_bytes: Vec<u8>,
    /// Whether blanks may stand between a size and the end of its line.
    takes_blanks: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    /// Space right behind a size.
    SizeEnd,
    /// Space before an extension.
    BeforeExtension,
    /// Behind `;`.
    NameBegin,
    Name,
    /// Space behind a name.
    NameEnd,
    /// Behind `=`.
    ValueBegin,
    Token,
    Quoted,
    /// Behind `\`.
    Escaped,
    /// Behind a quote's end.
    QuotedEnd,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailers,
    Over,
}

impl ChunkReader {
    /// Blanks behind a size are no mistake.
    pub(super) fn pass_over_blanks(&mut self) {
        self.takes_blanks = true;
    }

    /// Whether the body is over.
    pub fn is_over(&self) -> bool {
        self.part == Part::Over
    }

    /// What came behind the last chunk, with its bytes.
    pub fn trailers(&self) -> (&Lines, &[u8]) {
        (&self.trailers, &self.trailer_bytes)
    }

    /// As [`BodyReader::read`](super::body::BodyReader::read).
    pub fn read(&mut self, bytes: &[u8]) -> Result<Read, Malformed> {
        let mut at = 0;
        loop {
            if self.part == Part::Over {
                return Ok(Read { used: at, event: Event::End });
            }
            let Some(&byte) = bytes.get(at) else {
                return Ok(Read { used: at, event: Event::Wanting });
            };
            match self.part {
                Part::Data => {
                    let rest = bytes.len() - at;
                    let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                    self.left -= length as u64;
                    if self.left == 0 {
                        self.part = Part::DataReturn;
                    }
                    let used = at + length;
                    return Ok(Read { used, event: Event::Piece(at..used) });
                }
                Part::DataReturn if byte == b'\r' => self.part = Part::DataLineFeed,
                Part::DataLineFeed if byte == b'\n' => self.begin_size(),
                Part::DataReturn | Part::DataLineFeed => return Err(Malformed::ChunkEnd),
                Part::Trailers => {
                    at = self.read_trailers(bytes, at)?;
                    continue;
                }
                _ => self.read_size(byte)?,
            }
            at += 1;
        }
    }

    fn begin_size(&mut self) {
        (self.part, self.left, self.digits, self.extension) = (Part::Size, 0, 0, 0);
    }

    /// One byte of the line before a chunk.
    fn read_size(&mut self, byte: u8) -> Result<(), Malformed> {
        if !matches!(self.part, Part::Size | Part::SizeLineFeed) {
            self.extension += 1;
            self.extensions += 1;
            if self.extension > LONGEST_EXTENSION || self.extensions > MOST_EXTENSIONS {
                return Err(Malformed::ChunkExtension);
            }
        }
        self.part = match (self.part, byte) {
            (Part::Size, _) if byte.is_ascii_hexdigit() => return self.add_digit(byte),
            (Part::Size, _) if self.digits == 0 => return Err(Malformed::ChunkSize),
            (Part::SizeLineFeed, b'\n') => match self.left {
                0 => {
                    self.trailers.begin(0);
                    Part::Trailers
                }
                _ => Part::Data,
            },
            (Part::SizeLineFeed, _) => return Err(Malformed::ChunkSize),
            (Part::Size | Part::Name | Part::Token | Part::QuotedEnd, b'\r') => Part::SizeLineFeed,
            (Part::SizeEnd, b'\r') if self.takes_blanks => Part::SizeLineFeed,
            (
                Part::Size
                | Part::SizeEnd
                | Part::BeforeExtension
                | Part::Name
                | Part::NameEnd
                | Part::Token
                | Part::QuotedEnd,
                b';',
            ) => Part::NameBegin,
            (Part::Size | Part::SizeEnd, _) if is_space(byte) => Part::SizeEnd,
            (Part::Token | Part::QuotedEnd | Part::BeforeExtension, _) if is_space(byte) => {
                Part::BeforeExtension
            }
            (Part::Size, _) => return Err(Malformed::ChunkSize),
            (Part::NameBegin | Part::ValueBegin, _) if is_space(byte) => self.part,
            (Part::NameBegin | Part::Name, _) if is_token(byte) => Part::Name,
            (Part::Name | Part::NameEnd, b'=') => Part::ValueBegin,
            (Part::Name | Part::NameEnd, _) if is_space(byte) => Part::NameEnd,
            (Part::ValueBegin, b'"') => Part::Quoted,
            (Part::ValueBegin | Part::Token, _) if is_token(byte) => Part::Token,
            (Part::Quoted, b'"') => Part::QuotedEnd,
            (Part::Quoted, b'\\') => Part::Escaped,
            (Part::Quoted | Part::Escaped, b'\t' | b' '..=b'~' | 0x80..) => Part::Quoted,
            _ => return Err(Malformed::ChunkExtension),
        };
        Ok(())
    }

    fn add_digit(&mut self, byte: u8) -> Result<(), Malformed> {
        self.digits += 1;
        if self.digits > MOST_DIGITS {
            return Err(Malformed::ChunkSize);
        }
        let digit = char::from(byte).to_digit(16).ok_or(Malformed::ChunkSize)?;
        self.left = self.left << 4 | u64::from(digit);
        Ok(())
    }

    /// Takes trailers in, and answers with the place behind what it took. They are rare and short, so
    /// that a copy costs nothing that counts.
    fn read_trailers(&mut self, bytes: &[u8], at: usize) -> Result<usize, Malformed> {
        let before = self.trailer_bytes.len();
        let room = LONGEST_TRAILERS - before;
        let rest = &bytes[at..];
        self.trailer_bytes.extend_from_slice(&rest[..rest.len().min(room)]);
        let read = self.trailers.read(&self.trailer_bytes, MOST_TRAILERS);
        match read.map_err(|_| Malformed::Trailers)? {
            Some(length) => {
                self.trailer_bytes.truncate(length);
                self.part = Part::Over;
                Ok(at + length - before)
            }
            None if rest.len() > room => Err(Malformed::Trailers),
            None => Ok(bytes.len()),
        }
    }
}

/// The line before a chunk of this length, which is not 0.
pub fn write_size(length: usize, into: &mut Vec<u8>) {
    debug_assert!(length > 0, "an empty chunk is the last");
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = [0; 18];
    let mut from = 16;
    let mut rest = length;
    while rest > 0 {
        from -= 1;
        line[from] = DIGITS[rest & 15];
        rest >>= 4;
    }
    line[16..].copy_from_slice(b"\r\n");
    into.extend_from_slice(&line[from..]);
}

/// The end of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The line of the last chunk, behind which trailers may come.
pub const LAST_SIZE: &[u8] = b"0\r\n";

/// The end of a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

//! A body, whichever way its end is known: bytes in, its pieces and its end out.

use std::ops::Range;

use super::Malformed;
use super::chunks::ChunkReader;
use super::framing::Framing;
use super::lines::Lines;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Bytes that are done with.
    pub used: usize,
    /// What there was in them.
    pub event: Event,
}

/// What happens in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing more before more bytes come.
    Wanting,
    /// A piece, which lies there and is not empty.
    Piece(Range<usize>),
    /// It is over. What comes behind belongs to the next message.
    End,
}

/// Reads one body.
#[derive(Clone, Debug)]
pub enum BodyReader {
    /// By its length: so many bytes are to come.
    Length(u64),
    /// In chunks.
    Chunks(Box<ChunkReader>),
    /// Until the connection ends.
    UntilClose,
}

impl BodyReader {
    /// One whose end is known so.
    pub fn new(framing: Framing) -> BodyReader {
        match framing {
            Framing::Empty => BodyReader::Length(0),
            Framing::Length(length) => BodyReader::Length(length),
            Framing::Chunked => BodyReader::Chunks(Box::default()),
            Framing::UntilClose => BodyReader::UntilClose,
        }
    }

    /// The same of a response: blanks behind the size of a chunk are passed over.
    pub fn of_response(mut self) -> BodyReader {
        if let BodyReader::Chunks(chunks) = &mut self {
            chunks.pass_over_blanks();
        }
        self
    }

    /// Reads from the first byte that is not done with. Asked again until it wants more or is over.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Read, Malformed> {
        let piece = |length| match length {
            0 => Read { used: 0, event: Event::Wanting },
            length => Read { used: length, event: Event::Piece(0..length) },
        };
        match self {
            BodyReader::Length(0) => Ok(Read { used: 0, event: Event::End }),
            BodyReader::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= length as u64;
                Ok(piece(length))
            }
            BodyReader::Chunks(chunks) => chunks.read(bytes),
            BodyReader::UntilClose => Ok(piece(bytes.len())),
        }
    }

    /// Whether its end needs no more bytes to be known: it has as many as its length says.
    pub fn is_complete(&self) -> bool {
        matches!(self, BodyReader::Length(0))
    }

    /// The stream has ended: whether the body had, too.
    pub fn close(&self) -> Result<(), Malformed> {
        match self {
            BodyReader::Length(0) | BodyReader::UntilClose => Ok(()),
            BodyReader::Chunks(chunks) if chunks.is_over() => Ok(()),
            _ => Err(Malformed::CutOff),
        }
    }

    /// What came behind the last chunk, with its bytes.
    pub fn trailers(&self) -> Option<(&Lines, &[u8])> {
        match self {
            BodyReader::Chunks(chunks) => Some(chunks.trailers()),
            _ => None,
        }
    }
}

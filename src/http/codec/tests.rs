//! What a message is taken for, however it is cut.

mod corpus;
mod differences;
mod properties;
mod requests;
mod responses;

use http::Version;

use super::body::{BodyReader, Event};
use super::framing::{self, Framing};
use super::lines::Lines;
use super::request::{Form, RequestReader};
use super::response::ResponseReader;
use super::{Limits, Malformed};

const LIMITS: Limits = Limits { bytes: 1_024, fields: 8 };

/// Names and values.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A message as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// Method and target, or status and reason.
    first: (Vec<u8>, Vec<u8>),
    form: Option<Form>,
    version: Version,
    fields: Pairs,
    framing: Framing,
    body: Vec<u8>,
    trailers: usize,
    /// Bytes of the next message.
    rest: usize,
}

fn fields(lines: &Lines, bytes: &[u8]) -> Pairs {
    let both = lines.list().iter().map(|line| (line.name(bytes), line.value(bytes)));
    both.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// What a request that comes in these pieces is taken for; nothing if it is not whole.
fn request(pieces: &[&[u8]]) -> Result<Option<Seen>, Malformed> {
    let mut reader = RequestReader::default();
    let read = |bytes: &[u8]| {
        let Some(head) = reader.read(bytes, LIMITS)? else { return Ok(None) };
        let lines = reader.lines();
        let framing = framing::of_request(lines, bytes, head.version)?;
        let first = (head.method.of(bytes).to_vec(), head.target.of(bytes).to_vec());
        let fields = fields(lines, bytes);
        let (form, version) = (Some(head.form), head.version);
        let (body, trailers, rest) = (Vec::new(), 0, 0);
        let seen = Seen { first, form, version, fields, framing, body, trailers, rest };
        Ok(Some((seen, head.length)))
    };
    message(pieces, BodyReader::new, read)
}

/// What a response to a `GET` that comes in these pieces is taken for.
fn response(pieces: &[&[u8]]) -> Result<Option<Seen>, Malformed> {
    let mut reader = ResponseReader::default();
    let read = |bytes: &[u8]| {
        let Some(head) = reader.read(bytes, LIMITS)? else { return Ok(None) };
        let lines = reader.lines();
        let framing = framing::of_response(lines, bytes, head.version, head.status, false)?;
        let first = (head.status.to_string().into_bytes(), head.reason.of(bytes).to_vec());
        let (fields, version) = (fields(lines, bytes), head.version);
        let (form, body, trailers, rest) = (None, Vec::new(), 0, 0);
        let seen = Seen { first, form, version, fields, framing, body, trailers, rest };
        Ok(Some((seen, head.length)))
    };
    message(pieces, |framing| BodyReader::new(framing).of_response(), read)
}

fn message(
    pieces: &[&[u8]],
    body: impl Fn(Framing) -> BodyReader,
    mut read: impl FnMut(&[u8]) -> Result<Option<(Seen, usize)>, Malformed>,
) -> Result<Option<Seen>, Malformed> {
    let (mut bytes, mut pieces) = (Vec::new(), pieces.iter());
    let (mut seen, length) = loop {
        let Some(piece) = pieces.next() else { return Ok(None) };
        bytes.extend_from_slice(piece);
        if let Some(seen) = read(&bytes)? {
            break seen;
        }
    };
    bytes.drain(..length);
    let mut body = body(seen.framing);
    loop {
        let read = body.read(&bytes)?;
        if let Event::Piece(range) = &read.event {
            assert!(!range.is_empty() && range.end <= read.used, "{read:?}");
            seen.body.extend_from_slice(&bytes[range.clone()]);
        }
        bytes.drain(..read.used);
        match read.event {
            Event::Piece(_) => {}
            Event::End => break,
            Event::Wanting => match pieces.next() {
                Some(piece) => bytes.extend_from_slice(piece),
                None if seen.framing == Framing::UntilClose => break,
                None => return Ok(None),
            },
        }
    }
    assert_eq!(body.close(), Ok(()));
    seen.trailers = body.trailers().map_or(0, |(lines, _)| lines.list().len());
    // What came later belongs to the next message, too.
    seen.rest = bytes.len() + pieces.map(|piece| piece.len()).sum::<usize>();
    Ok(Some(seen))
}

type Read = fn(&[&[u8]]) -> Result<Option<Seen>, Malformed>;

/// What a message is taken for in one piece; that it is taken for the same however it is cut in two,
/// and byte by byte.
fn in_all_cuts(raw: &[u8], read: Read) -> Result<Option<Seen>, Malformed> {
    let whole = read(&[raw]);
    let text = String::from_utf8_lossy(raw);
    for cut in 0..=raw.len() {
        let (one, other) = raw.split_at(cut);
        assert_eq!(read(&[one, other]), whole, "cut at {cut}: {text}");
    }
    let bytes: Vec<&[u8]> = raw.chunks(1).collect();
    assert_eq!(read(&bytes), whole, "byte by byte: {text}");
    whole
}

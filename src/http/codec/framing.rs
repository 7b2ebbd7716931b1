//! What body follows a head: its fields in, how its end is known out, or the rule they break.
//!
//! RFC 9112, 6.3, without what it lets a recipient mend: one length, one coding, never both.

use http::Version;

use super::Malformed;
use super::lines::Lines;
use crate::http::fields::{FieldId, Known};

/// How a body's end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// With the connection's end.
    UntilClose,
}

/// What follows a request's head.
pub fn of_request(lines: &Lines, bytes: &[u8], version: Version) -> Result<Framing, Malformed> {
    Ok(said(lines, bytes, version)?.unwrap_or(Framing::Empty))
}

/// What follows a response's head. `is_to_head`: it answers a `HEAD`.
pub fn of_response(
    lines: &Lines,
    bytes: &[u8],
    version: Version,
    status: u16,
    is_to_head: bool,
) -> Result<Framing, Malformed> {
    let said = said(lines, bytes, version)?;
    let is_empty = is_to_head || matches!(status, 100..200 | 204 | 304);
    Ok(if is_empty { Framing::Empty } else { said.unwrap_or(Framing::UntilClose) })
}

/// The fields that say so.
const SAYS: Known = Known::of(&[FieldId::ContentLength, FieldId::TransferEncoding]);

/// What the fields say, if they do.
fn said(lines: &Lines, bytes: &[u8], version: Version) -> Result<Option<Framing>, Malformed> {
    if !lines.known().has_any(SAYS) {
        return Ok(None);
    }
    let mut lengths = lines.all(FieldId::ContentLength, bytes);
    let mut codings = lines.all(FieldId::TransferEncoding, bytes);
    let length = match lengths.next() {
        Some(digits) => Some(number(digits).ok_or(Malformed::ContentLength)?),
        None => None,
    };
    if lengths.next().is_some() {
        return Err(Malformed::ContentLength);
    }
    let Some(coding) = codings.next() else { return Ok(length.map(Framing::Length)) };
    let is_chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    match (is_chunked && version != Version::HTTP_10, length) {
        (false, _) => Err(Malformed::TransferEncoding),
        (true, Some(_)) => Err(Malformed::TwoFramings),
        (true, None) => Ok(Some(Framing::Chunked)),
    }
}

/// A length; 19 digits stay below 2⁶⁴.
fn number(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let add = |sum, digit: &u8| sum * 10 + u64::from(digit - b'0');
    is_number.then(|| digits.iter().fold(0, add))
}

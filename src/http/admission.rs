//! What a request must be like to be passed on at all: its head in, the host asked for or the
//! rule it breaks out.
//!
//! Other proxies were attacked with these: no `Host` on HTTP/1.1,
//! `Host` values that are no host, `Content-Length: 5,5`, both framings at once, field names with
//! underscores. Each is refused here, before anything routes on the request.

mod host;
mod target;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{Method, Version};

use super::claims;
use super::failure::BadRequest;
use super::fields::{FieldId, Fields, Known};
use super::path::{self, DOT, ESCAPED, KINDS, PERCENT};
use super::view::{Field, View};

use host::host_of;

pub use host::KnownHost;
pub use target::{RequestTarget, origin_form};

/// The fields that say how long a body is.
const FRAMING: Known = Known::of(&[FieldId::ContentLength, FieldId::TransferEncoding]);

/// A request head, as either lane reads it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// The method.
    pub method: &'r Method,
    /// What is asked for.
    pub target: RequestTarget<'r>,
    /// The version.
    pub version: Version,
    /// All fields.
    pub view: View<'r>,
    /// The header section as it came, with the request line.
    pub raw: &'r [u8],
    /// Whether its body has yet to come.
    pub upload: Upload,
}

/// Whether the body of a request has yet to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upload {
    /// It has, or there is none.
    #[default]
    Done,
    /// It has not, or not all of it.
    ToCome,
}

/// How much of a head is taken.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole section.
    pub bytes: usize,
    /// Bytes of the target.
    pub target: usize,
    /// Lines.
    pub fields: usize,
    /// What becomes of fields with odd names.
    pub odd_names: OddNames,
}

/// What becomes of fields whose names hold something else than letters, digits and hyphens: many
/// servers take `x_forwarded_for` for `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OddNames {
    /// The request is refused.
    #[default]
    Refuse,
    /// They go no further.
    Drop,
    /// They are passed on.
    Pass,
}

/// A head that may be passed on.
#[derive(Clone, Debug)]
pub struct Accepted<'r> {
    /// The host asked for, in lower case and without a port; empty if none was named.
    pub host: Cow<'r, str>,
    /// The path in the form that routes are matched on, but for slashes in a row.
    pub path: Cow<'r, str>,
    /// What the request's target says in place of a `Host` that is not there or says something else:
    /// the target prevails (RFC 9112 section 3.2.2).
    pub authority: Option<&'r str>,
    /// How many of its fields have odd names.
    pub odd_names: u32,
    /// Its fields: which of those that matter later are there is known from the one walk over all
    /// of them that checking takes anyway.
    pub fields: Fields<'r>,
}

/// Checks a head of a connection whose requests ask for this host, if there is one that they have in common.
pub fn examine<'r>(
    head: &Head<'r>,
    limits: HeadLimits,
    known_host: Option<&'r KnownHost>,
) -> Result<Accepted<'r>, BadRequest> {
    if head.raw.len() > limits.bytes || head.view.len() > limits.fields {
        return Err(BadRequest::HeaderTooLarge);
    }
    if head.target.bytes.len() > limits.target {
        return Err(BadRequest::TargetTooLong);
    }
    let mut known = Known::NONE;
    let (mut host_field, mut names_two_hosts, mut odd_names) = (None, false, 0);
    // The codec has looked at every byte of a head that lies as it came.
    let is_checked = matches!(head.view, View::Flat(_));
    for Field { id, name, value, is_plain } in head.view.lines() {
        if !is_plain {
            if limits.odd_names == OddNames::Refuse {
                return Err(BadRequest::FieldName);
            }
            odd_names += 1;
        }
        if !is_checked && value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(BadRequest::FieldValue);
        }
        let Some(id) = id else {
            if claims::is_claim(name) {
                known.note_claim();
            }
            continue;
        };
        known.note(id);
        if id == FieldId::Host {
            names_two_hosts |= host_field.replace(value).is_some();
        }
    }
    if names_two_hosts {
        // Which of them is meant is up to the upstream (RFC 9112 section 3.2).
        return Err(BadRequest::Host);
    }
    let fields = Fields::seen(head.view, known);
    if fields.may_have(FRAMING) {
        framing(&fields)?;
    }
    if *head.method == Method::TRACE {
        // What it shows is what proxies have added, and cookies that scripts may not read.
        return Err(BadRequest::Trace);
    }
    target(head)?;
    let path = path(head.target.path)?;
    if let Some(expectation) = fields.first(FieldId::Expect)
        && !expectation.eq_ignore_ascii_case(b"100-continue")
    {
        return Err(BadRequest::Expectation);
    }
    let host = host(head, host_field, known_host)?;
    let differs = |authority: &&str| host_field != Some(authority.as_bytes());
    let authority = head.target.authority.filter(differs);
    Ok(Accepted { host, path, authority, odd_names, fields })
}

fn framing(fields: &Fields<'_>) -> Result<(), BadRequest> {
    let mut lengths = fields.all(FieldId::ContentLength);
    if let Some(digits) = lengths.next() {
        // 19 digits stay below 2⁶⁴.
        let is_number =
            !digits.is_empty() && digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
        if !is_number || lengths.next().is_some() {
            return Err(BadRequest::ContentLength);
        }
    }
    let mut codings = fields.all(FieldId::TransferEncoding);
    if let Some(coding) = codings.next() {
        if !coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            return Err(BadRequest::TransferEncoding);
        }
        if fields.has(FieldId::ContentLength) {
            return Err(BadRequest::TwoFramings);
        }
    }
    Ok(())
}

/// Refuses targets that are neither a path nor a whole URI of HTTP nor the server itself: without a
/// slash in front, what they mean is up to the upstream.
fn target(head: &Head<'_>) -> Result<(), BadRequest> {
    let is_path = head.target.bytes.first() == Some(&b'/');
    let is_whole = head.target.authority.is_some();
    let is_server = head.target.bytes == b"*" && *head.method == Method::OPTIONS;
    if is_path || is_whole || is_server { Ok(()) } else { Err(BadRequest::Target) }
}

/// The path in its normal form. Refuses what an upstream could resolve to another path than the one routed
/// on: dot segments however they are spelled, with slashes and semicolons that only some servers decode.
fn path(path: &str) -> Result<Cow<'_, str>, BadRequest> {
    // One walk over bytes, without a branch: two searches cost more than the rest of the checks.
    let seen = path.bytes().fold(0, |seen, byte| seen | KINDS[usize::from(byte)]);
    if seen == 0 {
        return Ok(Cow::Borrowed(path));
    }
    if seen & (DOT | PERCENT) != 0 {
        no_dots(path, seen & PERCENT != 0)?;
    }
    Ok(if seen & (PERCENT | ESCAPED) == 0 { Cow::Borrowed(path) } else { path::normal(path) })
}

fn no_dots(path: &str, has_escapes: bool) -> Result<(), BadRequest> {
    let mut spelled_out = Cow::Borrowed(path);
    if has_escapes {
        let lower = path.to_ascii_lowercase().replace("%2f", "/").replace("%5c", "/");
        spelled_out = lower.replace("%3b", ";").into();
    }
    let dots = |segment: &str| {
        // `..;x` is `..` to servers that know path parameters.
        let segment = segment.split(';').next().unwrap_or_default();
        matches!(segment.len(), 1..=6) && {
            let plain = segment.replace("%2e", ".");
            plain == "." || plain == ".."
        }
    };
    match path.contains("%00") || spelled_out.split(['/', '\\']).any(dots) {
        true => Err(BadRequest::Path),
        false => Ok(()),
    }
}

fn host<'r>(
    head: &Head<'r>,
    field: Option<&'r [u8]>,
    known: Option<&'r KnownHost>,
) -> Result<Cow<'r, str>, BadRequest> {
    if field.is_none() && head.version != Version::HTTP_10 {
        return Err(BadRequest::NoHost);
    }
    // The authority replaces `Host` (RFC 9112 section 3.2.2).
    if let Some(authority) = head.target.authority {
        return host_of(authority.as_bytes()).map_err(|_| BadRequest::Target);
    }
    match (field, known) {
        (None, _) => Ok(Cow::Borrowed("")),
        (Some(field), None) => host_of(field),
        (Some(field), Some(known)) => known.of(field),
    }
}

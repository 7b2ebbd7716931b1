//! Heads on their way out: what came in and what is decided of it in, bytes out.

use std::cell::RefCell;

use http::Version;
use http::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use smallvec::SmallVec;

use crate::clock::WallTime;
use crate::http::admission;
use crate::http::answer::Answer;
use crate::http::codec::framing::Framing;
use crate::http::codec::lines::Line;
use crate::http::codec::write::{self, HEAD_END};
use crate::http::edits::{Edit, Edits, Text};
use crate::http::fields::{FieldId, Known};
use crate::http::forwarded::Peer;
use crate::http::hop_by_hop;
use crate::http::response;
use crate::http::view::{Flat, View};

/// Fields that concern the client's connection and not the upstream's.
const OWN_HOP: Known = Known::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::ProxyAuthorization,
    FieldId::Te,
    FieldId::Trailer,
]);

/// What a client's `Connection` may not take away: an upstream would read another message.
const PROTECTED: Known =
    Known::of(&[FieldId::Host, FieldId::ContentLength, FieldId::TransferEncoding]);

/// What is needed to write a request's head, beside what the client sent.
pub(super) struct RequestParts<'r> {
    pub(super) method: &'r [u8],
    pub(super) target: &'r [u8],
    pub(super) peer: &'r Peer,
    /// Its `Connection` names other fields.
    pub(super) nominates: bool,
    /// The client asks for another protocol, and may.
    pub(super) switches: bool,
    /// A `Host` where the client named none.
    pub(super) host: Option<HeaderValue>,
}

/// A request's head as the upstream gets it.
pub(super) fn request(head: Flat<'_>, edits: &Edits, parts: &RequestParts<'_>, into: &mut Vec<u8>) {
    write::request_line(parts.method, parts.target, into);
    let view = View::Flat(head);
    let (mut gone, mut drops_odd_names) = (OWN_HOP, false);
    let mut named: SmallVec<[&[u8]; 8]> = SmallVec::new();
    for edit in edits.list() {
        match edit {
            Edit::RemoveNamed(name) => named.push(name.as_str().as_bytes()),
            Edit::Set(id, _) | Edit::Remove(id) => gone.note(*id),
            Edit::DropOddNames => drops_odd_names = true,
        }
    }
    if parts.nominates {
        named.extend(hop_by_hop::tokens(view.all_of(FieldId::Connection)));
    }
    let is_named = |name: &[u8]| named.iter().any(|gone| gone.eq_ignore_ascii_case(name));
    let goes_on = |line: &Line| {
        let is_gone = line.id.is_some_and(|id| gone.has(id));
        let is_protected = line.id.is_some_and(|id| PROTECTED.has(id));
        let name = line.name(head.bytes);
        !is_gone
            && (named.is_empty() || is_protected || !is_named(name))
            && (!drops_odd_names || admission::is_plain_name(name))
    };
    write::lines(head.bytes, head.lines, goes_on, into);
    for edit in edits.list() {
        let Edit::Set(id, text) = edit else { continue };
        let value = match text {
            Text::Peer => parts.peer.field.as_ref().map(HeaderValue::as_bytes),
            Text::Scheme => Some(parts.peer.scheme.as_bytes()),
            Text::Host => view.first_of(FieldId::Host),
            Text::Own(value) => Some(value.as_bytes()),
        };
        if let Some(value) = value {
            write::field(id.name().as_str().as_bytes(), value, into);
        }
    }
    if let Some(host) = &parts.host {
        write::field(b"host", host.as_bytes(), into);
    }
    if parts.switches {
        // Its `Upgrade` is among the lines.
        write::field(b"connection", b"upgrade", into);
    }
    into.extend_from_slice(HEAD_END);
}

/// How an answer's connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// The client takes for granted what it is not told.
    Silently,
    /// A client of HTTP/1.0 that asked for it is told that it goes on.
    Told,
    /// It ends with this answer.
    Over,
    /// It becomes a tunnel.
    Switched,
    /// More answers to this request will come.
    Interim,
}

impl Going {
    fn write(self, into: &mut Vec<u8>) {
        match self {
            Going::Silently | Going::Switched | Going::Interim => {}
            Going::Told => write::field(b"connection", b"keep-alive", into),
            Going::Over => write::field(b"connection", b"close", into),
        }
    }
}

/// How a body goes out to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// As its fields say already, or there is none.
    AsSaid,
    /// In chunks, which its fields say already.
    Chunked,
    /// In chunks, which has yet to be said.
    NewlyChunked,
    /// Until the connection ends.
    UntilClose,
}

impl Out {
    /// Of a body that is read so, for a client of this version.
    pub(super) fn of(framing: Framing, client: Version) -> Out {
        match (framing, client == Version::HTTP_10) {
            (Framing::Empty | Framing::Length(_), _) => Out::AsSaid,
            (Framing::Chunked, false) => Out::Chunked,
            (Framing::UntilClose, false) => Out::NewlyChunked,
            (Framing::Chunked | Framing::UntilClose, true) => Out::UntilClose,
        }
    }

    /// Whether chunks are written.
    pub(super) fn is_chunked(self) -> bool {
        matches!(self, Out::Chunked | Out::NewlyChunked)
    }
}

/// An upstream's head as the client gets it.
pub(super) struct ResponseParts<'r> {
    pub(super) status: u16,
    pub(super) reason: &'r [u8],
    pub(super) edits: response::Edits,
    pub(super) out: Out,
    pub(super) going: Going,
    /// Now, for an answer without a date.
    pub(super) date: WallTime,
}

/// Writes it.
pub(super) fn response(head: Flat<'_>, parts: ResponseParts<'_>, into: &mut Vec<u8>) {
    let ResponseParts { status, reason, edits, out, going, date } = parts;
    write::status_line(status, reason, into);
    // Neither has a body, and a length would say that one follows (RFC 9110, 8.6).
    let has_no_length = status < 200 || status == 204;
    let mut gone = Known::NONE;
    if going != Going::Switched {
        gone.note(FieldId::Connection);
    }
    if has_no_length {
        gone.note(FieldId::ContentLength);
        gone.note(FieldId::TransferEncoding);
    }
    let is_edited = |name: &[u8]| {
        edits.list.iter().any(|edit| match edit {
            response::Edit::Remove(gone) | response::Edit::Set(gone, _) => {
                gone.as_str().as_bytes().eq_ignore_ascii_case(name)
            }
            response::Edit::Add(..) => false,
        })
    };
    let only_adds = edits.list.iter().all(|edit| matches!(edit, response::Edit::Add(..)));
    let mut has_date = false;
    let goes_on = |line: &Line| {
        !line.id.is_some_and(|id| gone.has(id)) && (only_adds || !is_edited(line.name(head.bytes)))
    };
    write::lines(head.bytes, head.lines, goes_on, into);
    has_date |= head.lines.iter().any(|line| line.id == Some(FieldId::Date));
    for edit in &edits.list {
        if let response::Edit::Set(name, value) | response::Edit::Add(name, value) = edit {
            write::field(name.as_str().as_bytes(), value.as_bytes(), into);
        }
    }
    if out == Out::NewlyChunked {
        write::field(b"transfer-encoding", b"chunked", into);
    }
    if !has_date && status >= 200 {
        write_date(date, into);
    }
    going.write(into);
    into.extend_from_slice(HEAD_END);
}

/// An answer of ours, as a whole; of its body only the length in answer to a `HEAD`.
pub(super) fn answer(
    answer: &Answer,
    is_to_head: bool,
    going: Going,
    date: WallTime,
    into: &mut Vec<u8>,
) {
    let status = http::StatusCode::from_u16(answer.status).ok();
    let reason = status.and_then(|status| status.canonical_reason()).unwrap_or_default();
    write::status_line(answer.status, reason.as_bytes(), into);
    let has = |name: &HeaderName| answer.fields.iter().any(|(known, _)| known == name);
    for (name, value) in &answer.fields {
        write::field(name.as_str().as_bytes(), value.as_bytes(), into);
    }
    if !has(&DATE) {
        write_date(date, into);
    }
    if !matches!(answer.status, 204 | 304) && !has(&CONTENT_LENGTH) {
        write::field(b"content-length", answer.body.len().to_string().as_bytes(), into);
    }
    going.write(into);
    into.extend_from_slice(HEAD_END);
    if !is_to_head && !matches!(answer.status, 204 | 304) {
        into.extend_from_slice(&answer.body);
    }
}

/// The time of an answer (RFC 9110, 6.6.1), written once a second.
fn write_date(now: WallTime, into: &mut Vec<u8>) {
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let seconds = now.millis() / 1_000;
    LAST.with_borrow_mut(|(at, text)| {
        if *at != seconds {
            let time = i64::try_from(seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
            let print = |time: Timestamp| {
                DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
            };
            (*at, *text) = (seconds, time.map(print).unwrap_or_default());
        }
        if !text.is_empty() {
            write::field(b"date", text.as_bytes(), into);
        }
    });
}

//! Heads on their way out: what came in and what is decided of it in, bytes out.

use std::cell::{Cell, RefCell};

use http::Version;
use http::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use smallvec::SmallVec;

use crate::clock::Clock;
use crate::http::answer::Answer;
use crate::http::codec::framing::Framing;
use crate::http::codec::lines::Line;
use crate::http::codec::write::WriteFields;
use crate::http::edits::{Edit, Edits, Text};
use crate::http::fields::{FieldId, Known};
use crate::http::forwarded::Peer;
use crate::http::hop_by_hop;
use crate::http::old_client;
use crate::http::response;
use crate::http::view::{Flat, View};

/// What is needed to write a request's head, beside what the client sent.
pub(super) struct RequestParts<'r> {
    pub(super) peer: &'r Peer,
    /// What it is known by.
    pub(super) id: &'r [u8],
    /// Its `Connection` names other fields.
    pub(super) nominates: bool,
    /// The client asks for another protocol, and may.
    pub(super) switches: bool,
    /// A `Host` where the client named none.
    pub(super) host: Option<HeaderValue>,
    /// The names of trailers that may follow the body.
    pub(super) trailers: Option<&'r [u8]>,
}

/// The fields of a request as the upstream gets them.
pub(super) fn request(
    head: Flat<'_>,
    edits: &Edits,
    parts: &RequestParts<'_>,
    into: &mut impl WriteFields,
) {
    let view = View::Flat(head);
    let (mut gone, mut drops_odd_names) = (hop_by_hop::OF_REQUESTS, false);
    let mut named: SmallVec<[&[u8]; 8]> = SmallVec::new();
    for edit in edits.list() {
        match edit {
            Edit::RemoveNamed(name) => named.push(name.as_str().as_bytes()),
            Edit::Set(id, _) | Edit::Remove(id) => gone.note(*id),
            Edit::DropOddNames => drops_odd_names = true,
            Edit::Add(..) => {}
        }
    }
    if parts.nominates {
        named.extend(hop_by_hop::tokens(view.all_of(FieldId::Connection)));
    }
    let framing = Respelled::of(head);
    let is_named = |name: &[u8]| named.iter().any(|gone| gone.eq_ignore_ascii_case(name));
    let goes_on = |line: &Line| {
        let is_gone = line.id.is_some_and(|id| gone.has(id)) || framing.is_odd(line);
        let is_protected = line.id.is_some_and(|id| hop_by_hop::OF_MESSAGES.has(id));
        !is_gone
            && (named.is_empty() || is_protected || !is_named(line.name(head.bytes)))
            && (!drops_odd_names || line.is_plain)
    };
    into.lines(head.bytes, head.lines, goes_on);
    framing.write(gone, into);
    for edit in edits.list() {
        let (id, text) = match edit {
            Edit::Set(id, text) => (*id, text),
            Edit::Add(name, value) => {
                into.field(name.as_str().as_bytes(), value.as_bytes());
                continue;
            }
            _ => continue,
        };
        let value = match text {
            Text::Peer => parts.peer.field.as_ref().map(HeaderValue::as_bytes),
            Text::Scheme => Some(parts.peer.scheme.as_bytes()),
            Text::Host => view.first_of(FieldId::Host),
            Text::RequestId => Some(parts.id),
            Text::Trace(trace) => Some(&trace[..]),
            Text::Own(value) => Some(value.as_bytes()),
        };
        if let Some(value) = value {
            into.known(id, value);
        }
    }
    if let Some(host) = &parts.host {
        into.field(b"host", host.as_bytes());
    }
    if let Some(names) = parts.trailers {
        into.field(b"trailer", names);
    }
    if parts.switches {
        // Its `Upgrade` is among the lines.
        into.field(b"connection", b"upgrade");
    }
}

/// What says how a body is framed, in the one spelling that everybody reads alike: `CHUNKED` is no coding
/// to some, and `010` is eight. Lines in that spelling go on as they came, for nearly all are.
struct Respelled<'r> {
    head: Flat<'r>,
    /// Whether any line was in another one.
    has_odd: Cell<bool>,
}

impl<'r> Respelled<'r> {
    fn of(head: Flat<'r>) -> Respelled<'r> {
        Respelled { head, has_odd: Cell::new(false) }
    }

    /// Whether this line is in another spelling, and so goes no further.
    #[inline]
    fn is_odd(&self, line: &Line) -> bool {
        const FRAMING: Known = Known::of(&[FieldId::ContentLength, FieldId::TransferEncoding]);
        line.id.is_some_and(|id| FRAMING.has(id)) && self.is_odd_framing(line)
    }

    fn is_odd_framing(&self, line: &Line) -> bool {
        let bytes = self.head.bytes;
        let is_usual = match line.id {
            Some(FieldId::ContentLength) => {
                matches!(line.name(bytes), b"content-length" | b"Content-Length")
                    && line.value(bytes) == number(line.value(bytes))
            }
            Some(FieldId::TransferEncoding) => {
                matches!(line.name(bytes), b"transfer-encoding" | b"Transfer-Encoding")
                    && line.value(bytes) == b"chunked"
            }
            _ => return false,
        };
        let is_odd = !is_usual || !line.is_evenly_spaced(bytes);
        self.has_odd.set(self.has_odd.get() || is_odd);
        is_odd
    }

    /// Writes those that were, but for fields that are gone anyway.
    fn write(&self, gone: Known, into: &mut impl WriteFields) {
        if !self.has_odd.get() {
            return;
        }
        for line in self.head.lines {
            let Some(id) = line.id.filter(|id| !gone.has(*id) && self.is_odd(line)) else {
                continue;
            };
            // The codec has let no other value through.
            let value = match id {
                FieldId::ContentLength => number(line.value(self.head.bytes)),
                _ => b"chunked",
            };
            into.known(id, value);
        }
    }
}

/// A number without the zeros before it.
fn number(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros.min(digits.len().saturating_sub(1))..]
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
}

impl Going {
    fn write(self, into: &mut impl WriteFields) {
        match self {
            Going::Silently | Going::Switched => {}
            Going::Told => into.field(b"connection", b"keep-alive"),
            Going::Over => into.field(b"connection", b"close"),
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
    /// In frames, of which no field tells.
    Framed,
}

impl Out {
    /// Of a body that is read so, for a client of this version.
    pub(super) fn of(framing: Framing, client: Version) -> Out {
        if client == Version::HTTP_2 {
            return Out::Framed;
        }
        match (framing, old_client::knows_chunks(client)) {
            (Framing::Empty | Framing::Length(_), _) => Out::AsSaid,
            (Framing::Chunked, true) => Out::Chunked,
            (Framing::UntilClose, true) => Out::NewlyChunked,
            (Framing::Chunked | Framing::UntilClose, false) => Out::UntilClose,
        }
    }

    /// Of a body whose length nobody knows before its end.
    pub(super) fn coded(framing: Framing, client: Version) -> Out {
        match Out::of(framing, client) {
            Out::AsSaid => Out::NewlyChunked,
            out => out,
        }
    }

    /// Whether chunks are written.
    pub(super) fn is_chunked(self) -> bool {
        matches!(self, Out::Chunked | Out::NewlyChunked)
    }
}

/// An upstream's head as the client gets it.
pub(super) struct ResponseParts<'p, 'e> {
    pub(super) status: u16,
    pub(super) edits: &'p [response::Edit<'e>],
    pub(super) out: Out,
    pub(super) going: Going,
    /// Its body goes out in another length than its fields say.
    pub(super) has_other_length: bool,
    /// For an answer without a date.
    pub(super) clock: Clock,
}

/// Writes its fields.
pub(super) fn response(head: Flat<'_>, parts: ResponseParts<'_, '_>, into: &mut impl WriteFields) {
    let ResponseParts { status, edits, out, going, has_other_length, clock } = parts;
    // Neither has a body, and a length would say that one follows (RFC 9110, 8.6).
    let has_no_length = status < 200 || status == 204;
    let mut gone = Known::NONE;
    if going != Going::Switched {
        gone.note(FieldId::Connection);
    }
    if has_no_length || has_other_length {
        gone.note(FieldId::ContentLength);
    }
    if has_no_length || matches!(out, Out::UntilClose | Out::Framed) {
        gone.note(FieldId::TransferEncoding);
    }
    let is_of_others = |edit: &response::Edit<'_>| {
        matches!(edit, response::Edit::Remove(_) | response::Edit::Set(..))
    };
    let is_edited = |name: &[u8]| {
        edits.iter().any(|edit| match edit {
            response::Edit::Remove(gone) | response::Edit::Set(gone, _) => {
                gone.as_str().as_bytes().eq_ignore_ascii_case(name)
            }
            response::Edit::Add(..) | response::Edit::Id(_) => false,
        })
    };
    let only_adds = edits.iter().all(|edit| !is_of_others(edit));
    let framing = Respelled::of(head);
    let goes_on = |line: &Line| {
        !line.id.is_some_and(|id| gone.has(id))
            && !framing.is_odd(line)
            && (only_adds || !is_edited(line.name(head.bytes)))
    };
    into.lines(head.bytes, head.lines, goes_on);
    framing.write(gone, into);
    for edit in edits {
        match edit {
            response::Edit::Remove(_) => {}
            response::Edit::Set(name, value) | response::Edit::Add(name, value) => {
                into.field(name.as_str().as_bytes(), value.as_bytes());
            }
            response::Edit::Id(id) => into.known(FieldId::RequestId, id),
        }
    }
    if out == Out::NewlyChunked {
        into.field(b"transfer-encoding", b"chunked");
    }
    if status >= 200 && !head.known.has(FieldId::Date) {
        write_date(clock, into);
    }
    going.write(into);
}

/// The fields of an answer of ours, with what a browser is told of HTTPS.
pub(super) fn answer(
    (answer, hsts): (&Answer, Option<&HeaderValue>),
    going: Going,
    clock: Clock,
    into: &mut impl WriteFields,
) {
    let has = |name: &HeaderName| answer.fields.iter().any(|(known, _)| known == name);
    for (name, value) in &answer.fields {
        into.field(name.as_str().as_bytes(), value.as_bytes());
    }
    if let Some(hsts) = hsts.filter(|_| !has(&STRICT_TRANSPORT_SECURITY)) {
        into.field(b"strict-transport-security", hsts.as_bytes());
    }
    if !has(&DATE) {
        write_date(clock, into);
    }
    if !matches!(answer.status, 204 | 304) && !has(&CONTENT_LENGTH) {
        into.field(b"content-length", answer.body.len().to_string().as_bytes());
    }
    going.write(into);
}

/// The body of an answer of ours as it follows its fields; none in answer to a `HEAD`.
pub(super) fn body(answer: &Answer, is_to_head: bool) -> &[u8] {
    match is_to_head || matches!(answer.status, 204 | 304) {
        true => &[],
        false => &answer.body,
    }
}

/// The time of an answer (RFC 9110, 6.6.1), written once a second.
fn write_date(clock: Clock, into: &mut impl WriteFields) {
    thread_local! {
        static LAST: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let seconds = clock.wall_time().millis() / 1_000;
    LAST.with_borrow_mut(|(at, text)| {
        if *at != seconds {
            let time = i64::try_from(seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
            let print = |time: Timestamp| {
                DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
            };
            (*at, *text) = (seconds, time.map(print).unwrap_or_default());
        }
        if !text.is_empty() {
            into.field(b"date", text.as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant, SystemTime};

    use crate::http::codec::response::ResponseReader;
    use crate::http::codec::{Limits, write};

    /// Ten in the morning of the 29th of November 2026.
    fn clock() -> Clock {
        let wall = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_946_400);
        Clock { now: Instant::now, wall, draw: || 1 }
    }

    /// A head of an upstream's as the client gets it, without its last line.
    fn passed(raw: &str, out: Out, going: Going) -> String {
        let raw = format!("{raw}\r\n\r\n");
        let mut reader = ResponseReader::default();
        let limits = Limits { bytes: 4_096, fields: 20 };
        let read = reader.read(raw.as_bytes(), limits).unwrap().unwrap();
        let head = Flat::of_lines(raw.as_bytes(), reader.lines());
        let status = read.status;
        let gone = response::Edit::Remove(HeaderName::from_static("x-gone"));
        let edits = &[gone];
        let mut into = Vec::new();
        write::status_line(status, read.reason.of(raw.as_bytes()), &mut into);
        let (has_other_length, clock) = (false, clock());
        let parts = ResponseParts { status, edits, out, going, has_other_length, clock };
        response(head, parts, &mut into);
        String::from_utf8(into).unwrap().trim_end().replace("\r\n", "|")
    }

    #[test]
    fn a_response_says_how_it_is_framed_here_and_how_its_connection_goes_on() {
        const DATE: &str = "|date: Sun, 29 Nov 2026 10:00:00 GMT";
        let chunked = "HTTP/1.1 200 Fine|Connection: x|Transfer-Encoding: chunked|X-Gone: 1|a: 1";
        let chunked = chunked.replace('|', "\r\n");
        let of = |out, going| passed(&chunked, out, going);
        assert_eq!(
            of(Out::Chunked, Going::Silently),
            format!("HTTP/1.1 200 Fine|Transfer-Encoding: chunked|a: 1{DATE}")
        );
        assert_eq!(
            of(Out::UntilClose, Going::Over),
            format!("HTTP/1.1 200 Fine|a: 1{DATE}|connection: close")
        );
        let plain = "HTTP/1.0 200 OK\r\ndate: then";
        assert_eq!(
            passed(plain, Out::NewlyChunked, Going::Told),
            "HTTP/1.1 200 OK|date: then|transfer-encoding: chunked|connection: keep-alive"
        );
        let empty = "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\ndate: then";
        assert_eq!(
            passed(empty, Out::AsSaid, Going::Silently),
            "HTTP/1.1 204 No Content|date: then"
        );
        let switch = "HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: websocket";
        assert_eq!(
            passed(switch, Out::AsSaid, Going::Switched),
            "HTTP/1.1 101 Go|connection: upgrade|upgrade: websocket"
        );
    }

    #[test]
    fn what_says_where_a_body_ends_is_spelled_as_everybody_reads_it() {
        let of = |line: &str| {
            let text = passed(
                &format!("HTTP/1.1 200 OK\r\ndate: x\r\n{line}\r\na: 1"),
                Out::AsSaid,
                Going::Silently,
            );
            text.strip_prefix("HTTP/1.1 200 OK|date: x|").unwrap().to_string()
        };
        for usual in ["Content-Length: 10", "content-length: 0", "transfer-encoding: chunked"] {
            assert_eq!(of(usual), format!("{usual}|a: 1"));
        }
        for odd in [
            "Content-Length: 010",
            "content-length:10",
            "CONTENT-LENGTH: 10",
            "content-length: 10 ",
        ] {
            assert_eq!(of(odd), "a: 1|content-length: 10", "{odd}");
        }
        assert_eq!(of("content-length: 000"), "a: 1|content-length: 0");
        for odd in ["transfer-encoding: CHUNKED", "transfer-encoding:\tchunked"] {
            assert_eq!(of(odd), "a: 1|transfer-encoding: chunked", "{odd}");
        }
    }

    #[test]
    fn a_client_of_http_1_0_learns_of_the_end_by_the_end() {
        let of =
            |framing| [Version::HTTP_11, Version::HTTP_10].map(|client| Out::of(framing, client));
        assert_eq!(of(Framing::Length(1)), [Out::AsSaid, Out::AsSaid]);
        assert_eq!(of(Framing::Chunked), [Out::Chunked, Out::UntilClose]);
        assert_eq!(of(Framing::UntilClose), [Out::NewlyChunked, Out::UntilClose]);
    }
}

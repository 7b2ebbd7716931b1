//! Heads as bytes: their parts in, what goes over the wire out.
//!
//! The one place that writes a head, so that nothing gets into one that `lines.rs` would not let out of
//! one.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::lines::Line;
use super::{Span, is_token, text_end};
use crate::http::fields::FieldId;

/// The fields of a head on their way out: as lines of HTTP/1.1, or as a map for what frames them in
/// another way.
pub trait WriteFields {
    /// Writes one field.
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// Writes one of those that rules are about.
    fn known(&mut self, id: FieldId, value: &[u8]);

    /// Writes those of a head that was read, but for those that are not to go on.
    fn lines(&mut self, bytes: &[u8], list: &[Line], goes_on: impl Fn(&Line) -> bool);
}

impl WriteFields for Vec<u8> {
    fn field(&mut self, name: &[u8], value: &[u8]) {
        field(name, value, self);
    }

    fn known(&mut self, id: FieldId, value: &[u8]) {
        debug_assert_eq!(text_end(value, 0), value.len());
        self.extend_from_slice(id.line_begin());
        self.extend_from_slice(value);
        self.extend_from_slice(b"\r\n");
    }

    fn lines(&mut self, bytes: &[u8], list: &[Line], goes_on: impl Fn(&Line) -> bool) {
        lines(bytes, list, goes_on, self);
    }
}

impl WriteFields for HeaderMap {
    /// What was read or made by us fits; anything else would be no field.
    fn field(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            self.append(name, value);
        }
    }

    fn known(&mut self, id: FieldId, value: &[u8]) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            self.append(id.name(), value);
        }
    }

    fn lines(&mut self, bytes: &[u8], list: &[Line], goes_on: impl Fn(&Line) -> bool) {
        for line in list.iter().filter(|line| goes_on(line)) {
            self.field(line.name(bytes), line.value(bytes));
        }
    }
}

/// A request line of ours; always of HTTP/1.1 (RFC 9112, 2.3).
pub fn request_line(method: &[u8], target: &[u8], into: &mut Vec<u8>) {
    debug_assert!(method.iter().all(|&byte| is_token(byte)));
    into.extend_from_slice(method);
    into.extend_from_slice(b" ");
    into.extend_from_slice(target);
    into.extend_from_slice(b" HTTP/1.1\r\n");
}

/// A status line of ours.
pub fn status_line(status: u16, reason: &[u8], into: &mut Vec<u8>) {
    debug_assert!((100..1_000).contains(&status));
    let digit = |nth: u16| b'0' + (status / nth % 10) as u8;
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    into.extend_from_slice(reason);
    into.extend_from_slice(b"\r\n");
}

/// A field line of ours.
pub fn field(name: &[u8], value: &[u8], into: &mut Vec<u8>) {
    debug_assert!(!name.is_empty() && name.iter().all(|&byte| is_token(byte)));
    debug_assert_eq!(text_end(value, 0), value.len());
    into.extend_from_slice(name);
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

/// The lines of a head that was read, as they came, but for those that are not to go on.
pub fn lines(bytes: &[u8], list: &[Line], goes_on: impl Fn(&Line) -> bool, into: &mut Vec<u8>) {
    // Runs of lines are copied whole: most heads lose one or two.
    let mut run = Span::default();
    for line in list.iter().filter(|line| goes_on(line)) {
        let whole = line.whole();
        if whole.from != run.to {
            into.extend_from_slice(run.of(bytes));
            run = whole;
        }
        run.to = whole.to;
    }
    into.extend_from_slice(run.of(bytes));
}

/// The end of a head.
pub const HEAD_END: &[u8] = b"\r\n";

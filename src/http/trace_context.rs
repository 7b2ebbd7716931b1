//! W3C Trace Context level 2: the fields a request brings in, the fields it goes on with out.
//!
//! A valid `traceparent` is continued: same trace id, our own parent id, the flags we know. A
//! missing, repeated or malformed one starts a new trace, and then `tracestate` is dropped with
//! it (section 3.2 of the recommendation; level 2 adds the random-trace-id flag).

use http::header::HeaderValue;

use super::fields::{FieldId, Fields};
use super::list;
use crate::clock::Draws;

/// The caller may have recorded the trace.
const SAMPLED: u8 = 0x01;
/// The last seven bytes of the trace id are random.
const RANDOM: u8 = 0x02;
/// Bytes of a `traceparent`: `00-` + 32 + `-` + 16 + `-` + 2.
pub const LENGTH: usize = 55;
/// The most members a `tracestate` may have.
const MOST_MEMBERS: usize = 32;

/// What a trace is known by, to be sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// 32 hex digits, not all zero.
    pub trace_id: [u8; 32],
    /// 16 hex digits, not all zero: our own part in the trace.
    pub span_id: [u8; 16],
    /// That of whoever sent the request; none if it begins here.
    pub parent_id: Option<[u8; 16]>,
    flags: u8,
    /// `tracestate` in one line; none if there was nothing valid.
    pub state: Option<HeaderValue>,
}

impl TraceContext {
    /// Continues the trace that these fields bring, or starts one.
    pub fn continue_or_start(fields: &Fields<'_>, draws: &mut Draws) -> TraceContext {
        if !fields.has(FieldId::Traceparent) {
            return TraceContext::start(draws);
        }
        let mut given = fields.all(FieldId::Traceparent);
        let first = given.next().filter(|_| given.next().is_none());
        match first.and_then(parse) {
            Some((trace_id, parent, flags)) => {
                let (span_id, parent_id) = (hex(non_zero(draws)), Some(parent));
                let (flags, state) = (flags & (SAMPLED | RANDOM), state(fields));
                TraceContext { trace_id, span_id, parent_id, flags, state }
            }
            None => TraceContext::start(draws),
        }
    }

    /// A new trace.
    pub fn start(draws: &mut Draws) -> TraceContext {
        let mut trace_id = [0; 32];
        trace_id[..16].copy_from_slice(&hex(draws.bits()));
        trace_id[16..].copy_from_slice(&hex(non_zero(draws)));
        let span_id = hex(non_zero(draws));
        // Nothing is recorded before somebody decides so: the sampled flag is off.
        TraceContext { trace_id, span_id, parent_id: None, flags: RANDOM, state: None }
    }

    /// Whether it is said that the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same trace, of which this is said.
    pub fn with_sampled(mut self, is_sampled: bool) -> TraceContext {
        self.flags = self.flags & !SAMPLED | if is_sampled { SAMPLED } else { 0 };
        self
    }

    /// The flags that go on.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The `traceparent` to send on.
    pub fn traceparent(&self) -> [u8; LENGTH] {
        traceparent(&self.trace_id, &self.span_id, self.flags)
    }
}

/// A `traceparent` of this trace and this part in it. Always version 00, the one whose fields we know.
pub fn traceparent(trace_id: &[u8; 32], span_id: &[u8; 16], flags: u8) -> [u8; LENGTH] {
    let mut text = [b'-'; LENGTH];
    text[..2].copy_from_slice(b"00");
    text[3..35].copy_from_slice(trace_id);
    text[36..52].copy_from_slice(span_id);
    text[53..].copy_from_slice(&hex(u64::from(flags))[14..]);
    text
}

/// The trace id of a valid `traceparent`, the part in it of whoever sent it, and the flags.
fn parse(text: &[u8]) -> Option<([u8; 32], [u8; 16], u8)> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let version = &known[..2];
    let hyphens = [2, 35, 52].iter().all(|&at| known[at] == b'-');
    let digits = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (trace_id, parent_id, flags) = (&known[3..35], &known[36..52], &known[53..]);
    let well_formed = hyphens && [version, trace_id, parent_id, flags].iter().all(|p| digits(p));
    // Version 00 ends here; a later one may go on after another hyphen.
    let fits_version = match version {
        b"ff" => false,
        b"00" => rest.is_empty(),
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let zero = |part: &[u8]| part.iter().all(|&b| b == b'0');
    if !well_formed || !fits_version || zero(trace_id) || zero(parent_id) {
        return None;
    }
    let flags = u8::from_str_radix(std::str::from_utf8(flags).ok()?, 16).ok()?;
    Some((trace_id.try_into().ok()?, parent_id.try_into().ok()?, flags))
}

/// All `tracestate` lines as one, in order; none if any member is malformed or too many come.
fn state(fields: &Fields<'_>) -> Option<HeaderValue> {
    if !fields.has(FieldId::Tracestate) {
        return None;
    }
    let lines = fields.all(FieldId::Tracestate);
    let mut joined: Vec<u8> = Vec::new();
    let mut members = 0;
    for member in lines.flat_map(list::tokens) {
        members += 1;
        if !is_member(member) || members > MOST_MEMBERS {
            return None;
        }
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(member);
    }
    if joined.is_empty() { None } else { HeaderValue::from_bytes(&joined).ok() }
}

/// `key=value` by the grammar of section 3.3.1.
fn is_member(member: &[u8]) -> bool {
    let Some(equals) = member.iter().position(|&b| b == b'=') else { return false };
    let (key, value) = (&member[..equals], &member[equals + 1..]);
    let key_byte =
        |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    let value_byte = |b: &u8| matches!(b, 0x20..=0x7e) && *b != b',' && *b != b'=';
    let begins_well = key.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    begins_well
        && key.len() <= 256
        && key.iter().all(key_byte)
        && !value.is_empty()
        && value.len() <= 256
        && value.iter().all(value_byte)
}

/// A part in a trace that nobody else has.
pub fn non_zero(draws: &mut Draws) -> u64 {
    draws.bits().max(1)
}

/// The 16 hex digits of a number, eight at a time.
pub fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&eight_digits((number >> 32) as u32));
    digits[8..].copy_from_slice(&eight_digits(number as u32));
    digits
}

/// Four bits into each byte, and from all of them digits at once: a digit after the other costs four times
/// as much, and a request has eighty.
fn eight_digits(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut halves = u64::from(number);
    halves = (halves | halves << 16) & 0x0000_ffff_0000_ffff;
    halves = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    halves = (halves | halves << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let is_letter = ((halves + 6 * EACH) >> 4) & EACH;
    let to_letter = u64::from(b'a' - b'0' - 10);
    (halves + u64::from(b'0') * EACH + is_letter * to_letter).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn continued(fields: &[(&'static str, &str)]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, value.parse().unwrap());
        }
        TraceContext::continue_or_start(&Fields::new(&headers), &mut Draws::seeded(1))
    }

    fn is_continued(traceparent: &str) -> bool {
        continued(&[("traceparent", traceparent)]).trace_id == TRACE.as_bytes()
    }

    #[test]
    fn a_valid_trace_goes_on_with_our_parent_id() {
        let context = continued(&[("traceparent", &format!("00-{TRACE}-b7ad6b7169203331-01"))]);
        let sent = context.traceparent();
        let sent = std::str::from_utf8(&sent).unwrap();
        assert!(sent.starts_with(&format!("00-{TRACE}-")) && sent.ends_with("-01"), "{sent}");
        assert!(!sent.contains("b7ad6b7169203331"), "{sent}");
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 1, 9, 10, 15, 16, 0x9a, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc << 48] {
            assert_eq!(hex(number), format!("{number:016x}").as_bytes());
        }
    }

    #[test]
    fn a_malformed_trace_is_started_anew() {
        for bad in [
            "".to_string(),
            format!("00-{TRACE}-b7ad6b7169203331"),
            format!("00-{TRACE}-b7ad6b7169203331-1"),
            format!("00-{TRACE}-b7ad6b7169203331-01-extra"),
            format!("00-{TRACE}-b7ad6b7169203331-01."),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00_{TRACE}-b7ad6b7169203331-01"),
            format!("cc-{TRACE}-b7ad6b7169203331-01.what-the-future"),
        ] {
            assert!(!is_continued(&bad), "{bad}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_known() {
        assert!(is_continued(&format!("cc-{TRACE}-b7ad6b7169203331-01")));
        assert!(is_continued(&format!("cc-{TRACE}-b7ad6b7169203331-01-what-the-future")));
        let context = continued(&[("traceparent", &format!("cc-{TRACE}-b7ad6b7169203331-ff"))]);
        assert!(context.traceparent().ends_with(b"-03"), "unknown flags are off");
    }

    #[test]
    fn two_parents_are_none() {
        let one = format!("00-{TRACE}-b7ad6b7169203331-01");
        let context = continued(&[("traceparent", &one), ("traceparent", &one)]);
        assert_ne!(context.trace_id, TRACE.as_bytes());
    }

    #[test]
    fn states_are_joined_in_order_and_go_only_with_a_valid_parent() {
        let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
        let with = |lines: &[&str]| {
            let mut fields = vec![("traceparent", parent.as_str())];
            fields.extend(lines.iter().map(|line| ("tracestate", *line)));
            continued(&fields).state.map(|v| v.to_str().unwrap().to_string())
        };
        assert_eq!(with(&["a=1, b=2", "", "c=3 ,,t@v=4"]).as_deref(), Some("a=1,b=2,c=3,t@v=4"));
        assert_eq!(with(&["a=1", "B=2"]), None, "one bad member spoils the list");
        assert_eq!(with(&["a=1=2"]), None);
        let many: Vec<String> = (0..33).map(|n| format!("k{n}=v")).collect();
        assert_eq!(with(&[&many.join(",")]), None);
        assert_eq!(with(&[&many[1..].join(",")]).as_deref(), Some(many[1..].join(",").as_str()));
        assert_eq!(continued(&[("traceparent", "bad"), ("tracestate", "a=1")]).state, None);
    }

    #[test]
    fn a_trace_started_here_is_random_and_not_sampled() {
        let context = continued(&[]);
        assert!(context.traceparent().ends_with(b"-02"));
        let sent = parse(&context.traceparent());
        assert_eq!(sent, Some((context.trace_id, context.span_id, RANDOM)));
        assert_eq!((context.parent_id, context.is_sampled()), (None, false));
    }

    #[test]
    fn whether_a_trace_is_recorded_is_said_as_it_was_decided() {
        let brought = format!("00-{TRACE}-b7ad6b7169203331-03");
        let context = continued(&[("traceparent", &brought)]);
        assert_eq!(context.parent_id, Some(*b"b7ad6b7169203331"));
        for (is_sampled, end) in [(true, b"-03"), (false, b"-02")] {
            let context = context.clone().with_sampled(is_sampled);
            assert!(context.is_sampled() == is_sampled && context.traceparent().ends_with(end));
        }
    }
}

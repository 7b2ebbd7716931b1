//! What a line is made of, as bytes: a record in, the same facts out where a line is made of them.

use crate::clock::{Moment, WallTime};
use crate::config::AccessLog;
use crate::record::{Kept, Record, decode, encode};
use crate::snapshot::Snapshot;

/// Bytes of a value that are kept.
const LONGEST: usize = 4 * 1024;

/// What a line is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which settings it was made by.
    pub(super) log: u64,
    /// What is remembered of a request anyway.
    pub kept: Kept,
    /// What it asked for, with the query.
    pub target: Vec<u8>,
    /// Fields of the request by name, of several lines the first.
    pub request: Vec<(String, Vec<u8>)>,
    /// Fields of the upstream's answer.
    pub response: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// Writes the bytes of one behind what is there.
    pub fn encode(
        record: &Record<'_>,
        settings: &AccessLog,
        snapshot: &Snapshot,
        into: &mut Vec<u8>,
    ) {
        let begin = into.len();
        into.extend_from_slice(&[0; 8]);
        into.extend_from_slice(&number(settings).to_le_bytes());
        encode(record, snapshot, into);
        let kept = into.len() - begin - 16;
        text(record.said.target.as_bytes(), into);
        let view = record.said.view;
        for name in &settings.request_fields {
            if let Some(value) = view.and_then(|view| view.first(name)) {
                into.push(REQUEST);
                text(name.as_str().as_bytes(), into);
                text(value, into);
            }
        }
        for (name, value) in &record.noted.response_fields {
            into.push(RESPONSE);
            text(name.as_str().as_bytes(), into);
            text(value, into);
        }
        let whole = into.len() - begin - 8;
        into[begin..begin + 4].copy_from_slice(&(whole as u32).to_le_bytes());
        into[begin + 4..begin + 8].copy_from_slice(&(kept as u32).to_le_bytes());
    }

    /// Reads the first of several, and takes it away from them. `now` is the same time twice: as the process
    /// counts it, and as people do. None if there is no more.
    pub fn decode(bytes: &mut &[u8], now: (Moment, WallTime)) -> Option<Entry> {
        let (whole, rest) = bytes.split_first_chunk::<4>()?;
        let (kept, rest) = rest.split_first_chunk::<4>()?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*whole) as usize)?;
        *bytes = rest;
        let (log, body) = body.split_first_chunk::<8>()?;
        let log = u64::from_le_bytes(*log);
        let (kept, mut more) = body.split_at_checked(u32::from_le_bytes(*kept) as usize)?;
        let kept = decode(kept, now)?;
        let target = take_text(&mut more)?.to_vec();
        let (mut request, mut response) = (Vec::new(), Vec::new());
        while let Some((kind, rest)) = more.split_first() {
            more = rest;
            let name = String::from_utf8_lossy(take_text(&mut more)?).into_owned();
            let value = take_text(&mut more)?.to_vec();
            if *kind == REQUEST { &mut request } else { &mut response }.push((name, value));
        }
        Some(Entry { log, kept, target, request, response })
    }

    /// Whether it was made by these settings.
    pub fn is_for(&self, settings: &AccessLog) -> bool {
        self.log == number(settings)
    }

    /// The first value of this field of the request.
    pub fn requested(&self, name: &str) -> Option<&[u8]> {
        self.request.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// What tells settings from others that are in memory at the same time.
fn number(settings: &AccessLog) -> u64 {
    std::ptr::from_ref(settings).addr() as u64
}

/// Whose a field is.
const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;

fn text(text: &[u8], into: &mut Vec<u8>) {
    let text = &text[..text.len().min(LONGEST)];
    into.extend_from_slice(&(text.len() as u16).to_le_bytes());
    into.extend_from_slice(text);
}

fn take_text<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    *bytes = rest;
    Some(text)
}

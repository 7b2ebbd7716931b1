//! Entries in their places: one that is written in, what it replaces and what has to make room out.
//!
//! Neither a rule of HTTP nor a lock is here; `stale.rs` has both.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{DATE, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::storable::{Received, Terms};
use crate::clock::Moment;

/// Entries of one target that differ in what `Vary` names. Each look-up compares them one by one,
/// and clients choose their fields freely.
const MOST_VARIANTS: usize = 16;

/// What an entry takes beside its bytes, and each of its fields: rounded up from the sizes of the
/// maps' nodes, `HeaderName` and `HeaderValue`.
const ENTRY_BYTES: usize = 512;
const FIELD_BYTES: usize = 96;

/// Fields of a response that are not kept: those of the connection and of framing, those that
/// speak of one delivery only, and those that we write.
const NOT_KEPT: [&str; 14] = [
    "age",
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "warning",
    "x-pointsman-fallback",
    "x-request-id",
];

/// Entries by target, oldest first.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// In the order they were written.
    entries: BTreeMap<u64, Entry>,
    /// The numbers of the entries of each target, ascending.
    of_target: HashMap<Arc<str>, Vec<u64>>,
    bytes: usize,
    next: u64,
}

/// A response kept.
#[derive(Debug)]
pub(super) struct Entry {
    /// Host, path and query.
    pub target: Arc<str>,
    pub status: u16,
    pub fields: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
    pub received: Moment,
    pub terms: Terms,
}

impl Shelf {
    /// How many there are.
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    /// What they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries and their bytes, counted anew from both maps.
    #[cfg(test)]
    pub fn counted(&self) -> (usize, usize) {
        let numbers: usize = self.of_target.values().map(Vec::len).sum();
        assert_eq!(numbers, self.entries.len());
        (numbers, self.entries.values().map(Entry::size).sum())
    }

    /// The newest entry that answers a request with these fields.
    pub fn find(&self, target: &str, request: &HeaderMap) -> Option<&Entry> {
        let entries = self.of_target.get(target)?.iter().rev();
        let mut entries = entries.filter_map(|number| self.entries.get(number));
        entries.find(|entry| entry.terms.nominated.match_with(request))
    }

    /// Whether it took the place of what it replaces: not if that came later.
    pub fn keep(&mut self, entry: Entry) -> bool {
        let numbers = self.of_target.get(&entry.target).map_or(&[][..], Vec::as_slice);
        let same = |number: &&u64| {
            let other = self.entries.get(*number);
            other.is_some_and(|other| other.terms.nominated == entry.terms.nominated)
        };
        let replaced = numbers.iter().find(same).copied();
        let too_many = (numbers.len() >= MOST_VARIANTS).then(|| numbers[0]);
        if replaced.is_some_and(|number| self.entries[&number].received > entry.received) {
            return false;
        }
        if let Some(number) = replaced.or(too_many) {
            self.remove(number);
        }
        let number = self.next;
        self.next += 1;
        self.bytes += entry.size();
        self.of_target.entry(entry.target.clone()).or_default().push(number);
        self.entries.insert(number, entry);
        true
    }

    /// Lets the first entries go while they are too many bytes or not worth their place.
    pub fn trim(&mut self, most: usize, is_worth: impl Fn(&Entry) -> bool) {
        while let Some((&number, first)) = self.entries.first_key_value() {
            if self.bytes <= most && is_worth(first) {
                return;
            }
            self.remove(number);
        }
    }

    fn remove(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else { return };
        self.bytes -= entry.size();
        if let Some(numbers) = self.of_target.get_mut(&entry.target) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.of_target.remove(&entry.target);
            }
        }
    }

    pub fn remove_target(&mut self, target: &str) {
        for number in self.of_target.get(target).cloned().unwrap_or_default() {
            self.remove(number);
        }
    }
}

impl Entry {
    /// What it takes, in bytes.
    pub fn size(&self) -> usize {
        let field = |(name, value): &(HeaderName, HeaderValue)| {
            FIELD_BYTES + name.as_str().len() + value.len()
        };
        let nominated = |(name, value): &(HeaderName, Option<Box<[u8]>>)| {
            FIELD_BYTES + name.as_str().len() + value.as_ref().map_or(0, |value| value.len())
        };
        let fields: usize = self.fields.iter().map(field).sum();
        let nominated: usize = self.terms.nominated.0.iter().map(nominated).sum();
        ENTRY_BYTES + self.target.len() + fields + nominated + self.body.len()
    }

    /// How old it is now.
    pub fn age(&self, now: Moment) -> Duration {
        self.terms.initial_age + now.elapsed_since(self.received)
    }
}

/// The fields to keep. Values are copied: each is a slice of the buffer its head was read into. A
/// response that came without a `Date` gets that of its arrival (RFC 9110 section 6.6.1).
pub(super) fn kept(received: &Received<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let fields = received.headers.iter();
    let fields = fields.filter(|(name, _)| !NOT_KEPT.contains(&name.as_str()));
    let copied = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        Some((name.clone(), value))
    };
    let mut kept: Vec<_> = fields.filter_map(copied).collect();
    if !received.headers.contains_key(DATE)
        && let Ok(arrived) = Timestamp::try_from(received.wall)
        && let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&arrived)
        && let Ok(date) = HeaderValue::try_from(date)
    {
        kept.push((DATE, date));
    }
    kept
}

//! Entries in their places: one that is written in, what it replaces and what has to make room out.
//!
//! Neither a rule of HTTP nor a lock is here; `stale.rs` has both.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::storable::{Asked, Received, Terms};
use crate::clock::Moment;

/// Entries of one target that differ in what `Vary` names. Each look-up compares them one by one,
/// and clients choose their fields freely.
const MOST_VARIANTS: usize = 16;

/// Entries of one target in all, whichever pool and place they are of.
const MOST_OF_TARGET: usize = 64;

/// Slots for when targets ended, by their hash, which nobody outside knows. Of targets that share one
/// all end, which only keeps less.
const ENDS: usize = 8_192;

/// What an entry takes beside its bytes, and each of its fields: rounded up from the sizes of the
/// maps' nodes, `HeaderName` and `HeaderValue`.
const ENTRY_BYTES: usize = 512;
const FIELD_BYTES: usize = 96;

/// Fields of a response that are not kept: those of the connection and of framing, those that
/// speak of one delivery only, and those that we write.
const NOT_KEPT: [&str; 15] = [
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
    "x-pointsman-metric",
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
    /// Pools whose responses are kept, and since when.
    pools: HashMap<Arc<str>, Moment>,
    /// Since when what was said of targets holds no more, by slot; empty before the first.
    ended: Vec<Moment>,
}

/// A response kept.
#[derive(Debug)]
pub(super) struct Entry {
    /// Host, path and query, as the client asked for them.
    pub target: Arc<str>,
    /// What the upstream was asked for in place of path and query, if that was something else.
    pub rewritten: Option<Box<str>>,
    /// Who has answered.
    pub pool: Arc<str>,
    /// When it was asked for.
    pub began: Moment,
    /// How often it was written anew: how much it is in demand.
    pub writes: u32,
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

    /// The newest entry that answers this request.
    pub fn find(&self, target: &str, asked: &Asked<'_>) -> Option<&Entry> {
        let entries = self.of_target.get(target)?.iter().rev();
        let mut entries = entries.filter_map(|number| self.entries.get(number));
        entries.find(|entry| entry.answers(asked))
    }

    /// Whether it took the place of what it replaces: not if that came later, and not if what was
    /// asked for has changed since, or its pool's responses are not kept any more.
    pub fn keep(&mut self, mut entry: Entry) -> bool {
        let is_over = |at: &Moment| *at > entry.began;
        let ended = self.ended.get(self.slot(&entry.target)).is_some_and(is_over);
        if ended || self.pools.get(&entry.pool).is_none_or(is_over) {
            return false;
        }
        let numbers = self.of_target.get(&entry.target).map_or(&[][..], Vec::as_slice);
        let others =
            || numbers.iter().filter_map(|number| Some((*number, self.entries.get(number)?)));
        let replaced = others()
            .find(|(_, other)| {
                other.is_beside(&entry) && other.terms.nominated == entry.terms.nominated
            })
            .map(|(number, other)| (number, other.received, other.writes));
        if let Some((number, received, writes)) = replaced {
            if received > entry.received {
                return false;
            }
            entry.writes = writes.saturating_add(1);
            self.remove(number);
        } else {
            // Any client can make variants up; so they push out only their like, and of those one
            // that is least in demand.
            let is_like = |other: &Entry| {
                other.is_beside(&entry) && other.terms.nominated.is_like(&entry.terms.nominated)
            };
            let like = others().filter(|(_, other)| is_like(other));
            let least = |(number, other): (u64, &Entry)| (other.writes, number);
            let pushed_out = if like.clone().count() >= MOST_VARIANTS {
                like.map(least).min()
            } else if numbers.len() >= MOST_OF_TARGET {
                others().map(least).min()
            } else {
                None
            };
            if let Some((_, number)) = pushed_out {
                self.remove(number);
            }
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

    /// What was said of a target before now holds no more, whoever has said it.
    pub fn end_target(&mut self, target: &str, now: Moment) {
        for number in self.of_target.get(target).cloned().unwrap_or_default() {
            self.remove(number);
        }
        let slot = self.slot(target);
        self.ended.resize(ENDS, Moment::default());
        self.ended[slot] = now;
    }

    fn slot(&self, target: &str) -> usize {
        self.of_target.hasher().hash_one(target) as usize % ENDS
    }

    /// A pool says that there is nothing any more for requests such as this.
    pub fn end_answer(&mut self, target: &str, asked: &Asked<'_>) {
        let numbers = self.of_target.get(target).cloned().unwrap_or_default();
        for number in numbers {
            if self.entries.get(&number).is_some_and(|entry| entry.answers(asked)) {
                self.remove(number);
            }
        }
    }

    /// From now on only responses of these pools are kept; those of others go.
    pub fn set_pools(&mut self, pools: &[Arc<str>], now: Moment) {
        self.pools.retain(|known, _| pools.contains(known));
        for pool in pools {
            self.pools.entry(pool.clone()).or_insert(now);
        }
        self.let_go(|entry| !pools.contains(&entry.pool));
    }

    /// What a pool has said before now goes, and what it is about to say too.
    pub fn forget_pool(&mut self, pool: &str, now: Moment) {
        if let Some(since) = self.pools.get_mut(pool) {
            *since = now;
        }
        self.let_go(|entry| *entry.pool == *pool);
    }

    fn let_go(&mut self, which: impl Fn(&Entry) -> bool) {
        let entries = self.entries.iter().filter(|(_, entry)| which(entry));
        let numbers: Vec<u64> = entries.map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.remove(number));
    }
}

impl Entry {
    /// Whether it answers this request, which is for the same target.
    fn answers(&self, asked: &Asked<'_>) -> bool {
        *self.pool == *asked.pool
            && self.rewritten.as_deref() == asked.rewritten
            && self.terms.nominated.match_with(asked.headers)
    }

    /// Whether the same pool was asked for the same, perhaps with other fields.
    fn is_beside(&self, other: &Entry) -> bool {
        self.pool == other.pool && self.rewritten == other.rewritten
    }

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
        let rewritten = self.rewritten.as_ref().map_or(0, |rewritten| rewritten.len());
        let texts = self.target.len() + self.pool.len() + rewritten;
        ENTRY_BYTES + texts + fields + nominated + self.body.len()
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

//! Whom an upstream serves and whom it fails: ends of requests with their clients' keys in, what speaks
//! against blaming the upstream for one key's failures out.
//!
//! A client can ask for what every upstream fails at. That is told from an upstream that fails by what
//! others get of it meanwhile: so it is kept how many requests of how many keys went well lately, and
//! what failed since the last good answer. A key falls into one of 64 places, which hold a few bits
//! each and are full soon: then a good answer costs a look, and nobody waits for anybody. Who shares a
//! place with the key in question, and what is above a full place, is left out. There are more good
//! answers than failures above full places, so that too little is known rather than too much, and that
//! leaves the blame where it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// How long a span is; the one under way and three before it reach back ten seconds at most.
const SPAN: Duration = Duration::from_millis(2_500);

/// Spans that are kept.
const SPANS: usize = 4;

/// Words of a span.
const WORDS: usize = 8;

/// Places in a word.
const PLACES: u32 = 8;

/// Bits of a place.
const BITS: u32 = 6;

/// What a place holds at most.
const FULL: u64 = (1 << BITS) - 1;

/// Counted failures since the last good answer that no single key explains.
const MANY: u64 = 2;

/// What one upstream did for whom.
#[derive(Debug, Default)]
pub struct Keys {
    served: Places,
    /// All failures, whoever is blamed.
    failed: Places,
    /// A [`Since`]; 0 while nothing has failed since the last good answer.
    since: AtomicU64,
}

/// How many requests of which keys, span by span. Each word: the number of its span (16 bits), then its
/// places.
#[derive(Debug, Default)]
struct Places {
    spans: [[AtomicU64; WORDS]; SPANS],
    /// The span of the last of them: a word's own number is too short to tell how old it is.
    last: AtomicU64,
}

/// What became of others than one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Requests that went well, at least.
    pub served: u32,
    /// Requests that failed, at least.
    pub failed: u32,
    /// A bit for each place in which there is another key that was served.
    places: u64,
}

impl Others {
    /// Those of another upstream too.
    pub fn and(self, more: Others) -> Others {
        Others {
            served: self.served + more.served,
            failed: self.failed + more.failed,
            places: self.places | more.places,
        }
    }

    /// How many keys were served, at least.
    pub fn keys(self) -> u32 {
        self.places.count_ones()
    }
}

/// What a failure that counts brings with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Failures that had been withheld and count after all.
    pub put_back: u32,
    /// Whether others are still withheld.
    pub is_doubtful: bool,
}

impl Keys {
    /// A request of this key went well.
    pub fn note_good(&self, key: u32, now: Moment) {
        if self.since.load(Ordering::Relaxed) != 0 {
            self.since.store(0, Ordering::Relaxed);
        }
        self.served.count(key, now);
    }

    /// A request of this key failed.
    pub fn note_failed(&self, key: u32, now: Moment) {
        self.failed.count(key, now);
    }

    /// What became of others than this key in the last seconds, ten at most.
    pub fn others(&self, key: u32, now: Moment) -> Others {
        let (served, places) = self.served.others(key, now);
        let (failed, _) = self.failed.others(key, now);
        Others { served, failed, places }
    }

    /// Withholds a failure of this key; not if others have failed since the last good answer.
    pub fn withhold(&self, key: u32) -> bool {
        let withhold = |word| {
            let since = Since::of(word);
            let since = match since.key == key || word == 0 {
                true => Since { key, ..since },
                // Two keys are no accident.
                false if since.withheld > 0 => return None,
                false => Since { key, own: 0, others: since.own + since.others, withheld: 0 },
            };
            let may = !since.is_general();
            may.then(|| Since { withheld: since.withheld + 1, ..since }.word())
        };
        self.since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, withhold).is_ok()
    }

    /// Whether failures of this key have been withheld since the last good answer.
    pub fn withholds(&self, key: u32) -> bool {
        let since = Since::of(self.since.load(Ordering::Relaxed));
        since.key == key && since.withheld > 0
    }

    /// A failure of this key counts; `is_general` if it is no single key's. As soon as those that count
    /// are more than one key's, and where the key itself is no longer excused, those that are withheld
    /// count too.
    pub fn count(&self, key: u32, is_general: bool) -> Counted {
        let counted = |word| {
            let since = Since::of(word);
            let is_own = since.key == key || word == 0;
            let since = match is_own {
                true => Since { key, own: since.own + 1, ..since },
                false => Since { others: since.others + 1, ..since },
            };
            let puts_back = is_own || is_general || since.is_general();
            (since, puts_back)
        };
        let next = |word| {
            let (since, puts_back) = counted(word);
            let withheld = if puts_back { 0 } else { since.withheld };
            let others = if is_general { since.others.max(MANY) } else { since.others };
            Some(Since { withheld, others, ..since }.word())
        };
        let before = self.since.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let (since, puts_back) = counted(before.unwrap_or_default());
        Counted {
            put_back: if puts_back { since.withheld as u32 } else { 0 },
            is_doubtful: !puts_back && since.withheld > 0,
        }
    }
}

impl Places {
    fn count(&self, key: u32, now: Moment) {
        let span = span(now);
        self.begin(span);
        let (word, shift) = place(key);
        let word = &self.spans[(span % SPANS as u64) as usize][word];
        let stamp = stamp(span);
        let mut seen = word.load(Ordering::Relaxed);
        loop {
            let places = if seen >> 48 == stamp { seen } else { stamp << 48 };
            if places >> shift & FULL == FULL {
                return;
            }
            let next = places + (1 << shift);
            match word.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// One of this span comes. Before numbers could come round, all words are emptied.
    fn begin(&self, span: u64) {
        if self.last.load(Ordering::Relaxed) >= span {
            return;
        }
        let last = self.last.fetch_max(span, Ordering::Relaxed);
        if span.saturating_sub(last) > NUMBERS / 2 {
            let words = self.spans.iter().flatten();
            words.for_each(|word| word.store(0, Ordering::Relaxed));
            return;
        }
        // What these words hold is of rounds before, but for what others have just counted.
        for passed in (last + 1).max(span.saturating_sub(SPANS as u64 - 1))..=span {
            for word in &self.spans[(passed % SPANS as u64) as usize] {
                let old = word.load(Ordering::Relaxed);
                if old >> 48 != stamp(passed) {
                    // Somebody who has counted meanwhile has done it.
                    let (set, seen) = (Ordering::Relaxed, Ordering::Relaxed);
                    let _ = word.compare_exchange(old, 0, set, seen);
                }
            }
        }
    }

    /// How many there were of others than this key, and in which places.
    fn others(&self, key: u32, now: Moment) -> (u32, u64) {
        let (own_word, own_shift) = place(key);
        let newest = span(now);
        let oldest = newest.saturating_sub(SPANS as u64 - 1);
        let (mut count, mut filled) = (0, 0);
        if self.last.load(Ordering::Relaxed) < oldest {
            return (count, filled);
        }
        for span in oldest..=newest {
            for (at, word) in self.spans[(span % SPANS as u64) as usize].iter().enumerate() {
                let places = word.load(Ordering::Relaxed);
                if places >> 48 != stamp(span) {
                    continue;
                }
                for nth in 0..PLACES {
                    let there = places >> (nth * BITS) & FULL;
                    if there > 0 && (at, nth * BITS) != (own_word, own_shift) {
                        count += there as u32;
                        filled |= 1 << (at as u32 * PLACES + nth);
                    }
                }
            }
        }
        (count, filled)
    }
}

/// What failed since the last good answer.
#[derive(Clone, Copy)]
struct Since {
    /// Whose failures are withheld, or who failed first.
    key: u32,
    /// Failures of that key that count.
    own: u64,
    /// Those of others that count.
    others: u64,
    /// Failures of that key that are withheld.
    withheld: u64,
}

impl Since {
    fn of(word: u64) -> Since {
        let (own, others) = (word >> 56, word >> 48 & 0xFF);
        Since { key: word as u32, own, others, withheld: word >> 32 & 0xFFFF }
    }

    fn word(self) -> u64 {
        let (own, others) = (self.own.min(0xFF), self.others.min(0xFF));
        own << 56 | others << 48 | self.withheld.min(0xFFFF) << 32 | u64::from(self.key)
    }

    /// Whether more than one key's failures count. However often one failed, it is one.
    fn is_general(self) -> bool {
        self.own.min(1) + self.others >= MANY
    }
}

/// Word and bit of a key's place.
fn place(key: u32) -> (usize, u32) {
    // Neighbours in a network are to fall apart: Knuth's multiplicative hash.
    let hash = key.wrapping_mul(0x9E37_79B1);
    ((hash >> 29) as usize, (hash >> 26 & (PLACES - 1)) * BITS)
}

fn span(now: Moment) -> u64 {
    now.micros() / SPAN.as_micros() as u64
}

/// How many numbers of spans there are.
const NUMBERS: u64 = 0xFFFF;

/// Never that of an untouched word, which is zero.
fn stamp(span: u64) -> u64 {
    1 + span % NUMBERS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn others_are_counted_up_to_ten_seconds_back() {
        let keys = Keys::default();
        for key in [1, 1, 2, 3, 3, 3] {
            keys.note_good(key, at(20_000));
        }
        let others = |key, millis| {
            let others = keys.others(key, at(millis));
            assert_eq!(others.failed, 0);
            (others.served, others.keys())
        };
        assert_eq!(others(1, 20_001), (4, 2));
        assert_eq!(others(9, 27_499), (6, 3));
        assert_eq!(others(9, 30_000), (0, 0));
        assert_eq!(others(9, 0), (0, 0), "an untouched span is empty");
    }

    #[test]
    fn a_busy_key_fills_its_place_and_no_other() {
        let keys = Keys::default();
        (0..10_000).for_each(|_| keys.note_good(7, at(1)));
        keys.note_good(8, at(1));
        let others = keys.others(7, at(1));
        assert_eq!((others.served, others.keys()), (1, 1));
        let others = keys.others(8, at(1));
        assert_eq!((u64::from(others.served), others.keys()), (FULL, 1));
    }

    #[test]
    fn what_is_withheld_is_dropped_by_a_good_answer_and_put_back_when_others_fail() {
        let keys = Keys::default();
        let counted = |put_back, is_doubtful| Counted { put_back, is_doubtful };
        assert_eq!(keys.count(1, false), counted(0, false), "the first of all");
        assert!(!keys.withholds(1) && keys.withhold(1) && keys.withhold(1));
        assert!(keys.withholds(1) && !keys.withholds(2));
        assert_eq!(keys.count(2, false), counted(2, false), "another key");
        assert!(!keys.withhold(1), "until it answers well");
        keys.note_good(2, at(1));
        assert!(keys.withhold(1));
        assert!(!keys.withhold(2), "two keys are no accident");
        assert_eq!(keys.count(2, false), counted(0, true), "one of another may be chance");
        assert_eq!(keys.count(3, false), counted(1, false));
        keys.note_good(2, at(2));
        assert!((0..3).all(|_| keys.count(1, false) == counted(0, false)) && keys.withhold(1));
        assert_eq!(keys.count(1, false), counted(1, false), "excused no longer");
        keys.note_good(2, at(3));
        assert!(keys.withhold(1));
        assert_eq!(keys.count(1, true), counted(1, false), "it refuses connections");
        assert!(!keys.withhold(1));
        keys.note_good(2, at(4));
        assert_eq!(keys.count(2, false), counted(0, false));
        assert!(keys.withhold(1), "what another failed at once may be chance");
        assert_eq!(keys.count(2, false), counted(1, false));
    }

    #[test]
    fn what_is_old_does_not_come_back_however_old() {
        let round = SPAN.as_millis() as u64 * NUMBERS * SPANS as u64;
        for later in [round / 4, round / 2, round * 3 / 4, round, 2 * round] {
            let keys = Keys::default();
            (0..40).for_each(|key| keys.note_good(key, at(100 * u64::from(key))));
            assert_eq!(keys.others(99, at(later)), Others::default(), "after {later} ms");
            keys.note_good(1, at(later));
            assert_eq!(keys.others(99, at(later + 3_000)).served, 1, "after {later} ms");
        }
    }
}

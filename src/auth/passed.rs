//! Who was right a moment ago: a mark of a name and a password in, whether it was let in within the last
//! minute out.
//!
//! A mark is a hash of 128 bits under a key that nobody outside knows, so that what lies here is no
//! password and nobody can make a pair up that meets one. Only who was right is in it. The table has a fixed
//! size, no lock, and never allocates; who finds no place takes the one that ends first. Two threads at once
//! may leave halves of two marks in one place, which no mark meets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::clock::Moment;

/// For how long.
const KEPT: Duration = Duration::from_secs(60);

/// Places in a set, and sets.
const WAYS: usize = 8;
const SETS: usize = 512;

/// Marks of those who were right.
pub(super) struct Passed(Box<[[Place; WAYS]]>);

#[derive(Default)]
struct Place {
    high: AtomicU64,
    low: AtomicU64,
    /// Until when, in microseconds; 0 for a place that is free.
    until: AtomicU64,
}

impl Place {
    fn has(&self, mark: u128) -> bool {
        let [high, low] = [&self.high, &self.low].map(|half| half.load(Ordering::Relaxed));
        let known = u128::from(high) << 64 | u128::from(low);
        bool::from(known.to_le_bytes().ct_eq(&mark.to_le_bytes()))
    }
}

impl Default for Passed {
    fn default() -> Passed {
        Passed((0..SETS).map(|_| Default::default()).collect())
    }
}

impl Passed {
    /// Whether who has this mark was right a moment ago.
    pub fn has(&self, mark: u128, now: Moment) -> bool {
        let holds =
            |place: &Place| now.micros() < place.until.load(Ordering::Relaxed) && place.has(mark);
        self.set(mark).iter().any(holds)
    }

    /// Who has this mark was right.
    pub fn put(&self, mark: u128, now: Moment) {
        let set = self.set(mark);
        let ends = |place: &&Place| place.until.load(Ordering::Relaxed);
        let own = set.iter().find(|place| place.has(mark));
        // There are eight.
        let Some(place) = own.or_else(|| set.iter().min_by_key(ends)) else { return };
        // Nobody meets it in between.
        place.until.store(0, Ordering::Relaxed);
        place.high.store((mark >> 64) as u64, Ordering::Relaxed);
        place.low.store(mark as u64, Ordering::Relaxed);
        place.until.store((now + KEPT).micros(), Ordering::Release);
    }

    fn set(&self, mark: u128) -> &[Place; WAYS] {
        &self.0[(mark >> 96) as usize % SETS]
    }
}

impl std::fmt::Debug for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn who_was_right_is_known_for_a_minute() {
        let passed = Passed::default();
        assert!(!passed.has(7, at(0)) && !passed.has(0, at(0)));
        passed.put(7, at(10));
        assert!(passed.has(7, at(10)) && passed.has(7, at(69)) && !passed.has(7, at(70)));
        assert!(!passed.has(8, at(10)) && !passed.has(7 | 1 << 64, at(10)));
        passed.put(7, at(69));
        assert!(passed.has(7, at(128)));
    }

    #[test]
    fn it_holds_so_many_and_the_oldest_goes_first() {
        let passed = Passed::default();
        // All of one set.
        for mark in 1..=WAYS as u128 {
            passed.put(mark, at(mark as u64));
        }
        assert!((1..=WAYS as u128).all(|mark| passed.has(mark, at(9))));
        passed.put(100, at(20));
        assert!(!passed.has(1, at(20)) && passed.has(2, at(20)) && passed.has(100, at(20)));
        for mark in 0..100_000u128 {
            passed.put(mark << 90, at(30));
        }
        let known = (0..100_000u128).filter(|mark| passed.has(mark << 90, at(30))).count();
        assert!(known <= WAYS * SETS, "{known}");
    }
}

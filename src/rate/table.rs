//! Buckets of many keys in a table of a fixed size: a key's hash and the time in, a grant out.
//!
//! No lock, and nothing is ever allocated: a key has its place among the eight of its set. A key that
//! finds no place takes that of the one whose bucket is fullest, **with what that bucket holds**
//! (Space-Saving, Metwally and others 2005). So nobody is freed by being pushed out: whoever comes back
//! takes a place whose bucket is no fuller than its own was. What a flood of keys can do is make the
//! buckets of newcomers less than full, and only once it takes from all places faster than they fill.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Bucket, Grant, Rate};
use crate::clock::Moment;

/// Places in a set.
const WAYS: usize = 8;

/// The buckets of as many keys as there are places.
#[derive(Debug)]
pub struct Table {
    sets: Box<[[Place; WAYS]]>,
}

#[derive(Debug, Default)]
struct Place {
    /// The hash of the key that has it; 0 for none.
    key: AtomicU64,
    bucket: Bucket,
}

impl Table {
    /// A table for this many keys, rounded up to a power of two and at least eight.
    pub fn new(keys: usize) -> Table {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        Table { sets: (0..sets).map(|_| Default::default()).collect() }
    }

    /// Takes a token of a key's bucket. The hash is keyed, so that nobody can aim at a place.
    pub fn take(&self, hash: u64, now: Moment, rate: &Rate) -> Grant {
        let key = hash.max(1);
        let set = self.set(key);
        let place = set.iter().find(|place| place.key.load(Ordering::Relaxed) == key);
        place.unwrap_or_else(|| Table::give_place(set, key)).bucket.take(now, rate)
    }

    /// Who owes something: its key, and in how many nanoseconds its bucket is full.
    pub(super) fn owed(&self, now: Moment) -> Vec<(u64, u64)> {
        let now = now.micros().saturating_mul(1_000);
        let owes = |place: &Place| {
            let (key, full_at) = (place.key.load(Ordering::Relaxed), place.bucket.full_at());
            (key != 0 && full_at > now).then(|| (key, full_at - now))
        };
        self.sets.iter().flatten().filter_map(owes).collect()
    }

    /// Has a key owe at least so much.
    pub(super) fn owe(&self, key: u64, owes: u64, now: Moment) {
        let set = self.set(key);
        let place = set.iter().find(|place| place.key.load(Ordering::Relaxed) == key);
        let place = place.unwrap_or_else(|| Table::give_place(set, key.max(1)));
        place.bucket.owe(now.micros().saturating_mul(1_000).saturating_add(owes));
    }

    /// The number of sets is a power of two; keys of one set differ in the other bits.
    fn set(&self, hash: u64) -> &[Place; WAYS] {
        &self.sets[(hash.rotate_right(32) as usize) & (self.sets.len() - 1)]
    }

    /// The place for a key that has none. Two threads may give it two; then the first is the one that
    /// counts and the other is given away again.
    fn give_place(set: &[Place; WAYS], key: u64) -> &Place {
        let fullest = |place: &&Place| place.bucket.full_at();
        loop {
            // There are eight.
            let Some(place) = set.iter().min_by_key(fullest) else { return &set[0] };
            let before = place.key.load(Ordering::Relaxed);
            let swapped =
                place.key.compare_exchange(before, key, Ordering::Relaxed, Ordering::Relaxed);
            // Somebody else's gain is their progress: the loop ends.
            match swapped {
                Ok(_) => return place,
                Err(now) if now == key => return place,
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Draws;

    const RATE: Rate = Rate { requests: 1, period: Duration::from_secs(1), burst: 3 };

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let table = Table::new(1_000);
        assert_eq!(table.sets.len() * WAYS, 1_024);
        let mut draws = Draws::seeded(1);
        let keys: Vec<u64> = (0..100).map(|_| draws.bits()).collect();
        for left in [2, 1, 0] {
            assert!(keys.iter().all(|key| table.take(*key, at(0), &RATE).left == left));
        }
        assert!(keys.iter().all(|key| !table.take(*key, at(0), &RATE).is_granted));
        assert!(keys.iter().all(|key| table.take(*key, at(1_000), &RATE).is_granted));
    }

    #[test]
    fn who_floods_the_table_with_other_keys_is_not_freed_by_it() {
        let table = Table::new(8);
        let mut draws = Draws::seeded(2);
        let greedy = draws.bits();
        let spent = (0..10).filter(|_| table.take(greedy, at(0), &RATE).is_granted).count();
        assert_eq!(spent, 3);
        for _ in 0..1_000 {
            table.take(draws.bits(), at(0), &RATE);
        }
        assert!(!table.take(greedy, at(0), &RATE).is_granted);
    }

    #[test]
    fn threads_at_once_are_granted_no_more_than_there_is_but_for_one_race_a_thread() {
        let table = Table::new(64);
        let rate = Rate { burst: 500, ..RATE };
        let granted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let grant = table.take(7, at(0), &rate);
                        granted.fetch_add(u64::from(grant.is_granted), Ordering::Relaxed);
                    }
                });
            }
        });
        let granted = granted.into_inner();
        assert!((500..=503).contains(&granted), "{granted}");
    }

    proptest! {
        /// However many keys share however few places: no key is ever granted more than a bucket of
        /// its own would have granted.
        #[test]
        fn no_key_gets_more_than_its_own_bucket_would_give(
            steps in prop::collection::vec((0u64..30, 0u64..300), 1..400),
        ) {
            let table = Table::new(8);
            let mut own: std::collections::HashMap<u64, Vec<u64>> = Default::default();
            let mut now = 0;
            for (key, step) in steps {
                now += step;
                let hash = Draws::seeded(key).bits();
                if table.take(hash, at(now), &RATE).is_granted {
                    own.entry(key).or_default().push(now);
                }
            }
            for granted in own.values() {
                for (first, from) in granted.iter().enumerate() {
                    for (nth, to) in granted.iter().enumerate().skip(first) {
                        let most = 3.0 + (to - from) as f64 / 1e3;
                        prop_assert!((nth - first + 1) as f64 <= most + 1e-3);
                    }
                }
            }
        }
    }
}

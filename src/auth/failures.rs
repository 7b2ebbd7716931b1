//! Who was wrong too often: a key of a client, or of a client and a name, in, whether it may try once more
//! out.
//!
//! A key has the moments of its last failures, as many as it may have. Whoever tries takes the place of the
//! oldest, before it is known how it ends, so that who tries a thousand at once fails no more often; who was
//! right gives it back. A key without a place takes that of another, of eight the one that may try most, with
//! what lies in it: nobody is freed by being pushed out. No lock, and nothing is ever allocated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// The time in which there may be so many failures.
const WITHIN: Duration = Duration::from_secs(60);

/// Places in a set, and moments in a table: 4,096 places of ten.
const WAYS: usize = 8;
const MOMENTS: usize = 40_960;

/// The failures of as many keys as there are places. Each may have `MOST`.
pub(super) struct Failures<const MOST: usize>(Box<[[Place<MOST>; WAYS]]>);

struct Place<const MOST: usize> {
    /// 0 for none.
    key: AtomicU64,
    /// One more than a moment, in microseconds; 0 for none.
    moments: [AtomicU64; MOST],
}

/// One that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    set: usize,
    way: usize,
    nth: usize,
    moment: u64,
}

impl<const MOST: usize> Default for Place<MOST> {
    fn default() -> Place<MOST> {
        Place { key: AtomicU64::new(0), moments: [const { AtomicU64::new(0) }; MOST] }
    }
}

impl<const MOST: usize> Place<MOST> {
    /// The oldest moment, and where it is.
    fn oldest(&self) -> (usize, u64) {
        let moments = self.moments.iter().map(|moment| moment.load(Ordering::Relaxed));
        moments.enumerate().min_by_key(|(_, moment)| *moment).unwrap_or_default()
    }

    fn has(&self, key: u64) -> bool {
        self.key.load(Ordering::Relaxed) == key
    }
}

/// How long there may be none any more, if the oldest was then.
fn wait(oldest: u64, now: Moment) -> Option<Duration> {
    let oldest = Moment::from_micros(oldest.checked_sub(1)?);
    let left = WITHIN.saturating_sub(now.elapsed_since(oldest));
    (!left.is_zero()).then_some(left)
}

impl<const MOST: usize> Default for Failures<MOST> {
    fn default() -> Failures<MOST> {
        Failures((0..Self::SETS).map(|_| Default::default()).collect())
    }
}

impl<const MOST: usize> Failures<MOST> {
    const SETS: usize = MOMENTS / (WAYS * MOST);

    /// How long a key may try no more; none if it may.
    pub fn locked(&self, key: u64, now: Moment) -> Option<Duration> {
        let key = key.max(1);
        let place = self.set(key).1.iter().find(|place| place.has(key))?;
        wait(place.oldest().1, now)
    }

    /// Tries; how long it may not, if it may not.
    pub fn begin(&self, key: u64, now: Moment) -> Result<Try, Duration> {
        let key = key.max(1);
        let (set, places) = self.set(key);
        let way = places.iter().position(|place| place.has(key));
        let way = way.unwrap_or_else(|| give_place(places, key));
        let moment = now.micros() + 1;
        // Somebody else's gain is their progress: the loop ends.
        loop {
            let (nth, oldest) = places[way].oldest();
            if let Some(left) = wait(oldest, now) {
                return Err(left);
            }
            let place = &places[way].moments[nth];
            let swapped =
                place.compare_exchange(oldest, moment, Ordering::Relaxed, Ordering::Relaxed);
            if swapped.is_ok() {
                return Ok(Try { set, way, nth, moment });
            }
        }
    }

    /// It was none.
    pub fn give_back(&self, taken: Try) {
        let Try { set, way, nth, moment } = taken;
        let place = &self.0[set][way].moments[nth];
        // What was there before was too long ago to count.
        let _ = place.compare_exchange(moment, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn set(&self, key: u64) -> (usize, &[Place<MOST>; WAYS]) {
        let set = key.rotate_right(32) as usize % Self::SETS;
        (set, &self.0[set])
    }
}

/// The place for a key that has none. Two threads may give it two; then the first is the one that counts.
fn give_place<const MOST: usize>(places: &[Place<MOST>; WAYS], key: u64) -> usize {
    let freest = (0..WAYS).min_by_key(|way| places[*way].oldest().1).unwrap_or_default();
    places[freest].key.store(key, Ordering::Relaxed);
    freest
}

impl<const MOST: usize> std::fmt::Debug for Failures<MOST> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failures(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 10;
    type Failures = super::Failures<MOST>;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn ten_in_a_minute_and_no_more_until_the_first_is_a_minute_ago() {
        let failures = Failures::default();
        for nth in 0..10 {
            assert_eq!(failures.locked(7, at(nth)), None);
            failures.begin(7, at(nth)).unwrap();
        }
        let left = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(failures.locked(7, at(9)), left(51));
        assert_eq!(failures.begin(7, at(9)), Err(Duration::from_secs(51)));
        assert_eq!(failures.locked(8, at(9)), None, "another key has its own");
        assert_eq!(failures.locked(7, at(59)), left(1));
        // One at a time, as the first ones become old.
        failures.begin(7, at(60)).unwrap();
        assert_eq!(failures.locked(7, at(60)), left(1));
        failures.begin(7, at(61)).unwrap();
        assert_eq!(failures.begin(7, at(61)), Err(Duration::from_secs(1)));
        assert_eq!(failures.locked(7, at(200)), None);
    }

    #[test]
    fn who_is_right_gives_its_try_back_and_who_tries_many_at_once_has_ten() {
        let failures = Failures::default();
        for _ in 0..100 {
            let taken = failures.begin(7, at(1)).unwrap();
            failures.give_back(taken);
        }
        let taken: Vec<_> = (0..100).filter_map(|_| failures.begin(7, at(1)).ok()).collect();
        assert_eq!(taken.len(), 10);
        failures.give_back(taken[3]);
        assert!(failures.begin(7, at(2)).is_ok() && failures.begin(7, at(2)).is_err());
        failures.give_back(taken[3]);
        assert!(failures.begin(7, at(2)).is_err(), "given back once, and taken anew since");
        let granted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let is_granted = failures.begin(8, at(1)).is_ok();
                        granted.fetch_add(u64::from(is_granted), Ordering::Relaxed);
                    }
                });
            }
        });
        let granted = granted.into_inner();
        // Two threads may give the key a place each at the very first.
        assert!((10..=40).contains(&granted), "{granted}");
    }

    #[test]
    fn who_floods_the_table_with_other_names_is_not_freed_by_it() {
        let failures = Failures::default();
        let of = |nth: u64| nth.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for _ in 0..10 {
            failures.begin(of(1), at(0)).unwrap();
        }
        for nth in 2..200_000 {
            let _ = failures.begin(of(nth), at(1));
        }
        assert!(failures.begin(of(1), at(2)).is_err());
    }

    proptest! {
        /// However many keys share however few places: in no minute has a key more tries than ten.
        #[test]
        fn no_key_fails_more_often_than_it_may(
            steps in prop::collection::vec((0u64..30, 0u64..8), 1..600),
        ) {
            let failures = Failures::default();
            let mut own: std::collections::HashMap<u64, Vec<u64>> = Default::default();
            let mut now = 0;
            for (key, step) in steps {
                now += step;
                // All of one set.
                let hash = (key + 1) << 41;
                if failures.begin(hash, at(now)).is_ok() {
                    own.entry(key).or_default().push(now);
                }
            }
            for tries in own.values() {
                for eleven in tries.windows(MOST + 1) {
                    prop_assert!(eleven[MOST] - eleven[0] >= 60, "{:?}", eleven);
                }
            }
        }
    }
}

//! What happened lately: events come in one by one, exact sums of the last ten seconds come out.
//!
//! Ten slices of a second, each one atomic word that holds its second and three counts, so that
//! many threads count without a lock and none of them can tear a slice: a count is never lost to a
//! slice that is being reused. A slice takes 131,071 events a second. When its first count, which is
//! the total of the others, is full, nothing more is counted in it, so that the others go on being the
//! shares of it that they are.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;

/// How far back the sums look, in seconds.
pub const SECONDS: u64 = 10;

const COUNT_BITS: u32 = 17;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const SECOND_BITS: u32 = 64 - 3 * COUNT_BITS;
const SECOND_MASK: u64 = (1 << SECOND_BITS) - 1;

/// The last ten seconds of three kinds of events. What the kinds are is the owner's business.
#[derive(Debug, Default)]
pub struct Window {
    slices: [AtomicU64; SECONDS as usize],
    /// The second of the last event: a slice's own stamp is too short to tell how old it is.
    last: AtomicU64,
}

impl Window {
    /// Counts one event of each kind that is set; the first is the total of the others.
    pub fn count(&self, kinds: [bool; 3], now: Moment) {
        self.begin(now.seconds());
        let stamp = stamp(now.seconds());
        let slice = &self.slices[(now.seconds() % SECONDS) as usize];
        let add = |word: u64| {
            let mut counts = if word >> (3 * COUNT_BITS) == stamp { unpack(word) } else { [0; 3] };
            // Of a kind that is counted beside the total nothing more is, so that shares stay.
            if counts[0] == COUNT_MAX {
                return None;
            }
            for (count, &is_set) in counts.iter_mut().zip(&kinds) {
                *count = (*count + u64::from(is_set)).min(COUNT_MAX);
            }
            Some(pack(stamp, counts))
        };
        // It fails if the slice is full.
        let _ = slice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Counts so many at once, as if all had come now; of each no more than a slice takes.
    pub fn add(&self, more: [u64; 3], now: Moment) {
        self.begin(now.seconds());
        let stamp = stamp(now.seconds());
        let slice = &self.slices[(now.seconds() % SECONDS) as usize];
        let add = |word: u64| {
            let mut counts = if word >> (3 * COUNT_BITS) == stamp { unpack(word) } else { [0; 3] };
            for (count, more) in counts.iter_mut().zip(more) {
                *count = count.saturating_add(more).min(COUNT_MAX);
            }
            Some(pack(stamp, counts))
        };
        // It never fails: there is always a next word.
        let _ = slice.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// An event of this second comes. Before stamps could come round, all slices are emptied.
    fn begin(&self, second: u64) {
        if self.last.load(Ordering::Relaxed) >= second {
            return;
        }
        let last = self.last.fetch_max(second, Ordering::Relaxed);
        if second.saturating_sub(last) > SECOND_MASK / 2 {
            self.slices.iter().for_each(|slice| slice.store(0, Ordering::Relaxed));
        } else {
            // Nobody counted in the seconds between: what their slices hold is of rounds before.
            for passed in (last + 1).max(second.saturating_sub(SECONDS - 1))..second {
                self.slices[(passed % SECONDS) as usize].store(0, Ordering::Relaxed);
            }
        }
    }

    /// The sums of the last ten seconds, but not of seconds that began before `from`.
    pub fn sums(&self, from: Moment, now: Moment) -> [u64; 3] {
        let first = from.seconds().max(now.seconds().saturating_sub(SECONDS - 1));
        let mut sums = [0; 3];
        if self.last.load(Ordering::Relaxed) < first {
            return sums;
        }
        for second in first..=now.seconds() {
            let word = self.slices[(second % SECONDS) as usize].load(Ordering::Relaxed);
            if word >> (3 * COUNT_BITS) == stamp(second) {
                let counts = unpack(word);
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        sums
    }
}

/// Never that of an untouched word, which is zero.
fn stamp(second: u64) -> u64 {
    1 + second % SECOND_MASK
}

fn pack(stamp: u64, [all, one, other]: [u64; 3]) -> u64 {
    stamp << (3 * COUNT_BITS) | all << (2 * COUNT_BITS) | one << COUNT_BITS | other
}

fn unpack(word: u64) -> [u64; 3] {
    [word >> (2 * COUNT_BITS) & COUNT_MAX, word >> COUNT_BITS & COUNT_MAX, word & COUNT_MAX]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::from_micros(second * 1_000_000)
    }

    #[test]
    fn sums_reach_back_ten_seconds_and_no_further() {
        let window = Window::default();
        for second in 0..30 {
            window.count([true, second % 2 == 0, false], at(second));
            let within = (second + 1).min(SECONDS);
            assert_eq!(window.sums(at(0), at(second))[0], within, "at {second}");
        }
        assert_eq!(window.sums(at(0), at(29)), [10, 5, 0]);
        assert_eq!(window.sums(at(25), at(29)), [5, 2, 0]);
        assert_eq!(window.sums(at(0), at(40)), [0; 3]);
    }

    #[test]
    fn an_untouched_window_is_empty_at_any_time() {
        for second in [0, SECOND_MASK - 1, SECOND_MASK, 1 << 40] {
            assert_eq!(Window::default().sums(at(0), at(second)), [0; 3]);
        }
    }

    #[test]
    fn a_full_slice_stays_full() {
        let window = Window::default();
        for _ in 0..COUNT_MAX + 10 {
            window.count([true, true, false], at(3));
        }
        assert_eq!(window.sums(at(0), at(3)), [COUNT_MAX, COUNT_MAX, 0]);
    }

    #[test]
    fn shares_stay_as_they_are_above_what_a_slice_takes() {
        let window = Window::default();
        for n in 0..3 * COUNT_MAX {
            window.count([true, n % 3 == 0, false], at(3));
        }
        // As retries are counted, beside what may be retried.
        window.count([false, true, false], at(3));
        let [all, failed, _] = window.sums(at(0), at(3));
        assert_eq!((all, failed), (COUNT_MAX, COUNT_MAX.div_ceil(3)));
    }

    #[test]
    fn what_is_old_does_not_come_back_however_old() {
        let round = SECOND_MASK * SECONDS;
        for later in [round / 4, round / 2, round * 3 / 4, round, 2 * round, SECOND_MASK] {
            let window = Window::default();
            (0..SECONDS).for_each(|second| window.count([true; 3], at(second)));
            assert_eq!(window.sums(at(0), at(later)), [0; 3], "after {later} s");
            window.count([true, false, false], at(later));
            assert_eq!(window.sums(at(0), at(later + 5)), [1, 0, 0], "after {later} s");
        }
    }

    #[test]
    fn what_is_old_does_not_come_back_where_others_go_on_counting() {
        let window = Window::default();
        (0..30).for_each(|_| window.count([true; 3], at(3)));
        // One a minute: always in the same slice, so that others keep what is in them.
        (1..=SECOND_MASK).for_each(|n| window.count([true, false, false], at(10 * n)));
        let round = 3 + SECOND_MASK * SECONDS;
        assert_eq!(window.sums(at(0), at(round)), [1, 0, 0]);
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        let window = Window::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|n| window.count([true; 3], at(n / 1_000))));
            }
        });
        assert_eq!(window.sums(at(0), at(4)), [20_000; 3]);
    }
}

//! What a rollout is judged by, of one upstream: ends of attempts in, counts of a second out.
//!
//! Each account is one word that is added to, with one addition for an attempt, and read by difference:
//! parts that overflow into the next ones are subtracted again with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::judge::Counts;

/// Bits of the number of attempts.
const ATTEMPTS: u32 = 32;

/// Bits of each number of slow answers.
const SLOW: u32 = 21;

/// Counts of one upstream.
#[derive(Debug, Default)]
pub struct Judged {
    /// Attempts that were judged, and above them those that were bad.
    attempts: AtomicU64,
    /// Answers slower than the pool's p50, its p95 and its p99, above each other.
    slow: AtomicU64,
}

/// Both words of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JudgedReading {
    attempts: u64,
    slow: u64,
}

/// From when on answers of a pool are slow: its p50, p95 and p99 of the last minutes.
#[derive(Debug)]
pub struct SlowFrom([AtomicU64; 3]);

impl Judged {
    /// Counts an attempt that a rollout is judged by.
    pub fn count(&self, is_bad: bool) {
        self.attempts.fetch_add(1 | u64::from(is_bad) << ATTEMPTS, Ordering::Relaxed);
    }

    /// Counts an answer that was slower than so many of the three.
    pub fn count_slow(&self, beyond: usize) {
        const ADDED: [u64; 4] = [0, 1, 1 | 1 << SLOW, 1 | 1 << SLOW | 1 << (2 * SLOW)];
        self.slow.fetch_add(ADDED[beyond.min(3)], Ordering::Relaxed);
    }

    /// Both words now.
    pub fn read(&self) -> JudgedReading {
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        JudgedReading { attempts: read(&self.attempts), slow: read(&self.slow) }
    }
}

impl JudgedReading {
    /// What came since an earlier reading: attempts, of which there are fewer than four billion, and answers
    /// slower than p50, p95 and p99, fewer than two million.
    pub fn since(self, earlier: JudgedReading) -> (Counts, [u64; 3]) {
        let attempts = self.attempts.wrapping_sub(earlier.attempts);
        let slow = self.slow.wrapping_sub(earlier.slow);
        let low = |word: u64, bits: u32| word & ((1 << bits) - 1);
        let counts = Counts { total: low(attempts, ATTEMPTS), bad: attempts >> ATTEMPTS };
        (counts, [low(slow, SLOW), low(slow >> SLOW, SLOW), slow >> (2 * SLOW)])
    }
}

impl Default for SlowFrom {
    /// Nothing is slow before it is known what is usual.
    fn default() -> SlowFrom {
        SlowFrom([const { AtomicU64::new(u64::MAX) }; 3])
    }
}

impl SlowFrom {
    /// Sets them; they rise.
    pub fn set(&self, times: [Duration; 3]) {
        for (own, time) in self.0.iter().zip(times) {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            own.store(nanos, Ordering::Relaxed);
        }
    }

    /// What they are, if they were ever set.
    pub fn read(&self) -> Option<[Duration; 3]> {
        let read = self.0.each_ref().map(|from| from.load(Ordering::Relaxed));
        (!read.contains(&u64::MAX)).then(|| read.map(Duration::from_nanos))
    }

    /// How many of the three an answer was slower than.
    pub fn beyond(&self, took: Duration) -> usize {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.iter().take_while(|from| from.load(Ordering::Relaxed) < nanos).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_what_came_between_also_where_parts_overflow() {
        let judged = Judged::default();
        judged.attempts.store(u64::MAX - 5, Ordering::Relaxed);
        judged.slow.store(u64::MAX - (1 << SLOW), Ordering::Relaxed);
        let before = judged.read();
        (0..100).for_each(|at| judged.count(at % 10 == 0));
        (0..100).for_each(|at| judged.count_slow([0, 1, 2, 3, 9][at % 5]));
        let since = judged.read().since(before);
        assert_eq!(since, (Counts { total: 100, bad: 10 }, [80, 60, 40]));
        assert_eq!(judged.read().since(judged.read()), (Counts::default(), [0; 3]));
    }

    #[test]
    fn nothing_is_slow_before_it_is_known_what_is_usual() {
        let (from, millis) = (SlowFrom::default(), Duration::from_millis);
        assert_eq!((from.beyond(Duration::from_secs(1 << 30)), from.read()), (0, None));
        from.set([millis(50), millis(120), millis(200)]);
        assert_eq!(from.read(), Some([50, 120, 200].map(millis)));
        let found = [49, 50, 51, 150, 201].map(|took| from.beyond(millis(took)));
        assert_eq!(found, [0, 0, 1, 2, 3]);
    }
}

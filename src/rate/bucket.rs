//! A token bucket in one word: a rate and the time in, a grant or how long to wait out.
//!
//! GCRA (ITU-T I.371, as virtual scheduling): not tokens are kept but when the bucket will be full
//! again, so that nobody has to fill it, and one compare-and-swap takes a token.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// How many are let through: `requests` evenly in each `period`, of which `burst` may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub requests: u32,
    /// Above zero, at most a day.
    pub period: Duration,
    /// At least 1.
    pub burst: u32,
}

/// A bucket. A new one is full.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When it will be full, in nanoseconds since the origin of moments.
    full_at: AtomicU64,
}

/// What a bucket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whether a token was taken.
    pub is_granted: bool,
    /// Tokens that are left.
    pub left: u32,
    /// After how long there is another one, for whoever was refused; for others, after how long the
    /// bucket is full.
    pub wait: Duration,
}

impl Rate {
    /// What one token takes to come back, in nanoseconds.
    pub(super) fn interval(&self) -> u64 {
        let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
        (period / u64::from(self.requests.max(1))).max(1)
    }

    /// What all of them take.
    pub(super) fn capacity(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.burst.max(1)))
    }
}

impl Bucket {
    /// Takes a token if there is one.
    pub fn take(&self, now: Moment, rate: &Rate) -> Grant {
        let (interval, capacity) = (rate.interval(), rate.capacity());
        let now = now.micros().saturating_mul(1_000);
        let taken = |full_at: u64| {
            let next = full_at.max(now) + interval;
            (next - now <= capacity).then_some(next)
        };
        let grant = |is_granted, full_at: u64, wait| {
            let left = capacity.saturating_sub(full_at.saturating_sub(now)) / interval;
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            Grant { is_granted, left, wait: Duration::from_nanos(wait) }
        };
        match self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(before) => {
                let full_at = before.max(now) + interval;
                grant(true, full_at, full_at - now)
            }
            Err(full_at) => grant(false, full_at, full_at + interval - capacity - now),
        }
    }

    /// It will not be full before then, in nanoseconds since the origin of moments.
    pub(super) fn owe(&self, full_at: u64) {
        self.full_at.fetch_max(full_at, Ordering::Relaxed);
    }

    /// When it will be full, in nanoseconds since the origin of moments: what compares less is fuller.
    pub(super) fn full_at(&self) -> u64 {
        self.full_at.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(requests: u32, seconds: u64, burst: u32) -> Rate {
        Rate { requests, period: Duration::from_secs(seconds), burst }
    }

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_in_each_interval() {
        let (bucket, rate) = (Bucket::default(), rate(10, 1, 3));
        let take = |millis| {
            let Grant { is_granted, left, wait } = bucket.take(at(millis), &rate);
            (is_granted, left, wait.as_millis())
        };
        assert_eq!([take(0), take(0), take(0)], [(true, 2, 100), (true, 1, 200), (true, 0, 300)]);
        assert_eq!([take(0), take(99)], [(false, 0, 100), (false, 0, 1)]);
        assert_eq!([take(100), take(100)], [(true, 0, 300), (false, 0, 100)]);
        assert_eq!(take(100_000), (true, 2, 100), "no more than the burst is saved up");
        assert_eq!(bucket.full_at(), 100_100_000_000);
    }

    proptest! {
        /// In any stretch of time no more are let through than the burst and what comes back in it.
        #[test]
        fn no_stretch_sees_more_than_burst_and_rate(
            steps in prop::collection::vec(0u64..400, 1..200),
            requests in 1u32..20,
            burst in 1u32..9,
        ) {
            let (bucket, rate) = (Bucket::default(), rate(requests, 1, burst));
            let mut now = 0;
            let mut granted = Vec::new();
            for step in steps {
                now += step;
                if bucket.take(at(now), &rate).is_granted {
                    granted.push(now);
                }
            }
            for (first, from) in granted.iter().enumerate() {
                for (nth, to) in granted.iter().enumerate().skip(first) {
                    let most = f64::from(burst) + (to - from) as f64 * f64::from(requests) / 1e3;
                    // An interval is cut to whole nanoseconds.
                    prop_assert!((nth - first + 1) as f64 <= most + 1e-3);
                }
            }
        }

        /// Who waits as long as it was told is let through, and a nanosecond of slack less is not.
        #[test]
        fn the_wait_that_is_told_is_the_one_that_it_takes(requests in 1u32..500, burst in 1u32..50) {
            let (bucket, rate) = (Bucket::default(), rate(requests, 1, burst));
            for _ in 0..burst {
                prop_assert!(bucket.take(at(5), &rate).is_granted);
            }
            let refused = bucket.take(at(5), &rate);
            prop_assert!(!refused.is_granted);
            let micros = u64::try_from(refused.wait.as_nanos().div_ceil(1_000)).unwrap();
            let then = |micros: u64| Moment::from_micros(5_000 + micros);
            prop_assert!(!bucket.take(then(micros - 1), &rate).is_granted);
            prop_assert!(bucket.take(then(micros), &rate).is_granted);
        }
    }
}

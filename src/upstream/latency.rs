//! How fast an upstream answers: times to the response head in, a moving average out.
//!
//! An exponentially weighted moving average over time (τ = 1 s, as simulated against others for
//! `judge.md` section 6), in which a failure weighs as five seconds: who fails fast must not look
//! fast. Left alone it moves towards what is usual in its pool: one that was slow once is tried
//! again, and nobody looks faster than the others for being left alone.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// The time in which an observation loses all but 1/e of its weight, in seconds.
const TAU: f32 = 1.0;

/// The time in which half of what tells it from the others is gone, while it is not asked.
const HALF_LIFE: f32 = 5.0;

/// Observations within this time are all there is to know, in seconds.
const FRESH: f32 = 0.1;

/// What a failure weighs at least, in seconds.
pub const FAILURE_SECONDS: f32 = 5.0;

/// Failures in a row that are no accident.
const NO_ACCIDENT: u32 = 3;

/// What the average never falls below, in seconds: differences beneath are noise.
const FLOOR: f32 = 0.000_5;

/// A moving average and when it was last observed, each whole: no upstream is left alone for so long
/// that the time came round.
///
/// Of two observations at once one may be lost, which no average notices. The average is written
/// before its time and read after it, so that no old one looks new.
#[derive(Debug, Default)]
pub struct Latency {
    /// `f32` bits, seconds; negative for what a failure weighs.
    average: AtomicU32,
    /// In microseconds; 0 if nothing is known.
    observed: AtomicU64,
}

impl Latency {
    /// An answer took this long, after so many failures in a row. Once it is back after a few, what
    /// they weighed is forgotten: a doubtful past would count for more than the present.
    pub fn observe(&self, took: Duration, after_failures: u32, now: Moment) {
        match after_failures >= NO_ACCIDENT {
            true => self.set(took.as_secs_f32(), now),
            false => self.add(took.as_secs_f32(), now),
        }
    }

    /// Nobody waited longer than this for its answer.
    pub fn observe_at_least(&self, took: Duration, now: Moment) {
        if took.as_secs_f32() > self.with(0.0, now) {
            self.add(took.as_secs_f32(), now);
        }
    }

    /// It failed after this long, for so many times in a row with this one. A few in a row are no
    /// accident: then it weighs five seconds at once, however many requests a second it answered.
    pub fn observe_failure(&self, took: Duration, in_a_row: u32, now: Moment) {
        let seconds = took.as_secs_f32().max(FAILURE_SECONDS);
        let average = if in_a_row >= NO_ACCIDENT { seconds } else { self.with(seconds, now) };
        // The sign says that it is a punishment.
        self.set(-average, now);
    }

    /// The average now, in seconds, at least half a millisecond: nearer to what is `usual` in its
    /// pool the longer nobody asked it; that alone if nothing is known. What a failure weighs is no
    /// latency and is forgotten sooner, so that it is asked again, and works or is put out.
    pub fn seconds(&self, usual: f32, now: Moment) -> f32 {
        let Some((average, observed)) = self.read() else { return usual.max(FLOOR) };
        let (idle, is_failure) = (age(observed, now), average.is_sign_negative());
        let average = average.abs().max(FLOOR);
        if idle < FRESH {
            return average;
        }
        let left = if is_failure { (-idle / TAU).exp() } else { (-idle / HALF_LIFE).exp2() };
        let usual = usual.max(FLOOR);
        usual + (average - usual) * left
    }

    /// The average when it was last observed, in seconds, and what it weighs by now, from 1 to 0; none
    /// if it never was, or failed then.
    pub fn last(&self, now: Moment) -> Option<(f32, f32)> {
        let (average, observed) = self.read()?;
        (average > 0.0).then(|| (average, (-age(observed, now) / HALF_LIFE).exp2()))
    }

    fn read(&self) -> Option<(f32, Moment)> {
        let observed = self.observed.load(Ordering::Acquire);
        let average = f32::from_bits(self.average.load(Ordering::Relaxed));
        (observed != 0).then(|| (average, Moment::from_micros(observed)))
    }

    fn add(&self, seconds: f32, now: Moment) {
        self.set(self.with(seconds, now), now);
    }

    /// The average with one more observation.
    fn with(&self, seconds: f32, now: Moment) -> f32 {
        let Some((average, observed)) = self.read() else { return seconds };
        let weight = (-age(observed, now) / TAU).exp();
        average.abs() * weight + seconds * (1.0 - weight)
    }

    fn set(&self, average: f32, now: Moment) {
        self.average.store(average.to_bits(), Ordering::Relaxed);
        self.observed.store(now.micros().max(1), Ordering::Release);
    }
}

/// How long ago it was observed, in seconds; another thread's clock may have been read a little after
/// ours.
fn age(observed: Moment, now: Moment) -> f32 {
    now.elapsed_since(observed).as_secs_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn it_follows_within_seconds() {
        let latency = Latency::default();
        assert_eq!(latency.seconds(0.0, at(5)), FLOOR);
        (0..3_000).for_each(|ms| latency.observe(Duration::from_millis(10), 0, at(ms)));
        assert!((latency.seconds(0.001, at(3_000)) - 0.010).abs() < 1e-3);
        (3_000..6_000).for_each(|ms| latency.observe(Duration::from_millis(50), 0, at(ms)));
        assert!((latency.seconds(0.001, at(6_000)) - 0.048).abs() < 2e-3);
    }

    #[test]
    fn a_failure_weighs_five_seconds_and_is_forgotten() {
        let latency = Latency::default();
        (0..1_000).for_each(|ms| latency.observe(Duration::from_millis(1), 0, at(ms)));
        latency.observe_failure(Duration::from_millis(1), 1, at(1_000));
        assert!(latency.seconds(0.001, at(1_000)) < 0.1, "one may be an accident");
        latency.observe_failure(Duration::from_millis(1), 3, at(1_000));
        assert!(latency.seconds(0.001, at(1_000)) > 4.0);
        assert!(latency.seconds(0.001, at(11_000)) < 0.002, "it is tried again");
        latency.observe_failure(Duration::from_millis(1), 3, at(10_000));
        latency.observe(Duration::from_millis(1), 3, at(10_500));
        assert!(latency.seconds(0.001, at(10_500)) < 0.002, "it is back");
    }

    #[test]
    fn who_is_not_waited_for_looks_no_faster_and_a_short_wait_says_nothing() {
        let latency = Latency::default();
        (0..3_000).for_each(|ms| latency.observe(Duration::from_millis(10), 0, at(ms)));
        let before = latency.seconds(0.001, at(3_000));
        latency.observe_at_least(Duration::from_millis(1), at(3_000));
        assert_eq!(latency.seconds(0.001, at(3_000)), before);
        (0..10).for_each(|n| latency.observe_at_least(Duration::from_secs(1), at(3_100 + n * 60)));
        assert!(latency.seconds(0.001, at(3_700)) > 0.2);
    }

    #[test]
    fn who_is_not_asked_moves_towards_the_others_by_half_in_five_seconds() {
        let latency = Latency::default();
        latency.observe(Duration::from_millis(100), 0, at(1_000));
        for (seconds, expected) in [(0, 0.100), (5, 0.060), (10, 0.040), (60, 0.020)] {
            let now = latency.seconds(0.020, at(1_000 + seconds * 1_000));
            assert!((now - expected).abs() < 1e-3, "{now} after {seconds} s");
        }
    }

    #[test]
    fn who_was_left_alone_for_however_long_is_as_good_as_the_others() {
        let hour = 3_600_000;
        // Where stamps of 32 bits of 64 µs would be a quarter, a half, three quarters round, and round.
        for hours in [1, 19, 37, 38, 39, 57, 76, 77, 24 * 365 * 5] {
            let latency = Latency::default();
            (0..5).for_each(|n| latency.observe_failure(Duration::from_secs(1), n, at(1_000)));
            let after = latency.seconds(0.020, at(1_000 + hours * hour));
            assert!((after - 0.020).abs() < 1e-4, "{after} after {hours} h");
        }
    }
}

//! How fast an upstream answers: times to the response head in, a moving average out.
//!
//! An exponentially weighted moving average over time (τ = 1 s, as simulated against others for
//! `judge.md` section 6), in which a failure weighs as five seconds: who fails fast must not look
//! fast. Left alone it fades, so that an upstream that was slow once is tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// The time in which an observation loses all but 1/e of its weight, in seconds.
const TAU: f32 = 1.0;

/// What a failure weighs at least, in seconds.
pub const FAILURE_SECONDS: f32 = 5.0;

/// Failures in a row that are no accident.
const NO_ACCIDENT: u32 = 3;

/// What the average never falls below, in seconds: differences beneath are noise.
const FLOOR: f32 = 0.000_5;

/// The stamp's unit is 2⁶ µs, so that it comes round after three days only.
const STAMP_SHIFT: u32 = 6;

/// A moving average: `f32` seconds and the stamp of the last observation in one word.
///
/// Of two observations at once one may be lost, which no average notices.
#[derive(Debug, Default)]
pub struct Latency(AtomicU64);

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
        if took.as_secs_f32() > self.seconds(now) {
            self.add(took.as_secs_f32(), now);
        }
    }

    /// It failed after this long, for so many times in a row with this one. A few in a row are no
    /// accident: then it weighs five seconds at once, however many requests a second it answered.
    pub fn observe_failure(&self, took: Duration, in_a_row: u32, now: Moment) {
        let seconds = took.as_secs_f32().max(FAILURE_SECONDS);
        match in_a_row >= NO_ACCIDENT {
            true => self.set(seconds, now),
            false => self.add(seconds, now),
        }
    }

    /// The average now, in seconds, at least half a millisecond.
    pub fn seconds(&self, now: Moment) -> f32 {
        let word = self.0.load(Ordering::Relaxed);
        let average = f32::from_bits((word >> 32) as u32);
        if average <= FLOOR {
            return FLOOR;
        }
        (average * weight(word as u32, now)).max(FLOOR)
    }

    fn add(&self, seconds: f32, now: Moment) {
        let word = self.0.load(Ordering::Relaxed);
        let average = match word {
            0 => seconds,
            _ => {
                let weight = weight(word as u32, now);
                f32::from_bits((word >> 32) as u32) * weight + seconds * (1.0 - weight)
            }
        };
        self.set(average, now);
    }

    fn set(&self, average: f32, now: Moment) {
        let word = u64::from(average.to_bits()) << 32 | u64::from(stamp(now));
        self.0.store(word, Ordering::Relaxed);
    }
}

fn stamp(now: Moment) -> u32 {
    (now.micros() >> STAMP_SHIFT) as u32
}

/// What an observation of this stamp weighs now.
fn weight(then: u32, now: Moment) -> f32 {
    let ticks = stamp(now).wrapping_sub(then);
    // Another thread's stamp may lie a little ahead of ours.
    if ticks > u32::MAX / 2 {
        return 1.0;
    }
    let seconds = ticks as f32 * ((1 << STAMP_SHIFT) as f32 / 1e6);
    (-seconds / TAU).exp()
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
        assert_eq!(latency.seconds(at(5)), FLOOR);
        (0..3_000).for_each(|ms| latency.observe(Duration::from_millis(10), 0, at(ms)));
        assert!((latency.seconds(at(3_000)) - 0.010).abs() < 1e-3);
        (3_000..6_000).for_each(|ms| latency.observe(Duration::from_millis(50), 0, at(ms)));
        assert!((latency.seconds(at(6_000)) - 0.048).abs() < 2e-3);
    }

    #[test]
    fn a_failure_weighs_five_seconds_and_fades() {
        let latency = Latency::default();
        (0..1_000).for_each(|ms| latency.observe(Duration::from_millis(1), 0, at(ms)));
        latency.observe_failure(Duration::from_millis(1), 1, at(1_000));
        assert!(latency.seconds(at(1_000)) < 0.1, "one may be an accident");
        latency.observe_failure(Duration::from_millis(1), 3, at(1_000));
        assert!(latency.seconds(at(1_000)) > 4.0);
        assert!(latency.seconds(at(10_000)) < 0.002, "it is tried again");
        latency.observe_failure(Duration::from_millis(1), 3, at(10_000));
        latency.observe(Duration::from_millis(1), 3, at(10_500));
        assert!(latency.seconds(at(10_500)) < 0.002, "it is back");
    }

    #[test]
    fn who_is_not_waited_for_looks_no_faster_and_a_short_wait_says_nothing() {
        let latency = Latency::default();
        (0..3_000).for_each(|ms| latency.observe(Duration::from_millis(10), 0, at(ms)));
        let before = latency.seconds(at(3_000));
        latency.observe_at_least(Duration::from_millis(1), at(3_000));
        assert_eq!(latency.seconds(at(3_000)), before);
        (0..10).for_each(|n| latency.observe_at_least(Duration::from_secs(1), at(3_100 + n * 60)));
        assert!(latency.seconds(at(3_700)) > 0.2);
    }

    #[test]
    fn the_stamp_may_come_round() {
        let latency = Latency::default();
        let late = Moment::from_micros((u64::from(u32::MAX) << STAMP_SHIFT) - 5);
        latency.observe(Duration::from_secs(1), 0, late);
        let after = late + Duration::from_millis(100);
        assert!((latency.seconds(after) - (-0.1f32).exp()).abs() < 0.01);
    }
}

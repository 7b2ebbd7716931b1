//! Is the canary slower? Latencies of a tick in, evidence about one quantile out.
//!
//! Before a tick is looked at, a threshold is fixed at the stable pool's own quantile so far. Then
//! "slow" is a count like any other: the canary, allowed a tolerance, must not be slow more often
//! than the stable pool. Whatever the threshold is, that comparison holds; a bad one only costs
//! power. Thresholds on counts find what happens in the tail, where canaries fail; a test of whole
//! distributions finds shifts and misses tails (`judge.md` 2.2).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::causes::Causes;
use super::e_process::EProcess;
use super::gate::fewest;
use super::steps::{Tick, blocked};
use super::{Counts, Distribution, Rise, buckets};

/// By which odds ratio the canary might be slow more often.
pub const ODDS: [f64; 7] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// Canary requests before the test may speak.
const FEWEST: u64 = 100;

/// Past requests of the stable pool before there is a threshold.
const FEWEST_PAST: u64 = 100;

/// How much slower a canary may be, the greater of both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slack {
    /// As a share of the stable pool's time.
    pub share: f64,
    /// As a time.
    pub time: Duration,
}

/// What is slow in a tick, fixed before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// The last bucket that is not slow for the stable pool.
    stable: usize,
    /// The same for the canary.
    canary: usize,
    /// The share of the stable pool's requests that is expected to be slow.
    expected: f64,
}

impl Threshold {
    /// At this quantile of what the stable pool did so far; none before it did enough.
    pub fn at(quantile: f64, past: &Distribution, slack: Slack) -> Option<Threshold> {
        if past.total() < FEWEST_PAST {
            return None;
        }
        let stable = past.bucket_at(quantile)?;
        let time = buckets::upper(stable);
        let more = time.mul_f64(1.0 + slack.share).max(time + slack.time);
        let slow = past.above(stable) as f64;
        let expected = (slow + 0.5) / (past.total() as f64 + 1.0);
        let canary = buckets::bucket_of(more);
        Some(Threshold { stable, canary, expected: expected.clamp(1e-4, 1.0 - 1e-4) })
    }

    /// One that is given: for simulations of counts.
    pub fn fixed(stable: usize, canary: usize, expected: f64) -> Threshold {
        Threshold { stable, canary, expected }
    }

    /// From when on the stable pool's requests, and the canary's, are slow.
    pub fn times(&self) -> (Duration, Duration) {
        (buckets::upper(self.stable), buckets::upper(self.canary))
    }

    /// The slow requests of a tick, as the bad ones.
    pub(super) fn slow(&self, stable: &Distribution, canary: &Distribution) -> (Counts, Counts) {
        let stable = Counts { total: stable.total(), bad: stable.above(self.stable) };
        (stable, Counts { total: canary.total(), bad: canary.above(self.canary) })
    }
}

/// Evidence that the canary is slow more often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyTest {
    process: EProcess<7>,
    stable: Counts,
    canary: Counts,
    rise: Rise,
}

impl LatencyTest {
    /// Weighs a tick.
    pub fn tick(
        &mut self,
        threshold: Threshold,
        ln_stake: f64,
        stable: &Distribution,
        canary: &Distribution,
        causes: Causes,
    ) {
        let (stable, canary) = threshold.slow(stable, canary);
        self.tick_counts(threshold.expected, ln_stake, stable, canary, causes);
    }

    /// Weighs a tick whose slow requests are counted.
    pub fn tick_counts(
        &mut self,
        expected: f64,
        ln_stake: f64,
        stable: Counts,
        canary: Counts,
        causes: Causes,
    ) {
        self.stable += stable;
        self.canary += canary;
        self.rise.tick(self.process.ln_e(), stable, canary);
        let (stable, canary) = (causes.of_stable(stable), causes.of_canary(canary));
        let steps = blocked(&ODDS, expected, stable, canary);
        self.process.tick(ln_stake, &steps);
    }

    /// A tick that is not looked at.
    pub fn lay(&mut self, ln_stake: f64) {
        self.process.lay(ln_stake);
    }

    /// ln of the evidence.
    pub fn ln_e(&self) -> f64 {
        self.process.ln_e()
    }

    /// Requests of the stable pool and the canary that were looked at, the slow ones as bad.
    pub fn counts(&self) -> (Counts, Counts) {
        (self.stable, self.canary)
    }

    /// The same since there was last no evidence.
    pub fn rise(&self) -> Rise {
        self.rise
    }

    /// Whether the evidence suffices.
    pub fn fails(&self, alpha: f64) -> bool {
        self.canary.total >= FEWEST && self.ln_e() >= -alpha.ln()
    }

    /// How many more canary requests, slow no more often than the stable pool's, would bring ln E
    /// down to this limit. None if that is out of reach.
    pub fn requests_to_calm(&self, ln_e: f64) -> Option<u64> {
        if self.canary.total == 0 || self.stable.total == 0 {
            return None;
        }
        let beside = self.stable.total as f64 / self.canary.total as f64;
        let expected = self.stable.ratio().clamp(1e-4, 1.0 - 1e-4);
        let stable = Tick { n: beside, x: beside * expected };
        let canary = Tick { n: 1.0, x: expected };
        let steps = blocked(&ODDS, expected, stable, canary);
        fewest(|requests| self.process.ln_e_after(&steps, requests) < ln_e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Slack = Slack { share: 0.1, time: Duration::from_millis(5) };

    fn past(millis: impl Iterator<Item = u64>) -> Distribution {
        let mut past = Distribution::default();
        millis.for_each(|millis| past.add(Duration::from_millis(millis)));
        past
    }

    #[test]
    fn the_threshold_is_the_stable_pools_quantile_and_a_tolerance() {
        let past = past(1..=1_000);
        let threshold = Threshold::at(0.95, &past, SLACK).expect("it saw enough");
        let (stable, canary) = threshold.times();
        assert!((950.0..983.0).contains(&(stable.as_secs_f64() * 1e3)), "{stable:?}");
        assert!((1_045.0..1_120.0).contains(&(canary.as_secs_f64() * 1e3)), "{canary:?}");
        assert!((0.02..0.051).contains(&threshold.expected), "{threshold:?}");
    }

    #[test]
    fn a_quick_service_is_allowed_five_milliseconds() {
        let past = past(std::iter::repeat_n(2, 1_000));
        let (stable, canary) = Threshold::at(0.5, &past, SLACK).expect("it saw enough").times();
        assert!(canary >= stable + SLACK.time, "{stable:?} {canary:?}");
    }

    #[test]
    fn too_short_a_past_sets_no_threshold() {
        assert_eq!(Threshold::at(0.5, &past(1..=99), SLACK), None);
        assert!(Threshold::at(0.5, &past(1..=100), SLACK).is_some());
    }

    #[test]
    fn fewer_than_a_hundred_canary_requests_never_fail() {
        let mut test = LatencyTest::default();
        for _ in 0..9 {
            let (stable, canary) = (Counts { total: 990, bad: 9 }, Counts { total: 11, bad: 11 });
            test.tick_counts(0.01, 0.5f64.ln(), stable, canary, Causes::OF_EACH);
        }
        assert!(test.ln_e() > 15.0 && !test.fails(0.01), "{test:?}");
        test.tick_counts(
            0.01,
            0.5f64.ln(),
            Counts::default(),
            Counts { total: 1, bad: 1 },
            Causes::OF_EACH,
        );
        assert!(test.fails(0.01));
    }

    #[test]
    fn evidence_calms_after_as_many_requests_as_it_says() {
        let mut test = LatencyTest::default();
        for _ in 0..2 {
            let (stable, canary) = (Counts { total: 900, bad: 9 }, Counts { total: 100, bad: 6 });
            test.tick_counts(0.01, 0.5f64.ln(), stable, canary, Causes::OF_EACH);
        }
        let ten = 10f64.ln();
        assert!(test.ln_e() > ten, "{}", test.ln_e());
        let wants = test.requests_to_calm(ten).expect("it is near");
        let (stable, canary) = test.counts();
        let rate = stable.ratio();
        let as_many = |n: u64| {
            let mut test = test;
            let beside = n * stable.total / canary.total;
            let slow = |n: u64| Counts { total: n, bad: (n as f64 * rate).round() as u64 };
            test.tick_counts(rate, f64::NEG_INFINITY, slow(beside), slow(n), Causes::OF_EACH);
            test.ln_e()
        };
        assert!(as_many(wants + 100) < ten && as_many(wants.saturating_sub(100)) > ten, "{wants}");
    }
}

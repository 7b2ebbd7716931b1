//! When the canary has all traffic: what the stable pool did until then in, a limit out.
//!
//! Nothing runs beside the canary any more, so it is judged against a rate: twice what the stable
//! pool can have failed at, or the rate that matters, if that is more. "Can have": an upper bound
//! that holds with chance 1 − α/2 whenever it is taken, so that, with the other half of α for the
//! test itself, a release that fails at most twice as often as the old one did is taken back with
//! chance α at most. It supposes that the old one would not have got worse meanwhile; what else
//! changes with the time of day, no test without a control can tell apart.

use serde::{Deserialize, Serialize};

use super::Counts;
use super::e_process::{EProcess, Spending};
use super::more_errors::MULTIPLES;
use super::sample_ratio::ln_beta;
use super::steps::{Tick, above_rate};

/// How many times the stable pool's rate is tolerated when it is no longer there to compare with.
const TOLERATED: f64 = 2.0;

/// No limit is above this: without any past, a canary must still answer now and then.
const HIGHEST: f64 = 0.9;

/// A canary against the past.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    past: Counts,
    /// What the canary is tolerated to fail at.
    #[serde(with = "super::exact")]
    limit: f64,
    process: EProcess<7>,
    spending: Spending,
}

impl Frozen {
    /// Against what the stable pool did until now.
    pub fn new(past: Counts, rate_that_matters: f64, alpha: f64, spending: Spending) -> Frozen {
        let limit = (TOLERATED * highest_rate(past, alpha / 2.0)).max(rate_that_matters);
        Frozen { past, limit: limit.min(HIGHEST), process: EProcess::EMPTY, spending }
    }

    /// Weighs a tick.
    pub fn tick(&mut self, phi: f64, canary: Counts) {
        let steps = above_rate(&MULTIPLES, self.limit, Tick::from(canary));
        self.process.tick(self.spending.tick(), &steps.map(|step| step / phi));
    }

    /// ln of the evidence.
    pub fn ln_e(&self) -> f64 {
        self.process.ln_e()
    }

    /// Whether the evidence suffices.
    pub fn fails(&self, alpha: f64) -> bool {
        self.ln_e() >= -(alpha / 2.0).ln()
    }

    /// The rate that is tolerated, 0 to 1, and the stable pool's counts that it comes from.
    pub fn limit(&self) -> (f64, Counts) {
        (self.limit, self.past)
    }

    /// What must be refuted before it is said to be fine: twice the rate that the stable pool failed
    /// at, or `rate`, if that is more. At least half of what is tolerated, so that there is something
    /// between fine and failed.
    pub fn margin(&self, rate: f64) -> f64 {
        (TOLERATED * self.past.ratio()).max(rate).min(HIGHEST)
    }
}

/// The rate that these counts refute only just: smaller rates than this explain them, with chance
/// `delta` at most that the true one is above, whenever one looks. It inverts the e-process that
/// bets on all rates by Jeffreys' prior.
fn highest_rate(counts: Counts, delta: f64) -> f64 {
    let (bad, good) = (counts.bad as f64, counts.good() as f64);
    let won = ln_beta(bad + 0.5, good + 0.5) - ln_beta(0.5, 0.5);
    let refutes = |rate: f64| won - bad * rate.ln() - good * (-rate).ln_1p() >= -delta.ln();
    let (mut low, mut high) = (counts.ratio(), 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if refutes(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_comes_down_to_the_true_one() {
        let at = |total, bad| highest_rate(Counts { total, bad }, 0.000_5);
        assert_eq!(at(0, 0), 1.0, "nothing is known");
        assert!((0.000_1..0.000_4).contains(&at(60_000, 0)), "{}", at(60_000, 0));
        assert!((0.001_4..0.002).contains(&at(60_000, 60)), "{}", at(60_000, 60));
        assert!((0.001..0.001_1).contains(&at(6_000_000, 6_000)), "{}", at(6_000_000, 6_000));
        assert_eq!(at(50, 50), 1.0);
    }

    #[test]
    fn a_canary_that_fails_as_its_past_did_is_left_alone_and_a_bad_one_is_not() {
        let past = Counts { total: 100_000, bad: 100 };
        let fails_within = |bad: u64| {
            let mut frozen = Frozen::new(past, 0.001, 0.001, Spending::default());
            (0..600).find(|_| {
                frozen.tick(1.0, Counts { total: 1_000, bad });
                frozen.fails(0.001)
            })
        };
        assert_eq!((fails_within(1), fails_within(2)), (None, None));
        assert!(fails_within(10).is_some_and(|ticks| ticks < 10), "{:?}", fails_within(10));
    }

    #[test]
    fn without_a_past_almost_everything_must_fail() {
        let frozen = Frozen::new(Counts::default(), 0.001, 0.001, Spending::default());
        assert_eq!(frozen.limit(), (HIGHEST, Counts::default()));
    }
}

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
use super::causes::makes;
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
    /// How many more failures one brought along in the past, for each other request of its upstream
    /// and second, with what all upstreams share.
    #[serde(with = "super::exact", default)]
    kappa: f64,
    process: EProcess<7>,
    spending: Spending,
}

/// How failures came together in the past.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Together {
    /// How many more one brought along, for each other request of its upstream and second.
    pub kappa: f64,
    /// Mean requests of an upstream in a second.
    pub requests: f64,
}

impl Frozen {
    /// Against what the stable pool did until now.
    pub fn new(
        past: Counts,
        together: Together,
        rate_that_matters: f64,
        alpha: f64,
        spending: Spending,
    ) -> Frozen {
        let Together { kappa, requests } = together;
        let causes = Tick::from(past).divided(makes(requests, 1, kappa));
        let limit = (TOLERATED * highest_rate(causes, alpha / 2.0)).max(rate_that_matters);
        Frozen { past, limit: limit.min(HIGHEST), kappa, process: EProcess::EMPTY, spending }
    }

    /// Weighs a tick, which may add so much at most, of so many upstreams, of which the canary itself has shown that one failure brings
    /// along so many. What is counted by causes may not say more than what is counted by requests, nor
    /// the other way round: the smaller of two e-values is one.
    pub fn tick(&mut self, cap: f64, own_kappa: f64, upstreams: u64, canary: Counts) {
        let tick = Tick::from(canary);
        let makes = makes(tick.n, upstreams, self.kappa.max(own_kappa));
        let each = above_rate(&MULTIPLES, self.limit, tick);
        let causes = above_rate(&MULTIPLES, self.limit, tick.divided(makes));
        let steps = std::array::from_fn(|place| f64::min(each[place], causes[place]));
        self.process.tick_up_to(cap, self.spending.tick(), &steps);
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
fn highest_rate(tick: Tick, delta: f64) -> f64 {
    let (bad, good) = (tick.x, (tick.n - tick.x).max(0.0));
    let won = ln_beta(bad + 0.5, good + 0.5) - ln_beta(0.5, 0.5);
    let refutes = |rate: f64| won - bad * rate.ln() - good * (-rate).ln_1p() >= -delta.ln();
    let (mut low, mut high) = (if tick.n > 0.0 { tick.x / tick.n } else { 0.0 }, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if refutes(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::LN_10;

    #[test]
    fn the_highest_rate_comes_down_to_the_true_one() {
        let at = |total, bad| highest_rate(Tick::from(Counts { total, bad }), 0.000_5);
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
            let mut frozen =
                Frozen::new(past, Together::default(), 0.001, 0.001, Spending::default());
            (0..600).find(|_| {
                frozen.tick(LN_10, 0.0, 1, Counts { total: 1_000, bad });
                frozen.fails(0.001)
            })
        };
        assert_eq!((fails_within(1), fails_within(2)), (None, None));
        assert!(fails_within(10).is_some_and(|ticks| ticks < 10), "{:?}", fails_within(10));
    }

    #[test]
    fn without_a_past_almost_everything_must_fail() {
        let frozen =
            Frozen::new(Counts::default(), Together::default(), 0.001, 0.001, Spending::default());
        assert_eq!(frozen.limit(), (HIGHEST, Counts::default()));
    }
}

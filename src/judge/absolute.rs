//! The guard: a canary's counts in, evidence that too much fails whatever else is said.
//!
//! Against "at most half of the limit fails", and the rate since the step began must have reached
//! the limit itself: strong evidence at once, and never about a release that merely is not perfect. And
//! it must be at least twice the stable pool's: what fails in both pools, a database that is away, is no
//! fault of the release, and would fail on the stable pool too.
//!
//! In two forms, of which the mean counts. One counts causes, and is quick where failures are
//! independent. The other supposes nothing of what happens within a second: the share of it that failed, at
//! most the limit, is a number between 0 and 1, and its mean is at most half while the rate is at most half
//! the limit, whatever depends on what. It finds what is steady in a service that fails in bursts.

use serde::{Deserialize, Serialize};

use super::Counts;
use super::e_process::{EProcess, ln_add};
use super::more_errors::Weighing;
use super::steps::{Tick, above_rate};

/// Multiples of half the limit.
pub const MULTIPLES: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 39.0];

/// What is laid on the clipped share of a second; below 2, so that a second without failures leaves
/// something.
pub const BETS: [f64; 4] = [0.5, 1.0, 1.5, 1.9];

/// Evidence that the canary fails too often by any measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct AbsoluteGuard {
    causes: EProcess<7>,
    /// None where each failure counts.
    seconds: Option<EProcess<4>>,
}

impl AbsoluteGuard {
    /// With both forms.
    pub fn both() -> AbsoluteGuard {
        AbsoluteGuard { causes: EProcess::EMPTY, seconds: Some(EProcess::EMPTY) }
    }

    /// Weighs a tick; `limit` is a share, 0 to 1, and a cause makes so many bad seconds.
    pub fn tick(&mut self, limit: f64, weighing: Weighing, per_cause: f64, canary: Counts) {
        let Weighing { ln_stake, causes, cap } = weighing;
        let steps = above_rate(&MULTIPLES, limit / 2.0, causes.of_canary(canary));
        self.causes.tick_up_to(cap, ln_stake, &steps);
        if let Some(seconds) = &mut self.seconds {
            seconds.tick(ln_stake, &clipped(limit, Tick::from(canary), per_cause));
        }
    }

    /// ln of the evidence that more than half of the limit fails.
    pub fn ln_e(&self) -> f64 {
        match &self.seconds {
            Some(seconds) => ln_add(self.causes.ln_e(), seconds.ln_e()) - 2f64.ln(),
            None => self.causes.ln_e(),
        }
    }

    /// Whether it fires, with what the canary and the stable pool did since the step began.
    pub fn fires(&self, limit: f64, alpha: f64, in_step: Counts, beside: Counts) -> bool {
        in_step.ratio() >= limit && in_step.fails_twice(beside) && self.ln_e() >= -alpha.ln()
    }
}

/// As it is kept, also before there were two forms.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Forms { causes: EProcess<7>, seconds: Option<EProcess<4>> },
    One(EProcess<7>),
}

impl From<Stored> for AbsoluteGuard {
    fn from(stored: Stored) -> AbsoluteGuard {
        match stored {
            Stored::Forms { causes, seconds } => AbsoluteGuard { causes, seconds },
            Stored::One(causes) => AbsoluteGuard { causes, seconds: None },
        }
    }
}

/// What a tick says against "at most half of the limit fails", for each bet. No bet gains more than twofold.
fn clipped(limit: f64, canary: Tick, per_cause: f64) -> [f64; 4] {
    let share = if canary.n > 0.0 { (canary.x / canary.n / limit).min(1.0) } else { 0.5 };
    BETS.map(|bet| (bet * (share - 0.5)).ln_1p() / per_cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::e_process::Spending;

    #[test]
    fn the_clipped_form_meets_the_golden_vectors() {
        let ticks = [(100, 7), (100, 3), (100, 0), (0, 0), (100, 12), (100, 5)];
        let wanted = [
            (
                1.0,
                [
                    -0.215361410872,
                    -0.092012878825,
                    -1.191787566706,
                    -1.191330315381,
                    -0.804201225103,
                    -0.395645714238,
                ],
            ),
            (
                2.5,
                [
                    -0.505313264095,
                    -0.457878938215,
                    -0.946965040262,
                    -0.946607066282,
                    -0.775968213067,
                    -0.601279162592,
                ],
            ),
        ];
        for (per_cause, wanted) in wanted {
            let (mut process, mut spending) = (EProcess::<4>::EMPTY, Spending::default());
            for ((total, bad), wanted) in ticks.into_iter().zip(wanted) {
                let tick = Tick::from(Counts { total, bad });
                process.tick(spending.tick(), &clipped(0.05, tick, per_cause));
                assert!((process.ln_e() - wanted).abs() < 1e-9, "{} {wanted}", process.ln_e());
            }
        }
    }

    #[test]
    fn a_share_that_is_not_exceeded_on_average_cannot_be_bet_on_with_gain() {
        // All of a second's requests fail together, or none does: mean rate half the limit.
        for bet in 0..BETS.len() {
            for per_cause in [1.0, 2.5, 40.0] {
                let step = |n, x| clipped(0.05, Tick { n, x }, per_cause)[bet].exp();
                let mean =
                    |often: f64| often * step(100.0, 100.0) + (1.0 - often) * step(100.0, 0.0);
                assert!(mean(0.025) <= 1.0 && mean(0.5) <= 1.0 + 1e-12, "{bet} {per_cause}");
            }
        }
    }
}

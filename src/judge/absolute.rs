//! The guard: a canary's counts in, evidence that too much fails whatever else is said.
//!
//! Against "at most half of the limit fails", and the rate since the step began must have reached
//! the limit itself: strong evidence at once, and never about a release that merely is not perfect. And
//! it must be at least twice the stable pool's: what fails in both pools, a database that is away, is no
//! fault of the release, and would fail on the stable pool too.

use serde::{Deserialize, Serialize};

use super::Counts;
use super::e_process::EProcess;
use super::steps::{Tick, above_rate};

/// Multiples of half the limit.
pub const MULTIPLES: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 39.0];

/// Evidence that the canary fails too often by any measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AbsoluteGuard(EProcess<7>);

impl AbsoluteGuard {
    /// Weighs a tick; `limit` is a share, 0 to 1.
    pub fn tick(&mut self, limit: f64, ln_stake: f64, canary: Counts) {
        self.0.tick(ln_stake, &above_rate(&MULTIPLES, limit / 2.0, Tick::from(canary)));
    }

    /// ln of the evidence that more than half of the limit fails.
    pub fn ln_e(&self) -> f64 {
        self.0.ln_e()
    }

    /// Whether it fires, with what the canary and the stable pool did since the step began.
    pub fn fires(&self, limit: f64, alpha: f64, in_step: Counts, beside: Counts) -> bool {
        in_step.ratio() >= limit && in_step.fails_twice(beside) && self.ln_e() >= -alpha.ln()
    }
}

//! Does the canary fail more often than the stable pool? Counts of a tick in, evidence out.
//!
//! Two e-processes that must both be strong: that it fails more often than is tolerated compared
//! with the stable pool, and that it fails at a rate that matters at all. So neither two failures
//! against none, nor a rise from 0.001 % to 0.003 %, takes a release back.

use serde::{Deserialize, Serialize};

use super::Counts;
use super::e_process::EProcess;
use super::steps::{Tick, above_rate, thinned};

/// By how much the canary's rate may exceed the tolerated one.
pub const RATIOS: [f64; 9] = [1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 25.0, 60.0];

/// By how much it may exceed the rate that matters.
pub const MULTIPLES: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 60.0];

/// What is tolerated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Times the stable pool's rate.
    pub ratio: f64,
    /// A rate up to which nothing matters, 0 to 1.
    pub rate: f64,
}

/// What a tick weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighing {
    /// ln of the stake that is laid with it.
    pub ln_stake: f64,
    /// What its evidence is divided by, because bad events come in bursts; 1 if they do not.
    pub phi: f64,
}

/// Evidence that the canary fails more often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorTest {
    relative: EProcess<9>,
    floor: EProcess<7>,
}

impl ErrorTest {
    /// One that saw ticks without a request, in which this was laid.
    pub fn idle(ln_laid: f64) -> ErrorTest {
        let mut test = ErrorTest::default();
        test.lay(ln_laid);
        test
    }

    /// Weighs a tick.
    pub fn tick(
        &mut self,
        tolerance: Tolerance,
        weighing: Weighing,
        stable: Counts,
        canary: Counts,
    ) {
        let (stable, canary) = (Tick::from(stable), Tick::from(canary));
        let Weighing { ln_stake, phi } = weighing;
        let steps = thinned(&RATIOS, tolerance.ratio, stable, canary);
        self.relative.tick(ln_stake, &steps.map(|step| step / phi));
        let steps = above_rate(&MULTIPLES, tolerance.rate, canary);
        self.floor.tick(ln_stake, &steps.map(|step| step / phi));
    }

    /// A tick without a request.
    pub fn lay(&mut self, ln_stake: f64) {
        self.relative.lay(ln_stake);
        self.floor.lay(ln_stake);
    }

    /// ln of the evidence that it fails more often than is tolerated beside the stable pool.
    pub fn ln_e(&self) -> f64 {
        self.relative.ln_e()
    }

    /// ln of the evidence that it fails at a rate that matters.
    pub fn ln_e_floor(&self) -> f64 {
        self.floor.ln_e()
    }

    /// Whether both are strong enough.
    pub fn fails(&self, alpha: f64, alpha_floor: f64) -> bool {
        self.ln_e() >= -alpha.ln() && self.ln_e_floor() >= -alpha_floor.ln()
    }
}

//! Does the canary fail more often than the stable pool? Counts of a tick in, evidence out.
//!
//! Two e-processes that must both be strong: that it fails more often than is tolerated compared
//! with the stable pool, and that it fails at a rate that matters at all. So neither two failures
//! against none, nor a rise from 0.001 % to 0.003 %, takes a release back. Each in two forms: what failures
//! have in common is not known of a version that nobody has run yet.

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::Counts;
use super::bad_seconds::BadSeconds;
use super::causes::Causes;
use super::e_process::{EProcess, ln_add};
use super::steps::{above_rate, thinned};

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
    /// How many of its failures one cause has made.
    pub causes: Causes,
    /// The most that it adds to the logarithm of an alternative; ln 10 or less.
    pub cap: f64,
}

impl Weighing {
    /// Of a tick like any other.
    pub fn of(ln_stake: f64, causes: Causes) -> Weighing {
        Weighing { ln_stake, causes, cap: LN_10 }
    }
}

/// Evidence that the canary fails more often, in one form.
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

    /// Weighs a tick by its causes.
    pub fn tick(
        &mut self,
        tolerance: Tolerance,
        weighing: Weighing,
        stable: Counts,
        canary: Counts,
    ) {
        let Weighing { ln_stake, causes, cap } = weighing;
        let (stable, canary) = (causes.of_stable(stable), causes.of_canary(canary));
        let steps = thinned(&RATIOS, tolerance.ratio, stable, canary);
        self.relative.tick_up_to(cap, ln_stake, &steps);
        self.floor.tick_up_to(cap, ln_stake, &above_rate(&MULTIPLES, tolerance.rate, canary));
    }

    /// Weighs a tick by its bad seconds, of which a cause makes so many.
    pub fn tick_seconds(
        &mut self,
        tolerance: Tolerance,
        weighing: Weighing,
        per_cause: f64,
        seconds: BadSeconds,
    ) {
        let Weighing { ln_stake, cap, .. } = weighing;
        let steps = seconds.beside(tolerance.ratio, per_cause);
        self.relative.tick_up_to(cap, ln_stake, &steps);
        self.floor.tick_up_to(cap, ln_stake, &seconds.beyond(tolerance, per_cause));
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

/// Evidence in both forms, by causes and by bad seconds. The mean of two e-processes is one; where one
/// form is slow to see, the other costs it ln 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
pub struct BothForms {
    causes: ErrorTest,
    /// None where only causes are counted: there is no upstream to tell seconds by, or users are counted.
    seconds: Option<ErrorTest>,
}

/// As it is kept, also before there were two forms.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Forms { causes: ErrorTest, seconds: Option<ErrorTest> },
    One(ErrorTest),
}

impl From<Stored> for BothForms {
    fn from(stored: Stored) -> BothForms {
        match stored {
            Stored::Forms { causes, seconds } => BothForms { causes, seconds },
            Stored::One(causes) => BothForms { causes, seconds: None },
        }
    }
}

impl BothForms {
    /// With both forms.
    pub fn both() -> BothForms {
        BothForms { causes: ErrorTest::default(), seconds: Some(ErrorTest::default()) }
    }

    /// Seconds cannot be told: nothing is laid on them, as long as nothing is.
    pub fn count_causes_only(&mut self) {
        self.seconds = self.seconds.filter(|seconds| *seconds != ErrorTest::default());
    }

    /// Weighs a tick; of seconds with what a cause makes of them.
    pub fn tick(
        &mut self,
        tolerance: Tolerance,
        weighing: Weighing,
        (stable, canary): (Counts, Counts),
        (per_cause, seconds): (f64, BadSeconds),
    ) {
        self.causes.tick(tolerance, weighing, stable, canary);
        if let Some(test) = &mut self.seconds {
            test.tick_seconds(tolerance, weighing, per_cause, seconds);
        }
    }

    /// ln of the evidence that it fails more often than is tolerated beside the stable pool.
    pub fn ln_e(&self) -> f64 {
        self.mean(ErrorTest::ln_e)
    }

    /// ln of the evidence that it fails at a rate that matters.
    pub fn ln_e_floor(&self) -> f64 {
        self.mean(ErrorTest::ln_e_floor)
    }

    /// Whether both are strong enough.
    pub fn fails(&self, alpha: f64, alpha_floor: f64) -> bool {
        self.ln_e() >= -alpha.ln() && self.ln_e_floor() >= -alpha_floor.ln()
    }

    fn mean(&self, of: fn(&ErrorTest) -> f64) -> f64 {
        match &self.seconds {
            Some(seconds) => ln_add(of(&self.causes), of(seconds)) - 2f64.ln(),
            None => of(&self.causes),
        }
    }

    /// Each form's, for whoever checks them.
    #[cfg(test)]
    pub(super) fn forms(&self) -> [f64; 2] {
        [self.causes.ln_e(), self.seconds.map_or(f64::NEG_INFINITY, |seconds| seconds.ln_e())]
    }
}

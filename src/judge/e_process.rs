//! Evidence that may be looked at at any time: log-likelihood ratios come in tick by tick, the
//! logarithm of an e-value goes out.
//!
//! An e-process bets against a null hypothesis on several alternatives at once, each with a share
//! of the stake. While the null holds, the chance that it ever reaches 1/α is at most α (Ville's
//! inequality), however often one looks. Half of the stake is laid at the start and the rest in
//! equal parts later, so that a change after half an hour is still found (a Shiryaev-Roberts
//! procedure that spends at most 1). A single tick multiplies an alternative by at most 10: what
//! happens within one second is one event, whatever the number of requests it hit. The proofs are
//! in `docs/judge.md`.

use std::f64::consts::LN_10;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most that one tick adds to the logarithm of one alternative.
const CAP: f64 = LN_10;

/// What was won on each of `N` alternatives, as logarithms: ln S of `judge.md` 2.1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EProcess<const N: usize>([f64; N]);

impl<const N: usize> EProcess<N> {
    /// Before anything is laid.
    pub const EMPTY: EProcess<N> = EProcess([f64::NEG_INFINITY; N]);
    /// With the whole stake laid at once.
    pub const LAID: EProcess<N> = EProcess([0.0; N]);

    /// Lays what the tick's stake is and multiplies by what the tick says of each alternative.
    pub fn tick(&mut self, ln_stake: f64, steps: &[f64; N]) {
        self.tick_up_to(CAP, ln_stake, steps);
    }

    /// The same where the tick may add this much at most, which is not more than ln 10.
    pub fn tick_up_to(&mut self, cap: f64, ln_stake: f64, steps: &[f64; N]) {
        for (ln_s, step) in self.0.iter_mut().zip(steps) {
            *ln_s = ln_add(*ln_s, ln_stake) + step.min(cap);
        }
    }

    /// Lays a stake in a tick that says nothing.
    pub fn lay(&mut self, ln_stake: f64) {
        for ln_s in &mut self.0 {
            *ln_s = ln_add(*ln_s, ln_stake);
        }
    }

    /// Multiplies without laying anything and without a cap, as the gate does.
    pub fn multiply(&mut self, steps: &[f64; N]) {
        for (ln_s, step) in self.0.iter_mut().zip(steps) {
            *ln_s += step;
        }
    }

    /// ln E: the mean over the alternatives.
    pub fn ln_e(&self) -> f64 {
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            return most;
        }
        let sum: f64 = self.0.iter().map(|ln_s| (ln_s - most).exp()).sum();
        most + (sum / N as f64).ln()
    }

    /// ln E if each alternative were multiplied by its step `times` times.
    pub fn ln_e_after(&self, steps: &[f64; N], times: f64) -> f64 {
        let mut after = *self;
        after.multiply(&steps.map(|step| step * times));
        after.ln_e()
    }
}

impl<const N: usize> Default for EProcess<N> {
    fn default() -> Self {
        EProcess::EMPTY
    }
}

/// Stored as text: JSON knows no −∞, and numbers in it may come back changed in the last digit.
impl<const N: usize> From<EProcess<N>> for String {
    fn from(process: EProcess<N>) -> String {
        process.0.map(|ln_s| ln_s.to_string()).join(" ")
    }
}

impl<const N: usize> TryFrom<String> for EProcess<N> {
    type Error = StoredBadly;

    fn try_from(text: String) -> Result<Self, StoredBadly> {
        let numbers: Result<Vec<f64>, _> = text.split(' ').map(str::parse).collect();
        let numbers = numbers.map_err(|_| StoredBadly { wanted: N })?;
        let numbers = <[f64; N]>::try_from(numbers).map_err(|_| StoredBadly { wanted: N })?;
        match numbers.iter().any(|number| number.is_nan() || *number == f64::INFINITY) {
            true => Err(StoredBadly { wanted: N }),
            false => Ok(EProcess(numbers)),
        }
    }
}

/// A stored e-process is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {wanted} logarithms")]
pub struct StoredBadly {
    wanted: usize,
}

/// When the stake is laid: half at the first tick, the rest in equal parts over the planned ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    planned: u64,
    ticks: u64,
}

impl Spending {
    /// For a rollout that is planned to be watched for this long, a tick a second. What lasts longer
    /// is still judged, with what was laid until then.
    pub fn over(planned: Duration) -> Spending {
        Spending { planned: planned.as_secs().max(1), ticks: 0 }
    }

    /// The same plan from its start.
    pub fn anew(&self) -> Spending {
        Spending { ticks: 0, ..*self }
    }

    /// ln of the stake of the tick that begins.
    pub fn tick(&mut self) -> f64 {
        self.ticks += 1;
        self.ln_between(self.ticks - 1, self.ticks)
    }

    /// Ticks that have begun.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// ln of all that was laid after `earlier` ticks until `later` ones.
    pub fn ln_between(&self, earlier: u64, later: u64) -> f64 {
        let first = if earlier == 0 && later > 0 { 0.5 } else { 0.0 };
        let parts = |ticks: u64| ticks.saturating_sub(1).min(self.planned);
        let rest = parts(later) - parts(earlier).min(parts(later));
        (first + 0.5 * rest as f64 / self.planned as f64).ln()
    }
}

impl Default for Spending {
    fn default() -> Self {
        Spending::over(Duration::from_secs(3_600))
    }
}

/// ln(eᵃ + eᵇ).
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (more, less) = if a >= b { (a, b) } else { (b, a) };
    // Also where both are −∞, whose difference is no number. Beyond 40, e⁻⁴⁰ is lost anyway.
    if less == f64::NEG_INFINITY || more - less > 40.0 {
        return more;
    }
    more + (less - more).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_stake_is_laid_over_the_planned_ticks_and_no_more() {
        let mut spending = Spending::over(Duration::from_secs(10));
        let laid: Vec<f64> = (0..20).map(|_| spending.tick().exp()).collect();
        assert!((laid[0] - 0.5).abs() < 1e-12 && (laid[10] - 0.05).abs() < 1e-12, "{laid:?}");
        assert_eq!(laid[11..], [0.0; 9]);
        assert!((laid.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((spending.ln_between(0, 3) - 0.6f64.ln()).abs() < 1e-12);
        assert!((spending.ln_between(3, 20) - 0.4f64.ln()).abs() < 1e-12);
        assert_eq!(spending.ln_between(0, 0), f64::NEG_INFINITY);
    }

    #[test]
    fn a_tick_that_says_nothing_only_lays_its_stake() {
        let mut spending = Spending::over(Duration::from_secs(100));
        let mut process = EProcess::<4>::EMPTY;
        for tick in 1..=150 {
            process.tick(spending.tick(), &[0.0; 4]);
            let laid = spending.ln_between(0, tick);
            assert!((process.ln_e() - laid).abs() < 1e-9, "{tick}: {}", process.ln_e());
        }
    }

    #[test]
    fn one_tick_multiplies_by_ten_at_most() {
        let mut process = EProcess::<2>::LAID;
        process.tick(f64::NEG_INFINITY, &[1e6, 5.0]);
        assert!((process.ln_e() - LN_10).abs() < 1e-12);
    }

    #[test]
    fn storing_keeps_every_bit_also_of_minus_infinity() {
        let odd = EProcess([f64::NEG_INFINITY, 0.1 + 0.2, -1e-300, 4.733_265_346_455_123]);
        for process in [odd, EProcess::EMPTY, EProcess::LAID] {
            let text = serde_json::to_string(&process).expect("it is text");
            assert_eq!(serde_json::from_str::<EProcess<4>>(&text).expect("it was ours"), process);
        }
        for text in ["\"1 2 3\"", "\"1 2 3 NaN\"", "\"1 2 3 x\"", "\"1 2 3 inf\"", "\"\""] {
            assert!(serde_json::from_str::<EProcess<4>>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn adding_logarithms_survives_the_extremes() {
        let nothing = f64::NEG_INFINITY;
        assert_eq!(ln_add(nothing, nothing), nothing);
        assert_eq!(ln_add(nothing, -3.0), -3.0);
        assert_eq!(ln_add(-1e9, 800.0), 800.0);
        assert!((ln_add(800.0, 800.0) - (800.0 + 2f64.ln())).abs() < 1e-12);
    }
}

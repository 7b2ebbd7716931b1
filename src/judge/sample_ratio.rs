//! Did the split do what it should? Arrivals by pool in, evidence that it did not out.
//!
//! A canary that gets other requests than the split says (a cache before it, a client that sticks,
//! a bug of ours) is not compared fairly, and then nothing that is said of it counts. The test is
//! Lindon and Malek's multinomial one with a prior worth 100 arrivals at the nominal share; it holds
//! at any time.

use serde::{Deserialize, Serialize};

use crate::split::BasisPoints;

/// What the prior is worth, in arrivals.
const PRIOR: f64 = 100.0;

/// The chance that a good split is called bad, in each step.
const ALPHA: f64 = 1e-4;

/// Arrivals since a share was set, against that share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SampleRatio {
    share: BasisPoints,
    stable: u64,
    canary: u64,
    /// The reading in which the share was set was of both shares.
    has_begun: bool,
    /// It was found to be off; more arrivals do not make good what was compared until then.
    is_off: bool,
}

impl SampleRatio {
    /// Anew, with this share for the canary.
    pub fn of(share: BasisPoints) -> SampleRatio {
        SampleRatio { share, ..SampleRatio::default() }
    }

    /// Weighs what arrived in a tick: requests, or users that the rollout had not seen before.
    pub fn tick(&mut self, stable: u64, canary: u64) {
        if !std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.stable += stable;
        self.canary += canary;
        self.is_off |= self.ln_e() >= self.limit();
    }

    /// ln of the evidence that the split is off; 0 where one pool is meant to get all.
    pub fn ln_e(&self) -> f64 {
        let share = self.share.ratio();
        if share <= 0.0 || share >= 1.0 {
            return 0.0;
        }
        let (stable, canary) = (self.stable as f64, self.canary as f64);
        let (a, b) = (PRIOR * share, PRIOR * (1.0 - share));
        ln_beta(a + canary, b + stable)
            - ln_beta(a, b)
            - canary * share.ln()
            - stable * (1.0 - share).ln()
    }

    /// What ln E must reach.
    pub fn limit(&self) -> f64 {
        -ALPHA.ln()
    }

    /// Whether it reached it since the share was set.
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    /// The nominal share, and what arrived at the stable pool and the canary.
    pub fn arrivals(&self) -> (BasisPoints, u64, u64) {
        (self.share, self.stable, self.canary)
    }
}

pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// ln Γ(x) for x > 0: Stirling's series, after as many steps up as make it good to 1e-12.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let y = 1.0 / (x * x);
    let series = (1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1_260.0 - y / 1_680.0))) / x;
    let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
    (x - 0.5) * x.ln() - x + half_ln_tau + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Draws;

    fn share(basis_points: u16) -> BasisPoints {
        BasisPoints::new(basis_points).expect("it is below the whole")
    }

    #[test]
    fn ln_gamma_is_the_factorial() {
        let mut factorial = 0.0;
        for n in 1..=170u32 {
            assert!((ln_gamma(f64::from(n)) - factorial).abs() < 1e-10 * (1.0 + factorial), "{n}");
            factorial += f64::from(n).ln();
        }
        let root_of_pi = 0.5 * std::f64::consts::PI.ln();
        assert!((ln_gamma(0.5) - root_of_pi).abs() < 1e-12);
    }

    #[test]
    fn a_right_split_is_not_called_off_and_one_a_fifth_off_is() {
        println!("seed 5");
        let mut draws = Draws::seeded(5);
        for basis_points in [100, 500, 5_000] {
            let (mut right, mut off) =
                (SampleRatio::of(share(basis_points)), SampleRatio::of(share(basis_points)));
            let real = f64::from(basis_points) / 1e4;
            for _ in 0..600 {
                let mut of =
                    |share: f64| (0..1_000).filter(|_| draws.unit() < share).count() as u64;
                let (one, other) = (of(real), of(real * 1.2));
                right.tick(1_000 - one, one);
                off.tick(1_000 - other, other);
            }
            assert!(!right.is_off() && off.is_off(), "{right:?} {off:?}");
        }
    }

    #[test]
    fn the_reading_in_which_the_share_was_set_does_not_count() {
        let mut ratio = SampleRatio::of(share(5_000));
        ratio.tick(10_000, 0);
        assert_eq!((ratio.is_off(), ratio.ln_e()), (false, 0.0));
        ratio.tick(10_000, 0);
        assert!(ratio.is_off());
    }

    #[test]
    fn what_was_off_once_stays_off_until_the_share_is_set_again() {
        let mut ratio = SampleRatio::of(share(5_000));
        ratio.tick(0, 0);
        ratio.tick(100, 0);
        assert!(ratio.is_off());
        ratio.tick(0, 100);
        assert!(ratio.is_off() && ratio.ln_e() < 0.0);
    }

    #[test]
    fn with_all_traffic_on_one_pool_nothing_can_be_off() {
        let mut ratio = SampleRatio::of(BasisPoints::WHOLE);
        ratio.tick(0, 0);
        ratio.tick(50, 10_000);
        assert!(!ratio.is_off());
    }
}

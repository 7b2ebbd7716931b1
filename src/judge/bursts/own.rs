//! How the canary's own failures come together within a second: counts of seconds in, κ out.
//!
//! The stable pool's past cannot show what only the new version does, and what nobody has done yet. Pairs
//! of failures within a second are compared with pairs across two seconds that are neighbours: a steady
//! rate, however high, has as many of both; one restart has more of the first, until it lasts.

use serde::{Deserialize, Serialize};

use super::super::{Counts, exact};

/// Standard errors that are taken off.
const CAREFUL: f64 = 2.0;

/// Pairs of the canary's failures since the rollout began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Own {
    /// The second before.
    last: Option<Counts>,
    /// Pairs within a second.
    #[serde(with = "exact")]
    near: f64,
    /// Pairs across a second and the one before it.
    #[serde(with = "exact")]
    far: f64,
    /// Failures, each with the other requests that its upstream had.
    #[serde(with = "exact")]
    others: f64,
    /// What chance makes of the difference.
    #[serde(with = "exact")]
    variance: f64,
}

impl Own {
    /// Hears a second, in which so many upstreams were asked.
    pub fn tick(&mut self, counts: Counts, upstreams: u64) {
        let last = self.last.replace(counts);
        let Some(last) = last.filter(|_| counts.bad > 0) else { return };
        let (n, x) = (counts.total as f64, counts.bad as f64);
        let expected = match last.total {
            0 => last.bad as f64,
            before => last.bad as f64 * n / before as f64,
        };
        let (near, far) = (x * (x - 1.0), x * expected);
        self.near += near;
        self.far += far;
        self.others += x * (n / upstreams.max(1) as f64 - 1.0).max(0.0);
        self.variance += 2.0 * near + 2.0 * far;
    }

    /// What comes next is no neighbour of what came last.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// κ, 0 to 1.
    pub fn kappa(&self) -> f64 {
        let excess = self.near - self.far - CAREFUL * self.variance.sqrt();
        if excess > 0.0 && self.others > 0.0 { (excess / self.others).min(1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(failures: &[u64]) -> f64 {
        let mut own = Own::default();
        failures.iter().for_each(|&bad| own.tick(Counts { total: 100, bad }, 1));
        own.kappa()
    }

    #[test]
    fn a_steady_rate_is_no_cluster_and_one_absence_is_one_until_it_lasts() {
        assert_eq!(after(&[5; 60]), 0.0);
        assert_eq!(after(&[100; 60]), 0.0);
        assert_eq!(after(&[0, 0, 3, 0]), 0.0, "three are too few to say");
        let restart = after(&[0, 0, 100, 0]);
        assert!(restart > 0.7, "{restart}");
        let lasting = [&[0, 0][..], &[100; 8]].concat();
        assert!(after(&lasting) < 0.2, "{}", after(&lasting));
    }

    #[test]
    fn the_first_second_says_nothing() {
        assert_eq!(after(&[100]), 0.0);
    }

    #[test]
    fn the_first_second_after_an_interruption_says_nothing_either() {
        let mut own = Own::default();
        own.tick(Counts { total: 100, bad: 0 }, 1);
        let mut whole = own;
        own.interrupt();
        for own in [&mut own, &mut whole] {
            own.tick(Counts { total: 100, bad: 100 }, 1);
        }
        assert!(own.kappa() == 0.0 && whole.kappa() > 0.7, "{} {}", own.kappa(), whole.kappa());
    }
}

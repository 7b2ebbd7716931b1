//! Is a second bad more often at the canary? Upstreams and their seconds in, what a tick says out.
//!
//! The second form of the test of errors. One upstream in one second is the unit, so nothing is supposed
//! of what happens within a second: each stable upstream plays a canary of the canary's size, by the chance
//! that so many of its requests hold a failure. What causes of several seconds do is divided by how many
//! they make, as ten minutes of the stable pool have shown.

use super::bursts::{ByUpstream, bad_second};
use super::more_errors::{MULTIPLES, RATIOS, Tolerance};
use super::steps::{Tick, above_rate, thinned};

/// The largest chance of a bad second that is asked whether it is exceeded.
const MOST: f64 = 0.5;

/// Upstreams and bad seconds among them, in one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BadSeconds {
    stable: Tick,
    canary: Tick,
    /// How many upstreams of the stable pool's size the canary's are, at least as many as they are.
    as_many: f64,
    /// Mean requests of a canary upstream.
    requests: f64,
}

impl BadSeconds {
    /// Of what each upstream did in a tick.
    pub fn of(stable: &[ByUpstream], canary: &[ByUpstream]) -> BadSeconds {
        let asked = |side: &[ByUpstream]| {
            let asked = side.iter().filter(|upstream| upstream.attempts.total > 0);
            asked.fold((0.0, 0.0), |(upstreams, requests), upstream| {
                (upstreams + 1.0, requests + upstream.attempts.total as f64)
            })
        };
        let ((k_b, n_b), (k_c, n_c)) = (asked(stable), asked(canary));
        let requests = if k_c > 0.0 { n_c / k_c } else { 0.0 };
        let chance = |upstream: &ByUpstream| {
            let counts = upstream.attempts.consistent();
            bad_second(counts.total as f64, counts.bad as f64, requests)
        };
        let failed = canary.iter().filter(|upstream| upstream.attempts.consistent().bad > 0);
        let larger = if n_b > 0.0 { requests * k_b / n_b } else { 1.0 };
        BadSeconds {
            stable: Tick { n: k_b, x: stable.iter().map(chance).sum() },
            canary: Tick { n: k_c, x: failed.count() as f64 },
            as_many: k_c * larger.max(1.0),
            requests,
        }
    }

    /// What it says against "as often as is tolerated beside the stable pool".
    pub fn beside(&self, tolerated: f64, per_cause: f64) -> [f64; 9] {
        let canary = Tick { n: self.as_many, x: self.canary.x };
        thinned(&RATIOS, tolerated, self.stable.divided(per_cause), canary.divided(per_cause))
    }

    /// What it says against "no more often than a rate that does not matter".
    pub fn beyond(&self, tolerance: Tolerance, per_cause: f64) -> [f64; 7] {
        let rate = (tolerance.rate * self.requests).min(MOST);
        if rate <= 0.0 {
            return [0.0; 7];
        }
        above_rate(&MULTIPLES, rate, self.canary).map(|step| step / per_cause)
    }
}

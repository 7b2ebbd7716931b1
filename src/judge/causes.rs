//! Count causes, not failures: counts of a tick in, the same divided by how many one cause makes out.
//!
//! A cause that makes s failures at once says what one failure says. Divided by s, or by anything above
//! it, counts keep every proof of [`super::steps`]: aᶻ is convex, so that a^(X/s) lies below its chord
//! (`docs/judge.md`). Where κ is 0 nothing is divided.

use super::Counts;
use super::steps::Tick;

/// What is known before a tick of how its events come together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Causes {
    /// How many more events one brings along, for each other request of its upstream in that second.
    pub kappa: f64,
    /// Upstreams of the stable pool that are asked.
    pub stable: u64,
    /// Upstreams of the canary that are.
    pub canary: u64,
}

impl Causes {
    /// Each event has a cause of its own.
    pub const OF_EACH: Causes = Causes { kappa: 0.0, stable: 1, canary: 1 };

    /// How many events one cause makes at the stable pool, with so many requests.
    pub fn makes_at_stable(&self, requests: f64) -> f64 {
        makes(requests, self.stable, self.kappa)
    }

    /// How many one makes at the canary.
    pub fn makes_at_canary(&self, requests: f64) -> f64 {
        makes(requests, self.canary, self.kappa)
    }

    /// The stable pool's tick.
    pub fn of_stable(&self, counts: Counts) -> Tick {
        let tick = Tick::from(counts);
        tick.divided(self.makes_at_stable(tick.n))
    }

    /// The canary's.
    pub fn of_canary(&self, counts: Counts) -> Tick {
        let tick = Tick::from(counts);
        tick.divided(self.makes_at_canary(tick.n))
    }
}

/// Events that one cause makes among so many requests of so many upstreams.
pub(super) fn makes(requests: f64, upstreams: u64, kappa: f64) -> f64 {
    1.0 + (requests / upstreams.max(1) as f64 - 1.0).max(0.0) * kappa
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_cause_makes_grows_with_the_requests_of_an_upstream() {
        let causes = Causes { kappa: 0.5, stable: 2, canary: 1 };
        assert_eq!((causes.makes_at_stable(100.0), causes.makes_at_canary(5.0)), (25.5, 3.0));
        assert_eq!((causes.makes_at_stable(1.0), causes.makes_at_canary(0.0)), (1.0, 1.0));
        let tick = causes.of_canary(Counts { total: 5, bad: 3 });
        assert_eq!((tick.n, tick.x), (5.0 / 3.0, 1.0));
        let counts = Counts { total: 900, bad: 7 };
        assert_eq!(Causes::OF_EACH.of_stable(counts), Tick::from(counts));
    }
}

//! A hard limit that needs no statistics: a canary's counts in, a verdict out.

use std::time::Duration;

use super::{Counts, Metric, Verdict};
use crate::split::BasisPoints;

/// When a canary is taken back whatever else is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The share of bad attempts that is too much; not 0.
    pub errors: BasisPoints,
    /// Attempts before it says anything.
    pub requests: u64,
    /// How long after the rollout's start it says something.
    pub within: Duration,
}

impl Default for Guard {
    fn default() -> Self {
        let errors = BasisPoints::new(500).unwrap_or(BasisPoints::WHOLE);
        Guard { errors, requests: 50, within: Duration::from_secs(600) }
    }
}

impl Guard {
    /// What it says of a canary's attempts, `elapsed` after the rollout's start; of those of both pools
    /// since the step began only whether the canary failed at least twice as often as the stable pool.
    pub fn judge(&self, canary: Counts, in_step: [Counts; 2], elapsed: Duration) -> Verdict {
        let Counts { total, bad } = canary;
        let rate = canary.ratio() * 100.0;
        let seen = format!("{bad} of {total} requests failed ({rate:.2} %)");
        if total < self.requests {
            let evidence = format!("{seen}; the guard wants {} requests", self.requests);
            return Verdict::Inconclusive { evidence };
        }
        let [beside, of_step] = in_step;
        let fails = canary.ratio() > self.errors.ratio() && of_step.fails_twice(beside);
        match elapsed <= self.within && fails {
            true => Verdict::Fail {
                evidence: format!("{seen}, more than {} %", self.errors),
                driver: Metric::Guard,
            },
            false => Verdict::Pass { evidence: seen },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_speaks_after_enough_requests_and_not_for_ever() {
        let guard = Guard::default();
        let soon = Duration::from_secs(5);
        let says = |total, bad, elapsed| {
            let canary = Counts { total, bad };
            guard.judge(canary, [Counts::default(), canary], elapsed)
        };
        assert!(matches!(says(49, 49, soon), Verdict::Inconclusive { .. }));
        assert!(matches!(says(100, 5, soon), Verdict::Pass { .. }), "exactly the limit");
        let evidence = "6 of 100 requests failed (6.00 %), more than 5 %".to_string();
        let driver = Metric::Guard;
        assert_eq!(says(100, 6, soon), Verdict::Fail { evidence, driver });
        assert!(matches!(says(100, 6, Duration::from_secs(601)), Verdict::Pass { .. }));
        let canary = Counts { total: 100, bad: 60 };
        let beside = |bad| {
            let in_step = [Counts { total: 900, bad }, canary];
            matches!(guard.judge(canary, in_step, soon), Verdict::Fail { .. })
        };
        assert!(beside(270) && !beside(271), "what both pools fail is no fault of the canary");
    }
}

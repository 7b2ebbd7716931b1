//! What is said of a canary: counts of its attempts in, a verdict with its evidence out.
//!
//! For now only the [`Guard`], which needs no statistics.

mod errors;
mod guard;
pub mod ledger;

use serde::{Deserialize, Serialize};

pub use errors::{Ending, Errors, Fault};
pub use guard::Guard;
pub use ledger::{Ledger, Watched};

/// Attempts at a pool and how many of them were bad, over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All whose end is known; clients that left are not among them.
    pub total: u64,
    /// Those that failed: no answer, or a 5xx.
    pub bad: u64,
}

impl Counts {
    /// What came since an earlier reading; all of it if the counters have begun anew since.
    pub fn since(self, earlier: Counts) -> Counts {
        match self.total.checked_sub(earlier.total) {
            Some(total) => Counts { total, bad: self.bad.saturating_sub(earlier.bad) },
            None => self,
        }
    }

    /// The share that was bad, 0 to 1; 0 of none.
    pub fn ratio(self) -> f64 {
        if self.total == 0 { 0.0 } else { self.bad as f64 / self.total as f64 }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.total += other.total;
        self.bad += other.bad;
    }
}

/// What is said of a canary, always with the evidence in a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may have more.
    Pass {
        /// Why.
        evidence: String,
    },
    /// It must go back.
    Fail {
        /// Why.
        evidence: String,
    },
    /// Too little is known.
    Inconclusive {
        /// What is missing.
        evidence: String,
    },
}

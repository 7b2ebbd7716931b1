//! Attempts and how many of them were bad.

use serde::{Deserialize, Serialize};

/// Attempts at a pool and how many of them were bad, over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All whose end is known; clients that left are not among them.
    pub total: u64,
    /// Those that failed: no answer, or a 5xx.
    pub bad: u64,
}

impl Counts {
    /// Whether they failed at least twice as often as these others; those that are none say nothing.
    pub fn fails_twice(self, beside: Counts) -> bool {
        beside.total == 0 || self.ratio() >= 2.0 * beside.ratio()
    }

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

    /// Those that were not bad.
    pub fn good(self) -> u64 {
        self.total.saturating_sub(self.bad)
    }

    /// The same with at most all of them bad: two counters read one after the other may disagree
    /// by what ended in between.
    pub(super) fn consistent(self) -> Counts {
        Counts { bad: self.bad.min(self.total), ..self }
    }
}

impl std::ops::AddAssign for Counts {
    /// What was stored may be any number; more than can be counted is the most that can.
    fn add_assign(&mut self, other: Counts) {
        self.total = self.total.saturating_add(other.total);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

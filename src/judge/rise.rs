//! What both pools did since evidence began to rise: what a person has to be shown.
//!
//! A release that was fine for an hour and fails since ten seconds has a good hour in all its
//! totals. Evidence below 1 to 1 is none, so the time since it was last there is the time that
//! speaks against the canary.

use serde::{Deserialize, Serialize};

use super::Counts;

/// Counts since there was last no evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rise {
    /// Seconds since then.
    pub seconds: u64,
    /// The stable pool's.
    pub stable: Counts,
    /// The canary's.
    pub canary: Counts,
}

impl Rise {
    /// Adds a second; `ln_e` is the evidence before it.
    pub(super) fn tick(&mut self, ln_e: f64, stable: Counts, canary: Counts) {
        if ln_e <= 0.0 {
            *self = Rise::default();
        }
        self.seconds += 1;
        self.stable += stable;
        self.canary += canary;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_with_the_second_that_raised_the_evidence() {
        let counts = |total, bad| Counts { total, bad };
        let mut rise = Rise::default();
        rise.tick(f64::NEG_INFINITY, counts(90, 0), counts(10, 0));
        rise.tick(-0.5, counts(80, 0), counts(20, 3));
        rise.tick(1.5, counts(70, 1), counts(30, 4));
        let (stable, canary) = (counts(150, 1), counts(50, 7));
        assert_eq!(rise, Rise { seconds: 2, stable, canary });
    }
}

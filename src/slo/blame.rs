//! What a canary does to its service's errors: totals of both pools in, whether it is the canary out.
//!
//! While a budget burns fast, a rollout is held. If more than half of all that failed in the short
//! window is more than the canary would have failed at the old pool's rate, holding is not enough:
//! the canary is what burns the budget.

use std::time::Duration;

use super::{Rings, Span, TIERS};
use crate::clock::WallTime;
use crate::judge::Counts;

/// Failures in the window before anybody is blamed: the same as make a burn rate.
const LEAST_BAD: u64 = 5;

/// The attempts at both pools of a rollout since it began or the process did.
#[derive(Clone, Debug, PartialEq)]
pub struct Blame {
    canary: Side,
    old: Side,
}

#[derive(Clone, Debug, PartialEq)]
struct Side {
    totals: Counts,
    counter: Counts,
    rings: Rings,
}

impl Side {
    fn begin(counter: Counts, now: WallTime) -> Side {
        let mut rings = Rings::new(Span::D3.length());
        rings.note(now, Counts::default());
        Side { totals: Counts::default(), counter, rings }
    }

    fn look(&mut self, counter: Counts, now: WallTime) {
        self.totals += counter.since(self.counter);
        self.counter = counter;
        self.rings.note(now, self.totals);
    }

    fn within(&self, window: Duration, now: WallTime) -> Counts {
        self.rings.within(window, now, self.totals)
    }
}

impl Blame {
    /// Begins with what the counters of the canary and of the old pool say now.
    pub fn begin(canary: Counts, old: Counts, now: WallTime) -> Blame {
        Blame { canary: Side::begin(canary, now), old: Side::begin(old, now) }
    }

    /// Takes in what the counters say now.
    pub fn look(&mut self, canary: Counts, old: Counts, now: WallTime) {
        self.canary.look(canary, now);
        self.old.look(old, now);
    }

    /// Why the canary has to go back, if it is what makes these tiers burn.
    pub fn blames(&self, burning: [bool; TIERS.len()], now: WallTime) -> Option<String> {
        // Only the two fast ones: with the others rollouts go on.
        let at = burning.iter().take(2).position(|burns| *burns)?;
        let tier = TIERS[at];
        let window = tier.short.length();
        let (canary, old) = (self.canary.within(window, now), self.old.within(window, now));
        let bad = canary.bad + old.bad;
        if bad < LEAST_BAD || old.total == 0 {
            // Without somebody to compare it with, nobody can tell whose errors they are.
            return None;
        }
        let excess = canary.bad as f64 - canary.total as f64 * old.ratio();
        let share = excess / bad as f64;
        (share > 0.5).then(|| {
            format!(
                "{:.0} % of the {bad} failures of the last {} are the target's, and the error \
                 budget burns {}×",
                share * 100.0,
                tier.short.words(),
                tier.rate
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: [bool; 4] = [true, false, false, false];

    #[test]
    fn a_canary_is_blamed_for_more_than_half_of_what_failed() {
        let at = |seconds: u64| WallTime::from_millis(1_700_000_000_000 + seconds * 1_000);
        let counts = |total, bad| Counts { total, bad };
        let blames = |canary, old, burning| {
            let mut blame = Blame::begin(counts(50, 7), counts(9_000, 0), at(0));
            let plus = |(total, bad)| counts(total, bad);
            let (canary, old): (Counts, Counts) = (plus(canary), plus(old));
            blame.look(
                counts(50 + canary.total, 7 + canary.bad),
                counts(9_000 + old.total, old.bad),
                at(60),
            );
            blame.blames(burning, at(60))
        };
        let why = blames((100, 30), (900, 9), FAST).unwrap();
        assert_eq!(
            why,
            "74 % of the 39 failures of the last 5 min are the target's, and the error budget \
             burns 14.4×"
        );
        let slower = blames((100, 30), (900, 9), [false, true, true, true]).unwrap();
        assert!(slower.ends_with("last 30 min are the target's, and the error budget burns 6×"));
        assert_eq!(blames((100, 30), (900, 9), [false, false, true, true]), None, "no fast one");
        assert_eq!(blames((100, 10), (900, 90), FAST), None, "it is no worse than the old one");
        assert_eq!(blames((100, 30), (900, 40), FAST), None, "less than half of all");
        assert_eq!(blames((100, 4), (900, 0), FAST), None, "too few");
        assert_eq!(blames((100, 30), (0, 0), FAST), None, "nobody to compare it with");
    }

    #[test]
    fn what_failed_before_the_window_is_forgiven() {
        let at = |seconds: u64| WallTime::from_millis(1_700_000_000_000 + seconds * 1_000);
        let mut blame = Blame::begin(Counts::default(), Counts::default(), at(0));
        let (canary, mut old) = (Counts { total: 100, bad: 50 }, Counts::default());
        for second in 0..=330 {
            old.total += 10;
            blame.look(canary, old, at(second));
            let is_blamed = blame.blames(FAST, at(second)).is_some();
            // Its failures came with the first look.
            assert!(is_blamed || second >= 300, "{second}");
            assert!(!is_blamed || second <= 310, "{second}");
        }
    }
}

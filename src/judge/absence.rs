//! Is the canary away for a moment? Its counts of a second in, what that second may add to the evidence out.
//!
//! A restart of the only upstream is one event, and seconds that begin at any moment make up to four of it.
//! A canary that was well, and of whose requests suddenly most fail, gains the evidence of two seconds within
//! the first four; from the fifth on each counts again, so that what stays away is found two seconds later.
//! Where the canary was never well, or was away within the last ten minutes already, there is nothing to wait
//! for. To add less than a second says keeps
//! every proof.

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::Counts;

/// Seconds with requests that went well before an absence is taken for one.
const WELL: u64 = 10;

/// Seconds of an absence that add to the evidence before it may have been a moment only.
const COUNTED: u64 = 2;

/// Seconds that a moment touches at most: three whole ones that begin at any time.
const MOMENT: u64 = 4;

/// For so many seconds after an absence the next one is no accident.
const AGAIN: u64 = 600;

/// Failures of an absence; fewer may be chance.
const FEWEST: u64 = 3;

/// Seconds of the canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Absence {
    /// Seconds with requests of which most went well.
    well: u64,
    /// Seconds of an absence, the one before it among them if something failed in it.
    seconds: u64,
    /// What failed in them.
    failed: u64,
    /// Something failed in the last second.
    has_failed: bool,
    /// Seconds since the last absence was over; none before the first.
    since: Option<u64>,
}

impl Absence {
    /// The most that this second adds to the logarithm of an alternative.
    pub(super) fn tick(&mut self, counts: Counts) -> f64 {
        if counts.total == 0 {
            // Nobody knows; it is away still if it was.
            return LN_10;
        }
        let fails = counts.bad > 0;
        let is_out = counts.bad * 2 >= counts.total;
        self.seconds = match (is_out, fails, self.seconds) {
            (true, _, 0) => 1 + u64::from(self.has_failed),
            (_, true, 1..) => self.seconds + 1,
            _ => 0,
        };
        self.has_failed = fails;
        self.since = self.since.map(|since| since + 1);
        match self.seconds {
            0 if self.failed >= FEWEST => (self.failed, self.since) = (0, Some(0)),
            0 => self.failed = 0,
            _ => self.failed += counts.bad,
        }
        let is_first = self.since.is_none_or(|since| since > AGAIN);
        if !is_out {
            self.well += 1;
        }
        let is_moment = (COUNTED + 1..=MOMENT).contains(&self.seconds);
        if is_moment && is_first && self.well >= WELL { 0.0 } else { LN_10 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In which of these seconds of 20 requests evidence may be gained, after so many good ones.
    fn counted(well: usize, failed: &[u64]) -> Vec<bool> {
        let mut absence = Absence::default();
        (0..well).for_each(|_| assert_eq!(absence.tick(Counts { total: 20, bad: 0 }), LN_10));
        failed.iter().map(|&bad| absence.tick(Counts { total: 20, bad }) > 0.0).collect()
    }

    #[test]
    fn of_a_moment_two_seconds_count_and_of_what_stays_away_all_from_the_fifth_on() {
        assert_eq!(counted(60, &[20; 6]), [true, true, false, false, true, true]);
        assert_eq!(
            counted(60, &[5, 20, 20, 7, 0, 0, 20]),
            [true, true, false, false, true, true, true]
        );
        assert_eq!(counted(60, &[0, 20, 0, 20, 0, 20]), [true; 6]);
    }

    #[test]
    fn the_second_absence_within_ten_minutes_counts_whole() {
        let loops = [&[20, 20, 20, 0][..], &[0; 60], &[20, 20, 20]].concat();
        assert_eq!(counted(60, &loops)[..4], [true, true, false, true]);
        assert_eq!(counted(60, &loops)[64..], [true; 3]);
        let later = [&[20, 20, 20, 0][..], &[0; 700], &[20, 20, 20]].concat();
        assert_eq!(counted(60, &later)[704..], [true, true, false]);
    }

    #[test]
    fn what_fails_less_than_half_the_time_or_was_never_well_always_counts() {
        assert_eq!(counted(60, &[9; 6]), [true; 6]);
        assert_eq!(counted(3, &[20; 6]), [true; 6]);
    }
}

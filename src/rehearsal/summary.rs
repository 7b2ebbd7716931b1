//! Many rehearsed rollouts in, the few numbers that answer an operator's questions out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Ending, Run};

/// Standard deviations to either side within which 95 % lie.
const TO_95: f64 = 1.96;

/// What came of many runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How many.
    pub runs: u64,
    /// Those that were taken back.
    pub rolled_back: Group,
    /// Those that were promoted.
    pub promoted: Group,
    /// Those that stood still.
    pub paused: Group,
    /// When the canary had everything, of those that got there.
    pub whole: Spread<Duration>,
    /// Attempts at the canary in a run.
    pub canary_requests: Spread<u64>,
    /// Attempts that failed beyond what would have failed at the stable pool: the mean of all runs.
    pub excess: f64,
    /// Users whom the canary failed in a run; none where users are not known.
    pub users_hit: Option<Spread<u64>>,
    /// What took rollouts back, the most frequent first, in one word each.
    pub by: Vec<(String, u64)>,
    /// Virtual time of all of them together.
    pub virtual_time: Duration,
}

/// Runs that ended alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// How long they took.
    pub took: Spread<Duration>,
}

/// Where values lie; nothing of no values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread<T> {
    /// Half of them are at most this.
    pub median: Option<T>,
    /// Nineteen of twenty are at most this.
    pub p95: Option<T>,
}

impl Summary {
    /// Of these runs.
    pub fn of(runs: &[Run]) -> Summary {
        let of = |ending| runs.iter().filter(move |run| run.ending == ending);
        let group = |ending| Group {
            count: of(ending).count() as u64,
            took: Spread::of(of(ending).map(|run| run.took).collect()),
        };
        let mut by: BTreeMap<String, u64> = BTreeMap::new();
        for run in of(Ending::RolledBack) {
            let word = run.by.as_ref().map_or("no verdict".into(), ToString::to_string);
            *by.entry(word).or_default() += 1;
        }
        let mut by: Vec<(String, u64)> = by.into_iter().collect();
        by.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let users: Option<Vec<u64>> = runs.iter().map(|run| run.users).collect();
        Summary {
            runs: runs.len() as u64,
            rolled_back: group(Ending::RolledBack),
            promoted: group(Ending::Promoted),
            paused: group(Ending::Paused),
            whole: Spread::of(runs.iter().filter_map(|run| run.whole).collect()),
            canary_requests: Spread::of(runs.iter().map(|run| run.canary.total).collect()),
            excess: runs.iter().map(|run| run.excess).sum::<f64>() / runs.len().max(1) as f64,
            users_hit: users.filter(|users| !users.is_empty()).map(Spread::of),
            by,
            virtual_time: runs.iter().map(|run| run.took).sum(),
        }
    }

    /// The share of the runs that were taken back, 0 to 1, and what the true chance lies between.
    pub fn chance_of_rollback(&self) -> (f64, [f64; 2]) {
        let hits = self.rolled_back.count;
        (hits as f64 / self.runs.max(1) as f64, wilson(hits, self.runs))
    }
}

impl<T: Copy + Ord> Spread<T> {
    /// Of these values.
    pub fn of(mut values: Vec<T>) -> Spread<T> {
        values.sort_unstable();
        let at = |share: f64| {
            let rank = (values.len() as f64 * share).ceil() as usize;
            values.get(rank.saturating_sub(1)).copied()
        };
        Spread { median: at(0.5), p95: at(0.95) }
    }
}

/// Between what a chance lies, 0 to 1, with a confidence of 95 %, when `hits` of `runs` hit it:
/// Wilson's interval, which is right also for none and for all.
pub fn wilson(hits: u64, runs: u64) -> [f64; 2] {
    if runs == 0 {
        return [0.0, 1.0];
    }
    let (n, z) = (runs as f64, TO_95);
    let share = hits as f64 / n;
    let middle = share + z * z / (2.0 * n);
    let width = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z * z / n;
    let low = if hits == 0 { 0.0 } else { (middle - width) / whole };
    let high = if hits == runs { 1.0 } else { (middle + width) / whole };
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        let near = |found: [f64; 2], wanted: [f64; 2]| {
            found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 5e-5)
        };
        // As in Newcombe (1998), table I.
        assert!(near(wilson(81, 263), [0.2553, 0.3662]), "{:?}", wilson(81, 263));
        assert!(near(wilson(15, 148), [0.0624, 0.1605]), "{:?}", wilson(15, 148));
        assert!(near(wilson(0, 20), [0.0, 0.1611]), "{:?}", wilson(0, 20));
        assert!(near(wilson(29, 29), [0.8830, 1.0]), "{:?}", wilson(29, 29));
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn a_spread_is_of_values_that_were_there() {
        assert_eq!(Spread::of((1..=100).collect()), Spread { median: Some(50), p95: Some(95) });
        assert_eq!(Spread::of(vec![7]), Spread { median: Some(7), p95: Some(7) });
        assert_eq!(Spread::<u64>::of(Vec::new()), Spread::default());
    }
}

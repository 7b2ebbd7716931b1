//! How many rollouts have ended by when: runs in, rising shares on a logarithmic axis of time out.
//!
//! A bad canary goes back within seconds, a good one takes half an hour: only a logarithmic axis
//! shows both.

use std::time::Duration;

use crate::rehearsal::{Ending, Run};

/// The share of all runs that had ended in one way, second by second.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// When, in seconds, and the share from then on; rising.
    steps: Vec<(f64, f64)>,
}

/// The axis of time, from one second on.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    last: f64,
}

impl Curve {
    /// Of the runs that ended so.
    pub fn of(runs: &[Run], ending: Ending) -> Curve {
        let ended = runs.iter().filter(|run| run.ending == ending);
        let mut times: Vec<Duration> = ended.map(|run| run.took).collect();
        times.sort_unstable();
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for (at, took) in times.iter().enumerate() {
            let (took, share) = (took.as_secs_f64().max(1.0), (at + 1) as f64 / runs.len() as f64);
            match steps.last_mut() {
                Some((last, reached)) if *last == took => *reached = share,
                _ => steps.push((took, share)),
            }
        }
        Curve { steps }
    }

    /// The share that had ended by then, 0 to 1.
    pub fn at(&self, seconds: f64) -> f64 {
        let after = self.steps.partition_point(|(took, _)| *took <= seconds);
        after.checked_sub(1).map_or(0.0, |last| self.steps[last].1)
    }

    /// Its steps: when, in seconds, and the share from then on.
    pub fn steps(&self) -> &[(f64, f64)] {
        &self.steps
    }

    /// The share that ended so at all, 0 to 1.
    pub fn whole(&self) -> f64 {
        self.steps.last().map_or(0.0, |(_, share)| *share)
    }
}

impl Axis {
    /// Long enough for all of these.
    pub fn over<'a>(curves: impl IntoIterator<Item = &'a Curve>) -> Axis {
        let lasts = curves.into_iter().filter_map(|curve| curve.steps.last());
        let last = lasts.map(|(took, _)| *took).fold(10.0, f64::max);
        Axis { last: last * 1.25 }
    }

    /// Where a time lies, 0 to 1.
    pub fn place(&self, seconds: f64) -> f64 {
        (seconds.max(1.0).ln() / self.last.ln()).min(1.0)
    }

    /// The time that lies there, in seconds.
    pub fn time(&self, place: f64) -> f64 {
        self.last.powf(place)
    }

    /// Times worth a mark, with their names.
    pub fn marks(&self) -> impl Iterator<Item = (f64, &'static str)> {
        const MARKS: [(f64, &str); 11] = [
            (1.0, "1 s"),
            (3.0, "3 s"),
            (10.0, "10 s"),
            (30.0, "30 s"),
            (60.0, "1 min"),
            (180.0, "3 min"),
            (600.0, "10 min"),
            (1_800.0, "30 min"),
            (3_600.0, "1 h"),
            (10_800.0, "3 h"),
            (36_000.0, "10 h"),
        ];
        let last = self.last;
        MARKS.into_iter().filter(move |(seconds, _)| *seconds <= last)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::split::BasisPoints;

    /// A run that ended so, then.
    pub fn run(ending: Ending, seconds: u64) -> Run {
        let took = Duration::from_secs(seconds);
        let (share, whole) = (BasisPoints::WHOLE, None);
        let why = String::new();
        let canary = Default::default();
        Run { ending, took, why, by: None, share, whole, canary, excess: 0.0, users: None }
    }

    #[test]
    fn shares_rise_to_what_ended_so() {
        let back = |seconds| run(Ending::RolledBack, seconds);
        let runs = [back(9), back(3), back(9), run(Ending::Promoted, 900)];
        let curve = Curve::of(&runs, Ending::RolledBack);
        assert_eq!(curve.steps(), [(3.0, 0.25), (9.0, 0.75)]);
        assert_eq!([2.9, 3.0, 8.0, 9.0, 1e6].map(|at| curve.at(at)), [0.0, 0.25, 0.25, 0.75, 0.75]);
        let axis = Axis::over([&curve, &Curve::of(&runs, Ending::Promoted)]);
        assert!((axis.time(axis.place(60.0)) - 60.0).abs() < 1e-9);
        assert_eq!(axis.marks().last(), Some((600.0, "10 min")));
        assert_eq!(Curve::of(&runs, Ending::Paused).whole(), 0.0);
    }
}

//! The last hour of each upstream, second by second: counts in; how many bad seconds one cause makes, and how
//! much upstreams differ for good, out.
//!
//! An hour, for a burst that nobody has seen counts a bad second for each of its seconds, and what comes
//! once in several minutes is seldom among the last ten. Of all but those only the seconds with failures are
//! kept: nothing asks for others.
//!
//! A second in which an upstream was not in the pool, or in which nobody looked because the process was away,
//! is a gap: it is no second without failures, and what comes after it is no neighbour of what was before.
//!
//! Kept in pieces of ten seconds that nobody changes any more, so that a copy costs nothing: a rollout is
//! copied each second. What was counted since the last whole piece is not looked at yet. How it is stored is
//! in [`stored`].

mod stored;

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::Counts;
use super::{ByUpstream, Clusters, FACTOR};

/// Seconds of a piece: those of the shorter blocks, so that blocks are whole pieces.
const PIECE: usize = Clusters::LENGTHS[0] as usize;

/// Pieces that are kept: an hour.
const PIECES: usize = 360;

/// The newest of them, which are kept whole: ten minutes.
const RECENT: usize = 60;

/// Blocks of a length before they say anything.
const FEWEST: usize = 3;

/// Standard errors that are taken off.
const CAREFUL: f64 = 1.0;

/// How sure a sample that takes everything is to hold one that failed; 1 would have no logarithm.
const ALMOST_ALL: f64 = 0.999_999;

/// Upstreams from which on a spread can be told.
const SPREADING: usize = 3;

/// The last hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "stored::Stored", into = "stored::Stored")]
pub struct Seconds {
    /// The oldest first; at most [`PIECES`].
    pieces: VecDeque<Arc<Piece>>,
    filling: Filling,
}

/// Ten seconds of each upstream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Piece(Vec<(Arc<str>, Row)>);

/// Ten seconds of one; none is a gap.
type Row = [Option<Second>; PIECE];

/// Of one that was not there.
static AWAY: Row = [None; PIECE];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Second {
    total: u32,
    bad: u32,
}

/// The seconds since the last whole piece.
#[derive(Clone, Debug, Default, PartialEq)]
struct Filling {
    seconds: usize,
    rows: Vec<(Arc<str>, Row)>,
}

/// The chance that of `total` requests, of which `bad` failed, so many as `sample` hold a failure.
/// With a sample that is not smaller: whether there is one.
pub fn bad_second(total: f64, bad: f64, sample: f64) -> f64 {
    if total <= 0.0 || bad <= 0.0 {
        return 0.0;
    }
    -(bad * (-(sample / total).min(1.0) * ALMOST_ALL).ln_1p()).exp_m1()
}

impl Seconds {
    /// Hears a second.
    pub fn tick(&mut self, upstreams: &[ByUpstream]) {
        let Filling { seconds, rows } = &mut self.filling;
        for (place, upstream) in upstreams.iter().enumerate() {
            let is_there = rows.get(place).is_some_and(|(name, _)| *name == upstream.name);
            let found = match is_there {
                true => Some(place),
                false => rows.iter().position(|(name, _)| *name == upstream.name),
            };
            let place = found.unwrap_or_else(|| {
                rows.push((upstream.name.clone(), Row::default()));
                rows.len() - 1
            });
            rows[place].1[*seconds] = Some(Second::of(upstream.attempts.consistent()));
        }
        *seconds += 1;
        if *seconds == PIECE {
            self.end_piece();
        }
    }

    /// What comes next does not follow what came last: there is a gap of a second at least between them.
    pub fn interrupt(&mut self) {
        let Filling { seconds, rows } = &mut self.filling;
        if *seconds == 0 {
            let Some(newest) = self.pieces.back().filter(|newest| !newest.ends_with_gaps()) else {
                return;
            };
            rows.extend(newest.0.iter().map(|(name, _)| (name.clone(), AWAY)));
        }
        self.end_piece();
    }

    /// What is not filled by now is a gap.
    fn end_piece(&mut self) {
        let Filling { rows, .. } = std::mem::take(&mut self.filling);
        self.pieces.push_back(Arc::new(Piece(rows)));
        if let Some(old) = self.pieces.len().checked_sub(RECENT + 1) {
            self.pieces[old] = Arc::new(self.pieces[old].thinned());
        }
        if self.pieces.len() > PIECES {
            self.pieces.pop_front();
        }
    }

    /// How many bad seconds one cause makes, at least 1, for an upstream with so many requests a second.
    pub fn per_cause(&self, requests: f64) -> f64 {
        let series: Vec<Vec<Option<f64>>> = self
            .series()
            .map(|rows| {
                let seconds = rows.into_iter().flatten();
                seconds.map(|second| second.map(|second| second.chance(requests))).collect()
            })
            .collect();
        let most = Clusters::LENGTHS.map(|length| excess(&series, length as usize));
        1.0 + FACTOR * most.into_iter().fold(0.0, f64::max)
    }

    /// The variance of the upstreams' own failure rates in the last ten minutes, relative to the rate of
    /// all, beyond what chance and clusters of κ make: how much they differ for good. 0 of fewer than three.
    pub fn spread(&self, kappa: f64) -> f64 {
        let sums: Vec<(f64, f64, f64)> = self
            .recent()
            .map(|rows| {
                let sum = |of: fn(&Second) -> u32| {
                    watched(&rows).map(|second| f64::from(of(second))).sum::<f64>()
                };
                let seconds = watched(&rows).count() as f64;
                (sum(|second| second.total), sum(|second| second.bad), seconds)
            })
            .filter(|(n, ..)| *n > 0.0)
            .collect();
        spread_of(&sums, kappa)
    }

    /// Upstreams that had a request in the last ten minutes.
    pub fn asked(&self) -> usize {
        let has_any = |rows: &Vec<&Row>| watched(rows).any(|second| second.total > 0);
        self.recent().filter(has_any).count()
    }

    /// Mean requests of an upstream in a second of the last ten minutes, of those that had any.
    pub fn mean(&self) -> f64 {
        let (mut requests, mut seconds) = (0u64, 0usize);
        for rows in self.recent() {
            let all: u64 = watched(&rows).map(|one| u64::from(one.total)).sum();
            if all > 0 {
                requests += all;
                seconds += watched(&rows).count();
            }
        }
        if seconds == 0 { 0.0 } else { requests as f64 / seconds as f64 }
    }

    /// Mean requests of all upstreams together in a second of the last minute.
    pub fn lately(&self) -> f64 {
        let pieces = self.pieces.iter().rev().take(6);
        let seconds: usize = pieces.clone().map(|piece| piece.watched()).sum();
        let rows = pieces.flat_map(|piece| &piece.0).flat_map(|(_, row)| row.iter().flatten());
        let requests: u64 = rows.map(|second| u64::from(second.total)).sum();
        if seconds == 0 { 0.0 } else { requests as f64 / seconds as f64 }
    }

    /// As [`Self::series`], of the last ten minutes.
    fn recent(&self) -> impl Iterator<Item = Vec<&Row>> {
        self.series().map(|mut rows| rows.split_off(rows.len().saturating_sub(RECENT)))
    }

    /// Of each upstream that is there now, its pieces back to where it was there first, the oldest first.
    fn series(&self) -> impl Iterator<Item = Vec<&Row>> {
        let newest = self.pieces.back();
        newest.into_iter().flat_map(|newest| newest.0.iter().enumerate()).map(
            |(place, (name, _))| {
                let rows = self.pieces.iter().map(|piece| piece.row(place, name));
                let since_first = rows.skip_while(Option::is_none);
                since_first.map(|row| row.unwrap_or(&AWAY)).collect()
            },
        )
    }
}

/// [`Seconds::spread`] of requests, failures and seconds of upstreams that had requests.
fn spread_of(sums: &[(f64, f64, f64)], kappa: f64) -> f64 {
    let upstreams = sums.len() as f64;
    let (n, x) = sums.iter().fold((0.0, 0.0), |(n, x), one| (n + one.0, x + one.1));
    if sums.len() < SPREADING || x == 0.0 {
        return 0.0;
    }
    let rate = x / n;
    let found: f64 = sums.iter().map(|(n, x, _)| (x / n / rate - 1.0).powi(2)).sum();
    let chance: f64 = sums
        .iter()
        .map(|(n, _, seconds)| (1.0 + (n / seconds - 1.0).max(0.0) * kappa) / (n * rate))
        .sum();
    (found / (upstreams - 1.0) - chance / upstreams).max(0.0)
}

/// The seconds that are no gaps.
fn watched<'s>(rows: &'s [&Row]) -> impl Iterator<Item = &'s Second> {
    rows.iter().flat_map(|row| row.iter().flatten())
}

/// By how much more than one second the bad seconds of these upstreams vary, in blocks of a length. A block has
/// no gap, and no neighbour beyond one.
fn excess(series: &[Vec<Option<f64>>], length: usize) -> f64 {
    let (mut excess, mut all, mut variance) = (0.0, 0.0, 0.0);
    for chances in series {
        let (mut blocks, mut pairs, mut total, mut differences) = (0usize, 0usize, 0.0, 0.0);
        let mut within = 0.0;
        for run in chances.split(Option::is_none).filter(|run| run.len() >= length) {
            let whole = run.len() / length;
            let mut before: Option<f64> = None;
            for block in run[run.len() - whole * length..].chunks(length) {
                let mut sum = 0.0;
                for y in block.iter().flatten() {
                    sum += y;
                    within += y * (1.0 - y);
                }
                if let Some(before) = before.replace(sum) {
                    differences += (sum - before).powi(2);
                    pairs += 1;
                }
                total += sum;
            }
            blocks += whole;
        }
        if blocks < FEWEST || pairs + 1 < FEWEST {
            continue;
        }
        let b = blocks as f64;
        let varies = differences / 2.0 * b / pairs as f64;
        excess += varies + within - total;
        all += total;
        variance += 3.0 * (total / b).powi(2) * b + total;
    }
    if all > 0.0 { (excess - CAREFUL * variance.sqrt()) / all } else { 0.0 }
}

impl Second {
    fn of(counts: Counts) -> Second {
        let short = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Second { total: short(counts.total), bad: short(counts.bad) }
    }

    fn chance(&self, sample: f64) -> f64 {
        bad_second(f64::from(self.total), f64::from(self.bad), sample)
    }
}

impl Piece {
    /// With nothing but the seconds that had failures.
    fn thinned(&self) -> Piece {
        let thin = |second: Second| if second.bad == 0 { Second::default() } else { second };
        let thin = |row: &Row| row.map(|second| second.map(thin));
        Piece(self.0.iter().map(|(name, row)| (name.clone(), thin(row))).collect())
    }

    /// How many of its seconds are no gap of all.
    fn watched(&self) -> usize {
        (0..PIECE).filter(|at| self.0.iter().any(|(_, row)| row[*at].is_some())).count()
    }

    fn ends_with_gaps(&self) -> bool {
        self.0.iter().all(|(_, row)| row[PIECE - 1].is_none())
    }

    fn row(&self, place: usize, name: &Arc<str>) -> Option<&Row> {
        let there = self.0.get(place).filter(|(known, _)| known == name);
        there.or_else(|| self.0.iter().find(|(known, _)| known == name)).map(|(_, row)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(name: &str, total: u64, bad: u64) -> ByUpstream {
        let attempts = Counts { total, bad };
        ByUpstream { name: name.into(), attempts, ..ByUpstream::default() }
    }

    #[test]
    fn a_sample_holds_a_failure_by_this_chance() {
        assert_eq!((bad_second(0.0, 0.0, 5.0), bad_second(50.0, 0.0, 5.0)), (0.0, 0.0));
        assert!((bad_second(50.0, 12.0, 5.0) - 0.717_570_086_946).abs() < 1e-12);
        assert!((bad_second(99.0, 1.0, 10.0) - 0.101_01).abs() < 1e-9);
        assert!(bad_second(10.0, 1.0, 100.0) > 0.999_99);
    }

    #[test]
    fn upstreams_differ_for_good_only_beyond_chance() {
        let of = |failures: [f64; 3]| {
            spread_of(&failures.map(|failures| (60_000.0, failures, 600.0)), 0.0)
        };
        let tolerated = 1.0 + 3.0 * (of([60.0, 90.0, 70.0]) * (1.0 + 1.0 / 3.0)).sqrt();
        assert!((tolerated - 1.597_515_517_278).abs() < 1e-9, "{tolerated}");
        assert_eq!((of([70.0, 70.0, 70.0]), of([0.0; 3])), (0.0, 0.0));
    }

    #[test]
    fn a_second_alone_is_one_cause_and_ten_in_a_row_are_one_too() {
        let per_cause = |is_bad: &dyn Fn(u64) -> bool| {
            let mut seconds = Seconds::default();
            (0..600).for_each(|at| {
                let bad = if is_bad(at) { 30 } else { 0 };
                seconds.tick(&[upstream("a", 50, bad), upstream("b", 50, 0)]);
            });
            seconds.per_cause(50.0)
        };
        // Now and then, by no rule.
        assert_eq!(per_cause(&|at| at % 37 == 0 || at % 101 == 3), 1.0);
        let long = per_cause(&|at| at % 150 < 10);
        assert!((6.0..18.0).contains(&long), "{long}");
    }

    #[test]
    fn an_hour_is_kept_of_those_that_are_there_and_outlasts_the_process() {
        let mut seconds = Seconds::default();
        for at in 0..4_000u64 {
            let mut second = vec![upstream("a", 50, u64::from(at % 20 == 0)), upstream("b", 9, 9)];
            match at {
                0..300 => second.push(upstream("gone", 1, 1)),
                3_700.. => second.insert(0, upstream("new", 30, 0)),
                _ => {}
            }
            // One is off the list for a moment.
            second.retain(|one| *one.name != *"b" || !(500..540).contains(&at));
            seconds.tick(&second);
        }
        let lengths: Vec<usize> = seconds.series().map(|rows| rows.len()).collect();
        assert_eq!(lengths, [30, 360, 360]);
        assert_eq!(
            (seconds.asked(), seconds.lately(), seconds.mean()),
            (3, 89.0, 44_400.0 / 1_500.0)
        );
        let text = serde_json::to_string(&seconds).unwrap();
        let read: Seconds = serde_json::from_str(&text).unwrap();
        assert!(read.series().eq(seconds.series()));
        assert!(text.contains(" -*40 "), "{text}");
        // Of the fifty minutes before the last ten only one second of twenty is kept.
        assert!(text.len() < 6_000, "{}", text.len());
        assert_eq!(serde_json::from_str::<Seconds>("{}").unwrap(), Seconds::default());
    }

    #[test]
    fn seconds_in_which_nobody_looked_are_gaps_and_no_seconds_without_failures() {
        // A burst begins as the upstream leaves and one ends as it comes back: no difference of neighbours.
        let per_cause = |is_away: bool| {
            let mut seconds = Seconds::default();
            for at in 0..1_200u64 {
                let mut second = vec![upstream("a", 50, 0)];
                let is_there = !is_away || at % 100 >= 50;
                if is_there {
                    let bad = u64::from(at % 3 == 0);
                    second.push(upstream("b", 50, bad));
                }
                seconds.tick(&second);
            }
            (seconds.per_cause(50.0), seconds.mean())
        };
        assert_eq!(per_cause(true), per_cause(false));
    }

    #[test]
    fn what_comes_after_an_absence_of_the_process_is_no_neighbour_of_what_was_before() {
        let watch = |seconds: &mut Seconds, ticks: u64, bad: u64| {
            (0..ticks).for_each(|at| seconds.tick(&[upstream("a", 50, bad * (at % 2))]));
        };
        let of = |is_told: bool| {
            let mut seconds = Seconds::default();
            // Five minutes of a bad day, and five of a good one.
            for bad in [20, 0, 20, 0, 20, 0] {
                watch(&mut seconds, 105, bad);
                if is_told {
                    (0..3).for_each(|_| seconds.interrupt());
                }
            }
            seconds
        };
        let (told, not) = (of(true), of(false));
        assert!(
            not.per_cause(50.0) > 3.0 && told.per_cause(50.0) == 1.0,
            "{}",
            told.per_cause(50.0)
        );
        // Nothing of what was watched is lost, and nothing counts that was not.
        assert_eq!((told.mean(), told.lately(), told.asked()), (50.0, 50.0, 1));
        assert_eq!(told.series().map(|rows| watched(&rows).count()).sum::<usize>(), 630);
        let mut whole = Seconds::default();
        watch(&mut whole, 20, 0);
        (0..3).for_each(|_| whole.interrupt());
        watch(&mut whole, 20, 0);
        assert_eq!(whole.pieces.len(), 5);
        Seconds::default().interrupt();
    }

    #[test]
    fn a_burst_that_was_half_an_hour_ago_is_known() {
        let mut seconds = Seconds::default();
        for at in 0..2_400u64 {
            let bad = u64::from((100..130).contains(&at) || (420..450).contains(&at));
            seconds.tick(&[upstream("a", 50, 10 * bad), upstream("b", 50, 0)]);
        }
        let per_cause = seconds.per_cause(20.0);
        assert!((20.0..60.0).contains(&per_cause), "{per_cause}");
    }
}

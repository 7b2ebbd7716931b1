//! One pool over time: what it did in each second in; points to draw out.
//!
//! A second in which nothing ended has no point, so that a pool that rests keeps none that it does not
//! need, and what is kept of one that is asked all the time has a bound. Points are in the order of their times,
//! one for each: what came between two looks is divided among the seconds between them, and when the clock is set
//! back the points that lie ahead of it by then go.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::WallTime;
use crate::judge::{Distribution, buckets};

/// Points of one second that are kept: five minutes.
const SECONDS: usize = 300;

/// Points of [`SPAN`] that are kept: half an hour.
const SPANS: usize = 180;

/// How many seconds the longer points are of.
const SPAN: u64 = 10;

/// What a pool did in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// When that was over, as Unix time in seconds.
    pub at: u32,
    /// Requests that ended in it.
    pub requests: u32,
    /// Those that failed.
    pub errors: u32,
    /// The buckets of p50, p95 and p99; [`NONE`] if nobody answered.
    took: [u16; 3],
}

/// Where nobody answered: no bucket.
const NONE: u16 = u16::MAX;

/// The last half hour of one pool.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The newest last; at most [`SECONDS`].
    seconds: VecDeque<Point>,
    /// The newest last; at most [`SPANS`].
    spans: VecDeque<Point>,
    /// What is in the span that is being filled, and which of all spans since 1970 that is.
    filling: (u64, u32, u32, Distribution),
    /// The second of the last look.
    looked: Option<u64>,
}

/// What ended between two looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came<'d> {
    /// How far they are apart; one second as a rule, more if nobody could look.
    pub within: Duration,
    /// Requests.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// How long answers took.
    pub took: &'d Distribution,
}

impl Point {
    fn new(at: u64, requests: u32, errors: u32, took: &Distribution) -> Point {
        let bucket = |share| took.bucket_at(share).and_then(|it| u16::try_from(it).ok());
        let took = [0.5, 0.95, 0.99].map(|share| bucket(share).unwrap_or(NONE));
        Point { at: u32::try_from(at).unwrap_or(u32::MAX), requests, errors, took }
    }

    /// Takes in another of the same time. Of the times that answers took those of the one with more requests are
    /// told.
    fn join(&mut self, other: &Point) {
        if other.requests > self.requests {
            self.took = other.took;
        }
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
    }

    /// What half of its answers, 95 % and 99 % of them took at most, at most 1.6 % off.
    pub fn took(&self) -> [Option<Duration>; 3] {
        self.took.map(|it| (it != NONE).then(|| buckets::middle(it.into())))
    }
}

impl Series {
    /// Takes in what ended since the last look.
    pub fn note(&mut self, at: WallTime, came: Came<'_>) {
        let at = at.millis() / 1_000;
        let looked = self.looked.replace(at);
        if looked.is_some_and(|looked| at < looked) {
            self.set_back(at);
        }
        // A clock that was set forward leaves a gap: the seconds that it has left out were none.
        let most = (came.within.as_secs() + 1).min(SPANS as u64 * SPAN);
        let seconds = looked.map_or(1, |looked| at.saturating_sub(looked)).clamp(1, most);
        let first = (at + 1).saturating_sub(seconds);
        let [requests, errors] = [came.requests, came.errors].map(u128::from);
        let until = |nth: u64| requests * u128::from(nth) / u128::from(seconds);
        // Of so many of its requests, in order, so many had failed: no second has more failures than requests.
        let failed = |requests_until: u128| match requests {
            0 => 0,
            requests => errors * requests_until / requests,
        };
        for nth in 0..seconds {
            let (from, to) = (until(nth), until(nth + 1));
            self.add(first + nth, to - from, failed(to) - failed(from), came.took);
        }
    }

    /// Takes in what ended in this second, which none is later than.
    fn add(&mut self, second: u64, requests: u128, errors: u128, took: &Distribution) {
        let span = second / SPAN;
        if span != self.filling.0 {
            let (over, requests, errors, took) = std::mem::take(&mut self.filling);
            if requests > 0 {
                let point = Point::new((over + 1) * SPAN, requests, errors, &took);
                push(&mut self.spans, SPANS, point);
            }
            self.filling.0 = span;
        }
        if requests == 0 {
            return;
        }
        let [requests, errors] = [requests, errors].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        let point = Point::new(second, requests, errors, took);
        match self.seconds.back_mut() {
            // Two looks may come within one second of the clock.
            Some(last) if last.at == point.at => last.join(&point),
            _ => push(&mut self.seconds, SECONDS, point),
        }
        let (_, all, bad, sum) = &mut self.filling;
        (*all, *bad) = (all.saturating_add(requests), bad.saturating_add(errors));
        // What a late look brought counts in each of its seconds: how long it took is all that is asked of it.
        *sum += took;
    }

    /// The clock was set back to this second: points that it has not come to yet would be drawn over.
    fn set_back(&mut self, at: u64) {
        let span = at / SPAN;
        drop_after(&mut self.seconds, at);
        drop_after(&mut self.spans, span * SPAN);
        if self.filling.0 > span {
            self.filling = (span, 0, 0, Distribution::default());
        }
    }

    /// Points of ten seconds and points of one, each the oldest first; those of one begin later.
    pub fn points(&self) -> (Vec<Point>, Vec<Point>) {
        let whole = |points: &VecDeque<Point>| points.iter().copied().collect();
        (whole(&self.spans), whole(&self.seconds))
    }

    /// The newest seconds in which something ended, so many at most, the oldest first.
    pub fn newest(&self, most: usize) -> Vec<Point> {
        let from = self.seconds.len().saturating_sub(most);
        self.seconds.range(from..).copied().collect()
    }
}

fn push(points: &mut VecDeque<Point>, most: usize, point: Point) {
    if points.len() == most {
        points.pop_front();
    }
    points.push_back(point);
}

fn drop_after(points: &mut VecDeque<Point>, at: u64) {
    while points.back().is_some_and(|point| u64::from(point.at) > at) {
        points.pop_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(millis: u64, times: u64) -> Distribution {
        let mut took = Distribution::default();
        took.add_many(Duration::from_millis(millis), times);
        took
    }

    /// What so many requests, of which so many failed, came to within a second.
    fn came(requests: u64, errors: u64, took: &Distribution) -> Came<'_> {
        Came { within: Duration::from_secs(1), requests, errors, took }
    }

    fn at(millis: u64) -> WallTime {
        WallTime::from_millis(millis)
    }

    fn told(points: &[Point]) -> Vec<(u32, u32, u32)> {
        points.iter().map(|it| (it.at, it.requests, it.errors)).collect()
    }

    #[test]
    fn a_second_without_requests_has_no_point_and_ten_make_one() {
        let mut series = Series::default();
        for second in 1_000..1_010 {
            let requests = if second == 1_004 { 0 } else { 7 };
            let errors = requests.min(1);
            series.note(at(second * 1_000), came(requests, errors, &took(20, requests)));
        }
        series.note(at(1_010_000), came(0, 0, &Distribution::default()));
        let (spans, seconds) = series.points();
        assert_eq!(seconds.len(), 9);
        assert!(seconds.iter().all(|point| (point.requests, point.errors) == (7, 1)));
        assert_eq!(series.newest(2).iter().map(|it| it.at).collect::<Vec<_>>(), [1_008, 1_009]);
        assert_eq!(told(&spans), [(1_010, 63, 9)]);
        let p99 = spans[0].took()[2].unwrap().as_secs_f64();
        assert!((0.0195..0.0205).contains(&p99), "{p99}");
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut series = Series::default();
        for second in 0..10_000 {
            series.note(at(second * 1_000), came(1, 0, &took(1, 1)));
        }
        let (spans, seconds) = series.points();
        assert_eq!((spans.len(), seconds.len()), (SPANS, SECONDS));
        assert_eq!((spans[SPANS - 1].at, seconds[SECONDS - 1].at), (9_990, 9_999));
        assert_eq!(spans[0].at, 9_990 - (SPANS as u32 - 1) * 10);
    }

    #[test]
    fn who_answers_nothing_has_no_quantiles() {
        let mut series = Series::default();
        series.note(at(5_000), came(3, 3, &Distribution::default()));
        assert_eq!(series.newest(9)[0].took(), [None; 3]);
    }

    #[test]
    fn a_late_look_is_no_spike() {
        let mut series = Series::default();
        let took = took(20, 10);
        let late = |secs, requests, errors| Came {
            within: Duration::from_secs(secs),
            ..came(requests, errors, &took)
        };
        series.note(at(1_000_900), late(1, 10, 0));
        series.note(at(1_004_100), late(3, 41, 2));
        let first =
            [(1_000, 10, 0), (1_001, 10, 0), (1_002, 10, 0), (1_003, 10, 1), (1_004, 11, 1)];
        assert_eq!(told(&series.newest(9)), first);
        // A minute in which nobody could look has what ended in it, in its spans too.
        series.note(at(1_064_100), late(60, 600, 60));
        let (spans, seconds) = series.points();
        assert_eq!(seconds.len(), 65);
        assert!(seconds[5..].iter().all(|it| (it.requests, it.errors) == (10, 1)));
        let expected: Vec<u32> = (1_010..=1_060).step_by(10).collect();
        assert_eq!(spans.iter().map(|it| it.at).collect::<Vec<_>>(), expected);
        assert!(spans[1..].iter().all(|it| (it.requests, it.errors) == (100, 10)));
    }

    #[test]
    fn no_second_has_more_failures_than_requests_and_none_is_lost() {
        let took = took(20, 3);
        for (requests, errors, seconds) in [(3, 2, 5), (7, 7, 4), (1, 1, 9), (0, 0, 3), (100, 1, 7)]
        {
            let mut series = Series::default();
            series.note(at(0), came(0, 0, &took));
            let within = Duration::from_secs(seconds);
            series.note(at(seconds * 1_000), Came { within, ..came(requests, errors, &took) });
            let points = series.newest(9);
            assert!(points.iter().all(|it| it.errors <= it.requests && it.at > 0), "{points:?}");
            let sum = |of: fn(&Point) -> u32| points.iter().map(of).map(u64::from).sum::<u64>();
            assert_eq!((sum(|it| it.requests), sum(|it| it.errors)), (requests, errors));
        }
    }

    #[test]
    fn two_looks_within_a_second_of_the_clock_make_one_point() {
        let mut series = Series::default();
        series.note(at(5_010), came(4, 1, &took(20, 4)));
        series.note(at(5_950), came(6, 0, &took(40, 6)));
        assert_eq!(told(&series.newest(9)), [(5, 10, 1)]);
        assert!(series.newest(9)[0].took()[0].unwrap() > Duration::from_millis(35));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_no_points_ahead_of_it_and_none_out_of_order() {
        let mut series = Series::default();
        let took = took(1, 1);
        (1_000..1_100).for_each(|second| series.note(at(second * 1_000), came(1, 0, &took)));
        (1_053..1_075).for_each(|second| series.note(at(second * 1_000), came(2, 0, &took)));
        let (spans, seconds) = series.points();
        assert!(seconds.is_sorted_by(|one, next| one.at < next.at), "{seconds:?}");
        assert_eq!((seconds.len(), seconds[74].at, seconds[74].requests), (75, 1_074, 2));
        assert_eq!(
            told(&spans[3..]),
            [(1_040, 10, 0), (1_050, 10, 0), (1_060, 14, 0), (1_070, 20, 0)]
        );
        // Set forward it leaves a gap, and no requests in it.
        series.note(at(9_000_000), came(1, 0, &took));
        assert_eq!(told(&series.newest(2)), [(1_074, 2, 0), (9_000, 1, 0)]);
    }
}

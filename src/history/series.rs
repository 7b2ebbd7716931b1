//! One pool over time: what it did in each second in; points to draw out.
//!
//! A second in which nothing ended has no point, so that a pool that rests keeps none that it does not
//! need, and what is kept of one that is asked all the time has a bound.

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
}

impl Point {
    fn new(at: u64, requests: u32, errors: u32, took: &Distribution) -> Point {
        let bucket = |share| took.bucket_at(share).and_then(|it| u16::try_from(it).ok());
        let took = [0.5, 0.95, 0.99].map(|share| bucket(share).unwrap_or(NONE));
        Point { at: u32::try_from(at).unwrap_or(u32::MAX), requests, errors, took }
    }

    /// What half of its answers, 95 % and 99 % of them took at most, at most 1.6 % off.
    pub fn took(&self) -> [Option<Duration>; 3] {
        self.took.map(|it| (it != NONE).then(|| buckets::middle(it.into())))
    }
}

impl Series {
    /// Takes in what ended since the last look, which was about a second ago.
    pub fn note(&mut self, at: WallTime, requests: u64, errors: u64, took: &Distribution) {
        let at = at.seconds().max(0.0) as u64;
        let span = at / SPAN;
        if span != self.filling.0 {
            let (over, requests, errors, took) = std::mem::take(&mut self.filling);
            if requests > 0 {
                push(
                    &mut self.spans,
                    SPANS,
                    Point::new((over + 1) * SPAN, requests, errors, &took),
                );
            }
            self.filling.0 = span;
        }
        if requests == 0 {
            return;
        }
        let [requests, errors] = [requests, errors].map(|it| u32::try_from(it).unwrap_or(u32::MAX));
        push(&mut self.seconds, SECONDS, Point::new(at, requests, errors, took));
        let (_, all, bad, sum) = &mut self.filling;
        (*all, *bad) = (all.saturating_add(requests), bad.saturating_add(errors));
        *sum += took;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn took(millis: u64, times: u64) -> Distribution {
        let mut took = Distribution::default();
        took.add_many(Duration::from_millis(millis), times);
        took
    }

    #[test]
    fn a_second_without_requests_has_no_point_and_ten_make_one() {
        let mut series = Series::default();
        for second in 1_000..1_010 {
            let requests = if second == 1_004 { 0 } else { 7 };
            series.note(WallTime::from_millis(second * 1_000), requests, 1, &took(20, requests));
        }
        series.note(WallTime::from_millis(1_010_000), 0, 0, &Distribution::default());
        let (spans, seconds) = series.points();
        assert_eq!(seconds.len(), 9);
        assert!(seconds.iter().all(|point| (point.requests, point.errors) == (7, 1)));
        assert_eq!(series.newest(2).iter().map(|it| it.at).collect::<Vec<_>>(), [1_008, 1_009]);
        let [(at, requests, errors)] =
            spans.iter().map(|it| (it.at, it.requests, it.errors)).collect::<Vec<_>>()[..]
        else {
            panic!("{spans:?}")
        };
        assert_eq!((at, requests, errors), (1_010, 63, 9));
        let p99 = spans[0].took()[2].unwrap().as_secs_f64();
        assert!((0.0195..0.0205).contains(&p99), "{p99}");
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let mut series = Series::default();
        for second in 0..10_000 {
            series.note(WallTime::from_millis(second * 1_000), 1, 0, &took(1, 1));
        }
        let (spans, seconds) = series.points();
        assert_eq!((spans.len(), seconds.len()), (SPANS, SECONDS));
        assert_eq!((spans[SPANS - 1].at, seconds[SECONDS - 1].at), (9_990, 9_999));
        assert_eq!(spans[0].at, 9_990 - (SPANS as u32 - 1) * 10);
    }

    #[test]
    fn who_answers_nothing_has_no_quantiles() {
        let mut series = Series::default();
        series.note(WallTime::from_millis(5_000), 3, 3, &Distribution::default());
        assert_eq!(series.newest(9)[0].took(), [None; 3]);
    }
}

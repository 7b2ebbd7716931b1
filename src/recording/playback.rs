//! A minute of a pool, to be played again: its record in, seconds and how long answers took out.
//!
//! Of each upstream it is known how many answers were slower than the pool's p50, p95 and p99, and of the
//! pool how long all of them took. So an answer of an upstream is drawn from those of the pool that lie
//! between the same two of the three.

use std::sync::Arc;
use std::time::Duration;

use super::{MINUTE, NoSecond, PoolMinute, Second};
use crate::clock::Draws;
use crate::judge::{Distribution, buckets};
use crate::sampling::Weighted;

/// A minute of a pool.
#[derive(Clone, Debug)]
pub struct Playback {
    /// Each upstream's sixty seconds, in the order in which they were recorded; none where nobody looked.
    pub upstreams: Vec<(Arc<str>, Vec<Option<Second>>)>,
    /// How long its answers took; none if it is not known which were slow.
    pub answers: Option<Answers>,
}

/// How long answers took: up to the p50, up to the p95, up to the p99, and longer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers([Part; 4]);

/// Answers between two of them.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    /// The bucket of the first weight.
    first: usize,
    weights: Weighted,
}

impl Playback {
    /// Of what was recorded of a pool. Of a second that is missing nobody knows.
    pub fn of(minute: &PoolMinute) -> Result<Playback, NoSecond> {
        let read = |(name, text): &(Arc<str>, Box<str>)| {
            let mut seconds = Vec::with_capacity(MINUTE);
            for second in Second::read_all(text).take(MINUTE) {
                seconds.push(second?);
            }
            seconds.resize(MINUTE, None);
            Ok((name.clone(), seconds))
        };
        let upstreams = minute.upstreams.iter().map(read).collect::<Result<_, NoSecond>>()?;
        Ok(Playback { upstreams, answers: Answers::of(minute) })
    }
}

impl Answers {
    fn of(minute: &PoolMinute) -> Option<Answers> {
        let [.., tail] = minute.slow_from;
        if tail == 0 {
            return None;
        }
        let ends = minute.slow_from.map(|micros| buckets::bucket_of(Duration::from_micros(micros)));
        let part = |place: usize| {
            let after = place.checked_sub(1).map(|before| ends[before]);
            let until = ends.get(place).copied();
            let mut within = minute.took.buckets().filter(|(bucket, _)| {
                after.is_none_or(|after| *bucket > after)
                    && until.is_none_or(|until| *bucket <= until)
            });
            // Where there was none, it is as quick as it may be.
            let least = after.map_or(ends[0], |after| (after + 1).min(buckets::BUCKETS - 1));
            let (first, count) = within.next().unwrap_or((least, 1));
            let mut weights = vec![count as f64];
            for (bucket, count) in within {
                weights.resize(bucket - first, 0.0);
                weights.push(count as f64);
            }
            Part { first, weights: Weighted::new(&weights) }
        };
        Some(Answers([0, 1, 2, 3].map(part)))
    }

    /// How long so many answers of each part took, each so many times as long.
    pub fn draw(&self, counts: [u64; 4], factor: f64, draws: &mut Draws) -> Distribution {
        let mut all = Distribution::default();
        for (part, count) in self.0.iter().zip(counts).filter(|(_, count)| *count > 0) {
            for (place, count) in part.weights.spread(count, draws).into_iter().enumerate() {
                let took = buckets::middle(part.first + place).mul_f64(factor);
                all.add_many(took, count);
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_drawn_from_those_between_the_same_quantiles() {
        let millis = Duration::from_millis;
        let mut took = Distribution::default();
        for (time, count) in [(30, 40), (49, 10), (70, 40), (150, 9), (900, 1)] {
            took.add_many(millis(time), count);
        }
        let (slow_from, upstreams) =
            ([50_000, 100_000, 200_000], vec![("a".into(), "9/1*59".into())]);
        let minute = PoolMinute { pool: "p".into(), slow_from, took, upstreams };
        let playback = Playback::of(&minute).unwrap();
        let (_, seconds) = &playback.upstreams[0];
        assert_eq!(
            (seconds.len(), seconds[0].map(|one| one.total), seconds[59]),
            (MINUTE, Some(9), None)
        );
        let (answers, mut draws) = (playback.answers.unwrap(), Draws::seeded(1));
        let drawn = answers.draw([1_000, 200, 30, 4], 1.0, &mut draws);
        let above = |time| drawn.above(buckets::bucket_of(millis(time)));
        assert_eq!((drawn.total(), above(50), above(100), above(200)), (1_234, 234, 34, 4));
        let of_thirty = drawn.total() - above(40);
        assert!((720..880).contains(&of_thirty), "{of_thirty}");
        let slower = answers.draw([1_000, 0, 0, 0], 3.0, &mut draws);
        assert_eq!(slower.above(buckets::bucket_of(millis(80))), 1_000);
        let unknown = PoolMinute { slow_from: [0; 3], ..minute };
        assert!(Playback::of(&unknown).unwrap().answers.is_none());
    }
}

//! How long requests took, as counts by bucket: values that add, subtract and answer quantiles.
//!
//! What a [`Histogram`](super::Histogram) holds at one moment, and what came between two. Only the
//! range of buckets that holds anything is kept: a service's latencies lie in a hundred of the 832.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buckets;

/// Durations by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Distribution {
    /// The first bucket of `counts`.
    first: usize,
    /// One by one from there; neither the first nor the last is 0.
    counts: Vec<u64>,
    total: u64,
    /// All durations together.
    micros: u64,
}

/// As it is stored, without what follows from the rest.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    first: usize,
    counts: Vec<u64>,
    micros: u64,
}

impl Distribution {
    /// Of these counts of one bucket after the other from the first on, and the sum of all durations
    /// in microseconds.
    pub fn new(first: usize, counts: Vec<u64>, micros: u64) -> Distribution {
        Stored { first, counts, micros }.into()
    }

    /// Adds one duration.
    pub fn add(&mut self, took: Duration) {
        self.add_many(took, 1);
    }

    /// Adds one duration so many times.
    pub fn add_many(&mut self, took: Duration, times: u64) {
        if times == 0 {
            return;
        }
        let micros = buckets::micros(took);
        let bucket = buckets::bucket_of_micros(micros);
        self.reach(bucket, bucket);
        self.counts[bucket - self.first] += times;
        self.total += times;
        self.micros += micros * times;
    }

    /// What it takes to keep it, in bytes, near enough.
    pub fn bytes(&self) -> usize {
        self.counts.len() * size_of::<u64>() + size_of::<Distribution>()
    }

    /// How many.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// All durations together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// How many lie in buckets after this one.
    pub fn above(&self, bucket: usize) -> u64 {
        let from = (bucket + 1).saturating_sub(self.first).min(self.counts.len());
        self.counts[from..].iter().sum()
    }

    /// The first bucket up to which at least this share, 0 to 1, lies; none of nothing.
    pub fn bucket_at(&self, share: f64) -> Option<usize> {
        let wanted = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut before = 0;
        for (place, count) in self.counts.iter().enumerate() {
            before += count;
            if before >= wanted {
                return Some(self.first + place);
            }
        }
        None
    }

    /// What this share, 0 to 1, took at most, at most 1.6 % off; none of nothing.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        self.bucket_at(share).map(buckets::middle)
    }

    /// What came since an earlier reading; all of it if the counters have begun anew since.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let mut rest = self.clone();
        for (bucket, count) in earlier.buckets() {
            let here = bucket.checked_sub(self.first).and_then(|place| rest.counts.get_mut(place));
            match here.and_then(|here| Some((here.checked_sub(count)?, here))) {
                Some((left, here)) => *here = left,
                None => return self.clone(),
            }
        }
        let micros = self.micros.saturating_sub(earlier.micros);
        Stored { first: rest.first, counts: rest.counts, micros }.into()
    }

    /// Every bucket that holds something, with how many.
    pub fn buckets(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let counts = self.counts.iter().enumerate();
        counts.filter(|(_, count)| **count > 0).map(|(place, count)| (self.first + place, *count))
    }

    /// Makes room for these buckets and those between.
    fn reach(&mut self, first: usize, last: usize) {
        if self.counts.is_empty() {
            self.first = first;
        }
        if first < self.first {
            let more = self.first - first;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = first;
        }
        let length = (last + 1 - self.first).max(self.counts.len());
        self.counts.resize(length, 0);
    }
}

impl std::ops::AddAssign<&Distribution> for Distribution {
    fn add_assign(&mut self, other: &Distribution) {
        if other.counts.is_empty() {
            return;
        }
        self.reach(other.first, other.first + other.counts.len() - 1);
        let from = other.first - self.first;
        for (here, count) in self.counts[from..].iter_mut().zip(&other.counts) {
            *here += count;
        }
        self.total += other.total;
        self.micros += other.micros;
    }
}

impl From<Stored> for Distribution {
    fn from(stored: Stored) -> Distribution {
        let Stored { first, counts, micros } = stored;
        let room = buckets::BUCKETS.saturating_sub(first).min(counts.len());
        let counts = &counts[..room];
        let Some(begin) = counts.iter().position(|count| *count > 0) else {
            return Distribution::default();
        };
        let end = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let counts = counts[begin..end].to_vec();
        let total = counts.iter().sum();
        Distribution { first: first + begin, counts, total, micros }
    }
}

impl From<Distribution> for Stored {
    fn from(distribution: Distribution) -> Stored {
        let Distribution { first, counts, micros, .. } = distribution;
        Stored { first, counts, micros }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn of(micros: &[u64]) -> Distribution {
        let mut distribution = Distribution::default();
        micros.iter().for_each(|&micros| distribution.add(Duration::from_micros(micros)));
        distribution
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole_in_any_order(
            one in vec(0u64..2_000_000, 0..50),
            other in vec(0u64..2_000_000, 0..50),
        ) {
            let whole = of(&[one.clone(), other.clone()].concat());
            let (one, other) = (of(&one), of(&other));
            let (mut sum, mut reverse) = (one.clone(), other.clone());
            sum += &other;
            reverse += &one;
            prop_assert_eq!(&sum, &whole);
            prop_assert_eq!(&reverse, &whole);
            prop_assert_eq!(whole.since(&one), other);
        }

        #[test]
        fn a_quantile_is_within_a_64th_of_the_exact_one(
            mut micros in vec(1u64..100_000_000, 1..200),
            share in 0.0..=1.0,
        ) {
            let found = of(&micros).quantile(share).expect("it holds something").as_secs_f64() * 1e6;
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * share).ceil() as usize).max(1);
            let exact = micros[rank - 1] as f64;
            prop_assert!((found / exact - 1.0).abs() <= 1.0 / 64.0, "{} for {}", found, exact);
        }

        #[test]
        fn storing_keeps_it(micros in vec(0u64..2_000_000_000, 0..50)) {
            let distribution = of(&micros);
            let text = serde_json::to_string(&distribution).expect("it is plain");
            prop_assert_eq!(serde_json::from_str::<Distribution>(&text).expect("it was ours"), distribution);
        }
    }

    #[test]
    fn counters_that_began_anew_are_taken_whole() {
        let (before, after) = (of(&[100, 200, 200]), of(&[200, 300]));
        assert_eq!(after.since(&before), after);
        assert_eq!(of(&[100]).since(&of(&[9_000])), of(&[100]));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Distribution::default().quantile(0.5), None);
        assert_eq!(of(&[50]).since(&of(&[50])), Distribution::default());
    }

    #[test]
    fn above_counts_later_buckets_only() {
        let distribution = of(&[10, 20, 20, 30]);
        let above = |bucket| distribution.above(bucket);
        assert_eq!(
            [above(0), above(10), above(20), above(29), above(30), above(800)],
            [4, 3, 1, 1, 0, 0]
        );
    }

    #[test]
    fn a_stored_one_with_too_many_buckets_is_cut() {
        let text = r#"{"first":830,"counts":[1,2,3],"micros":9}"#;
        let read: Distribution = serde_json::from_str(text).expect("it is well formed");
        assert_eq!((read.total(), read.above(830)), (3, 2));
    }
}

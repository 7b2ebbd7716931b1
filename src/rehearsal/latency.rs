//! How long a pool takes: two quantiles in, requests by bucket out.
//!
//! Latencies of services are near enough lognormal: their logarithm has a bell shape, with a long
//! tail to the right. Two numbers that everybody knows of his service, p50 and p99, say which.

use std::time::Duration;

use crate::clock::Draws;
use crate::judge::{Distribution, buckets};
use crate::sampling::Weighted;

/// Standard deviations between the median and the 99th percentile.
const TO_P99: f64 = 2.326_347_874_040_841;

/// Standard deviations to either side beyond which nothing lies; one in 10⁹ does.
const WIDEST: f64 = 6.0;

/// A lognormal latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    p50: Duration,
    p99: Duration,
}

/// Two quantiles that are no distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("p99 ({p99:?}) must be above p50 ({p50:?}), and p50 at least 1 µs")]
pub struct NotALatency {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

impl Latency {
    /// With this median and 99th percentile.
    pub fn new(p50: Duration, p99: Duration) -> Result<Latency, NotALatency> {
        match p50 >= Duration::from_micros(1) && p99 > p50 {
            true => Ok(Latency { p50, p99 }),
            false => Err(NotALatency { p50, p99 }),
        }
    }

    /// All of it this many times as long; none if that is no latency any more.
    pub fn times(self, factor: f64) -> Option<Latency> {
        let scaled = |took: Duration| Duration::try_from_secs_f64(took.as_secs_f64() * factor).ok();
        Latency::new(scaled(self.p50)?, scaled(self.p99)?).ok()
    }

    /// The median and the 99th percentile.
    pub fn quantiles(self) -> (Duration, Duration) {
        (self.p50, self.p99)
    }
}

impl Default for Latency {
    /// What `judge.md` simulates: 50 ms and 200 ms.
    fn default() -> Latency {
        Latency { p50: Duration::from_millis(50), p99: Duration::from_millis(200) }
    }
}

/// A latency cut at the histogram's buckets.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The bucket of the first weight.
    first: usize,
    weights: Weighted,
    /// What stands for the durations of each bucket, in microseconds.
    middles: Vec<u64>,
    /// The share of requests above each bucket.
    above: Vec<f64>,
}

impl Table {
    pub fn of(latency: Latency) -> Table {
        let (median, p99) = (latency.p50.as_secs_f64().ln(), latency.p99.as_secs_f64().ln());
        let deviation = (p99 - median) / TO_P99;
        let at = |deviations: f64| {
            let took = (median + deviations * deviation).exp();
            buckets::bucket_of(Duration::try_from_secs_f64(took).unwrap_or(Duration::MAX))
        };
        let (first, last) = (at(-WIDEST), at(WIDEST));
        let below = |bucket: usize| {
            share_below((buckets::upper(bucket).as_secs_f64().ln() - median) / deviation)
        };
        let mut reached = 0.0;
        let weights: Vec<f64> = (first..=last)
            .map(|bucket| {
                let until = if bucket == last { 1.0 } else { below(bucket) };
                let weight = until - reached;
                reached = until;
                // The approximation below is not monotone to its last digit.
                weight.max(0.0)
            })
            .collect();
        let all: f64 = weights.iter().sum();
        let mut rest = 1.0;
        let above = weights.iter().map(|weight| {
            rest -= weight / all;
            f64::max(rest, 0.0)
        });
        let above = above.collect();
        let middles = (first..=last).map(|bucket| buckets::middle(bucket).as_micros() as u64);
        Table { first, weights: Weighted::new(&weights), middles: middles.collect(), above }
    }

    /// The share of requests above a bucket of the histogram.
    pub fn above(&self, bucket: usize) -> f64 {
        match bucket.checked_sub(self.first) {
            Some(place) => self.above.get(place).copied().unwrap_or(0.0),
            None => 1.0,
        }
    }

    /// How long one took.
    pub fn draw_one(&self, draws: &mut Draws) -> Duration {
        Duration::from_micros(self.middles[self.weights.draw(draws)])
    }

    /// How long so many requests took.
    pub fn draw(&self, requests: u64, draws: &mut Draws) -> Distribution {
        if requests == 0 {
            return Distribution::default();
        }
        let counts = self.weights.spread(requests, draws);
        let micros = counts.iter().zip(&self.middles).map(|(count, middle)| count * middle).sum();
        Distribution::new(self.first, counts, micros)
    }
}

/// The share of the standard normal distribution below `x`, true to 10⁻¹²: a series in the middle,
/// Laplace's continued fraction in the tails.
fn share_below(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if x.abs() < 3.0 {
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while term.abs() > 1e-17 {
            k += 2.0;
            term *= x * x / k;
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let mut fraction = 0.0;
    for k in (1..=60).rev() {
        fraction = f64::from(k) / (x.abs() + fraction);
    }
    let beyond = density / (x.abs() + fraction);
    if x > 0.0 { 1.0 - beyond } else { beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long one request took, by Box and Muller's way to the bell.
    fn timed(latency: Latency, draws: &mut Draws) -> Duration {
        let (median, p99) = (latency.p50.as_secs_f64(), latency.p99.as_secs_f64());
        let radius = (-2.0 * (1.0 - draws.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * draws.unit()).cos();
        Duration::from_secs_f64(median * ((p99 / median).ln() / TO_P99 * normal).exp())
    }

    #[test]
    fn a_bell_has_the_shares_that_tables_say() {
        for (x, share) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (-1.0, 0.158_655_253_931_457),
            (TO_P99, 0.99),
            (3.5, 0.999_767_370_920_964),
            (-4.0, 3.167_124_183_311_99e-5),
        ] {
            assert!((share_below(x) - share).abs() < 1e-12, "{x}: {}", share_below(x));
        }
    }

    #[test]
    fn what_is_drawn_has_the_quantiles_that_were_asked_for() {
        let latency = Latency::default();
        let drawn = Table::of(latency).draw(1_000_000, &mut Draws::seeded(2));
        assert_eq!(drawn.total(), 1_000_000);
        for (share, wanted) in [(0.5, 0.050), (0.99, 0.200)] {
            let found = drawn.quantile(share).unwrap().as_secs_f64();
            assert!((found / wanted - 1.0).abs() < 0.03, "{share}: {found}");
        }
        // e^(σ²/2) above the median.
        let mean = drawn.sum().as_secs_f64() / 1e6;
        assert!((mean / 0.059_7 - 1.0).abs() < 0.01, "{mean}");
    }

    #[test]
    fn buckets_fill_as_if_requests_were_timed_one_by_one() {
        let (latency, mut draws) = (Latency::default(), Draws::seeded(4));
        let (mut one_by_one, n) = (Distribution::default(), 50_000);
        (0..n).for_each(|_| one_by_one.add(timed(latency, &mut draws)));
        let counted = Table::of(latency).draw(n, &mut draws);
        let (mut sum, mut cells) = (0.0, 0.0);
        for bucket in 0..buckets::BUCKETS {
            let count = |of: &Distribution| (of.above(bucket) as f64, of.above(bucket + 1) as f64);
            let ((a, a_after), (b, b_after)) = (count(&one_by_one), count(&counted));
            let (a, b) = (a - a_after, b - b_after);
            if a + b >= 10.0 {
                sum += (a - b).powi(2) / (a + b);
                cells += 1.0;
            }
        }
        let off = (sum - cells) / f64::sqrt(2.0 * cells);
        assert!(off.abs() < 4.0 && cells > 50.0, "χ² is {off} off over {cells} buckets");
    }

    #[test]
    fn a_tail_that_is_no_tail_is_refused() {
        let millis = Duration::from_millis;
        let refused = Latency::new(millis(50), millis(50)).unwrap_err().to_string();
        assert_eq!(refused, "p99 (50ms) must be above p50 (50ms), and p50 at least 1 µs");
        assert!(Latency::new(Duration::ZERO, millis(1)).is_err());
        let twice = Latency::default().times(2.0);
        assert_eq!(twice, Latency::new(millis(100), millis(400)).ok());
        assert_eq!(Latency::default().times(f64::NAN), None);
    }
}

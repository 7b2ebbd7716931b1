//! Chance in the shapes that traffic has: draws in; arrivals, failures and latencies out.
//!
//! Counts are those of `rand_distr`, all of it exact and none of it a normal approximation: what a
//! judge is rehearsed for is rare events, and there the tails are all that matters.

use rand_distr::{Binomial, Distribution, Poisson};

use crate::clock::Draws;

/// Requests for each outcome from which dividing them outcome by outcome is quicker than throwing
/// them one by one.
const MANY: u64 = 10;

/// How many events come in a second of this mean, which is not negative and far below 10¹⁹.
pub fn poisson(mean: f64, draws: &mut Draws) -> u64 {
    // There is no distribution of a mean of 0.
    Poisson::new(mean).map_or(0, |events| events.sample(draws) as u64)
}

/// How many of `n` fail, each with the chance `p`; more than 1 is as good as 1, less than 0 as 0.
pub fn binomial(n: u64, p: f64, draws: &mut Draws) -> u64 {
    Binomial::new(n, p.clamp(0.0, 1.0)).map_or(0, |failures| failures.sample(draws))
}

/// A time by chance, of this mean.
pub fn exponential(mean: f64, draws: &mut Draws) -> f64 {
    -mean * (1.0 - draws.unit()).ln()
}

/// How many of `n` fall to each of so many places that are alike.
pub fn evenly(n: u64, places: usize, draws: &mut Draws) -> Vec<u64> {
    let mut left = n;
    let here = |place: usize| {
        let here = binomial(left, 1.0 / (places - place) as f64, draws);
        left -= here;
        here
    };
    (0..places).map(here).collect()
}

/// How active a user is beside others: a Pareto distribution, at least 1, the heavier the smaller
/// its `tail`.
pub fn pareto(tail: f64, draws: &mut Draws) -> f64 {
    (1.0 - draws.unit()).powf(-1.0 / tail)
}

/// Outcomes with weights, drawn in constant time (Walker's aliases, as Vose builds them).
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// For each outcome the chance that it stands, in 2³² parts, and the one that is taken else.
    places: Vec<(u64, u32)>,
    /// For each outcome its chance among those from it on.
    among_rest: Vec<f64>,
}

impl Weighted {
    /// Of these weights, none of them negative and not all of them 0; at most 2³².
    pub fn new(weights: &[f64]) -> Weighted {
        let (total, count) = (weights.iter().sum::<f64>(), weights.len());
        let mut shares: Vec<f64> = weights.iter().map(|w| w / total * count as f64).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|&at| shares[at] < 1.0);
        let mut places: Vec<(u64, u32)> = (0..count).map(|at| (1 << 32, at as u32)).collect();
        while let (Some(one), Some(&other)) = (poor.pop(), rich.last()) {
            places[one] = ((shares[one] * 2f64.powi(32)) as u64, other as u32);
            shares[other] -= 1.0 - shares[one];
            if shares[other] < 1.0 {
                rich.pop();
                poor.push(other);
            }
        }
        let mut rest = 0.0;
        let mut among_rest: Vec<f64> = weights
            .iter()
            .rev()
            .map(|weight| {
                rest += weight;
                if rest > 0.0 { weight / rest } else { 1.0 }
            })
            .collect();
        among_rest.reverse();
        Weighted { places, among_rest }
    }

    /// One outcome.
    pub fn draw(&self, draws: &mut Draws) -> usize {
        // The top bits of the product choose the place, those below it are as good as fresh.
        let product = u128::from(draws.bits()) * self.places.len() as u128;
        let (place, coin) = ((product >> 64) as usize, (product as u64) >> 32);
        let (stands, other) = self.places[place];
        if coin < stands { place } else { other as usize }
    }

    /// How many of `n` fall to each outcome.
    pub fn spread(&self, n: u64, draws: &mut Draws) -> Vec<u64> {
        let mut counts = vec![0; self.places.len()];
        if n < MANY * counts.len() as u64 {
            (0..n).for_each(|_| counts[self.draw(draws)] += 1);
            return counts;
        }
        let mut left = n;
        for (count, chance) in counts.iter_mut().zip(&self.among_rest) {
            *count = binomial(left, *chance, draws);
            left -= *count;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    const RUNS: usize = 40_000;

    /// ln n!, added up.
    static LN_FACTORIALS: LazyLock<Vec<f64>> = LazyLock::new(|| {
        let mut sum = 0.0;
        let later = (1..4_000).map(|n| {
            sum += f64::from(n).ln();
            sum
        });
        std::iter::once(0.0).chain(later).collect()
    });

    fn ln_factorial(n: u64) -> f64 {
        LN_FACTORIALS[n as usize]
    }

    /// Mean and variance of what is drawn.
    fn moments(mut draw: impl FnMut(&mut Draws) -> f64) -> (f64, f64) {
        let mut draws = Draws::seeded(7);
        let drawn: Vec<f64> = (0..RUNS).map(|_| draw(&mut draws)).collect();
        let mean = drawn.iter().sum::<f64>() / RUNS as f64;
        let squares = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        (mean, squares / (RUNS - 1) as f64)
    }

    /// χ² of counts beside what is expected, over the outcomes that are expected at least ten
    /// times, the rest as one; with its degrees of freedom, in standard deviations from its mean.
    fn chi_square(mut draw: impl FnMut(&mut Draws) -> u64, chance: impl Fn(u64) -> f64) -> f64 {
        let mut draws = Draws::seeded(11);
        let mut counts = vec![0f64; 4_000];
        (0..RUNS).for_each(|_| counts[draw(&mut draws) as usize] += 1.0);
        let (mut sum, mut cells, mut rest, mut rest_expected) = (0.0, 0.0, 0.0, 0.0);
        for (outcome, count) in counts.iter().enumerate() {
            let expected = chance(outcome as u64) * RUNS as f64;
            if expected >= 10.0 {
                sum += (count - expected).powi(2) / expected;
                cells += 1.0;
            } else {
                rest += count;
                rest_expected += expected;
            }
        }
        if rest_expected > 1.0 {
            sum += (rest - rest_expected).powi(2) / rest_expected;
            cells += 1.0;
        } else {
            assert!(rest < 15.0, "{rest} where {rest_expected} were expected");
        }
        let freedom = cells - 1.0;
        (sum - freedom) / (2.0 * freedom).sqrt()
    }

    fn poisson_chance(mean: f64, k: u64) -> f64 {
        (k as f64 * mean.ln() - mean - ln_factorial(k)).exp()
    }

    fn binomial_chance(n: u64, p: f64, k: u64) -> f64 {
        if k > n {
            return 0.0;
        }
        let ways = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
        (ways + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p()).exp()
    }

    #[test]
    fn arrivals_are_poisson() {
        for mean in [0.3, 4.9, 11.99, 12.0, 27.0, 495.0] {
            let (found, variance) = moments(|draws| poisson(mean, draws) as f64);
            let error = 4.0 * (mean / RUNS as f64).sqrt();
            assert!((found - mean).abs() < error, "{mean}: mean {found}");
            assert!((variance / mean - 1.0).abs() < 0.05, "{mean}: variance {variance}");
            let off = chi_square(|draws| poisson(mean, draws), |k| poisson_chance(mean, k));
            assert!(off.abs() < 4.0, "{mean}: χ² is {off} off");
        }
        assert_eq!(poisson(0.0, &mut Draws::seeded(1)), 0);
    }

    #[test]
    fn failures_are_binomial() {
        for (n, p) in [(5, 0.001), (20, 0.3), (500, 0.02), (500, 0.4), (3_000, 0.9), (40, 0.75)] {
            let (mean, variance) = (n as f64 * p, n as f64 * p * (1.0 - p));
            let (found, spread) = moments(|draws| binomial(n, p, draws) as f64);
            let error = 4.0 * (variance / RUNS as f64).sqrt();
            assert!((found - mean).abs() < error, "{n} {p}: mean {found}");
            assert!((spread - variance).abs() < 0.05 * variance + error, "{n} {p}: {spread}");
            let off = chi_square(|draws| binomial(n, p, draws), |k| binomial_chance(n, p, k));
            // With almost all in one outcome there is next to no freedom.
            assert!(off.abs() < 5.0, "{n} {p}: χ² is {off} off");
        }
        let mut draws = Draws::seeded(1);
        for (p, failed) in [(0.0, 0), (-1e-9, 0), (1.0, 9), (1.0 + 1e-9, 9)] {
            assert_eq!(binomial(9, p, &mut draws), failed);
        }
        assert_eq!(binomial(0, 0.5, &mut draws), 0);
    }

    #[test]
    fn outcomes_come_by_their_weights_one_by_one_and_all_at_once() {
        let weights = [0.5, 0.0, 3.0, 1.5, 5.0];
        let weighted = Weighted::new(&weights);
        let chance = |k: u64| weights.get(k as usize).map_or(0.0, |weight| weight / 10.0);
        let off = chi_square(|draws| weighted.draw(draws) as u64, chance);
        assert!(off.abs() < 4.0, "χ² is {off} off");
        // Few are thrown and many divided; the third outcome is binomial either way.
        for n in [40, 400] {
            let mut draws = Draws::seeded(3);
            let counts = weighted.spread(n, &mut draws);
            assert_eq!((counts.iter().sum::<u64>(), counts[1]), (n, 0));
            let third = |draws: &mut Draws| weighted.spread(n, draws)[2];
            let off = chi_square(third, |k| binomial_chance(n, 0.3, k));
            assert!(off.abs() < 4.0, "{n}: χ² is {off} off");
        }
    }

    #[test]
    fn activity_has_the_tail_of_pareto() {
        let below = |x: f64| moments(|draws| f64::from(pareto(1.5, draws) < x)).0;
        // 1 − x^−1.5.
        assert!((below(2.0) - 0.646_4).abs() < 0.01 && (below(10.0) - 0.968_4).abs() < 0.004);
        assert_eq!(below(1.0), 0.0);
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let drawn = |seed| {
            let mut draws = Draws::seeded(seed);
            [poisson(500.0, &mut draws), binomial(500, 0.3, &mut draws)]
        };
        assert_eq!(drawn(5), drawn(5));
        assert_ne!(drawn(5), drawn(6));
    }
}

//! Chance in the shapes that traffic has: draws in; arrivals, failures and latencies out.
//!
//! All of it exact, none of it a normal approximation: what a judge is rehearsed for is rare events,
//! and there the tails are all that matters. Small means are inverted, large ones use Hörmann's
//! transformed rejection (1993: PTRS and BTRS), whose cost does not grow with the mean.

use std::f64::consts::TAU;

use crate::clock::Draws;

/// From this mean on rejection is quicker than inversion, and exact: its hat fits from 10 on.
const LARGE: f64 = 10.0;

/// Requests for each outcome from which dividing them outcome by outcome is quicker than throwing
/// them one by one.
const MANY: u64 = 10;

/// How many events come in a second of this mean. The mean is not negative.
pub fn poisson(mean: f64, draws: &mut Draws) -> u64 {
    if mean < LARGE { poisson_small(mean, draws) } else { poisson_large(mean, draws) }
}

/// How many of `n` fail, each with the chance `p`, 0 to 1.
pub fn binomial(n: u64, p: f64, draws: &mut Draws) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(n, 1.0 - p, draws);
    }
    match n as f64 * p < LARGE {
        true => binomial_small(n, p, draws),
        false => binomial_large(n, p, draws),
    }
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

fn poisson_small(mean: f64, draws: &mut Draws) -> u64 {
    let (mut left, mut chance, mut count) = (draws.unit(), (-mean).exp(), 0u64);
    while left >= chance && chance > 0.0 {
        left -= chance;
        count += 1;
        chance *= mean / count as f64;
    }
    count
}

/// PTRS.
fn poisson_large(mean: f64, draws: &mut Draws) -> u64 {
    let (root, ln_mean) = (mean.sqrt(), mean.ln());
    let b = 0.931 + 2.53 * root;
    let a = -0.059 + 0.02483 * b;
    let inverse = 1.1239 + 1.1328 / (b - 3.4);
    let quick = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let (u, v) = (draws.unit() - 0.5, draws.unit());
        let edge = 0.5 - u.abs();
        let count = ((2.0 * a / edge + b) * u + mean + 0.43).floor();
        if edge >= 0.07 && v <= quick {
            return count as u64;
        }
        if count < 0.0 || (edge < 0.013 && v > edge) {
            continue;
        }
        let hat = (v * inverse / (a / (edge * edge) + b)).ln();
        if hat <= count * ln_mean - mean - ln_factorial(count) {
            return count as u64;
        }
    }
}

fn binomial_small(n: u64, p: f64, draws: &mut Draws) -> u64 {
    let odds = p / (1.0 - p);
    let mut chance = (n as f64 * (-p).ln_1p()).exp();
    let (mut left, mut count) = (draws.unit(), 0u64);
    while left >= chance && count < n {
        left -= chance;
        chance *= odds * (n - count) as f64 / (count + 1) as f64;
        count += 1;
    }
    count
}

/// BTRS.
fn binomial_large(n: u64, p: f64, draws: &mut Draws) -> u64 {
    let n = n as f64;
    let root = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * root;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let middle = n * p + 0.5;
    let quick = 0.92 - 4.2 / b;
    let alpha = (2.83 + 5.1 / b) * root;
    let ln_odds = (p / (1.0 - p)).ln();
    let mode = ((n + 1.0) * p).floor();
    let highest = ln_factorial(mode) + ln_factorial(n - mode);
    loop {
        let (u, v) = (draws.unit() - 0.5, draws.unit());
        let edge = 0.5 - u.abs();
        let count = ((2.0 * a / edge + b) * u + middle).floor();
        if edge >= 0.07 && v <= quick {
            return count as u64;
        }
        if count < 0.0 || count > n {
            continue;
        }
        let hat = (v * alpha / (a / (edge * edge) + b)).ln();
        let height = highest - ln_factorial(count) - ln_factorial(n - count);
        if hat <= height + (count - mode) * ln_odds {
            return count as u64;
        }
    }
}

/// ln n!, of a whole number that is not negative: Stirling's series, from 16 on true to 10⁻¹².
fn ln_factorial(n: f64) -> f64 {
    if n < 16.0 {
        return (2..=n as u64).map(|k| k as f64).product::<f64>().ln();
    }
    let inverse = 1.0 / n;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square / 1_260.0));
    (n + 0.5) * n.ln() - n + 0.5 * TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: usize = 40_000;

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
        (k as f64 * mean.ln() - mean - ln_factorial(k as f64)).exp()
    }

    fn binomial_chance(n: u64, p: f64, k: u64) -> f64 {
        if k > n {
            return 0.0;
        }
        let ways = ln_factorial(n as f64) - ln_factorial(k as f64) - ln_factorial((n - k) as f64);
        (ways + k as f64 * p.ln() + (n - k) as f64 * (-p).ln_1p()).exp()
    }

    #[test]
    fn factorials_are_right_on_both_sides_of_the_series() {
        let mut exact = 0.0;
        for n in 1..200 {
            exact += f64::from(n).ln();
            let found = ln_factorial(f64::from(n));
            assert!((found - exact).abs() < 1e-10, "{n}: {found} instead of {exact}");
        }
    }

    #[test]
    fn arrivals_are_poisson() {
        for mean in [0.3, 4.9, 9.99, 10.0, 27.0, 495.0] {
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
        assert_eq!([binomial(9, 0.0, &mut draws), binomial(9, 1.0, &mut draws)], [0, 9]);
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

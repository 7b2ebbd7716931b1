//! P2: the mean of every factor over all that may happen in a small second is at most 1 under its
//! null, so that none of the proofs is taken on trust.

use super::super::bad_seconds::BadSeconds;
use super::super::bursts::ByUpstream;
use super::super::more_errors::{MULTIPLES, RATIOS};
use super::super::slower::ODDS;
use super::super::steps::{Tick, above_rate, blocked, thinned};
use super::Counts;

const SIZES: [u64; 5] = [0, 1, 3, 8, 20];

/// How probable each count of bad requests is.
fn binomial(n: u64, p: f64) -> Vec<f64> {
    let mut weights = vec![1.0];
    for _ in 0..n {
        let mut next = vec![0.0; weights.len() + 1];
        for (x, weight) in weights.iter().enumerate() {
            next[x] += weight * (1.0 - p);
            next[x + 1] += weight * p;
        }
        weights = next;
    }
    weights
}

/// The means of eˢᵗᵉᵖ over both pools' counts.
fn means<const N: usize>(
    (n_b, p_b): (u64, f64),
    (n_c, p_c): (u64, f64),
    steps: impl Fn(Tick, Tick) -> [f64; N],
) -> [f64; N] {
    let mut means = [0.0; N];
    let (stable, canary) = (binomial(n_b, p_b), binomial(n_c, p_c));
    for (x_b, weight_b) in stable.iter().enumerate() {
        for (x_c, weight_c) in canary.iter().enumerate() {
            let tick = |n: u64, x: usize| Tick { n: n as f64, x: x as f64 };
            let steps = steps(tick(n_b, x_b), tick(n_c, x_c));
            for (mean, step) in means.iter_mut().zip(steps) {
                *mean += weight_b * weight_c * step.exp();
            }
        }
    }
    means
}

fn assert_fair(means: &[f64], what: std::fmt::Arguments<'_>) {
    assert!(means.iter().all(|mean| *mean <= 1.0 + 1e-9), "{what}: {means:?}");
}

/// Every pair of sizes.
fn sizes() -> impl Iterator<Item = (u64, u64)> {
    SIZES.into_iter().flat_map(|n_b| SIZES.into_iter().map(move |n_c| (n_b, n_c)))
}

#[test]
fn more_failures_than_tolerated_cannot_be_bet_on_with_gain() {
    for (n_b, n_c) in sizes() {
        for p_b in [0.0, 0.001, 0.05, 0.3, 0.75] {
            for rho in [1.0, 1.25, 2.0] {
                for worse in [0.5, 1.0] {
                    let p_c = f64::min(rho * p_b * worse, 1.0);
                    let step = |b, c| thinned(&RATIOS, rho, b, c);
                    let found = means((n_b, p_b), (n_c, p_c), step);
                    assert_fair(&found, format_args!("{n_b} {n_c} {p_b} {p_c} {rho}"));
                }
            }
        }
    }
}

#[test]
fn a_rate_that_is_not_exceeded_cannot_be_bet_on_with_gain() {
    for n in SIZES {
        for rate in [0.001, 0.025, 0.3, 0.8] {
            for p in [0.0, rate / 2.0, rate] {
                let step = |_, canary| above_rate(&MULTIPLES, rate, canary);
                assert_fair(&means((0, 0.0), (n, p), step), format_args!("{n} {rate} {p}"));
            }
        }
    }
}

#[test]
fn the_gate_cannot_be_opened_with_gain_by_a_canary_beyond_the_margin() {
    let below = [0.8, 0.5, 0.08];
    for (n_b, n_c) in sizes() {
        for p_b in [0.0, 0.01, 0.2, 0.45] {
            for p_c in [2.0 * p_b, f64::min(3.0 * p_b, 1.0)] {
                let step = |b, c| thinned(&below, 2.0, b, c);
                let found = means((n_b, p_b), (n_c, p_c), step);
                assert_fair(&found, format_args!("{n_b} {n_c} {p_b} {p_c}"));
            }
            let step = |_, canary| above_rate(&below, 0.3, canary);
            assert_fair(&means((0, 0.0), (n_c, 0.3 + p_b), step), format_args!("{n_c} {p_b}"));
        }
    }
}

#[test]
fn slowness_that_is_the_stable_pools_cannot_be_bet_on_with_gain() {
    for (n_b, n_c) in sizes() {
        for p in [0.0, 0.01, 0.05, 0.5, 0.99] {
            // What was expected need not be what is.
            for expected in [1e-4, 0.01, 0.5, 0.9] {
                for p_c in [p / 2.0, p] {
                    let step = |b, c| blocked(&ODDS, expected, b, c);
                    let found = means((n_b, p), (n_c, p_c), step);
                    assert_fair(&found, format_args!("{n_b} {n_c} {p} {p_c} {expected}"));
                }
            }
        }
    }
}

#[test]
fn requests_of_a_second_may_all_fail_at_different_rates() {
    // Two kinds of requests in each pool, whose mean rates are at the boundary of the null.
    let (n_b, n_c) = (12, 6);
    let (stable, canary) =
        ([binomial(6, 0.02), binomial(6, 0.18)], [binomial(3, 0.0), binomial(3, 0.25)]);
    let both = |[one, other]: &[Vec<f64>; 2]| {
        let mut sum = vec![0.0; one.len() + other.len() - 1];
        for (x, weight) in one.iter().enumerate() {
            for (y, more) in other.iter().enumerate() {
                sum[x + y] += weight * more;
            }
        }
        sum
    };
    let (stable, canary) = (both(&stable), both(&canary));
    let mut found = [0.0; 9];
    for (x_b, weight_b) in stable.iter().enumerate() {
        for (x_c, weight_c) in canary.iter().enumerate() {
            let tick = |n: u64, x: usize| Tick { n: n as f64, x: x as f64 };
            let steps = thinned(&RATIOS, 1.25, tick(n_b, x_b), tick(n_c, x_c));
            for (mean, step) in found.iter_mut().zip(steps) {
                *mean += weight_b * weight_c * step.exp();
            }
        }
    }
    assert_fair(&found, format_args!("mixed"));
}

/// The mean of exp(x) over a Poisson number of causes, each of which has a factor of this mean.
fn of_causes(causes: f64, factor: f64) -> f64 {
    (causes * (factor - 1.0)).exp()
}

#[test]
fn causes_of_any_size_up_to_what_is_divided_by_cannot_be_bet_on_with_gain() {
    for (k_c, k_b) in [(1.0, 1.0), (1.0, 10.0), (3.0, 3.0)] {
        for causes in [0.003, 0.03, 0.3] {
            for makes in [1.0, 3.0, 15.0, 100.0] {
                // All causes of one size, as large as that or smaller.
                for size in [1.0, 0.5 * makes, makes] {
                    for ratio in RATIOS {
                        let share = 1.25 * k_c / (1.25 * k_c + k_b);
                        let b = -(share * (ratio - 1.0)).ln_1p();
                        let factor = |ln: f64| (ln * size / makes).exp();
                        let mean = of_causes(1.25 * causes * k_c, factor(ratio.ln() + b))
                            * of_causes(causes * k_b, factor(b));
                        assert!(mean <= 1.0 + 1e-9, "{k_c} {k_b} {causes} {makes} {size}: {mean}");
                    }
                }
            }
        }
    }
}

#[test]
fn bad_seconds_cannot_be_bet_on_with_gain_whatever_happens_within_them() {
    let upstream = |n: u64, x: u64| ByUpstream {
        attempts: Counts { total: n, bad: x },
        ..ByUpstream::default()
    };
    for (n_b, n_c) in [(1, 1), (4, 1), (4, 3), (3, 4), (9, 2), (2, 9), (20, 1)] {
        // Of the stable upstream's seconds each count of failures as often as any other, or mostly none, or
        // all at once; the canary's second is bad as often as one of its size there would be.
        let laws: [fn(u64, u64) -> f64; 3] = [
            |_, n| 1.0 / (n + 1) as f64,
            |x, n| if x == 0 { 0.99 } else { 0.01 / n as f64 },
            |x, n| [0.9, 0.1][usize::from(x == n)] * f64::from(u8::from(x == 0 || x == n)),
        ];
        for law in laws {
            let bad_b = |x: u64| super::super::bursts::bad_second(n_b as f64, x as f64, n_c as f64);
            // A larger canary is that many upstreams.
            let larger = (n_c as f64 / n_b as f64).max(1.0);
            let often: f64 = (0..=n_b).map(|x| law(x, n_b) * bad_b(x)).sum();
            for tolerated in [1.0, 1.25] {
                let often = (tolerated * larger * often).min(1.0);
                let mut means = [0.0; 9];
                for x_b in 0..=n_b {
                    for (is_bad, chance) in [(0, 1.0 - often), (1, often)] {
                        let canary = upstream(n_c, is_bad);
                        let seconds = BadSeconds::of(&[upstream(n_b, x_b)], &[canary]);
                        for per_cause in [1.0, 2.5] {
                            let steps = seconds.beside(tolerated, per_cause);
                            for (mean, step) in means.iter_mut().zip(steps) {
                                *mean += law(x_b, n_b) * chance * step.exp() / 2.0;
                            }
                        }
                    }
                }
                assert_fair(&means, format_args!("{n_b} {n_c} {tolerated}"));
            }
        }
    }
}

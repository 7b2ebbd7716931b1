//! What chance may do: a count of random draws and the share they are drawn at in, whether the two
//! go together out.
//!
//! The edge draws from a source that no test can seed, so a bound on what it drew must be one that
//! chance does not break.

/// The least probability that passes for chance. A run of all tests makes fewer than fifty such
/// checks, each with two sides: if all is well, one run in 10^9 fails.
const LEAST: f64 = 1e-11;

/// Whether so many hits in so many draws at this share may be chance: the probability of a count
/// that lies as far out, on the same side, by the binomial distribution itself.
pub fn is_likely(hits: u64, draws: u64, share: f64) -> bool {
    assert!(hits <= draws, "{hits} of {draws}");
    tail(hits as f64, draws as f64, share) >= LEAST
}

/// The probability of `hits` or of a count farther from the mean.
fn tail(hits: f64, draws: f64, share: f64) -> f64 {
    let is_above = hits > draws * share;
    // Hits and misses change places, so that farther out always means more of them.
    let (mut hits, share) = if is_above { (hits, share) } else { (draws - hits, 1.0 - share) };
    if share <= 0.0 || share >= 1.0 {
        return if hits == draws * share { 1.0 } else { 0.0 };
    }
    let ways = (1..=hits as u64).map(|n| ((draws - hits + n as f64) / n as f64).ln()).sum::<f64>();
    let mut of_this = (ways + hits * share.ln() + (draws - hits) * (1.0 - share).ln()).exp();
    let mut sum = 0.0;
    while hits <= draws && of_this > LEAST * 1e-9 {
        sum += of_this;
        of_this *= (draws - hits) / (hits + 1.0) * share / (1.0 - share);
        hits += 1.0;
    }
    sum
}

#[test]
fn tails_are_those_of_the_tables() {
    let near = |got: f64, wanted: f64| assert!((got / wanted - 1.0).abs() < 1e-6, "{got:e}");
    near(tail(60.0, 60.0, 0.5), 0.5f64.powi(60));
    near(tail(0.0, 60.0, 0.2), 0.8f64.powi(60));
    near(tail(9.0, 60.0, 0.5), 1.542_517_804_7e-8);
    near(tail(320.0, 1_000.0, 0.25), 3.817_098_305_7e-7);
    near(tail(5.0, 10.0, 0.5), 0.623_046_875);
    for share in [0.0, 1.0] {
        assert!(is_likely((100.0 * share) as u64, 100, share) && !is_likely(50, 100, share));
    }
    assert!(is_likely(40, 4_000, 0.01) && !is_likely(100, 4_000, 0.01));
}

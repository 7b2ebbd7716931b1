//! What one tick says of each alternative: counts in, log-likelihood ratios out.
//!
//! The three forms of `judge.md` 2.1 and 2.2. Each has mean at most 1 under its null, whatever the
//! rates of the single requests are, so that their products are e-processes. Counts are floats, for
//! forecasts ask for parts of requests too.

/// Requests and bad ones among them, in one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tick {
    /// Requests.
    pub n: f64,
    /// Bad ones.
    pub x: f64,
}

impl From<super::Counts> for Tick {
    fn from(counts: super::Counts) -> Tick {
        let counts = counts.consistent();
        Tick { n: counts.total as f64, x: counts.bad as f64 }
    }
}

impl Tick {
    /// Both divided by so much.
    pub fn divided(self, by: f64) -> Tick {
        Tick { n: self.n / by, x: self.x / by }
    }
}

/// Against "the canary fails at most `tolerated` times as often as the stable pool", for each ratio
/// by which it might exceed that. Of all failures of the tick, which share is the canary's? (Lindon
/// and Malek's thinning, with the requests each pool really had.) With ratios below 1 it is against
/// "at least `tolerated` times as often".
pub fn thinned<const N: usize>(
    ratios: &[f64; N],
    tolerated: f64,
    stable: Tick,
    canary: Tick,
) -> [f64; N] {
    let bad = stable.x + canary.x;
    if bad == 0.0 {
        return [0.0; N];
    }
    let expected = tolerated * canary.n;
    let share = if expected > 0.0 { expected / (expected + stable.n) } else { 0.0 };
    ratios.map(|ratio| canary.x * ratio.ln() - bad * (share * (ratio - 1.0)).ln_1p())
}

/// Against "the canary fails at most at this rate", for each multiple of it; with multiples below 1
/// against "at least at this rate". Multiples that would be more than everything are taken as
/// nearly everything.
pub fn above_rate<const N: usize>(multiples: &[f64; N], rate: f64, canary: Tick) -> [f64; N] {
    if canary.n == 0.0 {
        return [0.0; N];
    }
    let good_then = (-rate).ln_1p();
    multiples.map(|multiple| {
        let multiple = multiple.min(ALMOST_ALL / rate);
        let good = (-rate * multiple).ln_1p() - good_then;
        match canary.x == 0.0 {
            true => canary.n * good,
            false => canary.x * multiple.ln() + (canary.n - canary.x) * good,
        }
    })
}

/// Against "the canary is slow no more often than the stable pool", for each odds ratio, where the
/// stable pool is expected to be slow at the rate `expected`, fixed before the tick (Turner, Ly and
/// Grünwald's block e-variable). What is expected only bears on power, never on validity.
pub fn blocked<const N: usize>(
    odds: &[f64; N],
    expected: f64,
    stable: Tick,
    canary: Tick,
) -> [f64; N] {
    let all = stable.n + canary.n;
    if stable.n == 0.0 || canary.n == 0.0 {
        return [0.0; N];
    }
    odds.map(|odds| {
        let slow = odds * expected / (1.0 - expected + odds * expected);
        let both = (canary.n * slow + stable.n * expected) / all;
        canary.x * (slow / both).ln()
            + (canary.n - canary.x) * ((1.0 - slow) / (1.0 - both)).ln()
            + stable.x * (expected / both).ln()
            + (stable.n - stable.x) * ((1.0 - expected) / (1.0 - both)).ln()
    })
}

/// The largest failure rate that an alternative claims: at 100 % one success would refute it.
const ALMOST_ALL: f64 = 0.975;

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(n: u64, x: u64) -> Tick {
        Tick { n: n as f64, x: x as f64 }
    }

    fn assert_near<const N: usize>(found: [f64; N], wanted: [f64; N]) {
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn a_tick_says_what_the_golden_vectors_say() {
        let (stable, canary) = (tick(990, 1), tick(10, 3));
        let found = thinned(&crate::judge::more_errors::RATIOS, 1.25, stable, canary);
        assert_near(
            found,
            [
                0.656981219679,
                1.191535082711,
                2.029874612499,
                3.197309717246,
                4.633628111799,
                5.90360136087,
                7.137101609624,
                8.609473016817,
                10.077480754555,
            ],
        );
        let stable = tick(990, 9);
        let found = blocked(&crate::judge::slower::ODDS, 0.01, stable, canary);
        assert_near(
            found,
            [
                0.63951113859,
                1.156715962858,
                1.960713829255,
                3.060845962361,
                4.367741033335,
                5.919210236108,
                7.469409559578,
            ],
        );
    }

    #[test]
    fn without_a_pool_to_compare_with_nothing_is_said() {
        assert_near(thinned(&[1.25, 60.0], 1.25, tick(0, 0), tick(10, 10)), [0.0; 2]);
        assert_near(thinned(&[1.25, 60.0], 1.25, tick(10, 3), tick(0, 0)), [0.0; 2]);
        assert_near(blocked(&[1.25, 30.0], 0.01, tick(0, 0), tick(10, 10)), [0.0; 2]);
        assert_near(blocked(&[1.25, 30.0], 0.01, tick(10, 3), tick(0, 0)), [0.0; 2]);
        assert_near(above_rate(&[1.5, 60.0], 0.001, tick(0, 0)), [0.0; 2]);
    }

    #[test]
    fn a_multiple_beyond_everything_stays_a_rate() {
        let found = above_rate(&[60.0], 0.5, tick(10, 9));
        assert_near(found, [9.0 * 1.95f64.ln() + (0.025f64 / 0.5).ln()]);
    }
}

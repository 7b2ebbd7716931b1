//! Do failures come in bursts? Bad counts of single upstreams in, a divisor for evidence out.
//!
//! Statistics take failures within a second for independent; a full garbage collection or a storm
//! of connections makes many out of one cause. How much the counts of an upstream vary beyond what
//! chance explains (variance over mean, 1 for Poisson counts) says how many failures one cause
//! makes, and evidence is divided by it.

/// The divisor, from the stable pool's bad counts second by second, one series for each upstream,
/// taken in the last 300 s before a rollout. Between 1 and `limit`; 1 where nothing failed.
pub fn phi<'a>(series: impl IntoIterator<Item = &'a [u32]>, limit: f64) -> f64 {
    let ratios: Vec<f64> = series.into_iter().filter_map(dispersion).collect();
    if ratios.is_empty() {
        return 1.0;
    }
    let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
    mean.clamp(1.0, limit.max(1.0))
}

/// Variance over mean; none of counts that are all 0, or fewer than two.
fn dispersion(counts: &[u32]) -> Option<f64> {
    let n = counts.len() as f64;
    let mean = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / n;
    if counts.len() < 2 || mean == 0.0 {
        return None;
    }
    let squares = counts.iter().map(|&count| (f64::from(count) - mean).powi(2)).sum::<f64>();
    Some(squares / (n - 1.0) / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_do_not_vary_weaken_nothing() {
        assert_eq!(phi([&[2, 2, 2, 2][..]], 3.0), 1.0);
        assert_eq!(phi([&[0, 0, 0][..], &[][..], &[7][..]], 3.0), 1.0);
        assert_eq!(phi([], 3.0), 1.0);
    }

    #[test]
    fn bursts_divide_by_the_mean_over_the_upstreams_up_to_the_limit() {
        // Variance 1, mean 0.25: dispersion 4; the other's is 0.
        let (bursty, calm) = ([2, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]);
        let mean = 0.25;
        let variance: f64 = (1.75f64.powi(2) + 7.0 * mean * mean) / 7.0;
        assert!((phi([&bursty[..]], 9.0) - variance / mean).abs() < 1e-12);
        assert!((phi([&bursty[..], &calm[..]], 9.0) - 1.0).abs() < 1e-12, "half of 2 is 1");
        let storm = [60, 0, 0, 0, 0, 0];
        assert_eq!(phi([&storm[..]], 3.0), 3.0);
        assert_eq!(phi([&storm[..]], 0.0), 1.0, "a limit below 1 is none");
    }
}

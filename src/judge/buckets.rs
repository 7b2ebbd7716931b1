//! The fixed layout of all latency histograms: a duration in, its bucket out, and back.
//!
//! Log-linear: 32 buckets for each octave of microseconds, so that a bucket is at most 1/32 of its
//! values wide and its middle at most 1/64 (1.6 %) off. Exact below 64 µs; what takes longer than
//! 17.9 minutes falls into the last bucket. One layout for all, so that any two histograms, of any
//! worker, pool or process, can be added.

use std::time::Duration;

/// Buckets of every histogram.
pub const BUCKETS: usize = 832;

/// 2⁵ buckets in each octave.
const GROUPING: u32 = 5;

/// Buckets of each octave.
pub(super) const OCTAVE: usize = 1 << GROUPING;

/// The place of a duration, 0 to 831.
pub fn bucket_of(took: Duration) -> usize {
    bucket_of_micros(micros(took))
}

/// Where a bucket ends: the shortest duration that is in a later one.
pub fn upper(bucket: usize) -> Duration {
    Duration::from_micros(lower(bucket + 1))
}

/// What stands for a bucket's durations: their middle.
pub fn middle(bucket: usize) -> Duration {
    Duration::from_nanos((lower(bucket) + lower(bucket + 1) - 1) * 500)
}

pub(super) fn micros(took: Duration) -> u64 {
    took.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(took.subsec_micros()))
}

pub(super) fn bucket_of_micros(micros: u64) -> usize {
    let octave = (63 - (micros | 1).leading_zeros()).max(GROUPING) - GROUPING;
    let bucket = (u64::from(octave) << GROUPING) + (micros >> octave);
    (bucket as usize).min(BUCKETS - 1)
}

/// Where a bucket begins, in microseconds.
fn lower(bucket: usize) -> u64 {
    let octave = (bucket >> GROUPING).saturating_sub(1);
    ((bucket - (octave << GROUPING)) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bucket_begins_where_the_one_before_ends() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of_micros(lower(bucket)), bucket);
            assert_eq!(bucket_of_micros(lower(bucket + 1) - 1), bucket);
        }
        assert_eq!(lower(BUCKETS), 1 << 30, "17.9 minutes");
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn below_64_microseconds_it_is_exact() {
        for micros in 0..64 {
            let took = Duration::from_micros(micros);
            assert_eq!((bucket_of(took), middle(bucket_of(took))), (micros as usize, took));
        }
    }

    proptest! {
        #[test]
        fn the_middle_is_at_most_a_64th_off(micros in 1u64..1 << 30) {
            let middle = middle(bucket_of_micros(micros)).as_secs_f64() * 1e6;
            prop_assert!((middle / micros as f64 - 1.0).abs() <= 1.0 / 64.0);
        }
    }
}

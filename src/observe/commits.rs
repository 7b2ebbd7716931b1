//! What commits to the store came to: each with its time in, totals out.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds: from a disk with a battery to one that hangs.
pub(super) const COMMIT_BOUNDS: [f64; 10] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Commits so far. One thread writes, anyone reads, nobody waits.
#[derive(Debug, Default)]
pub struct CommitTally {
    kept: AtomicU64,
    failed: AtomicU64,
    /// By bucket; the last for what is above all bounds.
    durations: [AtomicU64; COMMIT_BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitReading {
    pub kept: u64,
    pub failed: u64,
    /// By bucket, not cumulative.
    pub durations: [u64; COMMIT_BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl CommitTally {
    /// One is over after this long.
    pub fn note(&self, is_kept: bool, took: Duration) {
        let result = if is_kept { &self.kept } else { &self.failed };
        result.fetch_add(1, Ordering::Relaxed);
        let bucket = COMMIT_BOUNDS.partition_point(|bound| *bound < took.as_secs_f64());
        self.durations[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> CommitReading {
        CommitReading {
            kept: self.kept.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            durations: array::from_fn(|nth| self.durations[nth].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_commit_is_in_one_bucket() {
        let tally = CommitTally::default();
        tally.note(true, Duration::from_millis(5));
        tally.note(false, Duration::from_secs(9));
        let mut durations = [0; COMMIT_BOUNDS.len() + 1];
        (durations[2], durations[10]) = (1, 1);
        let sum = Duration::from_millis(9_005);
        assert_eq!(tally.read(), CommitReading { kept: 1, failed: 1, durations, sum });
    }
}

//! Failed attempts as log lines: each failure in, at most ten lines a second out.
//!
//! An upstream that is down fails every request sent to it; a line for each would cost more than
//! the requests and hide everything else. What is left out is counted and said.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::exchange::Failure;

/// Lines in any one second.
const PER_SECOND: u64 = 10;

/// Lets the first few lines of each second through.
#[derive(Debug, Default)]
pub struct FailureLog {
    /// The second under way, since the Unix epoch.
    second: AtomicU64,
    /// Failures within it.
    seen: AtomicU64,
}

/// What is to be said of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    /// Nothing.
    Nothing,
    /// A line, and how many had none in the second before.
    Line { left_out: u64 },
}

impl FailureLog {
    /// Says that an attempt failed through its upstream's fault, unless too much has been said.
    pub fn note(&self, failure: &Failure<'_>, unix_second: u64) {
        let Say::Line { left_out } = self.admit(unix_second) else { return };
        if left_out > 0 {
            tracing::warn!(left_out, "more attempts failed than are shown");
        }
        let Failure { service, pool, upstream, cause, request_id } = *failure;
        let cause = cause.row().name;
        tracing::warn!(service, pool, upstream, cause, request_id, "attempt failed");
    }

    /// Two threads may both begin a second; then a few lines more are let through.
    fn admit(&self, unix_second: u64) -> Say {
        let mut left_out = 0;
        if self.second.swap(unix_second, Ordering::Relaxed) != unix_second {
            left_out = self.seen.swap(0, Ordering::Relaxed).saturating_sub(PER_SECOND);
        }
        match self.seen.fetch_add(1, Ordering::Relaxed) {
            0..PER_SECOND => Say::Line { left_out },
            _ => Say::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_ten_lines_a_second_and_a_count() {
        let log = FailureLog::default();
        let first = (0..1_000).filter(|_| log.admit(7) == Say::Line { left_out: 0 }).count();
        assert_eq!(first, 10);
        assert_eq!(log.admit(8), Say::Line { left_out: 990 });
        assert_eq!(log.admit(8), Say::Line { left_out: 0 });
    }
}

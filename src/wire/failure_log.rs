//! Failed attempts as log lines: each failure in, at most ten lines a second out.
//!
//! An upstream that is down fails every request sent to it; a line for each would cost more than
//! the requests and hide everything else. What is left out is counted and said.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::record::{Reader, Record};
use crate::snapshot::Snapshot;

/// Lines in any one second.
const PER_SECOND: u64 = 10;

/// Lets the first few lines of each second through.
#[derive(Debug)]
pub struct FailureLog {
    clock: Clock,
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

/// Says which attempts failed through their upstreams' fault, unless too much has been said.
impl Reader for FailureLog {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let Some((service, _)) = record.pool else { return };
        let service = &snapshot.services[service];
        for attempt in &record.noted.attempts {
            let Some(cause) = attempt.cause.filter(|cause| cause.row().upstream_at_fault) else {
                continue;
            };
            let Say::Line { left_out } = self.admit(self.clock.unix_seconds() as u64) else {
                continue;
            };
            if left_out > 0 {
                tracing::warn!(left_out, "more attempts failed than are shown");
            }
            let pool = &service.pools[attempt.pool];
            let upstream = &*pool.members.list()[attempt.member].upstream.name;
            let (said, took) = (&record.said, attempt.done.saturating_sub(attempt.began));
            tracing::warn!(
                service = &*service.name,
                pool = &*pool.name,
                upstream,
                cause = cause.row().name,
                method = said.method,
                host = &*String::from_utf8_lossy(said.host),
                path = said.path(),
                took_ms = took.as_millis() as u64,
                request_id = &*String::from_utf8_lossy(record.request_id),
                "attempt failed"
            );
        }
    }
}

impl FailureLog {
    /// One with this time.
    pub fn new(clock: Clock) -> FailureLog {
        FailureLog { clock, second: AtomicU64::new(0), seen: AtomicU64::new(0) }
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
        let log = FailureLog::new(crate::server::clock::system());
        let first = (0..1_000).filter(|_| log.admit(7) == Say::Line { left_out: 0 }).count();
        assert_eq!(first, 10);
        assert_eq!(log.admit(8), Say::Line { left_out: 990 });
        assert_eq!(log.admit(8), Say::Line { left_out: 0 });
    }
}

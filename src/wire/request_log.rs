//! Failed attempts and refused requests as log lines: each request's record in, at most ten lines a
//! second of each kind out.
//!
//! An upstream that is down fails every request sent to it, and a client may send as many bad requests
//! as it likes; a line for each would cost more than the requests and hide everything else. What is
//! left out is counted and said.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::record::{Reader, Record};
use crate::snapshot::Snapshot;

/// Lets the first few lines of each while through.
#[derive(Debug)]
struct Limit {
    /// How long a while is, in seconds.
    seconds: u64,
    /// Lines in any one.
    most: u64,
    /// The one under way.
    current: AtomicU64,
    /// What came within it.
    seen: AtomicU64,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    /// Nothing.
    Nothing,
    /// A line, and how many had none in the while before.
    Line { left_out: u64 },
}

/// The log of requests that went wrong.
#[derive(Debug)]
pub struct RequestLog {
    clock: Clock,
    attempts: Limit,
    refusals: Limit,
    doubts: Limit,
}

impl RequestLog {
    /// One with this time.
    pub fn new(clock: Clock) -> RequestLog {
        RequestLog {
            clock,
            attempts: Limit::new(1, 10),
            refusals: Limit::new(1, 10),
            doubts: Limit::new(60, 1),
        }
    }

    fn attempts(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let Some((service, _)) = record.pool else { return };
        let service = &snapshot.services[service];
        for attempt in &record.noted.attempts {
            let Some(cause) = attempt.cause.filter(|cause| cause.row().upstream_at_fault) else {
                continue;
            };
            let Say::Line { left_out } = self.attempts.ask(&self.clock) else { continue };
            if left_out > 0 {
                tracing::warn!(left_out, "more attempts failed than are shown");
            }
            let pool = &service.pools[attempt.pool];
            let upstream = &*pool.members.list()[attempt.member].upstream.name;
            let (said, took) = (&record.said, attempt.done.elapsed_since(attempt.began));
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

    fn refusal(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let Some(cause) = record.refusal() else { return };
        let Say::Line { left_out } = self.refusals.ask(&self.clock) else { return };
        if left_out > 0 {
            tracing::info!(left_out, "more requests were refused than are shown");
        }
        let (said, took) = (&record.said, record.duration + record.waited);
        let host = String::from_utf8_lossy(said.host);
        tracing::info!(
            reason = cause.reason(),
            status = record.status,
            service = record.service().map(|service| &*snapshot.services[service].name),
            client = record.noted.client.map(|client| client.to_string()),
            method = some(said.method),
            host = some(&host),
            path = some(said.path()),
            took_ms = took.as_millis() as u64,
            request_id = &*String::from_utf8_lossy(record.request_id),
            "request refused"
        );
    }
}

/// A field that has something to say.
fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

impl Reader for RequestLog {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        self.attempts(record, snapshot);
        self.refusal(record, snapshot);
        if record.noted.is_client_doubtful
            && let Say::Line { .. } = self.doubts.ask(&self.clock)
        {
            tracing::warn!(
                taken_for = record.noted.client.map(|client| client.to_string()),
                "a trusted proxy wrote something else than an address into X-Forwarded-For: all \
                 clients behind it are taken for one"
            );
        }
    }
}

impl Limit {
    fn new(seconds: u64, most: u64) -> Limit {
        Limit { seconds, most, current: AtomicU64::new(0), seen: AtomicU64::new(0) }
    }

    fn ask(&self, clock: &Clock) -> Say {
        self.admit(clock.unix_seconds() as u64)
    }

    /// Two threads may both begin a while; then a few lines more are let through.
    fn admit(&self, unix_second: u64) -> Say {
        let (mut left_out, now) = (0, unix_second / self.seconds);
        if self.current.swap(now, Ordering::Relaxed) != now {
            left_out = self.seen.swap(0, Ordering::Relaxed).saturating_sub(self.most);
        }
        match self.seen.fetch_add(1, Ordering::Relaxed) < self.most {
            true => Say::Line { left_out },
            false => Say::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_ten_lines_a_second_and_a_count() {
        let limit = Limit::new(1, 10);
        let first = (0..1_000).filter(|_| limit.admit(7) == Say::Line { left_out: 0 }).count();
        assert_eq!(first, 10);
        assert_eq!(limit.admit(8), Say::Line { left_out: 990 });
        assert_eq!(limit.admit(8), Say::Line { left_out: 0 });
        let minute = Limit::new(60, 1);
        let said = (600..720).filter(|second| minute.admit(*second) != Say::Nothing).count();
        assert_eq!(said, 2);
    }
}

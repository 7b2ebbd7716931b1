//! Requests that we answered ourselves, by reason, and fields with odd names that were let in: records
//! in, counts out.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Reader, Record};
use crate::http::admission::OddNames;
use crate::http::failure::Cause;
use crate::snapshot::Snapshot;

/// Counts by reason.
#[derive(Debug)]
pub struct Refusals {
    reasons: [AtomicU64; Cause::REASONS.len()],
    dropped: AtomicU64,
    passed: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        let none = || AtomicU64::new(0);
        Refusals { reasons: std::array::from_fn(|_| none()), dropped: none(), passed: none() }
    }
}

impl Refusals {
    /// The reasons that there have been, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.reasons.iter().map(|count| count.load(Ordering::Relaxed));
        Cause::REASONS.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// What became of fields with odd names, and of how many, where there have been any.
    pub fn odd_names(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = [("dropped", &self.dropped), ("passed", &self.passed)];
        let counts = counts.map(|(did, count)| (did, count.load(Ordering::Relaxed)));
        counts.into_iter().filter(|(_, count)| *count > 0)
    }
}

impl Reader for Refusals {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        if record.noted.odd_names > 0 {
            let counter = match snapshot.config.server.client.odd_names {
                OddNames::Pass => &self.passed,
                OddNames::Drop | OddNames::Refuse => &self.dropped,
            };
            counter.fetch_add(u64::from(record.noted.odd_names), Ordering::Relaxed);
        }
        let Some(cause) = record.refusal() else { return };
        let reason = cause.reason();
        if let Some(place) = Cause::REASONS.iter().position(|known| *known == reason) {
            self.reasons[place].fetch_add(1, Ordering::Relaxed);
        }
    }
}

//! Requests that we answered ourselves, by reason: records in, counts out.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Reader, Record};
use crate::http::failure::Cause;
use crate::snapshot::Snapshot;

/// Counts by reason.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Cause::REASONS.len()]);

impl Refusals {
    /// The reasons that there have been, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Cause::REASONS.into_iter().zip(counts).filter(|(_, count)| *count > 0)
    }
}

impl Reader for Refusals {
    fn read(&self, record: &Record<'_>, _: &Snapshot) {
        let Some(cause) = record.refusal() else { return };
        let reason = cause.reason();
        if let Some(place) = Cause::REASONS.iter().position(|known| *known == reason) {
            self.0[place].fetch_add(1, Ordering::Relaxed);
        }
    }
}

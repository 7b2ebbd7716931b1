//! What exemplars are made of: the bytes of a record in; its trace, how long it took and its attempts out.

use std::time::Duration;

use super::kept;
use crate::clock::{Moment, WallTime};

/// What of a request an exemplar is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When the end of its head had been read.
    pub at: WallTime,
    /// Its trace, in hex digits.
    pub trace: [u8; 32],
    /// Whether a collector is told of it for sure.
    pub is_sampled: bool,
    /// From the end of its head to the end of its answer, but for the time it waited in line.
    pub duration: Duration,
    /// Its service, or what stands in its place.
    pub service: String,
    /// The pool it belongs to; empty if it had none.
    pub pool: String,
    /// What was tried.
    pub attempts: Vec<TimedAttempt>,
}

/// The same of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedAttempt {
    /// The pool that was asked.
    pub pool: String,
    /// The upstream that was asked.
    pub upstream: String,
    /// From its beginning to its end.
    pub took: Duration,
}

/// Reads a record's bytes; none if it has no trace, or they are none. `known` is some time twice.
pub(super) fn decode(bytes: &[u8], known: (Moment, WallTime)) -> Option<Timed> {
    let kept = kept::decode(bytes, known)?;
    let took = |attempt: kept::KeptAttempt| TimedAttempt {
        took: attempt.done.saturating_sub(attempt.began),
        pool: attempt.pool,
        upstream: attempt.upstream,
    };
    Some(Timed {
        at: kept.at,
        trace: kept.trace.0.as_bytes().try_into().ok()?,
        is_sampled: kept.is_sampled,
        duration: kept.duration,
        service: kept.service,
        pool: kept.pool,
        attempts: kept.attempts.into_iter().map(took).collect(),
    })
}

//! Rate, errors, duration: what happened comes in, running totals come out.
//!
//! Plain atomics, one set for each pool and each upstream, found through the snapshot that a
//! request already holds: nothing is looked up by label on the request path. They belong to their
//! pool or upstream, so that totals survive reloads and vanish with what they count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds of the duration buckets, in seconds: the steps that OpenTelemetry advises for
/// HTTP, with three finer ones below for a LAN and three coarser ones above, up to a minute.
pub const DURATION_BOUNDS: [f64; 20] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0, 20.0, 30.0, 60.0,
];

/// The same in nanoseconds, so that recording needs no floating point.
const BOUNDS_NANOS: [u64; 20] = {
    let mut nanos = [0; 20];
    let mut i = 0;
    while i < 20 {
        nanos[i] = (DURATION_BOUNDS[i] * 1e9) as u64;
        i += 1;
    }
    nanos
};

/// How a request, or one attempt at it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a response of this class.
    Status(StatusClass),
    /// Without a response, because the client went away first.
    ClientGone,
    /// Without a response from the upstream: connect error, time-out, reset, bad response.
    Failed,
}

/// The first digit of a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StatusClass {
    /// 1xx, of which only 101 ends a request.
    Informational = 0,
    /// 2xx.
    Success = 1,
    /// 3xx.
    Redirection = 2,
    /// 4xx.
    ClientError = 3,
    /// 5xx.
    ServerError = 4,
}

impl StatusClass {
    /// The class of a status code; codes outside 100..=599 count as server errors, for that is
    /// what sending one is.
    pub fn of(status: u16) -> StatusClass {
        match status {
            100..=199 => StatusClass::Informational,
            200..=299 => StatusClass::Success,
            300..=399 => StatusClass::Redirection,
            400..=499 => StatusClass::ClientError,
            _ => StatusClass::ServerError,
        }
    }
}

impl Outcome {
    /// Every outcome with its name in metrics, in the order of [`Tally`]'s counters.
    pub const NAMES: [&'static str; 7] =
        ["1xx", "2xx", "3xx", "4xx", "5xx", "client_gone", "error"];

    fn place(self) -> usize {
        match self {
            Outcome::Status(class) => class as usize,
            Outcome::ClientGone => 5,
            Outcome::Failed => 6,
        }
    }
}

/// Running totals of a pool or an upstream.
#[derive(Debug, Default)]
pub struct Tally {
    outcomes: [AtomicU64; 7],
    /// One more than there are bounds: the last takes what lies above them all.
    durations: [AtomicU64; 21],
    nanos: AtomicU64,
}

/// A copy of the totals at one moment. Taken without a lock: sums may differ by requests that end
/// while it is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyReading {
    /// By outcome, in the order of [`Outcome::NAMES`].
    pub outcomes: [u64; 7],
    /// By duration, not cumulative, the last one unbounded.
    pub durations: [u64; 21],
    /// All durations together, in nanoseconds.
    pub nanos: u64,
}

impl Tally {
    /// Counts one that ended like this after this long.
    pub fn record(&self, outcome: Outcome, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.partition_point(|&bound| bound < nanos);
        self.outcomes[outcome.place()].fetch_add(1, Ordering::Relaxed);
        self.durations[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Counts what another process has counted.
    pub fn add(&self, more: &TallyReading) {
        let own = self.outcomes.iter().chain(&self.durations);
        for (own, more) in own.zip(more.outcomes.iter().chain(&more.durations)) {
            own.fetch_add(*more, Ordering::Relaxed);
        }
        self.nanos.fetch_add(more.nanos, Ordering::Relaxed);
    }

    /// The totals now.
    pub fn read(&self) -> TallyReading {
        TallyReading {
            outcomes: std::array::from_fn(|i| self.outcomes[i].load(Ordering::Relaxed)),
            durations: std::array::from_fn(|i| self.durations[i].load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

impl TallyReading {
    /// What was counted since an earlier reading.
    pub fn since(&self, before: &TallyReading) -> TallyReading {
        let new = |now: u64, before: u64| now.saturating_sub(before);
        TallyReading {
            outcomes: std::array::from_fn(|i| new(self.outcomes[i], before.outcomes[i])),
            durations: std::array::from_fn(|i| new(self.durations[i], before.durations[i])),
            nanos: new(self.nanos, before.nanos),
        }
    }

    /// How many ended, whatever way.
    pub fn total(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// How many ended with an answer that was no 5xx.
    pub fn answers(&self) -> u64 {
        self.outcomes[..Outcome::Status(StatusClass::ServerError).place()].iter().sum()
    }

    /// How many ended in a 5xx or without a response through the upstream's fault.
    pub fn errors(&self) -> u64 {
        self.outcomes[Outcome::Status(StatusClass::ServerError).place()]
            + self.outcomes[Outcome::Failed.place()]
    }
}

/// Connections to an upstream: how often one was opened, and how often one was used again.
#[derive(Debug, Default)]
pub struct Connections {
    opened: AtomicU64,
    reused: AtomicU64,
}

impl Connections {
    /// Counts a request sent on a connection that was opened for it, or used again.
    pub fn count(&self, is_reused: bool) {
        let counter = if is_reused { &self.reused } else { &self.opened };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Opened and used again, in this order.
    pub fn read(&self) -> (u64, u64) {
        (self.opened.load(Ordering::Relaxed), self.reused.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_counts_below_it() {
        let tally = Tally::default();
        let ok = Outcome::Status(StatusClass::of(204));
        tally.record(ok, Duration::from_micros(500));
        tally.record(ok, Duration::from_nanos(500_001));
        tally.record(Outcome::Failed, Duration::from_secs(61));
        let reading = tally.read();
        assert_eq!((reading.durations[0], reading.durations[1], reading.durations[20]), (1, 1, 1));
        assert_eq!((reading.total(), reading.errors()), (3, 1));
        assert_eq!(reading.nanos, 61_001_000_001);
    }
}

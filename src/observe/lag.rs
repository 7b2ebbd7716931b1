//! How late the workers are: a clock in, the time that a task which is ready has to wait out.
//!
//! One task sleeps on the workers' runtime and looks how much later than due it ran. The runtime
//! gives it to whichever worker is free first, so what it sees is the wait for any worker: a few
//! that block show only once all are busy. Timers go by whole milliseconds, so up to two of them
//! are no lag at all.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::clock::Clock;

/// Between two samples: rare enough to cost nothing, often enough to meet a stall that a client
/// would notice.
const PERIOD: Duration = Duration::from_millis(100);

/// How far back the largest is looked for, in seconds.
const WINDOW: u64 = 10;

/// One slot a second, more than the window has, so that none is read while it is due for reuse.
const SLOTS: usize = 16;

/// Upper bounds of the buckets, in seconds: from the timer's grain to what clients give up at.
pub(super) const LAG_BOUNDS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The samples so far. One task writes, anyone reads, nobody waits.
#[derive(Debug)]
pub struct Lag {
    since: Instant,
    /// When the sample under way is due, in nanoseconds after `since`; 0 before the first.
    due: AtomicU64,
    /// The worst of each second: which second in the upper half, counted from 1; its
    /// microseconds in the lower.
    worst: [AtomicU64; SLOTS],
    /// By bucket; the last for what is above all bounds.
    counts: [AtomicU64; LAG_BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LagReading {
    /// The largest of the last ten seconds, the sample under way included.
    pub largest: Duration,
    /// Samples by bucket, the last for those above all bounds.
    pub(super) counts: [u64; LAG_BOUNDS.len() + 1],
    /// All of them together.
    pub(super) sum: Duration,
}

impl Lag {
    /// Without a sample yet; `since` is any time before the first.
    pub fn new(since: Instant) -> Lag {
        Lag {
            since,
            due: AtomicU64::new(0),
            worst: array::from_fn(|_| AtomicU64::new(0)),
            counts: array::from_fn(|_| AtomicU64::new(0)),
            nanos: AtomicU64::new(0),
        }
    }

    /// What was seen up to now. A stall shows while it lasts: the sample under way counts with
    /// the time it is overdue.
    pub fn read(&self, now: Instant) -> LagReading {
        let second = self.second(now);
        let in_window = |slot: &AtomicU64| {
            let slot = slot.load(Ordering::Relaxed);
            let is_recent = slot >> 32 != 0 && (slot >> 32) + WINDOW > second;
            is_recent.then(|| Duration::from_micros(slot & u64::from(u32::MAX)))
        };
        let overdue = match self.due.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            due => self.elapsed(now).saturating_sub(Duration::from_nanos(due)),
        };
        LagReading {
            largest: self.worst.iter().filter_map(in_window).fold(overdue, Duration::max),
            counts: array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }

    /// Begins a sample that is due then.
    fn expect(&self, due: Instant) {
        self.due.store(nanos(self.elapsed(due)), Ordering::Relaxed);
    }

    /// Ends the sample that was due then.
    fn note(&self, due: Instant, now: Instant) {
        let lag = now.saturating_duration_since(due);
        let second = self.second(now);
        let micros = lag.as_micros().min(u128::from(u32::MAX)) as u64;
        let slot = &self.worst[second as usize % SLOTS];
        // With the second above, the larger of the same second and the later of two both win.
        slot.fetch_max((second << 32) | micros, Ordering::Relaxed);
        let bucket = LAG_BOUNDS.iter().position(|bound| lag.as_secs_f64() <= *bound);
        self.counts[bucket.unwrap_or(LAG_BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos(lag), Ordering::Relaxed);
    }

    /// Counted from 1.
    fn second(&self, now: Instant) -> u64 {
        self.elapsed(now).as_secs() + 1
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// Takes samples without end, on the runtime that it is spawned on.
pub async fn sample_lag(lag: Arc<Lag>, clock: Clock) {
    loop {
        let due = clock.now() + PERIOD;
        lag.expect(due);
        sleep(PERIOD).await;
        lag.note(due, clock.now());
    }
}

/// Up to 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_largest_counts_for_ten_seconds() {
        let start = Instant::now();
        let lag = Lag::new(start);
        let at = |ms: u32| start + ms * MS;
        assert_eq!(lag.read(at(5)), LagReading::default());
        lag.note(at(500), at(503));
        lag.note(at(600), at(640));
        lag.note(at(740), at(741));
        let largest = |ms| lag.read(at(ms)).largest;
        assert_eq!(largest(741), 40 * MS);
        lag.note(at(5_000), at(5_020));
        assert_eq!([largest(9_999), largest(10_000)], [40 * MS, 20 * MS]);
        assert_eq!([largest(14_999), largest(15_000)], [20 * MS, Duration::ZERO]);
        // A slot that is used again counts for its new second only.
        lag.note(at(16_100), at(16_102));
        assert_eq!(largest(16_200), 2 * MS);
        let reading = lag.read(at(16_200));
        assert_eq!(reading.sum, 66 * MS);
        assert_eq!(reading.counts, [2, 1, 0, 1, 1, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_stall_shows_while_it_lasts() {
        let start = Instant::now();
        let lag = Lag::new(start);
        lag.expect(start + 100 * MS);
        let largest = |ms| lag.read(start + ms * MS).largest;
        assert_eq!(
            [largest(50), largest(100), largest(5_100)],
            [Duration::ZERO, Duration::ZERO, 5_000 * MS]
        );
        lag.note(start + 100 * MS, start + 30_000 * MS);
        lag.expect(start + 30_100 * MS);
        assert_eq!(largest(30_050), 29_900 * MS);
        assert_eq!(lag.read(start + 30_050 * MS).counts[LAG_BOUNDS.len()], 1);
    }

    #[tokio::test]
    async fn a_blocked_runtime_is_seen() {
        let clock = Clock { now: Instant::now, wall: std::time::SystemTime::now, draw: || 0 };
        let lag = Arc::new(Lag::new(clock.now()));
        let sampling = tokio::spawn(sample_lag(lag.clone(), clock));
        tokio::task::yield_now().await;
        // The only thread of this runtime, kept past the time when the sample is due.
        std::thread::sleep(Duration::from_millis(150));
        assert!(lag.read(clock.now()).largest >= 50 * MS);
        while lag.read(clock.now()).counts.iter().sum::<u64>() == 0 {
            tokio::task::yield_now().await;
        }
        sampling.abort();
        assert!(lag.read(clock.now()).sum >= 50 * MS);
    }
}

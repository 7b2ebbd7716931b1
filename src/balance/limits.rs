//! How many requests at once: settings and latencies in, a limit out.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;
use crate::upstream::Limit;

/// A service's bounds on requests at once.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSettings {
    /// Of the service; none for any number.
    pub in_flight: Option<u32>,
    /// Of each upstream; none for any number.
    pub upstream_in_flight: Option<u32>,
    /// Of the service, whose bodies have yet to come; none for as many as each of the limits, and at
    /// least a hundred.
    pub uploads: Option<u32>,
    /// Requests that wait for a place.
    pub queue: usize,
    /// For how long they wait.
    pub queue_timeout: Duration,
    /// Whether each pool has a limit that follows its latency.
    pub adaptive: bool,
    /// Whether a pool that answers 429 or 503 is spared.
    pub throttle: bool,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            in_flight: None,
            upstream_in_flight: None,
            uploads: None,
            queue: 0,
            queue_timeout: Duration::from_secs(1),
            adaptive: false,
            throttle: true,
        }
    }
}

/// Bodies may come in beside any limit, however low it is: slow clients hold nothing but memory.
const UPLOADS: u32 = 100;

impl LimitSettings {
    /// Whether anything is limited.
    pub fn are_any(&self) -> bool {
        let is_service = self.in_flight.is_some() || self.uploads.is_some();
        is_service || self.upstream_in_flight.is_some() || self.adaptive
    }

    /// That of the service.
    pub fn of_service(&self) -> Option<Limit> {
        let sent = self.in_flight.or(self.uploads.map(|_| u32::MAX));
        sent.map(|sent| self.limit(sent))
    }

    /// That of each upstream.
    pub fn of_upstream(&self) -> Option<Limit> {
        self.upstream_in_flight.map(|sent| self.limit(sent))
    }

    /// That of a pool whose own one follows its latency.
    pub fn of_pool(&self, gradient: &Gradient) -> Option<Limit> {
        self.adaptive.then(|| self.limit(gradient.limit()))
    }

    fn limit(&self, sent: u32) -> Limit {
        // A bound of the whole service holds for its parts.
        Limit { sent, sending: self.uploads.unwrap_or(sent.max(UPLOADS)) }
    }
}

/// A limit that follows latency: Gradient2 of Netflix's concurrency-limits.
///
/// Samples are gathered for at least a tenth of a second; then whoever comes first compares their
/// mean with the long-term mean, and the limit grows by four while latency is within one and a half
/// times of it, and shrinks with the ratio when it is not.
#[derive(Debug)]
pub struct Gradient {
    sum: AtomicU64,
    count: AtomicU32,
    began: AtomicU64,
    /// `f32` bits, seconds; 0 before the first sample.
    long: AtomicU32,
    /// `f32` bits.
    limit: AtomicU32,
}

const LEAST: f32 = 20.0;
const MOST: f32 = 200.0;
const ROOM: f32 = 4.0;
const TOLERANCE: f32 = 1.5;
const SMOOTHING: f32 = 0.2;
/// The long-term mean is one over this many samples' time, a minute.
const LONG: f32 = 600.0;
const SAMPLE: Duration = Duration::from_millis(100);
const SAMPLE_REQUESTS: u32 = 10;

impl Default for Gradient {
    fn default() -> Self {
        Gradient {
            sum: AtomicU64::new(0),
            count: AtomicU32::new(0),
            began: AtomicU64::new(0),
            long: AtomicU32::new(0),
            limit: AtomicU32::new(LEAST.to_bits()),
        }
    }
}

impl Gradient {
    /// Requests that may be in flight, but for those that are still being sent.
    pub fn limit(&self) -> u32 {
        f32::from_bits(self.limit.load(Ordering::Relaxed)) as u32
    }

    /// A request took this long while so many were in flight.
    pub fn observe(&self, took: Duration, in_flight: u32, now: Moment) {
        self.sum.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let began = self.began.load(Ordering::Relaxed);
        let is_over = now.elapsed_since(Moment::from_micros(began)) >= SAMPLE;
        if count < SAMPLE_REQUESTS || !is_over {
            return;
        }
        let swapped =
            self.began.compare_exchange(began, now.micros(), Ordering::AcqRel, Ordering::Relaxed);
        if swapped.is_err() {
            return;
        }
        let (sum, count) =
            (self.sum.swap(0, Ordering::Relaxed), self.count.swap(0, Ordering::Relaxed));
        self.step(sum as f32 / 1e6 / count.max(1) as f32, in_flight as f32);
    }

    fn step(&self, short: f32, in_flight: f32) {
        let limit = f32::from_bits(self.limit.load(Ordering::Relaxed));
        let mut long = f32::from_bits(self.long.load(Ordering::Relaxed));
        long = if long == 0.0 { short } else { long + (short - long) * 2.0 / (LONG + 1.0) };
        if long / short > 2.0 {
            long *= 0.95;
        }
        self.long.store(long.to_bits(), Ordering::Relaxed);
        let gradient = (TOLERANCE * long / short).clamp(0.5, 1.0);
        // What is not used says nothing of whether more would be too much.
        if gradient >= 1.0 && in_flight < limit / 2.0 {
            return;
        }
        let next = limit * (1.0 - SMOOTHING) + (limit * gradient + ROOM) * SMOOTHING;
        self.limit.store(next.clamp(LEAST, MOST).to_bits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        gradient: &Gradient,
        from: Moment,
        seconds: u64,
        took: Duration,
        in_flight: impl Fn(u32) -> u32,
    ) -> Moment {
        let mut now = from;
        for _ in 0..seconds * 200 {
            now = now + Duration::from_millis(5);
            gradient.observe(took, in_flight(gradient.limit()), now);
        }
        now
    }

    #[test]
    fn bodies_may_come_in_beside_each_limit_a_hundred_at_least() {
        let settings = LimitSettings {
            in_flight: Some(7),
            upstream_in_flight: Some(700),
            adaptive: true,
            ..LimitSettings::default()
        };
        let limits = |settings: &LimitSettings| {
            [settings.of_service(), settings.of_upstream(), settings.of_pool(&Gradient::default())]
        };
        let some = |sent, sending| Some(Limit { sent, sending });
        assert_eq!(limits(&settings), [some(7, 100), some(700, 700), some(20, 100)]);
        let own = LimitSettings { uploads: Some(3), ..settings };
        assert_eq!(limits(&own), [some(7, 3), some(700, 3), some(20, 3)]);
        let alone = LimitSettings { uploads: Some(3), ..LimitSettings::default() };
        assert_eq!(limits(&alone), [some(u32::MAX, 3), None, None]);
        assert_eq!(limits(&LimitSettings::default()), [None; 3]);
        assert!(alone.are_any() && !LimitSettings::default().are_any());
    }

    #[test]
    fn it_grows_while_latency_stands_and_shrinks_when_it_does_not() {
        let gradient = Gradient::default();
        let fast = Duration::from_millis(10);
        let now = run(&gradient, Moment::from_micros(1), 60, fast, |limit| limit);
        assert_eq!(gradient.limit(), 200);
        run(&gradient, now, 5, fast * 4, |limit| limit);
        assert!(gradient.limit() < 60, "{}", gradient.limit());
    }

    #[test]
    fn what_is_not_used_does_not_grow() {
        let gradient = Gradient::default();
        run(&gradient, Moment::from_micros(1), 60, Duration::from_millis(10), |_| 3);
        assert_eq!(gradient.limit(), 20);
    }
}

//! Passive ejection: how live requests end comes in, until when an upstream is left alone comes out.
//! After Envoy's outlier detection; unlike there, an upstream does not simply come back when its
//! time is over: a trial shows first whether it works (see [`Trials`](super::Trials)).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Draws, Moment};

/// When an upstream is taken out, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct EjectionSettings {
    /// Consecutive failures that take it out.
    pub failures: u32,
    /// For how long the first time; the n-th time n times that.
    pub time: Duration,
    /// For how long at most.
    pub longest: Duration,
    /// Share of a pool that may be out while they might still work, in percent; one always may, the
    /// last never.
    pub share: u8,
}

impl Default for EjectionSettings {
    fn default() -> Self {
        EjectionSettings {
            failures: 5,
            time: Duration::from_secs(30),
            longest: Duration::from_secs(300),
            share: 33,
        }
    }
}

impl EjectionSettings {
    /// How many of a pool of this size may be out at once.
    pub fn most(&self, pool: usize) -> usize {
        (pool * usize::from(self.share) / 100).max(1).min(pool.saturating_sub(1))
    }
}

/// An upstream's time out.
#[derive(Debug)]
pub struct Ejection {
    pub(super) times: AtomicU32,
    pub(super) total: AtomicU32,
    /// In microseconds; 0 if it never was out.
    pub(super) until: AtomicU64,
    /// When it came back, in microseconds; `u64::MAX` until it does.
    back: AtomicU64,
}

impl Default for Ejection {
    fn default() -> Self {
        let (times, total, until) = Default::default();
        Ejection { times, total, until, back: AtomicU64::new(u64::MAX) }
    }
}

/// How long it must stay in for one earlier ejection to be forgotten.
const FORGET: Duration = Duration::from_secs(60);

impl Ejection {
    /// Takes it out for n · time, at most the longest, ± 20 %; n is the number of times, less one
    /// for each minute that it stayed in since.
    pub fn eject(&self, settings: &EjectionSettings, now: Moment, draws: &mut Draws) {
        let back = Moment::from_micros(self.back.swap(u64::MAX, Ordering::Relaxed));
        let forgiven = now.elapsed_since(self.until().min(back)).as_secs() / FORGET.as_secs();
        let times = self.times.load(Ordering::Relaxed);
        let times = times.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX)) + 1;
        let length = settings.time.saturating_mul(times).min(settings.longest);
        let until = now + length.mul_f64(0.8 + 0.4 * draws.unit());
        self.until.store(until.micros(), Ordering::Relaxed);
        self.times.store(times, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// It is back, whatever is left of its time. That stays as it is: it may be the next one's already.
    pub fn end(&self, now: Moment) {
        self.back.store(now.micros(), Ordering::Relaxed);
    }

    /// Whether its time stands.
    pub fn is_out(&self, now: Moment) -> bool {
        now < self.until()
    }

    /// Until when it is or was out.
    pub fn until(&self) -> Moment {
        Moment::from_micros(self.until.load(Ordering::Relaxed))
    }

    /// How often it was taken out so far.
    pub fn total(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn each_time_is_longer_up_to_five_minutes_and_minutes_in_are_credited() {
        let (ejection, settings) = (Ejection::default(), EjectionSettings::default());
        let mut draws = Draws::seeded(1);
        let mut now = at(1_000);
        let mut eject = |now: Moment| {
            ejection.eject(&settings, now, &mut draws);
            ejection.until().elapsed_since(now).as_secs_f64()
        };
        for times in 1..15 {
            let out = eject(now);
            let whole = (30.0 * f64::from(times)).min(300.0);
            assert!((0.8 * whole..=1.2 * whole).contains(&out), "{out} at {times}");
            now = now + Duration::from_secs_f64(out);
        }
        assert!(!ejection.is_out(now));
        let out = eject(now + FORGET * 20);
        assert!((24.0..=36.0).contains(&out), "{out}");
    }

    #[test]
    fn minutes_in_count_from_when_it_came_back() {
        let (ejection, settings) = (Ejection::default(), EjectionSettings::default());
        let mut draws = Draws::seeded(1);
        (0..10).for_each(|_| ejection.eject(&settings, at(1_000), &mut draws));
        ejection.end(at(1_001));
        ejection.eject(&settings, at(1_001) + FORGET * 9, &mut draws);
        let out = ejection.until().elapsed_since(at(1_001) + FORGET * 9).as_secs_f64();
        assert!((48.0..=72.0).contains(&out), "twice the time, not five times: {out}");
    }

    #[test]
    fn one_may_be_out_and_the_last_never() {
        let most = |pool| EjectionSettings::default().most(pool);
        assert_eq!([0, 1, 2, 3, 4, 6, 7, 10, 100].map(most), [0, 0, 1, 1, 1, 1, 2, 3, 33]);
    }
}

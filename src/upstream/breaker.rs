//! The circuit breaker (Nygard, *Release It!*, chapter 5): how requests end comes in, whether requests
//! may be sent comes out.
//!
//! *Closed* lets all through and trips on a share of failures (or slow answers) among the requests
//! of the last ten seconds, as in Hystrix; *open* lets none through for a time that doubles with
//! each trip, with jitter, as in Finagle; *half-open* is what it is called when that time is over. It
//! closes by [`Trials`](super::Trials), which decide who is tried when and what comes of it. An
//! operator's order stands above all that.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::changes;
use super::window::Window;
use crate::clock::{Draws, Moment};

/// When a breaker trips and how it comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Share of failures that trips it, in percent, 1 to 100.
    pub failures: u8,
    /// Fewer requests within ten seconds never trip it.
    pub requests: u32,
    /// How long it stays open the first time.
    pub open: Duration,
    /// How long it stays open at most.
    pub longest: Duration,
    /// Good answers in a row that close it.
    pub successes: u32,
    /// An answer whose head takes longer than this is slow; none for no such rule.
    pub slow: Option<Duration>,
    /// Share of slow answers that trips it, in percent, 1 to 100.
    pub slow_share: u8,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings {
            failures: 50,
            requests: 20,
            open: Duration::from_secs(5),
            longest: Duration::from_secs(60),
            successes: SUCCESSES,
            slow: None,
            slow_share: 80,
        }
    }
}

/// Good answers that bring an upstream back where no breaker says how many.
pub const SUCCESSES: u32 = 3;

/// What a breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets requests through.
    Closed,
    /// Lets none through.
    Open,
    /// Its time is over: trials find out whether it may close.
    HalfOpen,
}

/// What an operator wants of a breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum BreakerOrder {
    /// It decides by itself.
    #[default]
    Auto = 0,
    /// It lets nothing through.
    Open = 1,
    /// It lets everything through.
    Closed = 2,
}

/// How a request that was let through went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fared {
    /// It failed through the other side's fault.
    pub failed: bool,
    /// Its answer took longer than allowed.
    pub slow: bool,
}

/// One breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    /// How often it has opened and closed: odd while it is open.
    turns: AtomicU64,
    order: AtomicU8,
    /// While open: until when, in microseconds.
    pub(super) until: AtomicU64,
    /// When it last closed, in microseconds: what was before is forgiven.
    pub(super) closed: AtomicU64,
    /// How often it has opened in a row.
    pub(super) streak: AtomicU64,
    pub(super) opened: AtomicU64,
    /// All, failed, slow.
    pub(super) window: Window,
}

/// Whether a breaker was open at one moment, and which time that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening(u64);

impl Opening {
    /// Whether it was open.
    pub fn is_open(self) -> bool {
        self.0 % 2 == 1
    }
}

/// How long it must stay closed for one earlier trip to be forgotten.
const FORGET: Duration = Duration::from_secs(60);

impl Breaker {
    /// The state now. One whose open time is over counts as half-open.
    pub fn state(&self, now: Moment) -> BreakerState {
        match self.order() {
            BreakerOrder::Open => BreakerState::Open,
            BreakerOrder::Closed => BreakerState::Closed,
            BreakerOrder::Auto if !self.opening().is_open() => BreakerState::Closed,
            BreakerOrder::Auto if now >= self.until() => BreakerState::HalfOpen,
            BreakerOrder::Auto => BreakerState::Open,
        }
    }

    /// Whether it is open by itself, whatever its time.
    pub fn is_open(&self) -> bool {
        self.opening().is_open() && self.order() == BreakerOrder::Auto
    }

    /// What the operator wants of it.
    pub fn order(&self) -> BreakerOrder {
        match self.order.load(Ordering::Relaxed) {
            1 => BreakerOrder::Open,
            2 => BreakerOrder::Closed,
            _ => BreakerOrder::Auto,
        }
    }

    /// Takes an operator's order; back to automatic, it begins closed and forgives.
    pub fn set_order(&self, order: BreakerOrder, now: Moment) {
        if order == BreakerOrder::Auto {
            self.streak.store(0, Ordering::Relaxed);
            self.close(now);
        }
        self.order.store(order as u8, Ordering::Relaxed);
        changes::note();
    }

    /// How often it has opened by itself so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Until when it is open, if it is open by itself.
    pub fn open_until(&self) -> Option<Moment> {
        self.opening().is_open().then(|| self.until())
    }

    /// Hears how a request went that was let through while it was closed. Answers whether it has
    /// opened; it does so only if it `may`.
    pub fn note(
        &self,
        fared: Fared,
        settings: &BreakerSettings,
        may: impl FnOnce() -> bool,
        now: Moment,
        draws: &mut Draws,
    ) -> bool {
        let slow = fared.slow && settings.slow.is_some();
        self.window.count([true, fared.failed, slow], now);
        if !(fared.failed || slow) || self.state(now) != BreakerState::Closed {
            return false;
        }
        let closed = Moment::from_micros(self.closed.load(Ordering::Relaxed));
        let [all, failed, slow] = self.window.sums(closed, now);
        let reaches = |part: u64, percent: u8| part * 100 >= all * u64::from(percent) && part > 0;
        let trips = all >= u64::from(settings.requests)
            && (reaches(failed, settings.failures) || reaches(slow, settings.slow_share));
        trips && self.order() == BreakerOrder::Auto && may() && self.open(settings, now, draws)
    }

    /// So many requests failed of which nobody has heard yet; whether it opens is found with the next.
    pub fn note_before(&self, failed: u32, now: Moment) {
        (0..failed).for_each(|_| self.window.count([true, true, false], now));
    }

    /// A trial has failed: it stays open for longer than the last time, if that was over.
    pub fn reopen(&self, settings: &BreakerSettings, now: Moment, draws: &mut Draws) {
        if self.opening().is_open() && now >= self.until() {
            self.prolong(settings, now, draws);
        }
    }

    /// Closes it and forgives what was before. Answers whether it was open.
    pub fn close(&self, now: Moment) -> bool {
        self.close_as(self.opening(), now)
    }

    /// Closes it and forgives what was before, unless it has opened since it was `seen`: what shows that
    /// it may close says nothing of that. Answers whether it was open.
    pub fn close_as(&self, seen: Opening, now: Moment) -> bool {
        if self.opening() != seen {
            return false;
        }
        self.closed.store((now + Duration::from_secs(1)).micros(), Ordering::Relaxed);
        seen.is_open() && self.turn(seen)
    }

    /// Whether it is open by itself, whatever was ordered, and which time that is.
    pub fn opening(&self) -> Opening {
        Opening(self.turns.load(Ordering::Acquire))
    }

    /// Opens or closes it if nobody else has since.
    pub(super) fn turn(&self, Opening(seen): Opening) -> bool {
        let next = seen.wrapping_add(1);
        let turned = self.turns.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed);
        changes::note();
        turned.is_ok()
    }

    fn open(&self, settings: &BreakerSettings, now: Moment, draws: &mut Draws) -> bool {
        let seen = self.opening();
        // Exactly once, however many threads see the cause.
        if seen.is_open() || !self.turn(seen) {
            return false;
        }
        let closed = Moment::from_micros(self.closed.load(Ordering::Relaxed));
        let forgiven = now.elapsed_since(closed).as_secs() / FORGET.as_secs();
        let streak = self.streak.load(Ordering::Relaxed).saturating_sub(forgiven);
        self.streak.store(streak, Ordering::Relaxed);
        self.prolong(settings, now, draws);
        true
    }

    /// Open for min(open · 2^(k-1), longest) · U[0.5, 1), k being the trips in a row. Each minute
    /// closed forgives one of them.
    fn prolong(&self, settings: &BreakerSettings, now: Moment, draws: &mut Draws) {
        let streak = self.streak.fetch_add(1, Ordering::Relaxed);
        self.until.store((now + settings.time(streak, draws)).micros(), Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn until(&self) -> Moment {
        Moment::from_micros(self.until.load(Ordering::Relaxed))
    }
}

impl BreakerSettings {
    /// How long what failed for the `nth` time in a row, counted from 0, is left alone.
    pub(super) fn time(&self, nth: u64, draws: &mut Draws) -> Duration {
        let doubled = self.open.saturating_mul(1 << nth.min(16));
        doubled.min(self.longest).mul_f64(0.5 + draws.unit() / 2.0)
    }
}

#[cfg(test)]
mod tests;

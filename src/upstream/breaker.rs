//! The circuit breaker (Nygard, *Release It!*, chapter 5): how requests end comes in, whether the
//! next one may be sent comes out.
//!
//! *Closed* lets all through and trips on a share of failures (or slow answers) among the requests
//! of the last ten seconds, as in Hystrix; *open* lets none through for a time that doubles with
//! each trip, with jitter, as in Finagle; *half-open* lets a few trials through, of which one
//! failure opens and enough successes close. An operator's order stands above all that.
//!
//! The whole state is one atomic word, so that each transition is made exactly once however many
//! threads see its cause. A trial carries the number of the half-open time it belongs to: one that
//! ends late decides nothing any more.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

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
    /// Requests under way at once while half-open.
    pub trials: u32,
    /// Successes that close it.
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
            trials: 3,
            successes: 5,
            slow: None,
            slow_share: 80,
        }
    }
}

/// What a breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets requests through.
    Closed,
    /// Lets none through.
    Open,
    /// Lets a few through to see how they fare.
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

/// A request let through; to be given back to [`Breaker::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// While closed.
    Plain,
    /// As a trial of this half-open time.
    Trial(u32),
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
    word: AtomicU64,
    order: AtomicU8,
    /// While open: until when, in microseconds.
    until: AtomicU64,
    /// When it last closed, in microseconds: what was before is forgiven.
    closed: AtomicU64,
    /// How often it has opened in a row.
    streak: AtomicU64,
    opened: AtomicU64,
    /// All, failed, slow.
    window: Window,
}

/// The word: state, trials under way, successes, and how often the state has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    state: BreakerState,
    trials: u32,
    successes: u32,
    turn: u32,
}

/// How long it must stay closed for one earlier trip to be forgotten.
const FORGET: Duration = Duration::from_secs(60);

impl Breaker {
    /// The state now. One whose open time is over counts as half-open.
    pub fn state(&self, now: Moment) -> BreakerState {
        match self.order() {
            BreakerOrder::Open => BreakerState::Open,
            BreakerOrder::Closed => BreakerState::Closed,
            BreakerOrder::Auto => match self.load().state {
                BreakerState::Open if now >= self.until() => BreakerState::HalfOpen,
                state => state,
            },
        }
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
            self.close(self.load(), now);
        }
        self.order.store(order as u8, Ordering::Relaxed);
    }

    /// How often it has opened by itself so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Until when it is open, if it is open by itself.
    pub fn open_until(&self) -> Option<Moment> {
        (self.load().state == BreakerState::Open).then(|| self.until())
    }

    /// Whether it would let a request through.
    pub fn admits(&self, settings: &BreakerSettings, now: Moment) -> bool {
        match self.state(now) {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => {
                let word = self.load();
                word.state == BreakerState::Open || word.trials < settings.trials
            }
        }
    }

    /// Lets a request through, or not.
    pub fn enter(&self, settings: &BreakerSettings, now: Moment) -> Option<Entry> {
        match self.order() {
            BreakerOrder::Open => return None,
            BreakerOrder::Closed => return Some(Entry::Plain),
            BreakerOrder::Auto => {}
        }
        loop {
            let word = self.load();
            let next = match word.state {
                BreakerState::Closed => return Some(Entry::Plain),
                BreakerState::Open if now < self.until() => return None,
                BreakerState::Open => Word {
                    state: BreakerState::HalfOpen,
                    trials: 1,
                    successes: 0,
                    turn: word.turn.wrapping_add(1),
                },
                BreakerState::HalfOpen if word.trials >= settings.trials => return None,
                BreakerState::HalfOpen => Word { trials: word.trials + 1, ..word },
            };
            if self.swap(word, next) {
                return Some(Entry::Trial(next.turn));
            }
        }
    }

    /// Hears how a request went; `None` if nobody knows, because the client went away first.
    /// Answers whether the state has changed.
    pub fn leave(
        &self,
        entry: Entry,
        fared: Option<Fared>,
        settings: &BreakerSettings,
        now: Moment,
        draws: &mut Draws,
    ) -> bool {
        match entry {
            Entry::Plain => {
                fared.is_some_and(|fared| self.leave_plain(fared, settings, now, draws))
            }
            Entry::Trial(turn) => self.leave_trial(turn, fared, settings, now, draws),
        }
    }

    /// Takes back a request that was let through and not sent after all.
    pub fn release(&self, entry: Entry) {
        let Entry::Trial(turn) = entry else { return };
        loop {
            let word = self.load();
            let is_over = word.state != BreakerState::HalfOpen || word.turn != turn;
            if is_over || self.swap(word, Word { trials: word.trials.saturating_sub(1), ..word }) {
                return;
            }
        }
    }

    fn leave_plain(
        &self,
        fared: Fared,
        settings: &BreakerSettings,
        now: Moment,
        draws: &mut Draws,
    ) -> bool {
        let slow = fared.slow && settings.slow.is_some();
        self.window.count([true, fared.failed, slow], now);
        if !(fared.failed || slow) {
            return false;
        }
        let word = self.load();
        if word.state != BreakerState::Closed || self.order() != BreakerOrder::Auto {
            return false;
        }
        let closed = Moment::from_micros(self.closed.load(Ordering::Relaxed));
        let [all, failed, slow] = self.window.sums(closed, now);
        let reaches = |part: u64, percent: u8| part * 100 >= all * u64::from(percent) && part > 0;
        let trips = all >= u64::from(settings.requests)
            && (reaches(failed, settings.failures) || reaches(slow, settings.slow_share));
        trips && self.open(word, settings, now, draws)
    }

    fn leave_trial(
        &self,
        turn: u32,
        fared: Option<Fared>,
        settings: &BreakerSettings,
        now: Moment,
        draws: &mut Draws,
    ) -> bool {
        let Some(fared) = fared else {
            self.release(Entry::Trial(turn));
            return false;
        };
        let is_bad = fared.failed || fared.slow && settings.slow.is_some();
        loop {
            let word = self.load();
            if word.state != BreakerState::HalfOpen || word.turn != turn {
                return false;
            }
            let (trials, successes) = (word.trials.saturating_sub(1), word.successes + 1);
            let (changed, done) = match is_bad {
                true => (true, self.open(word, settings, now, draws)),
                false if successes >= settings.successes => (true, self.close(word, now)),
                false => (false, self.swap(word, Word { trials, successes, ..word })),
            };
            if done {
                return changed;
            }
        }
    }

    /// Opens for min(open · 2^(k-1), longest) · U[0.5, 1), k being the trips in a row. Each minute
    /// closed forgives one of them.
    fn open(&self, from: Word, settings: &BreakerSettings, now: Moment, draws: &mut Draws) -> bool {
        let mut streak = self.streak.load(Ordering::Relaxed);
        if from.state == BreakerState::Closed {
            let closed = Moment::from_micros(self.closed.load(Ordering::Relaxed));
            streak = streak.saturating_sub(now.elapsed_since(closed).as_secs() / FORGET.as_secs());
        }
        let doubled = settings.open.saturating_mul(1 << streak.min(16));
        let length = doubled.min(settings.longest).mul_f64(0.5 + draws.unit() / 2.0);
        // Before the state, so that nobody finds it open with the end of an earlier time.
        self.until.store((now + length).micros(), Ordering::Relaxed);
        let is_open = self.swap(from, Word { state: BreakerState::Open, ..next(from) });
        if is_open {
            self.streak.store(streak + 1, Ordering::Relaxed);
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        is_open
    }

    fn close(&self, from: Word, now: Moment) -> bool {
        self.closed.store((now + Duration::from_secs(1)).micros(), Ordering::Relaxed);
        self.swap(from, Word { state: BreakerState::Closed, ..next(from) })
    }

    fn until(&self) -> Moment {
        Moment::from_micros(self.until.load(Ordering::Relaxed))
    }

    fn load(&self) -> Word {
        Word::unpack(self.word.load(Ordering::Acquire))
    }

    fn swap(&self, from: Word, to: Word) -> bool {
        let (from, to) = (from.pack(), to.pack());
        self.word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

fn next(word: Word) -> Word {
    Word { trials: 0, successes: 0, turn: word.turn.wrapping_add(1), ..word }
}

impl Word {
    fn pack(self) -> u64 {
        let counts = u64::from(self.trials & 0x7FFF) << 15 | u64::from(self.successes & 0x7FFF);
        (self.state as u64) << 62 | counts << 32 | u64::from(self.turn)
    }

    fn unpack(word: u64) -> Word {
        Word {
            state: match word >> 62 {
                0 => BreakerState::Closed,
                1 => BreakerState::Open,
                _ => BreakerState::HalfOpen,
            },
            trials: (word >> 47 & 0x7FFF) as u32,
            successes: (word >> 32 & 0x7FFF) as u32,
            turn: word as u32,
        }
    }
}

#[cfg(test)]
mod tests;

//! Toward a pool that says it has too much: its refusals in, the chance of not even asking out.
//!
//! Client-side throttling of the *Site Reliability Engineering* book (chapter 21): a request is
//! refused here with probability max(0, (requests - K · accepts) / (requests + 1)), K = 2. So the
//! pool never refuses much more than half of what reaches it, and a little always reaches it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Draws, Moment};
use crate::upstream::{WINDOW_SECONDS, Window};

/// How many times what is accepted may be sent.
const K: u64 = 2;

/// Percent of requests refused at most: the book's formula alone lets one in ten thousand through
/// to a pool that takes nothing, and would find out late that it takes requests again.
const MOST: u64 = 98;

/// Too few requests say nothing.
const LEAST: u64 = 20;

/// What a pool took and refused within ten seconds.
#[derive(Debug, Default)]
pub struct Throttle {
    /// Asked for, not accepted.
    window: Window,
    /// The second of the last refusal, plus one.
    refused: AtomicU64,
    /// When the pool was shown to work again, in microseconds: what was before is forgiven.
    forgiven: AtomicU64,
    throttled: AtomicU64,
}

impl Throttle {
    /// The pool answered; `refused` if with 429 or 503.
    pub fn on_answer(&self, refused: bool, now: Moment) {
        if refused {
            self.refused.store(now.seconds() + 1, Ordering::Relaxed);
        }
        // Also while nothing is refused: what was accepted before counts.
        self.window.count([true, refused, false], now);
    }

    /// Whether a request is to be refused without asking. [`Throttle::on_refusal`] counts it.
    pub fn refuses(&self, now: Moment, draws: &mut Draws) -> bool {
        if !self.is_awake(now) {
            return false;
        }
        let forgiven = Moment::from_micros(self.forgiven.load(Ordering::Relaxed));
        let [asked, refused, _] = self.window.sums(forgiven, now);
        let accepted = asked.saturating_sub(refused);
        let excess = asked.saturating_sub(K * accepted).min(asked * MOST / 100);
        asked >= LEAST && draws.below(asked + 1) < excess
    }

    /// A request was refused here: it would have been by the pool.
    pub fn on_refusal(&self, now: Moment) {
        self.window.count([true, true, false], now);
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// The pool works again: what it refused before is forgiven.
    pub fn forgive(&self, now: Moment) {
        let next = now + std::time::Duration::from_secs(1);
        self.forgiven.store(next.micros(), Ordering::Relaxed);
        self.refused.store(0, Ordering::Relaxed);
    }

    /// How many were refused here so far.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Whether anything was refused lately: otherwise there is nothing to sum up.
    fn is_awake(&self, now: Moment) -> bool {
        now.seconds() < self.refused.load(Ordering::Relaxed) + WINDOW_SECONDS
            && self.refused.load(Ordering::Relaxed) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A pool that takes this many of a thousand requests a second for twenty seconds; answers
    /// with how many of a second's requests reached it at the end.
    fn reached(takes: u32) -> u32 {
        let (throttle, mut draws) = (Throttle::default(), Draws::seeded(5));
        let (mut now, mut reached) = (Moment::from_micros(1), 0);
        for _ in 0..20 {
            reached = 0;
            for _ in 0..1_000 {
                now = now + Duration::from_millis(1);
                if throttle.refuses(now, &mut draws) {
                    throttle.on_refusal(now);
                } else {
                    reached += 1;
                    throttle.on_answer(reached > takes, now);
                }
            }
        }
        reached
    }

    #[test]
    fn a_pool_that_takes_all_gets_all() {
        assert_eq!(reached(1_000), 1_000);
    }

    #[test]
    fn an_overloaded_pool_gets_about_twice_what_it_takes() {
        let reached = reached(200);
        assert!((350..=450).contains(&reached), "{reached}");
    }

    #[test]
    fn a_dead_pool_gets_a_trickle() {
        let reached = reached(0);
        assert!((1..100).contains(&reached), "{reached}");
    }

    #[test]
    fn what_was_refused_before_the_pool_works_again_is_forgiven() {
        let (throttle, mut draws) = (Throttle::default(), Draws::seeded(5));
        let now = Moment::from_micros(1);
        (0..100).for_each(|_| throttle.on_answer(true, now));
        assert!((0..100).any(|_| throttle.refuses(now, &mut draws)));
        throttle.forgive(now);
        throttle.on_answer(true, now);
        assert!((0..100).all(|_| !throttle.refuses(now, &mut draws)));
    }

    #[test]
    fn a_single_refusal_throttles_nobody() {
        let (throttle, mut draws) = (Throttle::default(), Draws::seeded(5));
        let now = Moment::from_micros(1);
        throttle.on_answer(true, now);
        assert!((0..15).all(|_| !throttle.refuses(now, &mut draws)));
    }
}

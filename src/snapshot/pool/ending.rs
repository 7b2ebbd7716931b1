//! What the end of an attempt says of its upstream and its pool: how it ended in, breakers, ejection,
//! trials, latency and the table of failing keys out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Pool, Seat, SeatStanding};
use crate::balance::Policy;
use crate::clock::{Draws, Moment};
use crate::config::Stability;
use crate::http::failure::Cause;
use crate::snapshot::Way;
use crate::upstream::{
    BreakerSettings, Conditions, Counted, Fared, Outcome, SUCCESSES, Shown, StatusClass, Upstream,
};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As it is counted.
    pub outcome: Outcome,
    /// The status it was answered with, if it was.
    pub status: Option<u16>,
    /// Why it failed without an answer, or within it.
    pub cause: Option<Cause>,
    /// Until the response's head, or the failure.
    pub took: Duration,
    /// The part of it in which all of the request was on its way: how long a client takes to send
    /// says nothing of its upstream. None if there was none.
    pub waited: Option<Duration>,
    /// The client left before the response's head, and not early: it had waited for long after all
    /// of its request had been sent.
    pub was_given_up: bool,
    /// The upstream could not be reached: nothing was sent.
    pub was_refused: bool,
    /// What tells the client from others; not unique.
    pub client: u32,
}

impl Ended {
    /// Whether the upstream failed: no answer, or a 5xx.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Status(StatusClass::ServerError))
    }

    /// Whether the upstream itself seems to be away: no answer, or one that says so. A plain 500
    /// may be one bad request's.
    fn is_away(&self) -> bool {
        self.outcome == Outcome::Failed || matches!(self.status, Some(502..=504))
    }

    fn shows_work(&self) -> bool {
        use StatusClass::{Redirection, Success};
        matches!(self.outcome, Outcome::Status(Success | Redirection))
    }

    fn is_refusal(&self) -> bool {
        matches!(self.status, Some(429 | 503))
    }

    fn way(&self) -> Way {
        Way::of(self.outcome, self.status, self.cause)
    }
}

/// What an attempt is held to have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// How it ended.
    pub outcome: Outcome,
    /// It failed, and others show that this is its client's own doing.
    pub is_withheld: bool,
}

impl Pool {
    /// Hears what there is to hear of an attempt at an upstream that was out, as soon as its answer's
    /// head is known, for which it `waited` so long.
    pub fn settle_trial(
        &self,
        seat: &mut Seat,
        failed: bool,
        waited: Option<Duration>,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) {
        let fared = Fared { failed, slow: is_slow(waited, stability) };
        if seat.standing == SeatStanding::In {
            return;
        }
        let standing = std::mem::replace(&mut seat.standing, SeatStanding::Settled);
        let upstream = seat.in_flight.upstream();
        self.hear_trial((upstream, standing), Some(fared), false, stability, now, draws);
    }

    fn hear_trial(
        &self,
        (upstream, standing): (&Upstream, SeatStanding),
        fared: Option<Fared>,
        was_refused: bool,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) {
        let SeatStanding::Out(trial) = standing else { return };
        let needed = stability.breaker.as_ref().map_or(SUCCESSES, |breaker| breaker.successes);
        let is_good = fared.map(|fared| !fared.failed && !fared.slow);
        // Before it is judged: what puts it out meanwhile stands.
        let (seen, opening) = (upstream.look(), self.state.breaker.opening());
        match upstream.trials.leave(trial, is_good, needed) {
            Shown::Nothing => self.plan_trials(),
            Shown::Fails => {
                let usual = BreakerSettings::default();
                let breaker = stability.breaker.as_ref().unwrap_or(&usual);
                let ejection = stability.ejection.as_ref();
                upstream.stay_out(seen, was_refused, ejection, breaker, now, draws);
                if let (Some(breaker), true) = (&stability.breaker, trial.is_due) {
                    self.state.breaker.reopen(breaker, now, draws);
                }
                self.plan_trials();
            }
            Shown::Works => {
                upstream.come_back(seen, now);
                if opening.is_open() {
                    self.state.breaker.close_as(opening, now);
                }
                self.state.throttle.forgive(now);
                self.assess(stability, now);
            }
        }
    }

    /// Takes back a place where nothing was asked after all.
    pub fn let_go(&self, seat: Seat) {
        if let SeatStanding::Out(trial) = seat.standing {
            seat.in_flight.upstream().trials.leave(trial, None, SUCCESSES);
            self.plan_trials();
        }
    }

    /// Hears how an attempt ended, and acts on it: totals, breakers, ejection, latency. Answers with
    /// what it is held to have been.
    pub fn on_end(
        &self,
        seat: Seat,
        ended: &Ended,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) -> Held {
        let upstream = seat.in_flight.upstream();
        let ended = &Ended { outcome: verdict(upstream, ended, now), ..*ended };
        let is_known = ended.outcome != Outcome::ClientGone;
        let failed = ended.failed();
        let in_a_row = match (is_known, failed) {
            (false, _) => 0,
            (true, true) => upstream.note_failure(),
            (true, false) => {
                upstream.keys.note_good(ended.client, now);
                if ended.shows_work() {
                    upstream.note_working(now);
                }
                upstream.note_success()
            }
        };
        let was_in = seat.standing == SeatStanding::In;
        if is_known {
            self.state.attempts.count(failed);
            if !failed {
                match upstream.warmth.is_cold() {
                    true => self.state.cold.record(ended.took),
                    false => {
                        self.state.latency.record(ended.took);
                        let beyond = self.state.slow_from.beyond(ended.took);
                        if beyond > 0 {
                            upstream.judged.count_slow(beyond);
                        }
                    }
                }
            }
        }
        let mut counted = Counted::default();
        if is_known && failed {
            match self.withhold(upstream, ended, was_in, now) {
                None => return Held { outcome: ended.outcome, is_withheld: true },
                Some(it) => counted = it,
            }
        }
        if is_known {
            self.note_latency(upstream, ended, in_a_row, stability, now);
        }
        if !is_known
            && ended.status.is_none()
            && stability.balance.by == Policy::Latency
            && let Some(waited) = ended.waited
        {
            // A client that left before the answer began has waited at least so long: one that is
            // frozen must not look as fast as it was because nobody waits for it.
            upstream.latency.observe_at_least(waited, now);
        }
        let fared = is_known.then(|| Fared { failed, slow: is_slow(ended.waited, stability) });
        let standing = (&**upstream, seat.standing);
        self.hear_trial(standing, fared, ended.was_refused, stability, now, draws);
        let held = Held { outcome: ended.outcome, is_withheld: false };
        let Some(fared) = fared else { return held };
        let streak = Streak { in_a_row, is_doubtful: counted.is_doubtful };
        let has_changed = was_in && self.put_out(upstream, ended, streak, stability, now, draws);
        let mut is_broken = false;
        if let Some(settings) = &stability.breaker {
            upstream.breaker.note_before(counted.put_back, now);
            self.state.breaker.note_before(counted.put_back, now);
            if was_in && upstream.breaker.note(fared, settings, || true, now, draws) {
                upstream.note_breaker(now);
                is_broken = true;
            }
            let nobody_is_well = || !self.members.any_well();
            is_broken |= self.state.breaker.note(fared, settings, nobody_is_well, now, draws);
        }
        if has_changed || is_broken {
            self.assess(stability, now);
        }
        held
    }

    /// Hears of a failure: it is withheld if it is its client's own doing, else it counts.
    fn withhold(
        &self,
        upstream: &Arc<Upstream>,
        ended: &Ended,
        was_in: bool,
        now: Moment,
    ) -> Option<Counted> {
        let keys = &upstream.keys;
        keys.note_failed(ended.client, now);
        let failing = (ended.client, ended.way());
        // No client makes an upstream refuse connections; and one that is out has to show by whatever
        // comes that it works.
        if !was_in || ended.was_refused {
            return Some(keys.count(ended.client, true));
        }
        let heard = self.state.failing_keys.hear(failing, upstream, self.members.is_one(), now);
        if !heard.unwrap_or_else(|| keys.withholds(ended.client)) {
            return Some(keys.count(ended.client, false));
        }
        if !keys.withhold(ended.client) {
            return Some(keys.count(ended.client, true));
        }
        if ended.is_away() {
            // Should it count after all, then for all that goes by failures in a row.
            upstream.note_away(ended.client, now);
        }
        self.state.failing_keys.note_withheld(failing, now);
        self.state.withheld.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Whether an attempt at one that was in puts it out, but for its breaker.
    fn put_out(
        &self,
        upstream: &Upstream,
        ended: &Ended,
        streak: Streak,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) -> bool {
        if !ended.is_away() {
            return false;
        }
        let Streak { in_a_row, is_doubtful } = streak;
        let is_ejected = !is_doubtful && self.eject(upstream, in_a_row, stability, now, draws);
        if ended.was_refused {
            upstream.note_refused(now);
            return true;
        }
        let all_failed = upstream.note_away(ended.client, now);
        // What is left to work by itself is left alone by this as well.
        if all_failed && !is_doubtful && stability.ejection.is_some() && !upstream.is_out() {
            let usual = BreakerSettings::default();
            let breaker = stability.breaker.as_ref().unwrap_or(&usual);
            upstream.note_failing(breaker, now, draws);
            return true;
        }
        is_ejected
    }

    fn note_latency(
        &self,
        upstream: &Upstream,
        ended: &Ended,
        in_a_row: u32,
        stability: &Stability,
        now: Moment,
    ) {
        if stability.limits.throttle {
            self.state.throttle.on_answer(ended.is_refusal(), now);
        }
        if let (true, Some(waited)) = (stability.limits.adaptive, ended.waited) {
            self.state.gradient.observe(waited, self.state.load().sent(), now);
        }
        if stability.balance.by == Policy::Latency {
            match (ended.failed(), ended.waited) {
                (true, _) => upstream.latency.observe_failure(ended.took, in_a_row, now),
                (false, Some(waited)) => upstream.latency.observe(waited, in_a_row, now),
                (false, None) => {}
            }
        }
    }

    /// Takes an upstream out that failed too often in a row, unless too many are out already.
    fn eject(
        &self,
        upstream: &Upstream,
        in_a_row: u32,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) -> bool {
        let Some(settings) = &stability.ejection else { return false };
        let is_out = |upstream: &Upstream| upstream.conditions().any(Conditions::EJECTED);
        if in_a_row < settings.failures || is_out(upstream) {
            return false;
        }
        // Whoever finds it taken comes again with the next failure.
        let Ok(_alone) = self.state.ejecting.try_lock() else { return false };
        let members = self.members.list();
        let out = members.iter().filter(|member| is_out(&member.upstream)).count();
        if out >= settings.most(members.len()) || is_out(upstream) {
            return false;
        }
        upstream.ejection.eject(settings, now, draws);
        upstream.note_ejected(now);
        true
    }
}

/// How many failed in a row on an upstream, and whether some of them are withheld.
#[derive(Clone, Copy, Debug)]
struct Streak {
    in_a_row: u32,
    is_doubtful: bool,
}

/// Whether an answer's head took too long for the breakers.
fn is_slow(waited: Option<Duration>, stability: &Stability) -> bool {
    let slow = stability.breaker.as_ref().and_then(|breaker| breaker.slow);
    slow.is_some_and(|slow| waited > Some(slow))
}

/// How an attempt ended, as its upstream is held to it. A frozen upstream before impatient clients
/// would never fail if it took a time-out to say so, so a wait that was given up is a failure too.
/// But anybody can hang up on an answer that takes long by its nature: it is one only if nobody got
/// a good answer of this upstream since the attempt began. One client that is served clears it.
fn verdict(upstream: &Upstream, ended: &Ended, now: Moment) -> Outcome {
    let began = Moment::from_micros(now.micros().saturating_sub(ended.took.as_micros() as u64));
    match ended.was_given_up && !upstream.answered_since(began) {
        true => Outcome::Failed,
        false => ended.outcome,
    }
}

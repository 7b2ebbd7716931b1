//! What happens on upstreams: a place taken, an answer heard or a failure, and what that says of
//! the upstream. `again.rs` has what is done about a failure.

use std::time::{Duration, Instant};

use super::Exchange;
use super::again::Doubt;
use super::observing::{Over, Reported};
use crate::config::Timeouts;
use crate::http::failure::Cause;
use crate::http::upgrade;
use crate::http::view::View;
use crate::route::Facts;
use crate::snapshot::{Asks, Chosen, Committed, Ended, Refusal, Seat, Service, Why};
use crate::upstream::{Outcome, StatusClass, Target, Upstream};

/// Waits shorter than this are nobody's failure, however short the settings are.
const SHORTEST_LONG: Duration = Duration::from_secs(1);

/// One upstream being asked.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) seat: Seat,
    target: Target,
    /// With the end of its pause.
    started: Instant,
    /// Since when the upstream is waited for; none while the request's body comes in.
    asked: Option<Instant>,
    /// Until the response's head.
    took: Option<Duration>,
    outcome: Option<Outcome>,
    status: Option<u16>,
    /// What its answer's head said to a rollout's ledger.
    reported: Reported,
    /// Before it begins.
    pause: Duration,
    /// How long the response's head may take.
    within: Duration,
}

impl Attempt {
    pub fn upstream(&self) -> &Upstream {
        self.seat.in_flight.upstream()
    }

    /// How long its upstream has been waited for.
    fn waited(&self, now: Instant) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked))
    }
}

/// Where to try, and how long each part may take.
#[derive(Clone, Debug)]
pub struct Try {
    /// Where to dial.
    pub target: Target,
    /// The service's time-outs.
    pub timeouts: Timeouts,
    /// How long to wait before.
    pub pause: Duration,
}

/// What only the lane knows of a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Whether the upstream may have seen any of the request.
    pub was_sent: bool,
    /// Whether it was sent on a kept connection that turned out to be dead.
    pub was_stale: bool,
    /// Whether the request's body, if any, can be sent again.
    pub can_replay: bool,
}

impl Exchange {
    /// Decides where the request goes and takes a place there.
    pub(super) fn place(&mut self, facts: &Facts<'_>, asks: Asks<'_>) -> Result<(), Refusal> {
        let is_later = self.has_waited || asks.doubtful;
        let now = if is_later { self.clock.now() } else { self.started };
        let moment = self.snapshot.moment(now);
        let chosen = self.snapshot.choose(facts, asks, moment, &mut self.draws);
        if let Err(refusal) = &chosen {
            // Places are those of this snapshot; one from an earlier look may not be there any more.
            self.pool = refusal.at;
        }
        self.sit_down(chosen, now)?;
        if let Some(choice) = &self.decision {
            self.note_arrival(choice);
        }
        Ok(())
    }

    /// Takes the places that a choice needs: one of the service, one of the upstream.
    pub(super) fn sit_down(&mut self, chosen: Chosen, now: Instant) -> Result<(), Refusal> {
        let snapshot = self.snapshot.clone();
        if let Ok(choice) = &chosen {
            let at = (choice.service, choice.pool);
            self.pool = Some(at);
            if self.hold.is_none() {
                let service = &snapshot.services[choice.service];
                let hold = service.state.take(service.stability.limits.in_flight);
                self.hold = Some(hold.ok_or(Refusal { why: Why::Full, at: Some(at) })?);
            }
        }
        let moment = snapshot.moment(now);
        let committed = snapshot.commit(chosen, &[], moment, &mut self.draws)?;
        let choice = committed.choice;
        self.attempt = Some(self.seat(committed, Duration::ZERO, self.tries, now));
        self.tried.push(choice.member);
        self.tries += 1;
        self.decision = Some(choice);
        snapshot.services[choice.service].state.budget.on_request(moment);
        Ok(())
    }

    /// An attempt that begins after this pause, and after so many tries.
    pub(super) fn seat(&self, at: Committed, pause: Duration, tries: u32, now: Instant) -> Attempt {
        let service = &self.snapshot.services[at.choice.service];
        let stability = &service.stability;
        let started = now + pause;
        let mut within = stability.retries.per_try.unwrap_or(service.timeouts.response);
        if tries > 0 {
            // The time for tries decides how long to go on trying, not how long an answer may take.
            let spent = started.saturating_duration_since(self.let_in);
            within = within.min(stability.retries.total.saturating_sub(spent));
        }
        Attempt {
            seat: at.seat,
            target: at.target,
            started,
            asked: Some(started),
            took: None,
            outcome: None,
            status: None,
            reported: Reported::default(),
            pause,
            within,
        }
    }

    /// Where to try next; the place there has been taken.
    pub fn attempt(&mut self) -> Result<Try, Cause> {
        let timeouts = self.timeouts();
        let attempt = self.attempt.as_ref().ok_or(Cause::NoUpstream)?;
        Ok(Try { target: attempt.target.clone(), timeouts, pause: attempt.pause })
    }

    /// The bounds of the service being asked; the defaults before one is known. The response's is
    /// that of the try under way.
    pub fn timeouts(&self) -> Timeouts {
        let service = self.decision.map(|decision| &self.snapshot.services[decision.service]);
        let mut timeouts = service.map_or_else(Timeouts::default, |service| service.timeouts);
        if let Some(attempt) = &self.attempt {
            timeouts.response = attempt.within;
        }
        timeouts
    }

    /// Hears that the request goes out on a new connection, or on a kept one.
    pub fn on_connected(&mut self, is_reused: bool) {
        if let Some(attempt) = &self.attempt {
            attempt.upstream().connections.count(is_reused);
        }
    }

    /// Hears that the request's body has yet to come: it is the client that is waited for.
    pub fn on_upload(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.asked = None;
        }
    }

    /// Hears that all of the request is on its way: from now on the upstream is waited for.
    pub fn on_request_end(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.asked.get_or_insert_with(|| self.clock.now());
        }
    }

    /// Hears the head of an upstream's response; refuses one that may not be passed on, or that is
    /// better asked for again elsewhere.
    pub fn on_response_head(
        &mut self,
        status: u16,
        view: View<'_>,
        can_replay: bool,
    ) -> Result<(), Cause> {
        if status == 101 && !(self.asks_websocket && upgrade::is_made(view)) {
            // A switch nobody asked for would open a tunnel past every rule.
            return Err(Cause::BadResponse);
        }
        if status != 101 && status < 200 {
            return Ok(());
        }
        let now = self.clock.now();
        let reported = self.read_report(view);
        if let Some(attempt) = &mut self.attempt {
            attempt.reported = reported;
            attempt.outcome = Some(Outcome::Status(StatusClass::of(status)));
            attempt.status = Some(status);
            attempt.took = Some(now.saturating_duration_since(attempt.started));
        }
        let doubt = self.doubt(status);
        let wire = Wire { was_sent: true, was_stale: false, can_replay };
        match doubt != Doubt::None && self.try_again(wire, doubt, now) {
            true => Err(Cause::Retried),
            false => {
                self.hear_head(status, now);
                self.begin_to_keep(status, view, now);
                self.begin_to_compare(status, view);
                Ok(())
            }
        }
    }

    /// What a breaker tried out is known with the head, and that the upstream is not frozen: a long
    /// answer is no reason to try nobody else.
    fn hear_head(&mut self, status: u16, now: Instant) {
        let (Some(decision), Some(attempt)) = (self.decision, &mut self.attempt) else { return };
        let service = &self.snapshot.services[decision.service];
        let (pool, moment) = (&service.pools[decision.pool], self.snapshot.moment(now));
        let took = attempt.took.unwrap_or_default();
        let (seat, stability) = (&mut attempt.seat, &service.stability);
        if status < 500 {
            seat.in_flight.upstream().note_answer(moment);
        }
        pool.settle_trials(seat, status >= 500, took, stability, moment, &mut self.draws);
    }

    /// Hears that the attempt under way came to nothing. Answers whether another one is to be
    /// made; its place is taken then.
    pub fn on_attempt_failed(&mut self, cause: Cause, wire: Wire) -> bool {
        self.cause = Some(cause);
        self.compare_nothing();
        let Some(attempt) = &mut self.attempt else { return false };
        let had_answer = attempt.outcome.is_some();
        match (cause.row().upstream_at_fault, attempt.outcome) {
            (true, _) => attempt.outcome = Some(Outcome::Failed),
            (false, None) => attempt.outcome = Some(Outcome::ClientGone),
            (false, Some(_)) => {}
        }
        let now = self.clock.now();
        cause.row().upstream_at_fault && !had_answer && self.try_again(wire, Doubt::Failure, now)
    }

    /// Accounts for the attempt under way; answers with how it ended.
    pub(super) fn end_attempt(&mut self, now: Instant) -> Option<Outcome> {
        let attempt = self.attempt.take()?;
        let duration = now.saturating_duration_since(attempt.started);
        let outcome = attempt.outcome.unwrap_or(Outcome::ClientGone);
        attempt.upstream().tally.record(outcome, duration);
        if let Some(decision) = self.decision {
            let service = &self.snapshot.services[decision.service];
            let ended = Ended {
                outcome,
                status: attempt.status,
                took: attempt.took.unwrap_or(duration),
                was_given_up: self.cause == Some(Cause::ClientGone)
                    && attempt.status.is_none()
                    && attempt.waited(now) > long(service),
            };
            let (pool, moment) = (&service.pools[decision.pool], self.snapshot.moment(now));
            let sampled = self.wants_sample(&decision);
            let upstream = sampled.then(|| attempt.upstream().name.clone());
            let (status, took, reported) = (ended.status, ended.took, attempt.reported);
            let held =
                pool.on_end(attempt.seat, &ended, &service.stability, moment, &mut self.draws);
            let over = Over { outcome: held, status, took, reported, upstream };
            self.note_attempt(&decision, over);
        }
        Some(outcome)
    }

    /// Whether the upstream has begun its final answer.
    pub fn has_answer(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.outcome.is_some())
    }
}

/// A wait for an answer's head that is long for this service: what its breaker calls slow; without
/// that a third of what one try may take, which an upstream that is well hardly ever needs and an
/// impatient client (a page that is closed, a caller with a time-out of its own) still waits.
fn long(service: &Service) -> Duration {
    let stability = &service.stability;
    let slow = stability.breaker.as_ref().and_then(|breaker| breaker.slow);
    let per_try = stability.retries.per_try.unwrap_or(service.timeouts.response);
    slow.unwrap_or_else(|| (per_try / 3).max(SHORTEST_LONG))
}

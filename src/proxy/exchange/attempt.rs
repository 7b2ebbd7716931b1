//! What happens on upstreams: a place taken, an answer heard or a failure, another place taken.
//!
//! Whether a failed attempt is made again is decided the moment it fails, before an upstream's
//! real answer is given up: only if there is somebody else to ask, and then the place with them is
//! taken at once.

use std::time::{Duration, Instant};

use http::HeaderMap;

use super::super::failure::Cause;
use super::{Exchange, names_websocket};
use crate::balance::{Failed, Retry};
use crate::config::Timeouts;
use crate::route::Facts;
use crate::snapshot::{Asks, By, Decision, Ended, Refusal, Seat, Service, Why};
use crate::upstream::{Outcome, StatusClass, Target, Upstream};

/// How many dead kept connections are forgiven before one counts as a failure.
const MOST_RECONNECTS: u32 = 3;

/// One upstream being asked.
#[derive(Debug)]
pub(super) struct Attempt {
    seat: Seat,
    target: Target,
    started: Instant,
    /// Until the response's head.
    took: Option<Duration>,
    outcome: Option<Outcome>,
    status: Option<u16>,
    /// Whether it counts for nothing: a kept connection was dead.
    is_stale: bool,
    /// Before it begins.
    pause: Duration,
    /// How long the response's head may take.
    within: Duration,
}

impl Attempt {
    pub fn upstream(&self) -> &Upstream {
        self.seat.in_flight.upstream()
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
        let decided = self.snapshot.decide(facts, asks, moment, &mut self.draws);
        // Places are those of this snapshot; one from an earlier look may not be there any more.
        let decision = decided.inspect_err(|refusal| self.pool = refusal.at)?;
        self.sit_down(decision, now)
    }

    /// Takes the places that a decision needs: one of the service, one of the upstream.
    pub(super) fn sit_down(&mut self, decision: Decision, now: Instant) -> Result<(), Refusal> {
        let at = (decision.service, decision.pool);
        self.pool = Some(at);
        let refused = |why| Refusal { why, at: Some(at) };
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[decision.service];
        if self.hold.is_none() {
            let limit = service.stability.limits.in_flight;
            self.hold = Some(service.state.take(limit).ok_or(refused(Why::Full))?);
        }
        let attempt = self.seat(service, at.1, decision.member, now);
        self.attempt = Some(attempt.ok_or(refused(Why::Open))?);
        self.decision = Some(decision);
        service.state.budget.on_request(snapshot.moment(now));
        Ok(())
    }

    fn seat(
        &mut self,
        service: &Service,
        pool: usize,
        member: usize,
        now: Instant,
    ) -> Option<Attempt> {
        let pool = &service.pools[pool];
        let target = pool.members.list()[member].target.clone()?;
        let seat = pool.take(member, &service.stability, self.snapshot.moment(now))?;
        let retries = &service.stability.retries;
        let left = retries.total.saturating_sub(now.saturating_duration_since(self.let_in));
        let within = retries.per_try.unwrap_or(service.timeouts.response).min(left);
        self.tried.push(member);
        self.tries += 1;
        Some(Attempt {
            seat,
            target,
            started: now,
            took: None,
            outcome: None,
            status: None,
            is_stale: false,
            pause: Duration::ZERO,
            within,
        })
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

    /// Hears the head of an upstream's response; refuses one that may not be passed on, or that is
    /// better asked for again elsewhere.
    pub fn on_response_head(
        &mut self,
        status: u16,
        headers: &HeaderMap,
        can_replay: bool,
    ) -> Result<(), Cause> {
        if status == 101 && !(self.asks_websocket && names_websocket(headers)) {
            // A switch nobody asked for would open a tunnel past every rule.
            return Err(Cause::BadResponse);
        }
        if status != 101 && status < 200 {
            return Ok(());
        }
        let now = self.clock.now();
        if let Some(attempt) = &mut self.attempt {
            attempt.outcome = Some(Outcome::Status(StatusClass::of(status)));
            attempt.status = Some(status);
            attempt.took = Some(now.saturating_duration_since(attempt.started));
        }
        let wire = Wire { was_sent: true, was_stale: false, can_replay };
        match self.is_worth_a_retry(status) && self.try_again(wire, now) {
            true => Err(Cause::Retried),
            false => {
                self.settle_trials(status, now);
                self.begin_to_keep(status, headers, now);
                self.begin_to_compare(status, headers);
                Ok(())
            }
        }
    }

    /// What a breaker tried out is known with the head: a long answer is no reason to try nobody else.
    fn settle_trials(&mut self, status: u16, now: Instant) {
        let (Some(decision), Some(attempt)) = (self.decision, &mut self.attempt) else { return };
        let service = &self.snapshot.services[decision.service];
        let (pool, moment) = (&service.pools[decision.pool], self.snapshot.moment(now));
        let took = attempt.took.unwrap_or_default();
        let (seat, stability) = (&mut attempt.seat, &service.stability);
        pool.settle_trials(seat, status >= 500, took, stability, moment, &mut self.draws);
    }

    /// Whether a status is to be taken for a failure: where the service says so, and a canary's 5xx.
    fn is_worth_a_retry(&self, status: u16) -> bool {
        if status < 400 {
            return false;
        }
        let Some(decision) = &self.decision else { return false };
        let service = &self.snapshot.services[decision.service];
        let retries = &service.stability.retries;
        retries.statuses.contains(&status)
            || status >= 500 && retries.shield && service.is_canary(decision.pool)
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
        attempt.is_stale = wire.was_stale;
        let now = self.clock.now();
        cause.row().upstream_at_fault && !had_answer && self.try_again(wire, now)
    }

    /// Ends the attempt under way and begins another, if the service's rules allow one and there
    /// is somebody to ask. Otherwise the attempt stays as it is.
    fn try_again(&mut self, wire: Wire, now: Instant) -> bool {
        let Some(decision) = self.decision else { return false };
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[decision.service];
        let moment = snapshot.moment(now);
        let failed = Failed {
            was_sent: wire.was_sent,
            was_stale: wire.was_stale && self.reconnects < MOST_RECONNECTS,
            is_idempotent: self.is_idempotent,
            can_replay: wire.can_replay,
            tries: self.tries,
            elapsed: now.saturating_duration_since(self.let_in),
            on_canary: decision.by != By::StandIn && service.is_canary(decision.pool),
        };
        let settings = &service.stability.retries;
        let Some(retry) = settings.decide(&failed, &service.state.budget, moment, &mut self.draws)
        else {
            return false;
        };
        let (pool, pause) = match retry {
            Retry::Reconnect => (decision.pool, Duration::ZERO),
            Retry::Another(pause) => (decision.pool, pause),
            Retry::Stable => (service.stable, Duration::ZERO),
        };
        match retry {
            Retry::Reconnect => drop(self.tried.pop()),
            Retry::Another(_) => {}
            Retry::Stable => self.tried.clear(),
        }
        let (stability, tried) = (&service.stability, &self.tried);
        let picked = service.pools[pool].pick(
            stability,
            tried,
            decision.key,
            false,
            moment,
            &mut self.draws,
        );
        let seat = picked.ok().and_then(|member| self.seat(service, pool, member, now));
        let Some(mut next) = seat else { return false };
        next.pause = pause;
        if retry == Retry::Reconnect {
            // Nobody was asked: it is the same try.
            self.tries -= 1;
            self.reconnects += 1;
        }
        if retry == Retry::Stable {
            service.pools[decision.pool]
                .state
                .shielded
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        service.state.budget.on_retry();
        self.end_attempt(now);
        self.decision = Some(Decision { pool, ..decision });
        self.attempt = Some(next);
        true
    }

    /// Accounts for the attempt under way; answers with how it ended.
    pub(super) fn end_attempt(&mut self, now: Instant) -> Option<Outcome> {
        let attempt = self.attempt.take()?;
        let duration = now.saturating_duration_since(attempt.started);
        let outcome = attempt.outcome.unwrap_or(Outcome::ClientGone);
        attempt.upstream().tally.record(outcome, duration);
        let ended = Ended {
            outcome: if attempt.is_stale { Outcome::ClientGone } else { outcome },
            status: attempt.status,
            took: attempt.took.unwrap_or(duration),
        };
        if let Some(decision) = self.decision {
            let service = &self.snapshot.services[decision.service];
            let (pool, moment) = (&service.pools[decision.pool], self.snapshot.moment(now));
            pool.on_end(attempt.seat, &ended, &service.stability, moment, &mut self.draws);
        }
        Some(outcome)
    }

    /// Whether the upstream has begun its final answer.
    pub fn has_answer(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.outcome.is_some())
    }
}

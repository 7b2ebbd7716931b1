//! What is done about a failed attempt: the attempt and what failed in, another one with its place
//! taken, or a no, out.
//!
//! This is decided the moment it fails, before an upstream's real answer is given up: only if there
//! is somebody else to ask, and then the place with them is taken at once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Exchange;
use super::attempt::Asking;
use super::phases::Delivery;
use crate::balance::{Failed, Retry};
use crate::clock::Moment;
use crate::snapshot::{By, Choice, Service};

/// What is held of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is believed.
    None,
    /// A canary says so, and the stable pool may know better.
    OfCanary,
    /// One that is being tried says so, and one that is well may know better.
    OfTrial,
    /// It is a failure.
    Failure,
}

/// How many dead kept connections are forgiven before one counts as a failure.
const MOST_RECONNECTS: u32 = 3;

impl Exchange {
    /// What is held of a status: a failure where the service says so; a canary's 5xx is not believed.
    pub(super) fn doubt(&self, status: u16) -> Doubt {
        let Some(decision) = self.decision.filter(|_| status >= 400) else { return Doubt::None };
        let service = &self.snapshot.services[decision.service];
        let retries = &service.stability.retries;
        if retries.statuses.contains(&status) {
            return Doubt::Failure;
        }
        if status >= 500 && self.asking.as_ref().is_some_and(|asking| asking.seat.is_trial()) {
            return Doubt::OfTrial;
        }
        match status >= 500 && retries.shield && is_shielded(service, &decision) {
            true => Doubt::OfCanary,
            false => Doubt::None,
        }
    }

    /// Ends the attempt under way and begins another, if the service's rules allow one and there
    /// is somebody to ask. Otherwise the attempt stays as it is, and what is told instead of a trial is known.
    pub(super) fn try_again(&mut self, delivery: Delivery, doubt: Doubt, now: Moment) -> bool {
        let Some(decision) = self.decision else { return false };
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[decision.service];
        let Some(asking) = &self.asking else { return false };
        let members = &service.pools[decision.pool].members;
        let began = self.offered_since.unwrap_or(asking.began());
        let failed = Failed {
            was_sent: delivery.was_sent,
            was_stale: delivery.was_stale && self.reconnects < MOST_RECONNECTS,
            is_idempotent: self.is_idempotent,
            can_replay: delivery.can_replay,
            tries: self.attempts,
            elapsed: now.elapsed_since(self.let_in),
            on_canary: is_shielded(service, &decision),
            is_failure: doubt == Doubt::Failure,
            // Testers see what they asked for.
            has_stand_in: service.stand_in.is_some_and(|pool| pool != decision.pool)
                && !matches!(decision.by, By::StandIn | By::OptIn),
            was_trial: asking.seat.is_trial(),
            offered: self.tried.len(),
            offering: now.elapsed_since(began),
            connect: service.timeouts.connect,
            was_alone: asking.was_broken && members.is_one(),
        };
        for retry in service.stability.retries.ways(&failed, &mut self.draws) {
            if let Some((to, next)) = self.seat_again(retry, decision, now) {
                self.change_over(retry, (to, next), now);
                return true;
            }
        }
        self.instead = self.instead_of_trial().map(Box::new);
        false
    }

    /// Somebody to ask in this way, if there is anybody and the budget bears it, and a place there.
    fn seat_again(&mut self, retry: Retry, from: Choice, now: Moment) -> Option<(Choice, Asking)> {
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[from.service];
        let stability = &service.stability;
        // By now more of its body may have come than when it was chosen.
        let from = from.with(self.upload);
        let before = self.tried.split_last().map_or(&[][..], |(_, before)| before);
        let (pool, tried) = match retry {
            Retry::Reconnect => (from.pool, before),
            Retry::Another(_) | Retry::Onward | Retry::Relief => (from.pool, &self.tried[..]),
            Retry::Same(_) => (from.pool, before),
            Retry::Stable => (service.stable, &[][..]),
            Retry::StandIn => (from.pool, &[][..]),
        };
        let chosen = match retry {
            Retry::StandIn => snapshot.choose_stand_in(from, now, &mut self.draws)?,
            Retry::Relief => snapshot.choose_well(from, tried, now, &mut self.draws),
            _ => snapshot.choose_again(from, pool, tried, now, &mut self.draws),
        };
        // Worth a look at some of them: something has failed.
        let not_taken = snapshot.not_taken(&chosen, tried, now);
        let of = match chosen {
            Ok(choice) => choice.pool,
            Err(refusal) => refusal.at.map_or(pool, |(_, pool)| pool),
        };
        self.noted.pass_over(of, not_taken);
        let (pause, attempts) = match retry {
            // Nobody was asked: it is the same attempt.
            Retry::Reconnect => (Duration::ZERO, self.attempts - 1),
            Retry::Another(pause) | Retry::Same(pause) => (pause, self.attempts),
            _ => (Duration::ZERO, self.attempts),
        };
        let is_paid_for = matches!(retry, Retry::Another(_) | Retry::Same(_));
        let budget = &service.state.budget;
        if chosen.is_ok() && is_paid_for && !budget.affords(stability.retries.budget, now) {
            budget.refuse();
            return None;
        }
        let committed = snapshot.commit(chosen, tried, now, &mut self.draws).ok()?;
        if is_paid_for {
            budget.spend(now);
        }
        if retry == Retry::Onward && self.offered_since.is_none() {
            self.offered_since = self.asking.as_ref().map(Asking::began);
        }
        Some((committed.choice, self.seat(committed, pause, attempts, now)))
    }

    /// Ends the attempt under way and begins the next.
    fn change_over(&mut self, retry: Retry, (to, next): (Choice, Asking), now: Moment) {
        let snapshot = self.snapshot.clone();
        let service = &snapshot.services[to.service];
        match retry {
            Retry::Reconnect => {
                self.forgive_attempt();
                self.tried.pop();
                self.reconnects += 1;
            }
            Retry::Another(_) => self.attempts += 1,
            Retry::Same(_) => {
                self.tried.pop();
                self.attempts += 1;
            }
            // Nobody has done anything for it, or it was asked on our behalf.
            Retry::Onward | Retry::Relief => {}
            Retry::Stable => {
                self.note_shielded();
                self.tried.clear();
                self.attempts += 1;
            }
            Retry::StandIn => {
                service.state.fallbacks.pool.fetch_add(1, Ordering::Relaxed);
                self.pool = Some((to.service, to.pool));
                self.noted.by = Some(to.by);
                self.tried.clear();
                self.attempts += 1;
            }
        }
        service.state.budget.on_retry();
        self.end_attempt(now);
        // Why the one before failed is in the record; this one has not failed yet.
        self.cause = None;
        self.tried.push(to.member);
        self.decision = Some(to);
        self.asking = Some(next);
        self.trace_attempt();
        self.edit_again();
    }

    /// The stable pool takes what the pool that the request belongs to could not do.
    pub(super) fn note_shielded(&self) {
        let Some((service, pool)) = self.pool else { return };
        let state = &self.snapshot.services[service].pools[pool].state;
        state.shielded.fetch_add(1, Ordering::Relaxed);
    }

    /// The attempt under way counts for nothing: a kept connection was dead, and another is used.
    fn forgive_attempt(&mut self) {
        let (Some(decision), Some(asking)) = (self.decision, self.asking.take()) else { return };
        let service = &self.snapshot.services[decision.service];
        service.pools[decision.pool].let_go(asking.seat);
    }
}

/// Whether a failure is tried again on the stable pool: it is a canary's, and nobody asked for the
/// canary. Who did wants to see how it does.
fn is_shielded(service: &Service, decision: &Choice) -> bool {
    matches!(decision.by, By::Cohort(_) | By::Draw) && service.is_canary(decision.pool)
}

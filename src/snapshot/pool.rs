//! One pool as requests see it: who may be asked, who is asked, and how it went.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Attempts, Why};
use crate::balance::{
    Gradient, Heard, Member, Members, NoMember, NotTaken, Picking, Policy, Queue, Standing,
    Throttle,
};
use crate::clock::{Draws, Moment};
use crate::config::Stability;
use crate::judge::Histogram;
use crate::upstream::{
    Breaker, Conditions, DialAddress, Entry, Fared, InFlight, Outcome, StatusClass, Tally, Upstream,
};

/// One pool as requests see it.
#[derive(Debug)]
pub struct Pool {
    /// Unique in its service.
    pub name: Arc<str>,
    /// Its upstreams with their weights.
    pub members: Members,
    /// What lives on from snapshot to snapshot.
    pub state: Arc<PoolState>,
}

/// What we know of one pool, by (service, pool).
#[derive(Debug)]
pub struct PoolState {
    /// What users got from it, request by request.
    pub tally: Tally,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// How it spares a pool that refuses.
    pub throttle: Throttle,
    /// Its limit, where limits are adaptive.
    pub gradient: Gradient,
    /// Requests that wait for a place on one of its upstreams.
    pub queue: Arc<Queue>,
    /// What its upstreams did, attempt by attempt.
    pub attempts: Attempts,
    /// How long its upstreams took to the head of their answers, but for failures.
    pub latency: Histogram,
    /// Requests that failed or were refused here and were taken by the stable pool instead.
    pub shielded: AtomicU64,
    in_flight: AtomicU32,
    panics: AtomicBool,
    turn: AtomicUsize,
    /// Held while one is ejected, so that two at once do not exceed the share that may be.
    ejecting: Mutex<()>,
}

/// What is asked of a pool: somebody who takes a request.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The service's settings.
    pub stability: &'a Stability,
    /// Places that have been tried already for this request.
    pub tried: &'a [usize],
    /// What the client is known by, for consistent hashing.
    pub key: Option<u64>,
    /// Whether somebody else answers when nobody is well.
    pub spares: bool,
    /// Now.
    pub now: Moment,
}

/// Who is to take a request. Nothing is taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// A place in [`Members::list`].
    pub member: usize,
    /// The turn of the pool by which it was picked.
    pub(super) turn: usize,
}

/// What a request has that was committed to a pool.
#[derive(Debug)]
pub struct Taken {
    /// Where: a place in [`Members::list`].
    pub member: usize,
    /// Its place there.
    pub seat: Seat,
    /// Where to dial.
    pub target: DialAddress,
}

/// A place on an upstream, for one attempt. The upstream's is given back before the pool's, which
/// calls who waits.
#[derive(Debug)]
pub struct Seat {
    /// The upstream's place.
    pub in_flight: InFlight,
    pool: PoolHold,
    entry: Option<Entry>,
    pool_entry: Option<Entry>,
}

/// Counts one request in flight on a pool until it is dropped; then calls who waits for the pool.
#[derive(Debug)]
struct PoolHold(Arc<PoolState>);

impl Drop for PoolHold {
    fn drop(&mut self) {
        // In one order with the look at the line: whoever joined it saw this place taken.
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.queue.call_next();
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// As it is counted.
    pub outcome: Outcome,
    /// The status it was answered with, if it was.
    pub status: Option<u16>,
    /// Until the response's head, or the failure.
    pub took: Duration,
    /// The client left before the response's head, and not early: it had waited for long after all
    /// of its request had been sent.
    pub was_given_up: bool,
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

    fn is_refusal(&self) -> bool {
        matches!(self.status, Some(429 | 503))
    }
}

impl Default for PoolState {
    fn default() -> PoolState {
        PoolState {
            tally: Tally::default(),
            breaker: Breaker::default(),
            throttle: Throttle::default(),
            gradient: Gradient::default(),
            queue: Arc::default(),
            attempts: Attempts::default(),
            latency: Histogram::new(THREADS),
            shielded: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            panics: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            ejecting: Mutex::new(()),
        }
    }
}

/// Threads that record latencies without getting in each other's way; more share.
const THREADS: usize = 16;

impl PoolState {
    /// Requests that the pool holds now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether too few of its upstreams are well, so that all are tried.
    pub fn panics(&self) -> bool {
        self.panics.load(Ordering::Relaxed)
    }
}

impl Pool {
    /// Whether it would take a request now, but for limits.
    pub fn is_available(&self, stability: &Stability, now: Moment) -> bool {
        let tries_anyone = stability.balance.panic > 0 && self.members.any_left_in();
        self.is_ready(stability, now) || tries_anyone && self.admits(stability, now)
    }

    /// Whether it may be given more: its breaker lets requests through and somebody is well. A pool
    /// that is only tried because nobody is well is no place to move traffic to.
    pub fn is_ready(&self, stability: &Stability, now: Moment) -> bool {
        let (slow_start, breaker) = (stability.balance.slow_start, stability.breaker.as_ref());
        let mut members = self.members.list().iter();
        self.admits(stability, now)
            && members.any(|member| member.is_available(slow_start, breaker, now))
    }

    /// Finds out how many of its upstreams are well, and whether that is too few. Lets what is over
    /// be over, such as an ejection.
    pub fn assess(&self, stability: &Stability, now: Moment) -> Standing {
        let slow_start = stability.balance.slow_start;
        for member in self.members.list() {
            member.upstream.refresh(slow_start, now);
        }
        let standing = self.members.assess(&stability.balance, stability.breaker.as_ref(), now);
        self.state.panics.store(standing.panics(stability.balance.panic), Ordering::Relaxed);
        standing
    }

    /// Whether its own breaker lets a request through.
    fn admits(&self, stability: &Stability, now: Moment) -> bool {
        match &stability.breaker {
            Some(settings) => self.state.breaker.admits(settings, now),
            None => self.state.breaker.order() != crate::upstream::BreakerOrder::Open,
        }
    }

    /// Who is to be asked, or why nobody. Nothing that can be seen changes by it, however often it is
    /// asked; [`Pool::commit`] is what counts.
    pub fn choose(
        &self,
        ask: &Ask<'_>,
        draws: &mut Draws,
        heard: &mut impl Heard,
    ) -> Result<Pick, Why> {
        let (state, limits) = (&self.state, &ask.stability.limits);
        if !self.admits(ask.stability, ask.now) {
            return Err(Why::Open);
        }
        if limits.throttle && state.throttle.refuses(ask.now, draws) {
            return Err(Why::Throttled);
        }
        if limits.adaptive && state.in_flight() >= state.gradient.limit() {
            return Err(Why::PoolFull);
        }
        let turn = state.turn.load(Ordering::Relaxed);
        let member = self.members.pick(&self.picking(ask, turn), draws, heard)?;
        Ok(Pick { member, turn })
    }

    /// Takes what was chosen: the turn, trials of breakers, a place in flight. Somebody may have been
    /// faster: each turn is taken once, so that who comes second is given the member whose turn it
    /// is by then; and who finds the last trial of the pool taken is refused.
    pub fn commit(&self, pick: Pick, ask: &Ask<'_>, draws: &mut Draws) -> Result<Taken, Why> {
        let mut member = pick.member;
        if self.members.go_by_turns() {
            let turn = self.state.turn.fetch_add(1, Ordering::Relaxed);
            if turn != pick.turn {
                member = self.members.pick(&self.picking(ask, turn), draws, &mut ())?;
            }
        }
        let target = self.members.list()[member].target.clone().ok_or(Why::NoUpstream)?;
        let seat = self.take(member, ask.stability, ask.now).ok_or(Why::Open)?;
        Ok(Taken { member, seat, target })
    }

    /// Hears that a request was refused: the throttle counts its own.
    pub(super) fn on_refusal(&self, why: Why, now: Moment) {
        if why == Why::Throttled {
            self.state.throttle.on_refusal(now);
        }
    }

    fn picking<'a>(&self, ask: &Ask<'a>, turn: usize) -> Picking<'a> {
        Picking {
            settings: &ask.stability.balance,
            breaker: ask.stability.breaker.as_ref(),
            limit: ask.stability.limits.upstream_in_flight,
            panics: self.state.panics(),
            turn,
            load: self.state.in_flight(),
            spares: ask.spares,
            tried: ask.tried,
            key: ask.key,
            now: ask.now,
        }
    }

    /// Why each of its upstreams but the one chosen does not take a request, by its place; of one
    /// that nothing keeps from it, what the policy was `heard` to say.
    pub fn not_taken(
        &self,
        ask: &Ask<'_>,
        chosen: Result<usize, NotTaken>,
        heard: &[(usize, NotTaken)],
    ) -> Vec<(usize, NotTaken)> {
        let picking = self.picking(ask, 0);
        self.members.not_taken(&picking, chosen.ok(), heard, chosen.err())
    }

    /// The upstream to ask something that is not a user's request, by its place: it counts for
    /// nothing in the pool, neither in whose turn it is nor in what the pool is spared. Nobody who is
    /// not well is asked.
    pub fn pick_aside(
        &self,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) -> Result<usize, Why> {
        if !self.admits(stability, now) {
            return Err(Why::Open);
        }
        let turn = draws.bits() as usize;
        let ask = Ask { stability, tried: &[], key: Some(draws.bits()), spares: true, now };
        let picking = Picking { panics: false, ..self.picking(&ask, turn) };
        Ok(self.members.pick(&picking, draws, &mut ())?)
    }

    /// Takes a place on a member; none if others were faster to take the last trial of the pool.
    pub(crate) fn take(&self, place: usize, stability: &Stability, now: Moment) -> Option<Seat> {
        let upstream = &self.members.list()[place].upstream;
        let (mut entry, mut pool_entry) = (None, None);
        if let Some(settings) = &stability.breaker {
            // Its breaker may be open if nobody was well: then this is no trial.
            entry = upstream.breaker.enter(settings, now);
            pool_entry = self.state.breaker.enter(settings, now);
            if pool_entry.is_none() {
                entry.into_iter().for_each(|entry| upstream.breaker.release(entry));
                return None;
            }
        }
        self.state.in_flight.fetch_add(1, Ordering::Relaxed);
        let pool = PoolHold(self.state.clone());
        Some(Seat { in_flight: upstream.hold(), pool, entry, pool_entry })
    }

    /// Gives back what an attempt tried out for a breaker: how it answers is known.
    pub fn settle_trials(
        &self,
        seat: &mut Seat,
        failed: bool,
        took: Duration,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) {
        let Some(settings) = &stability.breaker else { return };
        let slow = settings.slow.is_some_and(|slow| took > slow);
        let fared = Some(Fared { failed, slow });
        if let Some(Entry::Trial(_)) = seat.entry
            && let Some(entry) = seat.entry.take()
        {
            let upstream = seat.in_flight.upstream();
            if upstream.breaker.leave(entry, fared, settings, now, draws) {
                upstream.note_breaker(now);
                self.assess(stability, now);
            }
        }
        if let Some(Entry::Trial(_)) = seat.pool_entry
            && let Some(entry) = seat.pool_entry.take()
        {
            seat.pool.0.breaker.leave(entry, fared, settings, now, draws);
        }
    }

    /// Takes back a place where nothing was asked after all.
    pub fn let_go(&self, seat: Seat) {
        let upstream = seat.in_flight.upstream();
        seat.entry.into_iter().for_each(|entry| upstream.breaker.release(entry));
        seat.pool_entry.into_iter().for_each(|entry| seat.pool.0.breaker.release(entry));
    }

    /// Hears how an attempt ended, and acts on it: totals, breakers, ejection, latency. Answers with
    /// how it is held to have ended.
    pub fn on_end(
        &self,
        seat: Seat,
        ended: &Ended,
        stability: &Stability,
        now: Moment,
        draws: &mut Draws,
    ) -> Outcome {
        let upstream = seat.in_flight.upstream();
        let ended = &Ended { outcome: verdict(upstream, ended, now), ..*ended };
        let is_known = ended.outcome != Outcome::ClientGone;
        let failed = ended.failed();
        let in_a_row = match (is_known, failed) {
            (false, _) => 0,
            (true, true) => upstream.note_failure(),
            (true, false) => upstream.note_success(now),
        };
        if is_known {
            self.state.attempts.count(failed);
            if !failed {
                self.state.latency.record(ended.took);
            }
            self.note_latency(upstream, ended, in_a_row, stability, now);
        }
        if !is_known && ended.status.is_none() && stability.balance.by == Policy::Latency {
            // A client that left before the answer began has waited at least so long: one that is
            // frozen must not look as fast as it was because nobody waits for it.
            upstream.latency.observe_at_least(ended.took, now);
        }
        let mut has_changed = false;
        if let Some(settings) = &stability.breaker {
            let slow = settings.slow.is_some_and(|slow| ended.took > slow);
            let fared = is_known.then_some(Fared { failed, slow });
            if let Some(entry) = seat.entry
                && upstream.breaker.leave(entry, fared, settings, now, draws)
            {
                upstream.note_breaker(now);
                has_changed = true;
            }
            if let Some(entry) = seat.pool_entry {
                seat.pool.0.breaker.leave(entry, fared, settings, now, draws);
            }
        }
        if ended.is_away() && self.eject(upstream, in_a_row, stability, now, draws) {
            has_changed = true;
        }
        if has_changed {
            self.assess(stability, now);
        }
        ended.outcome
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
        if stability.limits.adaptive {
            self.state.gradient.observe(ended.took, self.state.in_flight(), now);
        }
        if stability.balance.by == Policy::Latency {
            match ended.failed() {
                true => upstream.latency.observe_failure(ended.took, in_a_row, now),
                false => upstream.latency.observe(ended.took, in_a_row, now),
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
        if !upstream.ejection.is_due(in_a_row, settings, now) {
            return false;
        }
        // Whoever finds it taken comes again with the next failure.
        let Ok(_alone) = self.state.ejecting.try_lock() else { return false };
        let out = |member: &&Member| member.upstream.ejection.is_out(now);
        let members = self.members.list();
        if members.iter().filter(out).count() >= settings.most(members.len())
            || upstream.ejection.is_out(now)
        {
            return false;
        }
        upstream.ejection.eject(settings, now, draws);
        upstream.note_ejected();
        true
    }

    /// Conditions of a member now, without what is over.
    pub fn conditions(&self, member: &Member, stability: &Stability, now: Moment) -> Conditions {
        member.upstream.conditions_at(stability.balance.slow_start, now)
    }
}

impl From<NoMember> for Why {
    fn from(none: NoMember) -> Why {
        match none {
            NoMember::None => Why::NoUpstream,
            NoMember::Full => Why::PoolFull,
        }
    }
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

#[cfg(test)]
mod tests;

//! One pool as requests see it: who may be asked and who is asked. `ending.rs` has how it went.

mod ending;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Attempts, FailingKeys, Wanted, Why};
use crate::balance::{
    Gradient, Heard, LimitSettings, Member, Members, NoMember, NotTaken, Picking, Policy, Queue,
    Standing, Throttle,
};
use crate::clock::{Draws, Moment};
use crate::config::Stability;
use crate::http::admission::Upload;
use crate::judge::{Counts, Histogram};
use crate::rollout::Version;
use crate::upstream::{
    Breaker, BreakerOrder, Conditions, DialAddress, InFlight, Load, LoadCount, SlowFrom, Tally,
    TlsTerms, Trial,
};

pub use ending::{Ended, Held};

/// One pool as requests see it.
#[derive(Debug)]
pub struct Pool {
    /// Unique in its service.
    pub name: Arc<str>,
    /// Its upstreams with their weights.
    pub members: Members,
    /// Which version they run, if a deploy has put them there.
    pub version: Option<Arc<Version>>,
    /// Whether they are asked in HTTP/2.
    pub http2: bool,
    /// How its upstreams speak TLS; none if they do not.
    pub tls: Option<Arc<TlsTerms>>,
    /// What lives on from snapshot to snapshot.
    pub state: Arc<PoolState>,
}

#[cfg(test)]
impl Pool {
    /// One of these, of which nothing is known yet.
    fn of_members(members: Members) -> Pool {
        let (name, state) = ("blue".into(), Arc::default());
        Pool { name, members, version: None, http2: false, tls: None, state }
    }
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
    /// How long its upstreams took to the head of their answers, but for failures and for those that
    /// are cold.
    pub latency: Histogram,
    /// How long those took that are cold.
    pub cold: Histogram,
    /// From when on answers are slow, as is known of the last minutes.
    pub slow_from: SlowFrom,
    /// Requests that nobody of it could be asked for.
    pub refused: AtomicU64,
    /// Requests that failed or were refused here and were taken by the stable pool instead.
    pub shielded: AtomicU64,
    /// Connect checks that somebody waits for.
    pub wanted: Wanted,
    /// Whose requests fail.
    pub failing_keys: FailingKeys,
    /// Attempts that failed and were withheld from breakers and ejection: their client's own doing.
    pub withheld: AtomicU64,
    /// Attempts that failed and were left out where versions are judged, for the same reason.
    pub left_out: AtomicU64,
    load: LoadCount,
    has_nobody: AtomicBool,
    /// Whether who is near is asked before others, as was found last.
    stays_near: AtomicBool,
    /// When a trial is due next, in microseconds; the far future for never, so that one load tells.
    trial_at: AtomicU64,
    /// When the last trial of the pool began, in microseconds.
    tried: AtomicU64,
    /// What is usual for the pool's answers: `f32` bits, seconds.
    usual: AtomicU32,
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
    /// Whether the request may try out an upstream that is not well.
    pub tries: Tries,
    /// Whether its body has yet to come.
    pub upload: Upload,
    /// Now.
    pub now: Moment,
}

/// Whether a request may try out an upstream that is not well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tries {
    /// It may, and best so: what fails can be made good elsewhere.
    Readily,
    /// It may if nothing better has come for a while: it cannot be sent twice.
    IfNeedBe,
    /// It is no first attempt.
    #[default]
    Never,
}

/// Who is to take a request. Nothing is taken yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// A place in [`Members::list`].
    pub member: usize,
    /// The turn of the pool by which it was picked.
    pub(super) turn: usize,
    /// Whether it is a trial of an upstream that is not well.
    pub(super) is_trial: bool,
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
    standing: SeatStanding,
}

/// How the upstream of a place stood when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeatStanding {
    /// It was in.
    In,
    /// It was out: what becomes of this shows whether it works again.
    Out(Trial),
    /// It was out, and this has shown what there was to show.
    Settled,
}

impl Seat {
    /// Whether the request was sent there to find out whether it works again.
    pub fn is_trial(&self) -> bool {
        matches!(self.standing, SeatStanding::Out(trial) if trial.is_due)
    }

    /// The request counts towards the limits from now on, if it did not before.
    pub fn settle(&mut self) {
        self.in_flight.settle();
        self.pool.settle();
    }
}

/// Counts one request in flight on a pool until it is dropped; then calls who waits for the pool.
#[derive(Debug)]
struct PoolHold {
    state: Arc<PoolState>,
    /// As which it counts in the pool.
    upload: Upload,
    /// As which it counts on its upstream.
    on_upstream: Upload,
}

impl PoolHold {
    /// It is counted as sent in the pool, and has been on its upstream.
    fn settle(&mut self) {
        if !self.is_any(Upload::ToCome) {
            return;
        }
        if self.upload == Upload::ToCome {
            self.state.load.settle();
        }
        (self.upload, self.on_upstream) = (Upload::Done, Upload::Done);
        self.state.queue.call_upload();
    }

    fn is_any(&self, upload: Upload) -> bool {
        self.upload == upload || self.on_upstream == upload
    }
}

impl Drop for PoolHold {
    fn drop(&mut self) {
        // In one order with the look at the line: whoever joined it saw this place taken.
        self.state.load.leave(self.upload);
        // Those of its upstreams wait in the same line.
        for upload in [Upload::Done, Upload::ToCome] {
            if self.is_any(upload) {
                self.state.queue.call_for(upload);
            }
        }
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
            cold: Histogram::new(THREADS),
            slow_from: SlowFrom::default(),
            refused: AtomicU64::new(0),
            shielded: AtomicU64::new(0),
            wanted: Wanted::default(),
            failing_keys: FailingKeys::default(),
            withheld: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            load: LoadCount::default(),
            has_nobody: AtomicBool::new(false),
            stays_near: AtomicBool::new(false),
            trial_at: AtomicU64::new(NEVER),
            tried: AtomicU64::new(0),
            usual: AtomicU32::new(0),
            turn: AtomicUsize::new(0),
            ejecting: Mutex::new(()),
        }
    }
}

/// A moment that does not come.
const NEVER: u64 = u64::MAX;

/// Between two trials of a pool of which nobody is well, so that a large one that is overloaded as a
/// whole is left in peace; each of its upstreams is tried once a second at most.
const TRIALS_APART: Duration = Duration::from_millis(100);

/// Threads that record latencies without getting in each other's way; more share.
const THREADS: usize = 16;

impl PoolState {
    /// Requests that the pool holds now.
    pub fn in_flight(&self) -> u32 {
        self.load().all
    }

    /// The same, and how many of them are still being sent, where the pool's limit is adaptive.
    pub fn load(&self) -> Load {
        self.load.read()
    }

    /// The attempts by which its version is judged.
    pub fn judged(&self) -> Counts {
        // In this order: what is left out has been counted before.
        let left_out = self.left_out.load(Ordering::Relaxed);
        let Counts { total, bad } = self.attempts.read();
        Counts { total: total.saturating_sub(left_out), bad: bad.saturating_sub(left_out) }
    }

    /// Whether none of its upstreams is well, as was found last.
    pub fn has_nobody(&self) -> bool {
        self.has_nobody.load(Ordering::Relaxed)
    }

    /// What is usual for the time to the head of its answers, in seconds; 0 if nothing is known.
    pub fn usual_latency(&self) -> f32 {
        f32::from_bits(self.usual.load(Ordering::Relaxed))
    }

    /// Before when nobody is tried of whom nothing shows that it works, if nobody is well.
    fn apart(&self) -> Moment {
        Moment::from_micros(self.tried.load(Ordering::Relaxed)) + TRIALS_APART
    }
}

impl Pool {
    /// Whether it would take a request now, but for limits.
    pub fn is_available(&self) -> bool {
        self.is_ready() || self.members.any_left_in() && self.admits()
    }

    /// Whether it may be given more: nobody keeps its breaker open and somebody is well. A pool
    /// that is only tried because nobody is well is no place to move traffic to.
    pub fn is_ready(&self) -> bool {
        self.state.breaker.order() != BreakerOrder::Open && self.members.any_well()
    }

    /// Finds out how many of its upstreams are well and when the next trial is due. Lets what is over
    /// be over: a slow start, and the pool's open breaker when somebody is well.
    pub fn assess(&self, stability: &Stability, now: Moment) -> Standing {
        let slow_start = stability.balance.slow_start;
        let opening = self.state.breaker.opening();
        for member in self.members.list() {
            member.upstream.refresh(slow_start, now);
        }
        let standing = self.members.assess();
        let state = &self.state;
        state.has_nobody.store(standing.has_nobody(), Ordering::Relaxed);
        state.stays_near.store(self.members.stay_near(), Ordering::Relaxed);
        if standing.available > 0 && opening.is_open() {
            state.breaker.close_as(opening, now);
        }
        if stability.balance.by == Policy::Latency {
            state.usual.store(self.members.usual_latency(now).to_bits(), Ordering::Relaxed);
        }
        self.plan_trials();
        standing
    }

    /// How long it is until a request may find out whether the pool works again; nothing if that is
    /// only known once a check has succeeded, which may be any second.
    pub fn trial_in(&self, now: Moment) -> Duration {
        match self.state.trial_at.load(Ordering::Relaxed) {
            NEVER => Duration::ZERO,
            at => Moment::from_micros(at).elapsed_since(now),
        }
    }

    /// Finds out when the next trial is due.
    fn plan_trials(&self) {
        let next = self.members.next_trial(self.state.apart());
        let at = next.map_or(NEVER, |(_, due)| due.at.micros());
        self.state.trial_at.store(at, Ordering::Relaxed);
    }

    /// Whether its own breaker lets all requests through: it does while somebody is well, unless an
    /// operator keeps it open.
    fn admits(&self) -> bool {
        let breaker = &self.state.breaker;
        match breaker.order() {
            BreakerOrder::Closed => true,
            BreakerOrder::Open => false,
            BreakerOrder::Auto => !breaker.is_open() || self.members.any_well(),
        }
    }

    /// The upstream to be tried with a request, if one is due.
    fn due_trial(&self, ask: &Ask<'_>) -> Option<usize> {
        let state = &self.state;
        if ask.now.micros() < state.trial_at.load(Ordering::Relaxed)
            || ask.tries == Tries::Never
            || state.breaker.order() == BreakerOrder::Open
        {
            return None;
        }
        self.members.due_trial(&self.picking(ask, 0), state.apart())
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
        // Before all else: neither an open breaker nor a throttle would ever be closed otherwise.
        if let Some(member) = self.due_trial(ask) {
            return Ok(Pick { member, turn: 0, is_trial: true });
        }
        if !self.admits() {
            return Err(Why::Open);
        }
        if limits.throttle && state.throttle.refuses(ask.now, draws) {
            return Err(Why::Throttled);
        }
        let has_room = |limit| state.load().has_room(ask.upload, limit);
        if !limits.of_pool(&state.gradient).is_none_or(has_room) {
            return Err(Why::PoolFull);
        }
        let turn = state.turn.load(Ordering::Relaxed);
        let member = self.members.pick(&self.picking(ask, turn), draws, heard)?;
        Ok(Pick { member, turn, is_trial: false })
    }

    /// Takes what was chosen: the turn, a trial, a place in flight. Somebody may have been faster:
    /// each turn is taken once, so that who comes second is given the member whose turn it is by
    /// then; and who finds the trial taken goes where anybody goes, or is refused.
    pub fn commit(&self, pick: Pick, ask: &Ask<'_>, draws: &mut Draws) -> Result<Taken, Why> {
        let Pick { mut member, turn, is_trial } = pick;
        let mut trial = None;
        if is_trial {
            trial = self.members.list()[member].upstream.trials.enter(ask.now);
            match trial {
                Some(_) => self.state.tried.store(ask.now.micros(), Ordering::Relaxed),
                // Somebody was faster: it is a request like any other.
                None if !self.admits() => return Err(Why::Open),
                None => member = self.members.pick(&self.picking(ask, turn), draws, &mut ())?,
            }
            self.plan_trials();
        } else if self.members.go_by_turns() {
            let now = self.state.turn.fetch_add(1, Ordering::Relaxed);
            if now != turn {
                member = self.members.pick(&self.picking(ask, now), draws, &mut ())?;
            }
        }
        let target = self.members.list()[member].target.clone().ok_or(Why::NoUpstream)?;
        let seat = self.seat(member, trial, ask.upload, &ask.stability.limits);
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
            limit: ask.stability.limits.of_upstream(),
            upload: ask.upload,
            usual: self.state.usual_latency(),
            turn,
            load: self.state.in_flight(),
            stays_near: self.state.stays_near.load(Ordering::Relaxed),
            spares: ask.spares,
            tried: ask.tried,
            key: ask.key,
            is_repeatable: ask.tries == Tries::Readily,
            now: ask.now,
        }
    }

    /// Why each of its upstreams but the one chosen does not take a request, by its place, of `most` of
    /// them at most; of one that nothing keeps from it, what the policy was `heard` to say.
    pub fn not_taken(
        &self,
        ask: &Ask<'_>,
        chosen: Result<usize, NotTaken>,
        heard: &[(usize, NotTaken)],
        most: usize,
    ) -> Vec<(usize, NotTaken)> {
        self.members.not_taken(&self.picking(ask, 0), chosen, heard, most)
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
        if !self.admits() {
            return Err(Why::Open);
        }
        let (turn, key) = (draws.bits() as usize, Some(draws.bits()));
        let (tries, upload) = (Tries::Never, Upload::Done);
        let ask = Ask { stability, tried: &[], key, spares: true, tries, upload, now };
        Ok(self.members.pick(&self.picking(&ask, turn), draws, &mut ())?)
    }

    /// Takes a place on a member.
    #[cfg(test)]
    pub(crate) fn take(&self, place: usize) -> Seat {
        self.seat(place, None, Upload::Done, &LimitSettings::default())
    }

    fn seat(
        &self,
        place: usize,
        trial: Option<Trial>,
        upload: Upload,
        limits: &LimitSettings,
    ) -> Seat {
        let upstream = &self.members.list()[place].upstream;
        let standing = match trial {
            Some(trial) => SeatStanding::Out(trial),
            // Asked because nobody is well: that shows something too.
            None if upstream.is_out() => SeatStanding::Out(upstream.trials.pass()),
            None => SeatStanding::In,
        };
        // Told apart where it matters only: to settle is not free.
        let where_limited = |is_limited| if is_limited { upload } else { Upload::Done };
        let on_upstream = where_limited(limits.upstream_in_flight.is_some());
        let upload = where_limited(limits.adaptive);
        self.state.load.enter(upload);
        let pool = PoolHold { state: self.state.clone(), upload, on_upstream };
        Seat { in_flight: upstream.hold(on_upstream), pool, standing }
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

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

//! What we know of one upstream: its address, whether it may take requests, how many it holds,
//! how fast it answers, and what it has done so far.
//!
//! An [`Upstream`] is shared by every snapshot that names it and so survives reloads and shifts;
//! its identity is (service, pool, address), never its weight. Many write here, without a lock.

mod address;
mod breaker;
mod carried;
mod changes;
mod checked;
mod conditions;
mod probing;
mod ejection;
mod judged;
mod keys;
mod labels;
mod latency;
mod load;
mod marks;
mod probe;
mod proof;
mod proxied;
mod run;
mod standing;
mod tally;
mod tls;
mod trials;
mod trouble;
mod warmth;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32};
use std::time::Duration;

use crate::clock::Moment;
use crate::http::admission::Upload;

pub use address::{Address, DialAddress, same_upstreams};
pub use breaker::{
    Breaker, BreakerOrder, BreakerSettings, BreakerState, Fared, Opening, SUCCESSES,
};
pub use carried::{CarriedBreaker, CarriedUpstream};
pub use changes::changes;
pub use checked::Checked;
pub use conditions::Conditions;
pub use ejection::{Ejection, EjectionSettings};
pub use judged::{Judged, JudgedReading, SlowFrom};
pub use keys::{Counted, Keys, Others};
pub use labels::{Label, LabelError, Labels, MOST_LABELS};
pub use latency::Latency;
pub use load::{Limit, Load, LoadCount};
pub use probe::{GrpcProbe, Health, HttpProbe, Probe, ProbeTally};
pub use probing::{Finding, Live, Probing};
pub use proof::Proof;
pub use proxied::{ProxiedTarget, ProxyVersion, SIGNATURE};
pub use tally::{Connections, DURATION_BOUNDS, Outcome, StatusClass, Tally, TallyReading};
pub use tls::{TlsTarget, TlsTerms, Trust};
pub use trials::{Due, Shown, Trial, Trials};
pub use trouble::Trouble;
pub use warmth::{Since, Warmth};
pub use window::{SECONDS as WINDOW_SECONDS, Window};

use marks::Marks;
use run::Run;
use sync::{AtomicU64, Ordering};
use trouble::LastTrouble;

/// What the marks are made of: the checks of them put others in its place.
mod sync {
    pub use std::sync::atomic::{AtomicU64, Ordering};
}

/// One address in one pool.
#[derive(Debug)]
pub struct Upstream {
    /// The address; with service and pool, the identity.
    pub address: Address,
    /// The address as text, for labels and answers.
    pub name: Arc<str>,
    /// The configured name that resolved to this address, if it was a name.
    pub of: Option<Arc<str>>,
    /// What was asked of it and how that went, attempt by attempt.
    pub tally: Tally,
    /// What came of its probes.
    pub probes: ProbeTally,
    /// Connections to it.
    pub connections: Connections,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// Whether it is out for failing in a row.
    pub ejection: Ejection,
    /// How it comes back when it was put out.
    pub trials: Trials,
    /// What connect checks found.
    pub checked: Checked,
    /// Since when it warms up.
    pub warmth: Warmth,
    /// What a rollout is judged by.
    pub judged: Judged,
    /// How fast it answers.
    pub latency: Latency,
    /// Whom it serves and whom it fails.
    pub keys: Keys,
    /// Why it may not take requests, or not all of them: 0 for the usual case, so that one load
    /// tells.
    marks: Marks,
    load: LoadCount,
    /// In percent, as its probe advises.
    advised: AtomicU16,
    /// When it last came (back) in, in microseconds.
    came_in: AtomicU64,
    /// When a live request was last answered with 2xx or 3xx to its end, in microseconds.
    succeeded: AtomicU64,
    /// When the head of a good answer last came, in microseconds.
    answered: AtomicU64,
    /// Live requests that failed in a row.
    failures: AtomicU32,
    run: Run,
    trouble: LastTrouble,
    /// Since when it is not well, in microseconds.
    unwell: AtomicU64,
}

/// The share of its weight that an upstream begins with.
const RAMP_FROM: f64 = 0.1;

impl Upstream {
    /// A new upstream, active, idle and proven.
    pub fn new(address: Address, of: Option<Arc<str>>) -> Upstream {
        Upstream {
            name: address.to_string().into(),
            address,
            of,
            tally: Tally::default(),
            probes: ProbeTally::default(),
            connections: Connections::default(),
            breaker: Breaker::default(),
            ejection: Ejection::default(),
            trials: Trials::default(),
            checked: Checked::default(),
            warmth: Warmth::default(),
            judged: Judged::default(),
            latency: Latency::default(),
            keys: Keys::default(),
            marks: Marks::default(),
            load: LoadCount::default(),
            advised: AtomicU16::new(100),
            came_in: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            run: Run::default(),
            trouble: LastTrouble::default(),
            unwell: AtomicU64::new(0),
        }
    }

    /// What keeps it from its full share.
    pub fn conditions(&self) -> Conditions {
        self.marks.read()
    }

    /// Whether an operator has taken it out for new requests.
    pub fn is_draining(&self) -> bool {
        self.conditions().any(Conditions::DRAINING)
    }

    /// Takes it out for new requests (`true`) or lets it back in.
    pub fn set_draining(&self, draining: bool) {
        self.marks.set(Conditions::DRAINING, draining);
    }

    /// What its probes know.
    pub fn proof(&self) -> Proof {
        let conditions = self.conditions();
        match (conditions.any(Conditions::UNPROVEN), conditions.any(Conditions::DOWN)) {
            (true, _) => Proof::Unproven,
            (_, true) => Proof::Down,
            _ => Proof::Up,
        }
    }

    /// Sets what its probes know; one that was down starts slowly.
    pub fn set_proof(&self, proof: Proof, now: Moment) {
        if proof == Proof::Up && self.proof() == Proof::Down {
            self.come_in(now);
        }
        if proof == Proof::Down {
            self.begin_unwell(now);
        }
        self.marks.set(Conditions::UNPROVEN, proof == Proof::Unproven);
        self.marks.set(Conditions::DOWN, proof == Proof::Down);
    }

    /// Sets what its probe advises: a weight in percent and whether to send nothing new.
    pub fn set_advice(&self, weight: Option<u16>, drain: bool) {
        let weight = weight.unwrap_or(100).min(100);
        self.advised.store(weight, Ordering::Relaxed);
        self.marks.set(Conditions::ADVISED_WEIGHT, weight < 100);
        self.marks.set(Conditions::ADVISED_DRAIN, drain || weight == 0);
    }

    /// What its probe advises: a weight in percent, if it names one, and whether to send nothing new.
    pub fn advice(&self) -> (Option<u16>, bool) {
        let conditions = self.conditions();
        let advised = conditions.any(Conditions::ADVISED_WEIGHT);
        let weight = advised.then(|| self.advised.load(Ordering::Relaxed));
        (weight, conditions.any(Conditions::ADVISED_DRAIN))
    }

    /// It comes (back) in now and begins with a tenth of its share.
    pub fn come_in(&self, now: Moment) {
        self.came_in.store(now.micros(), Ordering::Relaxed);
        self.marks.put(Conditions::SLOW_START);
    }

    /// Something went wrong with it.
    pub fn note_trouble(&self, trouble: Trouble, now: Moment) {
        self.trouble.note(trouble, now);
    }

    /// What last went wrong with it, and when.
    pub fn last_trouble(&self) -> Option<(Trouble, Moment)> {
        self.trouble.read()
    }

    /// Since when it gets no requests for what it did or its probes say; none while it is well.
    pub fn unwell_since(&self) -> Option<Moment> {
        let is_unwell = self.conditions().any(Conditions::OUT.with(Conditions::DOWN));
        is_unwell.then(|| Moment::from_micros(self.unwell.load(Ordering::Relaxed)))
    }

    /// Whether it accepts connections, by the last that was found since then: by a connect check, a
    /// good answer, or a request that could not reach it. None if nothing was.
    pub fn accepts_since(&self, since: Moment) -> Option<bool> {
        let answered = Some(self.answered.load(Ordering::Relaxed)).filter(|at| *at != 0);
        let answered = answered.map(|at| (Moment::from_micros(at), true));
        let refused = self.trials.refused().map(|at| (at, false));
        let known = [self.checked.last(), refused, answered];
        let known = known.into_iter().flatten().filter(|(at, _)| *at >= since);
        known.max().map(|(_, accepts)| accepts)
    }

    /// It refused a connection within the last second.
    pub fn refused_lately(&self, now: Moment) -> bool {
        let refused = self.trials.refused();
        refused.is_some_and(|at| now.elapsed_since(at) < Duration::from_secs(1))
    }

    /// What keeps it from its full share now: a start that is no longer slow is over, also where
    /// nobody has taken its mark away yet.
    pub fn conditions_at(&self, slow_start: Duration, now: Moment) -> Conditions {
        let conditions = self.conditions();
        match conditions.any(Conditions::SLOW_START) && self.time_in(now) >= slow_start {
            true => conditions.without(Conditions::SLOW_START),
            false => conditions,
        }
    }

    /// Takes the marks of what is over away. Answers with what still holds. For whoever looks after
    /// upstreams from time to time; who chooses one only looks.
    pub fn refresh(&self, slow_start: Duration, now: Moment) -> Conditions {
        if self.conditions().any(Conditions::SLOW_START) {
            let seen = self.marks.look();
            if self.time_in(now) >= slow_start {
                self.marks.take(seen, Conditions::SLOW_START, Conditions::default());
            }
        }
        self.conditions()
    }

    fn time_in(&self, now: Moment) -> Duration {
        now.elapsed_since(Moment::from_micros(self.came_in.load(Ordering::Relaxed)))
    }

    /// The part of its weight that it is to get now, 0 to 1: what its probe advises, and while it
    /// starts slowly max(0.1, t/window), as Envoy does it with aggression 1.
    pub fn share(&self, slow_start: Duration, now: Moment) -> f64 {
        let conditions = self.conditions_at(slow_start, now);
        let mut share = 1.0;
        if conditions.any(Conditions::ADVISED_WEIGHT) {
            share = f64::from(self.advised.load(Ordering::Relaxed)) / 100.0;
        }
        if conditions.any(Conditions::SLOW_START) && !slow_start.is_zero() {
            let ramp = self.time_in(now).as_secs_f64() / slow_start.as_secs_f64();
            share *= ramp.clamp(RAMP_FROM, 1.0);
        }
        share
    }

    /// A live request went well; answers with how many had failed in a row before.
    pub fn note_success(&self) -> u32 {
        self.run.end();
        match self.failures.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.failures.swap(0, Ordering::Relaxed),
        }
    }

    /// A live request failed; answers with how many did in a row.
    pub fn note_failure(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// A live request of this client failed because it seems to be away; whether all of the last
    /// second's did, and not of one client alone.
    pub fn note_away(&self, client: u32, now: Moment) -> bool {
        self.run.note(client, now)
    }

    /// A live request was answered with 2xx or 3xx, which shows that it works: what is refused for its
    /// client's mistakes may never have reached what would fail.
    pub fn note_working(&self, now: Moment) {
        self.succeeded.store(now.micros(), Ordering::Relaxed);
    }

    /// Whether a live request has been answered with 2xx or 3xx since then.
    pub fn succeeded_since(&self, since: Moment) -> bool {
        self.succeeded.load(Ordering::Relaxed) > since.micros()
    }

    /// The head of a good answer has come: whatever becomes of the rest, it is not frozen.
    pub fn note_answer(&self, now: Moment) {
        self.answered.store(now.micros(), Ordering::Relaxed);
        self.warmth.note_answer(self.trials.accepted(), now);
    }

    /// Whether it has begun a good answer to anybody since then.
    pub fn answered_since(&self, since: Moment) -> bool {
        self.answered.load(Ordering::Relaxed) > since.micros()
    }

    /// How many requests it holds now.
    pub fn in_flight(&self) -> u32 {
        self.load().all
    }

    /// The same, and how many of them are still being sent.
    pub fn load(&self) -> Load {
        self.load.read()
    }

    /// Counts one request in flight until the guard is dropped.
    pub fn hold(self: &Arc<Self>, upload: Upload) -> InFlight {
        self.load.enter(upload);
        InFlight { upstream: self.clone(), upload }
    }
}

/// One request in flight on an upstream; gives its place back on drop.
#[derive(Debug)]
pub struct InFlight {
    upstream: Arc<Upstream>,
    upload: Upload,
}

impl InFlight {
    /// The upstream that holds the request.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The request counts towards limits from now on, if it did not before.
    pub fn settle(&mut self) {
        if self.upload == Upload::ToCome {
            self.upload = Upload::Done;
            self.upstream.load.settle();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // In one order with a look at the pool's line of waiting requests, which comes next.
        self.upstream.load.leave(self.upload);
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! Feedback from the data plane: the states of pools and upstreams in, events out.
//!
//! The proxy and the prober write what they find to pools and upstreams and tell nobody. This looks
//! four times a second and says what has become different: at all if anything has, else at what time alone
//! may change.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Events;
use super::limits::Limits;
use crate::balance::Policy;
use crate::clock::{Clock, Moment};
use crate::event::{Event, Kind, Subject};
use crate::snapshot::{Pool, Published, Service, Snapshot};
use crate::upstream::{Breaker, BreakerOrder, Conditions, Proof, Trouble, Upstream, changes};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// What was seen at the last look, in the order of the walk. In another snapshot it is found by the
/// address of what it was seen of: that stays where it is as long as anything of it is seen.
#[derive(Debug, Default)]
struct Seen {
    states: Vec<((usize, Aspect), State)>,
    /// Services of which something may become different without being counted as a change.
    restless: Vec<Restless>,
    /// How much had changed before that look.
    changes: u64,
    /// Where they were seen: as long as that is there, no other upstream has the address of one that
    /// was.
    of: Option<Arc<Snapshot>>,
}

/// A service that is looked at again though nothing counts as changed.
#[derive(Debug)]
struct Restless {
    /// Its place in the snapshot.
    service: usize,
    /// Where its states begin.
    at: usize,
    /// How many attempts there were at the last look, if nothing but another one makes a difference: to what
    /// is usual for its answers, which stays as it is while there are none.
    attempts: Option<u64>,
}

/// What a state is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Aspect {
    Panic,
    Breaker,
    Ejection,
    Health,
    Connections,
}

/// One state, as it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    value: u8,
    /// How often it was entered: what came and went between two looks is seen as well.
    times: u64,
    /// What it was told to be, if it can be told.
    order: u8,
}

impl State {
    /// Whether it has become another by itself: what an order did was told with the order.
    fn differs_by_itself(self, before: State) -> bool {
        let is_ordered = self.order != before.order && self.times == before.times;
        self != before && !is_ordered
    }
}

/// A pool, or an upstream of it.
#[derive(Clone, Copy)]
struct Watched<'s> {
    service: &'s Service,
    pool: &'s Pool,
    upstream: Option<&'s Upstream>,
}

/// Looks until the task is ended.
pub async fn tell_states(published: Arc<Published>, events: Arc<Events>, clock: Clock) {
    let (mut seen, mut limits) = (Seen::default(), Limits::default());
    loop {
        let (snapshot, now) = (published.load(), clock.now());
        let now = snapshot.moment(now);
        seen.look(&snapshot, now, &events);
        limits.look(&snapshot, now, &events);
        sleep(LOOK).await;
    }
}

impl Seen {
    fn look(&mut self, snapshot: &Arc<Snapshot>, now: Moment, events: &Events) {
        let changes = changes();
        let is_same = self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, snapshot));
        if !is_same || changes != self.changes {
            self.changes = changes;
            return self.look_at_all(snapshot, is_same, now, events);
        }
        for restless in &mut self.restless {
            let service = &snapshot.services[restless.service];
            if let Some(before) = &mut restless.attempts {
                let attempts = attempts(service);
                if std::mem::replace(before, attempts) == attempts {
                    continue;
                }
            }
            let mut states = self.states[restless.at..].iter_mut();
            walk(service, now, |watched, aspect| {
                let state = watched.state(aspect, now);
                let Some((_, last)) = states.next() else { return };
                if state.differs_by_itself(*last) {
                    events.say(Event::by_itself(watched.kind(aspect, now), watched.subject()));
                }
                *last = state;
            });
        }
    }

    fn look_at_all(
        &mut self,
        snapshot: &Arc<Snapshot>,
        is_same: bool,
        now: Moment,
        events: &Events,
    ) {
        let before = std::mem::take(&mut self.states);
        // Nearly always the same things are looked at in the same order: then nothing is looked up.
        let by_key: HashMap<_, _> =
            if is_same { HashMap::new() } else { before.iter().copied().collect() };
        let mut next = Vec::with_capacity(before.len());
        self.restless.clear();
        for (place, service) in snapshot.services.iter().enumerate() {
            let (at, before_it) = (next.len(), attempts(service));
            walk(service, now, |watched, aspect| {
                let (key, state) = ((watched.key(), aspect), watched.state(aspect, now));
                let last = match is_same {
                    true => before.get(next.len()).map(|(_, state)| state),
                    false => by_key.get(&key),
                };
                if last.is_some_and(|last| state.differs_by_itself(*last)) {
                    events.say(Event::by_itself(watched.kind(aspect, now), watched.subject()));
                }
                next.push((key, state));
            });
            let goes_by_answers = service.stability.balance.by == Policy::Latency;
            let attempts = (rests(service) && goes_by_answers).then_some(before_it);
            if !rests(service) || goes_by_answers {
                self.restless.push(Restless { service: place, at, attempts });
            }
        }
        self.states = next;
        self.of = Some(snapshot.clone());
    }
}

/// Looks at all there is of a service, always in the same order.
fn walk<'s>(service: &'s Service, now: Moment, mut look: impl FnMut(Watched<'s>, Aspect)) {
    for pool in &service.pools {
        // Also finds out what is over, such as an ejection.
        pool.assess(&service.stability, now);
        let of_pool = Watched { service, pool, upstream: None };
        [Aspect::Panic, Aspect::Breaker].into_iter().for_each(|aspect| look(of_pool, aspect));
        for member in pool.members.list() {
            let of_upstream = Watched { upstream: Some(&member.upstream), ..of_pool };
            [Aspect::Connections, Aspect::Ejection, Aspect::Health, Aspect::Breaker]
                .into_iter()
                .for_each(|aspect| look(of_upstream, aspect));
        }
    }
}

/// How many attempts have ended.
fn attempts(service: &Service) -> u64 {
    service.pools.iter().map(|pool| pool.state.attempts.read().total).sum()
}

/// Whether the states of a service stay as they are until something counts as a change: nothing of it ends
/// by itself.
fn rests(service: &Service) -> bool {
    let is_closed =
        |breaker: &Breaker| breaker.order() == BreakerOrder::Auto && !breaker.opening().is_open();
    service.pools.iter().all(|pool| {
        let mut upstreams = pool.members.list().iter().map(|member| &member.upstream);
        is_closed(&pool.state.breaker)
            && upstreams.all(|one| one.conditions().none() && is_closed(&one.breaker))
    })
}

impl Watched<'_> {
    fn key(&self) -> usize {
        match self.upstream {
            Some(upstream) => std::ptr::from_ref(upstream).addr(),
            None => Arc::as_ptr(&self.pool.state).addr(),
        }
    }

    fn subject(&self) -> Subject {
        let upstream = self.upstream.map_or("", |upstream| &upstream.name);
        Subject::new(&self.service.name, &self.pool.name, upstream)
    }

    fn breaker(&self) -> &Breaker {
        self.upstream.map_or(&self.pool.state.breaker, |upstream| &upstream.breaker)
    }

    fn refuses(&self) -> bool {
        self.upstream.is_some_and(|upstream| upstream.conditions().any(Conditions::REFUSING))
    }

    fn is_out(&self) -> bool {
        self.upstream.is_some_and(|upstream| upstream.conditions().any(Conditions::EJECTED))
    }

    fn state(&self, aspect: Aspect, now: Moment) -> State {
        let (value, times) = match (aspect, self.upstream) {
            (Aspect::Panic, _) => (u8::from(self.pool.state.has_nobody()), 0),
            (Aspect::Breaker, _) => (self.breaker().state(now) as u8, self.breaker().opened()),
            (Aspect::Ejection, Some(upstream)) => {
                (u8::from(self.is_out()), u64::from(upstream.ejection.total()))
            }
            (Aspect::Health, Some(upstream)) => (upstream.proof() as u8, 0),
            (Aspect::Connections, Some(_)) => (u8::from(self.refuses()), 0),
            (Aspect::Ejection | Aspect::Health | Aspect::Connections, None) => (0, 0),
        };
        let order = if aspect == Aspect::Breaker { self.breaker().order() as u8 } else { 0 };
        State { value, times, order }
    }

    /// What has come to be so.
    fn kind(&self, aspect: Aspect, now: Moment) -> Kind {
        match (aspect, self.upstream) {
            (Aspect::Panic, _) => {
                let standing = self.pool.assess(&self.service.stability, now);
                let (well, known) = (standing.available, standing.known);
                match self.pool.state.has_nobody() {
                    true => Kind::Panicked { well, known },
                    false => Kind::Calmed { well, known },
                }
            }
            (Aspect::Breaker, _) => {
                let (breaker, left) = (self.breaker(), |until: Moment| until.elapsed_since(now));
                let state = breaker.state(now);
                Kind::BreakerTurned { state, left: breaker.open_until().map(left) }
            }
            (Aspect::Ejection, Some(upstream)) if self.is_out() => {
                Kind::Ejected { left: upstream.ejection.until().elapsed_since(now) }
            }
            (Aspect::Connections, Some(upstream)) if self.refuses() => {
                let trouble = upstream.last_trouble().map_or(Trouble::Refused, |(last, _)| last);
                Kind::Refuses { why: trouble.to_string() }
            }
            (Aspect::Connections, _) => Kind::Accepts,
            (Aspect::Ejection, _) => Kind::CameBack,
            (Aspect::Health, upstream) => {
                let proof = upstream.map_or(Proof::Unproven, Upstream::proof);
                let why = upstream.and_then(|upstream| upstream.probes.read().last_failure);
                Kind::Proved { proof, why: why.filter(|_| proof == Proof::Down) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_order_does_to_a_breaker_is_told_by_the_order_alone() {
        let events = super::super::tests::events(Vec::new());
        let snapshot = events.published.load();
        let mut seen = Seen::default();
        let now = Moment::from_micros(1_000_000);
        let pool = &snapshot.services[0].pools[0];
        let upstream = &pool.members.list()[0].upstream;
        seen.look(&snapshot, now, &events);
        for breaker in [&pool.state.breaker, &upstream.breaker] {
            for order in [BreakerOrder::Open, BreakerOrder::Closed, BreakerOrder::Auto] {
                breaker.set_order(order, now);
                seen.look(&snapshot, now, &events);
            }
        }
        assert_eq!(events.after(0), []);

        let settings = crate::upstream::BreakerSettings { requests: 1, ..Default::default() };
        let fared = crate::upstream::Fared { failed: true, slow: false };
        let mut draws = crate::clock::Draws::seeded(1);
        // What was before an order back to automatic is forgiven, its own second included.
        let now = now + Duration::from_secs(20);
        let breaker = &pool.state.breaker;
        assert!(breaker.note(fared, &settings, || true, now, &mut draws));
        seen.look(&snapshot, now, &events);
        let said = events.after(0);
        let said: Vec<_> = said.iter().map(|entry| entry.event.kind.code()).collect();
        assert_eq!(said, ["breaker-opened"], "what it does by itself is still told");
    }

    #[test]
    fn what_rests_is_looked_at_again_when_something_has_changed() {
        let events = super::super::tests::events(Vec::new());
        let snapshot = events.published.load();
        let (mut seen, at) =
            (Seen::default(), |second: u64| Moment::from_micros(second * 1_000_000));
        let upstream = &snapshot.services[0].pools[0].members.list()[0].upstream;
        upstream.set_proof(Proof::Up, at(1));
        seen.look(&snapshot, at(1), &events);
        let is_restless = |seen: &Seen| seen.restless.iter().any(|one| one.attempts.is_none());
        assert!(!is_restless(&seen));

        let codes = || -> Vec<String> {
            events.after(0).iter().map(|entry| entry.event.kind.code().into()).collect()
        };
        upstream.set_proof(Proof::Down, at(2));
        seen.look(&snapshot, at(2), &events);
        assert!(is_restless(&seen) && codes().iter().any(|code| code == "down"), "{:?}", codes());
        upstream.set_proof(Proof::Up, at(3));
        seen.look(&snapshot, at(3), &events);
        assert!(codes().iter().any(|code| code == "up"), "{:?}", codes());
        // Its slow start ends by itself, and is seen to have done so.
        seen.look(&snapshot, at(4_000), &events);
        seen.look(&snapshot, at(4_001), &events);
        assert!(!is_restless(&seen));
    }

    #[test]
    fn what_was_seen_stays_until_the_next_look_so_that_nothing_new_has_its_address() {
        let events = super::super::tests::events(Vec::new());
        let snapshot = events.published.load();
        let (mut seen, before) = (Seen::default(), Arc::strong_count(&snapshot));
        seen.look(&snapshot, Moment::from_micros(1_000_000), &events);
        assert_eq!(Arc::strong_count(&snapshot), before + 1);
    }
}

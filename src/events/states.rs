//! Feedback from the data plane: the states of pools and upstreams in, events out.
//!
//! The proxy and the prober write what they find to pools and upstreams and tell nobody. This looks
//! four times a second and says what has become different.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Events;
use super::limits::Limits;
use crate::clock::{Clock, Moment};
use crate::event::{Event, Kind, Subject};
use crate::snapshot::{Pool, Published, Service, Snapshot};
use crate::upstream::{Breaker, Conditions, Proof, Trouble, Upstream};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// What was seen at the last look, in the order of the walk. In another snapshot it is found by the
/// address of what it was seen of: that stays where it is as long as anything of it is seen.
#[derive(Debug, Default)]
struct Seen {
    states: Vec<((usize, Aspect), State)>,
    /// Where they were seen: as long as that is there, no other upstream has the address of one that
    /// was.
    of: Option<Arc<Snapshot>>,
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
        let before = std::mem::take(&mut self.states);
        let is_same = self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, snapshot));
        // Nearly always the same things are looked at in the same order: then nothing is looked up.
        let by_key: HashMap<_, _> =
            if is_same { HashMap::new() } else { before.iter().copied().collect() };
        let mut next = Vec::with_capacity(before.len());
        let mut compare = |watched: Watched<'_>, aspect| {
            let (key, state) = ((watched.key(), aspect), watched.state(aspect, now));
            let last = match is_same {
                true => before.get(next.len()).map(|(_, state)| state),
                false => by_key.get(&key),
            };
            if last.is_some_and(|last| state.differs_by_itself(*last)) {
                events.say(Event::by_itself(watched.kind(aspect, now), watched.subject()));
            }
            next.push((key, state));
        };
        for service in &snapshot.services {
            for pool in &service.pools {
                // Also finds out what is over, such as an ejection.
                pool.assess(&service.stability, now);
                let of_pool = Watched { service, pool, upstream: None };
                for aspect in [Aspect::Panic, Aspect::Breaker] {
                    compare(of_pool, aspect);
                }
                for member in pool.members.list() {
                    let of_upstream = Watched { upstream: Some(&member.upstream), ..of_pool };
                    let aspects =
                        [Aspect::Connections, Aspect::Ejection, Aspect::Health, Aspect::Breaker];
                    for aspect in aspects {
                        compare(of_upstream, aspect);
                    }
                }
            }
        }
        self.states = next;
        self.of = Some(snapshot.clone());
    }
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
    use crate::upstream::BreakerOrder;

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
    fn what_was_seen_stays_until_the_next_look_so_that_nothing_new_has_its_address() {
        let events = super::super::tests::events(Vec::new());
        let snapshot = events.published.load();
        let (mut seen, before) = (Seen::default(), Arc::strong_count(&snapshot));
        seen.look(&snapshot, Moment::from_micros(1_000_000), &events);
        assert_eq!(Arc::strong_count(&snapshot), before + 1);
    }
}

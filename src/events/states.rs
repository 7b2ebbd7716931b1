//! Feedback from the data plane: the states of pools and upstreams in, events and the end of what
//! is over out.
//!
//! The proxy and the prober write what they find to pools and upstreams and tell nobody. This looks
//! four times a second, says what has become different, and lets holds end in time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Events;
use crate::clock::{Clock, Moment};
use crate::config::Severity;
use crate::control::Control;
use crate::orders::{ModeName, ModeOrder, Order, Subject};
use crate::snapshot::{Mode, Pool, Published, Service, Snapshot};
use crate::upstream::{Breaker, BreakerState, Conditions, Proof, Upstream};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// What was seen at the last look, by the address of what it was seen of: that stays where it is
/// as long as anything of it is seen.
#[derive(Debug, Default)]
struct Seen(HashMap<(usize, Kind), State>);

/// What a state is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Panic,
    Breaker,
    Ejection,
    Health,
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
struct Place<'s> {
    service: &'s Service,
    pool: &'s Pool,
    upstream: Option<&'s Upstream>,
}

/// Looks until the task is ended.
pub async fn tell_states(
    published: Arc<Published>,
    control: Control,
    events: Arc<Events>,
    clock: Clock,
) {
    let mut seen = Seen::default();
    loop {
        let snapshot = published.load();
        let now = snapshot.moment(clock.now());
        seen.look(&snapshot, now, &events);
        for service in &snapshot.services {
            if let Mode::Hold { until, .. } = service.mode
                && now >= until
            {
                let what = ModeOrder::Serve { from: Some(ModeName::Hold) };
                let order = Order::of("pointsman", Some("the time of the hold is over"));
                // A service that is gone meanwhile holds nothing any more.
                let _ = control.set_mode(&service.name, what, order).await;
            }
        }
        sleep(LOOK).await;
    }
}

impl Seen {
    fn look(&mut self, snapshot: &Snapshot, now: Moment, events: &Events) {
        let mut next = HashMap::with_capacity(self.0.len());
        for service in &snapshot.services {
            for pool in &service.pools {
                // Also finds out what is over, such as an ejection.
                pool.assess(&service.stability, now);
                let of_pool = Place { service, pool, upstream: None };
                for kind in [Kind::Panic, Kind::Breaker] {
                    self.compare(&mut next, of_pool, kind, now, events);
                }
                for member in pool.members.list() {
                    let of_upstream = Place { upstream: Some(&member.upstream), ..of_pool };
                    for kind in [Kind::Ejection, Kind::Health, Kind::Breaker] {
                        self.compare(&mut next, of_upstream, kind, now, events);
                    }
                }
            }
        }
        self.0 = next;
    }

    fn compare(
        &self,
        next: &mut HashMap<(usize, Kind), State>,
        place: Place<'_>,
        kind: Kind,
        now: Moment,
        events: &Events,
    ) {
        let state = place.state(kind, now);
        let key = (place.key(), kind);
        if self.0.get(&key).is_some_and(|before| state.differs_by_itself(*before)) {
            let severity = place.severity(kind, now);
            events.note(severity, kind.name(), place.subject(), place.say(kind, now));
        }
        next.insert(key, state);
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Panic => "panic",
            Kind::Breaker => "breaker",
            Kind::Ejection => "ejection",
            Kind::Health => "health",
        }
    }
}

impl Place<'_> {
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

    fn is_out(&self) -> bool {
        self.upstream.is_some_and(|upstream| upstream.conditions().any(Conditions::EJECTED))
    }

    fn state(&self, kind: Kind, now: Moment) -> State {
        let (value, times) = match (kind, self.upstream) {
            (Kind::Panic, _) => (u8::from(self.pool.state.panics()), 0),
            (Kind::Breaker, _) => (self.breaker().state(now) as u8, self.breaker().opened()),
            (Kind::Ejection, Some(upstream)) => {
                (u8::from(self.is_out()), u64::from(upstream.ejection.total()))
            }
            (Kind::Health, Some(upstream)) => (upstream.proof() as u8, 0),
            (Kind::Ejection | Kind::Health, None) => (0, 0),
        };
        let order = if kind == Kind::Breaker { self.breaker().order() as u8 } else { 0 };
        State { value, times, order }
    }

    /// Bad news is to be found by its level.
    fn severity(&self, kind: Kind, now: Moment) -> Severity {
        let is_bad = match (kind, self.upstream) {
            (Kind::Panic, _) => self.pool.state.panics(),
            (Kind::Breaker, _) => self.breaker().state(now) == BreakerState::Open,
            (Kind::Ejection, _) => self.is_out(),
            (Kind::Health, upstream) => upstream.is_some_and(|u| u.proof() == Proof::Down),
        };
        match (is_bad, self.upstream) {
            (false, _) => Severity::Low,
            (true, Some(_)) => Severity::Medium,
            // A whole pool: users may be hurt.
            (true, None) => Severity::High,
        }
    }

    /// The state in words.
    fn say(&self, kind: Kind, now: Moment) -> String {
        match (kind, self.upstream) {
            (Kind::Panic, _) => {
                let standing = self.pool.assess(&self.service.stability, now);
                let (well, known) = (standing.available, standing.known);
                match self.pool.state.panics() {
                    true => format!("only {well} of {known} upstreams are well: all are tried"),
                    false => format!("{well} of {known} upstreams are well"),
                }
            }
            (Kind::Breaker, _) => say_breaker(self.breaker(), now),
            (Kind::Ejection, Some(upstream)) if self.is_out() => {
                let left = upstream.ejection.until().elapsed_since(now).as_secs_f64();
                format!("ejected for {left:.0} s: it failed too often in a row")
            }
            (Kind::Ejection, _) => "back in after its ejection".to_string(),
            (Kind::Health, upstream) => {
                let proof = upstream.map_or(Proof::Unproven, Upstream::proof);
                let failure = upstream.and_then(|upstream| upstream.probes.read().last_failure);
                match failure.filter(|_| proof == Proof::Down) {
                    Some(why) => format!("health check: down, {why}"),
                    None => format!("health check: {}", proof.name()),
                }
            }
        }
    }
}

fn say_breaker(breaker: &Breaker, now: Moment) -> String {
    match (breaker.state(now), breaker.open_until()) {
        (BreakerState::Open, Some(until)) => {
            format!("breaker open for {:.1} s", until.elapsed_since(now).as_secs_f64())
        }
        (BreakerState::Open, None) => "breaker open by order".to_string(),
        (BreakerState::HalfOpen, _) => "breaker half-open: a few trials".to_string(),
        (BreakerState::Closed, _) => "breaker closed".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime};
    use crate::split::Secret;
    use crate::upstream::BreakerOrder;

    #[test]
    fn what_an_order_does_to_a_breaker_is_told_by_the_order_alone() {
        let text = "[[listeners]]\naddress = \":0\"\n[services.s.pools.a]\nupstreams = [\"a:1\"]\n";
        let blueprint = Blueprint {
            config: Arc::new(Config::parse(text).unwrap().0),
            run_time: &RunTime::default(),
            secret: Secret([1; 16]),
            now: Instant::now(),
        };
        let published = Arc::new(Published::of(Arc::new(Snapshot::build(&blueprint, None))));
        let (snapshot, clock) = (published.load(), crate::server::clock::system());
        let notifier = Arc::new(crate::notify::Notifier::new(clock, Default::default()));
        let events = Events::new(clock, published, notifier, Vec::new());
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
        let entry = breaker.enter(&settings, now).unwrap();
        assert!(breaker.leave(entry, Some(fared), &settings, now, &mut draws));
        seen.look(&snapshot, now, &events);
        let said: Vec<_> = events.after(0).into_iter().map(|event| event.kind).collect();
        assert_eq!(said, ["breaker"], "what it does by itself is still told");
    }
}

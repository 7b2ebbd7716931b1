//! Feedback from the data plane: the states of pools and upstreams in, events and the end of what
//! is over out.
//!
//! The proxy and the prober write what they find to pools and upstreams and tell nobody. This looks
//! four times a second, says what has become different, and lets holds end in time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::events::{Events, Subject};
use super::{Control, ModeOrder, Order};
use crate::clock::{Clock, Moment};
use crate::snapshot::{Mode, Pool, Published, Service, Snapshot};
use crate::upstream::{BreakerState, Conditions, Proof};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// What was seen at the last look.
#[derive(Debug, Default)]
struct Seen(HashMap<(Subject, &'static str), (u8, u64)>);

/// One state, as it is compared and said.
struct State {
    kind: &'static str,
    value: u8,
    /// How often it was entered: what came and went between two looks is seen as well.
    times: u64,
    is: String,
}

/// Looks until the task is ended.
pub async fn watch_over(
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
                let order = Order::of("pointsman", Some("the time of the hold is over"));
                // A service that is gone meanwhile holds nothing any more.
                let _ = control.set_mode(&service.name, ModeOrder::Serve, order).await;
            }
        }
        sleep(LOOK).await;
    }
}

impl Seen {
    fn look(&mut self, snapshot: &Snapshot, now: Moment, events: &Events) {
        let mut next = HashMap::new();
        for service in &snapshot.services {
            for pool in &service.pools {
                for (subject, state) in states(service, pool, now) {
                    let key = (subject, state.kind);
                    let before = self.0.get(&key).copied();
                    if before.is_some_and(|before| before != (state.value, state.times)) {
                        events.note(state.kind, key.0.clone(), state.is);
                    }
                    next.insert(key, (state.value, state.times));
                }
            }
        }
        self.0 = next;
    }
}

fn states(service: &Service, pool: &Pool, now: Moment) -> Vec<(Subject, State)> {
    let standing = pool.assess(&service.stability, now);
    let of_pool = Subject::new(&service.name, &pool.name, "");
    let panics = pool.state.panics();
    let is = match panics {
        true => format!(
            "only {} of {} upstreams are well: all are tried",
            standing.available, standing.known
        ),
        false => format!("{} of {} upstreams are well", standing.available, standing.known),
    };
    let panic = State { kind: "panic", value: u8::from(panics), times: 0, is };
    let mut states = vec![(of_pool.clone(), panic)];
    states.push((of_pool, breaker(&pool.state.breaker, now)));
    for member in pool.members.list() {
        let upstream = &member.upstream;
        let of_upstream = Subject::new(&service.name, &pool.name, &upstream.name);
        let conditions = pool.conditions(member, &service.stability, now);
        let out = conditions.any(Conditions::EJECTED);
        let left = upstream.ejection.until().elapsed_since(now).as_secs_f64();
        let is = match out {
            true => format!("ejected for {left:.0} s: it failed too often in a row"),
            false => "back in after its ejection".to_string(),
        };
        let times = u64::from(upstream.ejection.total());
        let ejection = State { kind: "ejection", value: u8::from(out), times, is };
        let proof = upstream.proof();
        let why = upstream.probes.read().last_failure.filter(|_| proof == Proof::Down);
        let is = match why {
            Some(why) => format!("health check: down, {why}"),
            None => format!("health check: {}", proof.name()),
        };
        let health = State { kind: "health", value: proof as u8, times: 0, is };
        for state in [ejection, health, breaker(&upstream.breaker, now)] {
            states.push((of_upstream.clone(), state));
        }
    }
    states
}

fn breaker(breaker: &crate::upstream::Breaker, now: Moment) -> State {
    let state = breaker.state(now);
    let is = match (state, breaker.open_until()) {
        (BreakerState::Open, Some(until)) => {
            format!("breaker open for {:.1} s", until.elapsed_since(now).as_secs_f64())
        }
        (BreakerState::Open, None) => "breaker open by order".to_string(),
        (BreakerState::HalfOpen, _) => "breaker half-open: a few trials".to_string(),
        (BreakerState::Closed, _) => "breaker closed".to_string(),
    };
    State { kind: "breaker", value: state as u8, times: breaker.opened(), is }
}

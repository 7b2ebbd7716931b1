//! What is said of pools and their upstreams.

use std::sync::Arc;

use super::super::declared;
use super::super::exemplars::Exemplars;
use super::super::families::{Families, Values};
use super::{Once, durations, one_if, outcomes, read, uses};
use crate::balance::Member;
use crate::clock::Moment;
use crate::history::Capacity;
use crate::judge::Distribution;
use crate::snapshot::{Pool, Service};
use crate::upstream::{Breaker, BreakerState, Conditions, Proof};

pub(super) fn of_latency(
    families: &mut Families,
    service: &Service,
    pool: &Pool,
    took: &Distribution,
) {
    for (name, share) in
        [("0.5", 0.5), ("0.9", 0.9), ("0.95", 0.95), ("0.99", 0.99), ("0.999", 0.999)]
    {
        let took = took.quantile(share).map(|took| took.as_secs_f64());
        if took.is_none() && pool.state.attempts.read().total == 0 {
            return;
        }
        let values = [&*service.name, &*pool.name, name];
        families.put(&declared::POOL_LATENCY, &values, took.unwrap_or(f64::NAN));
    }
}

/// What is known of how much it carries.
pub(super) fn of_capacity(families: &mut Families, service: &Service, known: &Capacity) {
    for (pool, report) in &known.pools {
        let of = [&*service.name, &**pool];
        // What was over between two looks was seen in the rate alone.
        let (rate, most) = (report.known.rate, report.known.in_flight);
        if rate.is_some() || most.is_some() {
            let (rate, most) = (rate.map_or(0.0, |it| it.0), most.map_or(0, |it| it.0));
            families.put(&declared::POOL_HIGHEST_RATE, &of, rate);
            families.put(&declared::POOL_HIGHEST_IN_FLIGHT, &of, f64::from(most));
        }
        if let Some(ceiling) = &report.ceiling {
            families.put(&declared::POOL_HEAD_ROOM, &of, ceiling.head_room());
            let left = ceiling.head_room_without_largest();
            families.put(&declared::POOL_HEAD_ROOM_LEFT, &of, left);
        }
    }
}

pub(super) fn of_pool(families: &mut Families, service: &Service, pool: &Pool, now: Moment) {
    let of = [&*service.name, &*pool.name];
    if let Some(version) = &pool.version {
        let tag = version.tag.as_deref().unwrap_or_default();
        families.put(&declared::POOL_INFO, &[of[0], of[1], tag], 1.0);
    }
    let weight = service.split.weight(&pool.name).ratio();
    families.put(&declared::POOL_WEIGHT, &of, weight);
    let standing = pool.assess(&service.stability, now);
    let available = standing.available as f64 / standing.known.max(1) as f64;
    families.put(&declared::POOL_AVAILABLE, &of, available);
    families.put(&declared::POOL_PANIC, &of, one_if(pool.state.has_nobody()));
    let attempts = pool.state.attempts.read();
    families.put(&declared::POOL_ATTEMPTS, &of, attempts.total as f64);
    families.put(&declared::POOL_FAILED_ATTEMPTS, &of, attempts.bad as f64);
    // From the pool's first request on, so that the first of them is seen to come.
    if attempts.total > 0 {
        families.put(&declared::POOL_ONE_CLIENT, &of, read(&pool.state.withheld));
    }
    let shielded = read(&pool.state.shielded);
    if uses(service, Once::Shield, service.pools.len() > 1 || shielded > 0.0) {
        families.put(&declared::SHIELDED, &of, shielded);
    }
    let throttled = pool.state.throttle.throttled() as f64;
    if uses(service, Once::Throttle, service.stability.limits.throttle || throttled > 0.0) {
        families.put(&declared::THROTTLED, &of, throttled);
    }
    if service.stability.limits.adaptive {
        families.put(&declared::POOL_LIMIT, &of, f64::from(pool.state.gradient.limit()));
    }
    let values = [of[0], of[1], ""];
    of_breaker(families, service, Values::from(&values), (&pool.state.breaker, now));
}

/// `labels`: those of upstreams that the config makes labels of metrics.
pub(super) fn of_upstream(
    families: &mut Families,
    (service, pool, member): (&Service, &Pool, &Member),
    (labels, exemplars): (&[Arc<str>], &Exemplars<'_>),
    now: Moment,
) {
    let upstream = &member.upstream;
    let of = [&*service.name, &*pool.name, &*upstream.name];
    let added: Vec<_> =
        labels.iter().filter_map(|name| Some((&**name, member.labels.get(name)?))).collect();
    let values = Values::from(&of).with(&added);
    let [service_name, pool_name, name] = of;
    let reading = upstream.tally.read();
    // Who was never asked has nothing to count.
    let was_asked = reading.total() > 0;
    if was_asked {
        for (outcome, count) in outcomes(&reading) {
            let of = [service_name, pool_name, name, outcome];
            families.put(&declared::UPSTREAM_REQUESTS, Values::from(&of).with(&added), count);
        }
        let exemplars = exemplars.of(service_name, pool_name, name);
        durations(families, &declared::UPSTREAM_DURATION, values, (&reading, exemplars));
    }
    let stability = &service.stability;
    families.put(&declared::UPSTREAM_IN_FLIGHT, values, f64::from(upstream.in_flight()));
    families.put(&declared::UPSTREAM_UP, values, one_if(member.is_well()));
    let ejections = upstream.ejection.total();
    let ejects = uses(service, Once::Ejection, stability.ejection.is_some() || ejections > 0);
    if ejects {
        let out = upstream.conditions().any(Conditions::EJECTED);
        families.put(&declared::UPSTREAM_EJECTED, values, one_if(out));
    }
    let (opened, reused) = upstream.connections.read();
    if opened + reused > 0 {
        let share = reused as f64 / (opened + reused) as f64;
        families.put(&declared::CONNECTION_REUSE, values, share);
    }
    if was_asked {
        let latency = upstream.latency.seconds(pool.state.usual_latency(), now);
        families.put(&declared::UPSTREAM_LATENCY, values, f64::from(latency));
        families.put(&declared::CONNECTIONS_OPENED, values, opened as f64);
        families.put(&declared::CONNECTIONS_REUSED, values, reused as f64);
        if ejects {
            families.put(&declared::UPSTREAM_EJECTIONS, values, f64::from(ejections));
        }
    }
    if stability.health.is_some() {
        families.put(&declared::UPSTREAM_HEALTHY, values, one_if(upstream.proof() == Proof::Up));
        let probes = upstream.probes.read();
        for (result, count) in [("success", probes.successes), ("failure", probes.failures)] {
            let of = [service_name, pool_name, name, result];
            let values = Values::from(&of).with(&added);
            families.put(&declared::HEALTH_CHECKS, values, count as f64);
        }
    }
    of_breaker(families, service, values, (&upstream.breaker, now));
}

fn of_breaker(
    families: &mut Families,
    service: &Service,
    values: Values<'_>,
    (breaker, now): (&Breaker, Moment),
) {
    let state = breaker.state(now);
    let does = service.stability.breaker.is_some() || state != BreakerState::Closed;
    if !uses(service, Once::Breaker, does) {
        return;
    }
    let number = match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    };
    families.put(&declared::BREAKER_STATE, values, number);
    families.put(&declared::BREAKER_OPENED, values, breaker.opened() as f64);
}

//! Services and their traffic: names and weights in, states and revisions out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::answer::{Answer, Body, Object, Path, by, change, etag, find};
use super::guard::Caller;
use super::problem::Problem;
use super::wire::Standing;
use super::{Admin, wire};
use crate::balance::Member;
use crate::clock::{Moment, WallTime};
use crate::history::{PoolRate, UpstreamRate, WINDOWS};
use crate::orders::{Refused, Report, TrafficOrder};
use crate::snapshot::{Pool, Service, Snapshot};
use crate::upstream::{BreakerState, Conditions};

/// All services.
#[utoipa::path(get, path = "/v1/services", tag = "traffic",
    responses((status = 200, description = "All services", body = Vec<wire::Service>)))]
pub async fn list(State(admin): State<Admin>, caller: Caller) -> Json<Vec<wire::Service>> {
    Json(all(&admin, &admin.published.load(), &caller))
}

/// One service; the `ETag` is its revision.
#[utoipa::path(get, path = "/v1/services/{service}", tag = "traffic", params(("service" = String, Path)),
    responses(
        (status = 200, description = "The service", body = wire::Service,
            headers(("ETag" = String, description = "Its revision"))),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let service = find(&snapshot, &name)?;
    let now = snapshot.moment(admin.clock.now());
    Ok((etag(service.revision), Json(describe(&admin, service, now))).into_response())
}

/// The split in force; the `ETag` is its revision.
#[utoipa::path(get, path = "/v1/services/{service}/split", tag = "traffic",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The split", body = wire::CurrentSplit,
            headers(("ETag" = String, description = "Its revision"))),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn split(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let service = find(&snapshot, &name)?;
    let body =
        wire::CurrentSplit { revision: service.revision, weights: wire::weights(&service.split) };
    Ok((etag(service.revision), Json(body)).into_response())
}

/// Sets the split. With `If-Match`, only if the revision is still the one named.
#[utoipa::path(put, path = "/v1/services/{service}/split", tag = "traffic",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::PutSplit,
    responses(
        (status = 200, description = "The revision made", body = wire::Revision,
            headers(("ETag" = String, description = "Its number"))),
        (status = 404, description = "No such service", body = Problem),
        (status = 409, description = "A pool that gets more takes no requests", body = Problem),
        (status = 412, description = "Another change came first", body = Problem),
        (status = 422, description = "The weights are no split", body = Problem)))]
pub async fn put_split(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<wire::PutSplit>,
) -> Answer {
    let Json(Object(wire::PutSplit { weights, force, reason, author })) = body?;
    let mut read = BTreeMap::new();
    for (pool, weight) in weights {
        let percent = wire::share(&weight).map_err(|error| {
            let detail = format!("weights.{pool}: {error}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-split", detail)
        })?;
        read.insert(pool, percent);
    }
    let by = by(&headers, &caller, author, reason, force)?;
    change(&admin, &name, TrafficOrder::Weights(read), by).await
}

/// Sends everything to one pool, if it can take it.
#[utoipa::path(post, path = "/v1/services/{service}/flip", tag = "traffic",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::Flip,
    responses(
        (status = 200, description = "The revision made", body = wire::Revision,
            headers(("ETag" = String, description = "Its number"))),
        (status = 404, description = "No such service or pool", body = Problem),
        (status = 409, description = "Nobody of the pool would take requests", body = Problem),
        (status = 412, description = "Another change came first", body = Problem)))]
pub async fn flip(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<wire::Flip>,
) -> Answer {
    let Json(Object(wire::Flip { to, force, reason, author })) = body?;
    let by = by(&headers, &caller, author, reason, force)?;
    change(&admin, &name, TrafficOrder::Flip { pool: to }, by).await
}

/// The revisions that are remembered, the newest first.
#[utoipa::path(get, path = "/v1/services/{service}/revisions", tag = "traffic",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The revisions", body = Vec<wire::Revision>),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn revisions(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    find(&admin.published.load(), &name)?;
    let state = admin.state.borrow().clone();
    let history: Vec<wire::Revision> =
        state.history(&name).map(|revision| wire::Revision::from(&**revision)).collect();
    Ok(Json(history).into_response())
}

/// The pools of a service.
#[utoipa::path(get, path = "/v1/services/{service}/pools", tag = "traffic",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The pools", body = Vec<wire::Pool>),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn pools(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let now = snapshot.moment(admin.clock.now());
    Ok(Json(describe(&admin, find(&snapshot, &name)?, now).pools).into_response())
}

/// One pool with its upstreams.
#[utoipa::path(get, path = "/v1/services/{service}/pools/{pool}", tag = "traffic",
    params(("service" = String, Path), ("pool" = String, Path)),
    responses(
        (status = 200, description = "The pool", body = wire::Pool),
        (status = 404, description = "No such service or pool", body = Problem)))]
pub async fn pool(
    State(admin): State<Admin>,
    Path((name, pool)): Path<(String, String)>,
) -> Answer {
    let snapshot = admin.published.load();
    let now = snapshot.moment(admin.clock.now());
    let mut pools = describe(&admin, find(&snapshot, &name)?, now).pools.into_iter();
    let found = pools.find(|candidate| candidate.name == pool);
    let missing = || {
        let service = name.clone();
        Problem::of(Refused::NoPool { service, pool }, &name, &snapshot)
    };
    Ok(Json(found.ok_or_else(missing)?).into_response())
}

/// All services of a snapshot that this caller is told of.
pub(super) fn all(admin: &Admin, snapshot: &Snapshot, caller: &Caller) -> Vec<wire::Service> {
    let now = snapshot.moment(admin.clock.now());
    let seen = snapshot.services.iter().filter(|service| caller.sees(&service.name));
    seen.map(|service| describe(admin, service, now)).collect()
}

pub(super) fn describe(admin: &Admin, service: &Service, now: Moment) -> wire::Service {
    let rates = admin.history.rates(&service.name, service.revision);
    let pool = |pool: &Pool| {
        let rate = rates.get(&pool.name).copied().unwrap_or_default();
        let took = admin.history.latencies(&service.name, &pool.name);
        let latency = WINDOWS.iter().zip(&took);
        let latency = latency.map(|(&window, took)| wire::Latency::of(took, window as f64));
        let upstreams = admin.history.upstream_rates(&service.name, &pool.name);
        let seen = Seen { now, wall: admin.clock.wall_time(), upstreams };
        wire::Pool { latency: latency.collect(), ..describe_pool(pool, service, rate, &seen) }
    };
    let state = admin.state.borrow().clone();
    let wall = admin.clock.wall_time();
    wire::Service {
        name: service.name.to_string(),
        revision: service.revision,
        mode: wire::Mode::of(service, now),
        waiting: service.waiting(),
        requests_per_second: rates.values().map(|rate| rate.requests).sum(),
        budget: wire::Budget::of(&service.state.standing()),
        judge_check: service.state.checked().map(|tally| wire::JudgeCheck::of(&tally)),
        pools: service.pools.iter().map(pool).collect(),
        rollout: state
            .rollout(&service.name)
            .map(|rollout| wire::Rollout::of(Report::of(&state, rollout, wall), wall)),
        orders: state
            .orders_of(&service.name)
            .filter(|standing| !standing.is_over(wall) && !state.is_dormant(&standing.what))
            .map(Standing::of)
            .collect(),
    }
}

/// What is known beside the snapshot of a pool's upstreams, at a moment.
struct Seen {
    now: Moment,
    wall: WallTime,
    upstreams: HashMap<Arc<str>, UpstreamRate>,
}

impl Seen {
    /// A moment before as Unix time in seconds.
    fn unix(&self, then: Moment) -> f64 {
        self.wall.seconds() - self.now.elapsed_since(then).as_secs_f64()
    }
}

fn describe_pool(pool: &Pool, service: &Service, rate: PoolRate, seen: &Seen) -> wire::Pool {
    let now = seen.now;
    let upstream = |member: &Member| describe_upstream(member, pool, service, seen);
    let upstreams: Vec<_> = pool.members.list().iter().map(upstream).collect();
    wire::Pool {
        name: pool.name.to_string(),
        tag: pool.version.as_ref().and_then(|it| it.tag.as_ref()).map(ToString::to_string),
        deployed_by: pool.version.as_ref().map(|version| version.rollout),
        weight: service.split.weight(&pool.name).percent(),
        measured: rate.share.map(|share| share * 100.0),
        requests_per_second: rate.requests,
        errors: rate.errors * 100.0,
        mean_seconds: rate.mean,
        latency: Vec::new(),
        in_flight: upstreams.iter().map(|upstream| u64::from(upstream.in_flight)).sum(),
        available: pool.is_available(),
        panic: pool.state.has_nobody(),
        breaker: wire::Breaker::of(&pool.state.breaker, now),
        upstreams,
    }
}

fn describe_upstream(
    member: &Member,
    pool: &Pool,
    service: &Service,
    seen: &Seen,
) -> wire::Upstream {
    let (upstream, now) = (&member.upstream, seen.now);
    let rate = seen.upstreams.get(&upstream.name).copied().unwrap_or_default();
    let trouble = upstream.last_trouble();
    let reading = upstream.tally.read();
    let conditions = pool.conditions(member, &service.stability, now);
    let ejected = conditions.any(Conditions::EJECTED);
    wire::Upstream {
        address: upstream.name.to_string(),
        name: upstream.of.as_ref().map(ToString::to_string),
        labels: member.labels.to_map(),
        state: condition(member, conditions, now),
        breaker: wire::Breaker::of(&upstream.breaker, now),
        ejected_for: ejected.then(|| upstream.ejection.until().elapsed_since(now).as_secs_f64()),
        last_probe_failure: upstream.probes.read().last_failure.map(|why| why.to_string()),
        since: upstream.unwell_since().map(|since| seen.unix(since)),
        last_error: trouble.map(|(trouble, _)| trouble.to_string()),
        last_error_at: trouble.map(|(_, at)| seen.unix(at)),
        requests_per_second: rate.requests,
        errors_percent: rate.errors * 100.0,
        latency_seconds: f64::from(upstream.latency.seconds(pool.state.usual_latency(), now)),
        weight: member.weight,
        in_flight: upstream.in_flight(),
        requests: reading.total(),
        errors: reading.errors(),
    }
}

/// The one condition that says most.
fn condition(member: &Member, conditions: Conditions, now: Moment) -> wire::UpstreamCondition {
    use wire::UpstreamCondition::*;
    let draining = Conditions::DRAINING.with(Conditions::ADVISED_DRAIN);
    let breaker = match member.upstream.breaker.state(now) {
        BreakerState::Closed => None,
        BreakerState::Open => Some(BreakerOpen),
        BreakerState::HalfOpen => Some(BreakerHalfOpen),
    };
    let known = [
        (conditions.any(draining), Draining),
        (member.target.is_none(), Unresolved),
        (conditions.any(Conditions::UNPROVEN), Unproven),
        (conditions.any(Conditions::DOWN), Down),
        (conditions.any(Conditions::REFUSING), Refusing),
        (conditions.any(Conditions::EJECTED), Ejected),
        (breaker.is_some(), breaker.unwrap_or(Active)),
        (conditions.any(Conditions::FAILING), Failing),
        (conditions.any(Conditions::SLOW_START), SlowStart),
    ];
    known.iter().find(|(holds, _)| *holds).map_or(Active, |(_, condition)| *condition)
}

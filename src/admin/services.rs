//! Services and their traffic: names and weights in, states and revisions out.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{Admin, wire};
use crate::balance::Member;
use crate::control::{Order, PoolRate, Refused, Target};
use crate::snapshot::{Pool, Service, Snapshot};
use crate::split::BasisPoints;
use crate::upstream::Address;

/// Who a change is by if it does not say.
const ANONYMOUS: &str = "api";

type Answer = Result<Response, Problem>;
type Body<T> = Result<Json<T>, JsonRejection>;

/// All services.
#[utoipa::path(get, path = "/v1/services", tag = "traffic",
    responses((status = 200, description = "All services", body = Vec<wire::Service>)))]
pub async fn list(State(admin): State<Admin>) -> Json<Vec<wire::Service>> {
    Json(all(&admin, &admin.published.load()))
}

/// One service; the `ETag` is its revision.
#[utoipa::path(get, path = "/v1/services/{service}", tag = "traffic", params(("service" = String, Path)),
    responses(
        (status = 200, description = "The service", body = wire::Service),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let service = find(&snapshot, &name)?;
    Ok((etag(service.revision), Json(describe(&admin, service))).into_response())
}

/// The split in force; the `ETag` is its revision.
#[utoipa::path(get, path = "/v1/services/{service}/split", tag = "traffic",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The split", body = wire::CurrentSplit),
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
        (status = 200, description = "The revision made", body = wire::Revision),
        (status = 404, description = "No such service", body = Problem),
        (status = 409, description = "A pool that gets more takes no requests", body = Problem),
        (status = 412, description = "Another change came first", body = Problem),
        (status = 422, description = "The weights are no split", body = Problem)))]
pub async fn put_split(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<wire::PutSplit>,
) -> Answer {
    let Json(wire::PutSplit { weights, force, reason, author }) = body?;
    let mut read = BTreeMap::new();
    for (pool, weight) in weights {
        let percent = BasisPoints::from_percent(&weight.to_string()).map_err(|error| {
            let detail = format!("weights.{pool}: {error}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-split", detail)
        })?;
        read.insert(pool, percent);
    }
    let order = order(&headers, author, reason, force)?;
    change(&admin, &name, Target::Weights(read), order).await
}

/// Sends everything to one pool, if it can take it.
#[utoipa::path(post, path = "/v1/services/{service}/flip", tag = "traffic",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::Flip,
    responses(
        (status = 200, description = "The revision made", body = wire::Revision),
        (status = 404, description = "No such service or pool", body = Problem),
        (status = 409, description = "The pool has no upstream that takes requests", body = Problem),
        (status = 412, description = "Another change came first", body = Problem)))]
pub async fn flip(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<wire::Flip>,
) -> Answer {
    let Json(wire::Flip { to, force, reason, author }) = body?;
    let order = order(&headers, author, reason, force)?;
    change(&admin, &name, Target::Flip { pool: to }, order).await
}

/// The revisions that are remembered, the newest first.
#[utoipa::path(get, path = "/v1/services/{service}/revisions", tag = "traffic",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The revisions", body = Vec<wire::Revision>),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn revisions(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let history = admin.control.history(&name).await?;
    let history: Vec<wire::Revision> = history.into_iter().map(Into::into).collect();
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
    Ok(Json(describe(&admin, find(&snapshot, &name)?).pools).into_response())
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
    let mut pools = describe(&admin, find(&snapshot, &name)?).pools.into_iter();
    let found = pools.find(|candidate| candidate.name == pool);
    let missing = || Problem::from(Refused::NoPool { service: name, pool });
    Ok(Json(found.ok_or_else(missing)?).into_response())
}

/// Takes an upstream out for new requests, or lets it back in.
#[utoipa::path(put, path = "/v1/services/{service}/pools/{pool}/upstreams/{address}/state",
    tag = "traffic",
    params(("service" = String, Path), ("pool" = String, Path), ("address" = String, Path)),
    request_body = wire::PutUpstreamState,
    responses(
        (status = 200, description = "The state set", body = wire::UpstreamStateSet),
        (status = 404, description = "No such service, pool or upstream", body = Problem)))]
pub async fn put_upstream_state(
    State(admin): State<Admin>,
    Path((service, pool, address)): Path<(String, String, String)>,
    body: Body<wire::PutUpstreamState>,
) -> Answer {
    let Json(wire::PutUpstreamState { state }) = body?;
    let no_such = || Refused::NoUpstream { pool: pool.clone(), address: address.clone() };
    let parsed: Address = address.parse().map_err(|_| no_such())?;
    let draining = state == wire::UpstreamState::Drain;
    let generation = admin.control.set_draining(&service, &pool, parsed.clone(), draining).await?;
    let snapshot = admin.published.load();
    let members = snapshot.service(&service).and_then(|s| s.pool(&pool)).map(|p| &p.members);
    let upstream = members.and_then(|members| {
        members.list().iter().map(|member| &member.upstream).find(|u| u.address == parsed)
    });
    let in_flight = upstream.map_or(0, |upstream| upstream.in_flight());
    Ok(Json(wire::UpstreamStateSet { state, in_flight, generation }).into_response())
}

/// All services of a snapshot.
pub(super) fn all(admin: &Admin, snapshot: &Snapshot) -> Vec<wire::Service> {
    snapshot.services.iter().map(|service| describe(admin, service)).collect()
}

async fn change(admin: &Admin, service: &str, to: Target, order: Order) -> Answer {
    let revision = admin.control.shift(service, to, order).await?;
    Ok((etag(revision.number), Json(wire::Revision::from(revision))).into_response())
}

fn order(
    headers: &HeaderMap,
    author: Option<String>,
    reason: Option<String>,
    force: bool,
) -> Result<Order, Problem> {
    let author = author.filter(|author| !author.is_empty()).unwrap_or_else(|| ANONYMOUS.into());
    Ok(Order { author, reason, expected: if_match(headers)?, force })
}

/// The revision an `If-Match` names; none for no condition or `*`.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(given) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = given.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    text.trim_matches('"').parse().map(Some).map_err(|_| {
        let detail = "If-Match takes one ETag, such as \"7\", or *";
        Problem::new(StatusCode::BAD_REQUEST, "bad-if-match", detail)
    })
}

fn etag(revision: u64) -> [(header::HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&format!("\"{revision}\""));
    [(header::ETAG, value.expect("digits in quotes are a valid field value"))]
}

fn find<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Service, Problem> {
    snapshot.service(name).ok_or_else(|| Refused::NoService(name.to_string()).into())
}

fn describe(admin: &Admin, service: &Service) -> wire::Service {
    let rates = admin.rates.of(&service.name);
    let pool = |pool: &Pool| {
        describe_pool(pool, service, rates.get(&pool.name).copied().unwrap_or_default())
    };
    wire::Service {
        name: service.name.to_string(),
        revision: service.revision,
        requests_per_second: rates.values().map(|rate| rate.requests).sum(),
        pools: service.pools.iter().map(pool).collect(),
    }
}

fn describe_pool(pool: &Pool, service: &Service, rate: PoolRate) -> wire::Pool {
    let upstreams: Vec<_> = pool.members.list().iter().map(describe_upstream).collect();
    wire::Pool {
        name: pool.name.to_string(),
        weight: service.split.weight(&pool.name).percent(),
        measured: rate.share.map(|share| share * 100.0),
        requests_per_second: rate.requests,
        errors: rate.errors * 100.0,
        mean_seconds: rate.mean,
        in_flight: upstreams.iter().map(|upstream| u64::from(upstream.in_flight)).sum(),
        available: pool.members.any_available(),
        upstreams,
    }
}

fn describe_upstream(member: &Member) -> wire::Upstream {
    let upstream = &member.upstream;
    let reading = upstream.tally.read();
    wire::Upstream {
        address: upstream.name.to_string(),
        state: match (upstream.is_draining(), member.targets.is_empty()) {
            (true, _) => wire::UpstreamCondition::Draining,
            (false, true) => wire::UpstreamCondition::Unresolved,
            (false, false) => wire::UpstreamCondition::Active,
        },
        weight: member.weight,
        in_flight: upstream.in_flight(),
        requests: reading.total(),
        errors: reading.errors(),
    }
}

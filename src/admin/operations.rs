//! Operations on services, pools and upstreams that change no split: orders in, states out.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::answer::{Answer, Body, Object, Path, by, give};
use super::forms::LONGEST_MESSAGE;
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::balance::{Member, check_weight};
use crate::config::duration;
use crate::orders::{ModeName, ModeOrder, Order, Place, Refused, UpstreamOrder};
use crate::upstream::{Address, Label, Labels, MOST_LABELS};

/// How long a hold lasts if it does not say.
const HOLD: Duration = Duration::from_secs(20);

/// How long a hold may last: clients give up by then.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// How many requests a hold lets wait if it does not say, and at most.
const HELD: usize = 1_000;
const MOST_HELD: usize = 100_000;

/// How long an answer waits for an added name: one that resolves does so by then, mostly.
const NAME_PATIENCE: Duration = Duration::from_millis(500);

/// How often it looks meanwhile.
const NAME_LOOK: Duration = Duration::from_millis(10);

/// What is said of a name that takes longer.
const UNRESOLVED: &str = "its name has not resolved yet; it joins when it does";

/// Takes an upstream out for new requests, or lets it back in.
#[utoipa::path(put, path = "/v1/services/{service}/pools/{pool}/upstreams/{address}/state",
    tag = "operations",
    params(("service" = String, Path), ("pool" = String, Path), ("address" = String, Path)),
    request_body = wire::PutUpstreamState,
    responses(
        (status = 200, description = "The state set", body = wire::UpstreamStateSet),
        (status = 404, description = "No such service, pool or upstream", body = Problem),
        (status = 409, description = "It is the last one of a pool that gets traffic", body = Problem)))]
pub async fn put_upstream_state(
    State(admin): State<Admin>,
    caller: Caller,
    Path((service, pool, address)): Path<(String, String, String)>,
    body: Body<wire::PutUpstreamState>,
) -> Answer {
    let Json(Object(wire::PutUpstreamState { state, force, reason, author })) = body?;
    let place = upstream(&admin, service, pool, &address)?;
    let what = match state {
        wire::UpstreamState::Active => UpstreamOrder::Activate,
        wire::UpstreamState::Drain => UpstreamOrder::Drain,
    };
    let by = by(&HeaderMap::new(), &caller, author, reason, force)?;
    let order = Order::Upstream { place: place.clone(), what };
    let granted = give(&admin, &place.service, order, by).await?;
    let generation = granted.generation;
    let snapshot = admin.published.load();
    let pool = snapshot.service(&place.service).and_then(|service| service.pool(&place.pool));
    let mut members = pool.iter().flat_map(|pool| pool.members.list());
    let found = members.find(|member| Some(&member.upstream.address) == place.upstream.as_ref());
    let in_flight = found.map_or(0, |member| member.upstream.in_flight());
    let storing = wire::Storing::of(granted.stored);
    Ok(Json(wire::UpstreamStateSet { state, in_flight, generation, storing }).into_response())
}

/// Adds an upstream to a pool, or gives one that is there another weight or other labels. It stays until the pool
/// is edited in the file.
#[utoipa::path(post, path = "/v1/services/{service}/pools/{pool}/upstreams", tag = "operations",
    params(("service" = String, Path), ("pool" = String, Path)),
    request_body = wire::PostUpstream,
    responses(
        (status = 201, description = "It is in the pool", body = wire::UpstreamsChanged),
        (status = 404, description = "No such service or pool", body = Problem),
        (status = 409, description = "It is there already", body = Problem),
        (status = 422, description = "The address, the weight or a label is none", body = Problem)))]
pub async fn post_upstream(
    State(admin): State<Admin>,
    caller: Caller,
    Path((service, pool)): Path<(String, String)>,
    body: Body<wire::PostUpstream>,
) -> Answer {
    let Json(Object(wire::PostUpstream { address, weight, labels, reason, author })) = body?;
    let parsed: Address = address.parse().map_err(|error| bad(format!("address: {error}")))?;
    weight.map(check_weight).transpose().map_err(bad)?;
    caller.must_reach(&parsed)?;
    let labels = labels.map(labels_of).transpose()?;
    let place = Place { service, pool, upstream: Some(parsed.clone()) };
    let by = by(&HeaderMap::new(), &caller, author, reason, false)?;
    let what = UpstreamOrder::Add { weight, labels };
    let order = Order::Upstream { place: place.clone(), what };
    let granted = give(&admin, &place.service, order, by).await?;
    let generation = granted.generation;
    let is_named = parsed.target().is_none();
    let note =
        (is_named && !resolves_soon(&admin, &place, &parsed).await).then(|| UNRESOLVED.into());
    let changed = wire::UpstreamsChanged { address, generation, note };
    Ok((StatusCode::CREATED, Json(changed)).into_response())
}

/// Takes an upstream out of its pool; requests it holds end. It stays out until the pool is edited
/// in the file. What was ordered of it (a drain, its breaker) goes with it.
#[utoipa::path(delete, path = "/v1/services/{service}/pools/{pool}/upstreams/{address}",
    tag = "operations",
    params(("service" = String, Path), ("pool" = String, Path), ("address" = String, Path),
        ("reason" = Option<String>, Query), ("author" = Option<String>, Query)),
    responses(
        (status = 200, description = "It is gone", body = wire::UpstreamsChanged),
        (status = 404, description = "No such service, pool or upstream", body = Problem),
        (status = 409, description = "It is the last one, or belongs to a name", body = Problem)))]
pub async fn delete_upstream(
    State(admin): State<Admin>,
    caller: Caller,
    Path((service, pool, address)): Path<(String, String, String)>,
    asker: Result<Query<Asker>, QueryRejection>,
) -> Answer {
    let Query(Asker { reason, author }) = asker?;
    let place = upstream(&admin, service, pool, &address)?;
    place.upstream.as_ref().map_or(Ok(()), |address| caller.must_reach(address))?;
    let by = by(&HeaderMap::new(), &caller, author, reason, false)?;
    let order = Order::Upstream { place: place.clone(), what: UpstreamOrder::Remove };
    let granted = give(&admin, &place.service, order, by).await?;
    let generation = granted.generation;
    Ok(Json(wire::UpstreamsChanged { address, generation, note: None }).into_response())
}

/// Takes all upstreams of a service that have a label out for new requests, or lets them back in.
#[utoipa::path(put, path = "/v1/services/{service}/labelled/state", tag = "operations",
    params(("service" = String, Path)), request_body = wire::PutLabelledState,
    responses(
        (status = 200, description = "The state set", body = wire::LabelledStateSet),
        (status = 404, description = "No such service, pool or label", body = Problem),
        (status = 409, description = "A pool that gets traffic would have nobody", body = Problem),
        (status = 422, description = "That is no label", body = Problem)))]
pub async fn put_labelled_state(
    State(admin): State<Admin>,
    caller: Caller,
    Path(service): Path<String>,
    body: Body<wire::PutLabelledState>,
) -> Answer {
    let Json(Object(put)) = body?;
    let label: Label = put.label.parse().map_err(|error| bad(format!("label: {error}")))?;
    let by = by(&HeaderMap::new(), &caller, put.author, put.reason, put.force)?;
    let drains = put.state == wire::UpstreamState::Drain;
    let (name, pool) = (service.clone(), put.pool.clone());
    let order = Order::Labelled { service: name, pool, label: label.clone(), drains };
    let granted = give(&admin, &service, order, by).await?;
    let snapshot = admin.published.load();
    let pools = snapshot.service(&service).into_iter().flat_map(|service| &service.pools);
    let meant = pools.filter(|pool| put.pool.as_ref().is_none_or(|name| **name == *pool.name));
    let members = meant.flat_map(|pool| pool.members.list());
    let upstreams: Vec<&Member> = members.filter(|member| member.labels.has(&label)).collect();
    let set = wire::LabelledStateSet {
        state: put.state,
        in_flight: upstreams.iter().map(|member| u64::from(member.upstream.in_flight())).sum(),
        upstreams: upstreams.iter().map(|member| member.upstream.name.to_string()).collect(),
        generation: granted.generation,
        storing: wire::Storing::of(granted.stored),
    };
    Ok(Json(set).into_response())
}

/// Labels as they came.
fn labels_of(given: BTreeMap<String, String>) -> Result<Labels, Problem> {
    if given.len() > MOST_LABELS {
        return Err(bad(format!("labels: at most {MOST_LABELS}")));
    }
    let one = |(name, text): (&String, &String)| {
        Label::new(name, text).map_err(|error| bad(format!("labels.{name}: {error}")))
    };
    given.iter().map(one).collect()
}

/// Whether a name that was just added resolves within [`NAME_PATIENCE`].
async fn resolves_soon(admin: &Admin, place: &Place, name: &Address) -> bool {
    let is_unresolved = || {
        let snapshot = admin.published.load();
        let pool = snapshot.service(&place.service).and_then(|service| service.pool(&place.pool));
        let mut members = pool.iter().flat_map(|pool| pool.members.list());
        members.any(|member| member.upstream.address == *name && member.target.is_none())
    };
    let resolved = async {
        while is_unresolved() {
            sleep(NAME_LOOK).await;
        }
    };
    timeout(NAME_PATIENCE, resolved).await.is_ok()
}

/// Who asks for what has no body, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asker {
    pub reason: Option<String>,
    pub author: Option<String>,
}

/// Opens or closes a pool's circuit breaker, or lets it decide by itself again.
#[utoipa::path(put, path = "/v1/services/{service}/pools/{pool}/breaker", tag = "operations",
    params(("service" = String, Path), ("pool" = String, Path)),
    request_body = wire::PutBreaker,
    responses(
        (status = 200, description = "What it was told", body = wire::BreakerSet),
        (status = 404, description = "No such service or pool", body = Problem)))]
pub async fn put_breaker(
    State(admin): State<Admin>,
    caller: Caller,
    Path((service, pool)): Path<(String, String)>,
    body: Body<wire::PutBreaker>,
) -> Answer {
    set_breaker(&admin, &caller, Place { service, pool, upstream: None }, body).await
}

/// Opens or closes an upstream's circuit breaker, or lets it decide by itself again.
#[utoipa::path(put, path = "/v1/services/{service}/pools/{pool}/upstreams/{address}/breaker",
    tag = "operations",
    params(("service" = String, Path), ("pool" = String, Path), ("address" = String, Path)),
    request_body = wire::PutBreaker,
    responses(
        (status = 200, description = "What it was told", body = wire::BreakerSet),
        (status = 404, description = "No such service, pool or upstream", body = Problem)))]
pub async fn put_upstream_breaker(
    State(admin): State<Admin>,
    caller: Caller,
    Path((service, pool, address)): Path<(String, String, String)>,
    body: Body<wire::PutBreaker>,
) -> Answer {
    set_breaker(&admin, &caller, upstream(&admin, service, pool, &address)?, body).await
}

async fn set_breaker(
    admin: &Admin,
    caller: &Caller,
    place: Place,
    body: Body<wire::PutBreaker>,
) -> Answer {
    let Json(Object(wire::PutBreaker { state, reason, author })) = body?;
    let by = by(&HeaderMap::new(), caller, author, reason, false)?;
    let order = Order::Breaker { place: place.clone(), what: state.into() };
    let generation = give(admin, &place.service, order, by).await?.generation;
    Ok(Json(wire::BreakerSet { state, generation }).into_response())
}

/// Lets a service serve, holds it, or puts it into maintenance.
#[utoipa::path(put, path = "/v1/services/{service}/mode", tag = "operations",
    params(("service" = String, Path)), request_body = wire::PutMode,
    responses(
        (status = 200, description = "The mode set", body = wire::ModeSet),
        (status = 404, description = "No such service", body = Problem),
        (status = 409, description = "It is in another mode than `from`", body = Problem),
        (status = 422, description = "A bound is out of range", body = Problem)))]
pub async fn put_mode(
    State(admin): State<Admin>,
    caller: Caller,
    Path(service): Path<String>,
    body: Body<wire::PutMode>,
) -> Answer {
    let Json(Object(put)) = body?;
    let what = mode(&put)?;
    let by = by(&HeaderMap::new(), &caller, put.author, put.reason, false)?;
    let order = Order::Mode { service: service.clone(), what };
    let generation = give(&admin, &service, order, by).await?.generation;
    let snapshot = admin.published.load();
    let waiting = snapshot.service(&service).map_or(0, |service| service.waiting());
    Ok(Json(wire::ModeSet { mode: put.mode, waiting, generation }).into_response())
}

/// What is said for another mode has to make sense as well: nobody is to learn of a mistake only when
/// the mode is the other one.
fn mode(put: &wire::PutMode) -> Result<ModeOrder, Problem> {
    let length = put.length.as_deref().map_or(Ok(HOLD), duration);
    let length = length.map_err(|error| bad(format!("for: {error}")))?;
    if length > LONGEST_HOLD {
        let given = put.length.as_deref().unwrap_or_default();
        return Err(bad(format!("for: expected at most 5m; this is `{given}`")));
    }
    let most = put.most.unwrap_or(HELD);
    if !(1..=MOST_HELD).contains(&most) {
        return Err(bad(format!("most: expected 1 to {MOST_HELD} requests; this is {most}")));
    }
    let message = put.message.clone().filter(|message| !message.trim().is_empty());
    if message.as_ref().is_some_and(|message| message.chars().count() > LONGEST_MESSAGE) {
        return Err(bad(format!("message: at most {LONGEST_MESSAGE} characters")));
    }
    Ok(match put.mode {
        wire::Mode::Serve => ModeOrder::Serve { from: put.from.map(name) },
        wire::Mode::Hold => ModeOrder::Hold { length, most },
        wire::Mode::Maintenance => ModeOrder::Maintenance { message },
    })
}

fn name(mode: wire::Mode) -> ModeName {
    match mode {
        wire::Mode::Serve => ModeName::Serve,
        wire::Mode::Hold => ModeName::Hold,
        wire::Mode::Maintenance => ModeName::Maintenance,
    }
}

/// Which events to show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Those with a higher number.
    #[serde(default)]
    after: Option<String>,
    /// How long to wait until there is one, in seconds.
    #[serde(default)]
    wait: Option<String>,
}

/// How long an answer waits for an event at most, in seconds: proxies on the way give up later.
const LONGEST_WAIT: u64 = 30;

/// The last thousand events, the oldest first; with `wait`, once there is one.
#[utoipa::path(get, path = "/v1/events", tag = "operations",
    params(
        ("after" = Option<u64>, Query, description = "Only those with a higher number"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 30,
            description = "Without such an event, answer when there is one: after so many seconds \
                           at most, then with an empty list")),
    responses(
        (status = 200, description = "The events", body = Vec<wire::Event>),
        (status = 400, description = "A parameter that there is not", body = Problem),
        (status = 422, description = "`after` or `wait` is no such number", body = Problem),
        (status = 503, description = "Too many wait already", body = Problem)))]
pub async fn events(
    State(admin): State<Admin>,
    caller: Caller,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Json<Vec<wire::Event>>, Problem> {
    let Query(After { after, wait }) = after?;
    let number = after.as_deref().map_or(Ok(0), str::parse);
    let number: u64 = number.map_err(|_| {
        let given = after.unwrap_or_default();
        bad(format!("after: expected an event's number, such as 41; this is `{given}`"))
    })?;
    let found = match wait {
        None => admin.events.after(number),
        Some(wait) => {
            let seconds = wait.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT);
            let seconds = seconds.ok_or_else(|| {
                bad(format!("wait: expected 0 to {LONGEST_WAIT} seconds; this is `{wait}`"))
            })?;
            let waited = admin.events.wait_after(number, Duration::from_secs(seconds)).await;
            waited.map_err(|error| {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(status, "too-many-waiting", error.to_string())
            })?
        }
    };
    let seen = found.iter().filter(|entry| caller.sees(&entry.event.subject.service));
    Ok(Json(seen.map(|entry| (&**entry).into()).collect()))
}

fn upstream(admin: &Admin, service: String, pool: String, address: &str) -> Result<Place, Problem> {
    let no_such = || {
        let (pool, address) = (pool.clone(), address.to_string());
        admin.problem(Refused::NoUpstream { pool, address }, &service)
    };
    let parsed = address.parse().map_err(|_| no_such())?;
    Ok(Place { service, pool, upstream: Some(parsed) })
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", detail)
}

//! Moving traffic over time and back: rollouts, rollbacks, feature flags, and the store as JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::answer::{
    Answer, Body, Object, OptionalBody, Path, by, change, find, give, given, strange,
};
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::balance::Member;
use crate::orders::{By, FlagReport, LATELY, Made, Order, Refused, Report, TrafficOrder};
use crate::rollout::{Order as Verb, Rollout, Strategy, Wishes};
use crate::split::BasisPoints;
use crate::store::{Export, StoredEvent};

/// Goes back to an earlier revision; without one to before the last change, where the steps of one
/// rollout are one change. Ends a rollout that is under way.
#[utoipa::path(post, path = "/v1/services/{service}/rollback", tag = "traffic",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = Option<wire::Rollback>,
    responses(
        (status = 200, description = "The revision made", body = wire::Revision,
            headers(("ETag" = String, description = "Its number"))),
        (status = 404, description = "No such service or revision", body = Problem),
        (status = 409, description = "Nobody of the pool would take requests", body = Problem),
        (status = 412, description = "Another change came first", body = Problem)))]
pub async fn rollback(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: OptionalBody<wire::Rollback>,
) -> Answer {
    let wire::Rollback { to, force, reason, author } = given(body)?;
    let by = by(&headers, &caller, author, reason, force)?;
    change(&admin, &name, TrafficOrder::Back { to }, by).await
}

/// Starts a rollout.
#[utoipa::path(post, path = "/v1/services/{service}/rollout", tag = "rollouts",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::StartRollout,
    responses(
        (status = 201, description = "The rollout", body = wire::Rollout),
        (status = 404, description = "No such service or pool", body = Problem),
        (status = 409, description = "Another one is under way, they are frozen, the pool is dead, or it \
                                      cannot be planned as things are",
            body = Problem),
        (status = 422, description = "It cannot be planned so, or an override has no reason",
            body = Problem)))]
pub async fn start(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<wire::StartRollout>,
) -> Answer {
    let Json(Object(start)) = body?;
    if start.override_freeze && !start.has_reason() {
        // Whether there is a freeze just then or not.
        return Err(admin.problem(Refused::NoReason, &name));
    }
    let wishes = wishes(&start)?;
    let by = by(&headers, &caller, start.author, start.reason, start.force)?;
    let order = Order::StartRollout { service: name.clone(), wishes: Box::new(wishes) };
    let rollout = ordered(&admin, &name, order, by).await?;
    Ok((StatusCode::CREATED, Json(rollout)).into_response())
}

/// The rollout under way, else the last one.
#[utoipa::path(get, path = "/v1/services/{service}/rollout", tag = "rollouts",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The rollout", body = wire::Rollout),
        (status = 404, description = "No such service, or no rollout yet", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    find(&admin.published.load(), &name)?;
    let (state, now) = (admin.state.borrow().clone(), admin.clock.wall_time());
    let none = || {
        let detail = format!("service `{name}` has had no rollout yet");
        Problem::new(StatusCode::NOT_FOUND, "no-rollout", detail)
    };
    let newest = Report::newest(&state, &name, now).ok_or_else(none)?;
    Ok(Json(with_waits(&admin, wire::Rollout::of(newest, now))).into_response())
}

/// The rollouts that are remembered, the newest first.
#[utoipa::path(get, path = "/v1/services/{service}/rollouts", tag = "rollouts",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The rollouts", body = Vec<wire::Rollout>),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn list(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    find(&admin.published.load(), &name)?;
    let (state, now) = (admin.state.borrow().clone(), admin.clock.wall_time());
    let reports = Report::all(&state, &name, now);
    let described = reports.into_iter().map(|report| wire::Rollout::of(report, now));
    let all: Vec<wire::Rollout> = described.map(|rollout| with_waits(&admin, rollout)).collect();
    Ok(Json(all).into_response())
}

/// One rollout: where it is.
#[utoipa::path(get, path = "/v1/services/{service}/rollouts/{id}", tag = "rollouts",
    params(("service" = String, Path), ("id" = u64, Path)),
    responses(
        (status = 200, description = "The rollout", body = wire::Rollout),
        (status = 404, description = "No such service or rollout", body = Problem)))]
pub async fn one(State(admin): State<Admin>, Path((name, id)): Path<(String, u64)>) -> Answer {
    let (_, described) = remembered(&admin, &name, id)?;
    Ok(Json(described).into_response())
}

/// One rollout with its evidence, ready for a post-mortem.
#[utoipa::path(get, path = "/v1/services/{service}/rollouts/{id}/report", tag = "rollouts",
    params(("service" = String, Path), ("id" = u64, Path)),
    responses(
        (status = 200, description = "The rollout with its evidence", body = wire::RolloutReport),
        (status = 404, description = "No such service or rollout", body = Problem)))]
pub async fn report(State(admin): State<Admin>, Path((name, id)): Path<(String, u64)>) -> Answer {
    let (rollout, described) = remembered(&admin, &name, id)?;
    Ok(Json(wire::RolloutReport::of(&rollout, described)).into_response())
}

fn remembered(
    admin: &Admin,
    name: &str,
    id: u64,
) -> Result<(Arc<Rollout>, wire::Rollout), Problem> {
    find(&admin.published.load(), name)?;
    let (state, now) = (admin.state.borrow().clone(), admin.clock.wall_time());
    let rollout = state.rollout_of(name, id).ok_or_else(|| {
        let detail = format!("service `{name}` has no rollout {id} any more, or never had");
        Problem::new(StatusCode::NOT_FOUND, "no-rollout", detail)
    })?;
    let described = wire::Rollout::of(Report::of(&state, rollout, now), now);
    Ok((rollout.clone(), with_waits(admin, described)))
}

/// A deploy that has yet to begin, with those it waits for.
pub(super) fn with_waits(admin: &Admin, rollout: wire::Rollout) -> wire::Rollout {
    let is_waiting =
        rollout.state == "running" && rollout.steps_taken == 0 && rollout.deploys.is_some();
    let snapshot = admin.published.load();
    let service = snapshot.service(&rollout.service).filter(|_| is_waiting);
    let Some((service, pool)) = service.and_then(|it| Some((it, it.pool(&rollout.to)?))) else {
        return rollout;
    };
    if pool.version.as_ref().is_none_or(|version| version.rollout != rollout.id) {
        return rollout;
    }
    let since = snapshot.moment_before(admin.clock.now(), LATELY);
    let unready = pool.unready(&service.stability, since).into_iter();
    let why = |member: &Member| match (&member.target, member.upstream.address.is_name()) {
        (None, true) => ", the name does not resolve",
        (None, false) => ", an address of this Pointsman",
        (Some(_), _) => "",
    };
    let waits_for = unready.map(|member| format!("{}{}", member.upstream.name, why(member)));
    let waits_for = waits_for.collect();
    wire::Rollout { waits_for, ..rollout }
}

/// Gives an order that is answered with a rollout.
async fn ordered(
    admin: &Admin,
    name: &str,
    order: Order,
    by: By,
) -> Result<wire::Rollout, Problem> {
    let granted = give(admin, name, order, by).await?;
    let Made::Rollout(report) = granted.answer else { return Err(strange()) };
    let rollout = wire::Rollout::of(*report, admin.clock.wall_time());
    let warnings = wire::warnings(&granted.warnings);
    Ok(wire::Rollout { storing: wire::Storing::of(granted.stored), warnings, ..rollout })
}

/// Gives an order to the rollout under way: `pause`, `resume`, `step`, `promote` or `abort`.
#[utoipa::path(post, path = "/v1/services/{service}/rollout/{verb}", tag = "rollouts",
    params(("service" = String, Path), ("verb" = String, Path),
        ("If-Match" = Option<String>, Header)),
    request_body = Option<wire::OrderRollout>,
    responses(
        (status = 200, description = "The rollout", body = wire::Rollout),
        (status = 404, description = "No such service or verb", body = Problem),
        (status = 409, description = "It makes no sense now, or the old pool is dead",
            body = Problem)))]
pub async fn command(
    State(admin): State<Admin>,
    caller: Caller,
    Path((name, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: OptionalBody<wire::OrderRollout>,
) -> Answer {
    let what = match &*verb {
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "step" => Verb::Step,
        "promote" => Verb::Promote,
        "abort" => Verb::Abort,
        _ => {
            let detail = format!(
                "a rollout has no verb `{verb}`; it has pause, resume, step, promote and abort"
            );
            return Err(Problem::new(StatusCode::NOT_FOUND, "no-verb", detail));
        }
    };
    let wire::OrderRollout { force, reason, author } = given(body)?;
    let by = by(&headers, &caller, author, reason, force)?;
    let order = Order::Rollout { service: name.clone(), what };
    Ok(Json(ordered(&admin, &name, order, by).await?).into_response())
}

/// All feature flags.
#[utoipa::path(get, path = "/v1/flags", tag = "traffic",
    responses((status = 200, description = "The flags", body = Vec<wire::Flag>)))]
pub async fn flags(State(admin): State<Admin>) -> Json<Vec<wire::Flag>> {
    let (state, config) = (admin.state.borrow().clone(), admin.in_force.borrow().config.clone());
    Json(FlagReport::all(&state, &config).into_iter().map(Into::into).collect())
}

/// One feature flag.
#[utoipa::path(get, path = "/v1/flags/{flag}", tag = "traffic", params(("flag" = String, Path)),
    responses(
        (status = 200, description = "The flag", body = wire::Flag),
        (status = 404, description = "No such flag", body = Problem)))]
pub async fn flag(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let (state, config) = (admin.state.borrow().clone(), admin.in_force.borrow().config.clone());
    Ok(Json(wire::Flag::from(FlagReport::of(&state, &config, &name)?)).into_response())
}

/// Gives a flag to another share of clients, or takes it back to the state before the last order.
#[utoipa::path(put, path = "/v1/flags/{flag}", tag = "traffic",
    params(("flag" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::PutFlag,
    responses(
        (status = 200, description = "The flag", body = wire::Flag),
        (status = 404, description = "No such flag", body = Problem),
        (status = 409, description = "There is no order to go back behind", body = Problem),
        (status = 412, description = "Another change came first", body = Problem),
        (status = 422, description = "No share", body = Problem)))]
pub async fn put_flag(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body<wire::PutFlag>,
) -> Answer {
    let Json(Object(wire::PutFlag { percent, back, reason, author })) = body?;
    if percent.is_some() == back {
        return Err(bad("say `percent`, or `back` for the state before the last order".into()));
    }
    let percent = percent.map(|percent| share(&percent, "percent")).transpose()?;
    let by = by(&headers, &caller, author, reason, false)?;
    let granted = admin.control.order(Order::Flag { name, percent }, by).await?;
    let Made::Flag { flag, is_changed } = granted.answer else { return Err(strange()) };
    let body = wire::Flag { unchanged: !is_changed, ..flag.into() };
    Ok(Json(body).into_response())
}

/// All that is remembered, as `pointsman store import` takes it. Holds the secret of cohorts.
#[utoipa::path(get, path = "/v1/store", tag = "process",
    responses(
        (status = 200, description = "The store", body = serde_json::Value),
        (status = 507, description = "It cannot be written as JSON", body = Problem)))]
pub async fn export(State(admin): State<Admin>) -> Answer {
    let state = admin.state.borrow().clone();
    let events: Vec<StoredEvent> =
        admin.events.after(0).iter().map(|event| (&**event).into()).collect();
    let export = Export::of(&state, &events);
    let export = export.map_err(|error| Refused::Store(error.to_string()))?;
    Ok(Json(export).into_response())
}

pub(super) fn wishes(start: &wire::StartRollout) -> Result<Wishes, Problem> {
    let strategy = |text: &String| match &**text {
        "canary" => Ok(Strategy::Canary),
        "blue-green" => Ok(Strategy::BlueGreen),
        "all-at-once" => Ok(Strategy::AllAtOnce),
        "rolling" => Ok(Strategy::Rolling),
        _ => Err(bad(format!(
            "strategy: `{text}` is none; there are canary, blue-green, all-at-once and rolling"
        ))),
    };
    let steps = |steps: &Vec<serde_json::Number>| {
        steps.iter().map(|step| share(step, "steps")).collect::<Result<Vec<_>, _>>()
    };
    Ok(Wishes {
        to: start.to.clone(),
        strategy: start.strategy.as_ref().map(strategy).transpose()?,
        steps: start.steps.as_ref().map(steps).transpose()?,
        hold: start.hold.as_deref().map(|text| length(text, "hold")).transpose()?,
        min_requests: start.min_requests,
        watch: start.watch.as_deref().map(|text| length(text, "watch")).transpose()?,
        judge: start.judge,
        despite_freeze: start.override_freeze,
    })
}

fn share(number: &serde_json::Number, field: &str) -> Result<BasisPoints, Problem> {
    wire::share(number).map_err(|error| bad(format!("{field}: {error}")))
}

/// A length of time; `0s` for none at all.
fn length(text: &str, field: &str) -> Result<Duration, Problem> {
    if matches!(text.trim(), "0" | "0s") {
        return Ok(Duration::ZERO);
    }
    crate::config::duration(text).map_err(|error| bad(format!("{field}: {error}")))
}

pub(super) fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", detail)
}

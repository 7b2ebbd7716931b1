//! Moving traffic over time and back: rollouts, rollbacks, feature flags, and the store as JSON.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::answer::{Answer, Body, Object, OptionalBody, change, given, order};
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::orders::{Refused, Target};
use crate::rollout::{Order, Strategy, Wishes};
use crate::split::BasisPoints;

/// Goes back to an earlier revision; without one to before the last change, where the steps of one
/// rollout are one change. Ends a rollout that is under way.
#[utoipa::path(post, path = "/v1/services/{service}/rollback", tag = "traffic",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::Rollback,
    responses(
        (status = 200, description = "The revision made", body = wire::Revision),
        (status = 404, description = "No such service or revision", body = Problem),
        (status = 409, description = "The pool has no upstream that takes requests", body = Problem),
        (status = 412, description = "Another change came first", body = Problem)))]
pub async fn rollback(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: OptionalBody<wire::Rollback>,
) -> Answer {
    let wire::Rollback { to, force, reason, author } = given(body)?;
    let order = order(&headers, &caller, author, reason, force)?;
    change(&admin, &name, Target::Back { to }, order).await
}

/// Starts a rollout.
#[utoipa::path(post, path = "/v1/services/{service}/rollout", tag = "rollouts",
    params(("service" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::StartRollout,
    responses(
        (status = 201, description = "The rollout", body = wire::Rollout),
        (status = 404, description = "No such service", body = Problem),
        (status = 409, description = "Another one is under way, or they are frozen", body = Problem),
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
    let wishes = wishes(&start)?;
    let order = order(&headers, &caller, start.author, start.reason, false)?;
    let started = admin.control.start_rollout(&name, wishes, order).await;
    let report = started.map_err(|refused| refuse(&admin, refused, &name))?;
    Ok((StatusCode::CREATED, Json(wire::Rollout::of(report, admin.clock.wall_time())))
        .into_response())
}

/// The rollout under way, else the last one.
#[utoipa::path(get, path = "/v1/services/{service}/rollout", tag = "rollouts",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The rollout", body = wire::Rollout),
        (status = 404, description = "No such service, or no rollout yet", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let listed = admin.control.rollouts(&name).await;
    let reports = listed.map_err(|refused| refuse(&admin, refused, &name))?;
    let none = || {
        let detail = format!("service `{name}` has had no rollout yet");
        Problem::new(StatusCode::NOT_FOUND, "no-rollout", detail)
    };
    let newest = reports.into_iter().next().ok_or_else(none)?;
    Ok(Json(wire::Rollout::of(newest, admin.clock.wall_time())).into_response())
}

/// The rollouts that are remembered, the newest first.
#[utoipa::path(get, path = "/v1/services/{service}/rollouts", tag = "rollouts",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "The rollouts", body = Vec<wire::Rollout>),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn list(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let listed = admin.control.rollouts(&name).await;
    let reports = listed.map_err(|refused| refuse(&admin, refused, &name))?;
    let now = admin.clock.wall_time();
    let all: Vec<wire::Rollout> =
        reports.into_iter().map(|report| wire::Rollout::of(report, now)).collect();
    Ok(Json(all).into_response())
}

/// One rollout with its evidence, ready for a post-mortem.
#[utoipa::path(get, path = "/v1/services/{service}/rollouts/{id}", tag = "rollouts",
    params(("service" = String, Path), ("id" = u64, Path)),
    responses(
        (status = 200, description = "The rollout with its evidence", body = wire::RolloutReport),
        (status = 404, description = "No such service or rollout", body = Problem)))]
pub async fn report(State(admin): State<Admin>, Path((name, id)): Path<(String, u64)>) -> Answer {
    let listed = admin.control.rollouts(&name).await;
    let reports = listed.map_err(|refused| refuse(&admin, refused, &name))?;
    let found = reports.into_iter().find(|report| report.rollout.id == id);
    let found = found.ok_or_else(|| {
        let detail = format!("service `{name}` has no rollout {id} any more, or never had");
        Problem::new(StatusCode::NOT_FOUND, "no-rollout", detail)
    })?;
    let rollout = found.rollout.clone();
    let described = wire::Rollout::of(found, admin.clock.wall_time());
    Ok(Json(wire::RolloutReport::of(&rollout, described)).into_response())
}

/// Gives an order to the rollout under way: `pause`, `resume`, `step`, `promote` or `abort`.
#[utoipa::path(post, path = "/v1/services/{service}/rollout/{verb}", tag = "rollouts",
    params(("service" = String, Path), ("verb" = String, Path)),
    request_body = wire::OrderRollout,
    responses(
        (status = 200, description = "The rollout", body = wire::Rollout),
        (status = 404, description = "No such service or verb", body = Problem),
        (status = 409, description = "It makes no sense now", body = Problem)))]
pub async fn command(
    State(admin): State<Admin>,
    caller: Caller,
    Path((name, verb)): Path<(String, String)>,
    headers: HeaderMap,
    body: OptionalBody<wire::OrderRollout>,
) -> Answer {
    let what = match &*verb {
        "pause" => Order::Pause,
        "resume" => Order::Resume,
        "step" => Order::Step,
        "promote" => Order::Promote,
        "abort" => Order::Abort,
        _ => {
            let detail = format!(
                "a rollout has no verb `{verb}`; it has pause, resume, step, promote and abort"
            );
            return Err(Problem::new(StatusCode::NOT_FOUND, "no-verb", detail));
        }
    };
    let wire::OrderRollout { reason, author } = given(body)?;
    let order = order(&headers, &caller, author, reason, false)?;
    let ordered = admin.control.order_rollout(&name, what, order).await;
    let report = ordered.map_err(|refused| refuse(&admin, refused, &name))?;
    Ok(Json(wire::Rollout::of(report, admin.clock.wall_time())).into_response())
}

/// All feature flags.
#[utoipa::path(get, path = "/v1/flags", tag = "traffic",
    responses((status = 200, description = "The flags", body = Vec<wire::Flag>)))]
pub async fn flags(State(admin): State<Admin>) -> Json<Vec<wire::Flag>> {
    Json(admin.control.flags().await.into_iter().map(Into::into).collect())
}

/// One feature flag.
#[utoipa::path(get, path = "/v1/flags/{flag}", tag = "traffic", params(("flag" = String, Path)),
    responses(
        (status = 200, description = "The flag", body = wire::Flag),
        (status = 404, description = "No such flag", body = Problem)))]
pub async fn flag(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let all = admin.control.flags().await;
    let found = all.into_iter().find(|flag| *flag.name == *name);
    let flag = found.ok_or(Refused::NoFlag(name))?;
    Ok(Json(wire::Flag::from(flag)).into_response())
}

/// Gives a flag to another share of clients, or takes it back to the state before the last order.
#[utoipa::path(put, path = "/v1/flags/{flag}", tag = "traffic",
    params(("flag" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::PutFlag,
    responses(
        (status = 200, description = "The flag", body = wire::Flag),
        (status = 404, description = "No such flag", body = Problem),
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
    let order = order(&headers, &caller, author, reason, false)?;
    let flag = admin.control.set_flag(&name, percent, order).await?;
    Ok(Json(wire::Flag::from(flag)).into_response())
}

/// All that is remembered, as `pointsman store import` takes it. Holds the secret of cohorts.
#[utoipa::path(get, path = "/v1/store", tag = "process",
    responses((status = 200, description = "The store", body = serde_json::Value)))]
pub async fn export(State(admin): State<Admin>) -> Answer {
    Ok(Json(admin.control.export().await?).into_response())
}

fn refuse(admin: &Admin, refused: Refused, service: &str) -> Problem {
    Problem::of(refused, service, &admin.published.load())
}

fn wishes(start: &wire::StartRollout) -> Result<Wishes, Problem> {
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
    BasisPoints::from_percent(&number.to_string()).map_err(|error| bad(format!("{field}: {error}")))
}

/// A length of time; `0s` for none at all.
fn length(text: &str, field: &str) -> Result<Duration, Problem> {
    if matches!(text.trim(), "0" | "0s") {
        return Ok(Duration::ZERO);
    }
    crate::config::duration(text).map_err(|error| bad(format!("{field}: {error}")))
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", detail)
}

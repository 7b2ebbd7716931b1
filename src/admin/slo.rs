//! Error budgets and freezes: what rollouts of a service may do, and orders above that.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::answer::{Answer, Body, Object, OptionalBody, Path, by, find, give, given};
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::orders::{FreezeOrder, LONGEST_OVERRIDE, Order};

/// How long error budgets are not heeded if the order does not say.
const OVERRIDE: Duration = Duration::from_secs(60 * 60);

/// The longest freeze by order: one that is to last longer has no end.
const LONGEST_FREEZE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A service's objectives, error budgets and burn rates, and whether rollouts may go on.
#[utoipa::path(get, path = "/v1/services/{service}/slo", tag = "rollouts",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "Its objectives; none if it has no `slo` table", body = wire::Slo),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let service = find(&snapshot, &name)?;
    Ok(Json(wire::Slo::of(&name, &service.state.standing())).into_response())
}

/// Freezes a service's rollouts: none starts, and one under way stays where it is. Rollbacks, aborts
/// and shifts go on.
#[utoipa::path(put, path = "/v1/services/{service}/freeze", tag = "rollouts",
    params(("service" = String, Path)), request_body = wire::PutFreeze,
    responses(
        (status = 200, description = "What rollouts may do now", body = wire::Slo),
        (status = 404, description = "No such service", body = Problem),
        (status = 422, description = "No reason, or no such time", body = Problem)))]
pub async fn put_freeze(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    body: Body<wire::PutFreeze>,
) -> Answer {
    let Json(Object(wire::PutFreeze { reason, length, author })) = body?;
    let length = length.map(|text| within(&text, LONGEST_FREEZE, "90 days")).transpose()?;
    let what = FreezeOrder::Freeze { length };
    set(&admin, &caller, &name, what, author, reason).await
}

/// Lifts a freeze by order; with `override`, lets rollouts go on whatever the error budgets say.
#[utoipa::path(delete, path = "/v1/services/{service}/freeze", tag = "rollouts",
    params(("service" = String, Path)), request_body = Option<wire::DeleteFreeze>,
    responses(
        (status = 200, description = "What rollouts may do now", body = wire::Slo),
        (status = 404, description = "No such service", body = Problem),
        (status = 409, description = "It is not frozen, or only by its error budget", body = Problem),
        (status = 422, description = "An override without a reason, or for too long", body = Problem)))]
pub async fn delete_freeze(
    State(admin): State<Admin>,
    caller: Caller,
    Path(name): Path<String>,
    body: OptionalBody<wire::DeleteFreeze>,
) -> Answer {
    let wire::DeleteFreeze { lifted, reason, author } = given(body)?;
    let (what, reason) = match lifted {
        None => (FreezeOrder::Lift, reason),
        Some(wire::FreezeOverride { reason: why, length }) => {
            let length =
                length.map_or(Ok(OVERRIDE), |text| within(&text, LONGEST_OVERRIDE, "24h"))?;
            (FreezeOrder::Override { length }, why)
        }
    };
    set(&admin, &caller, &name, what, author, reason).await
}

async fn set(
    admin: &Admin,
    caller: &Caller,
    name: &str,
    what: FreezeOrder,
    author: Option<String>,
    reason: Option<String>,
) -> Answer {
    let by = by(&HeaderMap::new(), caller, author, reason, false)?;
    give(admin, name, Order::Freeze { service: name.into(), what }, by).await?;
    let snapshot = admin.published.load();
    let service = find(&snapshot, name)?;
    Ok(Json(wire::Slo::of(name, &service.state.standing())).into_response())
}

fn within(text: &str, longest: Duration, words: &str) -> Result<Duration, Problem> {
    let bad = |what: String| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", format!("for: {what}"))
    };
    match crate::config::duration(text) {
        Ok(length) if length > longest => Err(bad(format!("at most {words}"))),
        read => read.map_err(|error| bad(error.to_string())),
    }
}

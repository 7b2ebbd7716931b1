//! What is done by itself: rules, what they did, and the orders that stop all of them and let them go on.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

use super::answer::{Answer, OptionalBody, by, give, given};
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::orders::Order;

/// All rules of the automation, how each is, and what they did last.
#[utoipa::path(get, path = "/v1/automation", tag = "automation", responses(
    (status = 200, description = "The rules", body = wire::Automation)))]
pub async fn show(State(admin): State<Admin>) -> Json<wire::Automation> {
    Json(told(&admin))
}

/// Stops all rules at once, until they are started again, also by a process that begins then. What they have
/// begun ends; what they have ordered stands.
#[utoipa::path(post, path = "/v1/automation/stop", tag = "automation",
    request_body = Option<wire::OrderAutomation>,
    responses(
        (status = 200, description = "They are stopped", body = wire::Automation),
        (status = 422, description = "A text is too long", body = Problem)))]
pub async fn stop(
    State(admin): State<Admin>,
    caller: Caller,
    body: OptionalBody<wire::OrderAutomation>,
) -> Answer {
    set(&admin, &caller, body, true).await
}

/// Lets all rules act again.
#[utoipa::path(post, path = "/v1/automation/start", tag = "automation",
    request_body = Option<wire::OrderAutomation>,
    responses(
        (status = 200, description = "They may act", body = wire::Automation),
        (status = 422, description = "A text is too long", body = Problem)))]
pub async fn start(
    State(admin): State<Admin>,
    caller: Caller,
    body: OptionalBody<wire::OrderAutomation>,
) -> Answer {
    set(&admin, &caller, body, false).await
}

async fn set(
    admin: &Admin,
    caller: &Caller,
    body: OptionalBody<wire::OrderAutomation>,
    stops: bool,
) -> Answer {
    let wire::OrderAutomation { reason, author } = given(body)?;
    let by = by(&HeaderMap::new(), caller, author, reason, false)?;
    give(admin, "", Order::Automation { stops }, by).await?;
    Ok(Json(told(admin)).into_response())
}

fn told(admin: &Admin) -> wire::Automation {
    let config = admin.in_force.borrow().config.clone();
    let state = admin.state.borrow().clone();
    wire::Automation::of(&config, &state, admin.clock.wall_time())
}

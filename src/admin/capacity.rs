//! How much the pools of a service carry: its name in, peaks, ceilings and head-room out.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;

use super::answer::{Answer, Path, find};
use super::problem::Problem;
use super::{Admin, wire};

/// What each pool of a service has carried at most in 28 days, how much it can carry, and how much of that is
/// free now and would be with its largest upstream lost.
#[utoipa::path(get, path = "/v1/services/{service}/capacity", tag = "traffic",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "How much its pools carry", body = wire::Capacity),
        (status = 404, description = "No such service", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let service = find(&snapshot, &name)?;
    let capacity = admin.history.capacity(service, admin.clock.wall_time());
    Ok(Json(wire::Capacity::of(service, &capacity)).into_response())
}

//! Another process takes over: the wish in, its number out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::problem::Problem;
use super::{Admin, wire};
use crate::control::NotUpgraded;

/// Starts the program that is at the process's own path by now and has it take over, without a connection
/// lost. Answers once it has; if it cannot, all goes on as before.
#[utoipa::path(post, path = "/v1/upgrade", tag = "process", responses(
    (status = 200, description = "Another process serves", body = wire::Upgraded),
    (status = 409, description = "The new process does not serve", body = Problem),
    (status = 503, description = "The process is stopping", body = Problem)))]
pub async fn upgrade(State(admin): State<Admin>) -> Result<Json<wire::Upgraded>, Problem> {
    let process = admin.upgrades.upgrade().await?;
    Ok(Json(wire::Upgraded { process }))
}

impl From<NotUpgraded> for Problem {
    fn from(error: NotUpgraded) -> Problem {
        let (status, kind) = match &error {
            NotUpgraded::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            NotUpgraded::UnderWay => (StatusCode::CONFLICT, "upgrade-under-way"),
            _ => (StatusCode::CONFLICT, "not-upgraded"),
        };
        Problem::new(status, kind, error.to_string())
    }
}

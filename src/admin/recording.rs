//! What was recorded of a service: its name in, its last hour out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::answer::{Answer, Path, find};
use super::problem::Problem;
use super::{Admin, wire};

/// What the upstreams of a service with a `rollout` table did in the last hour, second by second, and how its
/// rollouts go: a rollout can be rehearsed with it. At most 16 MiB of seconds, the newest.
#[utoipa::path(get, path = "/v1/services/{service}/recording", tag = "rollouts",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "What was recorded", body = wire::Recording),
        (status = 404, description = "No such service, or it has no `rollout` table", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let service = find(&snapshot, &name)?;
    let Some(settings) = &service.rollout else {
        let detail = format!(
            "nothing is recorded of service `{name}`: it has no `rollout` table in the file, an empty one \
             would do"
        );
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-recorded", detail));
    };
    let recording = admin.history.recording(&name).unwrap_or_default();
    let pools = service.pools.iter().map(|pool| wire::RecordedPool {
        pool: pool.name.to_string(),
        upstreams: pool.members.list().len(),
    });
    let plan = (&**settings, service.is_sticky());
    Ok(Json(wire::Recording::of(&name, &recording, pools.collect(), plan)).into_response())
}

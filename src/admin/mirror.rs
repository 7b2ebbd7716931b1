//! Copies of a service's requests for another pool: a name in, what came of them out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::answer::{Answer, Path, find};
use super::problem::Problem;
use super::{Admin, wire};

/// What a service copies to another pool, and how the answers differ.
#[utoipa::path(get, path = "/v1/services/{service}/mirror", tag = "traffic",
    params(("service" = String, Path)),
    responses(
        (status = 200, description = "What came of the copies", body = wire::Mirror),
        (status = 404, description = "No such service, or it copies nothing", body = Problem)))]
pub async fn show(State(admin): State<Admin>, Path(name): Path<String>) -> Answer {
    let snapshot = admin.published.load();
    let service = find(&snapshot, &name)?;
    let mirror = service.mirror.as_ref().ok_or_else(|| {
        let detail = format!(
            "service `{name}` mirrors nothing; [services.{name}.mirror] in the config begins it"
        );
        Problem::new(StatusCode::NOT_FOUND, "no-mirror", detail)
    })?;
    let counted = snapshot.moment(admin.clock.now()).elapsed_since(mirror.state.since());
    let since = (admin.clock.wall_time().seconds() - counted.as_secs_f64()).max(0.0);
    Ok(Json(wire::Mirror::of(&service.name, mirror, since)).into_response())
}

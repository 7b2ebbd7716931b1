//! What the process's own log says: levels in, levels out.

use axum::Json;
use axum::http::StatusCode;

use super::answer::{Body, Object};
use super::problem::Problem;
use super::wire;
use crate::logs::{BadLevel, Levels, Logs, Wish};

type Answer = Result<Json<wire::LogLevels>, Problem>;

/// The levels of the process's own log.
#[utoipa::path(get, path = "/v1/logs", tag = "process", responses(
    (status = 200, description = "The levels", body = wire::LogLevels),
    (status = 409, description = "The process keeps no log", body = Problem)))]
pub async fn show() -> Answer {
    Ok(Json(logs()?.levels().into()))
}

/// Has more or less said, until the process ends: the next one begins as it is told to. Targets are rooms of
/// Pointsman such as `wire`, other crates such as `h2`, and modules of both.
#[utoipa::path(put, path = "/v1/logs", tag = "process", request_body = wire::PutLogLevels,
    responses(
        (status = 200, description = "The levels", body = wire::LogLevels),
        (status = 409, description = "The process keeps no log, or too many targets have a level",
            body = Problem),
        (status = 422, description = "No level or no target", body = Problem)))]
pub async fn put(body: Body<wire::PutLogLevels>) -> Answer {
    let Json(Object(wire::PutLogLevels { levels, reset })) = body?;
    let wishes = levels.iter().map(|(target, level)| Wish::of(target, level));
    let bad = |error: BadLevel| {
        // The word is good, and others are there already.
        let (status, kind) = match error {
            BadLevel::TooMany => (StatusCode::CONFLICT, "too-many-levels"),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "bad-level"),
        };
        Problem::new(status, kind, error.to_string())
    };
    let wishes = wishes.collect::<Result<Vec<Wish>, _>>().map_err(bad)?;
    let changed = logs()?.change(&wishes, reset).map_err(bad)?;
    Ok(Json(changed.into()))
}

fn logs() -> Result<&'static Logs, Problem> {
    let none =
        || Problem::new(StatusCode::CONFLICT, "no-log", "this process keeps no log of its own");
    Logs::of_process().ok_or_else(none)
}

impl From<Levels> for wire::LogLevels {
    fn from(levels: Levels) -> wire::LogLevels {
        let one =
            |(target, level): (String, crate::logs::Level)| (target, level.name().to_string());
        let default = levels.rest.name().to_string();
        wire::LogLevels { default, targets: levels.targets.into_iter().map(one).collect() }
    }
}

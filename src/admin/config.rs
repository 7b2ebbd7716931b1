//! The file: a text in, problems and differences out; and the order to read it again.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Admin;
use super::answer::by;
use super::guard::Caller;
use super::problem::Problem;
use super::wire::{self, ConfigChange, ConfigProblem};
use crate::config::Text;
use crate::control::Cause;
use crate::files::{Examined, FileError};
use crate::orders::differences;

type Body = Result<Bytes, BytesRejection>;

/// The text in force.
#[utoipa::path(get, path = "/v1/config", tag = "config",
    responses((status = 200, description = "The text", body = wire::ConfigText)))]
pub async fn show(State(admin): State<Admin>) -> Json<wire::ConfigText> {
    Json(admin.in_force.borrow().texts.clone().into())
}

/// Checks a text, or the file if there is none. What a text includes comes with it, in JSON; `${…}` is
/// filled in of the file alone. A text may name files that lie beside the config, and
/// those that the config in force names.
#[utoipa::path(post, path = "/v1/config/check", tag = "config",
    request_body(content((String = "application/toml"), (wire::ConfigText = "application/json"))),
    responses(
        (status = 200, description = "What is wrong with it", body = wire::Checked),
        (status = 409, description = "There is no file, or it cannot be read", body = Problem)))]
pub async fn check(State(admin): State<Admin>, body: Body) -> Result<Json<wire::Checked>, Problem> {
    let (texts, found) = match given_or_file(&admin, body?).await? {
        Ok((texts, read)) => (texts, read.map(|(_, odd)| odd)),
        Err(FileError::Problems(rejected)) => {
            (rejected.texts.clone(), Err(FileError::Problems(rejected)))
        }
        Err(error) => return Err(error.into()),
    };
    let (valid, problems) = match found {
        Ok(odd) => (true, odd),
        Err(FileError::Problems(rejected)) => (false, rejected.problems),
        Err(error) => return Err(error.into()),
    };
    Ok(Json(wire::Checked { valid, problems: ConfigProblem::all(&problems, &texts) }))
}

/// What putting a text in force would change; the file's if there is none.
#[utoipa::path(post, path = "/v1/config/diff", tag = "config",
    request_body(content((String = "application/toml"), (wire::ConfigText = "application/json"))),
    responses(
        (status = 200, description = "The differences", body = wire::Changes),
        (status = 409, description = "There is no file, or it cannot be read", body = Problem),
        (status = 422, description = "The text is not a config", body = Problem)))]
pub async fn diff(State(admin): State<Admin>, body: Body) -> Result<Json<wire::Changes>, Problem> {
    let (_, read) = given_or_file(&admin, body?).await??;
    let (config, _) = read?;
    let (before, state) = (admin.in_force.borrow().config.clone(), admin.state.borrow().clone());
    Ok(Json(changes(&admin, differences(&state, &before, &config, false))))
}

/// How the file is read again.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Reload {
    /// Whether what was ordered of what is not in the file any more is forgotten; else it is kept for a
    /// day, and in force again if it comes back.
    #[serde(default)]
    forget: bool,
    /// Why.
    reason: Option<String>,
    /// Who; `api` if left out.
    author: Option<String>,
}

/// Reads the file again and puts it in force. A file with errors changes nothing.
#[utoipa::path(post, path = "/v1/config/reload", tag = "config", params(Reload), responses(
    (status = 200, description = "What changed", body = wire::Changes),
    (status = 409, description = "There is no file, or an address cannot be bound", body = Problem),
    (status = 422, description = "The file is not a config", body = Problem)))]
pub async fn reload(
    State(admin): State<Admin>,
    caller: Caller,
    how: Result<Query<Reload>, QueryRejection>,
) -> Result<Json<wire::Changes>, Problem> {
    let Query(Reload { forget: forgets, reason, author }) = how?;
    let by = by(&HeaderMap::new(), &caller, author, reason, false)?;
    let made = admin.control.reload(by, Cause::Asked { forgets }).await?;
    Ok(Json(changes(&admin, made)))
}

fn changes(admin: &Admin, changes: Vec<crate::config::Change>) -> wire::Changes {
    let changes = changes.into_iter().map(ConfigChange::from).collect();
    wire::Changes { changes, generation: admin.published.load().generation }
}

async fn given_or_file(admin: &Admin, body: Bytes) -> Result<Result<Examined, FileError>, Problem> {
    if body.is_empty() {
        return Ok(admin.files.examine().await);
    }
    // No TOML begins like that.
    if body.first() == Some(&b'{') {
        let sent = serde_json::from_slice(&body).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "bad-body", error.to_string())
        })?;
        return Ok(examine(admin, sent).await);
    }
    let in_force = admin.in_force.borrow().config.clone();
    Ok(admin.files.examine_sent(body.to_vec(), None, in_force).await)
}

/// Looks at a text that came in JSON.
pub(super) async fn examine(admin: &Admin, sent: wire::ConfigText) -> Result<Examined, FileError> {
    let in_force = admin.in_force.borrow().config.clone();
    let wire::ConfigText { text, included, .. } = sent;
    let part = |wire::ConfigPart { path, text }| Text { path, text };
    let included = included.map(|parts| parts.into_iter().map(part).collect());
    admin.files.examine_sent(text.into_bytes(), included, in_force).await
}

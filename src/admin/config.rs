//! The file: a text in, problems and differences out; and the order to read it again.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Admin;
use super::answer::by;
use super::guard::Caller;
use super::problem::Problem;
use super::wire::{self, ConfigChange, ConfigProblem};
use crate::control::Cause;
use crate::files::{Examined, FileError, Text};
use crate::orders::differences;

type Body = Result<Bytes, BytesRejection>;

/// The text in force.
#[utoipa::path(get, path = "/v1/config", tag = "config",
    responses((status = 200, description = "The text", body = wire::ConfigText)))]
pub async fn show(State(admin): State<Admin>) -> Json<wire::ConfigText> {
    let Text { path, text } = admin.in_force.borrow().text.clone();
    Json(wire::ConfigText { path, text })
}

/// Checks a text, or the file if there is none. A text may name files that lie beside the config, and
/// those that the config in force names.
#[utoipa::path(post, path = "/v1/config/check", tag = "config",
    request_body(content = String, content_type = "application/toml"),
    responses(
        (status = 200, description = "What is wrong with it", body = wire::Checked),
        (status = 409, description = "There is no file, or it cannot be read", body = Problem)))]
pub async fn check(State(admin): State<Admin>, body: Body) -> Result<Json<wire::Checked>, Problem> {
    let (text, found) = match given_or_file(&admin, body?).await {
        Ok((text, read)) => (text.text, read.map(|(_, odd)| odd)),
        Err(FileError::Problems(rejected)) => {
            (rejected.text.clone(), Err(FileError::Problems(rejected)))
        }
        Err(error) => return Err(error.into()),
    };
    let (valid, problems) = match found {
        Ok(odd) => (true, odd),
        Err(FileError::Problems(rejected)) => (false, rejected.problems),
        Err(error) => return Err(error.into()),
    };
    Ok(Json(wire::Checked { valid, problems: ConfigProblem::all(&problems, &text) }))
}

/// What putting a text in force would change; the file's if there is none.
#[utoipa::path(post, path = "/v1/config/diff", tag = "config",
    request_body(content = String, content_type = "application/toml"),
    responses(
        (status = 200, description = "The differences", body = wire::Changes),
        (status = 409, description = "There is no file, or it cannot be read", body = Problem),
        (status = 422, description = "The text is not a config", body = Problem)))]
pub async fn diff(State(admin): State<Admin>, body: Body) -> Result<Json<wire::Changes>, Problem> {
    let (_, read) = given_or_file(&admin, body?).await?;
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

async fn given_or_file(admin: &Admin, body: Bytes) -> Result<Examined, FileError> {
    if body.is_empty() {
        return admin.files.examine().await;
    }
    let in_force = admin.in_force.borrow().config.clone();
    admin.files.examine_text(body.to_vec(), in_force).await
}

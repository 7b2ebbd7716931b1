//! The file: a text in, problems and differences out; and the order to read it again.

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;

use super::Admin;
use super::answer::by;
use super::guard::Caller;
use super::operations::Asker;
use super::problem::Problem;
use super::wire::{self, ConfigChange, ConfigProblem};
use crate::control::ReloadError;
use crate::files::Text;
use crate::orders::live;

type Body = Result<Bytes, BytesRejection>;

/// The text in force.
#[utoipa::path(get, path = "/v1/config", tag = "config",
    responses((status = 200, description = "The text", body = wire::ConfigText)))]
pub async fn show(State(admin): State<Admin>) -> Json<wire::ConfigText> {
    let Text { path, text } = admin.in_force.borrow().text.clone();
    Json(wire::ConfigText { path, text })
}

/// Checks a text, or the file if there is none.
#[utoipa::path(post, path = "/v1/config/check", tag = "config",
    request_body(content = String, content_type = "application/toml"),
    responses((status = 200, description = "What is wrong with it", body = wire::Checked)))]
pub async fn check(State(admin): State<Admin>, body: Body) -> Result<Json<wire::Checked>, Problem> {
    let text = given_or_file(&admin, body?)?;
    let (valid, problems) = text.check();
    Ok(Json(wire::Checked { valid, problems: ConfigProblem::all(&problems, &text.text) }))
}

/// What putting a text in force would change; the file's if there is none.
#[utoipa::path(post, path = "/v1/config/diff", tag = "config",
    request_body(content = String, content_type = "application/toml"),
    responses(
        (status = 200, description = "The differences", body = wire::Changes),
        (status = 422, description = "The text is not a config", body = Problem)))]
pub async fn diff(State(admin): State<Admin>, body: Body) -> Result<Json<wire::Changes>, Problem> {
    let (config, _) = given_or_file(&admin, body?)?.parse()?;
    let (before, state) = (admin.in_force.borrow().config.clone(), admin.state.borrow().clone());
    let found = crate::config::diff(&before, &config, &live(&state, &before));
    Ok(Json(changes(&admin, found)))
}

/// Reads the file again and puts it in force. A file with errors changes nothing.
#[utoipa::path(post, path = "/v1/config/reload", tag = "config",
    params(("reason" = Option<String>, Query), ("author" = Option<String>, Query)),
    responses(
    (status = 200, description = "What changed", body = wire::Changes),
    (status = 409, description = "There is no file, or an address cannot be bound", body = Problem),
    (status = 422, description = "The file is not a config", body = Problem)))]
pub async fn reload(
    State(admin): State<Admin>,
    caller: Caller,
    asker: Result<Query<Asker>, QueryRejection>,
) -> Result<Json<wire::Changes>, Problem> {
    let Query(Asker { reason, author }) = asker?;
    let by = by(&HeaderMap::new(), &caller, author, reason, false)?;
    let made = admin.control.reload(by).await?;
    Ok(Json(changes(&admin, made)))
}

fn changes(admin: &Admin, changes: Vec<crate::config::Change>) -> wire::Changes {
    let changes = changes.into_iter().map(ConfigChange::from).collect();
    wire::Changes { changes, generation: admin.published.load().generation }
}

fn given_or_file(admin: &Admin, body: Bytes) -> Result<Text, Problem> {
    if body.is_empty() {
        return match admin.source.path() {
            Some(_) => Ok(admin.source.read()?),
            None => Err(ReloadError::NoFile.into()),
        };
    }
    match String::from_utf8(body.to_vec()) {
        Ok(text) => {
            // Files that it names are looked for where the process's own file is.
            let path = admin.source.path().map(|path| path.with_file_name("(request)"));
            let path = path.map_or("(request)".into(), |path| path.display().to_string());
            Ok(Text { path, text })
        }
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad-body", "the text is not UTF-8")),
    }
}

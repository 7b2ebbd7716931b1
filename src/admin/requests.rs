//! The last requests: an id in, what happened to it out.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::answer::{Answer, Path};
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::clock::{Moment, WallTime, in_words};

/// How many are shown if nobody says, and at most.
const SHOWN: usize = 100;
const MOST_SHOWN: usize = 1_000;

/// What happened to the last request with this id, as long as it is remembered (`server.remember`).
#[utoipa::path(get, path = "/v1/requests/{id}", tag = "traffic",
    params(("id" = String, Path, description = "The id in its answer's `x-request-id`")),
    responses(
        (status = 200, description = "The request", body = wire::Request),
        (status = 404, description = "No such request is remembered", body = Problem)))]
pub async fn show(State(admin): State<Admin>, caller: Caller, Path(id): Path<String>) -> Answer {
    let found = admin.last.find(&id, now(&admin)).filter(|found| caller.sees(&found.service));
    let found = found.ok_or_else(|| {
        let detail = format!("request `{id}` is not remembered: {}", remembered(&admin, &caller));
        Problem::new(StatusCode::NOT_FOUND, "no-request", detail)
    })?;
    Ok(Json(wire::Request::from(found)).into_response())
}

/// How far back requests are remembered, of those that this caller may see.
fn remembered(admin: &Admin, caller: &Caller) -> String {
    let now = now(admin);
    let kept = admin.last.latest(usize::MAX, now);
    let mut seen = kept.iter().filter(|kept| caller.sees(&kept.service));
    let Some(latest) = seen.next() else {
        return "no request is at the moment (`server.remember`)".into();
    };
    let (oldest, others) = seen.fold((latest, 0), |(_, count), kept| (kept, count + 1));
    let ago = now.1.elapsed_since(oldest.at).as_secs().max(1);
    let ago = in_words(Duration::from_secs(ago));
    let those = match others {
        0 => format!("one is, from {ago} ago"),
        more => format!("{} are, the oldest from {ago} ago", more + 1),
    };
    format!("{those}; good ones give way first, and a start forgets all (`server.remember`)")
}

/// How many are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    limit: Option<usize>,
}

/// The last requests that are remembered, the latest first.
#[utoipa::path(get, path = "/v1/requests", tag = "traffic",
    params(("limit" = Option<usize>, Query, description = "How many: 100, at most 1,000")),
    responses(
        (status = 200, description = "The requests", body = Vec<wire::Request>),
        (status = 400, description = "A parameter that there is not, or no number", body = Problem)))]
pub async fn list(
    State(admin): State<Admin>,
    caller: Caller,
    limit: Result<Query<Limit>, QueryRejection>,
) -> Answer {
    let Query(Limit { limit }) = limit?;
    let most = limit.unwrap_or(SHOWN).min(MOST_SHOWN);
    let kept = admin.last.latest(most, now(&admin));
    let seen = kept.into_iter().filter(|kept| caller.sees(&kept.service));
    Ok(Json(seen.map(wire::Request::from).collect::<Vec<_>>()).into_response())
}

fn now(admin: &Admin) -> (Moment, WallTime) {
    (admin.published.load().moment(admin.clock.now()), admin.clock.wall_time())
}

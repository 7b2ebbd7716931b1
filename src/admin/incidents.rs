//! Incidents: what people ask and say of them in, orders to the controller and what is known out.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::answer::{Answer, Body, Object, Path, by, etag, strange};
use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, wire};
use crate::incident::{
    Entry, EntryKind, Incident, LONGEST_NAME, LONGEST_TEXT, LONGEST_TITLE, MOST_SERVICES, Opening,
    Update, report, suggest,
};
use crate::orders::{IncidentOrder, Made, Order, Refused, incident_facts};

/// How bad an incident is that somebody opens without saying.
const SEVERITY: wire::IncidentSeverity = wire::IncidentSeverity::High;

/// All incidents that are remembered, the newest first, without their timelines.
#[utoipa::path(get, path = "/v1/incidents", tag = "incidents",
    responses((status = 200, description = "The incidents", body = Vec<wire::Incident>)))]
pub async fn list(State(admin): State<Admin>, caller: Caller) -> Json<Vec<wire::Incident>> {
    let (state, now) = (admin.state.borrow().clone(), admin.clock.wall_time());
    let seen = state.incidents().filter(|incident| sees(&caller, incident));
    Json(seen.map(|incident| wire::Incident::brief(incident, now)).collect())
}

/// One incident with its timeline.
#[utoipa::path(get, path = "/v1/incidents/{id}", tag = "incidents", params(("id" = u64, Path)),
    responses(
        (status = 200, description = "The incident", body = wire::Incident),
        (status = 404, description = "No such incident", body = Problem)))]
pub async fn show(State(admin): State<Admin>, caller: Caller, Path(id): Path<u64>) -> Answer {
    let incident = find(&admin, &caller, id)?;
    Ok(answer(&admin, &caller, &incident))
}

/// Opens an incident, and tells who is to be told. With `freeze`, no rollout of its services starts or goes on
/// until it is closed.
#[utoipa::path(post, path = "/v1/incidents", tag = "incidents", request_body = wire::PostIncident,
    responses(
        (status = 200, description = "The incident", body = wire::Incident),
        (status = 404, description = "No such service", body = Problem),
        (status = 422, description = "No title, or a text that is too long", body = Problem)))]
pub async fn open(
    State(admin): State<Admin>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<wire::PostIncident>,
) -> Answer {
    let Json(Object(post)) = body?;
    let wire::PostIncident { title, severity, services, commander, channel, next, freeze, author } =
        post;
    words("title", &title, LONGEST_TITLE)?;
    names(commander.as_ref(), channel.as_ref())?;
    if services.len() > MOST_SERVICES {
        return Err(bad(format!("services: at most {MOST_SERVICES}")));
    }
    services.iter().try_for_each(|service| caller.must_see(service))?;
    if services.is_empty() && caller.is_bound() {
        return Err(bad("services: a token that is bound to services names some of them".into()));
    }
    let every = length(next)?;
    let every = every.unwrap_or_else(|| admin.in_force.borrow().config.incidents.updates);
    let severity = severity.unwrap_or(SEVERITY).into();
    let opening = Opening { title, severity, services, commander, channel, every };
    let order = IncidentOrder::Open { opening, freezes: freeze };
    give(&admin, &caller, &headers, author, order).await
}

/// Writes something down in an incident's timeline.
#[utoipa::path(post, path = "/v1/incidents/{id}/notes", tag = "incidents",
    params(("id" = u64, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::PostIncidentText,
    responses(
        (status = 200, description = "The incident", body = wire::Incident),
        (status = 404, description = "No such incident", body = Problem),
        (status = 409, description = "There is no room for more", body = Problem),
        (status = 422, description = "No text, or one that is too long", body = Problem)))]
pub async fn note(
    State(admin): State<Admin>,
    caller: Caller,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Body<wire::PostIncidentText>,
) -> Answer {
    let Json(Object(wire::PostIncidentText { text, author })) = body?;
    words("text", &text, LONGEST_TEXT)?;
    find(&admin, &caller, id)?;
    give(&admin, &caller, &headers, author, IncidentOrder::Note { id, text }).await
}

/// Tells how it is: the message goes to who is to be told, with the time of the next one.
#[utoipa::path(post, path = "/v1/incidents/{id}/update", tag = "incidents",
    params(("id" = u64, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::PostIncidentUpdate,
    responses(
        (status = 200, description = "The incident", body = wire::Incident),
        (status = 404, description = "No such incident", body = Problem),
        (status = 409, description = "It is closed", body = Problem),
        (status = 422, description = "No text, or one that is too long", body = Problem)))]
pub async fn update(
    State(admin): State<Admin>,
    caller: Caller,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Body<wire::PostIncidentUpdate>,
) -> Answer {
    let Json(Object(post)) = body?;
    let wire::PostIncidentUpdate { text, severity, commander, channel, next, author } = post;
    words("text", &text, LONGEST_TEXT)?;
    names(commander.as_ref(), channel.as_ref())?;
    find(&admin, &caller, id)?;
    let (severity, every) = (severity.map(Into::into), length(next)?);
    let update = Update { text, severity, commander, channel, every };
    give(&admin, &caller, &headers, author, IncidentOrder::Update { id, update }).await
}

/// Says that users are not hurt any more.
#[utoipa::path(post, path = "/v1/incidents/{id}/mitigate", tag = "incidents",
    params(("id" = u64, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::PostIncidentText,
    responses(
        (status = 200, description = "The incident", body = wire::Incident),
        (status = 404, description = "No such incident", body = Problem),
        (status = 409, description = "It is mitigated or closed", body = Problem),
        (status = 422, description = "No text, or one that is too long", body = Problem)))]
pub async fn mitigate(
    State(admin): State<Admin>,
    caller: Caller,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Body<wire::PostIncidentText>,
) -> Answer {
    let Json(Object(wire::PostIncidentText { text, author })) = body?;
    words("text", &text, LONGEST_TEXT)?;
    find(&admin, &caller, id)?;
    give(&admin, &caller, &headers, author, IncidentOrder::Mitigate { id, text }).await
}

/// Closes it, with what has ended it. Freezes that it has set are lifted.
#[utoipa::path(post, path = "/v1/incidents/{id}/close", tag = "incidents",
    params(("id" = u64, Path), ("If-Match" = Option<String>, Header)),
    request_body = wire::PostIncidentText,
    responses(
        (status = 200, description = "The incident", body = wire::Incident),
        (status = 404, description = "No such incident", body = Problem),
        (status = 409, description = "It is closed", body = Problem),
        (status = 422, description = "No text, or one that is too long", body = Problem)))]
pub async fn close(
    State(admin): State<Admin>,
    caller: Caller,
    Path(id): Path<u64>,
    headers: HeaderMap,
    body: Body<wire::PostIncidentText>,
) -> Answer {
    let Json(Object(wire::PostIncidentText { text, author })) = body?;
    words("text", &text, LONGEST_TEXT)?;
    find(&admin, &caller, id)?;
    give(&admin, &caller, &headers, author, IncidentOrder::Close { id, resolution: text }).await
}

/// What may mend it, the most likely first, each as a command.
#[utoipa::path(get, path = "/v1/incidents/{id}/suggestions", tag = "incidents",
    params(("id" = u64, Path)),
    responses(
        (status = 200, description = "The suggestions", body = Vec<wire::IncidentSuggestion>),
        (status = 404, description = "No such incident", body = Problem)))]
pub async fn suggestions(
    State(admin): State<Admin>,
    caller: Caller,
    Path(id): Path<u64>,
) -> Answer {
    let incident = find(&admin, &caller, id)?;
    let all = suggest(&incident, &facts(&admin, &incident));
    let all = all.into_iter().map(|one| wire::IncidentSuggestion {
        service: one.service,
        why: one.why,
        command: one.command,
    });
    Ok(Json(all.collect::<Vec<_>>()).into_response())
}

/// The draft of a blameless report.
#[utoipa::path(get, path = "/v1/incidents/{id}/report", tag = "incidents",
    params(("id" = u64, Path)),
    responses(
        (status = 200, description = "The draft", body = wire::IncidentReport),
        (status = 404, description = "No such incident", body = Problem)))]
pub async fn draft(State(admin): State<Admin>, caller: Caller, Path(id): Path<u64>) -> Answer {
    let mut incident = Incident::clone(&*find(&admin, &caller, id)?);
    incident.timeline.retain(|entry| sees_entry(&caller, entry));
    let now = admin.clock.wall_time();
    let markdown = report(&incident, &facts(&admin, &incident), now);
    Ok(Json(wire::IncidentReport { markdown }).into_response())
}

fn facts(admin: &Admin, incident: &Incident) -> crate::incident::Facts {
    let (state, snapshot) = (admin.state.borrow().clone(), admin.published.load());
    incident_facts(&state, &snapshot.config, &snapshot, incident)
}

/// Whether a caller is told of an incident: of all its services.
pub(super) fn sees(caller: &Caller, incident: &Incident) -> bool {
    match incident.services.is_empty() {
        true => caller.sees(""),
        false => incident.services.iter().all(|service| caller.sees(service)),
    }
}

/// What is of the process is for who is bound to no service.
fn sees_entry(caller: &Caller, entry: &Entry) -> bool {
    !caller.is_bound() || entry.kind != EntryKind::Event || !entry.place.is_empty()
}

fn find(admin: &Admin, caller: &Caller, id: u64) -> Result<Arc<Incident>, Problem> {
    let state = admin.state.borrow().clone();
    let found = state.incident(id).filter(|incident| sees(caller, incident));
    found.cloned().ok_or_else(|| Refused::NoIncident(id).into())
}

fn answer(admin: &Admin, caller: &Caller, incident: &Incident) -> axum::response::Response {
    let now = admin.clock.wall_time();
    let body = wire::Incident::whole(incident, now, |entry| sees_entry(caller, entry));
    (etag(incident.revision), Json(body)).into_response()
}

async fn give(
    admin: &Admin,
    caller: &Caller,
    headers: &HeaderMap,
    author: Option<String>,
    order: IncidentOrder,
) -> Answer {
    let by = by(headers, caller, author, None, false)?;
    let granted = admin.control.order(Order::Incident(Box::new(order)), by).await?;
    let Made::Incident(incident) = granted.answer else { return Err(strange()) };
    Ok(answer(admin, caller, &incident))
}

fn words(field: &str, text: &str, longest: usize) -> Result<(), Problem> {
    match text.chars().count() {
        _ if text.trim().is_empty() => Err(bad(format!("{field}: say something"))),
        count if count > longest => Err(bad(format!("{field}: at most {longest} characters"))),
        _ => Ok(()),
    }
}

fn names(commander: Option<&String>, channel: Option<&String>) -> Result<(), Problem> {
    let given = [("commander", commander), ("channel", channel)].into_iter();
    let mut given = given.filter_map(|(field, text)| Some((field, text?)));
    given.try_for_each(|(field, text)| words(field, text, LONGEST_NAME))
}

fn length(text: Option<String>) -> Result<Option<Duration>, Problem> {
    let read = |text: String| crate::config::duration(&text);
    text.map(read).transpose().map_err(|error| bad(format!("next: {error}")))
}

pub(super) fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-value", detail)
}

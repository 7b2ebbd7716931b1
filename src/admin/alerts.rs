//! Alerts of others: what Alertmanager's webhook sends in, what is kept of it and what is seen here
//! beside it out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::answer::{Answer, Body, Object, by, strange};
use super::guard::Caller;
use super::incidents::bad;
use super::problem::Problem;
use super::{Admin, services, wire};
use crate::clock::WallTime;
use crate::incident::Alert;
use crate::orders::{Made, Order};

/// Alerts of one call: whoever has more sends them in several.
pub(super) const MOST: usize = 100;

/// The longest fingerprint, in characters.
pub(super) const LONGEST_FINGERPRINT: usize = 100;

/// All alerts that are known, those that fire first, each beside what is seen of its service here.
#[utoipa::path(get, path = "/v1/alerts", tag = "incidents",
    responses((status = 200, description = "The alerts", body = Vec<wire::Alert>)))]
pub async fn list(State(admin): State<Admin>, caller: Caller) -> Json<Vec<wire::Alert>> {
    let state = admin.state.borrow().clone();
    let services = services::all(&admin, &admin.published.load(), &caller);
    let beside = |name: &str| {
        services.iter().find(|service| service.name == name).map(wire::AlertBeside::of)
    };
    let incident = |service: &str| {
        let mut open = state.open_incidents();
        open.find(|incident| incident.is_about(service)).map(|incident| incident.id)
    };
    let seen = state.alerts().values().filter(|alert| caller.sees(&alert.service));
    let mut all: Vec<wire::Alert> = seen
        .map(|alert| wire::Alert::of(alert, incident(&alert.service), beside(&alert.service)))
        .collect();
    all.sort_by(|a, b| {
        let order = |alert: &wire::Alert| (alert.resolved.is_some(), -alert.since);
        order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
    Json(all)
}

/// Takes what Alertmanager's webhook sends (version 4): at most 100 alerts and 1 MiB a call, all of them or
/// none. It needs a token of the role `alerts`, on this machine too.
#[utoipa::path(post, path = "/v1/alerts", tag = "incidents", request_body = wire::PostAlerts,
    responses(
        (status = 200, description = "They are kept", body = wire::AlertsTaken),
        (status = 422, description = "Another version, too many, or a time that is none",
            body = Problem),
        (status = 503, description = "As many fire as are kept; sent again it may be taken",
            body = Problem)))]
pub async fn take(
    State(admin): State<Admin>,
    caller: Caller,
    headers: HeaderMap,
    body: Body<wire::PostAlerts>,
) -> Answer {
    let Json(Object(wire::PostAlerts { version, alerts })) = body?;
    if version != "4" {
        let version: String = version.chars().take(20).collect();
        let detail = format!("version: expected `4`, as Alertmanager sends; this is `{version}`");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-version", detail));
    }
    if alerts.len() > MOST {
        let detail =
            format!("alerts: at most {MOST} a call, these are {}; set `max_alerts`", alerts.len());
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "many-alerts", detail));
    }
    let now = admin.clock.wall_time();
    let read = alerts.into_iter().enumerate().map(|(nth, said)| alert(nth, said, now));
    let alerts = read.collect::<Result<Vec<Alert>, Problem>>()?;
    let by = by(&headers, &caller, None, None, false)?;
    let granted = admin.control.order(Order::Alerts(alerts), by).await?;
    let Made::Alerts { firing, resolved, opened } = granted.answer else { return Err(strange()) };
    Ok(Json(wire::AlertsTaken { firing, resolved, opened }).into_response())
}

fn alert(nth: usize, said: wire::PostAlert, now: WallTime) -> Result<Alert, Problem> {
    let wire::PostAlert { status, labels, annotations, starts_at, ends_at, fingerprint } = said;
    let length = fingerprint.chars().count();
    if fingerprint.trim().is_empty() || length > LONGEST_FINGERPRINT {
        let most = LONGEST_FINGERPRINT;
        return Err(bad(format!("alerts[{nth}].fingerprint: expected 1 to {most} characters")));
    }
    let since = time(&starts_at).ok_or_else(|| {
        bad(format!("alerts[{nth}].startsAt: expected a time such as 2026-11-24T12:00:00Z"))
    })?;
    let resolved = (status == wire::AlertStatus::Resolved).then(|| {
        // A clock that goes ahead would keep it for ever.
        ends_at.as_deref().and_then(time).map_or(now, |ended| ended.min(now))
    });
    let (name, service) = (String::new(), String::new());
    Ok(Alert { fingerprint, name, service, labels, annotations, since, resolved, heard: now })
}

fn time(text: &str) -> Option<WallTime> {
    let millis = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    u64::try_from(millis).ok().map(WallTime::from_millis)
}

impl wire::AlertBeside {
    fn of(service: &wire::Service) -> wire::AlertBeside {
        let used: Vec<&wire::Pool> =
            service.pools.iter().filter(|pool| pool.weight > 0.0).collect();
        let failed: f64 =
            service.pools.iter().map(|pool| pool.errors * pool.requests_per_second).sum();
        let rate = service.requests_per_second;
        let upstreams: Vec<&wire::Upstream> =
            used.iter().flat_map(|pool| &pool.upstreams).collect();
        let is_well = |upstream: &&&wire::Upstream| {
            use wire::UpstreamCondition::{Active, SlowStart};
            matches!(upstream.state, Active | SlowStart)
        };
        wire::AlertBeside {
            requests_per_second: rate,
            errors_percent: if rate > 0.0 { failed / rate } else { 0.0 },
            well: upstreams.iter().filter(is_well).count(),
            upstreams: upstreams.len(),
        }
    }
}

impl wire::Alert {
    fn of(alert: &Alert, incident: Option<u64>, seen: Option<wire::AlertBeside>) -> wire::Alert {
        wire::Alert {
            fingerprint: alert.fingerprint.clone(),
            name: alert.name.clone(),
            status: match alert.is_firing() {
                true => wire::AlertStatus::Firing,
                false => wire::AlertStatus::Resolved,
            },
            service: alert.service.clone(),
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            since: alert.since.seconds(),
            resolved: alert.resolved.map(WallTime::seconds),
            heard: alert.heard.seconds(),
            incident,
            seen,
        }
    }
}

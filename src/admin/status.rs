//! How the process is: nothing in, health, status and metrics out.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{Admin, services, wire};
use crate::observe;
use crate::orders::{ABSENT_KEPT, kept_of};

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", tag = "process",
    responses((status = 200, description = "It does", body = String)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Whether the process takes new connections.
#[utoipa::path(get, path = "/readyz", tag = "process", responses(
    (status = 200, description = "It does", body = String),
    (status = 503, description = "It is stopping", body = Problem)))]
pub async fn readyz(State(admin): State<Admin>) -> Result<&'static str, Problem> {
    match admin.is_stopping.load(Ordering::Relaxed) {
        false => Ok("ok\n"),
        true => {
            let detail = "the process is stopping";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail))
        }
    }
}

/// Metrics in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "process",
    responses((status = 200, description = "The metrics", body = String)))]
pub async fn metrics(State(admin): State<Admin>) -> Response {
    // The last minute: long enough for a p99, short enough to show what is going on.
    let took = |service: &str, pool: &str| {
        let [_, minute, _] = admin.history.latencies(service, pool);
        minute
    };
    let now = admin.clock.now();
    let text = observe::encode(&admin.published.load(), &admin.process, &took, now);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// The process, the config and every service at a glance.
#[utoipa::path(get, path = "/v1/status", tag = "process",
    responses((status = 200, description = "The status", body = wire::Status)))]
pub async fn status(State(admin): State<Admin>) -> Json<wire::Status> {
    let snapshot = admin.published.load();
    let gauges = admin.process.gauges();
    let listener = |tally: &observe::ListenerTally| wire::Listener {
        address: tally.address.clone(),
        connections: tally.open.load(Ordering::Relaxed),
    };
    let (name, environment) = admin.events.who(&snapshot);
    Json(wire::Status {
        name: name.to_string(),
        environment: environment.to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        store_writable: gauges.is_store_writable,
        uptime_seconds: (admin.clock.unix_seconds() - gauges.started).max(0.0),
        generation: snapshot.generation,
        ready: !admin.is_stopping.load(Ordering::Relaxed),
        config: wire::ConfigStatus {
            path: admin.in_force.borrow().text.path.clone(),
            last_reload_successful: gauges.last_reload_successful,
            last_reload_success: gauges.last_reload_success,
            waits_for_reload: gauges.waits_for_reload,
            refused: admin.process.refused(),
            reloads: gauges.reloads,
            refused_reloads: gauges.refused_reloads,
        },
        listeners: admin.process.listeners().iter().map(|tally| listener(tally)).collect(),
        kept: kept(&admin),
        services: services::all(&admin, &snapshot),
    })
}

/// What is kept of what is gone from the file.
fn kept(admin: &Admin) -> Vec<wire::Kept> {
    let state = admin.state.borrow().clone();
    let kept = state.absent().map(|(part, since)| wire::Kept {
        what: part.to_string(),
        orders: kept_of(&state, part),
        since: since.seconds(),
        until: (since + ABSENT_KEPT).seconds(),
    });
    kept.filter(|kept| !kept.orders.is_empty()).collect()
}

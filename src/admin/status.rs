//! How the process is: nothing in, health, status and metrics out.

use std::io::Write;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::task::spawn_blocking;

use super::guard::Caller;
use super::problem::Problem;
use super::{Admin, incidents, services, wire};
use crate::observe::{self, Form, Scrape};
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

/// Metrics in the Prometheus text format, or as OpenMetrics 1.0 with exemplars for who accepts that.
#[utoipa::path(get, path = "/metrics", tag = "process",
    responses(
        (status = 200, description = "The metrics", content(
            (String = "text/plain"), (String = "application/openmetrics-text"))),
        (status = 500, description = "They cannot be written", body = Problem)))]
pub async fn metrics(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let (packs, form) = (takes_gzip(&headers), form(&headers));
    // With thousands of services it takes longer than others should wait.
    match spawn_blocking(move || scrape(&admin, packs, form)).await {
        Ok(answer) => answer,
        Err(error) => {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Problem::new(status, "failed", format!("the metrics: {error}")).into_response()
        }
    }
}

/// Whether whoever asks takes gzip, and has not given it the weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    listed(headers, &header::ACCEPT_ENCODING)
        .any(|(coding, weight)| named(coding, "gzip") && weight > 0.0)
}

/// OpenMetrics for who names it and likes it at least as much as anything else that it names. Whoever takes
/// anything gets what everybody got before there was a choice.
fn form(headers: &HeaderMap) -> Form {
    let (mut ours, mut others) = (0.0_f32, 0.0_f32);
    for (kind, weight) in listed(headers, &header::ACCEPT) {
        let is_ours = named(kind, "application/openmetrics-text") && is_known_version(kind);
        let best = if is_ours { &mut ours } else { &mut others };
        *best = best.max(weight);
    }
    if ours > 0.0 && ours >= others { Form::OpenMetrics } else { Form::Text }
}

/// Whether it names no version of OpenMetrics, or ours.
fn is_known_version(kind: &str) -> bool {
    let mut parameters = kind.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let version = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("version"));
    version.is_none_or(|(_, version)| version.trim().trim_matches('"') == "1.0.0")
}

/// Whether a member of a list is this one, whatever its parameters.
fn named(member: &str, name: &str) -> bool {
    member.split(';').next().is_some_and(|own| own.trim().eq_ignore_ascii_case(name))
}

/// The members of a list of preferences, each with its weight; a weight that is none counts as 0.
fn listed<'h>(
    headers: &'h HeaderMap,
    name: &header::HeaderName,
) -> impl Iterator<Item = (&'h str, f32)> {
    let fields = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|text| text.split(',')).map(|member| {
        let weight = member.split(';').skip(1).find_map(|part| part.trim().strip_prefix("q="));
        let weight = weight.map_or(Some(1.0), |weight| weight.trim().parse().ok());
        (member, weight.unwrap_or(0.0))
    })
}

fn scrape(admin: &Admin, packs: bool, form: Form) -> Response {
    // The last minute: long enough for a p99, short enough to show what is going on.
    let took = |service: &str, pool: &str| {
        let [_, minute, _] = admin.history.latencies(service, pool);
        minute
    };
    let text = observe::encode(&Scrape {
        snapshot: &admin.published.load(),
        process: &admin.process,
        took: &took,
        capacity: &|service| admin.history.capacity(service, admin.clock.wall_time()),
        events: admin.events.counts(),
        now: (admin.clock.now(), admin.clock.wall_time()),
        form,
    });
    let kind = (header::CONTENT_TYPE, form.media_type());
    let vary = (header::VARY, "accept, accept-encoding");
    if packs {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing into memory does not fail.
        if packer.write_all(text.as_bytes()).is_ok()
            && let Ok(packed) = packer.finish()
        {
            let coding = (header::CONTENT_ENCODING, "gzip");
            return ([kind, vary, coding], packed).into_response();
        }
    }
    ([kind, vary], text).into_response()
}

/// The process, the config and every service at a glance.
#[utoipa::path(get, path = "/v1/status", tag = "process",
    responses((status = 200, description = "The status", body = wire::Status)))]
pub async fn status(State(admin): State<Admin>, caller: Caller) -> Json<wire::Status> {
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
        // Not by the wall clock, which may be set meanwhile.
        uptime_seconds: snapshot.moment(admin.clock.now()).micros() as f64 / 1e6,
        generation: snapshot.generation,
        ready: !admin.is_stopping.load(Ordering::Relaxed),
        config: config(&admin, !caller.is_bound()),
        listeners: admin.process.listeners().iter().map(|tally| listener(tally)).collect(),
        kept: if caller.is_bound() { Vec::new() } else { kept(&admin) },
        incidents: open_incidents(&admin, &caller),
        alerts_firing: alerts_firing(&admin, &caller),
        services: services::all(&admin, &snapshot, &caller),
    })
}

/// The incidents that are open, as far as the caller is told of them.
fn open_incidents(admin: &Admin, caller: &Caller) -> Vec<wire::OpenIncident> {
    let state = admin.state.borrow().clone();
    let seen = state.open_incidents().filter(|incident| incidents::sees(caller, incident));
    seen.map(|incident| wire::OpenIncident::of(incident)).collect()
}

fn alerts_firing(admin: &Admin, caller: &Caller) -> usize {
    let state = admin.state.borrow().clone();
    let seen = state.alerts().values().filter(|alert| caller.sees(&alert.service));
    seen.filter(|alert| alert.is_firing()).count()
}

/// The config's state; why a reload was refused is for who is bound to no service.
pub(super) fn config(admin: &Admin, tells_why: bool) -> wire::ConfigStatus {
    let gauges = admin.process.gauges();
    wire::ConfigStatus {
        path: admin.in_force.borrow().texts.main.path.clone(),
        last_reload_successful: gauges.last_reload_successful,
        last_reload_success: gauges.last_reload_success,
        waits_for_reload: gauges.waits_for_reload,
        refused: admin.process.refused().filter(|_| tells_why),
        reloads: gauges.reloads,
        refused_reloads: gauges.refused_reloads,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_takes_it() {
        let takes = |value: &'static str| {
            let value = header::HeaderValue::from_static(value);
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]))
        };
        assert!(takes("gzip") && takes("deflate, GZIP;q=0.5") && takes("br;q=1, gzip ; q=1"));
        assert!(!takes("identity") && !takes("gzip;q=0") && !takes("gzip;q=0.0, br"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn openmetrics_is_for_who_asks_for_it() {
        let form = |value: &'static str| {
            let value = header::HeaderValue::from_static(value);
            form(&HeaderMap::from_iter([(header::ACCEPT, value)]))
        };
        // As Prometheus 2 and 3 ask.
        let two = "application/openmetrics-text;version=1.0.0,\
                   application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for openmetrics in
            [two, three, "Application/OpenMetrics-Text", "application/openmetrics-text; q=0.1"]
        {
            assert_eq!(form(openmetrics), Form::OpenMetrics, "{openmetrics}");
        }
        for text in [
            "*/*",
            "text/plain",
            "application/*",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.2, text/plain;q=0.4",
            "application/openmetrics-text;q=x",
        ] {
            assert_eq!(form(text), Form::Text, "{text}");
        }
        assert_eq!(super::form(&HeaderMap::new()), Form::Text);
    }
}

//! The upstreams of a status: services in, a table with a line for each upstream of their pools out.

use std::time::Duration;

use super::screen::Screen;
use crate::admin::wire;
use crate::cli::table::percent;
use crate::cli::terminal::Colour;
use crate::clock::in_words;
use crate::server::clock;

/// All of them.
pub(super) fn upstreams(services: &[wire::Service], screen: Screen) -> String {
    let headings = ["POOL", "UPSTREAM", "??>WEIGHT", "?>IN FLIGHT", ">REQ/S", ">ERRORS", "STATE"];
    let now = clock::system().unix_seconds();
    let pools = services.iter().flat_map(|service| &service.pools);
    let rows = pools.flat_map(|pool| {
        pool.upstreams.iter().map(move |upstream| {
            let (colour, state) = condition(upstream, now);
            let row = vec![
                pool.name.clone(),
                named(upstream),
                upstream.weight.to_string(),
                upstream.in_flight.to_string(),
                format!("{:.1}", upstream.requests_per_second),
                percent(upstream.errors_percent),
                state,
            ];
            (colour, row)
        })
    });
    screen.table(&headings, rows.collect())
}

/// Why an upstream takes no requests and since when, or that it does; and what last went wrong with it.
fn condition(upstream: &wire::Upstream, now: f64) -> (Colour, String) {
    use wire::UpstreamCondition::{
        Active, Down, Draining, Ejected, SlowStart, Unproven, Unresolved,
    };
    let name = serde_json::to_value(upstream.state).ok();
    let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or("unknown").to_string();
    let ago = |at: f64| in_words(Duration::from_secs((now - at).max(0.0) as u64));
    let for_ = upstream.since.map_or_else(String::new, |since| format!(" for {}", ago(since)));
    let error = upstream.last_error.as_deref();
    match (upstream.state, upstream.ejected_for, &upstream.last_probe_failure) {
        (Active | SlowStart, ..) => (Colour::Plain, name),
        (Draining | Unproven | Unresolved, _, None) => (Colour::Yellow, name),
        (Down | Unproven, _, Some(why)) => (Colour::Red, format!("{name}{for_}: {why}")),
        (Ejected, Some(left), _) if left > 0.0 => {
            let why = error.map_or_else(String::new, |error| format!(": {error}"));
            (Colour::Red, format!("{name}{for_}, {left:.0} s left{why}"))
        }
        _ => {
            let why = error.map_or_else(String::new, |error| format!(": {error}"));
            (Colour::Red, format!("{name}{for_}{why}"))
        }
    }
}

/// Its address, the name that it stands for, and its labels.
fn named(upstream: &wire::Upstream) -> String {
    let name = upstream.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    let labels = upstream.labels.iter().map(|(name, text)| format!(" {name}={text}"));
    format!("{}{name}{}", upstream.address, labels.collect::<String>())
}

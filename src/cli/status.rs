//! `status`: a running proxy in, a table of its services and pools out.

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::api::{Api, Call};
use super::table::{percent, table};
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::clock::in_words;
use crate::config::suggest;

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(1);

/// Show what a running proxy does: set and measured shares, rates, errors, upstreams.
///
/// Rates, shares and durations are of the last ten seconds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman status\n  pointsman status shop --watch\n  \
                        pointsman status --json | jq '.services[].revision'")]
pub struct Status {
    /// Show this service only, with its upstreams.
    service: Option<String>,
    /// Show it again every second.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Status {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        loop {
            let mut status: wire::Status = Api(&self.reach).ask(Call::get("/v1/status")).await?;
            if let Some(wanted) = &self.service {
                if !status.services.iter().any(|service| service.name == *wanted) {
                    let known = status.services.iter().map(|service| service.name.as_str());
                    bail!("no service is named `{wanted}`{}", suggest(wanted, known));
                }
                status.services.retain(|service| service.name == *wanted);
            }
            match self.reach.json {
                true => print(&serde_json::to_string_pretty(&status)?),
                false => {
                    let clear = if self.watch { "\x1b[2J\x1b[H" } else { "" };
                    print(&format!("{clear}{}", self.picture(&status)));
                }
            }
            if !self.watch {
                return Ok(Ending::Done);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn picture(&self, status: &wire::Status) -> String {
        let addresses = |listener: &wire::Listener| {
            format!("{} ({} connections)", listener.address, listener.connections)
        };
        let listeners: Vec<String> = status.listeners.iter().map(addresses).collect();
        let state = if status.ready { "ready" } else { "stopping" };
        let mut lines = vec![format!(
            "pointsman {} {state}, up {:.0} s, listening on {}",
            status.version,
            status.uptime_seconds,
            listeners.join(", ")
        )];
        let (path, refused) = (&status.config.path, status.config.refused.as_deref());
        let why = refused.map_or_else(String::new, |why| format!(": {why}"));
        if status.config.waits_for_reload {
            lines.push(format!("! {path} is not in force, waiting for `pointsman reload`{why}"));
        } else if !status.config.last_reload_successful {
            lines.push(format!("! the last reload of {path} was refused{why}"));
        }
        lines.extend(status.kept.iter().map(kept));
        if !status.store_writable {
            let why = "! the store cannot be written: orders are refused, rollouts stand still; \
                       `pointsman events` says why";
            lines.push(why.into());
        }
        lines.push(String::new());
        lines.push(pools(&status.services));
        lines.extend(status.services.iter().filter_map(budget));
        let foot = "(over the last 10 s; measured shares since the last shift, - until they show)";
        lines.push(foot.into());
        let under_way: Vec<&wire::Rollout> =
            status.services.iter().filter_map(|service| service.rollout.as_ref()).collect();
        if !under_way.is_empty() {
            lines.push(String::new());
            lines.extend(under_way.into_iter().map(super::rollout::line));
        }
        if status.services.iter().any(|service| !service.orders.is_empty()) {
            lines.push(String::new());
            lines.push(orders(&status.services));
        }
        if self.service.is_some() {
            lines.push(String::new());
            lines.push(upstreams(&status.services));
        }
        lines.join("\n")
    }
}

/// What is kept of something that is not in the file any more.
fn kept(kept: &wire::Kept) -> String {
    let wire::Kept { what, orders, since, until } = kept;
    let length = in_words(Duration::from_secs_f64((until - since).max(0.0)));
    let orders = orders.join(", ");
    format!(
        "! {what} is gone from the file; in force again if it comes back within {length}: {orders}"
    )
}

fn pools(services: &[wire::Service]) -> String {
    let headings = [
        "SERVICE",
        ">REV",
        "POOL",
        ">SET",
        ">MEASURED",
        ">REQ/S",
        ">ERRORS",
        ">P50",
        ">P99",
        ">IN FLIGHT",
        "STATE",
    ];
    let rows = services.iter().flat_map(|service| {
        service.pools.iter().map(|pool| {
            vec![
                service.name.clone(),
                service.revision.to_string(),
                pool.name.clone(),
                percent(pool.weight),
                pool.measured.map_or_else(|| "-".into(), percent),
                format!("{:.1}", pool.requests_per_second),
                percent(pool.errors),
                time(pool, |latency| latency.p50),
                time(pool, |latency| latency.p99),
                pool.in_flight.to_string(),
                state(service, pool),
            ]
        })
    });
    table(&headings, rows)
}

/// One quantile of the shortest window.
fn time(pool: &wire::Pool, of: impl Fn(&wire::Latency) -> Option<f64>) -> String {
    let seconds = pool.latency.first().and_then(of);
    seconds.map_or_else(|| "-".into(), |seconds| format!("{:.1} ms", seconds * 1e3))
}

/// How much of a service may still fail, and whether its rollouts go on.
fn budget(service: &wire::Service) -> Option<String> {
    let budget = service.budget.as_ref()?;
    let name = &service.name;
    Some(match (&budget.why, budget.remaining) {
        (Some(why), _) => {
            let stands = match budget.state {
                wire::SloState::Frozen => "rollouts are frozen",
                wire::SloState::Hold => "rollouts are held",
                wire::SloState::Caution => "new rollouts need an override",
                wire::SloState::Open => "rollouts may go on",
            };
            format!("{name}: {stands}: {why}")
        }
        (None, Some(left)) => format!("{name}: {} of the error budget is left", percent(left)),
        (None, None) => return None,
    })
}

/// What is most important about a pool.
fn state(service: &wire::Service, pool: &wire::Pool) -> String {
    let order = |order| pool.breaker.order == order;
    let well = |upstream: &&wire::Upstream| {
        use wire::UpstreamCondition::{Active, SlowStart};
        matches!(upstream.state, Active | SlowStart)
    };
    let (well, all) = (pool.upstreams.iter().filter(well).count(), pool.upstreams.len());
    let known = [
        (service.mode == wire::Mode::Hold, format!("held, {} wait", service.waiting)),
        (service.mode == wire::Mode::Maintenance, "maintenance".into()),
        (order(wire::BreakerOrder::Open), "breaker open by order".into()),
        (pool.breaker.state == wire::BreakerState::Open, "breaker open".into()),
        (pool.breaker.state == wire::BreakerState::HalfOpen, "breaker half-open".into()),
        (!pool.available, "no upstream".into()),
        (pool.panic, format!("{well} of {all} well, all are tried")),
        (order(wire::BreakerOrder::Closed), "breaker closed by order".into()),
        (well < all, format!("up, {well} of {all} well")),
    ];
    let said = known.into_iter().find(|(holds, _)| *holds);
    said.map_or_else(|| "up".into(), |(_, said)| said)
}

/// What was ordered and stands.
fn orders(services: &[wire::Service]) -> String {
    let headings = ["WHERE", "ORDER", "SINCE", "UNTIL", "BY", "WHY"];
    let all = services
        .iter()
        .flat_map(|service| service.orders.iter().map(|order| (service.name.as_str(), order)));
    let row = |(service, order): (&str, &wire::Standing)| {
        let pool = order.pool.as_ref().map_or_else(String::new, |pool| format!("/{pool}"));
        let upstream = order.upstream.as_ref().map_or_else(String::new, |at| format!(" {at}"));
        vec![
            format!("{service}{pool}{upstream}"),
            order.what.clone(),
            super::events::moment(order.since),
            order.until.map_or_else(|| "-".into(), super::events::moment),
            order.author.clone(),
            order.reason.clone().unwrap_or_default(),
        ]
    };
    table(&headings, all.map(row))
}

/// Why an upstream takes no requests, or that it does.
fn condition(upstream: &wire::Upstream) -> String {
    let name = serde_json::to_value(upstream.state).ok();
    let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or("unknown").to_string();
    match (upstream.state, upstream.ejected_for, &upstream.last_probe_failure) {
        (wire::UpstreamCondition::Ejected, Some(left), _) => format!("{name}, {left:.0} s left"),
        (wire::UpstreamCondition::Down | wire::UpstreamCondition::Unproven, _, Some(why)) => {
            format!("{name}: {why}")
        }
        _ => name,
    }
}

fn upstreams(services: &[wire::Service]) -> String {
    let headings = ["POOL", "UPSTREAM", "STATE", ">WEIGHT", ">IN FLIGHT", ">REQUESTS", ">ERRORS"];
    let pools = services.iter().flat_map(|service| &service.pools);
    let rows = pools.flat_map(|pool| {
        pool.upstreams.iter().map(|upstream| {
            vec![
                pool.name.clone(),
                match &upstream.name {
                    Some(name) => format!("{} ({name})", upstream.address),
                    None => upstream.address.clone(),
                },
                condition(upstream),
                upstream.weight.to_string(),
                upstream.in_flight.to_string(),
                upstream.requests.to_string(),
                upstream.errors.to_string(),
            ]
        })
    });
    table(&headings, rows)
}

//! `status`: a running proxy in, a table of its services and pools out.

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use super::api::Api;
use super::away::Away;
use super::table::{fitted, percent, shortened};
use super::terminal::{self, Colour};
use super::{Ending, Reach, print};
use crate::admin::wire;
use crate::clock::in_words;
use crate::config::suggest;
use crate::server::clock;

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_secs(1);

/// Show what a running proxy does: set and measured shares, rates, errors, upstreams.
///
/// Rates, shares and durations are of the last ten seconds.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman status\n  pointsman status shop --watch\n  \
                        pointsman status --json | jq '.services[].revision'\n  \
                        pointsman status --ready")]
pub struct Status {
    /// Show this service only, with its upstreams.
    service: Option<String>,
    /// Show it again every second, also after the proxy was started again.
    #[arg(long)]
    watch: bool,
    /// Say how often the judge would take back what is as good as the rest (docs/judge.md).
    #[arg(long)]
    judge: bool,
    /// Only say whether it is ready for requests: exit code 0 if so, 1 if not. Needs no token, and does for
    /// the health check of a container.
    #[arg(long, conflicts_with_all = ["service", "watch", "judge"])]
    ready: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Who looks at it: how much room there is, and whether it may be coloured.
#[derive(Clone, Copy, Debug, Default)]
struct Screen {
    /// Columns and rows of a terminal; none for a pipe or a file.
    size: Option<(usize, usize)>,
    is_coloured: bool,
}

impl Status {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        if self.ready {
            let is_ready = Api(&self.reach).is_ready().await?;
            print(match (self.reach.json, is_ready) {
                (true, true) => r#"{"ready": true}"#,
                (true, false) => r#"{"ready": false}"#,
                (false, true) => "ready",
                (false, false) => "not ready",
            });
            return Ok(if is_ready { Ending::Done } else { Ending::No });
        }
        let mut away = Away::watched(&self.reach);
        loop {
            let mut status: wire::Status = away.heard("/v1/status").await?;
            if let Some(wanted) = &self.service {
                if !status.services.iter().any(|service| service.name == *wanted) {
                    let known = status.services.iter().map(|service| service.name.as_str());
                    bail!("no service is named `{wanted}`{}", suggest(wanted, known));
                }
                status.services.retain(|service| service.name == *wanted);
            }
            // A terminal may be another size by now.
            let is_coloured = terminal::is_coloured(&std::io::stdout());
            let screen = Screen { size: terminal::size(), is_coloured };
            match self.reach.json {
                true => print(&serde_json::to_string_pretty(&status)?),
                false => print(&self.shown(&status, screen)),
            }
            if !self.watch {
                return Ok(Ending::Done);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What is printed: all of it, or with `--watch` what a terminal has room for.
    fn shown(&self, status: &wire::Status, screen: Screen) -> String {
        let mut lines = self.picture(status, screen);
        match screen.size.filter(|_| self.watch) {
            None if self.watch => lines.push(String::new()),
            None => {}
            Some((_, rows)) => {
                // The last row is the cursor's.
                let room = rows - 1;
                if lines.len() > room {
                    let more = lines.len() - (room - 1);
                    lines.truncate(room - 1);
                    lines
                        .push(format!("… {more} lines more; `pointsman status SERVICE` has fewer"));
                }
                lines[0].insert_str(0, "\x1b[2J\x1b[H");
            }
        }
        lines.join("\n")
    }

    /// What came of the A/A check of a service, if that is asked for or has to be said.
    fn check(&self, service: &wire::Service) -> Option<String> {
        let name = &service.name;
        match &service.judge_check {
            Some(check) if self.judge || check.is_broken => {
                Some(format!("{name}: judge: {}", check.says))
            }
            None if self.judge => Some(format!(
                "{name}: judge: not checked, it has no `rollout` table or no second pool"
            )),
            _ => None,
        }
    }

    fn picture(&self, status: &wire::Status, screen: Screen) -> Vec<String> {
        let columns = screen.size.map(|(columns, _)| columns);
        let mut lines = Vec::new();
        let mut say = |text: &str, colour: Colour| {
            let parts = match columns {
                Some(columns) => terminal::wrapped(text, columns),
                None => vec![text.to_string()],
            };
            lines.extend(parts.iter().map(|part| screen.paint(colour, part)));
        };
        let state = if status.ready { "ready" } else { "stopping" };
        let whose = match (&*status.name, &*status.environment) {
            ("", _) => String::new(),
            (name, "") => format!(" on {name}"),
            (name, environment) => format!(" on {name} ({environment})"),
        };
        let up = in_words(Duration::from_secs(status.uptime_seconds as u64));
        say(&format!("pointsman {}{whose} {state}, up {up}", status.version), Colour::Plain);
        let addresses = |listener: &wire::Listener| {
            format!("{} ({} connections)", listener.address, listener.connections)
        };
        let listeners: Vec<String> = status.listeners.iter().map(addresses).collect();
        say(&format!("listening on {}", listeners.join(", ")), Colour::Plain);
        let (path, refused) = (&status.config.path, status.config.refused.as_deref());
        let why = refused.map_or_else(String::new, |why| format!(": {why}"));
        if status.config.waits_for_reload {
            let waits = format!("! {path} is not in force, waiting for `pointsman reload`{why}");
            say(&waits, Colour::Yellow);
        } else if !status.config.last_reload_successful {
            say(&format!("! the last reload of {path} was refused{why}"), Colour::Yellow);
        }
        status.kept.iter().for_each(|of| say(&kept(of), Colour::Yellow));
        if !status.store_writable {
            let why = "! the store cannot be written: orders are refused, rollouts stand still; \
                       `pointsman events` says why";
            say(why, Colour::Red);
        }
        add(&mut lines, &pools(&status.services, screen));
        let mut notes: Vec<String> = status.services.iter().filter_map(budget).collect();
        notes.extend(status.services.iter().filter_map(|service| self.check(service)));
        notes.push("(over the last 10 s; GOT since the last shift, - until it shows)".into());
        let under_way = status.services.iter().filter_map(|service| service.rollout.as_ref());
        let rollouts: Vec<String> = under_way.map(super::rollout::line).collect();
        lines.extend(notes.into_iter().flat_map(|note| screen.wrapped(&note)));
        if !rollouts.is_empty() {
            lines.push(String::new());
            lines.extend(rollouts.into_iter().flat_map(|line| screen.wrapped(&line)));
        }
        if status.services.iter().any(|service| !service.orders.is_empty()) {
            add(&mut lines, &orders(&status.services, columns));
        }
        if self.service.is_some() {
            add(&mut lines, &upstreams(&status.services, screen));
        }
        lines
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

/// Adds a table after an empty line.
fn add(lines: &mut Vec<String>, table: &str) {
    lines.push(String::new());
    lines.extend(table.lines().map(str::to_string));
}

impl Screen {
    fn paint(&self, colour: Colour, text: &str) -> String {
        if self.is_coloured { colour.paint(text) } else { text.to_string() }
    }

    /// A text that says no more than what follows, in as many lines as it takes.
    fn wrapped(&self, text: &str) -> Vec<String> {
        match self.size {
            Some((columns, _)) => terminal::wrapped(text, columns),
            None => vec![text.to_string()],
        }
    }

    /// A table with the lines of what is not well coloured.
    fn table(&self, headings: &[&str], rows: Vec<(Colour, Vec<String>)>) -> String {
        let (colours, rows): (Vec<Colour>, Vec<Vec<String>>) = rows.into_iter().unzip();
        let text = fitted(headings, rows, self.size.map(|(columns, _)| columns));
        let colours = std::iter::once(Colour::Plain).chain(colours);
        let lines = text.lines().zip(colours).map(|(line, colour)| self.paint(colour, line));
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn pools(services: &[wire::Service], screen: Screen) -> String {
    let mut headings = vec![
        "SERVICE",
        "??>REV",
        "POOL",
        "?TAG",
        ">SET",
        ">GOT",
        ">REQ/S",
        ">ERRORS",
        "????>P50",
        "?>P99",
        "???>IN FLIGHT",
        "STATE",
    ];
    let rows = services.iter().flat_map(|service| {
        service.pools.iter().map(|pool| {
            let (colour, state) = state(service, pool);
            let row = vec![
                service.name.clone(),
                service.revision.to_string(),
                pool.name.clone(),
                pool.tag.as_deref().map_or_else(|| "-".into(), shortened),
                percent(pool.weight),
                pool.measured.map_or_else(|| "-".into(), percent),
                format!("{:.1}", pool.requests_per_second),
                percent(pool.errors),
                time(pool, |latency| latency.p50),
                time(pool, |latency| latency.p99),
                pool.in_flight.to_string(),
                state,
            ];
            (colour, row)
        })
    });
    let mut rows: Vec<_> = rows.collect();
    if services.iter().flat_map(|service| &service.pools).all(|pool| pool.tag.is_none()) {
        let at = headings.iter().position(|heading| heading.ends_with("TAG"));
        if let Some(at) = at {
            headings.remove(at);
            rows.iter_mut().for_each(|(_, row)| drop(row.remove(at)));
        }
    }
    screen.table(&headings, rows)
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
fn state(service: &wire::Service, pool: &wire::Pool) -> (Colour, String) {
    use Colour::{Plain, Red, Yellow};
    let order = |order| pool.breaker.order == order;
    let well = |upstream: &&wire::Upstream| {
        use wire::UpstreamCondition::{Active, SlowStart};
        matches!(upstream.state, Active | SlowStart)
    };
    let (well, all) = (pool.upstreams.iter().filter(well).count(), pool.upstreams.len());
    let known = [
        (service.mode == wire::Mode::Hold, Yellow, format!("held, {} wait", service.waiting)),
        (service.mode == wire::Mode::Maintenance, Yellow, "maintenance".into()),
        (order(wire::BreakerOrder::Open), Red, "breaker open by order".into()),
        (pool.breaker.state == wire::BreakerState::Open, Red, "breaker open".into()),
        (pool.breaker.state == wire::BreakerState::HalfOpen, Yellow, "breaker half-open".into()),
        (all == 0 && pool.weight == 0.0, Plain, "empty".into()),
        (!pool.available, Red, "no upstream".into()),
        (pool.panic, Red, format!("{well} of {all} well, all are tried")),
        (order(wire::BreakerOrder::Closed), Yellow, "breaker closed by order".into()),
        (well < all, Yellow, format!("up, {well} of {all} well")),
    ];
    let said = known.into_iter().find(|(holds, ..)| *holds);
    said.map_or_else(|| (Plain, "up".into()), |(_, colour, said)| (colour, said))
}

/// What was ordered and stands.
fn orders(services: &[wire::Service], columns: Option<usize>) -> String {
    let headings = ["WHERE", "ORDER", "?SINCE", "??UNTIL", "BY", "WHY"];
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
    fitted(&headings, all.map(row).collect(), columns)
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

fn upstreams(services: &[wire::Service], screen: Screen) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A busy edge: long names, a rollout's pools, an upstream that refuses.
    fn status() -> wire::Status {
        let upstream = |address: &str, state: &str| {
            serde_json::json!({
                "address": address, "state": state, "weight": 100, "in_flight": 12,
                "breaker": {"state": "closed", "order": "auto", "opened": 0},
                "latency_seconds": 0.01, "requests": 1_000_000, "errors": 5, "since": 1.0,
                "last_error": "it refuses connections or cannot be reached",
                "requests_per_second": 412.7, "errors_percent": 0.25,
            })
        };
        let pool = |name: &str| {
            serde_json::json!({
                "name": name, "weight": 99.95, "measured": 99.87, "requests_per_second": 12_345.6,
                "errors": 0.25, "mean_seconds": 0.01, "in_flight": 1_234, "available": true,
                "panic": false, "breaker": {"state": "closed", "order": "auto", "opened": 0},
                "latency": [{"window_seconds": 10.0, "count": 5, "p50": 0.0123, "p99": 0.1234}],
                "upstreams": [upstream("checkout-1.internal:9000", "active"),
                              upstream("[2001:db8::1234:5678]:9000", "refusing")],
            })
        };
        let service = |name: &str| {
            serde_json::json!({
                "name": name, "revision": 1_234, "mode": "serve", "waiting": 0,
                "requests_per_second": 12_345.6, "pools": [pool("blue"), pool("green-2026-11")],
                "orders": [{"kind": "drain", "pool": "blue", "upstream": "checkout-1.internal:9000",
                            "what": "drained", "author": "cli:somebody", "since": 5.0, "until": null,
                            "reason": "the disk of this machine is about to be replaced"}],
            })
        };
        let services: Vec<_> = (0..12).map(|n| service(&format!("checkout-service-{n}"))).collect();
        let status = serde_json::json!({
            "name": "edge-1.example.internal", "environment": "production", "version": "0.1.0",
            "uptime_seconds": 123_456.0, "generation": 5, "ready": true, "store_writable": false,
            "config": {"path": "/etc/pointsman/pointsman.toml", "last_reload_successful": false,
                       "last_reload_success": 1.0, "reloads": 1, "refused_reloads": 1},
            "listeners": [{"address": "0.0.0.0:8080", "connections": 1_234},
                          {"address": "0.0.0.0:8443", "connections": 1_234}],
            "services": services,
        });
        serde_json::from_value(status).unwrap()
    }

    fn verb(args: &[&str]) -> Status {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            status: Status,
        }
        let args = ["status"].into_iter().chain(args.iter().copied());
        <Line as clap::Parser>::parse_from(args).status
    }

    fn widest(lines: &str) -> usize {
        lines.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn it_fits_a_terminal_and_a_pipe_gets_all_of_it() {
        let (status, one) = (status(), verb(&["checkout-service-1"]));
        for columns in [80, 100, 120] {
            let screen = Screen { size: Some((columns, 24)), is_coloured: false };
            let text = one.shown(&status, screen);
            assert!(widest(&text) <= columns, "{columns}: {}\n{text}", widest(&text));
            assert!(text.contains("412.7") && text.contains("refusing"), "{text}");
        }
        let text = one.shown(&status, Screen::default());
        assert!(
            !text.contains('\x1b') && text.contains("P50") && text.contains("about to be replaced")
        );
    }

    #[test]
    fn a_watch_clips_to_the_height_and_writes_no_escapes_into_pipes() {
        let (status, watch) = (status(), verb(&["--watch"]));
        let screen = Screen { size: Some((80, 24)), is_coloured: false };
        let text = watch.shown(&status, screen);
        assert!(text.starts_with("\x1b[2J\x1b[H"));
        assert_eq!(text.lines().count(), 23);
        assert!(text.lines().last().unwrap().contains("lines more"), "{text}");
        let piped = watch.shown(&status, Screen::default());
        assert!(!piped.contains('\x1b') && piped.ends_with('\n'));
    }

    #[test]
    fn what_is_not_well_is_coloured_where_that_is_wanted() {
        let screen = Screen { size: Some((80, 24)), is_coloured: true };
        let text = verb(&["checkout-service-1"]).shown(&status(), screen);
        let is = |line: &str, colour: &str| line.starts_with(colour) && line.ends_with("\x1b[0m");
        assert!(
            text.lines().any(|line| line.contains("refusing") && is(line, "\x1b[31m")),
            "{text}"
        );
        assert!(text.lines().any(|line| line.contains("1 of 2") && is(line, "\x1b[33m")), "{text}");
    }
}

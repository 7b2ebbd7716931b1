//! `status`: a running proxy in, a table of its services and pools out.

mod pools;
mod screen;
#[cfg(test)]
mod tests;
mod upstreams;

use std::time::Duration;

use anyhow::bail;
use clap::Args;

use self::screen::Screen;
use super::api::Api;
use super::away::Away;
use super::table::{fitted, percent};
use super::terminal::{self, Colour};
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
        status.incidents.iter().for_each(|of| say(&incident(of), Colour::Red));
        if status.alerts_firing > 0 {
            let count = status.alerts_firing;
            say(
                &format!("{count} alerts fire: `pointsman incident list --alerts`"),
                Colour::Yellow,
            );
        }
        status.kept.iter().for_each(|of| say(&kept(of), Colour::Yellow));
        if !status.store_writable {
            let why = "! the store cannot be written: orders are refused, rollouts stand still; \
                       `pointsman events` says why";
            say(why, Colour::Red);
        }
        add(&mut lines, &pools::pools(&status.services, screen));
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
            add(&mut lines, &upstreams::upstreams(&status.services, screen));
        }
        lines
    }
}

/// An incident that is open.
fn incident(incident: &wire::OpenIncident) -> String {
    let wire::OpenIncident { id, title, severity, state, services, .. } = incident;
    let of =
        if services.is_empty() { String::new() } else { format!(" ({})", services.join(", ")) };
    let severity = severity.name();
    format!("incident {id} is {state}, {severity}{of}: {title}; `pointsman incident show {id}`")
}

/// What is kept of something that is not in the file any more.
fn kept(kept: &wire::Kept) -> String {
    let wire::Kept { what, orders, since, until } = kept;
    // Whoever answers may say what is no length of time.
    let length = Duration::try_from_secs_f64((until - since).max(0.0)).unwrap_or(Duration::MAX);
    let length = in_words(length);
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

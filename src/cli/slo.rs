//! `slo`: a service or none in, what it promises and how much of that may still fail out.

use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::api::{Api, Call, segment};
use super::events::moment;
use super::table::{percent, table};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Show objectives, error budgets and burn rates, and whether rollouts may go on.
///
/// A burn rate of 1 spends the budget in exactly its window. `-` where fewer than 100 requests or 5
/// bad ones came. docs/slo.md says what the states mean.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman slo\n  pointsman slo shop\n  \
                        pointsman slo shop --json | jq '.[0].objectives[].remaining'")]
pub struct Slo {
    /// The service; all that promise something are shown if left out.
    service: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Slo {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let api = Api(&self.reach);
        let names = match &self.service {
            Some(service) => vec![service.clone()],
            None => {
                let promises = |service: &wire::Service| service.budget.is_some();
                let all = api.services().await?;
                all.into_iter().filter(promises).map(|service| service.name).collect()
            }
        };
        let mut all: Vec<wire::Slo> = Vec::new();
        for name in &names {
            let path = format!("/v1/services/{}/slo", segment(name));
            all.push(
                api.ask(Call::get(&path)).await.with_context(|| format!("{name} has no budget"))?,
            );
        }
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&all)?,
            false => picture(&all),
        });
        Ok(Ending::Done)
    }
}

fn picture(all: &[wire::Slo]) -> String {
    let promised = all.iter().any(|slo| !slo.objectives.is_empty());
    let mut lines = Vec::new();
    if promised {
        lines.push(objectives(all));
    } else {
        lines.push(
            "nothing is promised: an empty `[services.NAME.slo]` in the config promises 99.9 % over \
             30 days"
                .to_string(),
        );
    }
    for slo in all {
        lines.extend(words(slo));
    }
    lines.join("\n")
}

fn objectives(all: &[wire::Slo]) -> String {
    let headings = [
        "SERVICE",
        "OBJECTIVE",
        ">TARGET",
        ">WINDOW",
        ">LEFT",
        ">5M",
        ">1H",
        ">6H",
        ">3D",
        "STATE",
    ];
    let rows = all.iter().flat_map(|slo| {
        slo.objectives.iter().map(|objective| {
            let burn = |window: &str| match objective.burn.get(window) {
                Some(burn) if *burn > 0.0 => times(*burn),
                _ => "-".to_string(),
            };
            let warming = if objective.warming { ", warming" } else { "" };
            vec![
                slo.service.clone(),
                match objective.at_most_seconds {
                    None => objective.name.clone(),
                    // Whoever answers may say what is no length of time.
                    Some(seconds) => match Duration::try_from_secs_f64(seconds) {
                        Ok(length) => format!("{} ≤ {length:?}", objective.name),
                        Err(_) => format!("{} ≤ {seconds} s", objective.name),
                    },
                },
                target(objective.target),
                format!("{} d", objective.window_days),
                percent(objective.remaining),
                burn("5m"),
                burn("1h"),
                burn("6h"),
                burn("3d"),
                format!("{}{warming}", objective.state.name()),
            ]
        })
    });
    table(&headings, rows)
}

/// What is to be said of a service beside its numbers.
fn words(slo: &wire::Slo) -> Vec<String> {
    let wire::Slo { service, state, why, freeze, lifted, .. } = slo;
    let until = |decree: &wire::Decree| match decree.until {
        Some(until) => format!("until {}", moment(until)),
        None => format!("until `pointsman freeze {service} --lift`"),
    };
    let mut lines = Vec::new();
    if let Some(freeze) = freeze {
        let until = until(freeze);
        lines.push(format!("{service}: frozen by {} {until}: {}", freeze.author, freeze.reason));
    } else if let Some(why) = why {
        lines.push(format!("{service}: {}: {why}", state.name()));
    }
    if let Some(lifted) = lifted {
        let until = until(lifted);
        lines.push(format!(
            "{service}: not heeded {until}, by {}: {}",
            lifted.author, lifted.reason
        ));
    }
    lines
}

/// A target with all of its decimals.
fn target(percent: f64) -> String {
    let text = format!("{percent:.4}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn times(burn: f64) -> String {
    if burn < 99.95 { format!("{burn:.1}×") } else { format!("{burn:.0}×") }
}

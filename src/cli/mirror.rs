//! `mirror`: a service in, what came of its copies and the last differences out.

use clap::Args;

use super::api::{Api, Call};
use super::table::{percent, table};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// How many differences are shown; `--json` has all.
const SHOWN: usize = 20;

/// Show what came of the copies that a service sends to another pool, and how answers differ.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman mirror shop\n  \
                        pointsman mirror shop --json | jq '.differences[].path'\n\n\
                        Mirroring is set up in the config file: [services.shop.mirror]")]
pub struct Mirror {
    /// The service.
    service: String,
    #[command(flatten)]
    reach: Reach,
}

impl Mirror {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/services/{}/mirror", self.service);
        let mirror: wire::Mirror = Api(&self.reach).ask(Call::get(&path)).await?;
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&mirror)?,
            false => picture(&mirror),
        });
        Ok(Ending::Done)
    }
}

fn picture(mirror: &wire::Mirror) -> String {
    let wire::Mirror { service, to, differences, .. } = mirror;
    let mut parts = vec![
        format!("{service} mirrors {} of its requests to {to}", percent(mirror.percent)),
        format!("since {}", jiff::Timestamp::from_second(mirror.since as i64).unwrap_or_default()),
        counts(mirror),
    ];
    if let Some(failure) = &mirror.last_failure {
        parts.push(format!("last failure: {failure}"));
    }
    if !differences.is_empty() {
        let shown = differences.len().min(SHOWN);
        parts.push(format!("\nthe last {shown} of {} differences kept", differences.len()));
        parts.push(rows(&differences[..shown]));
    }
    parts.join("\n")
}

fn counts(mirror: &wire::Mirror) -> String {
    let mut headings = vec![">SENT", ">FAILED", ">DROPPED", ">WAITING"];
    let mut row = vec![
        mirror.sent.to_string(),
        mirror.failed.to_string(),
        mirror.dropped.to_string(),
        mirror.waiting.to_string(),
    ];
    if let Some(compared) = &mirror.comparisons {
        headings.extend([">SAME", ">OTHER STATUS", ">OTHER HEADERS", ">OTHER BODY"]);
        let counts = [compared.same, compared.status, compared.headers, compared.body];
        row.extend(counts.map(|count| count.to_string()));
    }
    table(&headings, [row])
}

fn rows(differences: &[wire::Difference]) -> String {
    let headings = ["TIME", "REQUEST", "ID", "WHAT", "LIVE", "MIRROR"];
    let rows = differences.iter().flat_map(|found| {
        let at = jiff::Timestamp::from_second(found.at as i64).unwrap_or_default();
        found.parts.iter().map(move |part| {
            vec![
                at.to_string(),
                format!("{} {}", found.method, found.path),
                found.request_id.clone(),
                part.part.clone(),
                part.live.clone(),
                part.mirror.clone(),
            ]
        })
    });
    table(&headings, rows)
}

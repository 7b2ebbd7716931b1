//! `history`: a service in, its traffic states out, the newest first.

use clap::Args;

use super::api::{Api, Call, segment};
use super::table::{shortened, table, tagged};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Show a service's traffic states, the newest first.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman history shop\n  pointsman history shop --last 5\n  \
                        pointsman history shop --json | jq '.[0]'"
)]
pub struct History {
    /// The service.
    service: String,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    last: usize,
    #[command(flatten)]
    reach: Reach,
}

impl History {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/services/{}/revisions", segment(&self.service));
        let mut revisions: Vec<wire::Revision> = Api(&self.reach).ask(Call::get(&path)).await?;
        revisions.truncate(self.last);
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&revisions)?,
            false => {
                let headings = [">REVISION", "WHEN", "SPLIT", "BY", "WHY", "OUTCOME"];
                table(&headings, revisions.iter().map(row))
            }
        });
        Ok(Ending::Done)
    }
}

fn row(revision: &wire::Revision) -> Vec<String> {
    vec![
        revision.revision.to_string(),
        super::events::moment(revision.at),
        tagged(&revision.weights, &revision.tags),
        revision.author.clone(),
        shortened(revision.reason.as_deref().unwrap_or_default()),
        revision.outcome.clone().unwrap_or_default(),
    ]
}

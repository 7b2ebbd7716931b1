//! `maintenance`: a service in, its clients told to come back later out.

use clap::Args;

use super::mode::set;
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Answer a service's requests with 503 and a message, until it is ended.
///
/// Clients and paths of `[services.NAME.maintenance]`, the health check's path and testers with
/// the service's override header still pass.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman maintenance shop --message \"back at 14:00 UTC\"\n  \
                        pointsman maintenance shop --end"
)]
pub struct Maintenance {
    /// The service.
    service: String,
    /// What clients are told.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// End it.
    #[arg(long, conflicts_with = "message")]
    end: bool,
    /// Why; kept with the event.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Maintenance {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let put = wire::PutMode {
            mode: if self.end { wire::Mode::Serve } else { wire::Mode::Maintenance },
            message: self.message,
            reason: self.reason,
            author: Some(super::author()),
            from: self.end.then_some(wire::Mode::Maintenance),
            ..wire::PutMode::default()
        };
        let set = set(&self.reach, &self.service, &put).await?;
        print(&match (self.reach.json, self.end) {
            (true, _) => serde_json::to_string_pretty(&set)?,
            (false, true) => format!("{} serves again", self.service),
            (false, false) => format!(
                "{} is in maintenance; end it with `pointsman maintenance {} --end`",
                self.service, self.service
            ),
        });
        Ok(Ending::Done)
    }
}

//! `upgrade`: a running proxy in, another version of it in its place out.

use std::time::Duration;

use clap::Args;

use super::api::{Api, Call};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Longer than a new process may take until it serves.
const PATIENCE: Duration = Duration::from_secs(40);

/// Have the program that is installed by now take over, without a connection lost.
///
/// The running process starts it and goes only once it serves; if it does not, all goes on as before and
/// the exit code is 5 (docs/upgrade.md).
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  install -m 755 pointsman /usr/bin/ && pointsman upgrade")]
pub struct Upgrade {
    #[command(flatten)]
    reach: Reach,
}

impl Upgrade {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let call = Call::config("/v1/upgrade", None).within(PATIENCE);
        let upgraded: wire::Upgraded = Api(&self.reach).ask(call).await?;
        match self.reach.json {
            true => print(&serde_json::to_string_pretty(&upgraded)?),
            false => print(&format!("process {} serves", upgraded.process)),
        }
        Ok(Ending::Done)
    }
}

//! `log-level`: targets and levels in, what the log of a running proxy says from now on out.

use std::collections::BTreeMap;

use clap::Args;
use http::Method;

use super::api::{Api, Call};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Show how much the log of a running proxy says, or change it.
///
/// Levels are off, error, warn, info, debug and trace. A target is a room of Pointsman (wire, store, notify,
/// …), another crate (h2, rustls, …) or a module of one (wire::lane); the closest one holds. A level alone is
/// for all that have none of their own, and `TARGET=default` takes a target's own away. What is changed holds
/// until the process ends; POINTSMAN_LOG says how it begins. Needs the role admin.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman log-level\n  pointsman log-level wire=debug\n  \
                        pointsman log-level warn store=info\n  pointsman log-level --reset")]
pub struct LogLevel {
    /// `TARGET=LEVEL`, or a level alone.
    #[arg(value_name = "TARGET=LEVEL")]
    levels: Vec<String>,
    /// As it was when the process began, before anything else that is said here.
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    reach: Reach,
}

impl LogLevel {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let levels: BTreeMap<String, String> =
            self.levels.iter().map(|level| wish(level)).collect();
        let call = match levels.is_empty() && !self.reset {
            true => Call::get("/v1/logs"),
            false => {
                let body = wire::PutLogLevels { levels, reset: self.reset };
                Call::json(Method::PUT, "/v1/logs", &body)
            }
        };
        let shown: wire::LogLevels = Api(&self.reach).ask(call).await?;
        if self.reach.json {
            print(&serde_json::to_string_pretty(&shown)?);
            return Ok(Ending::Done);
        }
        print(&format!("default={}", shown.default));
        shown.targets.iter().for_each(|(target, level)| print(&format!("{target}={level}")));
        Ok(Ending::Done)
    }
}

fn wish(text: &str) -> (String, String) {
    let (target, level) = text.split_once('=').unwrap_or(("default", text));
    (target.trim().to_string(), level.trim().to_string())
}

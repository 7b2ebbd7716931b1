//! `reload`: a running proxy in, what changed or all that is wrong with its file out.

use clap::Args;

use super::api::{Api, ApiError, Call, segment};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Read the config file again.
///
/// A file with errors changes nothing: the errors are shown and the exit code is 1.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pointsman check pointsman.toml && pointsman reload")]
pub struct Reload {
    /// Why; kept with the event.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Reload {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let mut path = format!("/v1/config/reload?author={}", segment(&super::author()));
        if let Some(reason) = &self.reason {
            path.push_str(&format!("&reason={}", segment(reason)));
        }
        let call = Call::config(&path, None);
        let answer = Api(&self.reach).ask(call).await;
        show(answer, self.reach.json, "reloaded; nothing has changed")
    }
}

/// Shows changes a line each, or a config's problems a line each.
pub(super) fn show(
    answer: Result<wire::Changes, ApiError>,
    json: bool,
    none: &str,
) -> anyhow::Result<Ending> {
    match answer {
        Ok(changes) if json => print(&serde_json::to_string_pretty(&changes)?),
        Ok(wire::Changes { changes, .. }) if changes.is_empty() => print(none),
        Ok(wire::Changes { changes, .. }) => {
            for change in changes {
                let after = if change.needs_restart { " (after a restart)" } else { "" };
                print(&format!("{}: {}{after}", change.subject, change.what));
            }
        }
        Err(ApiError::Refused { problems, detail, status }) if !problems.is_empty() => {
            for problem in &problems {
                let place = match (problem.line, problem.column) {
                    (Some(line), Some(column)) => format!("{line}:{column}: "),
                    _ => String::new(),
                };
                let label = match problem.label.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", problem.label),
                };
                eprintln!("{place}{}: {}{label}", problem.level, problem.message);
            }
            return Err(ApiError::Refused { status, detail, problems }.into());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Ending::Done)
}

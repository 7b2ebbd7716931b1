//! `reload`: a running proxy in, what changed or all that is wrong with its file out.

use std::path::Path;

use clap::Args;

use super::api::{Api, ApiError, Call, segment};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// Read the config file again.
///
/// A file with errors changes nothing: the errors are shown and the exit code is 1.
/// What is not in the file any more goes, also if it is in use. What was ordered of it is kept for a day,
/// and is in force again if it comes back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman check pointsman.toml && pointsman reload\n  \
                        pointsman reload --forget")]
pub struct Reload {
    /// Why; kept with the event.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Keep nothing of what was ordered of what is not in the file any more.
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Reload {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let mut path = format!("/v1/config/reload?author={}", segment(&super::author()));
        if let Some(reason) = &self.reason {
            path.push_str(&format!("&reason={}", segment(reason)));
        }
        if self.forget {
            path.push_str("&forget=true");
        }
        let answer = Api(&self.reach).ask(Call::config(&path, None)).await;
        show(answer, self.reach.json, None, "reloaded; nothing has changed")
    }
}

/// Shows changes a line each, or a config's problems a line each, with the file that was sent.
pub(super) fn show(
    answer: Result<wire::Changes, ApiError>,
    json: bool,
    file: Option<&Path>,
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
            show_problems(&problems, file);
            return Err(ApiError::Refused { status, detail, problems }.into());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Ending::Done)
}

/// A config's problems, a line each, with the file that was sent.
pub(super) fn show_problems(problems: &[wire::ConfigProblem], file: Option<&Path>) {
    for problem in problems {
        let sent = file.map(|file| file.display().to_string());
        let file = problem.file.clone().or(sent);
        let file = file.map_or_else(String::new, |file| format!("{file}:"));
        let place = match (problem.line, problem.column) {
            (Some(line), Some(column)) => format!("{file}{line}:{column}: "),
            _ if file.is_empty() => file,
            _ => format!("{file} "),
        };
        let label = match problem.label.is_empty() {
            true => String::new(),
            false => format!(" ({})", problem.label),
        };
        eprintln!("{place}{}: {}{label}", problem.level, problem.message);
    }
}

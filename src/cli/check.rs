//! `check`: a config file in, everything that is wrong with it out.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Ending, print};
use crate::admin::wire::{Checked, ConfigProblem};
use crate::config::{Config, Level, Problems};
use crate::files::Text;

/// Check a config file and show all that is wrong with it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman check pointsman.toml\n  \
                        pointsman check --json pointsman.toml | jq .problems")]
pub struct Check {
    /// The config file.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let path = self.file.display().to_string();
        let text =
            std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {path}"))?;
        let named = Text { path: path.clone(), text: text.clone() };
        let (valid, problems) = named.check();
        let config = Config::parse(&text).ok().map(|(config, _)| config).filter(|_| valid);
        if self.json {
            let problems = ConfigProblem::all(&problems, &text);
            let checked = Checked { valid: config.is_some(), problems };
            print(&serde_json::to_string_pretty(&checked)?);
        } else {
            if !problems.0.is_empty() {
                eprintln!("{}\n", problems.render(&text, &path, is_coloured()));
            }
            print(&format!("{path}: {}", summary(config.as_ref(), &problems)));
        }
        Ok(if config.is_some() { Ending::Done } else { Ending::No })
    }
}

/// Whether standard error is a terminal that may be coloured.
pub(super) fn is_coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn summary(config: Option<&Config>, problems: &Problems) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let warnings = count(problems.count(Level::Warning), "warning");
    match config {
        None => format!("{}, {warnings}", count(problems.count(Level::Error), "error")),
        Some(config) => format!(
            "valid ({}, {}, {}; {warnings})",
            count(config.listeners.len(), "listener"),
            count(config.routes.len(), "route"),
            count(config.services.len(), "service"),
        ),
    }
}

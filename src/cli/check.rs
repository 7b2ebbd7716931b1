//! `check`: a config file in, everything that is wrong with it out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::input::Input;
use super::{Ending, print};
use crate::acme;
use crate::admin::wire::{Checked, ConfigProblem};
use crate::config::{Config, Level, Problems};
use crate::files::FileError;
use crate::server::clock;

/// Check a config file and show all that is wrong with it.
///
/// What `check` takes, `run` can begin with, but for what only the machine knows: addresses that are in
/// use, and files that only the user of the proxy may read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman check pointsman.toml\n  \
                        make-config | pointsman check -\n  \
                        pointsman check --json pointsman.toml | jq .problems")]
pub struct Check {
    /// The config file; - for standard input [default: pointsman.toml, then
    /// /etc/pointsman/pointsman.toml]
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let (texts, config, problems) = match Input::of(self.file)?.read() {
            Ok(written) => {
                let (config, problems) = written.check(clock::system().unix_seconds() as u64);
                (written.texts, config, problems)
            }
            Err(FileError::Problems(rejected)) => (rejected.texts, None, rejected.problems),
            Err(error) => return Err(error.into()),
        };
        if self.json {
            let problems = ConfigProblem::all(&problems, &texts);
            let checked = Checked { valid: config.is_some(), problems };
            print(&serde_json::to_string_pretty(&checked)?);
        } else {
            if !problems.0.is_empty() {
                eprintln!("{}\n", problems.render_of(&texts, is_coloured()));
            }
            let files = match texts.included.len() {
                0 => String::new(),
                1 => " and 1 file that it includes".into(),
                more => format!(" and {more} files that it includes"),
            };
            let summary = summary(config.as_deref(), &problems);
            print(&format!("{}{files}: {summary}", texts.main.path));
            config.iter().flat_map(|config| orders(config)).for_each(|line| print(&line));
        }
        Ok(if config.is_some() { Ending::Done } else { Ending::No })
    }
}

/// Whether standard error is a terminal that may be coloured.
pub(super) fn is_coloured() -> bool {
    super::terminal::is_coloured(&std::io::stderr())
}

/// What is ordered from whom, unless it is there.
fn orders(config: &Config) -> Vec<String> {
    let mut found: BTreeMap<Arc<str>, Vec<String>> = BTreeMap::new();
    for wanted in acme::wanted(config) {
        let directory = wanted.authority.directory.clone();
        found.entry(directory).or_default().extend(wanted.holder.names());
    }
    let line = |(directory, names): (Arc<str>, Vec<String>)| {
        let names = names.join(", ");
        format!("certificates are ordered from {directory} for {names}, unless they are there")
    };
    found.into_iter().map(line).collect()
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

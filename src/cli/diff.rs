//! `diff`: a config file and a running proxy in, what the one would change in the other out.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::api::{Api, Call};
use super::{Ending, Reach, reload};

/// Show what reading a config file would change.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman diff\n  pointsman diff next.toml")]
pub struct Diff {
    /// The file to compare with what runs [default: the file it was started with]
    file: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

impl Diff {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
        };
        let text = self.file.as_ref().map(read).transpose()?;
        let answer = Api(&self.reach).ask(Call::config("/v1/config/diff", text)).await;
        reload::show(answer, self.reach.json, "no difference")
    }
}

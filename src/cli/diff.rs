//! `diff`: a config file and a running proxy in, what the one would change in the other out.

use std::path::PathBuf;

use clap::Args;

use super::api::{Api, Call};
use super::input::Input;
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
        let text = match &self.file {
            Some(file) => Some(Input::File(file.clone()).text()?.text),
            None => None,
        };
        let answer = Api(&self.reach).ask(Call::config("/v1/config/diff", text)).await;
        reload::show(answer, self.reach.json, self.file.as_deref(), "no difference")
    }
}

//! `completions`: a shell's name in, its completion script out.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Ending};

/// Print completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pointsman completions bash > /etc/bash_completion.d/pointsman")]
pub struct Completions {
    /// Which shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "pointsman", &mut script);
        super::print(String::from_utf8_lossy(&script).trim_end());
        Ok(Ending::Done)
    }
}

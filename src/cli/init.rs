//! `init`: nothing in, a small commented config file out, or one with every key.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;

use super::{Ending, print};
use crate::config::reference;
use crate::files::write_over;

/// Twelve lines: enough to run, short enough to read.
pub const STARTER: &str = include_str!("../../conf/pointsman.toml");

/// Write a small commented config file.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pointsman init && pointsman check pointsman.toml\n  \
                        pointsman init --all reference.toml")]
pub struct Init {
    /// Where to write it.
    #[arg(default_value = "pointsman.toml")]
    file: PathBuf,
    /// Overwrite a file that is there.
    #[arg(long)]
    force: bool,
    /// Every key there is, with its default and what it means.
    #[arg(long)]
    all: bool,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<Ending> {
        let path = self.file.display();
        let text = if self.all { reference() } else { STARTER.to_string() };
        let write_new =
            || -> io::Result<()> { File::create_new(&self.file)?.write_all(text.as_bytes()) };
        let written = match self.force {
            true => write_over(&self.file, text.as_bytes()),
            false => write_new(),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !self.force => {
                bail!("{path} is there already; --force overwrites it")
            }
            written => written.with_context(|| format!("cannot write {path}"))?,
        }
        print(&match self.all {
            true => format!("wrote {path}: every key; a file of your own needs few of them"),
            false => {
                format!("wrote {path}; next: put your upstreams in, then `pointsman run {path}`")
            }
        });
        Ok(Ending::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_valid_and_twelve_lines_long() {
        let (_, warnings) = crate::config::Config::parse(STARTER).unwrap();
        assert!(warnings.0.is_empty(), "{warnings:?}");
        assert_eq!(STARTER.lines().filter(|line| !line.is_empty()).count(), 12);
    }
}

//! A config that a verb is given: a path, `-` or nothing in, its text out.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::environment;
use crate::files::{FileError, LARGEST, Source, Written, text_of};

/// Looked for in this order if no file is named.
const USUAL: [&str; 2] = ["pointsman.toml", "/etc/pointsman/pointsman.toml"];

/// What standard input is called in messages.
const STANDARD_INPUT: &str = "(standard input)";

/// Where a config's text comes from.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input. Files that it names or includes are looked for in the current folder.
    Standard,
}

impl Input {
    /// What was named on the command line, or the file that `run` takes if none is.
    pub fn of(named: Option<PathBuf>) -> anyhow::Result<Input> {
        match named {
            Some(path) if path.as_os_str() == "-" => Ok(Input::Standard),
            Some(path) => Ok(Input::File(path)),
            None => usual().map(Input::File),
        }
    }

    /// Its text, with what it includes. One that is no text is shown as `check` does.
    pub fn written(&self) -> anyhow::Result<Written> {
        match self.read() {
            Ok(text) => Ok(text),
            Err(FileError::Problems(rejected)) => {
                eprintln!("{}\n", rejected.render(super::check::is_coloured()));
                bail!("{} cannot be used", rejected.path())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Its text, with what it includes.
    pub fn read(&self) -> Result<Written, FileError> {
        match self {
            Input::File(path) => Source::file(path, environment()).read(),
            Input::Standard => {
                let path = STANDARD_INPUT.to_string();
                let mut bytes = Vec::new();
                let read = std::io::stdin().take(LARGEST).read_to_end(&mut bytes);
                match read {
                    Ok(_) => Written::with_included(text_of(path, bytes)?, environment()),
                    Err(error) => Err(FileError::Read { path, error }),
                }
            }
        }
    }
}

/// The first of the usual files that is there.
pub(super) fn usual() -> anyhow::Result<PathBuf> {
    let found = USUAL.iter().map(PathBuf::from).find(|path| path.exists());
    found.with_context(|| {
        format!(
            "no config file: neither {} exists; `pointsman init` writes one",
            USUAL.join(" nor ")
        )
    })
}

//! Where the config comes from: a path in, its text out, byte for byte as it was when read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::loading::{Reader, Who, read_config};
use super::prints::Prints;
use super::{FileError, Rejected};
use crate::config::{AdminPlace, Config, Problem, Problems};

/// The largest config, in bytes: a hundred times one of 3,000 services.
pub const LARGEST: u64 = 64 * 1024 * 1024;

/// Where the config comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file that can change.
    File(PathBuf),
    /// A text made by the process itself.
    Fixed(String),
}

/// A config's text and what to call it in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The file's path, or a name for a text without one.
    pub path: String,
    /// The text.
    pub text: String,
}

impl Text {
    /// The text that these bytes are.
    pub fn of(path: String, bytes: Vec<u8>) -> Result<Text, FileError> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Text { path, text }),
            Err(error) => Err(FileError::not_text(path, error.as_bytes())),
        }
    }

    /// The config it spells, with the files that it names, and with what is odd about it.
    /// How old certificates are is left to who serves by it.
    pub fn parse(&self) -> Result<(Arc<Config>, Problems), FileError> {
        let reader = Reader { who: Who::Process(None), now: None };
        read_config(self, &AdminPlace::File, &reader, &mut Prints::default())
    }

    pub(super) fn rejected(&self, problems: Problems) -> FileError {
        let (path, text) = (self.path.clone(), self.text.clone());
        FileError::Problems(Box::new(Rejected { path, text, problems }))
    }

    /// Logs what is odd about it, each with its place and what to write instead.
    pub fn log(&self, odd: &Problems) {
        let shown = odd.shown();
        for (at, line) in odd.lines(&self.text, &self.path).iter().enumerate() {
            let help = shown.get(at).and_then(|problem| problem.help.as_deref());
            tracing::warn!("{line}{}", help.map(|help| format!("; {help}")).unwrap_or_default());
        }
    }

    /// The config that could be put in force, if it is one, with all that is wrong or odd about it. Who
    /// asks need not be allowed to read tokens and keys. Certificates are as old as they are now, in
    /// seconds since the epoch.
    pub fn check(&self, now: u64) -> (Option<Arc<Config>>, Problems) {
        let reader = Reader { who: Who::Checker, now: Some(now) };
        match read_config(self, &AdminPlace::File, &reader, &mut Prints::default()) {
            Ok((config, warnings)) => (Some(config), warnings),
            Err(FileError::Problems(rejected)) => (None, rejected.problems),
            Err(error) => (None, Problems(vec![Problem::general(error.to_string())])),
        }
    }

    /// Where the files that it names are looked for.
    pub(super) fn folder(&self) -> &Path {
        Path::new(&self.path).parent().unwrap_or(Path::new("."))
    }
}

impl Source {
    /// The text now.
    pub fn read(&self) -> Result<Text, FileError> {
        self.read_noting(&mut Prints::default())
    }

    /// The text now; what was read is noted.
    pub(super) fn read_noting(&self, prints: &mut Prints) -> Result<Text, FileError> {
        let path = self.name();
        match self {
            Source::Fixed(text) => Ok(Text { path, text: text.clone() }),
            Source::File(file) => match prints.read(file, LARGEST) {
                Ok(bytes) => Text::of(path, bytes),
                Err(error) => Err(FileError::Read { path, error }),
            },
        }
    }

    /// What to call it in messages.
    pub(super) fn name(&self) -> String {
        self.path().map_or_else(|| "(built in)".into(), |path| path.display().to_string())
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::Fixed(_) => None,
        }
    }
}

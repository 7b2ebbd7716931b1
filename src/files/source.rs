//! Where the config comes from: a path in, its text and those of what it includes out, byte for byte as
//! they were when read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::including::read_included;
use super::loading::{Reader, Who, read_config};
use super::prints::Prints;
use super::{FileError, Rejected};
use crate::config::{AdminPlace, Config, Environment, Expansion, Problem, Problems, Text, Texts};

/// The largest config, in bytes: a hundred times one of 3,000 services.
pub const LARGEST: u64 = 64 * 1024 * 1024;

/// Where the config comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file that can change.
    File {
        /// Where it is.
        path: PathBuf,
        /// What its texts are filled in from.
        environment: Environment,
    },
    /// A text made by the process itself.
    Fixed(String),
}

/// A config as it is written, and what becomes of `${…}` in it.
#[derive(Clone, Debug)]
pub struct Written {
    /// The file and what it includes.
    pub texts: Texts,
    /// Whether texts are filled in, and from what.
    pub expansion: Expansion,
    /// What is odd about what it includes.
    pub(super) odd: Problems,
}

/// The text that these bytes are.
pub fn text_of(path: String, bytes: Vec<u8>) -> Result<Text, FileError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Text { path, text }),
        Err(error) => Err(FileError::not_text(path, error.as_bytes())),
    }
}

impl Written {
    /// A text of the person who runs this, with what it includes.
    pub fn with_included(main: Text, environment: Environment) -> Result<Written, FileError> {
        let (texts, odd) = read_included(main, &mut Prints::default())?;
        Ok(Written { texts, expansion: Expansion::Of(environment), odd })
    }

    /// Texts of which nobody knows what was looked for.
    pub(super) fn of(texts: Texts, expansion: Expansion) -> Written {
        Written { texts, expansion, odd: Problems::default() }
    }

    /// A text that takes nothing from outside.
    #[cfg(test)]
    pub(super) fn plain(path: &Path, text: impl Into<String>) -> Written {
        Written::of(Texts::of(path.display().to_string(), text), Expansion::None)
    }

    /// The config it spells, with the files that it names, and with what is odd about it.
    /// How old certificates are is left to who serves by it.
    pub fn parse(&self) -> Result<(Arc<Config>, Problems), FileError> {
        let reader = Reader { who: Who::Process(None), now: None };
        read_config(self, &AdminPlace::File, &reader, &mut Prints::default())
    }

    pub(super) fn rejected(&self, problems: Problems) -> FileError {
        FileError::Problems(Box::new(Rejected { texts: self.texts.clone(), problems }))
    }

    /// Logs what is odd about it, each with its place and what to write instead.
    pub fn log(&self, odd: &Problems) {
        let shown = odd.shown();
        for (at, line) in odd.lines_of(&self.texts).iter().enumerate() {
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
        folder(&self.texts.main)
    }
}

/// The folder that a text is in.
pub(super) fn folder(text: &Text) -> &Path {
    Path::new(&text.path).parent().unwrap_or(Path::new("."))
}

impl Source {
    /// A file, filled in from this.
    pub fn file(path: impl Into<PathBuf>, environment: Environment) -> Source {
        Source::File { path: path.into(), environment }
    }

    /// The text now, with what it includes.
    pub fn read(&self) -> Result<Written, FileError> {
        self.read_noting(&mut Prints::default())
    }

    /// The text now, with what it includes; what was read is noted.
    pub(super) fn read_noting(&self, prints: &mut Prints) -> Result<Written, FileError> {
        let name = self.name();
        match self {
            Source::Fixed(text) => Ok(Written::of(Texts::of(name, text.as_str()), Expansion::None)),
            Source::File { path, environment } => match prints.read(path, LARGEST) {
                Ok(bytes) => {
                    let (texts, odd) = read_included(text_of(name, bytes)?, prints)?;
                    Ok(Written { texts, expansion: Expansion::Of(environment.clone()), odd })
                }
                Err(error) => Err(FileError::Read { path: name, error }),
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
            Source::File { path, .. } => Some(path),
            Source::Fixed(_) => None,
        }
    }
}

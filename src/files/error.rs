//! Why a file is no config: what the system said, or every problem in it.

use crate::config::Problems;

/// Why a file is no config.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is not a config.
    #[error("{}", .0.summary())]
    Problems(Box<Rejected>),
}

/// A text that is not a config, with all that is wrong with it.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The file it was read from.
    pub path: String,
    /// What was read.
    pub text: String,
    /// What is wrong.
    pub problems: Problems,
}

impl Rejected {
    /// As people read it, with lines and carets.
    pub fn render(&self, colour: bool) -> String {
        self.problems.render(&self.text, &self.path, colour)
    }

    /// In one line.
    fn summary(&self) -> String {
        let errors = self.problems.count(crate::config::Level::Error);
        let plural = if errors == 1 { "" } else { "s" };
        format!("{} has {errors} error{plural}", self.path)
    }
}

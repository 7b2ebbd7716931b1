//! Why a file is no config: what the system said, or every problem in it.

use super::beside::Hangs;
use crate::config::{Level, Problem, Problems, Texts};

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
    /// It, or a file that it names, does not come.
    #[error("cannot read {path} and what it names: {hangs}")]
    Hangs {
        /// The file.
        path: String,
        /// For how long.
        hangs: Hangs,
    },
    /// It is not a config.
    #[error("{}", .0.summary())]
    Problems(Box<Rejected>),
}

/// A text that is not a config, with all that is wrong with it.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// What was read.
    pub texts: Texts,
    /// What is wrong.
    pub problems: Problems,
}

impl FileError {
    /// For who cannot be shown all that is wrong.
    pub fn in_one_line(&self) -> String {
        let first = match self {
            FileError::Problems(rejected) => rejected.first(),
            _ => None,
        };
        first.map_or_else(|| self.to_string(), |first| format!("{self}: {first}"))
    }

    /// A file that holds no UTF-8: what can be read of it, with the place of the first byte that
    /// cannot.
    pub(super) fn not_text(path: String, bytes: &[u8]) -> FileError {
        let is_wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let (text, problem) = match is_wide {
            true => {
                let problem = Problem::general("this is UTF-16, and a config is UTF-8");
                (String::new(), problem)
            }
            false => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let at = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
                let sign = std::char::REPLACEMENT_CHARACTER.len_utf8();
                let byte = bytes.get(at).copied().unwrap_or_default();
                let problem = Problem::error(at..at + sign, "not UTF-8");
                (text, problem.label(format!("the byte {byte:#04x} is no text")))
            }
        };
        let problem = problem.help("save the file as UTF-8");
        let (texts, problems) = (Texts::of(path, text), Problems(vec![problem]));
        FileError::Problems(Box::new(Rejected { texts, problems }))
    }
}

impl Rejected {
    /// What the file is called.
    pub fn path(&self) -> &str {
        &self.texts.main.path
    }

    /// As people read it, with lines and carets.
    pub fn render(&self, colour: bool) -> String {
        self.problems.render_of(&self.texts, colour)
    }

    /// The first thing that is wrong, in one line, and what shows the rest.
    fn first(&self) -> Option<String> {
        let is_error = |problem: &&Problem| problem.level == Level::Error;
        let first = self.problems.0.iter().find(is_error)?.clone();
        let line = Problems(vec![first]).lines_of(&self.texts).into_iter().next()?;
        Some(format!("{line}; `pointsman check {}` shows all", self.path()))
    }

    /// In one line.
    fn summary(&self) -> String {
        let errors = self.problems.count(Level::Error);
        let plural = if errors == 1 { "" } else { "s" };
        format!("{} has {errors} error{plural}", self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_line_the_first_error_is_told_and_what_shows_the_rest() {
        let text = "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a\"]\n";
        let problems = crate::config::Config::parse(text).unwrap_err();
        let texts = Texts::of("p.toml", text);
        let error = FileError::Problems(Box::new(Rejected { texts, problems }));
        let line = error.in_one_line();
        assert!(line.starts_with("p.toml has 1 error: p.toml:4:14: "), "{line}");
        assert!(line.ends_with("; `pointsman check p.toml` shows all"), "{line}");
    }
}

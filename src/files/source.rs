//! Where the config comes from: a path in, its text out, byte for byte as it was when read, and the
//! files that it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::named::{For, each_named};
use super::read::{read, read_text};
use super::{FileError, Rejected};
use crate::config::{Config, Problem, Problems};

/// The largest config, in bytes: a hundred times one of 3,000 services.
pub(super) const LARGEST: u64 = 64 * 1024 * 1024;

/// The largest file of a static answer, in bytes.
pub(super) const LARGEST_ANSWER: u64 = 1024 * 1024;

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
    /// The config it spells, with what is odd about it.
    pub fn parse(&self) -> Result<(Arc<Config>, Problems), FileError> {
        match Config::parse(&self.text) {
            Ok((mut config, warnings)) => {
                self.place(&mut config);
                read_answers(&mut config)?;
                Ok((Arc::new(config), warnings))
            }
            Err(problems) => {
                let (path, text) = (self.path.clone(), self.text.clone());
                Err(FileError::Problems(Box::new(Rejected { path, text, problems })))
            }
        }
    }
}

impl Text {
    /// Logs what is odd about it, each with its place and what to write instead.
    pub fn log(&self, odd: &Problems) {
        for (line, problem) in odd.lines(&self.text, &self.path).iter().zip(&odd.0) {
            let help = problem.help.as_deref().map(|help| format!("; {help}"));
            tracing::warn!("{line}{}", help.unwrap_or_default());
        }
    }

    /// Whether it is a config that could be put in force, with all that is wrong or odd about it.
    pub fn check(&self) -> (bool, Problems) {
        match self.parse() {
            Ok((_, warnings)) => (true, warnings),
            Err(FileError::Problems(rejected)) => (false, rejected.problems),
            // Files that it names have no place in it that is known here.
            Err(error) => (false, Problems(vec![Problem::general(error.to_string())])),
        }
    }

    /// The files of static answers that it names; none if it is no config.
    pub(super) fn answers(&self) -> Vec<PathBuf> {
        let mut answers = Vec::new();
        if let Ok((mut config, _)) = Config::parse(&self.text) {
            self.place(&mut config);
            each_named(&mut config, |purpose, file| {
                if purpose == For::Answer {
                    answers.push(file.clone());
                }
            });
        }
        answers
    }

    /// Files are named as seen from the config's folder.
    fn place(&self, config: &mut Config) {
        each_named(config, |purpose, file| {
            let placed = self.folder().join(&*file);
            *file = match purpose {
                // Whole paths: a rollout keeps its hooks over a restart, perhaps from elsewhere.
                For::State | For::Secret => std::path::absolute(&placed).unwrap_or(placed),
                For::Answer => placed,
            };
        });
    }

    /// Where the files that it names are looked for.
    fn folder(&self) -> &Path {
        Path::new(&self.path).parent().unwrap_or(Path::new("."))
    }
}

/// Reads the files of static answers, which are part of a config.
fn read_answers(config: &mut Config) -> Result<(), FileError> {
    let read = |path: &Path| {
        let failed = |error| FileError::Read { path: path.display().to_string(), error };
        read(path, LARGEST_ANSWER).map(Bytes::from).map_err(failed)
    };
    for service in &mut config.services {
        let Some(answer) = &service.stability.fallback.answer else { continue };
        let answer = answer.resolve(read)?;
        Arc::make_mut(&mut service.stability).fallback.answer = Some(answer);
    }
    Ok(())
}

impl Source {
    /// The text now.
    pub fn read(&self) -> Result<Text, FileError> {
        match self {
            Source::Fixed(text) => Ok(Text { path: "(built in)".into(), text: text.clone() }),
            Source::File(path) => match read_text(path, LARGEST) {
                Ok(text) => Ok(Text { path: path.display().to_string(), text }),
                Err(error) => Err(FileError::Read { path: path.display().to_string(), error }),
            },
        }
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::Fixed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_secrets_are_beside_the_config_and_need_not_be_there() {
        let target = |name, file| {
            format!(
                "[[notify]]\nname = \"{name}\"\nurl = \"http://a/\"\nsecret_file = \"{file}\"\n"
            )
        };
        let rest =
            "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
        let text = [target("x", "keys/x"), target("y", "/run/y"), rest.into()].concat();
        let text = Text { path: "/nowhere/pointsman.toml".into(), text };
        let config = text.parse().unwrap().0;
        let files = config.notify.iter().map(|target| target.secret_file.as_deref());
        let expected = [Path::new("/nowhere/keys/x"), Path::new("/run/y")].map(Some);
        assert_eq!(files.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_state_folder_is_beside_the_config_as_a_whole_path() {
        let placed = |path: &str, folder: &str| {
            let text = format!(
                "[server]\nstate_dir = \"{folder}\"\n[[listeners]]\naddress = \":80\"\n\
                 [services.a.pools.b]\nupstreams = [\"a:1\"]\n"
            );
            let text = Text { path: path.into(), text };
            text.parse().unwrap().0.server.state_dir.clone().unwrap()
        };
        assert_eq!(placed("/nowhere/pointsman.toml", "state"), Path::new("/nowhere/state"));
        let usual = "/var/lib/pointsman";
        assert_eq!(placed("/nowhere/pointsman.toml", usual), Path::new(usual));
        let here = std::env::current_dir().unwrap();
        assert_eq!(placed("conf/pointsman.toml", "state"), here.join("conf/state"));
        assert_eq!(placed("pointsman.toml", "state"), here.join("state"));
    }

    #[test]
    fn the_secrets_of_every_hook_are_beside_the_config_too() {
        let points = [
            "before_start",
            "expand",
            "before_step",
            "before_promote",
            "after_promote",
            "after_rollback",
            "contract",
            "deploy",
        ];
        let hook = |point| format!("{point} = {{ url = \"http://a/\", secret_file = \"k\" }}\n");
        let hooks: String = points.map(hook).concat();
        let text = format!(
            "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n\
             [services.a.rollout.hooks]\n{hooks}"
        );
        let text = Text { path: "/nowhere/pointsman.toml".into(), text };
        let config = text.parse().unwrap().0;
        let mut hooks = config.services[0].rollout.hooks.clone();
        let files: Vec<_> = hooks.secret_files_mut().map(|file| file.clone()).collect();
        assert_eq!(files, [Path::new("/nowhere/k"); 8]);
    }
}

//! Where the config comes from: a path in, its text out, byte for byte as it was when read, and the
//! files that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::key::{KeyError, read_key};
use super::named::{For, each_named};
use super::read::{read, read_text};
use super::{FileError, Rejected};
use crate::config::{Config, Problem, Problems, SigningKeys, Tokens, place_of_file};

/// The largest config, in bytes: a hundred times one of 3,000 services.
pub(super) const LARGEST: u64 = 64 * 1024 * 1024;

/// The largest file that a config names, in bytes.
pub(super) const LARGEST_NAMED: u64 = 1024 * 1024;

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

/// Who reads the files that a config names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Who serves by it, and needs all of them.
    Process,
    /// Who checks it, and need not be allowed to read tokens and keys.
    Checker,
}

impl Reader {
    /// What it is told of a file that cannot be read.
    fn told_unreadable(self, problem: Problem) -> Problem {
        match self {
            Reader::Process => problem,
            Reader::Checker => problem.warning(),
        }
    }
}

/// A file that a config names.
#[derive(Debug)]
struct Named {
    purpose: For,
    /// As the config names it.
    written: PathBuf,
    /// Where it is.
    placed: PathBuf,
}

impl Text {
    /// The config it spells, with the files that it names, and with what is odd about it.
    pub fn parse(&self) -> Result<(Arc<Config>, Problems), FileError> {
        self.read_by(Reader::Process)
    }

    fn read_by(&self, reader: Reader) -> Result<(Arc<Config>, Problems), FileError> {
        let (mut config, mut problems) =
            Config::parse(&self.text).map_err(|problems| self.rejected(problems))?;
        let named = self.place(&mut config);
        self.read_tokens(&mut config, &named, reader, &mut problems);
        self.read_answers(&mut config, &named, &mut problems);
        config.keys = self.read_keys(&named, reader, &mut problems);
        match problems.any_error() {
            true => Err(self.rejected(problems)),
            false => Ok((Arc::new(config), problems)),
        }
    }

    fn rejected(&self, problems: Problems) -> FileError {
        let (path, text) = (self.path.clone(), self.text.clone());
        FileError::Problems(Box::new(Rejected { path, text, problems }))
    }

    /// A problem with a file, where the config names it.
    fn problem(&self, named: &Named, message: String) -> Problem {
        match place_of_file(&self.text, &named.written.to_string_lossy()) {
            Some(span) => Problem::error(span, message),
            None => Problem::general(message),
        }
    }

    fn read_tokens(
        &self,
        config: &mut Config,
        named: &[Named],
        reader: Reader,
        problems: &mut Problems,
    ) {
        for file in named.iter().filter(|named| named.purpose == For::Tokens) {
            let path = file.placed.display();
            let text = match read_text(&file.placed, LARGEST_NAMED) {
                Ok(text) => text,
                Err(error) => {
                    let why = format!("cannot read the admin token file {path}: {error}");
                    problems.0.push(reader.told_unreadable(self.problem(file, why)));
                    continue;
                }
            };
            match Tokens::of(&text) {
                Ok(tokens) => config.admin.tokens = Some(tokens),
                Err(error) => {
                    let why = format!("the admin token file {path}: {error}");
                    problems.0.push(self.problem(file, why));
                }
            }
            if is_for_all(&file.placed) {
                let why = format!("everybody on this machine can read the admin token file {path}");
                let problem = self.problem(file, why).warning();
                problems.0.push(problem.help(format!("`chmod o= {path}`")));
            }
        }
    }

    /// Reads the files of static answers, which are part of a config.
    fn read_answers(&self, config: &mut Config, named: &[Named], problems: &mut Problems) {
        for service in &mut config.services {
            let Some(answer) = &service.stability.fallback.answer else { continue };
            let mut failed = None;
            let read = |path: &Path| {
                let of = |error| failed = Some((path.to_path_buf(), error));
                read(path, LARGEST_NAMED).map(Bytes::from).map_err(of)
            };
            if let Ok(answer) = answer.resolve(read) {
                Arc::make_mut(&mut service.stability).fallback.answer = Some(answer);
            }
            let Some((path, error)) = failed else { continue };
            let is_it = |named: &&Named| named.purpose == For::Answer && named.placed == path;
            let why = format!("cannot read {}: {error}", path.display());
            let file = named.iter().find(is_it);
            problems.0.push(file.map_or_else(
                || Problem::general(why.clone()),
                |file| self.problem(file, why.clone()),
            ));
        }
    }

    /// Reads the keys that calls are signed with. A file that is named several times is read, and told
    /// of, once.
    fn read_keys(&self, named: &[Named], reader: Reader, problems: &mut Problems) -> SigningKeys {
        let files = named.iter().filter(|named| named.purpose == For::Secret);
        let files: BTreeMap<&Path, &Named> = files.map(|file| (&*file.placed, file)).collect();
        let read = |(path, file): (&Path, &Named)| match read_key(path) {
            Ok(key) => Some((path.to_path_buf(), key)),
            Err(error) => {
                let problem = self.problem(file, error.to_string());
                problems.0.push(match error {
                    KeyError::Read { .. } => reader.told_unreadable(problem),
                    KeyError::Content { .. } => problem,
                });
                None
            }
        };
        files.into_iter().filter_map(read).collect()
    }

    /// Logs what is odd about it, each with its place and what to write instead.
    pub fn log(&self, odd: &Problems) {
        for (line, problem) in odd.lines(&self.text, &self.path).iter().zip(&odd.0) {
            let help = problem.help.as_deref().map(|help| format!("; {help}"));
            tracing::warn!("{line}{}", help.unwrap_or_default());
        }
    }

    /// Whether it is a config that could be put in force, with all that is wrong or odd about it.
    pub fn check(&self) -> (bool, Problems) {
        match self.read_by(Reader::Checker) {
            Ok((_, warnings)) => (true, warnings),
            Err(FileError::Problems(rejected)) => (false, rejected.problems),
            Err(error) => (false, Problems(vec![Problem::general(error.to_string())])),
        }
    }

    /// The files that it names whose content is a part of it; none if it is no config.
    pub(super) fn contents(&self) -> Vec<PathBuf> {
        let Ok((mut config, _)) = Config::parse(&self.text) else { return Vec::new() };
        let named = self.place(&mut config).into_iter();
        let is_part = |named: &Named| named.purpose != For::State;
        named.filter(is_part).map(|named| named.placed).collect()
    }

    /// Files are named as seen from the config's folder.
    fn place(&self, config: &mut Config) -> Vec<Named> {
        let mut all = Vec::new();
        each_named(config, |purpose, file| {
            let placed = self.folder().join(&*file);
            let placed = match purpose {
                // Whole paths: a rollout keeps its hooks over a restart, perhaps from elsewhere.
                For::State | For::Secret => std::path::absolute(&placed).unwrap_or(placed),
                For::Answer | For::Tokens => placed,
            };
            let written = std::mem::replace(file, placed.clone());
            all.push(Named { purpose, written, placed });
        });
        all
    }

    /// Where the files that it names are looked for.
    fn folder(&self) -> &Path {
        Path::new(&self.path).parent().unwrap_or(Path::new("."))
    }
}

/// Whether anybody on this machine can read a file.
fn is_for_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS_READ != 0)
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
    use crate::config::{Level, Live, diff};

    #[test]
    fn keys_are_read_beside_the_config_and_shown_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("keys")).unwrap();
        std::fs::write(at("keys/x"), "s3cret-x\n").unwrap();
        std::fs::write(at("y"), "s3cret-y").unwrap();
        let target = |name, file: &str| {
            format!(
                "[[notify]]\nname = \"{name}\"\nurl = \"http://a/\"\nsecret_file = \"{file}\"\n"
            )
        };
        let rest =
            "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";
        let whole = at("y").display().to_string();
        let text = [target("x", "keys/x"), target("y", &whole), rest.into()].concat();
        let text = Text { path: at("pointsman.toml").display().to_string(), text };
        let config = text.parse().unwrap().0;
        let files = config.notify.iter().map(|target| target.secret_file.clone().unwrap());
        let keys: Vec<_> = files.map(|file| config.keys.of(&file).unwrap().bytes()).collect();
        assert_eq!(keys, [b"s3cret-x", b"s3cret-y"]);
        let shown = format!("{config:?}");
        assert!(shown.contains("keys/x") && !shown.contains("s3cret"), "{shown}");
        std::fs::write(at("y"), "another").unwrap();
        let other = text.parse().unwrap().0;
        assert_ne!(config, other, "another key is another config");
        assert_eq!(diff(&config, &other, &Live::default()), [], "of which nothing is told");
    }

    #[test]
    fn a_file_that_is_missing_is_told_where_it_is_named() {
        let text = "[[listeners]]\naddress = \":80\"\n[admin]\ntoken_file = \"admin.token\"\n\
            [services.a]\nfallback.answer.file = \"sorry.html\"\n[services.a.pools.b]\n\
            upstreams = [\"a:1\"]\n[[notify]]\nurl = \"http://a/\"\nsecret_file = \"alerts.key\"\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml").display().to_string();
        let text = Text { path, text: text.into() };
        let told = |text: &Text| -> Vec<(Level, Option<(usize, usize)>)> {
            let problems = text.check().1.0;
            problems.iter().map(|problem| (problem.level, problem.position(&text.text))).collect()
        };
        let token = |level| (level, Some((4, 14)));
        let secret = |level| (level, Some((11, 15)));
        let answer = (Level::Error, Some((6, 24)));
        assert_eq!(told(&text), [token(Level::Warning), answer, secret(Level::Warning)]);
        let with_mode = |name, mode| {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder.path().join(name), mode).unwrap();
        };
        let write = |name, what| {
            std::fs::write(folder.path().join(name), what).unwrap();
            with_mode(name, 0o640);
        };
        write("sorry.html", "sorry");
        assert_eq!(told(&text), [token(Level::Warning), secret(Level::Warning)]);
        assert!(text.check().0, "who checks need not be allowed to read tokens and keys");
        let refused = || match text.parse() {
            Err(FileError::Problems(rejected)) => rejected.problems.0.len(),
            other => panic!("who serves needs them: {other:?}"),
        };
        assert_eq!(refused(), 2);
        write("alerts.key", " \n");
        assert_eq!(told(&text), [token(Level::Warning), secret(Level::Error)]);
        write("alerts.key", "key");
        assert_eq!(refused(), 1);
        write("admin.token", "ci: short");
        assert_eq!(told(&text), [token(Level::Error)]);
        write("admin.token", "ci: 0123456789abcdef");
        assert!(text.parse().unwrap().0.admin.tokens.is_some());
        with_mode("admin.token", 0o644);
        assert_eq!(told(&text), [token(Level::Warning)], "everybody can read it");
        with_mode("admin.token", 0o640);
        assert_eq!(told(&text), []);
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
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("pointsman.toml"), folder.path().join("k"));
        let text = Text { path: path.display().to_string(), text };
        assert_eq!(text.check().1.0.len(), 1, "a file is told of once");
        std::fs::write(&key, "s3cret").unwrap();
        let config = text.parse().unwrap().0;
        assert_eq!(config.keys.of(&key).unwrap().bytes(), b"s3cret");
        let mut hooks = config.services[0].rollout.hooks.clone();
        let files: Vec<_> = hooks.secret_files_mut().map(|file| file.clone()).collect();
        assert_eq!(files, [&*key; 8]);
    }
}

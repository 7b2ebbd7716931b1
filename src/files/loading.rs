//! The files that a config names, read with it: a text in, the whole config or every problem with its
//! place out.
//!
//! Three read: the process that serves by it, somebody who checks it and may not be allowed to read
//! tokens and keys, and a stranger who sends a text over the API. A stranger's text may name only what
//! lies beside the config, and files that the config in force names; of anything else it does not even
//! learn whether it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::FileError;
use super::key::{KeyError, key_of};
use super::named::{For, each_named};
use super::prints::Prints;
use super::source::Written;
use crate::auth::{UserFiles, Users};
use crate::certificate::Certificates;
use crate::config::{
    AdminPlace, Config, FilePlaces, Parsed, Problem, Problems, SigningKeys, Taken, Tokens,
};

mod pairs;

/// The largest file that a config names, in bytes.
const LARGEST_NAMED: u64 = 1024 * 1024;

/// The longest file of a key, in bytes: a longer one is another file.
pub(super) const LARGEST_KEY: u64 = 4 * 1024;

/// Who reads the files that a config names, and when, in seconds since the epoch.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub who: Who,
    /// None if the age of certificates is nobody's business.
    pub now: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Who {
    /// Who serves by it, and needs all of them; with the certificates that it has, if it serves
    /// already.
    Process(Option<Certificates>),
    /// Who checks it, and need not be allowed to read tokens and keys.
    Checker,
    /// Who sends it, and may name these beside what lies beside the config.
    Stranger(BTreeSet<PathBuf>),
}

impl Reader {
    /// Whether a file may be looked at.
    fn may_name(&self, named: &Named) -> bool {
        let lies_beside = || {
            let mut parts = named.written.components();
            parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        };
        match &self.who {
            Who::Process(_) | Who::Checker => true,
            Who::Stranger(known) => known.contains(&named.placed) || lies_beside(),
        }
    }

    /// What it is told of a certificate that is not good now. One that is in force anyway, or with which
    /// a process begins, does more good than none.
    fn told_age(&self, problem: Problem, is_same: impl Fn(&Certificates) -> bool) -> Problem {
        match &self.who {
            Who::Process(None) => problem.warning(),
            Who::Process(Some(known)) if is_same(known) => problem.warning(),
            _ => problem,
        }
    }

    /// What it is told of a file of tokens or of a key that cannot be read.
    fn told_unreadable(&self, problem: Problem, error: &io::Error) -> Problem {
        match (&self.who, error.kind()) {
            (Who::Checker, io::ErrorKind::PermissionDenied) => problem.warning(),
            _ => problem,
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

/// The files that a config names.
struct Loading<'a> {
    reader: &'a Reader,
    named: Vec<Named>,
    places: FilePlaces,
    taken: Taken,
    problems: Problems,
    prints: &'a mut Prints,
}

/// The config that a text spells, with the files that it names; what was read is noted.
pub(super) fn read_config(
    written: &Written,
    admin: &AdminPlace,
    reader: &Reader,
    prints: &mut Prints,
) -> Result<(Arc<Config>, Problems), FileError> {
    let mut secret = |path: &str| read_secret(&written.folder().join(path), path, prints);
    let parsed = Config::parse_texts(&written.texts, admin, &written.expansion, &mut secret);
    let Parsed { mut config, odd: mut problems, files: places } =
        parsed.map_err(|problems| written.rejected(problems))?;
    problems.0.extend(written.odd.0.iter().cloned());
    let named = place(written, &mut config);
    let taken = config.taken.clone();
    let mut loading = Loading { reader, named, places, taken, problems, prints };
    match loading.check_names() {
        false => return Err(written.rejected(loading.problems)),
        true => {
            loading.read_tokens(&mut config);
            loading.read_answers(&mut config);
            config.keys = loading.read_keys();
            config.certificates = loading.read_certificates(&config);
            config.users = loading.read_users();
        }
    }
    match loading.problems.any_error() {
        true => Err(written.rejected(loading.problems)),
        false => Ok((Arc::new(config), loading.problems)),
    }
}

/// Where the files are that a config in force names: all have been placed.
pub(super) fn files_of(config: &Config) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    each_named(&mut config.clone(), |_, file| {
        files.insert(file.clone());
    });
    files
}

/// Files are named as seen from the config's folder.
fn place(written: &Written, config: &mut Config) -> Vec<Named> {
    let mut all = Vec::new();
    each_named(config, |purpose, file| {
        let placed = written.folder().join(&*file);
        let placed = match purpose {
            // Whole paths: a rollout keeps its hooks over a restart, perhaps from elsewhere.
            For::State | For::Secret => std::path::absolute(&placed).unwrap_or(placed),
            For::Answer | For::Tokens => placed,
            For::Certificate | For::PrivateKey | For::Authorities | For::Users => placed,
        };
        let written = std::mem::replace(file, placed.clone());
        all.push(Named { purpose, written, placed });
    });
    all
}

impl Loading<'_> {
    /// Whether all files may be looked at. The state's folder is not.
    fn check_names(&mut self) -> bool {
        let is_refused =
            |named: &&Named| named.purpose != For::State && !self.reader.may_name(named);
        let why = "a text that comes over the API names only files beside the config, and those that \
                   the config in force names";
        let refused: Vec<Problem> = self
            .named
            .iter()
            .filter(is_refused)
            .map(|named| self.problem(named, why.into()))
            .collect();
        let is_fine = refused.is_empty();
        self.problems.0.extend(refused);
        is_fine
    }

    /// A problem with a file, where the config names it.
    fn problem(&self, named: &Named, message: String) -> Problem {
        let mut problem = match self.places.find(&named.written.to_string_lossy()) {
            Some(span) => Problem::error(span, message),
            None => Problem::general(message),
        };
        self.taken.conceal(&mut problem);
        problem
    }

    fn read_tokens(&mut self, config: &mut Config) {
        let what = "admin token file";
        let read = self.read_secrets(For::Tokens, what, Tokens::of);
        if let Some((_, tokens)) = read.into_iter().next_back() {
            config.admin.tokens = Some(tokens);
        }
    }

    /// Reads the files of users.
    fn read_users(&mut self) -> UserFiles {
        self.read_secrets(For::Users, "user file", Users::of).into_iter().collect()
    }

    /// Reads the texts that are for this, which hold secrets. One that is named several times is read, and
    /// told of, once.
    fn read_secrets<T, E: std::fmt::Display>(
        &mut self,
        purpose: For,
        what: &str,
        of: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<(PathBuf, T)> {
        let files = self.named.iter().filter(|named| named.purpose == purpose);
        let files: BTreeMap<&Path, &Named> = files.map(|file| (&*file.placed, file)).collect();
        let (mut read, mut found) = (Vec::new(), Vec::new());
        for (path, file) in files {
            let shown = path.display();
            let text = self.prints.read(path, LARGEST_NAMED).and_then(as_text);
            match text.map(|text| of(&text)) {
                Ok(Ok(held)) => read.push((path.to_path_buf(), held)),
                Ok(Err(error)) => {
                    let why = format!("the {what} {shown}: {error}");
                    found.push(self.problem(file, why));
                }
                Err(error) => {
                    let why = format!("cannot read the {what} {shown}: {error}");
                    found.push(self.reader.told_unreadable(self.problem(file, why), &error));
                }
            }
            let told = |why| self.problem(file, why);
            found.extend(self.open_to_all(what, path, told));
        }
        self.problems.0.extend(found);
        read
    }

    /// Reads the files of fixed answers and of pages, which are part of a config.
    fn read_answers(&mut self, config: &mut Config) {
        let mut failed = Vec::new();
        let acting = config.route_actions.iter_mut().flatten();
        for actions in acting.filter(|actions| actions.is_filed()) {
            let answer = &mut Arc::make_mut(actions).answer;
            let read = |path: &Path| {
                let of = |error| failed.push((path.to_path_buf(), error));
                self.prints.read(path, LARGEST_NAMED).map(Bytes::from).map_err(of)
            };
            if let Some(Ok(resolved)) = answer.as_ref().map(|answer| answer.resolve(read)) {
                *answer = Some(resolved);
            }
        }
        self.unread(failed);
        for service in &mut config.services {
            let mut failed = Vec::new();
            if let Some(answer) = &service.stability.fallback.answer {
                let read = |path: &Path| {
                    let of = |error| failed.push((path.to_path_buf(), error));
                    self.prints.read(path, LARGEST_NAMED).map(Bytes::from).map_err(of)
                };
                if let Ok(answer) = answer.resolve(read) {
                    Arc::make_mut(&mut service.stability).fallback.answer = Some(answer);
                }
            }
            if !service.stability.error_pages.is_empty() {
                let read = |path: &Path| {
                    let of = |error| failed.push((path.to_path_buf(), error));
                    let read = self.prints.read(path, LARGEST_NAMED);
                    read.and_then(as_text).map(Arc::from).map_err(of)
                };
                if let Ok(pages) = service.stability.error_pages.resolve(read) {
                    Arc::make_mut(&mut service.stability).error_pages = pages;
                }
            }
            self.unread(failed);
        }
    }

    /// Tells of files of answers that could not be read.
    fn unread(&mut self, failed: Vec<(PathBuf, io::Error)>) {
        for (path, error) in failed {
            let why = format!("cannot read {}: {error}", path.display());
            self.problems.0.push(self.bad_at(&path, why));
        }
    }

    /// Reads the keys that calls are signed with. A file that is named several times is read, and told
    /// of, once.
    fn read_keys(&mut self) -> SigningKeys {
        let files = self.named.iter().filter(|named| named.purpose == For::Secret);
        let files: BTreeMap<&Path, &Named> = files.map(|file| (&*file.placed, file)).collect();
        let (mut keys, mut found) = (Vec::new(), Vec::new());
        for (path, file) in files {
            match key_of(path, self.prints.read(path, LARGEST_KEY)) {
                Ok(key) => keys.push((path.to_path_buf(), key)),
                Err(error) => {
                    let problem = self.problem(file, error.to_string());
                    found.push(match &error {
                        KeyError::Read { error, .. } => self.reader.told_unreadable(problem, error),
                        KeyError::Content { .. } => problem,
                    });
                }
            }
        }
        self.problems.0.extend(found);
        keys.into_iter().collect()
    }

    /// A warning of a file with secrets that everybody on this machine can read, if it is one; `told`
    /// knows where it is named.
    fn open_to_all(
        &self,
        what: &str,
        file: &Path,
        told: impl FnOnce(String) -> Problem,
    ) -> Option<Problem> {
        is_for_all(file).then(|| {
            let shown = file.display();
            let why = format!("everybody on this machine can read the {what} {shown}");
            told(why).warning().help(self.taken.within(format!("`chmod o= {shown}`")))
        })
    }

    /// A problem with a file, where the config names it first.
    fn bad_at(&self, file: &Path, why: String) -> Problem {
        let named = self.named.iter().find(|named| named.placed == file);
        match named {
            Some(named) => self.problem(named, why),
            None => Problem::general(why),
        }
    }
}

/// What a file holds that a text is filled in with, without the end of its last line. Who may not read it
/// cannot know whether the text is good.
fn read_secret(path: &Path, asked: &str, prints: &mut Prints) -> Result<String, String> {
    let tried = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let failed = |error: &dyn std::fmt::Display| {
        // As seen from the config's folder, also in a file that is included.
        let tried = tried.display();
        match tried.to_string() == asked {
            true => format!("cannot read `{asked}`: {error}"),
            false => format!("cannot read `{asked}`, which is {tried}: {error}"),
        }
    };
    let text = prints.read(path, LARGEST_KEY).and_then(as_text).map_err(|error| failed(&error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    match text.strip_suffix('\r').unwrap_or(text) {
        "" => Err(failed(&"it is empty")),
        text => Ok(text.to_string()),
    }
}

fn as_text(bytes: Vec<u8>) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(bytes).map_err(not_text)
}

/// Whether anybody on this machine can read a file.
fn is_for_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS_READ: u32 = 0o004;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS_READ != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Level, Live, diff};

    type Told = Vec<(Level, Option<(usize, usize)>)>;

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
        let text = Written::plain(&at("pointsman.toml"), text);
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
        let path = folder.path().join("p.toml");
        let text = Written::plain(&path, text);
        let told = |text: &Written| -> Told {
            let problems = text.check(0).1.0;
            let place = |problem: &Problem| problem.position(&text.texts.main.text);
            problems.iter().map(|problem| (problem.level, place(problem))).collect()
        };
        let token = |level| (level, Some((4, 14)));
        let secret = |level| (level, Some((11, 15)));
        let answer = (Level::Error, Some((6, 24)));
        assert_eq!(told(&text), [token(Level::Error), answer, secret(Level::Error)]);
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
        assert_eq!(told(&text), [token(Level::Error), secret(Level::Error)]);
        let refused = || match text.parse() {
            Err(FileError::Problems(rejected)) => rejected.problems.0.len(),
            other => panic!("who serves needs them: {other:?}"),
        };
        assert_eq!(refused(), 2);
        write("alerts.key", " \n");
        assert_eq!(told(&text), [token(Level::Error), secret(Level::Error)]);
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
    fn a_key_of_two_certificates_is_told_of_once() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let text = "[[listeners]]\naddress = \":443\"\ntls.certificates = [\
            { certificate = \"a.pem\", key = \"k\" }, { certificate = \"b.pem\", key = \"k\" }]\n\
            [services.a.pools.b]\nupstreams = [\"a:1\"]\n";
        let text = Written::plain(&at("p.toml"), text);
        let told = || -> Vec<(Level, String)> {
            let problems = text.check(0).1.0.into_iter();
            let folder = format!("{}/", folder.path().display());
            problems.map(|told| (told.level, told.message.replace(&folder, ""))).collect()
        };
        for name in ["a.pem", "b.pem"] {
            std::fs::write(at(name), include_str!("../outgoing/dial/test_server.pem")).unwrap();
        }
        let missing = "cannot read k: No such file or directory (os error 2)";
        assert_eq!(told(), [(Level::Error, missing.into())]);
        let write = |what: &str, mode| {
            std::fs::write(at("k"), what).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(at("k"), mode).unwrap();
        };
        write("no key", 0o640);
        assert_eq!(told(), [(Level::Error, "k holds no private key in PEM form".into())]);
        write(include_str!("../outgoing/dial/test_server.key"), 0o644);
        let open = "everybody on this machine can read the private key k";
        let told = told().into_iter().filter(|(_, message)| !message.contains("is good from"));
        assert_eq!(told.collect::<Vec<_>>(), [(Level::Warning, open.to_string())]);
    }

    #[test]
    fn the_state_folder_is_beside_the_config_as_a_whole_path() {
        let placed = |path: &str, folder: &str| {
            let text = format!(
                "[server]\nstate_dir = \"{folder}\"\n[[listeners]]\naddress = \":80\"\n\
                 [services.a.pools.b]\nupstreams = [\"a:1\"]\n"
            );
            let text = Written::plain(Path::new(path), text);
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
        let text = Written::plain(&path, text);
        assert_eq!(text.check(0).1.0.len(), 1, "a file is told of once");
        std::fs::write(&key, "s3cret").unwrap();
        let config = text.parse().unwrap().0;
        assert_eq!(config.keys.of(&key).unwrap().bytes(), b"s3cret");
        let mut hooks = config.services[0].rollout.hooks.clone();
        let files: Vec<_> = hooks.secret_files_mut().map(|file| file.clone()).collect();
        assert_eq!(files, [&*key; 8]);
    }
}

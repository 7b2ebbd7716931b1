//! The files that a config names, read with it: a text in, the whole config or every problem with its
//! place out.
//!
//! Three read: the process that serves by it, somebody who checks it and may not be allowed to read
//! tokens and keys, and a stranger who sends a text over the API. A stranger's text may name only what
//! lies beside the config, and files that the config in force names; of anything else it does not even
//! learn whether it is there.

mod pairs;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::FileError;
use super::key::{KeyError, key_of};
use super::named::{For, each_named};
use super::prints::Prints;
use super::source::Written;
use crate::auth::{UserFiles, Users};
use crate::config::{
    AdminPlace, Config, FilePlaces, Parsed, Problem, Problems, SigningKeys, Taken, Tokens,
};

pub(super) use reader::{Reader, Who};

/// The largest file that a config names, in bytes.
const LARGEST_NAMED: u64 = 1024 * 1024;

/// The longest file of a key, in bytes: a longer one is another file.
pub(super) const LARGEST_KEY: u64 = 4 * 1024;

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

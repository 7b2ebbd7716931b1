//! A file of users: its text in, whose password is whose out.
//!
//! A line is `name:hash`, as `htpasswd` writes it; blank ones and those that begin with `#` say nothing. What
//! is not such a line is refused with its number: a user that is silently not known is locked out.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hashed::{BadHash, Hashed};

/// The longest name of a user, in bytes: as `htpasswd` has it.
pub(super) const LONGEST_NAME: usize = 255;

/// Users with their passwords; at least one.
#[derive(PartialEq, Eq)]
pub struct Users {
    /// In the order of the file.
    list: Vec<Hashed>,
    /// Places in it.
    by_name: HashMap<Box<str>, usize>,
}

/// Why a text holds no users that can be let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// A line of it is no user.
    #[error("line {line}: {why}")]
    Line {
        /// From 1.
        line: usize,
        /// Why not.
        why: BadUser,
    },
    /// There is nobody in it.
    #[error("it has no user: write one with `htpasswd -B`")]
    Empty,
}

/// What is wrong with a line. A password is never shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUser {
    /// It has no colon.
    #[error("expected `name:hash`, as `htpasswd -B` writes it")]
    NoName,
    /// Nobody can have this name.
    #[error("a name has 1 to {LONGEST_NAME} bytes and no control characters")]
    Name,
    /// Two lines name the same.
    #[error("`{name}` has a password in line {line} already")]
    SameName {
        /// The name.
        name: Box<str>,
        /// The other line.
        line: usize,
    },
    /// Its hash cannot be used.
    #[error("the password of `{name}` {why}")]
    Hash {
        /// The name.
        name: Box<str>,
        /// Why not.
        why: BadHash,
    },
}

impl Users {
    /// The users of a file.
    pub fn of(text: &str) -> Result<Users, UsersError> {
        let (mut list, mut by_name) = (Vec::new(), HashMap::new());
        let mut lines = Vec::new();
        for (line, text) in text.lines().enumerate().map(|(at, text)| (at + 1, text.trim())) {
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let (name, hashed) = user(text).map_err(|why| UsersError::Line { line, why })?;
            if let Some(&known) = by_name.get(name) {
                let why = BadUser::SameName { name: name.into(), line: lines[known] };
                return Err(UsersError::Line { line, why });
            }
            by_name.insert(name.into(), list.len());
            list.push(hashed);
            lines.push(line);
        }
        match list.is_empty() {
            true => Err(UsersError::Empty),
            false => Ok(Users { list, by_name }),
        }
    }

    /// Checks this password against each that costs little, for whoever tries any file; how many there were.
    #[cfg(any(test, fuzzing))]
    pub fn try_cheap(&self, password: &[u8]) -> usize {
        let cheap: Vec<&Hashed> = self.list.iter().filter(|hashed| hashed.is_cheap()).collect();
        for hashed in &cheap {
            let _ = hashed.is(password);
        }
        cheap.len()
    }

    /// Whether this is the password of the user of this name. Of whom nobody knows one is checked all the
    /// same, one that `decoy` chooses, so that time does not tell who is known: the same each time for the
    /// same name.
    pub(super) fn admit(&self, name: &[u8], password: &[u8], decoy: u64) -> bool {
        let known = std::str::from_utf8(name).ok().and_then(|name| self.by_name.get(name));
        let instead = (decoy % self.list.len() as u64) as usize;
        let is_right = self.list[known.copied().unwrap_or(instead)].is(password);
        is_right && known.is_some()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.list.len())
    }
}

fn user(text: &str) -> Result<(&str, Hashed), BadUser> {
    let (name, hash) = text.split_once(':').ok_or(BadUser::NoName)?;
    let is_name = (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control);
    if !is_name {
        return Err(BadUser::Name);
    }
    let hashed = Hashed::of(hash).map_err(|why| BadUser::Hash { name: name.into(), why })?;
    Ok((name, hashed))
}

/// The users of all files that a config names, as they were when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFiles(Arc<BTreeMap<PathBuf, Arc<Users>>>);

impl UserFiles {
    /// Those of this file.
    pub fn of(&self, file: &Path) -> Option<&Arc<Users>> {
        self.0.get(file)
    }
}

impl FromIterator<(PathBuf, Users)> for UserFiles {
    fn from_iter<I: IntoIterator<Item = (PathBuf, Users)>>(files: I) -> UserFiles {
        let files = files.into_iter().map(|(file, users)| (file, Arc::new(users)));
        UserFiles(Arc::new(files.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::hashed::tests::BCRYPTED;
    use super::*;

    #[test]
    fn a_user_has_its_own_password_and_nobody_else_has_one() {
        let other = "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe";
        let text = format!("# staff\n\n ann:{BCRYPTED} \r\nZoë:{other}\n");
        let users = Users::of(&text).unwrap();
        let admits = |name: &str, password: &str| {
            let all = [0, 1].map(|decoy| users.admit(name.as_bytes(), password.as_bytes(), decoy));
            assert_eq!(all[0], all[1], "a decoy lets nobody in");
            all[0]
        };
        assert!(admits("ann", "secret") && admits("Zoë", "a"));
        assert!(!admits("ann", "a") && !admits("Zoë", "secret"));
        for name in ["bob", "Ann", "", "ann ", "# staff"] {
            assert!(!admits(name, "secret") && !admits(name, "a"), "{name}");
        }
        assert!(!users.admit(b"\xff", b"secret", 0));
        assert_eq!(format!("{users:?}"), "Users(2)");
        assert_ne!(users, Users::of(&format!("ann:{BCRYPTED}")).unwrap());
    }

    #[test]
    fn what_is_no_user_is_told_with_its_line_and_without_its_password() {
        use BadUser::*;
        let ann = format!("ann:{BCRYPTED}\n");
        let of = |text: &str| Users::of(text).unwrap_err();
        let line = |line, why| UsersError::Line { line, why };
        assert_eq!(of(""), UsersError::Empty);
        assert_eq!(of("# nobody\n"), UsersError::Empty);
        assert_eq!(of(&format!("{ann}\nbob")), line(3, NoName));
        assert_eq!(of(&format!(":{BCRYPTED}")), line(1, Name));
        assert_eq!(of(&format!("a\tb:{BCRYPTED}")), line(1, Name));
        assert_eq!(of(&format!("{}:{BCRYPTED}", "n".repeat(256))), line(1, Name));
        assert_eq!(of(&format!("{ann}{ann}")), line(2, SameName { name: "ann".into(), line: 1 }));
        let plain = of(&format!("{ann}bob:hunter2hunter2"));
        assert_eq!(plain, line(2, Hash { name: "bob".into(), why: BadHash::Unknown }));
        let said = of("bob:$apr1$salt$s3cr3thash").to_string();
        let wanted = "line 1: the password of `bob` is hashed with MD5, which is guessed too fast: \
                      write it with `htpasswd -B`, or with Argon2";
        assert_eq!(said, wanted);
    }
}

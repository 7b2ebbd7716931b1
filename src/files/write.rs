//! A file that somebody names, written as a whole: its text in, the old or the new file in its place,
//! never half of one, and nowhere else.
//!
//! A link is not followed: in a folder that others can write to, it leads to what its maker wants to
//! have overwritten by whoever may.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Who may read what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    /// Who may read what was there before; of a new file, whom the process's umask lets.
    AsBefore,
    /// Its owner, whoever might read what was there before.
    Owner,
}

/// Writes a file in the place of one that may be there, whose permissions it keeps.
pub fn write_over(path: &Path, text: &[u8]) -> io::Result<()> {
    write(path, text, Readers::AsBefore)
}

/// Writes a file that only its owner can read, in the place of one that may be there.
pub fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    write(path, text, Readers::Owner)
}

fn write(path: &Path, text: &[u8], readers: Readers) -> io::Result<()> {
    let before = match fs::symlink_metadata(path) {
        Ok(before) if before.is_file() => Some(before),
        Ok(before) if before.is_symlink() => {
            return Err(io::Error::other("it is a link; name what it leads to, or remove it"));
        }
        Ok(_) => return Err(io::Error::other("it is no file")),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let beside = beside(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let permissions = match readers {
        Readers::AsBefore => before.map(|before| before.permissions()),
        Readers::Owner => {
            // From the first byte on.
            options.mode(0o600);
            Some(Permissions::from_mode(0o600))
        }
    };
    let mut file = options.open(&beside)?;
    let write = || {
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text)?;
        file.sync_all()?;
        // A link that was put there meanwhile is replaced, not followed.
        fs::rename(&beside, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().inspect_err(|_| {
        // Half of it helps nobody.
        let _ = fs::remove_file(&beside);
    })
}

/// Where it is written first: in the same folder, so that it can be moved in one step.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    beside.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_permissions() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.toml");
        write_over(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let other = folder.path().join("b.toml");
        fs::hard_link(&path, &other).unwrap();
        write_over(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read(&other).unwrap(), b"one", "nothing is written into what was there");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_is_private_is_its_owners_whatever_was_there() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("state.json");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        write_private(&path, b"one").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!((mode(), fs::read(&path).unwrap()), (0o600, b"two".to_vec()));
    }

    #[test]
    fn no_link_is_followed_and_nothing_but_a_file_is_replaced() {
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("precious"), "mine").unwrap();
        symlink(at("precious"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        for name in ["link", "dangling", "folder"] {
            write_over(&at(name), b"text").unwrap_err();
        }
        assert_eq!(fs::read(at("precious")).unwrap(), b"mine");
        assert!(!at("nowhere").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}

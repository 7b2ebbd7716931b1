//! A file that somebody names, written as a whole: its text in, the old or the new file in its place,
//! never half of one, and nowhere else.
//!
//! A link is not followed: in a folder that others can write to, it leads to what its maker wants to
//! have overwritten by whoever may. The one place in which a file takes another's: the store's own small files
//! are put there too.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Who may read and write a file that is its owner's alone.
const OWNER: u32 = 0o600;

/// Who may read and write any other, as far as the process's umask lets them.
const ANYBODY: u32 = 0o666;

/// Writes a file in the place of one that may be there, whose permissions it keeps; those of a new one are
/// the process's umask's.
pub fn write_over(path: &Path, text: &[u8]) -> io::Result<()> {
    let before = before(path)?;
    put(path, text, before.map(|before| before.permissions()))
}

/// Writes a file that only its owner can read, in the place of one that may be there, whoever might read
/// that.
pub fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    before(path)?;
    replace_private(path, text)
}

/// The same in a folder of our own: what is there is replaced whatever it is, but for a folder.
pub fn replace_private(path: &Path, text: &[u8]) -> io::Result<()> {
    put(path, text, Some(Permissions::from_mode(OWNER)))
}

/// What is there already, if it is a file.
fn before(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(before) if before.is_file() => Ok(Some(before)),
        Ok(before) if before.is_symlink() => {
            Err(io::Error::other("it is a link; name what it leads to, or remove it"))
        }
        Ok(_) => Err(io::Error::other("it is no file")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn put(path: &Path, text: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let beside = beside(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // A process of this number has not got any further: in a container each has the same.
        _ => {}
    }
    // From the first byte on.
    let mode = permissions.as_ref().map_or(ANYBODY, |permissions| permissions.mode() & 0o777);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let write = || {
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text)?;
        file.sync_all()?;
        // A link that is there is replaced, not followed.
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
    fn what_a_crash_has_left_is_in_nobodys_way() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("state.json");
        fs::write(folder.path().join("precious"), "mine").unwrap();
        fs::write(beside(&path), "half").unwrap();
        write_over(&path, b"one").unwrap();
        symlink(folder.path().join("precious"), beside(&path)).unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read(folder.path().join("precious")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
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

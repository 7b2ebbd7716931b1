//! A file that holds a key: its path in, the key that calls are signed with out.

use std::io;
use std::path::{Path, PathBuf};

use super::loading::LARGEST_KEY;
use super::read::read;
use crate::config::{BadKey, SigningKey};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the secret file {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What it holds is no key.
    #[error("the secret file {} {why}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: BadKey,
    },
}

/// The key in a file.
pub fn read_key(path: &Path) -> Result<SigningKey, KeyError> {
    key_of(path, read(path, LARGEST_KEY))
}

/// The key that was read from a file.
pub(super) fn key_of(path: &Path, read: io::Result<Vec<u8>>) -> Result<SigningKey, KeyError> {
    let bytes = read.map_err(|error| KeyError::Read { path: path.into(), error })?;
    SigningKey::of(&bytes).map_err(|why| KeyError::Content { path: path.into(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_key_is_told_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let said = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            read_key(&path).unwrap_err().to_string()
        };
        let named = path.display();
        assert_eq!(said(b" \n"), format!("the secret file {named} is empty"));
        let long = format!("cannot read the secret file {named}: it holds more than 4 KiB");
        assert_eq!(said(&[b'x'; 5_000]), long);
        std::fs::write(&path, [b'x'; 4_096]).unwrap();
        assert_eq!(read_key(&path).unwrap().bytes().len(), 4_096);
        let folder = read_key(folder.path()).unwrap_err().to_string();
        assert!(folder.ends_with("it is a folder"), "{folder}");
    }
}

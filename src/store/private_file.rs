//! A small file of our own in the state folder, read and replaced as a whole: only its owner can read it,
//! no link is followed, and there is never half of one.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use super::private;
use crate::files;

/// The most that is read.
const LARGEST: u64 = 64 * 1024;

/// What it holds; none if it is not there.
pub fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match private::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Puts this in its place.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    private::folder_of(path)?;
    files::replace_private(path, bytes).map_err(|error| private::denied(path, error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_its_owners_and_no_link_leads_elsewhere() {
        let folder = tempfile::TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(read_private(&at("keys")).unwrap(), None);
        replace_private(&at("keys"), b"one").unwrap();
        replace_private(&at("keys"), b"two").unwrap();
        assert_eq!(read_private(&at("keys")).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(at("keys")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(at("precious"), "mine").unwrap();
        symlink(at("precious"), at("link")).unwrap();
        assert!(read_private(&at("link")).unwrap_err().to_string().contains("is a link"));
        replace_private(&at("link"), b"three").unwrap();
        assert_eq!(fs::read(at("precious")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left beside");
    }
}

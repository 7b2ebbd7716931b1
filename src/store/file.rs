//! What a store's file needs of the file system, so that no crash leaves half of one behind.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::error::Trouble;
use super::private::{self, Standing};

/// A backend that is as long as it was made before anything is written that says so. redb 3.1 makes
/// a file longer and writes the new length into its header before the next sync; a power failure
/// between may keep the header and lose the length, and then redb refuses the file.
#[derive(Debug)]
pub(super) struct Growing<B>(pub B);

impl<B: StorageBackend> StorageBackend for Growing<B> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.sync_data()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(offset, bytes)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// An empty file that only its owner can read, locked, where the new one comes from; and what it is
/// once it is in its place.
pub(super) fn beside(path: &Path) -> Result<(PathBuf, FileBackend, Standing), Trouble> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let file = private::open_or_create(Path::new(&beside))?;
    let standing = Standing::of(path, &file)?;
    let backend = FileBackend::new(file)?;
    backend.set_len(0)?;
    Ok((beside.into(), backend, standing))
}

/// Puts a file in a place that must be free: unlike a renaming, a link does not take the place of
/// what another process put there meanwhile.
pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links.
        Err(_) => fs::rename(from, to),
    }
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

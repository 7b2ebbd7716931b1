//! What files held when they were read: a path and a bound in, a print to compare later out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::including::Listing;
use super::read::read;
use crate::config::Include;

/// What a file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Print {
    /// This.
    Content([u8; 32]),
    /// Nothing that could be read, and why.
    Unreadable(String),
}

/// What the config's file and those that it names held when they were read together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prints {
    files: BTreeMap<PathBuf, (u64, Print)>,
    /// Which files there were of those that are included.
    pub(super) listings: Vec<Listing>,
}

impl Print {
    pub fn of(read: &io::Result<Vec<u8>>) -> Print {
        match read {
            Ok(bytes) => Print::Content(Sha256::digest(bytes).into()),
            Err(error) => Print::Unreadable(error.to_string()),
        }
    }
}

impl Prints {
    /// Reads a file of at most this many bytes, and notes what it held. Of a file that is read twice
    /// the first content counts: should the second be another one, it is found to have changed.
    pub(super) fn read(&mut self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let read = read(path, most);
        self.files.entry(path.to_path_buf()).or_insert_with(|| (most, Print::of(&read)));
        read
    }

    /// Looks for files that are included, and notes which there are.
    pub(super) fn list(&mut self, folder: PathBuf, include: Include) -> Listing {
        let listing = Listing::of(folder, include);
        self.listings.push(listing.clone());
        listing
    }

    /// The files, each with its bound and what it held.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Path, u64, &Print)> {
        self.files.iter().map(|(path, (most, print))| (&**path, *most, print))
    }

    /// Nobody knows what this file holds: whatever is found there is new.
    pub(super) fn forget(&mut self, path: &Path, most: u64) {
        self.files.insert(path.to_path_buf(), (most, Print::Unreadable(String::new())));
    }
}

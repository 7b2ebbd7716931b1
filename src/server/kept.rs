//! What outlasts the process, as the start finds it: a state folder in; the store, the page beside it and what
//! that says out. What the orders make of it is theirs.

use std::path::Path;

use super::STORE;
use super::start::StartError;
use crate::control::PageWriter;
use crate::state::{Change, Unstored};
use crate::store::{Page, Store, StoreError};

/// The store of a process with a file; what was started without one remembers nothing.
pub(super) fn open_store(folder: Option<&Path>) -> Result<Store, StoreError> {
    match folder {
        Some(folder) => Store::open(&folder.join(STORE)),
        None => Ok(Store::in_memory()),
    }
}

/// Stores what the file changes; why not, where the disk has no room for it. Traffic does not wait for
/// room: all of that is in force, and found anew in the file by the next start.
pub(super) fn store_edits(store: &Store, edits: &[Change]) -> Result<Option<String>, StoreError> {
    match store.commit(edits, &[]) {
        Ok(()) => Ok(None),
        Err(error @ (StoreError::Write { .. } | StoreError::Lost { .. })) => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// The page beside the store, and what it says. A disk that has no room for it even now keeps none.
pub(super) fn open_page(folder: Option<&Path>) -> Result<(PageWriter, Vec<Unstored>), StartError> {
    let Some(folder) = folder else {
        return Ok((PageWriter::nowhere(), Vec::new()));
    };
    match Page::open(&folder.join(STORE)) {
        Ok((page, unstored)) => Ok((PageWriter::start(page, unstored.clone())?, unstored)),
        Err(error) => {
            tracing::warn!(
                %error,
                "orders against rollouts that a full disk does not take cannot be noted"
            );
            Ok((PageWriter::nowhere(), Vec::new()))
        }
    }
}

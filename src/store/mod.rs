//! Where changes are kept: changes of the state and events in, the state that they make out.
//!
//! What is committed is one transaction, and it is on the disk when [`Store::commit`] returns:
//! whoever is answered after it may rely on it whatever becomes of the process. Who decides is the
//! only one who writes, so nothing is decided here. Values are JSON under readable keys, and nothing
//! outside this folder knows of `redb`; so a store that a fleet shares can take this place without
//! its callers noticing.

mod entry;
mod event;
mod stored;
mod disk;
mod file;
mod memory;
mod page;
mod private;
mod private_file;
mod tables;
mod transaction;
mod migrate;
mod export;
mod told;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod crash;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use crate::state::{Change, State};
use disk::Disk;
use entry::{Entry, OF_STATE};
use error::Trouble;
use tables::{EVENTS, META, UNNUMBERED};
use transaction::{Reading, Writing};

pub use error::StoreError;
pub use event::StoredEvent;
pub use export::Export;
pub use page::Page;
pub use private_file::{read_private, replace_private};
pub use told::{heard, told};

/// Events remembered, of all services.
pub const EVENTS_KEPT: usize = 1_000;

/// All that is remembered.
#[derive(Debug)]
pub struct Store {
    disk: Disk,
}

impl Store {
    /// Opens the store in this file, or begins one there. Only its owner can read it.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        Ok(Store { disk: Disk::open(path)? })
    }

    /// A store that ends with the process.
    pub fn in_memory() -> Store {
        let memory = Disk::on(redb::backends::InMemoryBackend::new());
        Store { disk: memory.expect("an empty memory is not damaged and takes every write") }
    }

    /// A store on something else than a file.
    pub fn with_backend(backend: impl redb::StorageBackend) -> Result<Store, StoreError> {
        Ok(Store { disk: Disk::on(backend)? })
    }

    /// As [`Store::with_backend`], with one that can be opened a second time, as a file can.
    #[cfg(test)]
    pub(crate) fn on_again(
        backend: impl redb::StorageBackend + Clone,
    ) -> Result<Store, StoreError> {
        Ok(Store { disk: Disk::on_again(backend)? })
    }

    /// A store on a disk that fails when a test says so, and that can be opened again meanwhile.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn on_disk(disk: crash::FrailDisk) -> Result<Store, StoreError> {
        Ok(Store { disk: Disk::on_again(disk)? })
    }

    /// How many times it was committed in its life.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn commits(&self) -> u64 {
        self.disk.commits()
    }

    /// As a version that writes another format leaves it.
    #[cfg(test)]
    pub(crate) fn set_format(&self, format: u32) -> Result<(), StoreError> {
        self.disk.write(|writing| {
            writing.table(META)?.insert(migrate::KEY, format.to_string().as_str())?;
            Ok(())
        })
    }

    /// The state that all changes so far have made.
    pub fn recall(&self) -> Result<State, StoreError> {
        self.disk.read(recall)
    }

    /// The last events, the oldest first; those of an order whose process died before they were
    /// numbered come last.
    pub fn events(&self) -> Result<Vec<StoredEvent>, StoreError> {
        self.disk.read(events)
    }

    /// The key of the cohort hash; `fresh` makes it, once in a store's life.
    pub fn secret(
        &self,
        fresh: impl FnOnce() -> io::Result<[u8; 16]>,
    ) -> Result<[u8; 16], StoreError> {
        let known = self.disk.read(|reading| reading.one(META, entry::SECRET, stored::secret))?;
        if let Some(secret) = known {
            return Ok(secret);
        }
        let secret = fresh().map_err(StoreError::Secret)?;
        self.commit(&[Change::Secret(secret)], &[])?;
        Ok(secret)
    }

    /// Keeps all these changes and events or none. They are on the disk when this returns.
    pub fn commit(&self, changes: &[Change], events: &[StoredEvent]) -> Result<(), StoreError> {
        self.disk.write(|writing| {
            changes.iter().try_for_each(|change| write(writing, change))?;
            keep_events(writing, events)
        })
    }

    /// Whether the commit that was answered with [`StoreError::Lost`] has happened after all. An
    /// error says that this is not known yet.
    pub fn has_happened(&self) -> Result<bool, StoreError> {
        self.disk.has_happened()
    }
}

fn write(writing: &Writing, change: &Change) -> Result<(), Trouble> {
    let Entry { table, key, value } = Entry::of(change)?;
    let mut table = writing.table(table)?;
    match value {
        Some(json) => drop(table.insert(key.as_str(), json.as_str())?),
        None => drop(table.remove(key.as_str())?),
    }
    Ok(())
}

/// Keeps events, and lets go of those that had no number: they are among these, or of an order that
/// has no part in this.
fn keep_events(writing: &Writing, events: &[StoredEvent]) -> Result<(), Trouble> {
    let (numbered, unnumbered): (Vec<_>, Vec<_>) =
        events.iter().partition(|event| event.number > 0);
    if !events.is_empty() {
        let (mut meta, json) = (writing.table(META)?, stored::json(&unnumbered)?);
        match unnumbered.is_empty() {
            true => drop(meta.remove(UNNUMBERED)?),
            false => drop(meta.insert(UNNUMBERED, json.as_str())?),
        }
    }
    let mut table = writing.table(EVENTS)?;
    for event in numbered {
        let (key, value) = (stored::event_key(event.number), stored::json(event)?);
        table.insert(key.as_str(), value.as_str())?;
    }
    match events {
        [] => Ok(()),
        _ => transaction::keep_last(&mut table, EVENTS_KEPT),
    }
}

fn recall(reading: &Reading) -> Result<State, Trouble> {
    let mut state = State::default();
    for table in OF_STATE {
        reading.each(table, |key, json| entry::fold(&mut state, table, key, json))?;
    }
    Ok(state)
}

fn events(reading: &Reading) -> Result<Vec<StoredEvent>, Trouble> {
    let mut events = Vec::new();
    reading.each(EVENTS, |key, json| {
        events.push(stored::parse(key, json)?);
        Ok(())
    })?;
    let unnumbered = reading.one(META, UNNUMBERED, stored::parse::<Vec<StoredEvent>>)?;
    events.extend(unnumbered.into_iter().flatten());
    Ok(events)
}

/// Reads every value of every table once.
fn check(reading: &Reading) -> Result<(), Trouble> {
    recall(reading)?;
    events(reading).map(drop)
}

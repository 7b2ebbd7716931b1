//! What must outlast the process: batches of changes in, what is remembered out.
//!
//! A batch is one transaction, and it is on the disk when [`Store::commit`] returns: whoever is
//! answered after it may rely on it whatever becomes of the process. Whatever can race is a
//! compare-and-swap on the newest revision of a service (or flag). Values are JSON under readable
//! keys, and nothing outside this folder knows of `redb`; so a store that a fleet shares can take
//! this place without its callers noticing.

mod revision;
mod standing;
mod batch;
mod apply;
mod recall;
mod stored;
mod disk;
mod file;
mod tables;
mod transaction;
mod migrate;
mod export;
mod error;
#[cfg(test)]
pub(crate) mod crash;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use crate::clock::WallTime;
use crate::rollout::Rollout;
use crate::slo::{Kept, Objective};
use disk::Disk;
use tables::{FLAGS, META, PAST_ROLLOUTS, REVISIONS, key, keys_of};

pub use batch::Batch;
pub use error::{CommitError, StoreError};
pub use export::Export;
pub use recall::Memory;
pub use revision::{Draft, LostRace, Revision};
pub use standing::{FlagState, Override, OverrideKey, StoredEvent, What};

/// Revisions remembered for each service.
pub const KEPT: usize = 1_000;

/// States remembered of each flag.
pub const FLAG_STATES_KEPT: usize = 100;

/// Ended rollouts remembered for each service.
pub const PAST_ROLLOUTS_KEPT: usize = 100;

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
    #[cfg(test)]
    pub(crate) fn on_disk(disk: crash::FrailDisk) -> Result<Store, StoreError> {
        Ok(Store { disk: Disk::on_again(disk)? })
    }

    /// How many batches were committed in its life.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.disk.commits()
    }

    /// Everything that a process needs at its start.
    pub fn recall(&self) -> Result<Memory, StoreError> {
        self.disk.read(recall::recall)
    }

    /// The key of the cohort hash; `fresh` makes it, once in a store's life.
    pub fn secret(
        &self,
        fresh: impl FnOnce() -> io::Result<[u8; 16]>,
    ) -> Result<[u8; 16], StoreError> {
        if let Some(secret) = self.disk.read(recall::secret)? {
            return Ok(secret);
        }
        let secret = fresh().map_err(StoreError::Secret)?;
        let text = serde_json::Value::String(stored::to_hex(&secret)).to_string();
        self.disk.write(|writing| {
            writing.table(META)?.insert(recall::SECRET, text.as_str())?;
            Ok(Ok::<_, StoreError>(secret))
        })
    }

    /// Makes all changes of a batch or none, and answers with the revisions made, in its order.
    /// It is on the disk when this returns.
    pub fn commit(&self, batch: Batch) -> Result<Vec<Revision>, CommitError> {
        self.disk.write(|writing| apply::apply(writing, batch))
    }

    /// The revisions of a service, at most this many, the newest first.
    pub fn history(&self, service: &str, most: usize) -> Result<Vec<Revision>, StoreError> {
        self.disk
            .read(|reading| reading.newest(REVISIONS, &keys_of(service), most, stored::revision))
    }

    /// One revision of a service; none if there is no such, or not any more.
    pub fn revision(&self, service: &str, number: u64) -> Result<Option<Revision>, StoreError> {
        self.disk.read(|reading| reading.one(REVISIONS, &key(service, number), stored::revision))
    }

    /// The ended rollouts of a service, at most this many, the newest first.
    pub fn past_rollouts(&self, service: &str, most: usize) -> Result<Vec<Rollout>, StoreError> {
        self.disk
            .read(|reading| reading.newest(PAST_ROLLOUTS, &keys_of(service), most, stored::parse))
    }

    /// The states of a flag, at most this many, the newest first.
    pub fn flag_history(&self, flag: &str, most: usize) -> Result<Vec<FlagState>, StoreError> {
        self.disk.read(|reading| reading.newest(FLAGS, &keys_of(flag), most, stored::flag))
    }

    /// What is kept of a service's error budget; nothing if there is nothing.
    pub fn budget(&self, service: &str, objective: &Objective) -> Result<Kept, StoreError> {
        let of = batch::budget_key(service, objective);
        self.disk.read(|reading| recall::budget(reading, &of))
    }

    /// The keys of all error budgets, each with the moment up to which it was counted.
    pub fn budgets(&self) -> Result<Vec<(String, WallTime)>, StoreError> {
        self.disk.read(recall::budgets)
    }

    /// The key of a service's error budget.
    pub fn budget_key(service: &str, objective: &Objective) -> String {
        batch::budget_key(service, objective)
    }

    /// Events with a higher number than this, at most this many, the oldest first.
    pub fn events_after(&self, number: u64, most: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.disk.read(|reading| recall::events_after(reading, number, most))
    }
}

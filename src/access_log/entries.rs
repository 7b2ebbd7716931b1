//! What waits to be written: records in where requests end, their bytes out to the writer.
//!
//! Each thread that moves requests has two rooms, so that one is free while the writer empties the other:
//! nobody waits, and what there is no room for is left out and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use super::{Entry, is_wanted};
use crate::config::AccessLog;
use crate::record::{Reader, Record, place_of_thread};
use crate::snapshot::Snapshot;

/// Bytes of one room.
const ROOM: usize = 4 << 20;

/// Where entries are put.
#[derive(Debug)]
pub struct Entries {
    /// Two for each thread.
    rooms: Box<[[Mutex<Vec<u8>>; 2]]>,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Entries {
    /// Rooms for so many threads.
    pub fn new(threads: usize) -> Entries {
        let rooms = (0..threads.max(1)).map(|_| Default::default()).collect();
        Entries { rooms, written: AtomicU64::new(0), dropped: AtomicU64::new(0) }
    }

    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that were not: there was no room, or no place takes them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// So many lines were written.
    pub fn note_written(&self, count: u64) {
        self.written.fetch_add(count, Ordering::Relaxed);
    }

    /// So many lines could not be.
    pub fn note_dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes what has come; `spare` is lent to whoever puts something meanwhile.
    pub fn take(&self, spare: &mut Vec<u8>, mut see: impl FnMut(&[u8])) {
        for room in self.rooms.iter().flatten() {
            spare.clear();
            std::mem::swap(&mut *room.lock().unwrap_or_else(PoisonError::into_inner), spare);
            see(spare);
        }
    }

    fn put(&self, record: &Record<'_>, log: &AccessLog, snapshot: &Snapshot) -> bool {
        for room in &self.rooms[place_of_thread(self.rooms.len())] {
            let mut room = match room.try_lock() {
                Ok(room) => room,
                Err(TryLockError::Poisoned(room)) => room.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            if room.len() < ROOM {
                Entry::encode(record, log, snapshot, &mut room);
                return true;
            }
        }
        false
    }
}

impl Reader for Entries {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let Some(log) = &snapshot.config.server.access_log else { return };
        if is_wanted(record, log) && !self.put(record, log, snapshot) {
            self.note_dropped(1);
        }
    }
}

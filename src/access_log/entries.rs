//! What waits to be written: records in where requests end, their bytes out to the writer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, is_wanted};
use crate::record::{Reader, Record, Rooms};
use crate::snapshot::Snapshot;

/// Bytes of one room.
const ROOM: usize = 4 << 20;

/// Where entries are put.
#[derive(Debug)]
pub struct Entries {
    rooms: Rooms,
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Entries {
    /// Rooms for so many threads.
    pub fn new(threads: usize) -> Entries {
        let (written, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Entries { rooms: Rooms::new(threads, ROOM), written, dropped }
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
    pub fn take(&self, spare: &mut Vec<u8>, see: impl FnMut(&[u8])) {
        self.rooms.take(spare, see);
    }
}

impl Reader for Entries {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let Some(log) = &snapshot.config.server.access_log else { return };
        if is_wanted(record, log)
            && !self.rooms.put(|room| Entry::encode(record, log, snapshot, room))
        {
            self.note_dropped(1);
        }
    }
}

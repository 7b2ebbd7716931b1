//! The last requests, for whoever asks why: records in, what was kept of them out.
//!
//! One ring a worker, so that nobody who serves requests waits for another; each holds so many
//! bytes, half of them for requests that failed, which a flood of good ones does not wash away. The
//! memory is taken as it fills. Only a reader ever waits for a ring: a writer that finds one being
//! read leaves its record out and counts it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::kept::{decode, encode, is_of};
use super::{Kept, Record};
use crate::snapshot::Snapshot;

/// The rings of all workers.
#[derive(Debug)]
pub struct Rings {
    rings: Box<[Mutex<Ring>]>,
    /// Records that were left out because somebody was reading.
    left_out: AtomicU64,
}

/// What one worker remembers.
struct Ring {
    good: Half,
    failed: Half,
    /// A record on its way into the ring.
    record: Vec<u8>,
}

/// Records, the oldest first, each with its length before it.
struct Half {
    bytes: VecDeque<u8>,
    most: usize,
}

/// Bytes of a length.
const LENGTH: usize = 4;

/// A half begins with this many bytes and doubles.
const FIRST: usize = 4_096;

impl Rings {
    /// Rings for this many workers that hold so many bytes in all; none for 0.
    pub fn new(bytes: usize, workers: usize) -> Rings {
        let workers = workers.max(1);
        let most = bytes / workers / 2;
        Rings {
            rings: (0..workers).map(|_| Mutex::new(Ring::new(most))).collect(),
            left_out: AtomicU64::new(0),
        }
    }

    /// Remembers a request. Never waits.
    pub fn write(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let number = WORKER.with(|worker| *worker) % self.rings.len();
        match self.rings[number].try_lock() {
            Ok(mut ring) => ring.write(record, snapshot),
            Err(TryLockError::Poisoned(ring)) => ring.into_inner().write(record, snapshot),
            Err(TryLockError::WouldBlock) => drop(self.left_out.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// The last request with this id, if it is remembered.
    pub fn find(&self, request_id: &str) -> Option<Kept> {
        let mut found = Vec::new();
        self.each(|bytes| {
            if is_of(bytes, request_id) {
                found.extend(decode(bytes));
            }
        });
        found.into_iter().max_by_key(|kept| kept.at)
    }

    /// All that are remembered, the latest first, but no more than these.
    pub fn latest(&self, most: usize) -> Vec<Kept> {
        let mut kept = Vec::new();
        self.each(|bytes| kept.extend(decode(bytes)));
        kept.sort_by_key(|kept: &Kept| std::cmp::Reverse(kept.at));
        kept.truncate(most);
        kept
    }

    /// Records that were left out because somebody was reading.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Bytes that are taken by what is remembered.
    pub fn bytes(&self) -> usize {
        let held = |ring: &Mutex<Ring>| {
            let ring = lock(ring);
            ring.good.bytes.capacity() + ring.failed.bytes.capacity()
        };
        self.rings.iter().map(held).sum()
    }

    fn each(&self, mut see: impl FnMut(&[u8])) {
        for ring in &self.rings {
            let ring = lock(ring);
            [&ring.good, &ring.failed].into_iter().for_each(|half| half.each(&mut see));
        }
    }
}

impl Ring {
    fn new(most: usize) -> Ring {
        let half = || Half { bytes: VecDeque::new(), most };
        Ring { good: half(), failed: half(), record: Vec::new() }
    }

    fn write(&mut self, record: &Record<'_>, snapshot: &Snapshot) {
        let half = if record.has_failed() { &mut self.failed } else { &mut self.good };
        if half.most == 0 {
            return;
        }
        self.record.clear();
        encode(record, snapshot, &mut self.record);
        half.push(&self.record);
    }
}

impl Half {
    /// Lets the oldest go until there is room. What is longer than all of it is left out.
    fn push(&mut self, record: &[u8]) {
        let wanted = LENGTH + record.len();
        if wanted > self.most {
            return;
        }
        while self.bytes.len() + wanted > self.most {
            let oldest = LENGTH + self.length_at(0);
            self.bytes.drain(..oldest);
        }
        let whole = self.bytes.len() + wanted;
        if whole > self.bytes.capacity() {
            let capacity =
                (2 * self.bytes.capacity()).clamp(FIRST, self.most.max(FIRST)).max(whole);
            self.bytes.reserve_exact(capacity.min(self.most) - self.bytes.len());
        }
        self.bytes.extend((record.len() as u32).to_le_bytes());
        self.bytes.extend(record);
    }

    /// The length of the record that begins here.
    fn length_at(&self, at: usize) -> usize {
        let byte = |n: usize| self.bytes[at + n];
        u32::from_le_bytes(std::array::from_fn(byte)) as usize
    }

    fn each(&self, see: &mut impl FnMut(&[u8])) {
        let (mut at, mut record) = (0, Vec::new());
        while at < self.bytes.len() {
            let length = self.length_at(at);
            record.clear();
            record.extend(self.bytes.range(at + LENGTH..at + LENGTH + length));
            see(&record);
            at += LENGTH + length;
        }
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

/// What is in a ring is whole whoever panicked: a record goes in at once.
fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers for workers, in the order in which they first remember anything.
static WORKERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static WORKER: usize = WORKERS.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;

//! The last requests, for whoever asks why: records in, what was kept of them out.
//!
//! One ring a worker, so that nobody who serves requests waits for another; each holds so many
//! bytes, half of them for requests that failed, which a flood of good ones does not wash away. The
//! memory is taken as it fills, a block after the other. Only a reader ever waits for a ring: a writer that
//! finds its own being read takes another, and if none is free leaves its record out and counts it.
//!
//! Records have the time of the process; which that is for people is found from one pair of readings, so that
//! a request has one time however often it is shown. A clock that was set since then counts from the next look on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::kept::{decode, encode, is_of};
use super::{Kept, Reader, Record, Timed, timed};
use crate::clock::{Moment, WallTime};
use crate::snapshot::Snapshot;

/// The rings of all workers.
#[derive(Debug)]
pub struct Rings {
    rings: Box<[Mutex<Ring>]>,
    /// Records that were left out because somebody was at every ring.
    left_out: AtomicU64,
    /// The same time twice; none before somebody has looked.
    anchor: Mutex<Option<(Moment, WallTime)>>,
}

/// What one worker remembers.
struct Ring {
    good: Half,
    failed: Half,
    /// A record on its way into the ring.
    record: Vec<u8>,
}

/// Records in blocks, the oldest first, each with its length before it. What is full begins anew
/// with its oldest block: nothing is ever moved.
struct Half {
    blocks: VecDeque<Vec<u8>>,
    block: usize,
    most: usize,
}

/// How far the clock of people and that of the process may have gone apart: then one of them was set.
const SET: Duration = Duration::from_secs(1);

/// Bytes of a length.
const LENGTH: usize = 4;

/// Bytes of a block; a half that is smaller than some of them has smaller ones.
const BLOCK: usize = 64 << 10;

/// Blocks that a half has at least, so that little is forgotten at once.
const FEWEST: usize = 8;

impl Rings {
    /// Rings for this many workers that hold so many bytes in all; none for 0.
    pub fn new(bytes: usize, workers: usize) -> Rings {
        let workers = workers.max(1);
        let most = bytes / workers / 2;
        Rings {
            rings: (0..workers).map(|_| Mutex::new(Ring::new(most))).collect(),
            left_out: AtomicU64::new(0),
            anchor: Mutex::default(),
        }
    }

    /// The readings by which times are told.
    fn anchor(&self, now: (Moment, WallTime)) -> (Moment, WallTime) {
        let mut anchor = lock(&self.anchor);
        let is_right = |known: &(Moment, WallTime)| {
            let expected = now.0.on(*known);
            expected.elapsed_since(now.1).max(now.1.elapsed_since(expected)) < SET
        };
        let known = anchor.filter(is_right).unwrap_or(now);
        *anchor = Some(known);
        known
    }

    /// The last request with this id, if it is remembered. `now` is the same time twice: as the
    /// process counts it, and as people do.
    pub fn find(&self, request_id: &str, now: (Moment, WallTime)) -> Option<Kept> {
        let (mut found, anchor) = (Vec::new(), self.anchor(now));
        self.each(|bytes| {
            if is_of(bytes, request_id) {
                found.extend(decode(bytes, anchor));
            }
        });
        found.into_iter().max_by_key(|kept| kept.at)
    }

    /// All that are remembered, the latest first, but no more than these. `now` as for
    /// [`Rings::find`].
    pub fn latest(&self, most: usize, now: (Moment, WallTime)) -> Vec<Kept> {
        let (mut kept, anchor) = (Vec::new(), self.anchor(now));
        self.each(|bytes| kept.extend(decode(bytes, anchor)));
        kept.sort_by_key(|kept: &Kept| std::cmp::Reverse(kept.at));
        kept.truncate(most);
        kept
    }

    /// What exemplars are made of, of the latest requests: those in the last two blocks of each half, however
    /// much is remembered. The rings are held while the blocks are copied, not while they are read. `now` as for
    /// [`Rings::find`]: whoever stores exemplars takes one with another time for another one.
    pub fn timed(&self, now: (Moment, WallTime)) -> Vec<Timed> {
        let (mut found, anchor) = (Vec::new(), self.anchor(now));
        for ring in &self.rings {
            let blocks: Vec<Vec<u8>> = {
                let ring = lock(ring);
                let halves = [&ring.good, &ring.failed].into_iter();
                halves.flat_map(|half| half.blocks.iter().rev().take(2).cloned()).collect()
            };
            for block in &blocks {
                each_in(block, &mut |bytes| found.extend(timed::decode(bytes, anchor)));
            }
        }
        found
    }

    /// Records that were left out because somebody was at every ring.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Bytes that are taken by what is remembered.
    pub fn bytes(&self) -> usize {
        let held = |ring: &Mutex<Ring>| {
            let ring = lock(ring);
            ring.good.bytes() + ring.failed.bytes()
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

/// Remembers requests.
impl Reader for Rings {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        match free_from(&self.rings, place_of_thread(self.rings.len())) {
            Some(mut ring) => ring.write(record, snapshot),
            None => drop(self.left_out.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl Ring {
    fn new(most: usize) -> Ring {
        let block = BLOCK.min(most / FEWEST);
        let half = || Half { blocks: VecDeque::new(), block, most };
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
    /// Lets the oldest go if there is no room. What is longer than a block is left out.
    fn push(&mut self, record: &[u8]) {
        let wanted = LENGTH + record.len();
        if self.blocks.back().is_none_or(|block| block.capacity() - block.len() < wanted) {
            if wanted > self.block {
                return;
            }
            self.begin_block();
        }
        let Some(block) = self.blocks.back_mut() else { return };
        block.extend_from_slice(&(record.len() as u32).to_le_bytes());
        block.extend_from_slice(record);
    }

    fn begin_block(&mut self) {
        let is_full = (self.blocks.len() + 1) * self.block > self.most;
        let oldest = if is_full { self.blocks.pop_front() } else { None };
        let mut block = oldest.unwrap_or_else(|| Vec::with_capacity(self.block));
        block.clear();
        self.blocks.push_back(block);
    }

    fn bytes(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    fn each(&self, see: &mut impl FnMut(&[u8])) {
        self.blocks.iter().for_each(|block| each_in(block, see));
    }
}

/// Each record of a block.
fn each_in(block: &[u8], see: &mut impl FnMut(&[u8])) {
    let mut rest = block;
    while let Some((length, behind)) = rest.split_first_chunk::<LENGTH>() {
        let (record, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
        see(record);
        rest = behind;
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

/// It, once nobody else is at it. What is in a ring, in a room or on a shelf is whole whoever panicked beside it:
/// what goes in goes in at once.
pub fn lock<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one at this place, or if somebody is at it the next that is free: nobody waits. One whose last user
/// has panicked is as good as any.
pub fn free_from<T>(all: &[Mutex<T>], at: usize) -> Option<MutexGuard<'_, T>> {
    let (before, from) = all.split_at(at);
    from.iter().chain(before).find_map(free)
}

/// It, if nobody is at it.
pub fn free<T>(one: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match one.try_lock() {
        Ok(free) => Some(free),
        Err(TryLockError::Poisoned(free)) => Some(free.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The place of the thread that this runs on, among so many: threads are numbered as they first ask.
pub fn place_of_thread(of: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    PLACE.with(|place| place % of)
}

#[cfg(test)]
mod tests;

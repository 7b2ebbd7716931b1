//! A response on its way to a client, written down meanwhile: pieces of its body in, an entry of
//! the store out once it has ended well.
//!
//! Pieces are copied: what a lane hands over are slices of larger buffers, and an entry that held
//! one would hold its whole buffer. What is being written down counts against the store's bound
//! too; a response that does not fit is given up without a word, as it reaches its client anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::StaleStore;
use super::shelf::Entry;

/// The room made first for a body of unknown length.
const FIRST_PIECE: usize = 4 * 1024;

/// One response that may become an entry. Dropped before its end it leaves nothing.
#[derive(Debug)]
pub struct Recording {
    store: Arc<StaleStore>,
    /// None once it was given up.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    entry: Entry,
    body: Vec<u8>,
    /// The length that the response's head states.
    stated: Option<usize>,
    /// The most that the body may have.
    most: usize,
    room: Room,
}

/// Bytes taken from what all recordings may hold; given back on drop.
#[derive(Debug)]
struct Room {
    all: Arc<AtomicUsize>,
    taken: usize,
    most: usize,
}

impl Recording {
    /// Begins one; none if it can be told already that it would not fit.
    pub(super) fn begin(
        store: Arc<StaleStore>,
        entry: Entry,
        stated: Option<usize>,
    ) -> Option<Recording> {
        let most = store.most_per_entry().checked_sub(entry.size())?;
        if stated.is_some_and(|length| length > most) {
            return None;
        }
        let most_room = store.most_recording();
        let mut room = Room { all: store.recording().clone(), taken: 0, most: most_room };
        let body = Vec::new();
        room.take(entry.size()).then_some(())?;
        let open = Open { entry, body, stated, most, room };
        Some(Recording { store, open: Some(open) })
    }

    /// Takes the next piece of the body, as it goes to the client.
    pub fn push(&mut self, piece: &[u8]) {
        if let Some(open) = &mut self.open
            && !open.push(piece)
        {
            self.open = None;
        }
    }

    /// Makes it an entry: the body has ended, and not by a failure.
    pub fn complete(self) {
        let Some(Open { mut entry, body, stated, .. }) = self.open else { return };
        if stated.is_some_and(|length| length != body.len()) {
            return;
        }
        // The room that a growing body left unused is given back with this.
        entry.body = body.into_boxed_slice().into();
        self.store.keep(entry);
    }
}

impl Open {
    /// Whether the piece fits.
    fn push(&mut self, piece: &[u8]) -> bool {
        let length = self.body.len() + piece.len();
        if length > self.stated.unwrap_or(self.most) {
            return false;
        }
        if length > self.body.capacity() {
            let doubled = (2 * self.body.capacity()).clamp(FIRST_PIECE, self.most.max(FIRST_PIECE));
            let wanted = self.stated.unwrap_or(doubled).max(length);
            if !self.room.take(wanted - self.body.capacity()) {
                return false;
            }
            self.body.reserve_exact(wanted - self.body.len());
        }
        self.body.extend_from_slice(piece);
        true
    }
}

impl Room {
    /// Takes more, if there is so much.
    fn take(&mut self, more: usize) -> bool {
        // Only a sum: nothing is read on the strength of it.
        let took = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| {
            all.checked_add(more).filter(|sum| *sum <= self.most)
        });
        if took.is_ok() {
            self.taken += more;
        }
        took.is_ok()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

//! What waits to be sent: records in where requests end, their bytes out to who sends spans; and how many
//! spans were sent and how many were not.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Entry, Examples, kept_for, may_be_kept};
use crate::record::{Reader, Record, Rooms};
use crate::snapshot::Snapshot;

/// Bytes of one room: at 500 of a request some thousand of them, a second's worth of what anybody wants to
/// have told.
const ROOM: usize = 1 << 20;

/// Where requests are put that are told of.
#[derive(Debug)]
pub struct Waiting {
    rooms: Rooms,
    /// What events point at.
    pub examples: Examples,
    sent: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

/// Why spans were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// There was no room for them where requests end.
    NoRoom,
    /// As many were kept in that second as may be.
    KeepLimit,
    /// Later ones took their place while the collector took none.
    QueueFull,
    /// The collector could not be reached, or took none, each time it was tried.
    NotTaken,
    /// The collector said that it does not want them.
    Refused,
    /// The process ended before.
    Stopped,
}

impl Dropped {
    /// All of them.
    pub const ALL: [Dropped; 6] = [
        Dropped::NoRoom,
        Dropped::KeepLimit,
        Dropped::QueueFull,
        Dropped::NotTaken,
        Dropped::Refused,
        Dropped::Stopped,
    ];

    /// Its word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Dropped::NoRoom => "no_room",
            Dropped::KeepLimit => "keep_limit",
            Dropped::QueueFull => "queue_full",
            Dropped::NotTaken => "not_taken",
            Dropped::Refused => "refused",
            Dropped::Stopped => "stopped",
        }
    }
}

impl Waiting {
    /// Rooms for so many threads.
    pub fn new(threads: usize) -> Waiting {
        let rooms = Rooms::new(threads, ROOM);
        let (examples, sent) = (Examples::default(), AtomicU64::new(0));
        Waiting { rooms, examples, sent, dropped: Default::default() }
    }

    /// Takes what has come; `spare` is lent to whoever puts something meanwhile.
    pub fn take(&self, spare: &mut Vec<u8>, see: impl FnMut(&[u8])) {
        self.rooms.take(spare, see);
    }

    /// Spans that a collector has taken.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// So many more were taken.
    pub fn note_sent(&self, spans: u64) {
        self.sent.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans that were not sent for this reason.
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].load(Ordering::Relaxed)
    }

    /// So many more were not sent.
    pub fn note_dropped(&self, why: Dropped, spans: u64) {
        self.dropped[why as usize].fetch_add(spans, Ordering::Relaxed);
    }
}

impl Reader for Waiting {
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot) {
        let Some(traces) = &snapshot.config.traces else { return };
        let Some(traced) = &record.noted.traced else { return };
        let spans = 1 + record.noted.attempts.len() as u64;
        let mut kept = None;
        if !traced.is_sampled {
            kept = kept_for(record, traces, snapshot);
            if kept.is_none() {
                return;
            }
            if !may_be_kept(record, traces, snapshot) {
                return self.note_dropped(Dropped::KeepLimit, spans);
            }
        }
        if !self.rooms.put(|room| Entry::encode(record, kept, snapshot, room)) {
            self.note_dropped(Dropped::NoRoom, spans);
        }
    }
}

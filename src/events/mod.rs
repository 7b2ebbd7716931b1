//! What happened, for people and programs: [`Event`]s in; a log line each, a bounded list, a
//! broadcast, and notices to who wants them out.

mod states;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::clock::{Clock, WallTime};
use crate::config::Severity;
use crate::event::{Event, Kept, Kind, Subject};
use crate::notify::{Notice, Notifier};
use crate::snapshot::{Published, Service};
use crate::store::StoredEvent;

pub use states::tell_states;

/// How many are kept.
const KEPT: usize = 1_000;

/// How far a subscriber may fall behind: then it misses the oldest, and finds them in the list.
const BEHIND: usize = 256;

/// An event in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Counts up from 1, over restarts too; gaps mean nothing was lost but what is older than the
    /// list.
    pub number: u64,
    /// When.
    pub at: WallTime,
    /// What.
    pub event: Event,
}

/// The last events.
pub struct Events {
    clock: Clock,
    published: Arc<Published>,
    notifier: Arc<Notifier>,
    list: Mutex<List>,
    told: broadcast::Sender<Arc<Entry>>,
}

#[derive(Debug, Default)]
struct List {
    last: u64,
    stored: u64,
    entries: VecDeque<Arc<Entry>>,
}

impl Events {
    /// Goes on from those that are stored, the oldest first.
    pub fn new(
        clock: Clock,
        published: Arc<Published>,
        notifier: Arc<Notifier>,
        stored: Vec<StoredEvent>,
    ) -> Events {
        let entries: VecDeque<Arc<Entry>> =
            stored.into_iter().map(|stored| Arc::new(Entry::from(stored))).collect();
        let last = entries.back().map_or(0, |entry| entry.number);
        let list = Mutex::new(List { last, stored: last, entries });
        Events { clock, published, notifier, list, told: broadcast::Sender::new(BEHIND) }
    }

    /// Keeps an event, writes a log line and tells who wants to be told.
    pub fn say(&self, event: Event) {
        log(&event);
        let at = self.clock.wall_time();
        let entry = {
            let mut list = self.list();
            list.last += 1;
            let entry = Arc::new(Entry { number: list.last, at, event });
            list.entries.push_back(entry.clone());
            if list.entries.len() > KEPT {
                list.entries.pop_front();
            }
            // Told in the order of their numbers. That nobody listens is no fault.
            let _ = self.told.send(entry.clone());
            entry
        };
        self.notifier.send(self.notice(&entry));
    }

    /// Those with a higher number than this, the oldest first.
    pub fn after(&self, number: u64) -> Vec<Arc<Entry>> {
        let list = self.list();
        let first = list.entries.partition_point(|entry| entry.number <= number);
        list.entries.range(first..).cloned().collect()
    }

    /// Each event from now on. Who falls behind by more than 256 misses some.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.told.subscribe()
    }

    /// Those that are not stored yet.
    pub fn unstored(&self) -> Vec<Arc<Entry>> {
        let stored = self.list().stored;
        self.after(stored)
    }

    /// All up to this one are stored.
    pub fn set_stored(&self, number: u64) {
        self.list().stored = number;
    }

    fn notice(&self, entry: &Entry) -> Notice {
        let event = &entry.event;
        let by = event.author.as_ref().map_or_else(String::new, |author| format!(", by {author}"));
        let why = event.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let Subject { service, pool, upstream } = event.subject.clone();
        let snapshot = self.published.load();
        let state = snapshot.service(&service).map(state).unwrap_or_default();
        Notice {
            id: entry.number,
            at: entry.at,
            severity: event.severity(),
            kind: event.kind.name().to_string(),
            service,
            pool,
            upstream,
            what: format!("{}{by}{why}", event.words()),
            state,
            next: event.next(),
            dedup: event.likeness(),
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(event: &Event) {
    let Subject { service, pool, upstream } = &event.subject;
    let (kind, what) = (event.kind.name(), event.words());
    let (author, reason) = (event.author.as_deref(), event.reason.as_deref());
    match event.severity() > Severity::Low {
        true => tracing::warn!(kind, service, pool, upstream, author, reason, "{what}"),
        false => tracing::info!(kind, service, pool, upstream, author, reason, "{what}"),
    }
}

/// How a service stands, in a line.
fn state(service: &Service) -> String {
    format!("{} at revision {}: {}", service.name, service.revision, service.split)
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("list", &self.list).finish_non_exhaustive()
    }
}

impl From<StoredEvent> for Entry {
    fn from(stored: StoredEvent) -> Entry {
        let subject = Subject::new(&stored.service, &stored.pool, &stored.upstream);
        let kept = Kept {
            name: stored.kind,
            code: stored.code,
            severity: stored.severity.parse().unwrap_or(Severity::Low),
            words: stored.what,
        };
        let (author, reason) = (stored.author, stored.reason);
        let event = Event { kind: Kind::Kept(kept), subject, author, reason };
        Entry { number: stored.number, at: stored.at, event }
    }
}

impl From<&Entry> for StoredEvent {
    fn from(entry: &Entry) -> StoredEvent {
        let event = &entry.event;
        let Subject { service, pool, upstream } = event.subject.clone();
        StoredEvent {
            number: entry.number,
            at: entry.at,
            kind: event.kind.name().to_string(),
            code: event.kind.code().to_string(),
            severity: event.severity().name().to_string(),
            service,
            pool,
            upstream,
            what: event.words(),
            author: event.author.clone(),
            reason: event.reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

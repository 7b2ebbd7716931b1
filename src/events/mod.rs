//! What happened, for people and programs: [`Event`]s in; a log line each, a bounded list, word
//! to who waits for the next, and notices to who wants them out.

mod limits;
mod states;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::clock::{Clock, WallTime};
use crate::config::Severity;
use crate::event::{Event, Kept, Kind, Subject};
use crate::notify::{Notice, Notifier};
use crate::snapshot::{Published, Service, Snapshot};
use crate::store::StoredEvent;
use crate::traces::Waiting;
use crate::upstream::{Address, Labels, Upstream};

pub use states::tell_states;

/// How many are kept.
const KEPT: usize = 1_000;

/// Places at which something is said of one name.
const PLACES: usize = 16;

/// How many wait for the next one at once: each holds a connection.
const WAITING: usize = 64;

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
    /// Those of the upstream that it happened to, as they were then.
    pub labels: Labels,
    /// The trace of a request that failed there a short while ago, for what somebody should look at.
    pub trace: Option<String>,
}

/// As many wait already as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{WAITING} readers wait for events already; ask without `wait`")]
pub struct TooMany;

/// The last events.
pub struct Events {
    clock: Clock,
    /// The machine's name.
    host: Arc<str>,
    published: Arc<Published>,
    notifier: Arc<Notifier>,
    /// Whose requests have traces that can be found.
    traces: Option<Arc<Waiting>>,
    list: Mutex<List>,
    /// The last one's number, for who waits for the next.
    told: watch::Sender<u64>,
    waiting: Semaphore,
}

#[derive(Debug, Default)]
struct List {
    last: u64,
    stored: u64,
    entries: VecDeque<Arc<Entry>>,
    /// How often something has happened since the start of the process, by its code.
    counts: BTreeMap<(String, Severity), u64>,
}

impl Events {
    /// Goes on from those that are stored, the oldest first.
    pub fn new(
        clock: Clock,
        host: Arc<str>,
        published: Arc<Published>,
        notifier: Arc<Notifier>,
        stored: Vec<StoredEvent>,
    ) -> Events {
        let mut list = List::default();
        for stored in stored {
            // One without a number was stored with its order, by a process that then died.
            let is_numbered = stored.number > 0;
            let number = if is_numbered { stored.number } else { list.last + 1 };
            list.last = number;
            if is_numbered {
                list.stored = number;
            }
            list.entries.push_back(Arc::new(Entry { number, ..Entry::from(stored) }));
        }
        let (told, waiting) = (watch::Sender::new(list.last), Semaphore::new(WAITING));
        let (list, traces) = (Mutex::new(list), None);
        Events { clock, host, published, notifier, traces, list, told, waiting }
    }

    /// The same that point at traces of requests that failed.
    pub fn with_traces(self, traces: Arc<Waiting>) -> Events {
        Events { traces: Some(traces), ..self }
    }

    /// Keeps an event, writes a log line and tells who wants to be told, unless it is for the record
    /// alone.
    pub fn say(&self, event: Event) {
        log(&event);
        let (at, labels) = (self.clock.wall_time(), self.labels_of(&event.subject));
        let trace = self.example(&event, at);
        let entry = {
            let mut list = self.list();
            list.last += 1;
            *list.counts.entry((event.kind.code().into(), event.severity())).or_default() += 1;
            let entry = Arc::new(Entry { number: list.last, at, event, labels, trace });
            list.entries.push_back(entry.clone());
            if list.entries.len() > KEPT {
                list.entries.pop_front();
            }
            self.told.send_replace(entry.number);
            entry
        };
        if !entry.event.is_for_the_record() {
            self.notifier.send(self.notice(&entry));
        }
    }

    /// Says something of a name at each place where upstreams are known by it, up to [`PLACES`].
    pub fn say_of_name(&self, name: &Address, kind: &Kind) {
        let (snapshot, text) = (self.published.load(), name.to_string());
        let mut said = 0;
        for service in &snapshot.services {
            for pool in &service.pools {
                let is_of = |upstream: &Upstream| {
                    upstream.address == *name || upstream.of.as_deref() == Some(&*text)
                };
                let mut members = pool.members.list().iter();
                if said < PLACES && members.any(|member| is_of(&member.upstream)) {
                    said += 1;
                    let subject = Subject::new(&service.name, &pool.name, &text);
                    self.say(Event::by_itself(kind.clone(), subject));
                }
            }
        }
    }

    /// What has happened since the start of the process: what, how severe, and how often.
    pub fn counts(&self) -> Vec<(String, Severity, u64)> {
        let list = self.list();
        let count = |((code, severity), count): (&(String, Severity), &u64)| {
            (code.clone(), *severity, *count)
        };
        list.counts.iter().map(count).collect()
    }

    /// Those with a higher number than this, the oldest first.
    pub fn after(&self, number: u64) -> Vec<Arc<Entry>> {
        let list = self.list();
        let first = list.entries.partition_point(|entry| entry.number <= number);
        list.entries.range(first..).cloned().collect()
    }

    /// The last one's number; 0 if there was none.
    pub fn last(&self) -> u64 {
        self.list().last
    }

    /// As [`Events::after`], but waits this long at most until there is one. Nobody waits for who
    /// reads: it finds what it has missed in the list, as far as that goes back.
    pub async fn wait_after(
        &self,
        number: u64,
        length: Duration,
    ) -> Result<Vec<Arc<Entry>>, TooMany> {
        let _place = self.waiting.try_acquire().map_err(|_| TooMany)?;
        let mut told = self.told.subscribe();
        // In vain or not, what there is now is the answer.
        let _ = timeout(length, told.wait_for(|last| *last > number)).await;
        Ok(self.after(number))
    }

    /// An event as it is stored together with the order that it comes of, before it is said.
    pub fn unnumbered(&self, event: &Event) -> StoredEvent {
        let labels = self.labels_of(&event.subject);
        let at = self.clock.wall_time();
        let (event, trace) = (event.clone(), self.example(event, at));
        StoredEvent::from(&Entry { number: 0, at, event, labels, trace })
    }

    /// A request that shows what is wrong, if something is.
    fn example(&self, event: &Event, now: WallTime) -> Option<String> {
        let Subject { service, pool, .. } = &event.subject;
        let is_trouble = event.severity() > Severity::Low && !service.is_empty();
        let traces = self.traces.as_ref().filter(|_| is_trouble)?;
        traces.examples.of(service, pool, now)
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
        let Subject { service, pool, upstream } = event.subject.clone();
        let snapshot = self.published.load();
        let state = snapshot.service(&service).map(state).unwrap_or_default();
        let (pointsman, environment) = self.who(&snapshot);
        Notice {
            id: entry.number,
            pointsman,
            environment,
            at: entry.at,
            severity: event.severity(),
            kind: event.kind.name().to_string(),
            service,
            pool,
            upstream,
            labels: entry.labels.clone(),
            what: event.told(),
            author: event.author.clone().unwrap_or_default(),
            state,
            next: event.next(),
            runbook: event.runbook(),
            trace: entry.trace.clone(),
            topic: event.topic(),
            dedup: event.likeness(),
            only_for: event.only_for().cloned(),
            is_relief: event.is_relief(),
            alert: event.alert(),
        }
    }

    /// The labels of an upstream, if something happened to one.
    fn labels_of(&self, subject: &Subject) -> Labels {
        let Subject { service, pool, upstream } = subject;
        if upstream.is_empty() {
            return Labels::default();
        }
        let snapshot = self.published.load();
        let pool = snapshot.service(service).and_then(|service| service.pool(pool));
        let mut members = pool.into_iter().flat_map(|pool| pool.members.list());
        let found = members.find(|member| *member.upstream.name == **upstream);
        found.map(|member| member.labels.clone()).unwrap_or_default()
    }

    /// Which Pointsman this is, and what it is part of; empty if nobody has said so.
    pub fn who(&self, snapshot: &Snapshot) -> (Arc<str>, Arc<str>) {
        let server = &snapshot.config.server;
        let name = server.name.clone().unwrap_or_else(|| self.host.clone());
        (name, server.environment.clone().unwrap_or_default())
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(event: &Event) {
    let Subject { service, pool, upstream } = &event.subject;
    let [service, pool, upstream] =
        [service, pool, upstream].map(|part| Some(part.as_str()).filter(|part| !part.is_empty()));
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
        let (number, at) = (stored.number, stored.at);
        Entry { number, at, event, labels: stored.labels, trace: stored.trace }
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
            labels: entry.labels.clone(),
            trace: entry.trace.clone(),
        }
    }
}

#[cfg(test)]
mod tests;

//! What happened, for people and programs: events in; a log line each, a bounded list, and notices
//! to who wants them out.

mod states;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::{Clock, WallTime};
use crate::config::Severity;
use crate::notify::{Notice, Notifier};
use crate::orders::{Said, Subject};
use crate::snapshot::{Published, Service};
use crate::store::StoredEvent;

pub use states::tell_states;

/// How many are kept.
const KEPT: usize = 1_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Counts up from 1, over restarts too; gaps mean nothing was lost but what is older than the
    /// list.
    pub number: u64,
    /// When.
    pub at: WallTime,
    /// How much it matters.
    pub severity: Severity,
    /// What kind, such as `breaker`.
    pub kind: String,
    /// Where it happened.
    pub subject: Subject,
    /// What happened, in a few words.
    pub what: String,
    /// Who did it, if somebody did.
    pub author: Option<String>,
    /// Why, in the author's words.
    pub reason: Option<String>,
}

/// The last events.
pub struct Events {
    clock: Clock,
    published: Arc<Published>,
    notifier: Arc<Notifier>,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    last: u64,
    stored: u64,
    events: VecDeque<Event>,
}

impl Events {
    /// Goes on from those that are stored, the oldest first.
    pub fn new(
        clock: Clock,
        published: Arc<Published>,
        notifier: Arc<Notifier>,
        stored: Vec<StoredEvent>,
    ) -> Events {
        let events: VecDeque<Event> = stored.into_iter().map(Event::from).collect();
        let last = events.back().map_or(0, |event| event.number);
        let list = Mutex::new(List { last, stored: last, events });
        Events { clock, published, notifier, list }
    }

    /// Notes something that happened by itself.
    pub fn note(
        &self,
        severity: Severity,
        kind: &'static str,
        subject: Subject,
        what: impl Into<String>,
    ) {
        let next = (severity > Severity::Low)
            .then(|| format!("pointsman status {}", subject.service).trim_end().to_string());
        let what = what.into();
        self.say(Said { severity, kind, subject, what, author: None, reason: None, next });
    }

    /// Notes something, writes a log line and tells who wants to be told.
    pub fn say(&self, said: Said) {
        let Said { severity, kind, subject, what, author, reason, next } = said;
        let Subject { service, pool, upstream } = &subject;
        match severity > Severity::Low {
            true => tracing::warn!(kind, service, pool, upstream, author, reason, "{what}"),
            false => tracing::info!(kind, service, pool, upstream, author, reason, "{what}"),
        }
        let at = self.clock.wall_time();
        let number = {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            list.last += 1;
            let number = list.last;
            let (subject, what, kind) = (subject.clone(), what.clone(), kind.to_string());
            let (author, reason) = (author.clone(), reason.clone());
            list.events.push_back(Event {
                number,
                at,
                severity,
                kind,
                subject,
                what,
                author,
                reason,
            });
            if list.events.len() > KEPT {
                list.events.pop_front();
            }
            number
        };
        let by = author.map_or_else(String::new, |author| format!(", by {author}"));
        let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let snapshot = self.published.load();
        let state = snapshot.service(&subject.service).map(state).unwrap_or_default();
        let alike = matter(&what, severity);
        let dedup = format!("{kind}/{service}/{pool}/{upstream}/{alike}");
        let what = format!("{what}{by}{why}");
        let Subject { service, pool, upstream } = subject;
        self.notifier.send(Notice {
            id: number,
            at,
            severity,
            kind,
            service,
            pool,
            upstream,
            what,
            state,
            next,
            dedup,
        });
    }

    /// Those with a higher number than this, the oldest first.
    pub fn after(&self, number: u64) -> Vec<Event> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.events.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// Those that are not stored yet.
    pub fn unstored(&self) -> Vec<Event> {
        let stored = self.list.lock().unwrap_or_else(PoisonError::into_inner).stored;
        self.after(stored)
    }

    /// All up to this one are stored.
    pub fn set_stored(&self, number: u64) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).stored = number;
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

impl From<StoredEvent> for Event {
    fn from(stored: StoredEvent) -> Event {
        let subject = Subject::new(&stored.service, &stored.pool, &stored.upstream);
        let severity = stored.severity.parse().unwrap_or(Severity::Low);
        let StoredEvent { number, at, kind, what, author, reason, .. } = stored;
        Event { number, at, severity, kind, subject, what, author, reason }
    }
}

impl From<&Event> for StoredEvent {
    fn from(event: &Event) -> StoredEvent {
        let Subject { service, pool, upstream } = event.subject.clone();
        StoredEvent {
            number: event.number,
            at: event.at,
            kind: event.kind.clone(),
            severity: event.severity.name().to_string(),
            service,
            pool,
            upstream,
            what: event.what.clone(),
            author: event.author.clone(),
            reason: event.reason.clone(),
        }
    }
}

/// What makes two notices of trouble alike: their words without the figures of why, but with names,
/// which stand in backticks. Of what was ordered each figure is news.
fn matter(what: &str, severity: Severity) -> String {
    match what.split_once(':') {
        Some((matter, why)) if severity > Severity::Low => {
            let mut is_name = false;
            let is_word = |letter: &char| {
                is_name ^= *letter == '`';
                is_name || !letter.is_ascii_digit()
            };
            format!("{matter}:{}", why.chars().filter(is_word).collect::<String>())
        }
        _ => what.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_the_same_kind_is_alike_whatever_its_figures() {
        let failed = |of: u64| format!("rollout 3 is rolled back: 5 of {of} failed");
        assert_eq!(matter(&failed(90), Severity::High), matter(&failed(7), Severity::High));
        let another = "rollout 4 is rolled back: 5 of 90 failed";
        assert_ne!(matter(&failed(90), Severity::High), matter(another, Severity::High));
        let stuck =
            |upstream: u64| format!("rollout 3 is paused: `10.0.0.{upstream}:80` is not healthy");
        assert_ne!(matter(&stuck(3), Severity::Medium), matter(&stuck(4), Severity::Medium));
        let shifted = |to: u64| format!("traffic shifted: green={to}");
        assert_ne!(matter(&shifted(10), Severity::Low), matter(&shifted(20), Severity::Low));
    }
}

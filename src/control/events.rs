//! What happened, for people and programs: events in, a log line each and a bounded list out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::clock::Clock;

/// How many are kept.
const KEPT: usize = 1_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Counts up from 1; gaps mean nothing was lost but what is older than the list.
    pub number: u64,
    /// Unix time, in seconds.
    pub at: f64,
    /// What kind, such as `breaker`.
    pub kind: &'static str,
    /// Where it happened.
    pub subject: Subject,
    /// What happened, in a few words.
    pub what: String,
    /// Who did it, if somebody did.
    pub author: Option<String>,
    /// Why, in the author's words.
    pub reason: Option<String>,
}

/// How bad an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As it should be, or again.
    Info,
    /// Somebody may want to look.
    Warning,
}

/// Where something happened; empty parts are meant as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The service.
    pub service: String,
    /// The pool.
    pub pool: String,
    /// The upstream.
    pub upstream: String,
}

impl Subject {
    /// These parts.
    pub fn new(service: &str, pool: &str, upstream: &str) -> Subject {
        Subject { service: service.into(), pool: pool.into(), upstream: upstream.into() }
    }
}

/// The last events.
#[derive(Debug)]
pub struct Events {
    clock: Clock,
    list: Mutex<(u64, VecDeque<Event>)>,
}

impl Events {
    /// None yet.
    pub fn new(clock: Clock) -> Events {
        Events { clock, list: Mutex::default() }
    }

    /// Notes something that happened by itself.
    pub fn note(
        &self,
        severity: Severity,
        kind: &'static str,
        subject: Subject,
        what: impl Into<String>,
    ) {
        let what = what.into();
        let Subject { service, pool, upstream } = &subject;
        match severity {
            Severity::Info => tracing::info!(kind, service, pool, upstream, "{what}"),
            Severity::Warning => tracing::warn!(kind, service, pool, upstream, "{what}"),
        }
        self.push(kind, subject, what, None, None);
    }

    /// Notes something that somebody did.
    pub fn note_order(
        &self,
        kind: &'static str,
        subject: Subject,
        what: impl Into<String>,
        author: &str,
        reason: Option<&str>,
    ) {
        let what = what.into();
        let Subject { service, pool, upstream } = &subject;
        tracing::info!(kind, service, pool, upstream, author, reason, "{what}");
        self.push(kind, subject, what, Some(author.into()), reason.map(Into::into));
    }

    fn push(
        &self,
        kind: &'static str,
        subject: Subject,
        what: String,
        author: Option<String>,
        reason: Option<String>,
    ) {
        let at = self.clock.unix_seconds();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.0 += 1;
        let number = list.0;
        list.1.push_back(Event { number, at, kind, subject, what, author, reason });
        if list.1.len() > KEPT {
            list.1.pop_front();
        }
    }

    /// Those with a higher number than this, the oldest first.
    pub fn after(&self, number: u64) -> Vec<Event> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.1.iter().filter(|event| event.number > number).cloned().collect()
    }
}

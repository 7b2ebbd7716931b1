//! The record of who asked for what: a request and its answer in, an event out.
//!
//! Each change is told, and each look at what is secret: whoever may do either is believed not to
//! flood the record. Refusals are anybody's. Of those only so many are told, with how many were not:
//! else a stranger could push out of the list of events what matters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};

use super::guard::Caller;
use super::problem::Problem;
use super::source::Source;
use crate::clock::Moment;
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::rate::{Bucket, Rate};

/// Refusals that are told: ten at once, and one a minute.
const TOLD: Rate = Rate { requests: 1, period: Duration::from_secs(60), burst: 10 };

/// The longest path told, in bytes.
const LONGEST: usize = 256;

/// One request to the API, until it is answered.
pub(super) struct Asked {
    events: Arc<Events>,
    what: String,
    service: Option<String>,
    source: Source,
    caller: Caller,
    status: Option<u16>,
}

impl Asked {
    /// A change, or a secret, that is asked for; told when this is dropped, be it that nobody has waited.
    pub fn new(
        events: Arc<Events>,
        what: String,
        service: Option<String>,
        source: Source,
        caller: Caller,
    ) -> Asked {
        Asked { events, what, service, source, caller, status: None }
    }

    /// How it was answered.
    pub fn answered(mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let kind = Kind::Asked {
            what: std::mem::take(&mut self.what),
            status: self.status,
            from: self.source.to_string(),
            role: self.caller.role().to_string(),
        };
        let subject = Subject::service(self.service.as_deref().unwrap_or_default());
        let author = Some(self.caller.author(None));
        self.events.say(Event { kind, subject, author, reason: None });
    }
}

/// Method and path without the query, which may hold what others wrote.
pub(super) fn what(method: &Method, path: &str) -> String {
    // Bytes outside ASCII are refused before.
    match path.get(..LONGEST) {
        Some(cut) if path.len() > LONGEST => format!("{method} {cut}…"),
        _ => format!("{method} {path}"),
    }
}

/// The refusals that are told.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: Bucket,
    untold: AtomicU64,
}

impl Refusals {
    /// Tells of a refusal, unless there were too many lately.
    pub fn tell(
        &self,
        events: &Events,
        now: Moment,
        what: String,
        source: Source,
        caller: Option<&Caller>,
        problem: &Problem,
    ) {
        if !self.told.take(now, &TOLD).is_granted {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let kind = Kind::TurnedAway {
            what,
            status: problem.status,
            why: problem.kind.clone(),
            from: source.to_string(),
            role: caller.map(|caller| caller.role().to_string()),
            more: self.untold.swap(0, Ordering::Relaxed),
        };
        let author = caller.map(|caller| caller.author(None));
        events.say(Event { kind, subject: Subject::default(), author, reason: None });
    }
}

//! The record of who asked for what: a request and its answer in, an event out.
//!
//! Each change is told, and each look at what is secret. Refusals are anybody's, and a wrong request is
//! soon repeated by a script that may order something. Of each of these only so many are told, with how
//! many were not: else they would push out of the list of events what matters.

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
    /// How many more came since the last that was told; none if this is not told itself.
    more: Option<u64>,
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
        Asked { events, what, service, source, caller, status: None, more: Some(0) }
    }

    /// How it was answered. Nothing has come of one that was wrong.
    pub fn answered(mut self, status: StatusCode, refusals: &Refusals, now: Moment) {
        self.status = Some(status.as_u16());
        if status.is_client_error() {
            self.more = refusals.wrong.admit(now);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(more) = self.more else { return };
        let kind = Kind::Asked {
            what: std::mem::take(&mut self.what),
            status: self.status,
            from: self.source.to_string(),
            role: self.caller.role().to_string(),
            more,
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

/// What of a flood is told.
#[derive(Debug, Default)]
struct Told {
    told: Bucket,
    untold: AtomicU64,
}

impl Told {
    /// How many were not told since the last one that was; none if this is not either.
    fn admit(&self, now: Moment) -> Option<u64> {
        if !self.told.take(now, &TOLD).is_granted {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

/// The refusals that are told. Who is not let in takes no place from who is.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    turned_away: Told,
    wrong: Told,
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
        let Some(more) = self.turned_away.admit(now) else { return };
        let kind = Kind::TurnedAway {
            what,
            status: problem.status,
            why: problem.kind.clone(),
            from: source.to_string(),
            role: caller.map(|caller| caller.role().to_string()),
            more,
        };
        let author = caller.map(|caller| caller.author(None));
        events.say(Event { kind, subject: Subject::default(), author, reason: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_ten_are_told_and_then_one_a_minute_with_how_many_were_not() {
        let told = Told::default();
        let at = |seconds: u64| Moment::from_micros(seconds * 1_000_000);
        let first: Vec<Option<u64>> = (0..1_100).map(|_| told.admit(at(100))).collect();
        assert_eq!(first.iter().filter(|told| **told == Some(0)).count(), 10);
        assert_eq!(first.iter().flatten().count(), 10);
        assert_eq!((told.admit(at(161)), told.admit(at(161))), (Some(1_090), None));
    }
}

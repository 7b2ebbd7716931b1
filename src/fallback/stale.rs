//! The last good responses of a service: what upstreams answered in, and out again when none can
//! be asked.
//!
//! An entry is found by host, path and query as the client asked for them, by what its route made of
//! them, by the pool, by where the upstream was told that it is and by the request fields that its
//! response names in `Vary`, these as they were sent on. When room is needed the entry written first goes
//! first: one that is in demand is written anew all the time while upstreams are well, so this is also the
//! one least asked for.
//! The lock is taken for a response that may be kept, and on the way to a fallback; a request whose
//! service keeps nothing never comes here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CONTENT_LENGTH, HeaderName, HeaderValue};

use super::recording::Recording;
use super::shelf::{self, Entry, Shelf};
use super::storable::{Asked, Received, Terms, Unstorable, Wish};
use super::{StaleLimits, Step};
use crate::clock::Moment;
use crate::http::response::FALLBACK_MARK;

/// An entry younger than this is not written anew: a page asked for thousands of times a second
/// would be copied as often.
const FRESH_ENOUGH: Duration = Duration::from_secs(1);

/// The responses kept for one service.
#[derive(Debug)]
pub struct StaleStore {
    limits: StaleLimits,
    shelf: Mutex<Shelf>,
    /// Bytes that recordings hold.
    recording: Arc<AtomicUsize>,
}

/// A response to give out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaleResponse {
    /// The status code.
    pub status: u16,
    /// Fields without those of framing, with `Age` and [`FALLBACK_MARK`]. A name may come twice: they
    /// are to be appended.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The whole content, also for `HEAD`, where only its length is told.
    pub body: Bytes,
    /// How old it is.
    pub age: Duration,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaleReading {
    /// Responses kept.
    pub entries: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Bytes of those that are being written down.
    pub recording: usize,
}

impl StaleStore {
    /// An empty one.
    pub fn new(limits: StaleLimits) -> StaleStore {
        StaleStore { limits, shelf: Mutex::default(), recording: Arc::default() }
    }

    /// Its bounds, by which a reload can tell whether it may stay.
    pub fn limits(&self) -> StaleLimits {
        self.limits
    }

    /// How full it is.
    pub fn read(&self) -> StaleReading {
        let shelf = self.shelf();
        let recording = self.recording.load(Ordering::Relaxed);
        StaleReading { entries: shelf.entries(), bytes: shelf.bytes(), recording }
    }

    /// Hears the head of every final response of an upstream of the service. A recording is to be
    /// fed with the body and completed at its end.
    ///
    /// Answers an unsafe request's success, and a response that says the target has gone, by
    /// forgetting what is kept for the target (RFC 9111 section 4.4).
    pub fn offer(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        received: &Received<'_>,
    ) -> Result<Option<Recording>, Unstorable> {
        let terms = match Terms::of(asked, received) {
            Ok(terms) if terms.initial_age <= self.longest(&terms) => terms,
            refused => {
                self.end(asked, received);
                return Err(refused.err().unwrap_or(Unstorable::TooOld));
            }
        };
        let target = target(asked);
        let is_fresh_enough = |entry: &Entry| {
            let age = received.now.elapsed_since(entry.received);
            // Half, so that with a short age too there is always one that may be given out.
            let fresh_enough = FRESH_ENOUGH.min(self.limits.age / 2);
            entry.status == received.status && age < fresh_enough
        };
        if self.shelf().find(&target, asked).is_some_and(is_fresh_enough) {
            return Ok(None);
        }
        let stated = match received.headers.get(CONTENT_LENGTH).map(|value| value.to_str()) {
            Some(length) => match length.ok().and_then(|length| length.trim().parse().ok()) {
                None => return Err(Unstorable::Unframed),
                length => length,
            },
            None => None,
        };
        let entry = Entry {
            target: target.into(),
            rewritten: asked.rewritten.map(Into::into),
            pool: asked.pool.into(),
            began: asked.began,
            writes: 0,
            status: received.status,
            fields: shelf::kept(received),
            body: Bytes::new(),
            received: received.now,
            terms,
        };
        Ok(Recording::begin(self.clone(), entry, stated))
    }

    /// The newest response that this request may be given.
    pub fn find(&self, asked: &Asked<'_>, now: Moment) -> Option<StaleResponse> {
        let wish = Wish::of(asked)?;
        let shelf = self.shelf();
        let entry = shelf.find(&target(asked), asked)?;
        let age = entry.age(now);
        // An older one that might do is none: a newer response has replaced it.
        if age > self.longest(&entry.terms) || !wish.takes(age, entry.terms.lifetime) {
            return None;
        }
        let mut headers = Vec::with_capacity(entry.fields.len() + 2);
        headers.extend_from_slice(&entry.fields);
        headers.push((AGE, HeaderValue::from(age.as_secs())));
        headers.push((FALLBACK_MARK, Step::Stale.mark()));
        Some(StaleResponse { status: entry.status, headers, body: entry.body.clone(), age })
    }

    /// From now on only responses of these pools are kept, those with traffic: what a target of a
    /// rollout has said goes with its traffic.
    pub fn set_pools(&self, pools: &[Arc<str>], now: Moment) {
        self.shelf().set_pools(pools, now);
    }

    /// What a pool has said so far goes: its version was taken back.
    pub fn forget_pool(&self, pool: &str, now: Moment) {
        self.shelf().forget_pool(pool, now);
    }

    /// A response that may not be kept may still say that earlier ones hold no more.
    fn end(&self, asked: &Asked<'_>, received: &Received<'_>) {
        if !ends_what_was(asked, received.status) {
            return;
        }
        match asked.method.is_safe() {
            false => self.shelf().end_target(&target(asked), received.now),
            // What one client alone is told is said of nobody else's page.
            true if asked.is_anybodys() => {
                self.shelf().end_answer(&target(asked), asked);
            }
            true => {}
        }
    }

    /// Puts an entry in its place and lets go what is in its way.
    pub(super) fn keep(&self, entry: Entry) {
        let mut shelf = self.shelf();
        let now = entry.received;
        if shelf.keep(entry) {
            let most = self.limits.bytes - self.most_recording();
            shelf.trim(most, |entry| entry.age(now) <= self.limits.age);
        }
    }

    /// The most that one entry may take, its head included.
    pub(super) fn most_per_entry(&self) -> usize {
        self.limits.bytes / 8
    }

    /// The most that all recordings may take; entries have the rest.
    pub(super) fn most_recording(&self) -> usize {
        self.limits.bytes / 4
    }

    pub(super) fn recording(&self) -> &Arc<AtomicUsize> {
        &self.recording
    }

    fn longest(&self, terms: &Terms) -> Duration {
        terms.longest.map_or(self.limits.age, |longest| longest.min(self.limits.age))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A host has no `/`, so that two targets cannot read the same.
fn target(asked: &Asked<'_>) -> String {
    place(asked.host, asked.target)
}

fn place(host: &str, target: &str) -> String {
    format!("{host}{target}")
}

/// Whether this response means that earlier ones of the target hold no more.
fn ends_what_was(asked: &Asked<'_>, status: u16) -> bool {
    match asked.method.is_safe() {
        true => matches!(status, 301 | 308 | 404 | 410),
        false => (200..400).contains(&status),
    }
}

#[cfg(test)]
mod tests;

//! The life of one request, whoever moves its bytes: a head in, decisions and edits out, and at
//! the end one record.
//!
//! A lane opens an exchange with the snapshot in force, has it admit the request, asks it for a
//! target as often as it tries, tells it what came back, and lets it go. Whatever way it goes
//! (answered, failed, client gone, task cancelled, panic), dropping it gives back the upstream's
//! place and accounts for the request exactly once.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, UPGRADE};
use smallvec::SmallVec;

use super::admission::{self, Head};
use super::answer::Answer;
use super::failure::{BadRequest, Cause};
use super::forwarded::{self, Peer};
use super::hop_by_hop;
use super::trace_context::{TRACEPARENT, TRACESTATE, TraceContext, hex};
use crate::clock::{Clock, Draws};
use crate::config::Timeouts;
use crate::observe::RequestRecord;
use crate::route::Facts;
use crate::snapshot::{Decision, Refusal, Snapshot};
use crate::upstream::{InFlight, Outcome, StatusClass, Target};

/// `x-request-id`.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id of a client that is kept.
const LONGEST_REQUEST_ID: usize = 128;

/// One request from its head to its record.
#[derive(Debug)]
pub struct Exchange {
    clock: Clock,
    snapshot: Arc<Snapshot>,
    draws: Draws,
    started: Instant,
    decision: Option<Decision>,
    /// Set once a pool is known even if no upstream of it was: the refusal counts there.
    pool: Option<(usize, usize)>,
    attempt: Option<Attempt>,
    request_id: HeaderValue,
    edits: Edits,
    asks_websocket: bool,
    cause: Option<Cause>,
    is_recorded: bool,
}

/// One upstream being asked.
#[derive(Debug)]
struct Attempt {
    in_flight: InFlight,
    started: Instant,
    outcome: Option<Outcome>,
}

/// Where to try, and how long each part may take.
#[derive(Clone, Debug)]
pub struct Try {
    /// Where to dial.
    pub target: Target,
    /// The service's time-outs.
    pub timeouts: Timeouts,
}

/// Changes to a request's fields, in order; a name without a value is removed.
#[derive(Clone, Debug, Default)]
pub struct Edits(SmallVec<[(HeaderName, Option<HeaderValue>); 8]>);

impl Edits {
    /// Replaces all lines of this field by one.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, Some(value)));
    }

    /// Removes all lines of this field.
    pub fn remove(&mut self, name: HeaderName) {
        self.0.push((name, None));
    }

    /// All of them.
    pub fn list(&self) -> &[(HeaderName, Option<HeaderValue>)] {
        &self.0
    }
}

impl Exchange {
    /// Begins when a request's head has been read.
    pub fn open(clock: Clock, snapshot: Arc<Snapshot>) -> Exchange {
        Exchange {
            started: clock.now(),
            draws: clock.draws(),
            clock,
            snapshot,
            decision: None,
            pool: None,
            attempt: None,
            request_id: HeaderValue::from_static("-"),
            edits: Edits::default(),
            asks_websocket: false,
            cause: None,
            is_recorded: false,
        }
    }

    /// The snapshot that this request sees.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Checks the request, decides where it goes and what its fields become.
    pub fn admit(&mut self, head: &Head<'_>, peer: &Peer) -> Result<(), Cause> {
        let admitted = self.try_admit(head, peer);
        if let Err(cause) = admitted {
            self.cause = Some(cause);
        }
        admitted
    }

    fn try_admit(&mut self, head: &Head<'_>, peer: &Peer) -> Result<(), Cause> {
        let snapshot = self.snapshot.clone();
        let server = &snapshot.config.server;
        let admitted = match admission::examine(head, &server.client) {
            Ok(admitted) => admitted,
            Err(rule) => {
                self.identify(head.headers);
                return Err(rule.into());
            }
        };
        let carries = admitted.carries;
        match carries.request_id {
            true => self.identify(head.headers),
            false => self.make_id(),
        }
        let trusted = &server.trusted_proxies;
        let facts = Facts {
            method: head.method,
            host: &admitted.host,
            path: head.uri.path(),
            headers: head.headers,
            client: match carries.forwarding {
                true => forwarded::client(head.headers, peer, trusted),
                false => peer.address,
            },
        };
        match snapshot.decide(&facts, &mut self.draws) {
            Ok(decision) => {
                self.decision = Some(decision);
                self.pool = Some((decision.service, decision.pool));
            }
            Err(refusal) => {
                if let Refusal::NoUpstream { service, pool } = refusal {
                    self.pool = Some((service, pool));
                }
                return Err(refusal.into());
            }
        }
        self.asks_websocket = carries.upgrade && carries.connection && asks_websocket(head.headers);
        let host = (admitted.host_field, carries.forwarding);
        forwarded::edit(head.headers, host, peer, trusted, &mut self.edits);
        let trace = match carries.trace {
            true => TraceContext::continue_or_start(head.headers, &mut self.draws),
            false => TraceContext::start(&mut self.draws),
        };
        self.edits.set(TRACEPARENT, trace.traceparent());
        match trace.state {
            Some(state) => self.edits.set(TRACESTATE, state),
            None if carries.trace_state => self.edits.remove(TRACESTATE),
            None => {}
        }
        Ok(())
    }

    /// Keeps the request's id if it can be put into a log line, else makes one.
    fn identify(&mut self, headers: &HeaderMap) {
        let fits = |value: &&HeaderValue| {
            (1..=LONGEST_REQUEST_ID).contains(&value.len())
                && value.as_bytes().iter().all(|b| b.is_ascii_graphic())
        };
        match headers.get(REQUEST_ID).filter(fits) {
            Some(given) => self.request_id = given.clone(),
            None => self.make_id(),
        }
    }

    fn make_id(&mut self) {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&hex::<16>(self.draws.bits()));
        id[16..].copy_from_slice(&hex::<16>(self.draws.bits()));
        let id = HeaderValue::from_bytes(&id);
        self.request_id = id.expect("hex digits are a valid field value");
        self.edits.set(REQUEST_ID, self.request_id.clone());
    }

    /// What becomes of the request's fields on the way to an upstream.
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// The id that the request is known by.
    pub fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// Takes a place on an upstream: the decided one first, another drawn one on a later try.
    pub fn attempt(&mut self) -> Result<Try, Cause> {
        let decision = self.decision.ok_or(Cause::Internal)?;
        // Deciding takes microseconds, so the first try begins with the exchange.
        let (member, started) = match self.attempt.is_none() {
            true => (decision.member, self.started),
            false => {
                let now = self.clock.now();
                self.end_attempt(now);
                let again = self.snapshot.pick(decision.service, decision.pool, &mut self.draws)?;
                (again, now)
            }
        };
        let service = &self.snapshot.services[decision.service];
        let member = &service.pools[decision.pool].members.list()[member];
        let at = self.draws.below(member.targets.len() as u64) as usize;
        let target = member.targets.get(at).ok_or(Cause::NoUpstream)?.clone();
        self.attempt = Some(Attempt { in_flight: member.upstream.hold(), started, outcome: None });
        Ok(Try { target, timeouts: service.timeouts })
    }

    /// The bounds of the service being asked; the defaults before one is known.
    pub fn timeouts(&self) -> Timeouts {
        let service = self.decision.map(|decision| &self.snapshot.services[decision.service]);
        service.map_or_else(Timeouts::default, |service| service.timeouts)
    }

    /// Hears the head of an upstream's response; refuses one that may not be passed on.
    pub fn on_response_head(&mut self, status: u16, headers: &HeaderMap) -> Result<(), Cause> {
        if status == 101 && !(self.asks_websocket && names_websocket(headers)) {
            // A switch nobody asked for would open a tunnel past every rule.
            return Err(self.on_attempt_failed(Cause::BadResponse));
        }
        if let Some(attempt) = &mut self.attempt
            && (status == 101 || status >= 200)
        {
            attempt.outcome = Some(Outcome::Status(StatusClass::of(status)));
        }
        Ok(())
    }

    /// Hears that the attempt under way came to nothing; answers with the cause again.
    pub fn on_attempt_failed(&mut self, cause: Cause) -> Cause {
        self.cause = Some(cause);
        if let Some(attempt) = &mut self.attempt {
            match (cause.row().upstream_at_fault, attempt.outcome) {
                (true, _) => attempt.outcome = Some(Outcome::Failed),
                (false, None) => attempt.outcome = Some(Outcome::ClientGone),
                (false, Some(_)) => {}
            }
        }
        cause
    }

    /// What the client is told when no upstream's answer can be passed on.
    pub fn answer(&mut self, cause: Cause, request: &HeaderMap) -> Answer {
        self.cause = Some(cause);
        Answer::for_cause(cause, request, &self.request_id)
    }

    /// Why it failed, if it did and the lane has said so.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// Whether the upstream has begun its final answer.
    pub fn has_answer(&self) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.outcome.is_some())
    }

    /// A `Host` for a request that came without one: the upstream's own address.
    pub fn host_for_upstream(&self) -> HeaderValue {
        let (_, _, upstream) = self.names();
        let is_path = upstream.starts_with("unix:");
        let host = HeaderValue::from_str(if is_path { "localhost" } else { upstream });
        host.unwrap_or_else(|_| HeaderValue::from_static("localhost"))
    }

    /// Service, pool and upstream being asked, for log lines; empty where there is none.
    pub fn names(&self) -> (&str, &str, &str) {
        let service = self.pool.map(|(service, pool)| {
            let service = &self.snapshot.services[service];
            (&*service.name, &*service.pools[pool].name)
        });
        let (service, pool) = service.unwrap_or_default();
        let upstream = self.attempt.as_ref().map(|attempt| &*attempt.in_flight.upstream().name);
        (service, pool, upstream.unwrap_or_default())
    }

    /// Ends the request; `status` is what the client was told, if it was told anything.
    pub fn finish(&mut self, status: Option<u16>) {
        self.record(status);
    }

    /// Accounts for the attempt under way; answers with how it ended.
    fn end_attempt(&mut self, now: Instant) -> Option<Outcome> {
        let attempt = self.attempt.take()?;
        let duration = now.saturating_duration_since(attempt.started);
        let outcome = attempt.outcome.unwrap_or(Outcome::ClientGone);
        attempt.in_flight.upstream().tally.record(outcome, duration);
        Some(outcome)
    }

    fn record(&mut self, status: Option<u16>) {
        if std::mem::replace(&mut self.is_recorded, true) {
            return;
        }
        let now = self.clock.now();
        let attempt = self.end_attempt(now);
        let outcome = match (status, self.cause) {
            // A good status whose body was cut off by the upstream is no success.
            (Some(0..500), _) if attempt == Some(Outcome::Failed) => Outcome::Failed,
            (Some(status), _) => Outcome::Status(StatusClass::of(status)),
            (None, Some(cause)) if cause.row().upstream_at_fault => Outcome::Failed,
            (None, _) => Outcome::ClientGone,
        };
        let duration = now.saturating_duration_since(self.started);
        RequestRecord { pool: self.pool, outcome, duration }.account(&self.snapshot);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.record(None);
    }
}

impl From<BadRequest> for Cause {
    fn from(rule: BadRequest) -> Cause {
        Cause::BadRequest(rule)
    }
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Cause {
        match refusal {
            Refusal::NoRoute => Cause::NoRoute,
            Refusal::NoUpstream { .. } => Cause::NoUpstream,
        }
    }
}

fn asks_websocket(headers: &HeaderMap) -> bool {
    names_websocket(headers)
        && hop_by_hop::tokens(headers).any(|token| token.eq_ignore_ascii_case(b"upgrade"))
}

fn names_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests;

//! The life of one request, whoever moves its bytes: a head in, decisions and edits out, and at
//! the end one record.
//!
//! A lane opens an exchange with the snapshot in force, has it admit the request, asks it for a
//! target as often as it tries, tells it what came back, and lets it go. Whatever way it goes
//! (answered, failed, client gone, task cancelled, panic), dropping it gives back the upstream's
//! place and accounts for the request exactly once.
//!
//! `attempt.rs` has what happens on upstreams, `again.rs` what is done when one failed, `line.rs` the
//! wait for a place, `fall_back.rs` what is said when nobody can be asked, `mirroring.rs` the copy
//! for another pool, `observing.rs` what is noted for whoever judges a rollout.

mod again;
mod attempt;
mod fall_back;
mod line;
mod mirroring;
mod observing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use smallvec::SmallVec;

use crate::clock::{Clock, Draws};
use crate::http::admission::{self, Head, HeadLimits};
use crate::http::answer::Answer;
use crate::http::edits::{Edits, Text};
use crate::http::failure::{BadRequest, Cause};
use crate::http::fields::{FieldId, Fields};
use crate::http::forwarded::{self, Peer};
use crate::http::trace_context::{TraceContext, hex};
use crate::http::upgrade;
use crate::judge::ledger::Failing;
use crate::record::Record;
use crate::route::Facts;
use crate::snapshot::{Asks, Choice, Published, ServiceHold, Snapshot, Why};
use crate::upstream::{Outcome, StatusClass};

pub use attempt::{Try, Wire};

use attempt::Attempt;
use fall_back::Kept;
use mirroring::Mirroring;

/// The longest request id of a client that is kept.
const LONGEST_REQUEST_ID: usize = 128;

/// One request from its head to its record.
#[derive(Debug)]
pub struct Exchange {
    clock: Clock,
    published: Arc<Published>,
    snapshot: Arc<Snapshot>,
    draws: Draws,
    started: Instant,
    /// When the time for tries and for a place began: with the request, or with the end of a hold.
    let_in: Instant,
    decision: Option<Choice>,
    /// Set once a pool is known even if no upstream of it was: the refusal counts there.
    pool: Option<(usize, usize)>,
    hold: Option<ServiceHold>,
    attempt: Option<Attempt>,
    tried: SmallVec<[usize; 4]>,
    tries: u32,
    reconnects: u32,
    request_id: HeaderValue,
    edits: Edits,
    is_idempotent: bool,
    asks_websocket: bool,
    has_waited: bool,
    /// While it stands in line.
    waits_since: Option<Instant>,
    /// How long it stood in line.
    waited: Duration,
    /// What gives the client a cookie of ours.
    set_cookie: Option<HeaderValue>,
    /// Whether no flag is on that is not on for everybody.
    is_for_everybody: bool,
    kept: Kept,
    mirroring: Option<Box<Mirroring>>,
    /// A failure on a rollout's target, to be kept with what the request said.
    failing: Option<Box<Failing>>,
    cause: Option<Cause>,
    is_recorded: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Admitted {
    /// It goes to an upstream.
    Forward,
    /// It is answered at once.
    Answer(Box<Answer>),
}

impl Exchange {
    /// Begins when a request's head has been read.
    pub fn open(clock: Clock, published: Arc<Published>) -> Exchange {
        let started = clock.now();
        Exchange {
            started,
            let_in: started,
            draws: clock.draws(),
            clock,
            snapshot: published.load(),
            published,
            decision: None,
            pool: None,
            hold: None,
            attempt: None,
            tried: SmallVec::new(),
            tries: 0,
            reconnects: 0,
            request_id: HeaderValue::from_static("-"),
            edits: Edits::default(),
            is_idempotent: false,
            asks_websocket: false,
            has_waited: false,
            waits_since: None,
            waited: Duration::ZERO,
            set_cookie: None,
            is_for_everybody: true,
            kept: Kept::default(),
            mirroring: None,
            failing: None,
            cause: None,
            is_recorded: false,
        }
    }

    /// The snapshot that this request sees.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Checks the request, decides where it goes and what its fields become. Waits if its service
    /// is held, or full and has a queue.
    pub async fn admit(&mut self, head: &Head<'_>, peer: &Peer) -> Admitted {
        let snapshot = self.snapshot.clone();
        let server = &snapshot.config.server;
        let (bytes, fields) = (server.client.header_bytes, server.client.header_fields);
        let limits = HeadLimits { bytes, fields };
        let accepted = match admission::examine(head, limits) {
            Ok(accepted) => accepted,
            Err(rule) => {
                let fields = Fields::new(head.view);
                self.identify(&fields);
                return Admitted::Answer(Box::new(self.answer(rule.into(), &fields)));
            }
        };
        let fields = accepted.fields;
        self.identify(&fields);
        let trusted = &server.trusted_proxies;
        let facts = Facts {
            method: head.method,
            host: &accepted.host,
            path: head.target.path,
            fields,
            client: forwarded::client(&fields, peer, trusted),
        };
        self.is_idempotent = head.method.is_idempotent();
        let draws = self.draws.clone();
        let placed = match self.place(&facts, Asks::default()) {
            // Rare and long, so that it is not part of the usual way's future.
            Err(refusal) if refusal.why.may_pass() => {
                Box::pin(self.wait(&facts, refusal, draws)).await
            }
            placed => placed,
        };
        if let Err(refusal) = placed
            && let Some(answer) = self.fall_back(&facts, head, refusal)
        {
            return Admitted::Answer(Box::new(answer));
        }
        self.asks_websocket = upgrade::is_asked(&fields);
        forwarded::edit(&fields, peer, trusted, &mut self.edits);
        let trace = TraceContext::continue_or_start(&fields, &mut self.draws);
        self.edits.set(FieldId::Traceparent, Text::Own(trace.traceparent()));
        match trace.state {
            Some(state) => self.edits.set(FieldId::Tracestate, Text::Own(state)),
            None => self.drop_claim(&fields, FieldId::Tracestate),
        }
        self.drop_claim(&fields, FieldId::MirrorMark);
        self.flag(&facts);
        if let Some(Choice { service, made: Some(id), .. }) = &self.decision {
            let is_secure = forwarded::is_https(&fields, peer, trusted);
            self.set_cookie = self.snapshot.services[*service].set_cookie(id, is_secure);
        }
        self.prepare_to_keep(head, &facts);
        self.prepare_to_mirror(head, &fields);
        Admitted::Forward
    }

    /// What a client says that only we may say goes no further.
    fn drop_claim(&mut self, fields: &Fields<'_>, id: FieldId) {
        if fields.has(id) {
            self.edits.remove(id);
        }
    }

    /// Tells the upstream which flags are on for the client. What a client claims of flags never
    /// reaches it.
    fn flag(&mut self, facts: &Facts<'_>) {
        let value = self.decision.and_then(|decision| {
            let service = &self.snapshot.services[decision.service];
            let on = service.flags_on(facts, decision.made, &mut self.draws);
            self.is_for_everybody = service.flags.are_for_everybody(on);
            service.flags.value(on)
        });
        match value {
            Some(value) => self.edits.set(FieldId::FeatureFlags, Text::Own(value)),
            None => self.drop_claim(&facts.fields, FieldId::FeatureFlags),
        }
    }

    /// Keeps the request's id if it can be put into a log line, else makes one.
    fn identify(&mut self, fields: &Fields<'_>) {
        let fits = |value: &&[u8]| {
            (1..=LONGEST_REQUEST_ID).contains(&value.len())
                && value.iter().all(u8::is_ascii_graphic)
        };
        let given = fields.first(FieldId::RequestId).filter(fits);
        match given.and_then(|given| HeaderValue::from_bytes(given).ok()) {
            Some(given) => self.request_id = given,
            None => self.make_id(),
        }
    }

    fn make_id(&mut self) {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&hex::<16>(self.draws.bits()));
        id[16..].copy_from_slice(&hex::<16>(self.draws.bits()));
        let id = HeaderValue::from_bytes(&id);
        self.request_id = id.expect("hex digits are a valid field value");
        self.edits.set(FieldId::RequestId, Text::Own(self.request_id.clone()));
    }

    /// Whether it stood in line before it was let in.
    pub fn has_waited(&self) -> bool {
        self.has_waited
    }

    /// What becomes of the request's fields on the way to an upstream.
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// The id that the request is known by.
    pub fn request_id(&self) -> &HeaderValue {
        &self.request_id
    }

    /// What gives the client a cookie of ours, for an upstream's answer with this status.
    pub fn set_cookie(&self, status: u16) -> Option<&HeaderValue> {
        // Interim answers are for this connection, not for the client to keep.
        self.set_cookie.as_ref().filter(|_| status == 101 || status >= 200)
    }

    /// What the client is told when no upstream's answer can be passed on.
    pub fn answer(&mut self, cause: Cause, request: &Fields<'_>) -> Answer {
        self.cause = Some(cause);
        Answer::for_cause(cause, request, &self.request_id)
    }

    /// Why it failed, if it did and the lane has said so.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
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
        let upstream = self.attempt.as_ref().map(|attempt| &*attempt.upstream().name);
        (service, pool, upstream.unwrap_or_default())
    }

    /// Ends the request; `status` is what the client was told, if it was told anything.
    pub fn finish(&mut self, status: Option<u16>) {
        self.record(status);
    }

    fn record(&mut self, status: Option<u16>) {
        if std::mem::replace(&mut self.is_recorded, true) {
            return;
        }
        let now = self.clock.now();
        let attempt = self.end_attempt(now);
        self.hold = None;
        let outcome = match (status, self.cause) {
            // A good status whose body was cut off by the upstream is no success.
            (Some(0..500), _) if attempt == Some(Outcome::Failed) => Outcome::Failed,
            (Some(status), _) => Outcome::Status(StatusClass::of(status)),
            (None, Some(cause)) if cause.row().upstream_at_fault => Outcome::Failed,
            (None, _) => Outcome::ClientGone,
        };
        // What it spent in line says nothing of how its pool does.
        let waited =
            self.waits_since.map_or(self.waited, |since| now.saturating_duration_since(since));
        let duration = now.saturating_duration_since(self.started).saturating_sub(waited);
        Record { pool: self.pool, outcome, duration, waited }.account(&self.snapshot);
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

impl From<Why> for Cause {
    fn from(why: Why) -> Cause {
        match why {
            Why::NoRoute => Cause::NoRoute,
            Why::NoUpstream => Cause::NoUpstream,
            Why::Open => Cause::Open,
            Why::Throttled => Cause::Throttled,
            Why::Full | Why::PoolFull => Cause::Full,
            Why::Held => Cause::Held,
            Why::Maintenance => Cause::Maintenance,
        }
    }
}

#[cfg(test)]
mod tests;

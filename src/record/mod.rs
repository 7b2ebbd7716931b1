//! What happened to one request: its facts in while it lasts, one [`Record`] out when it is over.
//!
//! Numbers are noted in place as they come ([`Noted`]); texts stay in the head that the lane still
//! holds and are only pointed at. Whoever keeps something of a record copies it: the totals of its
//! pool and upstreams and what its service's objectives go by ([`Record::account`]), the ledger of a
//! rollout (`judged`), and whoever else the process has put behind a [`Reader`], such as the rings of
//! the last requests ([`Rings`]) and the log.

mod judged;
mod kept;
mod refusals;
mod rings;
mod rooms;
mod timed;

use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, Version};
use smallvec::SmallVec;

use crate::balance::{MOST_PASSED_OVER, NotTaken};
use crate::clock::{Clock, Moment};
use crate::config::{ANSWERED, REDIRECTED};
use crate::http::failure::Cause;
use crate::http::grpc::GrpcStatus;
use crate::http::path::without_query;
use crate::http::view::View;
use crate::route::Found;
use crate::snapshot::{By, Snapshot, Stratum, Way, client_key};
use crate::upstream::{Outcome, StatusClass};

pub use kept::{Kept, KeptAttempt};
pub(crate) use kept::{decode, encode};
pub use refusals::Refusals;
pub use rings::{Rings, free, free_from, lock, place_of_thread};
pub use rooms::Rooms;
pub use timed::{Timed, TimedAttempt};

/// Who is told of each request once it is over. It is told on the request's way, so it never waits.
pub trait Reader: Debug + Send + Sync {
    /// Hears of one that the snapshot has decided.
    fn read(&self, record: &Record<'_>, snapshot: &Snapshot);
}

/// What is known of a request once it is over.
#[derive(Clone, Debug)]
pub struct Record<'r> {
    /// Places of service and pool; none if it was refused before it had any.
    pub pool: Option<(usize, usize)>,
    /// The place of the service that let it through to none of its pools: it is held or in maintenance.
    pub closed: Option<usize>,
    /// What its route did with it itself, if it did.
    pub own: Option<Own>,
    /// How it ended for the client.
    pub outcome: Outcome,
    /// What the client was told, if anything.
    pub status: Option<u16>,
    /// Why it has no upstream's answer, if it has none.
    pub cause: Option<Cause>,
    /// From the end of its head to the end of its answer, but for the time it waited in line.
    pub duration: Duration,
    /// For how long it waited in line.
    pub waited: Duration,
    /// What its user waited for it: until the end of its answer, waits in line included; of a
    /// stream until its head.
    pub felt: Duration,
    /// When the end of its head had been read.
    pub at: Moment,
    /// The id that it is known by.
    pub request_id: &'r [u8],
    /// What its head said.
    pub said: Said<'r>,
    /// What was noted on the way.
    pub noted: &'r Noted,
}

/// What a route does with a request that goes to no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// It leads it elsewhere.
    Redirect,
    /// It answers it.
    Answer,
}

impl Own {
    /// What stands in the place of a service's name.
    pub fn name(self) -> &'static str {
        match self {
            Own::Redirect => REDIRECTED,
            Own::Answer => ANSWERED,
        }
    }
}

/// What a request's head said, as the lane still holds it; nothing if the lane holds it no more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'r> {
    /// Its method.
    pub method: &'r str,
    /// The host it asked for.
    pub host: &'r [u8],
    /// What it asked for, with the query, which nobody may keep who has not been told to.
    pub target: &'r str,
    /// What upstreams were asked for instead, if its route made something else of it; as confidential.
    pub rewritten: Option<&'r str>,
    /// All its fields, as they went on to the upstream.
    pub view: Option<View<'r>>,
}

impl<'r> Said<'r> {
    /// Its path, without the query.
    pub fn path(&self) -> &'r str {
        without_query(self.target)
    }
}

/// What is noted of a request on its way.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// Who asked.
    pub client: Option<IpAddr>,
    /// Whether a trusted proxy wrote something else than an address in the client's place.
    pub is_client_doubtful: bool,
    /// How many of its fields have names that hold something else than letters, digits and hyphens.
    pub odd_names: u32,
    /// The version of HTTP it was asked in.
    pub version: Version,
    /// For how long its connection had been open when the end of its head had been read.
    pub connection_age: Duration,
    /// Which of the routes to its service it came by, counted from 0 in the file's order.
    pub route: Option<usize>,
    /// That route's place in the config's list.
    pub route_place: Option<usize>,
    /// What chose its pool.
    pub by: Option<By>,
    /// The number that tells its client from others where users are counted, if it is known.
    pub user: Option<u32>,
    /// Its route and method, as failures are told apart by.
    pub stratum: Stratum,
    /// The pool that the split gave it and nobody of whom could be asked.
    pub refused_by: Option<usize>,
    /// Its trace and our own part in it, in hex digits.
    pub trace: Option<([u8; 32], [u8; 16])>,
    /// How it is traced; none while no traces are kept.
    pub traced: Option<Traced>,
    /// Bytes of its body that came from the client.
    pub from_client: u64,
    /// Bytes of its answer's body that went to the client.
    pub to_client: u64,
    /// Those fields of the upstream's answer that the access log tells of.
    pub response_fields: Vec<(HeaderName, Vec<u8>)>,
    /// What was tried, in this order; no more than [`MOST_ATTEMPTS`]. A kept connection that was dead
    /// and was opened again is no attempt.
    pub attempts: SmallVec<[Attempt; 1]>,
    /// Upstreams that something kept from it when it was refused or had failed; no more than
    /// [`MOST_PASSED_OVER`]. Empty for whatever went the usual way: to ask costs a look at each of them.
    pub not_taken: Vec<PassedOver>,
}

/// How a request is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traced {
    /// The part in the trace of whoever sent it, in hex digits; none if its trace begins here.
    pub parent: Option<[u8; 16]>,
    /// The flags that upstreams are told (W3C Trace Context).
    pub flags: u8,
    /// Whether it was decided, when it began, that it is told of.
    pub is_sampled: bool,
    /// Who decided that.
    pub decided: Decided,
    /// Whether its client came by TLS.
    pub is_https: bool,
}

/// Who decides whether a request is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// We: its trace begins here.
    Here,
    /// A trusted proxy.
    Parent,
    /// We: what somebody said of it whom nobody trusts counts within a limit only.
    Stranger,
}

/// More attempts of one request are not noted; no lane makes more.
pub const MOST_ATTEMPTS: usize = 24;

/// One try at one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its part in the request's trace; 0 while no traces are kept.
    pub span: u64,
    /// A place in [`Service::pools`](crate::snapshot::Service::pools).
    pub pool: usize,
    /// A place in [`Members::list`](crate::balance::Members::list).
    pub member: usize,
    /// When it was chosen.
    pub chosen: Moment,
    /// When it began: then, or after a pause.
    pub began: Moment,
    /// When there was a connection.
    pub connected: Option<Moment>,
    /// Whether that had been kept from an earlier request.
    pub is_reused: bool,
    /// When all of the request was on its way.
    pub sent: Option<Moment>,
    /// When the head of an answer had come.
    pub head: Option<Moment>,
    /// When it was over.
    pub done: Moment,
    /// The status that came back.
    pub status: Option<u16>,
    /// Why it failed, if it did.
    pub cause: Option<Cause>,
    /// How it ended.
    pub outcome: Outcome,
    /// How it is held to have ended: a client that gave up on a silent upstream may count against
    /// that.
    pub held: Outcome,
    /// It failed, and others show that this is its client's own doing: no breaker and no ejection
    /// counts it.
    pub is_withheld: bool,
    /// How its call went, if it was one of gRPC's and told.
    pub grpc: Option<GrpcStatus>,
    /// A bit for each metric of a rollout's ledger that its answer's head raised.
    pub metrics: u8,
    /// Whether the split had given the request to this pool, so that it says something of the
    /// version there: testers, stand-ins and what the stable pool does for a canary do not.
    pub is_judged: bool,
    /// Bytes of the request's body that were sent.
    pub to_upstream: u64,
    /// Bytes of the answer's body that came.
    pub from_upstream: u64,
}

impl Attempt {
    /// Until the head of its answer, or its end if there was none.
    pub fn took(&self) -> Duration {
        self.head.unwrap_or(self.done).elapsed_since(self.began)
    }

    /// How it failed, if it did.
    pub fn way(&self) -> Way {
        let status = self.status.map(|status| self.grpc.map_or(status, GrpcStatus::http_status));
        Way::of(self.held, status, self.cause)
    }
}

/// An upstream that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// A place in [`Service::pools`](crate::snapshot::Service::pools).
    pub pool: usize,
    /// A place in [`Members::list`](crate::balance::Members::list).
    pub member: usize,
    /// Why.
    pub why: NotTaken,
}

impl Noted {
    /// It came by this route.
    pub fn came_by(&mut self, found: &Found) {
        (self.route, self.route_place) = (Some(found.nth), Some(found.place));
    }

    /// An attempt is over.
    pub fn tried(&mut self, attempt: Attempt) {
        if self.attempts.len() < MOST_ATTEMPTS {
            self.attempts.push(attempt);
        }
    }

    /// What tells its client from others.
    pub fn client_key(&self) -> u32 {
        self.client.map_or(0, client_key)
    }

    /// Whether what its client got of it, if that was a failure, was the client's own doing.
    pub fn is_one_clients(&self) -> bool {
        self.attempts.last().is_some_and(|attempt| attempt.is_withheld)
    }

    /// These were not taken of this pool. What was noted of it before is what it was before.
    pub fn pass_over(&mut self, pool: usize, not_taken: Vec<(usize, NotTaken)>) {
        self.not_taken.retain(|passed| passed.pool != pool);
        let passed = |(member, why)| PassedOver { pool, member, why };
        let room = MOST_PASSED_OVER.saturating_sub(self.not_taken.len());
        self.not_taken.extend(not_taken.into_iter().map(passed).take(room));
    }
}

impl Record<'_> {
    /// Adds it to the totals of its pool and upstreams in the snapshot that decided it, to those that
    /// its service's objectives go by, and to the ledger of a rollout under way.
    pub fn account(&self, snapshot: &Snapshot, clock: &Clock) {
        if let Some(service) = self.service() {
            let bytes = (self.noted.from_client, self.noted.to_client);
            snapshot.services[service].state.bytes.count(bytes);
        }
        let Some((service, pool)) = self.pool else {
            let closed = self.closed.map(|service| &snapshot.services[service].state.closed);
            let none = match self.own {
                None => &snapshot.unmatched,
                Some(Own::Redirect) => &snapshot.own.redirects,
                Some(Own::Answer) => &snapshot.own.answers,
            };
            closed.unwrap_or(none).record(self.outcome, self.duration);
            return;
        };
        let service = &snapshot.services[service];
        if let Some(slo) = &service.slo {
            service.state.slo.count(slo, self.outcome, self.felt);
            if self.has_failed() && self.noted.is_one_clients() {
                service.state.slo.note_one_clients();
            }
        }
        service.pools[pool].state.tally.record(self.outcome, self.duration);
        for attempt in &self.noted.attempts {
            let member = &service.pools[attempt.pool].members.list()[attempt.member];
            let took = attempt.done.elapsed_since(attempt.began);
            member.upstream.tally.record(attempt.outcome, took);
        }
        if let Some(watched) = &service.watched {
            judged::tell(self, service, watched, snapshot, clock);
        }
        if let Some(errors) = &service.counted {
            judged::count(self, service, errors);
        }
    }

    /// Whether nothing went wrong on its way: it has an answer, from the first who was asked, its client
    /// is known, and none of its fields has an odd name.
    pub fn is_uneventful(&self) -> bool {
        let noted = self.noted;
        self.cause.is_none()
            && noted.attempts.iter().all(|attempt| attempt.cause.is_none())
            && !noted.is_client_doubtful
            && noted.odd_names == 0
    }

    /// Whether whoever was to have it first did not do: it was tried again, or a pool stood in for its own.
    pub fn was_tried_again(&self) -> bool {
        self.noted.attempts.len() > 1 || matches!(self.noted.by, Some(By::StandIn | By::Shield))
    }

    /// Whether it got on in another way than most do: it was tried again, or had to wait.
    pub fn was_helped(&self) -> bool {
        self.was_tried_again() || !self.waited.is_zero()
    }

    /// The place of its service, if it has one.
    pub fn service(&self) -> Option<usize> {
        self.pool.map(|(service, _)| service).or(self.closed)
    }

    /// Why we answered it ourselves, if no upstream was at fault and its client had not left.
    pub fn refusal(&self) -> Option<Cause> {
        let has_head = || self.noted.attempts.last().is_some_and(|last| last.status.is_some());
        self.cause.filter(|cause| {
            !cause.row().upstream_at_fault
                && *cause != Cause::ClientGone
                && !(cause.ends_answers() && has_head())
        })
    }

    /// Whether whoever looks for its trace will find it: that it is told of was decided when it began.
    pub fn is_sampled(&self) -> bool {
        self.noted.traced.is_some_and(|traced| traced.is_sampled)
    }

    /// Whether it failed for its client through our side's fault.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Status(StatusClass::ServerError))
    }
}

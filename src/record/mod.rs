//! What happened to one request: its facts in while it lasts, one [`Record`] out when it is over.
//!
//! Numbers are noted in place as they come ([`Noted`]); texts stay in the head that the lane still
//! holds and are only pointed at. Whoever keeps something of a record copies it: the totals of its
//! pool and what its service's objectives go by (`account`), and the ring of the last requests that
//! `why` looks into ([`Rings`]). A query is in no record.

mod kept;
mod rings;

use std::net::IpAddr;
use std::time::Duration;

use http::Version;
use smallvec::SmallVec;

use crate::balance::NotTaken;
use crate::clock::WallTime;
use crate::http::failure::Cause;
use crate::snapshot::{By, Snapshot};
use crate::upstream::{Outcome, StatusClass};

pub use kept::{Kept, KeptAttempt};
pub use rings::Rings;

/// What is known of a request once it is over.
#[derive(Clone, Debug)]
pub struct Record<'r> {
    /// Places of service and pool; none if it was refused before it had any.
    pub pool: Option<(usize, usize)>,
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
    pub at: WallTime,
    /// The id that it is known by.
    pub request_id: &'r [u8],
    /// What its head said.
    pub said: Said<'r>,
    /// What was noted on the way.
    pub noted: &'r Noted,
}

/// What a request's head said, as the lane still holds it; nothing if the lane holds it no more.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'r> {
    /// Its method.
    pub method: &'r str,
    /// The host it asked for.
    pub host: &'r [u8],
    /// Its path, without the query.
    pub path: &'r str,
}

/// What is noted of a request on its way.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// Who asked.
    pub client: Option<IpAddr>,
    /// The version of HTTP it was asked in.
    pub version: Version,
    /// What chose its pool.
    pub by: Option<By>,
    /// Its trace and our own part in it, in hex digits.
    pub trace: Option<([u8; 32], [u8; 16])>,
    /// Bytes of its body that came from the client.
    pub from_client: u64,
    /// Bytes of its answer's body that went to the client.
    pub to_client: u64,
    /// What was tried, in this order; of more than eight the first. A kept connection
    /// that was dead and was opened again is no attempt.
    pub attempts: SmallVec<[Attempt; 2]>,
    /// Upstreams that something kept from it when it was refused or had failed. Empty for whatever
    /// went the usual way: to ask costs a look at all of them.
    pub not_taken: Vec<PassedOver>,
}

/// More attempts of one request are not noted.
const MOST_ATTEMPTS: usize = 8;

/// More upstreams that were not taken are not noted.
const MOST_PASSED_OVER: usize = 16;

/// One try at one upstream. Times count from the end of the request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A place in [`Service::pools`](crate::snapshot::Service::pools).
    pub pool: usize,
    /// A place in [`Members::list`](crate::balance::Members::list).
    pub member: usize,
    /// When it was chosen.
    pub chosen: Duration,
    /// When there was a connection.
    pub connected: Option<Duration>,
    /// Whether that had been kept from an earlier request.
    pub is_reused: bool,
    /// When all of the request was on its way.
    pub sent: Option<Duration>,
    /// When the head of an answer had come.
    pub head: Option<Duration>,
    /// When it was over.
    pub done: Duration,
    /// The status that came back.
    pub status: Option<u16>,
    /// Why it failed, if it did.
    pub cause: Option<Cause>,
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
    /// An attempt is over.
    pub fn tried(&mut self, attempt: Attempt) {
        if self.attempts.len() < MOST_ATTEMPTS {
            self.attempts.push(attempt);
        }
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
    /// Adds it to the totals of its pool in the snapshot that decided it, to those that its service's
    /// objectives go by, and to the `last` requests.
    pub fn account(&self, snapshot: &Snapshot, last: &Rings) {
        let tally = match self.pool {
            Some((service, pool)) => {
                let service = &snapshot.services[service];
                if let Some(slo) = &service.slo {
                    service.state.slo.count(slo, self.outcome, self.felt);
                }
                &service.pools[pool].state.tally
            }
            None => &snapshot.unmatched,
        };
        tally.record(self.outcome, self.duration);
        last.write(self, snapshot);
    }

    /// Whether it failed for its client through our side's fault.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Status(StatusClass::ServerError))
    }
}

//! What the judge is told each second.

use super::bursts::ByUpstream;
use super::{Counts, Distribution, Part};

/// What both pools did in one tick. Counts are what came in the tick, not totals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The pool that traffic is to leave.
    pub stable: Side,
    /// The pool that is judged.
    pub canary: Side,
    /// The weight has changed lately: caches are cold and connections new. Latencies are not judged
    /// in such a tick; errors always are.
    pub is_warming: bool,
    /// Whether `attempts` are clients rather than requests, for they stick to their pool.
    pub counts_users: bool,
    /// Custom metrics: each another count of good and bad. The first 16 names are judged.
    pub metrics: Vec<Part>,
    /// The attempts by route and method, to find where it regressed.
    pub strata: Vec<Part>,
}

/// What one pool did in one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// Attempts that ended, before retries elsewhere.
    ///
    /// Where clients stick to their pool, requests of one client fail together, and the unit is the
    /// client: then `bad` are clients that failed for the first time in this step, and `total` are
    /// clients that asked in this tick and had not failed before in this step.
    pub attempts: Counts,
    /// How long the successful ones took: failures are counted above, and quick failures must not
    /// look like speed.
    pub latency: Distribution,
    /// How long those took whose upstreams have just started: they are not judged.
    pub cold: Distribution,
    /// What the split sent here in this tick: requests or, where clients stick, clients that the
    /// rollout had not seen before.
    pub arrivals: u64,
    /// What each of its upstreams did, of requests and never of clients; all that there are, also those
    /// that had nothing to do. Where it is empty, failures are told apart by seconds only.
    pub upstreams: Vec<ByUpstream>,
}

//! The whole picture that one request sees: request facts and draws in, a choice out.
//!
//! A [`Snapshot`] never changes. The controller builds the next one beside it and publishes that
//! with a single pointer store; a request loads the pointer once and keeps what it loaded to its
//! log line. Whatever has to outlive a snapshot (in-flight counts, drains, totals) lives behind
//! an `Arc` that the next one takes over by identity.

mod attempts;
mod build;
mod carried;
mod choice;
mod doors;
mod failing_keys;
mod opt_in;
mod pool;
mod rates;
mod reach;
mod service;
mod supposed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::clock::Moment;
use crate::config::{Actions, Config};
use crate::rate::Bucket;
use crate::route::{Facts, Found, RouteTable};
use crate::upstream::Tally;

pub use attempts::Attempts;
pub use build::{Blueprint, Changed, Labelled, Observed, Resolution, Resolved, RunTime, Traffic};
pub use carried::{Carried, Counted};
pub use choice::{Asks, By, Choice, Chosen, Committed, Explained, Refusal, Stratum, Why};
pub use doors::Doors;
pub use failing_keys::{FailingKeys, Known, Way, client_key};
pub use opt_in::OptIn;
pub use pool::{Ask, Ended, Held, Pick, Pool, PoolState, Seat, Taken, Tries};
pub use rates::{RateLimits, RateStand};
pub use reach::{Dead, Probes, Reach, Wanted};
pub use service::{Bytes, Fallbacks, Mirror, Mode, Named, Service, ServiceHold, ServiceState};

/// Everything a request is decided by.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with every publication.
    pub generation: u64,
    /// What the services were built from.
    pub config: Arc<Config>,
    /// In the order of `config.services`.
    pub services: Vec<Service>,
    /// Requests that no route wanted or that were refused before routing.
    pub unmatched: Arc<Tally>,
    /// Requests that routes answered themselves.
    pub own: OwnAnswers,
    /// How many requests are told of to a collector of traces.
    pub trace_limits: Arc<TraceLimits>,
    /// Whether any service or route has a rate limit: else nobody is asked.
    has_rate_limits: bool,
    /// Whether a request has to know its route before it asks for a place.
    acts: bool,
    /// Who may name a pool, by route, if that says so itself.
    testers: Vec<Option<Arc<OptIn>>>,
    /// Who may come in by routes that ask for more than an address.
    pub doors: Doors,
    /// What moments are counted from.
    origin: Instant,
    routes: Arc<RouteTable>,
    /// What names led to when it was built.
    resolved: Resolved,
}

impl Snapshot {
    /// What moments are counted from; the same for all snapshots of a process.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// What names led to when it was built.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// `now` as the state of services, pools and upstreams counts it.
    pub fn moment(&self, now: Instant) -> Moment {
        Moment::since(self.origin, now)
    }

    /// The same of so long before `now`.
    pub fn moment_before(&self, now: Instant, length: Duration) -> Moment {
        let micros = self.moment(now).micros();
        Moment::from_micros(micros.saturating_sub(length.as_micros() as u64))
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        // In name order, as in the config.
        let place = self.services.binary_search_by(|service| (*service.name).cmp(name));
        place.ok().map(|place| &self.services[place])
    }
}

/// What is left of the limits on traces.
#[derive(Debug, Default)]
pub struct TraceLimits {
    /// Of those that strangers decide about.
    pub strangers: Bucket,
    /// Of those that are kept once they are over.
    pub kept: Bucket,
}

/// Requests that routes answered themselves, by what they did.
#[derive(Clone, Debug, Default)]
pub struct OwnAnswers {
    /// Led elsewhere.
    pub redirects: Arc<Tally>,
    /// Answered.
    pub answers: Arc<Tally>,
}

impl Snapshot {
    /// Whether a request has to know its route before it asks for a place: some route does more than lead
    /// to a service.
    pub fn acts(&self) -> bool {
        self.acts
    }

    /// The route of a request.
    pub fn route(&self, facts: &Facts<'_>) -> Option<Found> {
        self.routes.find(facts)
    }

    /// Who may name a pool, if a route says so itself.
    pub fn testers(&self, found: &Found) -> Option<&Arc<OptIn>> {
        self.testers.get(found.place)?.as_ref()
    }

    /// What a route does beside leading to a service.
    pub fn actions(&self, found: &Found) -> Option<&Arc<Actions>> {
        self.config.route_actions.get(found.place)?.as_ref()
    }
}

/// The one cell that the controller writes and every request reads; and whether the process ends,
/// which concerns requests that began with any snapshot.
#[derive(Debug)]
pub struct Published {
    snapshot: ArcSwap<Snapshot>,
    winds_down: AtomicBool,
    lets_go: AtomicBool,
}

impl Published {
    /// A cell that holds this first snapshot.
    pub fn of(first: Arc<Snapshot>) -> Published {
        let (winds_down, lets_go) = Default::default();
        Published { snapshot: ArcSwap::new(first), winds_down, lets_go }
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts the next one in force, for every request that begins from now on.
    pub fn publish(&self, next: Snapshot) {
        self.snapshot.store(Arc::new(next));
    }

    /// The process ends, and another goes on: connections end with their next answer. Who is held is
    /// held.
    pub fn leave(&self) {
        self.winds_down.store(true, Ordering::SeqCst);
    }

    /// The process ends: connections end with their next answer, and nobody is held any more.
    pub fn wind_down(&self) {
        self.leave();
        self.lets_go.store(true, Ordering::SeqCst);
        // Whoever joins a line after this call sees the above before it waits there.
        let snapshot = self.load();
        let queues = snapshot.services.iter().flat_map(|service| service.queues());
        queues.for_each(|queue| queue.call_next());
    }

    /// Whether the process ends.
    pub fn winds_down(&self) -> bool {
        self.winds_down.load(Ordering::SeqCst)
    }

    /// Whether nobody is held any more.
    pub fn lets_go(&self) -> bool {
        self.lets_go.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests;

//! The whole picture that one request sees: request facts and draws in, a decision out.
//!
//! A [`Snapshot`] never changes. The controller builds the next one beside it and publishes that
//! with a single pointer store; a request loads the pointer once and keeps what it loaded to its
//! log line. Whatever has to outlive a snapshot (in-flight counts, drains, totals) lives behind
//! an `Arc` that the next one takes over by identity.

mod attempts;
mod build;
mod pool;
mod service;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::Method;

use crate::balance::{Queue, Waiting};
use crate::clock::{Draws, Moment};
use crate::config::Config;
use crate::judge::ledger::STRATA;
use crate::route::{Facts, Found, RouteTable};
use crate::split::{Cohort, CookieId};
use crate::upstream::Tally;

pub use attempts::Attempts;
pub use build::{Answer, Blueprint, Changed, Observed, Resolved, RunTime, Traffic};
pub use pool::{Ended, Pool, PoolState, Seat};
use service::Choice;
pub use service::{Fallbacks, Mirror, Mode, Service, ServiceHold, ServiceState};

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
    /// What moments are counted from.
    origin: Instant,
    routes: Arc<RouteTable>,
}

/// Where a request goes, as places in the snapshot that decided it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// A place in [`Snapshot::services`].
    pub service: usize,
    /// A place in [`Service::pools`].
    pub pool: usize,
    /// A place in [`Members::list`](crate::balance::Members::list).
    pub member: usize,
    /// Why this pool.
    pub by: By,
    /// What the client is known by to the pool's balancing.
    pub key: Option<u64>,
    /// What the client is to be recognised by from now on, if nothing did.
    pub made: Option<CookieId>,
    /// The number that tells the client from others where users are counted, if it is known.
    pub user: Option<u32>,
    /// Its route and method (see [`Stratum`]).
    pub stratum: Stratum,
}

/// Which of a service's routes a request came by, and its method: what failures are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stratum(u8);

impl Stratum {
    /// Methods that are told apart; the others share the last place.
    const METHODS: [&'static str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    /// Routes of a service that are told apart; the others share the last place.
    const ROUTES: usize = STRATA / 8;

    /// Of a request whose route nobody has noted.
    pub const OTHER: Stratum = Stratum(STRATA as u8 - 1);

    /// Of the `nth` route to its service.
    pub fn of(nth: usize, method: &Method) -> Stratum {
        let methods = Stratum::METHODS.iter();
        let method = methods.take_while(|name| **name != method.as_str()).count();
        Stratum((nth.min(Stratum::ROUTES - 1) * 8 + method) as u8)
    }

    /// Its place among [`STRATA`].
    pub fn place(self) -> u8 {
        self.0
    }

    /// The route, counted from 0, if it has a place of its own, and the method, likewise.
    pub fn names(place: usize) -> (Option<usize>, Option<&'static str>) {
        let (nth, method) = (place / 8, place % 8);
        let nth = Some(nth).filter(|nth| *nth + 1 < Stratum::ROUTES);
        (nth, Stratum::METHODS.get(method).copied())
    }
}

/// How a decision is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asks<'w> {
    /// The lines in which the request stands or has stood for it.
    pub lines: &'w [Waiting],
    /// Nobody else would answer it. It has been let in already.
    pub doubtful: bool,
}

impl Asks<'_> {
    /// Whether the request would overtake somebody who waits in this line.
    fn overtakes(&self, queue: &Arc<Queue>) -> bool {
        queue.waiting() > 0
            && !self.doubtful
            && !self.lines.iter().any(|line| line.has_turn_in(queue))
    }
}

/// What chose the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The request named it.
    OptIn,
    /// The client's cohort.
    Cohort(Cohort),
    /// A draw: the client gave nothing to be recognised by.
    #[default]
    Draw,
    /// It stands in for a pool that is open, has nobody or failed.
    StandIn,
    /// It is the stable pool, which shields a canary that is open or has nobody.
    Shield,
}

/// Why a request goes nowhere, and where it would have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// Why.
    pub why: Why,
    /// Places of service and pool, if it had come so far.
    pub at: Option<(usize, usize)>,
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No route matches.
    #[error("no route matches the request")]
    NoRoute,
    /// The pool it belongs to has no upstream that takes requests.
    #[error("no upstream is available")]
    NoUpstream,
    /// The pool's breaker is open.
    #[error("the pool's circuit breaker is open")]
    Open,
    /// The pool refuses so much that it is spared.
    #[error("the pool is overloaded")]
    Throttled,
    /// As many requests of the service are under way as may be, or others wait for that to change.
    #[error("too many requests are under way")]
    Full,
    /// As many requests of the pool or of its upstreams are under way as may be, or others wait for
    /// that to change.
    #[error("too many requests of the pool are under way")]
    PoolFull,
    /// The service is held.
    #[error("the service is held")]
    Held,
    /// The service is in maintenance.
    #[error("the service is in maintenance")]
    Maintenance,
}

impl Snapshot {
    /// Where a request with these facts goes. If its service has a fallback, an upstream that is not
    /// well is asked only if `doubtful`.
    pub fn decide(
        &self,
        facts: &Facts<'_>,
        asks: Asks<'_>,
        now: Moment,
        draws: &mut Draws,
    ) -> Result<Decision, Refusal> {
        let no_route = Refusal { why: Why::NoRoute, at: None };
        let Found { service: place, nth } = self.routes.find(facts).ok_or(no_route)?;
        let service = &self.services[place];
        let Choice { pool, by, made, user } = service.choose(facts, draws);
        let refused = |why| Refusal { why, at: Some((place, pool)) };
        service.admit(facts, by, asks).map_err(refused)?;
        let key = service.key(facts);
        let spares = !asks.doubtful && service.stability.fallback.is_any();
        let member = service.pools[pool].pick(&service.stability, &[], key, spares, now, draws);
        let member = member.map_err(refused)?;
        // Asked last: who can go nowhere is told so at once, whoever waits.
        if service.overtakes_in(pool, asks) {
            return Err(refused(Why::PoolFull));
        }
        let stratum = Stratum::of(nth, facts.method);
        Ok(Decision { service: place, pool, member, by, key, made, user, stratum })
    }

    /// Where a request goes that belongs to a canary which is open or has nobody: to the stable pool,
    /// unless it asked for the canary. A client's pool yields to its being served.
    pub fn decide_shield(
        &self,
        at: (usize, usize),
        facts: &Facts<'_>,
        now: Moment,
        draws: &mut Draws,
    ) -> Option<Decision> {
        let service = &self.services[at.0];
        let stability = &service.stability;
        let is_shielded = stability.retries.shield && service.is_canary(at.1);
        if !is_shielded || service.named(facts).is_some() {
            return None;
        }
        let (pool, key) = (service.stable, service.key(facts));
        let spares = stability.fallback.is_any();
        let member = service.pools[pool].pick(stability, &[], key, spares, now, draws).ok()?;
        let (service, by) = (at.0, By::Shield);
        Some(Decision { service, pool, member, by, key, ..Decision::default() })
    }

    /// Where a request goes whose pool is open, has nobody or failed: to the pool that stands in, if
    /// there is one and it can take it.
    pub fn decide_stand_in(
        &self,
        at: (usize, usize),
        now: Moment,
        draws: &mut Draws,
    ) -> Option<Decision> {
        let service = &self.services[at.0];
        let pool = service.stand_in.filter(|&pool| pool != at.1)?;
        if service.overtakes_in(pool, Asks::default()) {
            return None;
        }
        let member =
            service.pools[pool].pick(&service.stability, &[], None, true, now, draws).ok()?;
        Some(Decision { service: at.0, pool, member, by: By::StandIn, ..Decision::default() })
    }

    /// What moments are counted from; the same for all snapshots of a process.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// `now` as the state of services, pools and upstreams counts it.
    pub fn moment(&self, now: Instant) -> Moment {
        Moment::since(self.origin, now)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| &*service.name == name)
    }
}

/// The one cell that the controller writes and every request reads.
#[derive(Debug)]
pub struct Published(ArcSwap<Snapshot>);

impl Published {
    /// A cell that holds this first snapshot.
    pub fn of(first: Arc<Snapshot>) -> Published {
        Published(ArcSwap::new(first))
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts the next one in force, for every request that begins from now on.
    pub fn publish(&self, next: Snapshot) {
        self.0.store(Arc::new(next));
    }
}

#[cfg(test)]
mod tests;

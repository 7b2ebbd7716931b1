//! The whole picture that one request sees: request facts and draws in, a decision out.
//!
//! A [`Snapshot`] never changes. The controller builds the next one beside it and publishes that
//! with a single pointer store; a request loads the pointer once and keeps what it loaded to its
//! log line. Whatever has to outlive a snapshot (in-flight counts, drains, totals) lives behind
//! an `Arc` that the next one takes over by identity.

mod build;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::HeaderName;

use crate::balance::Members;
use crate::clock::Draws;
use crate::config::{Config, Timeouts};
use crate::route::{Facts, RouteTable};
use crate::split::{Cohort, Cut, Secret, Split, Sticky};
use crate::upstream::Tally;

pub use build::{Blueprint, Resolved, Traffic};

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
    routes: Arc<RouteTable>,
    secret: Secret,
}

/// One service as requests see it.
#[derive(Debug)]
pub struct Service {
    /// Unique.
    pub name: Arc<str>,
    /// The number of the traffic state in force.
    pub revision: u64,
    /// The traffic state in force.
    pub split: Split,
    /// Bounds on its upstreams.
    pub timeouts: Timeouts,
    /// In name order.
    pub pools: Vec<Pool>,
    cut: Cut,
    sticky: Sticky,
    opt_in: Option<HeaderName>,
}

/// One pool as requests see it.
#[derive(Debug)]
pub struct Pool {
    /// Unique in its service.
    pub name: Arc<str>,
    /// Its upstreams with their weights.
    pub members: Members,
    /// What users got from it, request by request.
    pub tally: Arc<Tally>,
}

/// Where a request goes, as places in the snapshot that decided it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// A place in [`Snapshot::services`].
    pub service: usize,
    /// A place in [`Service::pools`].
    pub pool: usize,
    /// A place in [`Members::list`].
    pub member: usize,
    /// Why this pool.
    pub by: By,
}

/// What chose the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The request named it.
    OptIn,
    /// The client's cohort.
    Cohort(Cohort),
    /// A draw: the client gave nothing to be recognised by.
    Draw,
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No route matches.
    #[error("no route matches the request")]
    NoRoute,
    /// The pool it belongs to has no upstream that takes requests.
    #[error("no upstream is available")]
    NoUpstream {
        /// A place in [`Snapshot::services`].
        service: usize,
        /// A place in [`Service::pools`].
        pool: usize,
    },
}

impl Snapshot {
    /// Where a request with these facts goes.
    pub fn decide(&self, facts: &Facts<'_>, draws: &mut Draws) -> Result<Decision, Refusal> {
        let service = self.routes.find(facts).ok_or(Refusal::NoRoute)?;
        let (pool, by) = self.services[service].choose(facts, self.secret, draws);
        let member = self.pick(service, pool, draws)?;
        Ok(Decision { service, pool, member, by })
    }

    /// An upstream of this pool to ask.
    pub fn pick(&self, service: usize, pool: usize, draws: &mut Draws) -> Result<usize, Refusal> {
        let members = &self.services[service].pools[pool].members;
        members.pick(draws).ok_or(Refusal::NoUpstream { service, pool })
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| &*service.name == name)
    }
}

impl Service {
    /// The pool for a request: what it asks for, else its cohort's, else a drawn one.
    fn choose(&self, facts: &Facts<'_>, secret: Secret, draws: &mut Draws) -> (usize, By) {
        if let Some(field) = &self.opt_in
            && let Some(wanted) = facts.headers.get(field)
            && let Some(pool) =
                self.pools.iter().position(|p| p.name.as_bytes() == wanted.as_bytes())
        {
            return (pool, By::OptIn);
        }
        match self.sticky.cohort(facts, secret, &self.name) {
            Some(cohort) => (self.cut.pool(cohort), By::Cohort(cohort)),
            None => (self.cut.pool(Cohort::from_bits(draws.bits())), By::Draw),
        }
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| &*pool.name == name)
    }
}

/// The one cell that the controller writes and every request reads.
#[derive(Debug)]
pub struct Published(ArcSwap<Snapshot>);

impl Published {
    /// A cell that holds a first snapshot.
    pub fn new(first: Snapshot) -> Published {
        Published(ArcSwap::from_pointee(first))
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

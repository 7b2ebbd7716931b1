//! The next snapshot: config, traffic and resolved names in, a [`Snapshot`] out, with everything
//! that lives on taken over from the one before.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Pool, Service, Snapshot};
use crate::balance::{Member, Members};
use crate::config::{self, Config};
use crate::route::RouteTable;
use crate::split::{Cut, Secret, Split};
use crate::upstream::{Address, Target, Upstream};

/// What names resolve to; a name without an entry has not resolved yet.
pub type Resolved = HashMap<Address, Arc<[Target]>>;

/// The traffic state of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Names pools that the config knows.
    pub split: Split,
    /// The number of the revision that made it so.
    pub revision: u64,
}

/// What a snapshot is built from.
#[derive(Debug)]
pub struct Blueprint<'a> {
    /// The config to serve.
    pub config: Arc<Config>,
    /// By service; one without an entry has the split of its config, as revision 0.
    pub traffic: &'a HashMap<Arc<str>, Traffic>,
    /// What names resolve to.
    pub resolved: &'a Resolved,
    /// The key of the cohort hash.
    pub secret: Secret,
}

impl Snapshot {
    /// The snapshot of a blueprint. What `before` holds of the same identity lives on in it:
    /// upstreams by (service, pool, address), totals of pools by (service, pool).
    pub fn build(blueprint: &Blueprint<'_>, before: Option<&Snapshot>) -> Snapshot {
        let config = &blueprint.config;
        let same_config = before.filter(|before| Arc::ptr_eq(&before.config, config));
        let routes = match same_config {
            Some(before) => before.routes.clone(),
            // A checked config has no ties.
            None => Arc::new(RouteTable::build(&config.routes).unwrap_or_default()),
        };
        let service = |service: &config::Service| {
            let before = before.and_then(|before| before.service(&service.name));
            build_service(service, blueprint, before)
        };
        Snapshot {
            generation: before.map_or(1, |before| before.generation + 1),
            services: config.services.iter().map(service).collect(),
            unmatched: before.map(|before| before.unmatched.clone()).unwrap_or_default(),
            config: config.clone(),
            routes,
            secret: blueprint.secret,
        }
    }
}

fn build_service(
    service: &config::Service,
    blueprint: &Blueprint<'_>,
    before: Option<&Service>,
) -> Service {
    let from_file = || Traffic { split: service.split.clone(), revision: 0 };
    let traffic = blueprint.traffic.get(&service.name).cloned().unwrap_or_else(from_file);
    let pool = |pool: &config::Pool| {
        build_pool(pool, blueprint.resolved, before.and_then(|before| before.pool(&pool.name)))
    };
    Service {
        name: service.name.clone(),
        revision: traffic.revision,
        cut: Cut::of(&traffic.split, service.pools.iter().map(|pool| &pool.name)),
        split: traffic.split,
        timeouts: service.timeouts,
        pools: service.pools.iter().map(pool).collect(),
        sticky: service.sticky.clone(),
        opt_in: service.opt_in.clone(),
    }
}

fn build_pool(pool: &config::Pool, resolved: &Resolved, before: Option<&Pool>) -> Pool {
    let known: HashMap<&Address, &Arc<Upstream>> = before
        .iter()
        .flat_map(|before| before.members.list())
        .map(|member| (&member.upstream.address, &member.upstream))
        .collect();
    let member = |(address, weight): &(Address, u16)| Member {
        upstream: match known.get(address) {
            Some(&upstream) => upstream.clone(),
            None => Arc::new(Upstream::new(address.clone())),
        },
        weight: *weight,
        targets: match address.target() {
            Some(target) => Arc::new([target]),
            None => resolved.get(address).cloned().unwrap_or_default(),
        },
    };
    Pool {
        name: pool.name.clone(),
        members: Members::new(pool.upstreams.iter().map(member).collect()),
        tally: before.map(|before| before.tally.clone()).unwrap_or_default(),
    }
}

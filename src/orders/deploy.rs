//! Deploys: the addresses of a version in; a pool that has them, and a rollout that goes there, out. And
//! what the pool gets back if the version comes to nothing before its first request.
//!
//! A deploy is a rollout that begins by putting a version into its target, in one durable step. What
//! the pool had before is kept with the order that says what it has now, so that whatever ends the
//! rollout finds it there, and a file that is edited meanwhile takes both away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use super::draft::{Draft, Undecided};
use super::other_uses::{other_use, serves_at, with_traffic_but};
use super::rollouts::Starting;
use super::traffic::FILE;
use super::upstreams::written;
use super::{Haste, Made, Refused, upstreams_in};
use crate::balance::DEFAULT_WEIGHT;
use crate::config;
use crate::judge::Counts;
use crate::rollout::{self, Deploy, Input, Plan, Rollout, Strategy, Tag, Version, Wishes};
use crate::snapshot::{Pool, Service};
use crate::split::{BasisPoints, Split};
use crate::state::{About, Change, Deployed, GivesBack, Override, Revision, State, Versions, What};
use crate::upstream::{Address, BreakerOrder, DialAddress};

/// The most upstreams that one deploy puts into a pool: more come by the file.
pub const MOST_DEPLOYED: usize = 1_000;

/// A version that is to get a service's traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployOrder {
    /// Where it runs: at least one address, each once, perhaps with its weight beside the others.
    pub at: Vec<(Address, Option<u16>)>,
    /// What people call it.
    pub tag: Option<Tag>,
    /// Where upstreams must be that are taken out for it; none for anywhere.
    pub within: Option<Arc<[IpNet]>>,
    /// How it rolls out; its target is the pool that is free if none is named.
    pub wishes: Wishes,
}

impl DeployOrder {
    fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.at.iter().map(|(address, _)| address)
    }
}

impl Draft<'_> {
    /// Puts a version into a pool of a service and starts a rollout to it.
    pub fn deploy(&mut self, name: &str, order: &DeployOrder) -> Result<Made, Undecided> {
        let (config, snapshot) = (self.view.config, self.view.snapshot);
        let service = config.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        self.check_expected(self.newest_number(name))?;
        self.check_none_under_way(name)?;
        let known = snapshot.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        if let Some(newest) = self.has_it_already(service, order) {
            return Ok(Made::Already(newest));
        }
        let target = match &order.wishes.to {
            Some(pool) => match other_use(service, pool) {
                None => pool.clone(),
                Some(is) => return Err(Refused::OtherUse { pool: pool.clone(), is }.into()),
            },
            None => self.free_pool(service, known)?,
        };
        let wishes = Wishes { to: Some(target.clone()), ..order.wishes.clone() };
        if wishes.strategy.unwrap_or(service.rollout.strategy) == Strategy::Rolling {
            return Err(Refused::DeployRolls(name.into()).into());
        }
        let pools: Vec<(Arc<str>, usize)> =
            known.pools.iter().map(|pool| (pool.name.clone(), pool.members.list().len())).collect();
        let mut plan = Plan::new(&service.rollout, &wishes, &pools, &known.split)?;
        // However it switches, what is new must have answered them.
        plan.smoke.clone_from(&service.rollout.smoke);
        self.check_addresses(service, known, &target, order)?;
        let id = self.state.last_rollout(name) + 1;
        let despite = self.check_freeze(name, id, wishes.despite_freeze)?;
        self.put_version(service, &target, order, id);
        let upstreams = order.addresses().map(|address| address.to_string().into()).collect();
        let deploy = Some(Deploy { tag: order.tag.clone(), upstreams });
        // What the pool has now is in no snapshot yet: it is looked at in the next second.
        let service = service.name.clone();
        let rollout = self.begin_rollout(Starting { id, service, plan, deploy, despite });
        let weights = order.at.iter().map(|(_, weight)| weight.unwrap_or(DEFAULT_WEIGHT)).collect();
        self.warnings.extend(self.overload_at_the_end(&rollout, Some(weights)));
        Ok(self.newest_rollout(name)?)
    }

    /// The newest revision, if by it this very version has all the traffic.
    fn has_it_already(
        &self,
        service: &config::Service,
        order: &DeployOrder,
    ) -> Option<Arc<Revision>> {
        let newest = self.state.newest(&service.name)?;
        let pools = &service.pools;
        let pool = pools.iter().find(|it| newest.split.weight(&it.name) == BasisPoints::WHOLE)?;
        let is_meant = order.wishes.to.as_ref().is_none_or(|to| **to == *pool.name);
        let has = self.listed(service, pool);
        let is_there = |(address, weight): &(Address, Option<u16>)| {
            let mut same = has.iter().filter(|(known, _)| known == address);
            same.any(|(_, known)| weight.is_none_or(|weight| weight == *known))
        };
        let has_all = has.len() == order.at.len() && order.at.iter().all(is_there);
        let version = version_in(&self.state, &service.name, &pool.name);
        let is_it = has_all && version.and_then(|it| it.tag.clone()) == order.tag;
        (is_it && is_meant).then(|| newest.clone())
    }

    /// The upstreams of a pool at run time.
    fn listed(&self, service: &config::Service, pool: &config::Pool) -> Vec<(Address, u16)> {
        let ordered = upstreams_in(&self.state, &service.name, &pool.name);
        ordered.unwrap_or_else(|| pool.upstreams.clone())
    }

    /// The one pool that gets nothing and that nobody has ordered anything of.
    fn free_pool(&self, service: &config::Service, known: &Service) -> Result<String, Refused> {
        let looked =
            |pool: &config::Pool| (pool.name.to_string(), self.is_taken_by(service, known, pool));
        let (free, taken): (Vec<_>, Vec<_>) =
            service.pools.iter().map(looked).partition(|(_, by)| by.is_none());
        match &free[..] {
            [(only, _)] => Ok(only.clone()),
            [] => {
                let why = |(pool, by): &(String, Option<String>)| {
                    format!("`{pool}` {}", by.as_deref().unwrap_or_default())
                };
                let why = taken.iter().map(why).collect();
                Err(Refused::NoFreePool { service: service.name.to_string(), why })
            }
            several => {
                let pools = several.iter().map(|(pool, _)| format!("`{pool}`")).collect();
                Err(Refused::FreePools { service: service.name.to_string(), pools })
            }
        }
    }

    /// What keeps a pool from being taken for a deploy that names none.
    fn is_taken_by(
        &self,
        service: &config::Service,
        known: &Service,
        pool: &config::Pool,
    ) -> Option<String> {
        let share = known.split.weight(&pool.name);
        if share > BasisPoints::NONE {
            return Some(format!("gets {share} % of the traffic"));
        }
        if let Some(other_use) = other_use(service, &pool.name) {
            return Some(other_use.into());
        }
        let members = known.pool(&pool.name);
        let has = |address: &str| members.is_some_and(|pool| has_member(pool, address));
        let is_of_it = |standing: &&Override| match &standing.what {
            What::Drain { pool: of, upstream, .. } => **of == *pool.name && has(upstream),
            What::Breaker { pool: of, upstream, .. } => {
                **of == *pool.name && upstream.as_deref().is_none_or(has)
            }
            // One deploy follows the other, but what a person has put there is not theirs to take.
            What::Upstreams { pool: of, deploy, .. } => **of == *pool.name && deploy.is_none(),
            _ => false,
        };
        let standing = self.state.orders_of(&service.name).find(is_of_it)?;
        Some(format!("has an order on it ({})", super::absent::in_words(standing)))
    }

    /// Refuses addresses that are no place for a version of their own, and lets go of what was ordered
    /// of them when they were in the pool some other time.
    fn check_addresses(
        &mut self,
        service: &config::Service,
        known: &Service,
        target: &str,
        order: &DeployOrder,
    ) -> Result<(), Refused> {
        let name = &*service.name;
        for address in order.addresses() {
            self.check_not_ours(address)?;
            let mut with_traffic = with_traffic_but(known, target);
            let is_there = |pool: &&Pool| {
                has_member(pool, &address.to_string())
                    || address.target().is_some_and(|place| serves_at(pool, &place).is_some())
            };
            if let Some(pool) = with_traffic.find(is_there) {
                let (pool, address) = (pool.name.to_string(), address.to_string());
                return Err(Refused::HasTraffic { pool, address });
            }
        }
        if let Some(within) = &order.within {
            let pool = service.pool(target).map(|pool| self.listed(service, pool));
            let leaves = |address: &&Address| order.addresses().all(|stays| stays != *address);
            let all: Vec<Address> =
                pool.into_iter().flatten().map(|(address, _)| address).collect();
            if let Some(outside) = all.iter().filter(leaves).find(|it| !is_within(it, within)) {
                let (pool, address) = (target.to_string(), outside.to_string());
                return Err(Refused::OutOfReach { pool, address });
            }
        }
        let stale = self.heeded_orders(name, known, target, order)?;
        stale.into_iter().for_each(|about| self.change(Change::Clear(about)));
        Ok(())
    }

    /// Refuses to deploy to who could not take requests for an order that stands; answers with those
    /// orders that are of an address which is not in the pool any more: a version that comes there is
    /// not meant by them.
    fn heeded_orders(
        &self,
        name: &str,
        known: &Service,
        target: &str,
        order: &DeployOrder,
    ) -> Result<Vec<About>, Refused> {
        let pool = known.pool(target);
        let is_there = |address: &str| pool.is_some_and(|pool| has_member(pool, address));
        let at: BTreeSet<String> = order.addresses().map(ToString::to_string).collect();
        // A name that stays brings the members that it has, and a name may bring anybody.
        let comes = |address: &str| {
            let has = |of: &Option<Arc<str>>| of.as_deref().is_some_and(|of| at.contains(of));
            let mut members = pool.into_iter().flat_map(|pool| pool.members.list());
            at.contains(address)
                || members.any(|it| *it.upstream.name == *address && has(&it.upstream.of))
        };
        let has_name = order.addresses().any(Address::is_name);
        let may_come = |address: &str| comes(address) || has_name && !is_there(address);
        let mut stale = Vec::new();
        for standing in self.state.orders_of(name) {
            let keeps_out = match &standing.what {
                What::Drain { pool, upstream, .. } if *pool == target && may_come(upstream) => {
                    Some(upstream)
                }
                // One that is held closed lets everything through.
                What::Breaker { pool, upstream: Some(upstream), order, .. }
                    if *pool == target
                        && may_come(upstream)
                        && (*order == BreakerOrder::Open || !is_there(upstream)) =>
                {
                    Some(upstream)
                }
                What::Breaker { pool, upstream: None, order: BreakerOrder::Open, .. }
                    if *pool == target =>
                {
                    let (pool, what) = (pool.clone(), super::absent::in_words(standing));
                    return Err(Refused::KeptOut { pool, what });
                }
                _ => None,
            };
            match keeps_out {
                Some(upstream) if is_there(upstream) => {
                    let (pool, what) = (target.into(), super::absent::in_words(standing));
                    return Err(Refused::KeptOut { pool, what });
                }
                Some(_) => stale.push(standing.what.about()),
                None => {}
            }
        }
        Ok(stale)
    }

    /// Gives a pool the upstreams of a version, and keeps what it had.
    fn put_version(&mut self, service: &config::Service, pool: &str, order: &DeployOrder, id: u64) {
        let name = service.name.to_string();
        let was = self.state.order(&About::upstreams(&name, pool)).cloned();
        let was = was.map(|was| Box::new(settled(was)));
        let version = Version { rollout: id, tag: order.tag.clone() };
        let deploy = Some(Deployed { version, gives_back: Some(GivesBack { was }) });
        let in_file = service.pool(pool).map(|pool| written(&pool.upstreams));
        let weighed = |(address, weight): &(Address, Option<u16>)| {
            (address.to_string(), weight.unwrap_or(DEFAULT_WEIGHT))
        };
        let list = order.at.iter().map(weighed).collect();
        let (pool, labels) = (pool.to_string(), BTreeMap::new());
        self.put(What::Upstreams { service: name, pool, list, in_file, labels, deploy }, None);
    }

    /// A version gets its first traffic: from now on the pool is its own.
    pub(super) fn settle_version(&mut self, service: &str, pool: &str) {
        let Some(standing) = self.state.order(&About::upstreams(service, pool)) else { return };
        let settled = settled(standing.clone());
        if settled != *standing {
            self.change(Change::Order(settled));
        }
    }

    /// Refuses to go back to a pool that a deploy under way has taken and would give back by that: what
    /// it gets back is in no snapshot, so nobody knows whether it could take requests.
    pub(super) fn check_given_back(&self, service: &str, split: &Split) -> Result<(), Refused> {
        let Some(rollout) = self.state.rollout(service) else { return Ok(()) };
        let (pool, tag) = (&rollout.plan.to, rollout.deploy.as_ref().map(|it| it.tag.clone()));
        let about = About::upstreams(service, pool);
        let standing = self.state.order(&about);
        let deployed = standing.and_then(|standing| deployed_of(&standing.what, rollout.id));
        match (deployed, tag) {
            (Some(Deployed { gives_back: Some(_), .. }), Some(tag))
                if split.weight(pool) > BasisPoints::NONE =>
            {
                let (service, pool) = (service.to_string(), pool.to_string());
                Err(Refused::TakenByDeploy { service, id: rollout.id, pool, tag })
            }
            _ => Ok(()),
        }
    }

    /// Gives a pool back what it had before the deploy of a rollout that has ended, if the version has
    /// had no traffic; not where somebody has edited the file meanwhile. Whether it did.
    pub(super) fn give_back(&mut self, rollout: &Rollout) -> bool {
        let about = About::upstreams(&rollout.service, &rollout.plan.to);
        let Some(Deployed { gives_back: Some(gives_back), .. }) =
            self.state.order(&about).and_then(|standing| deployed_of(&standing.what, rollout.id))
        else {
            return false;
        };
        let change = match gives_back.was.clone() {
            Some(was) => Change::Order(*was),
            None => Change::Clear(about),
        };
        self.change(change);
        true
    }

    /// The file has something else for a pool than the deploy of this number, and that takes its place: a
    /// rollout that has not yet brought all traffic there goes back.
    pub(super) fn give_up_deploy(&mut self, service: &str, id: u64, reason: String) {
        let under_way = self.state.rollout(service).filter(|rollout| rollout.id == id).cloned();
        let Some(rollout) = under_way.filter(|it| it.share() < BasisPoints::WHOLE) else { return };
        let (author, reason, order) = (FILE.to_string(), Some(reason), rollout::Order::Abort);
        let haste = self.haste;
        // What must not go back any more goes on to its end.
        let input = Input::Order { order, author, reason };
        let _ = self.tell((*rollout).clone(), input, Counts::default());
        // It is one with the file.
        self.haste = if haste == Haste::None { Haste::None } else { haste };
    }

    /// The versions of the pools that get traffic by a split.
    pub(super) fn versions(&self, service: &str, split: &Split) -> Versions {
        let with_traffic = split.parts().iter().filter(|(_, weight)| *weight > BasisPoints::NONE);
        let version = |(pool, _): &(Arc<str>, BasisPoints)| {
            Some((pool.clone(), version_in(&self.state, service, pool)?.clone()))
        };
        with_traffic.filter_map(version).collect()
    }

    /// Refuses to go back to a revision of which a pool runs another version by now: nobody means that
    /// one.
    pub(super) fn check_versions(&self, service: &str, then: &Revision) -> Result<(), Refused> {
        let parts = then.split.parts().iter();
        for (pool, _) in parts.filter(|(_, weight)| *weight > BasisPoints::NONE) {
            let now = version_when_given_back(&self.state, service, pool);
            let Some(now) = now else { continue };
            let was = then.versions.get(pool);
            if !was.is_some_and(|was| was.is(now)) {
                return Err(Refused::OtherVersion {
                    pool: pool.to_string(),
                    now: now.words(),
                    was: was.map(Version::words),
                    revision: then.number,
                });
            }
        }
        Ok(())
    }
}

/// An order without what it gives back.
fn settled(mut standing: Override) -> Override {
    if let What::Upstreams { deploy: Some(deployed), .. } = &mut standing.what {
        deployed.gives_back = None;
    }
    standing
}

/// What the deploy of a rollout has put into a pool, if an order is that.
fn deployed_of(what: &What, rollout: u64) -> Option<&Deployed> {
    what.deployed().filter(|deployed| deployed.version.rollout == rollout)
}

/// Which version runs in a pool, as far as a deploy has said so.
pub(super) fn version_in<'s>(state: &'s State, service: &str, pool: &str) -> Option<&'s Version> {
    let what = &state.order(&About::upstreams(service, pool))?.what;
    let in_force = what.deployed().filter(|_| !state.is_dormant(what));
    in_force.map(|deployed| &deployed.version)
}

/// As [`version_in`], once a deploy that has moved nothing is given up.
fn version_when_given_back<'s>(state: &'s State, service: &str, pool: &str) -> Option<&'s Version> {
    let deployed = state.order(&About::upstreams(service, pool))?.what.deployed()?;
    let then = match &deployed.gives_back {
        None => deployed,
        Some(GivesBack { was }) => was.as_ref()?.what.deployed()?,
    };
    Some(&then.version)
}

/// The versions that a state has in pools.
pub(super) fn deployed_versions(state: &State) -> HashMap<(Arc<str>, Arc<str>), Arc<Version>> {
    let in_force = state.orders().filter(|standing| !state.is_dormant(&standing.what));
    let versions = in_force.filter_map(|standing| match &standing.what {
        What::Upstreams { service, pool, deploy: Some(deployed), .. } => {
            let key = (service.as_str().into(), pool.as_str().into());
            Some((key, Arc::new(deployed.version.clone())))
        }
        _ => None,
    });
    versions.collect()
}

/// Whether a pool has an upstream of this address, or one that a name of it stands for.
fn has_member(pool: &Pool, address: &str) -> bool {
    let members = pool.members.list().iter();
    let is_it = |of: Option<&str>, name: &str| name == address || of == Some(address);
    members.map(|member| &member.upstream).any(|it| is_it(it.of.as_deref(), &it.name))
}

fn is_within(address: &Address, networks: &[IpNet]) -> bool {
    match address.target() {
        Some(DialAddress::Socket(socket)) => {
            let ip = socket.ip().to_canonical();
            networks.iter().any(|network| network.contains(&ip))
        }
        _ => false,
    }
}

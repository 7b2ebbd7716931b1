//! Places that are another's: what keeps a version from coming there, or ends the deploy of one. Pools may
//! get requests beside their share of the traffic; addresses may be our own, or serve as another version
//! under another name.

use std::path::PathBuf;

use super::absent::is_edited_list;
use super::draft::Draft;
use super::{Does, Refused, What};
use crate::config::{self, Config, ListenAddress};
use crate::rollout::Rollout;
use crate::snapshot::{Pool, Service, Snapshot};
use crate::split::BasisPoints;
use crate::upstream::{Address, DialAddress};

impl Draft<'_> {
    /// Deploys under way to pools that a file has another use for.
    fn put_to_other_use<'d>(
        &'d self,
        config: &'d Config,
    ) -> impl Iterator<Item = (&'d Rollout, &'static str)> {
        self.state.rollouts().filter(|rollout| rollout.deploy.is_some()).filter_map(|rollout| {
            let service = config.service(&rollout.service)?;
            Some((&**rollout, other_use(service, &rollout.plan.to)?))
        })
    }

    /// Refuses a file by which the target of a deploy under way would get requests beside its share.
    pub(super) fn check_deploys(&self, config: &Config) -> Result<(), Refused> {
        match self.put_to_other_use(config).next() {
            None => Ok(()),
            Some((rollout, is)) => Err(Refused::UnderDeploy {
                service: rollout.service.to_string(),
                id: rollout.id,
                pool: rollout.plan.to.to_string(),
                tag: rollout.deploy.as_ref().and_then(|deploy| deploy.tag.clone()),
                is,
            }),
        }
    }

    /// Refuses what is this very process.
    pub(super) fn check_not_ours(&self, address: &Address) -> Result<(), Refused> {
        let named = address.to_string();
        match done_at(self.view.config, address) {
            None => Ok(()),
            Some(Does::Admin) => Err(Refused::OwnAdmin { address: named }),
            Some(Does::Accept) => Err(Refused::OwnListener { address: named }),
        }
    }

    /// Refuses a file by which this very process comes to be where an order has put an upstream. What a
    /// process begins with nobody can refuse: it asks nobody there, and goes on so.
    pub(super) fn check_ordered(&self, config: &Config) -> Result<(), Refused> {
        let stands = self.state.orders().filter(|standing| !is_edited_list(standing, config));
        for standing in stands {
            let What::Upstreams { service, pool, list, .. } = &standing.what else { continue };
            if config.service(service).and_then(|service| service.pool(pool)).is_none() {
                continue;
            }
            for (named, _) in list {
                let Ok(address) = named.parse::<Address>() else { continue };
                let Some(does) = done_at(config, &address) else { continue };
                if done_at(self.view.config, &address).is_none() {
                    let (service, pool) = (service.clone(), pool.clone());
                    return Err(Refused::OrderedOwn {
                        service,
                        pool,
                        address: named.clone(),
                        does,
                    });
                }
            }
        }
        Ok(())
    }

    /// Ends deploys for the file that a process begins with, which nobody can refuse.
    pub(super) fn give_up_deploys(&mut self, config: &Config) {
        let given_up = |(rollout, is): (&Rollout, &str)| {
            let reason = format!("by the file pool `{}` {is}", rollout.plan.to);
            (rollout.service.clone(), rollout.id, reason)
        };
        let all: Vec<_> = self.put_to_other_use(config).map(given_up).collect();
        all.into_iter().for_each(|(service, id, reason)| self.give_up_deploy(&service, id, reason));
    }
}

/// What a process with this config does at an address, if anything.
fn done_at(config: &Config, address: &Address) -> Option<Does> {
    if config.admin.address.is_at(address) {
        return Some(Does::Admin);
    }
    let accepts = config.listeners.iter().any(|own| own.address.is_at(address));
    accepts.then_some(Does::Accept)
}

/// What a pool gets requests for beside its share, if it does: before a version there has shown
/// anything.
pub(super) fn other_use(service: &config::Service, pool: &str) -> Option<&'static str> {
    if service.stability.fallback.pool.as_deref() == Some(pool) {
        return Some("is the fallback");
    }
    let is_mirror = service.mirror.as_ref().is_some_and(|mirror| *mirror.to == *pool);
    is_mirror.then_some("gets copies of requests")
}

/// The pools that get traffic, but one.
pub(super) fn with_traffic_but<'s>(
    service: &'s Service,
    but: &'s str,
) -> impl Iterator<Item = &'s Pool> {
    let has = move |pool: &&Pool| service.split.weight(&pool.name) > BasisPoints::NONE;
    service.pools.iter().filter(move |pool| *pool.name != *but).filter(has)
}

/// Which upstream of a pool is reached by who dials this, however it is called there.
pub(super) fn serves_at<'p>(pool: &'p Pool, place: &DialAddress) -> Option<&'p str> {
    let own = match place.below() {
        DialAddress::Socket(socket) => ListenAddress::Tcp(*socket),
        DialAddress::Unix(path) => ListenAddress::Unix(PathBuf::from(&**path)),
        _ => return None,
    };
    let is_it = |target: &DialAddress| own.takes(target);
    let mut members = pool.members.list().iter();
    let found = members.find(|member| member.target.as_ref().is_some_and(is_it))?;
    Some(&found.upstream.name)
}

/// Why a deploy that has moved nothing yet must not: what its names lead to, which was not known when it
/// was ordered, serves already.
pub(super) fn serves_already(rollout: &Rollout, snapshot: &Snapshot) -> Option<String> {
    if rollout.deploy.is_none() || rollout.has_moved() || rollout.is_over() {
        return None;
    }
    let service = snapshot.service(&rollout.service)?;
    let target = service.pool(&rollout.plan.to)?;
    // Before the version is there the pool has something else.
    target.version.as_ref().filter(|version| version.rollout == rollout.id)?;
    target.members.list().iter().find_map(|member| {
        let place = member.target.as_ref()?;
        let named = member.upstream.of.as_deref().unwrap_or(&member.upstream.name);
        let found = |pool: &Pool| Some((pool.name.clone(), serves_at(pool, place)?.to_string()));
        let (pool, address) = with_traffic_but(service, &rollout.plan.to).find_map(found)?;
        Some(format!(
            "`{named}` leads to `{address}` of pool `{pool}`, which gets traffic: a version of its own needs \
             a place of its own"
        ))
    })
}

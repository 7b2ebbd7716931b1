//! Pools that get requests beside their share of the traffic: a file in; what of it keeps a version from coming
//! there, or ends the deploy of one, out.

use super::Refused;
use super::draft::Draft;
use crate::config::{self, Config};
use crate::rollout::Rollout;

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

    /// The same of the file that a process begins with, which nobody can refuse.
    pub(super) fn give_up_deploys(&mut self, config: &Config) {
        let given_up = |(rollout, is): (&Rollout, &str)| {
            let reason = format!("by the file pool `{}` {is}", rollout.plan.to);
            (rollout.service.clone(), rollout.id, reason)
        };
        let all: Vec<_> = self.put_to_other_use(config).map(given_up).collect();
        all.into_iter().for_each(|(service, id, reason)| self.give_up_deploy(&service, id, reason));
    }
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

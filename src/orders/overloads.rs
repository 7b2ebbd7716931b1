//! What a change would be too much for: a split in, warnings out. They keep nobody from anything.

use super::draft::Draft;
use crate::capacity::{Overload, Target};
use crate::rollout::{self, Rollout};
use crate::snapshot::Pool;
use crate::split::Split;

impl Draft<'_> {
    /// What would be too much for the upstreams of pools that get more by this split than they get now.
    pub(super) fn overloads(&self, service: &str, split: &Split) -> Vec<Overload> {
        let now = self.state.newest(service).map(|newest| &newest.split);
        let grows = |pool: &&Pool| {
            let now = now.map(|now| now.weight(&pool.name)).unwrap_or_default();
            split.weight(&pool.name) > now
        };
        let Some(known) = self.view.snapshot.service(service) else { return Vec::new() };
        let grown: Vec<&Pool> = known.pools.iter().filter(grows).collect();
        if grown.is_empty() {
            return Vec::new();
        }
        let capacity = self.view.history.capacity(known, self.view.now.wall);
        let overload = |pool: &&Pool| {
            let (share, weights) = (split.weight(&pool.name).ratio(), weights(pool));
            capacity.overload(&Target { pool: &pool.name, share, weights })
        };
        grown.iter().filter_map(overload).collect()
    }

    /// What would be too much once a rollout has brought everything to its target, which has upstreams of these
    /// weights by then; those that it has now if none are named.
    pub(super) fn overload_at_the_end(
        &self,
        rollout: &Rollout,
        weights: Option<Vec<u16>>,
    ) -> Option<Overload> {
        let (plan, service) = (&rollout.plan, self.view.snapshot.service(&rollout.service)?);
        if plan.from == plan.to {
            return None;
        }
        let pool = service.pool(&plan.to)?;
        let weights = weights.unwrap_or_else(|| self::weights(pool));
        let capacity = self.view.history.capacity(service, self.view.now.wall);
        capacity.overload(&Target { pool: &pool.name, share: 1.0, weights })
    }

    /// That a step of a rollout gives its target too much, if it does.
    pub(super) fn step_overloads(
        &self,
        rollout: &Rollout,
        split: &Split,
    ) -> Option<rollout::Event> {
        let (to, share) = (&rollout.plan.to, split.weight(&rollout.plan.to));
        let found = self.overloads(&rollout.service, split);
        let found = found.into_iter().find(|overload| overload.pool == *to)?;
        Some(rollout::Event::Overloads { to: to.clone(), share, what: found.to_string() })
    }
}

/// The weights of those who would take a pool's requests: who is well, or all while nobody is known to be.
fn weights(pool: &Pool) -> Vec<u16> {
    let all = pool.members.list();
    let well = all.iter().filter(|member| member.is_well());
    let well: Vec<u16> = well.map(|member| member.weight).collect();
    match well.is_empty() {
        true => all.iter().map(|member| member.weight).collect(),
        false => well,
    }
}

//! What must hold of deploys, whatever happens to them.

use super::Run;
use crate::orders::deploy::version_in;
use crate::rollout::Outcome;
use crate::split::BasisPoints;
use crate::state::{About, Deployed, Override, State};

/// What a deploy has put into a pool, if an order is that.
fn deployed(standing: Option<&Override>) -> Option<&Deployed> {
    standing?.what.deployed()
}

impl Run {
    /// A deploy that has ended before its first request has left nothing behind. `is_alone`: nothing
    /// else was decided in the same breath.
    pub(super) fn check_deploys(&mut self, before: &State, is_alone: bool) {
        let after = self.drive.orders.state();
        for rollout in before.rollouts().filter(|rollout| rollout.deploy.is_some()) {
            let (name, pool) = (&rollout.service, &rollout.plan.to);
            let Some(ended) = after.rollout_of(name, rollout.id) else { continue };
            let Some((outcome, _)) = &ended.ended else { continue };
            if ended.seen().1.is_some() {
                self.seen.deployed += 1;
                continue;
            }
            let by_file = matches!(outcome, Outcome::Aborted { by, .. } if by == "file");
            let is_given_back = matches!(outcome, Outcome::Failed { .. } | Outcome::Aborted { .. });
            let about = About::upstreams(name, pool);
            let Some(had) = deployed(before.order(&about)) else { continue };
            let is_its = had.version.rollout == rollout.id;
            let Some(gives_back) = had.gives_back.as_ref().filter(|_| is_its) else { continue };
            if is_alone && is_given_back && !by_file {
                let was = gives_back.was.as_deref();
                assert_eq!(after.order(&about), was, "{outcome:?} of {name}/{pool}");
                self.seen.given_back += 1;
            }
        }
    }

    /// Pools run what the state says, and what could be given back is of a deploy that has not begun.
    pub(super) fn check_versions(&self) {
        let state = self.drive.orders.state();
        for service in &self.drive.snapshot.services {
            for pool in &service.pools {
                let known = version_in(state, &service.name, &pool.name);
                assert_eq!(pool.version.as_deref(), known, "{}/{}", service.name, pool.name);
                let gets = service.split.weight(&pool.name) > BasisPoints::NONE;
                let by_file = self.drive.orders.config().service(&service.name);
                let by_file = by_file.is_some_and(|it| it.split.weight(&pool.name).get() > 0);
                let standing = state.order(&About::upstreams(&service.name, &pool.name));
                let is_settled = deployed(standing).is_none_or(|it| it.gives_back.is_none());
                assert!(
                    !gets || is_settled || by_file,
                    "{}/{} gets traffic",
                    service.name,
                    pool.name
                );
            }
        }
        for standing in state.orders() {
            let Some(Deployed { version, gives_back: Some(_) }) = deployed(Some(standing)) else {
                continue;
            };
            let rollout = state.rollout(standing.what.service());
            let is_its = rollout.is_some_and(|it| it.id == version.rollout && !it.has_moved());
            assert!(is_its, "{standing:?} is of no deploy under way");
        }
    }
}

//! Tasks of rollouts, done beside the writer: a rollout and a task in, how it ended out.
//!
//! A rollout's plan comes out of the store, and what is stored is no program: it says at which points
//! somebody is asked, and the config in force says who. What it names no more is not run, whatever
//! the plan once meant, and an address or a key that was changed is the one that counts.

use std::sync::Arc;

use crate::config::{Config, Service};
use crate::notify::{Caller, Occasion, call_hook, measure, smoke};
use crate::rollout::{Finished, HookPoint, Query, Rollout, Task, TaskError};
use crate::snapshot::Snapshot;
use crate::upstream::DialAddress;

/// Does a task of a rollout, by what the config in force says of it. Hooks are told `who` calls.
pub(super) fn run_task(
    caller: Arc<Caller>,
    rollout: Rollout,
    task: Task,
    snapshot: Arc<Snapshot>,
    (config, who): (Arc<Config>, (Arc<str>, Arc<str>)),
) -> impl Future<Output = Result<Finished, TaskError>> + Send + 'static {
    let targets = targets(&snapshot, &rollout);
    async move {
        let service = config.service(&rollout.service);
        match task {
            Task::Measure => match question(&rollout, service) {
                Some(query) => Ok(measure(&caller, &query).await?),
                None => Err(TaskError::NoQuestion),
            },
            Task::Smoke => smoke(&caller, &targets, &rollout.service, &rollout.plan.smoke).await,
            Task::Hook(point) => {
                let Some(hook) = service.and_then(|service| service.rollout.hooks.at(&point))
                else {
                    return Err(TaskError::NoHook);
                };
                call_hook(&caller, hook, &config.keys, &occasion(&rollout, point, who)).await
            }
        }
    }
}

/// The rollout's question, at the address that the config in force has for it.
fn question(rollout: &Rollout, service: Option<&Service>) -> Option<Query> {
    let query = rollout.plan.judging.prometheus.clone()?;
    let url = service?.rollout.judging.prometheus.as_ref()?.url.clone();
    Some(Query { url, ..query })
}

/// Where the upstreams of a rollout's target are.
fn targets(snapshot: &Snapshot, rollout: &Rollout) -> Vec<DialAddress> {
    let pool =
        snapshot.service(&rollout.service).and_then(|service| service.pool(&rollout.plan.to));
    let members = pool.into_iter().flat_map(|pool| pool.members.list());
    members.filter_map(|member| member.target.clone()).collect()
}

fn occasion(
    rollout: &Rollout,
    point: HookPoint,
    (pointsman, environment): (Arc<str>, Arc<str>),
) -> Occasion {
    let at = rollout.asked(&Task::Hook(point.clone()));
    Occasion {
        pointsman,
        environment,
        point,
        service: rollout.service.clone(),
        rollout: rollout.id,
        strategy: rollout.plan.strategy,
        from: rollout.plan.from.clone(),
        to: rollout.plan.to.clone(),
        step: rollout.step(),
        share: rollout.share(),
        author: rollout.author.clone(),
        reason: rollout.reason.clone(),
        at,
    }
}

//! Tasks of rollouts, done beside the writer: a rollout and a task in, how it ended out.

use std::sync::Arc;

use crate::config::SigningKeys;
use crate::notify::{Caller, Occasion, call_hook, measure, smoke};
use crate::rollout::{Finished, HookPoint, Rollout, Task, TaskError};
use crate::snapshot::Snapshot;
use crate::upstream::DialAddress;

/// Does a task of a rollout. Webhooks are signed with `keys`.
pub(super) fn run_task(
    caller: Arc<Caller>,
    rollout: Rollout,
    task: Task,
    snapshot: Arc<Snapshot>,
    keys: SigningKeys,
) -> impl Future<Output = Result<Finished, TaskError>> + Send + 'static {
    let targets = targets(&snapshot, &rollout);
    async move {
        match task {
            Task::Measure => match &rollout.plan.judging.prometheus {
                Some(query) => Ok(measure(&caller, query).await?),
                None => Err(TaskError::NoQuestion),
            },
            Task::Smoke => smoke(&caller, &targets, &rollout.service, &rollout.plan.smoke).await,
            Task::Hook(point) => {
                let Some(hook) = rollout.plan.hooks.at(&point) else {
                    return Err(TaskError::NoHook);
                };
                call_hook(&caller, hook, &keys, &occasion(&rollout, point)).await
            }
        }
    }
}

/// Where the upstreams of a rollout's target are.
fn targets(snapshot: &Snapshot, rollout: &Rollout) -> Vec<DialAddress> {
    let pool =
        snapshot.service(&rollout.service).and_then(|service| service.pool(&rollout.plan.to));
    let members = pool.into_iter().flat_map(|pool| pool.members.list());
    members.filter_map(|member| member.target.clone()).collect()
}

fn occasion(rollout: &Rollout, point: HookPoint) -> Occasion {
    let at = rollout.asked(&Task::Hook(point.clone()));
    Occasion {
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

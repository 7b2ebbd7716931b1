//! Whose latencies the judge of a rollout leaves out: upstreams of both pools, and since when they warm
//! up, in; a mark on each out. The times are kept with the rollout, so that they outlive this process,
//! which is no reason for an upstream to be cold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Now;
use crate::clock::{Moment, WallTime};
use crate::rollout::Rollout;
use crate::snapshot::{Service, Snapshot};
use crate::upstream::Since;

/// Two readings of one time that differ by less are the same: clocks are set.
const SAME: Duration = Duration::from_secs(5);

/// Marks the upstreams of a rollout's pools that are cold, and has the rollout remember since when they
/// warm up.
pub(super) fn mark_cold(rollout: &mut Rollout, service: &Service, snapshot: &Snapshot, now: Now) {
    let warm_up = rollout.plan.judging.settings.warm_up;
    let before = rollout.warm_since();
    let mut known = BTreeMap::new();
    for name in [&rollout.plan.from, &rollout.plan.to] {
        let members = service.pool(name).into_iter().flat_map(|pool| pool.members.list());
        for upstream in members.map(|member| &member.upstream) {
            let key: Arc<str> = format!("{name}/{}", upstream.name).into();
            let wall = |at: Moment| now.wall - snapshot.moment(now.instant).elapsed_since(at);
            let stored = before.get(&key).copied();
            let since = match upstream.warmth.since() {
                Since::Return(at) => Some(later(stored, wall(at))),
                Since::First(at) => stored.or(Some(wall(at))),
                Since::Never => stored,
            };
            let is_cold =
                !warm_up.is_zero() && since.is_none_or(|at| now.wall.elapsed_since(at) < warm_up);
            upstream.warmth.set_cold(is_cold);
            known.extend(since.map(|at| (key, at)));
        }
    }
    if known != *before {
        rollout.set_warm_since(known);
    }
}

/// No rollout of a service is under way that would leave out anybody's latencies.
pub(super) fn unmark(service: &str, snapshot: &Snapshot) {
    let pools = snapshot.service(service).into_iter().flat_map(|service| &service.pools);
    let members = pools.flat_map(|pool| pool.members.list());
    members.for_each(|member| member.upstream.warmth.set_cold(false));
}

/// The later of both, but the one that is known where they are the same.
fn later(known: Option<WallTime>, at: WallTime) -> WallTime {
    match known {
        Some(known) if at.elapsed_since(known) < SAME => known,
        _ => at,
    }
}

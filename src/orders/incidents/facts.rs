//! What is seen of an incident's services when it is asked what may mend it.

use std::sync::Arc;

use crate::clock::WallTime;
use crate::config::Config;
use crate::incident::{Changed, Facts, Incident, ServiceFacts, Suspect};
use crate::rollout::Rollout;
use crate::snapshot::{Mode, Pool, Service, Snapshot};
use crate::state::{About, Revision, State};

/// Revisions that are looked at, the newest first: more in two hours are a script's.
const REVISIONS: usize = 50;

/// What is seen.
pub fn incident_facts(
    state: &State,
    config: &Config,
    snapshot: &Snapshot,
    incident: &Incident,
) -> Facts {
    let services = incident.services.iter().filter_map(|name| snapshot.service(name));
    Facts { services: services.map(|service| of_service(state, config, service)).collect() }
}

fn of_service(state: &State, config: &Config, service: &Service) -> ServiceFacts {
    let name = &service.name;
    let mut changes = traffic(state, name);
    for flag in config.flags.iter().filter(|flag| flag.services.contains(name)) {
        let Some(known) = state.flag(&flag.name).filter(|known| !known.is_back) else { continue };
        let change = Changed::Flag(flag.name.to_string(), known.percent.to_string());
        changes.push(Suspect { change, author: known.author.clone(), at: known.at });
    }
    let gets = |pool: &&Pool| service.split.weight(&pool.name).get() > 0;
    let (used, spare): (Vec<&Pool>, Vec<&Pool>) = service.pools.iter().partition(gets);
    let is_dead = |pool: &&&Pool| !pool.members.list().iter().any(|member| member.is_well());
    let is_whole = |pool: &&&Pool| {
        let mut all = pool.members.list().iter();
        all.len() > 0 && all.all(|member| member.is_well())
    };
    let mut sick = Vec::new();
    for pool in used.iter().filter(|pool| !is_dead(pool)) {
        let members = pool.members.list().iter();
        for member in members.filter(|member| !member.is_well() && member.is_left_in()) {
            let why = "it is not well, and others of its pool are".to_string();
            sick.push((pool.name.to_string(), member.upstream.name.to_string(), why));
        }
    }
    let named = |pools: Vec<&Pool>| pools.iter().map(|pool| pool.name.to_string()).collect();
    let fallback = &service.stability.fallback;
    let target = |rollout: &Arc<Rollout>| (rollout.id, rollout.plan.to.to_string());
    ServiceFacts {
        name: name.to_string(),
        changes,
        rollout: state.rollout(name).map(target),
        is_back: state.newest(name).is_none_or(|newest| newest.is_back),
        is_frozen: state.order(&About::freeze(name)).is_some(),
        serves: matches!(service.mode, Mode::Serve),
        sick,
        dead: named(used.iter().filter(is_dead).copied().collect()),
        spare: named(spare.iter().filter(is_whole).copied().collect()),
        has_fallback: fallback.stale.is_some()
            || fallback.pool.is_some()
            || fallback.answer.is_some(),
    }
}

/// The changes of traffic that are not ways back. Of one rollout the first step is the change.
fn traffic(state: &State, service: &str) -> Vec<Suspect> {
    let newest: Vec<&Arc<Revision>> = state.history(service).take(REVISIONS).collect();
    let mut changes: Vec<Suspect> = Vec::new();
    let mut rollouts = Vec::new();
    for revision in newest.iter().rev().filter(|revision| !revision.is_back) {
        // What there was from the start is no change.
        let is_first = revision.number == 1;
        if is_first || revision.rollout.is_some_and(|rollout| rollouts.contains(&rollout)) {
            continue;
        }
        rollouts.extend(revision.rollout);
        let rollout = revision.rollout.and_then(|id| state.rollout_of(service, id));
        let version = rollout.and_then(|rollout| rollout.deploy.as_ref());
        let version = version.and_then(|deploy| deploy.tag.as_ref()).map(ToString::to_string);
        changes.push(Suspect {
            change: Changed::Traffic(revision.number, version),
            author: rollout.map_or(&revision.author, |rollout| &rollout.author).clone(),
            at: WallTime::from_millis((revision.at * 1e3) as u64),
        });
    }
    changes
}

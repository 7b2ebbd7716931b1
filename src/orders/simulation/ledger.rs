//! What was believed, answered and published, and what must be found of it later.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Desk, Doing, Run};
use crate::rollout::{Outcome, Rollout, Strategy};
use crate::snapshot::{PoolState, Service, ServiceState, Snapshot};
use crate::split::Split;
use crate::store::{FlagState, KEPT, Memory, Override, OverrideKey, Revision, Store};
use crate::upstream::Upstream;

/// What a desk believes, or a store remembers, of what must not be lost.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Belief {
    newest: BTreeMap<Arc<str>, Revision>,
    rollouts: BTreeMap<Arc<str>, Rollout>,
    lingering: BTreeMap<(Arc<str>, u64), Rollout>,
    last_ids: BTreeMap<Arc<str>, u64>,
    overrides: BTreeMap<OverrideKey, Override>,
    flags: BTreeMap<Arc<str>, FlagState>,
    in_file: BTreeMap<Arc<str>, String>,
}

/// What was told, and to whom.
#[derive(Default)]
pub(super) struct Ledger {
    /// Answers to orders.
    answered: BTreeMap<(Arc<str>, u64), Revision>,
    /// What snapshots in force said.
    pub published: BTreeMap<(Arc<str>, u64), Revision>,
    /// The revision that a request of the service saw last.
    last: BTreeMap<Arc<str>, u64>,
    /// Where each client was last.
    clients: HashMap<(Arc<str>, u64), Client>,
    /// Clients that were counted under a salt.
    counted: HashSet<(Arc<str>, u64, u64)>,
    services: HashMap<*const ServiceState, Arc<ServiceState>>,
    pools: HashMap<*const PoolState, Arc<PoolState>>,
    upstreams: HashMap<*const Upstream, Arc<Upstream>>,
}

#[derive(Clone)]
struct Client {
    revision: u64,
    pool: Arc<str>,
    /// The rollout that had made it so, and whether it has moved the client.
    rollout: Option<u64>,
    has_moved: bool,
}

impl Belief {
    pub fn of(desk: &Desk) -> Belief {
        let rollouts = desk.rollouts.values().map(|under_way| &under_way.rollout);
        Belief {
            newest: desk
                .newest
                .iter()
                .map(|(name, newest)| (name.clone(), plain(newest)))
                .collect(),
            rollouts: rollouts.map(|rollout| (rollout.service.clone(), rollout.clone())).collect(),
            lingering: keyed(&desk.lingering),
            last_ids: desk.last_ids.clone(),
            overrides: desk.overrides.clone(),
            flags: desk.flags.clone(),
            in_file: desk.in_file.clone(),
        }
    }

    /// What is stored is what was believed, but for counts and times of rollouts.
    pub fn assert_stored_as(&self, found: &Belief) {
        assert_eq!(self.durable(), found.durable());
    }

    /// What is stored is what was believed and one command more, of this kind.
    pub fn assert_one_beside(&self, found: &Belief, doing: Doing) {
        let (mut before, mut after) = (self.durable(), found.durable());
        for (name, newest) in &found.newest {
            let known = self.newest.get(name).map_or(0, |known| known.number);
            assert!((known..=known + 1).contains(&newest.number), "{name}: {known} to {newest:?}");
        }
        let touched: &[&str] = match doing {
            Doing::Shift => &["newest", "rollouts", "lingering", "overrides"],
            Doing::Flag => &["flags"],
            Doing::Override => &["overrides"],
            Doing::Rollout | Doing::Tick => {
                &["newest", "rollouts", "lingering", "last_ids", "overrides"]
            }
            Doing::Reload => return,
        };
        for part in touched {
            let parts = (before[part].take(), after[part].take());
            let (Value::Object(before), Value::Object(after)) = parts else { continue };
            // One service's, or one order's with what it takes back.
            let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
            let most = if *part == "overrides" { 3 } else { 1 };
            let changed: Vec<_> = changed.collect();
            assert!(changed.len() <= most, "{doing:?} has changed {changed:?}");
        }
        assert_eq!(before, after, "{doing:?} has changed something else");
    }

    fn durable(&self) -> Value {
        let rollouts = |list: &mut dyn Iterator<Item = &Rollout>| {
            let one = |rollout: &Rollout| {
                (format!("{} {}", rollout.service, rollout.id), place_of(rollout))
            };
            list.map(one).collect::<serde_json::Map<_, _>>()
        };
        let text = |key: &dyn std::fmt::Debug, value: &dyn std::fmt::Debug| {
            (format!("{key:?}"), Value::from(format!("{value:?}")))
        };
        json!({
            "newest": self.newest.iter().map(|(k, v)| text(k, v)).collect::<serde_json::Map<_, _>>(),
            "rollouts": rollouts(&mut self.rollouts.values()),
            "lingering": rollouts(&mut self.lingering.values()),
            "last_ids": self.last_ids,
            "overrides":
                self.overrides.iter().map(|(k, v)| text(k, v)).collect::<serde_json::Map<_, _>>(),
            "flags": self.flags.iter().map(|(k, v)| text(k, v)).collect::<serde_json::Map<_, _>>(),
            "in_file": self.in_file,
        })
    }
}

impl From<&Memory> for Belief {
    fn from(memory: &Memory) -> Belief {
        let overrides = memory.overrides.iter().map(|standing| (standing.what.key(), standing));
        let rollouts = memory.rollouts.iter();
        Belief {
            newest: memory
                .newest
                .iter()
                .map(|(name, newest)| (name.clone(), plain(newest)))
                .collect(),
            rollouts: rollouts.map(|rollout| (rollout.service.clone(), rollout.clone())).collect(),
            lingering: keyed(&memory.lingering),
            last_ids: memory.last_rollouts.clone(),
            overrides: overrides.map(|(key, standing)| (key, standing.clone())).collect(),
            flags: memory.flags.clone(),
            in_file: memory.in_file.clone(),
        }
    }
}

/// A revision without what became of it, which only the store keeps.
fn plain(revision: &Revision) -> Revision {
    Revision { outcome: None, ..revision.clone() }
}

fn keyed(list: &[Rollout]) -> BTreeMap<(Arc<str>, u64), Rollout> {
    list.iter().map(|rollout| ((rollout.service.clone(), rollout.id), rollout.clone())).collect()
}

/// What must be stored of a rollout before anything is done about it. Counts and times may be a few
/// seconds old, and so may be which upstreams have left the pool.
fn place_of(rollout: &Rollout) -> Value {
    let mut value = serde_json::to_value(rollout).unwrap();
    let fields = value.as_object_mut().unwrap();
    for counted in
        ["counts", "whole", "looked", "entered", "traffic_since", "unready_since", "hearing"]
    {
        fields.remove(counted).unwrap();
    }
    for stills in ["paused", "held"] {
        if !fields[stills].is_null() {
            fields[stills] = fields[stills]["why"].take();
        }
    }
    for pending in fields["pending"].as_array_mut().unwrap() {
        pending.as_object_mut().unwrap().remove("since").unwrap();
    }
    if rollout.plan.strategy == Strategy::Rolling {
        fields.remove("rolling").unwrap();
        fields.remove("pending").unwrap();
    }
    value
}

impl Ledger {
    /// A revision was given as the answer to an order.
    pub fn answered(&mut self, service: &str, revision: &Revision) {
        self.answered.insert((service.into(), revision.number), revision.clone());
    }

    /// All that was answered or published is in the store, and no number is missing.
    pub fn check_history(&self, store: &Store) {
        for name in store.recall().unwrap().newest.keys() {
            let history = store.history(name, KEPT).unwrap();
            let numbers: Vec<u64> = history.iter().rev().map(|revision| revision.number).collect();
            assert_eq!(numbers, (1..=history.len() as u64).collect::<Vec<_>>(), "{name}");
            for revision in history {
                let key = (name.clone(), revision.number);
                let told = [self.answered.get(&key), self.published.get(&key)];
                for told in told.into_iter().flatten() {
                    assert_eq!(plain(told), plain(&revision), "{name}");
                }
            }
        }
        for (name, number) in self.answered.keys().chain(self.published.keys()) {
            let found = store.revision(name, *number).unwrap();
            assert!(found.is_some(), "revision {number} of {name} was told, and is gone");
        }
    }

    /// A request sees this revision.
    pub fn saw(&mut self, service: &Arc<str>, revision: u64) {
        let last = self.last.entry(service.clone()).or_default();
        assert!(revision >= *last, "{service} went back from revision {last} to {revision}");
        *last = revision;
    }

    /// Whether a revision is what is in force: not while it was taken back in memory alone.
    pub fn is_in_force(&self, service: &Service) -> bool {
        let known = &self.published[&(service.name.clone(), service.revision)];
        known.split == service.split
    }

    /// A client goes where its cohort belongs: it moves with what moves it, and in one rollout there
    /// and, if that is taken back, back again, but never more.
    pub fn went(&mut self, service: &Arc<str>, client: u64, revision: u64, pool: &Arc<str>) {
        let now = &self.published[&(service.clone(), revision)];
        let key = (service.clone(), client);
        let Some(before) = self.clients.get_mut(&key) else {
            let rollout = now.rollout;
            let client = Client { revision, pool: pool.clone(), rollout, has_moved: false };
            self.clients.insert(key, client);
            return;
        };
        if before.pool != *pool {
            assert!(before.revision < revision, "client {client} moved within {now:?}");
            let was = &self.published[&(service.clone(), before.revision)];
            let is_next = before.revision + 1 == revision;
            let few = |split: &Split| split.parts().len() <= 2;
            let divided = !was.split.is_one_sided() && !now.split.is_one_sided();
            if is_next && divided && was.salt != now.salt {
                // The way back to a divided state, where everybody is again where they were then.
                let why = now.reason.as_deref().unwrap_or_default();
                assert!(why.starts_with("rollback to revision"), "{was:?}, {now:?}");
            } else if is_next && few(&was.split) && few(&now.split) {
                let grows = now.split.weight(pool) > was.split.weight(pool);
                assert!(grows, "client {client} moved to `{pool}`: {was:?}, {now:?}");
            }
        }
        if before.rollout != now.rollout || now.rollout.is_none() {
            (before.rollout, before.has_moved) = (now.rollout, false);
        } else if before.pool != *pool {
            // Only what takes back all of it moves anybody a second time.
            let may = !before.has_moved || now.split.is_one_sided();
            assert!(may, "client {client} moved back and forth in {now:?}");
            before.has_moved = true;
        }
        (before.revision, before.pool) = (revision, pool.clone());
    }

    /// Whether a client is seen for the first time under this salt.
    pub fn is_first(&mut self, service: &Arc<str>, client: u64, salt: u64) -> bool {
        self.counted.insert((service.clone(), client, salt))
    }

    /// Keeps what lives on beyond this snapshot.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        for service in &snapshot.services {
            self.services.insert(Arc::as_ptr(&service.state), service.state.clone());
            for pool in &service.pools {
                self.pools.insert(Arc::as_ptr(&pool.state), pool.state.clone());
                for member in pool.members.list() {
                    self.upstreams.insert(Arc::as_ptr(&member.upstream), member.upstream.clone());
                }
            }
        }
    }

    pub fn check_nothing_in_flight(&self) {
        assert!(self.services.values().all(|service| service.in_flight() == 0));
        assert!(self.pools.values().all(|pool| pool.in_flight() == 0));
        assert!(self.upstreams.values().all(|upstream| upstream.in_flight() == 0));
    }
}

impl Run {
    /// What is in force is stored, and newer than what was in force before.
    pub fn check_published(&mut self) {
        let snapshot = self.snapshot.clone();
        for service in &snapshot.services {
            let newest = self.desk.store.history(&service.name, 1).unwrap().pop();
            let newest = newest.unwrap_or_else(|| panic!("{} has no revision", service.name));
            let in_force = (service.revision, &service.split, service.salt);
            if let Some(unstored) = self.desk.unstored.get(&service.name) {
                // Taken back by a rollout, while the disk takes nothing.
                let back = Split::all_to(unstored.under_way.rollout.plan.from.clone());
                assert_eq!((newest.number, &back, newest.salt), in_force, "is in force");
                continue;
            }
            assert_eq!((newest.number, &newest.split, newest.salt), in_force, "is in force");
            self.ledger.saw(&service.name, newest.number);
            let key = (service.name.clone(), newest.number);
            let known = self.ledger.published.entry(key).or_insert_with(|| newest.clone());
            assert_eq!(plain(known), plain(&newest), "one number, one revision");
        }
        self.ledger.keep(&snapshot);
    }

    /// Rollouts that have ended leave their service as they say.
    pub fn check_ended(&mut self, before: &Belief, after: &Belief) {
        for (name, last) in &after.last_ids {
            let under_way = after.rollouts.get(name).map(|rollout| rollout.id);
            let was = before.rollouts.get(name).map(|rollout| rollout.id);
            let first = was.unwrap_or(before.last_ids.get(name).map_or(1, |last| last + 1));
            for id in (first..=*last).filter(|id| Some(*id) != under_way) {
                let past = self.desk.store.past_rollouts(name, 9).unwrap();
                let ended = past.into_iter().find(|rollout| rollout.id == id).unwrap();
                let outcome = ended.ended.as_ref().unwrap().0.clone();
                *self.seen.outcomes.entry(outcome.name()).or_default() += 1;
                if goes_back(&ended, &outcome) {
                    let newest = &after.newest[name];
                    assert_eq!(newest.split.weight(&ended.plan.to).get(), 0, "{ended:?}");
                    if let Some(service) = self.snapshot.service(name) {
                        assert_eq!(service.split.weight(&ended.plan.to).get(), 0, "{ended:?}");
                    }
                }
            }
        }
    }

    /// As [`Run::check_ended`], also of those that ended as a process died.
    pub fn check_past_rollouts(&self) {
        let store = &self.desk.store;
        for name in store.recall().unwrap().newest.keys() {
            let history = store.history(name, KEPT).unwrap();
            for ended in store.past_rollouts(name, KEPT).unwrap() {
                let (outcome, _) = ended.ended.as_ref().expect("it is over");
                let last = history.iter().find(|revision| revision.rollout == Some(ended.id));
                if let Some(last) = last.filter(|_| goes_back(&ended, outcome)) {
                    assert_eq!(last.split.weight(&ended.plan.to).get(), 0, "{ended:?}");
                }
            }
        }
    }
}

fn goes_back(ended: &Rollout, outcome: &Outcome) -> bool {
    ended.plan.strategy != Strategy::Rolling
        && matches!(
            outcome,
            Outcome::Aborted { .. } | Outcome::RolledBack { .. } | Outcome::Failed { .. }
        )
}

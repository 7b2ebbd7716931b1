//! What was believed, answered and published, and what must be found of it later.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use serde_json::Value;

use super::Run;
use crate::rollout::{Outcome, Rollout, StoredRollout, Strategy};
use crate::snapshot::{PoolState, Service, ServiceState, Snapshot};
use crate::split::Split;
use crate::state::{Change, Revision, State};
use crate::upstream::Upstream;

/// What must not be lost.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Lasting {
    UnderWay(Value),
    Past(Value),
    Incident(Value),
    Other(Change),
}

/// A state as far as it must not be lost: all but counts and times of rollouts, and what their judge
/// has heard.
pub(in super::super) fn lasting(state: &State) -> Vec<Lasting> {
    let lasting = state.changes().into_iter().filter_map(|change| match change {
        Change::Rollout(rollout) => Some(Lasting::UnderWay(place_of(&rollout))),
        Change::Past(rollout) => Some(Lasting::Past(place_of(&rollout))),
        Change::Heard { .. }
        | Change::Alarms { .. }
        | Change::Block { .. }
        | Change::Bursts { .. }
        | Change::Recorded { .. }
        | Change::Checked { .. }
        | Change::Carried { .. } => None,
        // What it has cost and what was gathered is worked out anew.
        Change::Incident(incident) => {
            let told = serde_json::json!({
                "id": incident.id,
                "revision": incident.revision,
                "state": incident.state(),
                "froze": incident.froze,
            });
            Some(Lasting::Incident(told))
        }
        change => Some(Lasting::Other(change)),
    });
    lasting.collect()
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
    /// What was looked at last, in force and stored.
    looked: Option<(Arc<Snapshot>, State, State)>,
}

#[derive(Clone)]
struct Client {
    revision: u64,
    pool: Arc<str>,
    /// The rollout that had made it so, and whether it has moved the client.
    rollout: Option<u64>,
    has_moved: bool,
}

/// A revision without what became of it, which only the store keeps.
fn plain(revision: &Revision) -> Revision {
    Revision { outcome: None, ..revision.clone() }
}

/// What must be stored of a rollout before anything is done about it. Counts and times may be a few
/// seconds old, and so may be which upstreams have left the pool.
fn place_of(rollout: &Rollout) -> Value {
    let mut value = serde_json::to_value(StoredRollout::of(rollout)).unwrap();
    let fields = value.as_object_mut().unwrap();
    for counted in ["counts", "whole", "looked", "entered", "traffic_since", "unready_since"] {
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
    pub fn answered(&mut self, service: &Arc<str>, revision: &Revision) {
        self.answered.insert((service.clone(), revision.number), revision.clone());
    }

    /// What was in force of a service, and not stored, is so no more.
    pub fn forget(&mut self, service: &Arc<str>) {
        self.last.remove(service);
    }

    /// All that was answered or published is in the store, and no number is missing.
    pub fn check_history(&self, state: &State) {
        for name in state.services() {
            let history: Vec<&Arc<Revision>> = state.history(name).collect();
            let numbers: Vec<u64> = history.iter().rev().map(|revision| revision.number).collect();
            assert_eq!(numbers, (1..=history.len() as u64).collect::<Vec<_>>(), "{name}");
            for revision in history {
                let key = (name.clone(), revision.number);
                let told = [self.answered.get(&key), self.published.get(&key)];
                for told in told.into_iter().flatten() {
                    assert_eq!(plain(told), plain(revision), "{name}");
                }
            }
        }
        for (name, number) in self.answered.keys().chain(self.published.keys()) {
            let found = state.revision(name, *number);
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
        let known = self.published.get(&(service.name.clone(), service.revision));
        known.is_some_and(|known| known.split == service.split)
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
    /// What is in force is what was decided last, and stored but for what must not wait.
    pub fn check_published(&mut self) {
        let snapshot = self.drive.snapshot.clone();
        let (state, stored) = (self.drive.orders.state(), self.drive.orders.stored());
        let is_known = |(seen, before, kept): &(Arc<Snapshot>, State, State)| {
            Arc::ptr_eq(seen, &snapshot)
                && before.is_shared_with(state)
                && kept.is_shared_with(stored)
        };
        if self.ledger.looked.as_ref().is_some_and(is_known) {
            return;
        }
        for service in &snapshot.services {
            let newest = state.newest(&service.name);
            let newest = newest.unwrap_or_else(|| panic!("{} has no revision", service.name));
            let in_force = (service.revision, &service.split, service.salt);
            assert_eq!((newest.number, &newest.split, newest.salt), in_force, "is in force");
            self.ledger.saw(&service.name, newest.number);
            if stored.revision(&service.name, newest.number).is_none() {
                // A rollout that was taken back, while the disk takes nothing.
                continue;
            }
            let key = (service.name.clone(), newest.number);
            let published = &mut self.ledger.published;
            let known = published.entry(key).or_insert_with(|| (**newest).clone());
            assert_eq!(plain(known), plain(newest), "one number, one revision");
        }
        self.check_versions();
        self.ledger.keep(&snapshot);
        self.ledger.looked = Some((snapshot.clone(), state.clone(), stored.clone()));
    }

    /// Rollouts that have ended leave their service as they say.
    pub fn check_ended(&mut self, before: &State) {
        let after = self.drive.orders.state();
        for rollout in before.rollouts() {
            let (name, id) = (&rollout.service, rollout.id);
            if after.rollout(name).is_some_and(|known| known.id == id) {
                continue;
            }
            let Some(ended) = after.rollout_of(name, id) else { continue };
            let outcome = &ended.ended.as_ref().unwrap().0;
            *self.seen.outcomes.entry(outcome.name()).or_default() += 1;
            let is_next = after.rollout(name).is_none() && after.last_rollout(name) == id;
            let newest = after.newest(name).unwrap();
            // A file that says another split beside what ends the rollout has its way.
            let is_files = newest.author == "file" && newest.reason.is_none();
            if goes_back(ended, outcome) && is_next && !is_files {
                assert_eq!(newest.split.weight(&ended.plan.to).get(), 0, "{ended:?}");
                if let Some(service) = self.drive.snapshot.service(name) {
                    assert_eq!(service.split.weight(&ended.plan.to).get(), 0, "{ended:?}");
                }
            }
        }
    }

    /// As [`Run::check_ended`], also of those that ended as a process died.
    pub fn check_past_rollouts(&self) {
        let state = self.drive.orders.state();
        for name in state.services() {
            for ended in state.past_rollouts(name) {
                let (outcome, _) = ended.ended.as_ref().expect("it is over");
                let last = state.history(name).find(|known| known.rollout == Some(ended.id));
                if let Some(last) = last.filter(|_| goes_back(ended, outcome)) {
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

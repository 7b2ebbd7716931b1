//! What the controller knows and decides: commands and ticks in, one commit to the store, then
//! changed state and effects out.
//!
//! No runtime and no clock: time is an argument and what takes a while is asked for as an
//! [`Effect`], so that a simulation can run it on its own time and let it die at any write. Each
//! command commits all that it changes in one transaction before anything of it is believed here;
//! a commit that fails has changed nothing.

mod order;
mod refused;
mod board;
mod budgets;
mod flags;
mod observing;
mod operations;
mod performing;
mod rollouts;
mod traffic;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::clock::{Moment, WallTime};
use crate::config::{Config, Live};
use crate::event::{Event, Kind, Subject};
use crate::history::History;
use crate::rollout::{Rollout, Task};
use crate::snapshot::{Blueprint, Mode, Resolved, RunTime, Snapshot, Traffic};
use crate::split::Secret;
use crate::store::{
    Batch, CommitError, FlagState, LostRace, Override, OverrideKey, Revision, Store, What,
};
use crate::upstream::{Address, Upstream};

pub use board::Board;
pub use budgets::LONGEST_OVERRIDE;
pub use flags::FlagReport;
pub use order::{FreezeOrder, ModeName, ModeOrder, Order, Place, Target, UpstreamOrder};
pub use refused::Refused;
pub use rollouts::Report;

use budgets::Budgets;
use performing::Unstored;
use rollouts::{Done, UnderWay};

/// The moment of a command.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what lives as long as the process.
    pub instant: Instant,
    /// For what is stored.
    pub wall: WallTime,
}

/// Something that is to be done once a command is committed.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A task of a rollout; its end comes back as [`Desk::on_done`].
    Begin {
        /// The rollout as it is now.
        rollout: Box<Rollout>,
        /// What.
        task: Task,
    },
    /// Something worth an event.
    Say(Event),
}

/// The state of everything that is decided here.
#[derive(Debug)]
pub struct Desk {
    store: Arc<Store>,
    secret: Secret,
    config: Arc<Config>,
    run_time: RunTime,
    newest: HashMap<Arc<str>, Revision>,
    /// What the file said when it was read last, as the store keeps it.
    in_file: BTreeMap<Arc<str>, String>,
    last_ids: BTreeMap<Arc<str>, u64>,
    overrides: BTreeMap<OverrideKey, Override>,
    flags: BTreeMap<Arc<str>, FlagState>,
    rollouts: BTreeMap<Arc<str>, UnderWay>,
    /// What the pools did lately; somebody looks once a second.
    history: Arc<History>,
    /// Ended, with a hook under way all the same.
    lingering: Vec<Rollout>,
    /// How many have ended since the process began, by service and outcome.
    ended: BTreeMap<(Arc<str>, &'static str), u64>,
    budgets: Budgets,
    /// Tasks whose end could not be stored yet.
    unheard: Vec<Done>,
    /// Rollouts whose traffic was taken back and that could not be stored so.
    unstored: HashMap<Arc<str>, Unstored>,
    effects: Vec<Effect>,
    is_changed: bool,
}

impl Desk {
    /// Goes on from what the store remembers; a config's edits since then are taken in.
    pub fn open(
        store: Arc<Store>,
        config: Arc<Config>,
        resolved: Resolved,
        now: Now,
    ) -> Result<Desk, CommitError> {
        let memory = store.recall()?;
        let mut desk = Desk {
            secret: Secret(memory.secret.unwrap_or_default()),
            store,
            config: config.clone(),
            run_time: RunTime { resolved, ..RunTime::default() },
            newest: memory.newest.into_iter().collect(),
            in_file: memory.in_file,
            last_ids: memory.last_rollouts,
            overrides: memory.overrides.into_iter().map(|o| (o.what.key(), o)).collect(),
            flags: memory.flags.into_iter().collect(),
            rollouts: BTreeMap::new(),
            history: Arc::default(),
            lingering: memory.lingering,
            ended: BTreeMap::new(),
            budgets: Budgets::default(),
            unheard: Vec::new(),
            unstored: HashMap::new(),
            effects: Vec::new(),
            is_changed: false,
        };
        for rollout in memory.rollouts {
            desk.take_up(rollout, now);
        }
        for (service, revision) in desk.newest.clone() {
            desk.take(&service, &revision);
        }
        desk.take_flags();
        desk.recall_overrides(now);
        desk.adopt(&config, now)?;
        desk.begin_budgets(now)?;
        // The first snapshot is built from all this.
        desk.is_changed = false;
        Ok(desk)
    }

    /// The config in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What was learnt and ordered since the config was read.
    pub fn run_time(&self) -> &RunTime {
        &self.run_time
    }

    /// What the pools did lately, for whoever looks and asks.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// What the store keeps.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What operators and rollouts have put above the config.
    pub fn overrides(&self) -> &BTreeMap<OverrideKey, Override> {
        &self.overrides
    }

    /// What is in force beside the config.
    pub fn live(&self) -> Live {
        let traffic = self.run_time.traffic.iter();
        let drained = self.overrides.keys().filter_map(|key| match key.clone() {
            OverrideKey::Drain { service, pool, upstream } => Some([service, pool, upstream]),
            _ => None,
        });
        Live {
            drained: drained.collect(),
            splits: traffic.map(|(name, state)| (name.clone(), state.split.clone())).collect(),
            flags: self.run_time.flags.clone(),
            upstreams: self.run_time.changed.clone(),
            rollouts: self.rollouts.values().map(|known| known.rollout.clone()).collect(),
        }
    }

    /// What stands now, for who shows it.
    pub fn board(&self) -> Board {
        let under_way = self.rollouts.values().map(|known| &known.rollout);
        let goes_on = |rollout: &&Rollout| !self.unstored.contains_key(&rollout.service);
        Board {
            orders: self.overrides.values().cloned().collect(),
            rollouts: under_way.filter(goes_on).cloned().collect(),
        }
    }

    /// How many rollouts have ended since the process began, by service and outcome.
    pub fn ended_rollouts(&self) -> &BTreeMap<(Arc<str>, &'static str), u64> {
        &self.ended
    }

    /// What is to be done outside, in order; asked for once.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether a snapshot is to be built since it was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// The snapshot of what is known.
    pub fn build(&self, before: Option<&Snapshot>, now: Now) -> Snapshot {
        let (config, run_time) = (self.config.clone(), &self.run_time);
        let secret = self.secret;
        let blueprint = Blueprint { config, run_time, secret, now: now.instant };
        let snapshot = Snapshot::build(&blueprint, before);
        self.apply(&snapshot, snapshot.moment(now.instant));
        self.show_standings(&snapshot, now);
        snapshot
    }

    /// Tells upstreams and breakers what was ordered of them; they may be new to it.
    fn apply(&self, snapshot: &Snapshot, now: Moment) {
        let mut drained = HashSet::new();
        for standing in self.overrides.values() {
            match &standing.what {
                What::Drain { service, pool, upstream } => {
                    drained.insert((&**service, &**pool, &**upstream));
                }
                What::Breaker { service, pool, upstream: Some(upstream), order } => {
                    let found = find_upstream(snapshot, service, pool, upstream);
                    if let Some(upstream) = found.filter(|found| found.breaker.order() != *order) {
                        upstream.breaker.set_order(*order, now);
                        upstream.note_breaker(now);
                    }
                }
                What::Breaker { service, pool, upstream: None, order } => {
                    let found = snapshot.service(service).and_then(|service| service.pool(pool));
                    if let Some(pool) = found.filter(|pool| pool.state.breaker.order() != *order) {
                        pool.state.breaker.set_order(*order, now);
                    }
                }
                _ => {}
            }
        }
        for service in &snapshot.services {
            for pool in &service.pools {
                for member in pool.members.list() {
                    let upstream = &member.upstream;
                    let is_out = drained.contains(&(&*service.name, &*pool.name, &*upstream.name));
                    if upstream.is_draining() && !is_out {
                        upstream.come_in(now);
                    }
                    upstream.set_draining(is_out);
                }
            }
        }
    }

    /// Puts new addresses to the names of upstreams.
    pub fn resolve(&mut self, resolved: Resolved) {
        // Added, not replaced: a look-up that began before a reload knows nothing of the names that
        // the reload has looked up itself.
        self.run_time.resolved.extend(resolved);
        self.is_changed = true;
    }

    /// Forgets the addresses of names that nobody wants.
    pub fn retain_resolved(&mut self, wanted: impl Fn(&Address) -> bool) {
        self.run_time.resolved.retain(|address, _| wanted(address));
    }

    /// Modes and lists of upstreams as they were ordered.
    fn recall_overrides(&mut self, now: Now) {
        // Counted from the origin of the first snapshot, which is this moment.
        let from_now = |until: WallTime| Moment::default() + until.elapsed_since(now.wall);
        for standing in self.overrides.values() {
            match &standing.what {
                What::Hold { service, most } => {
                    let until = standing.until.map(from_now).unwrap_or_default();
                    let mode = Mode::Hold { most: *most, until };
                    self.run_time.modes.insert(service.as_str().into(), mode);
                }
                What::Maintenance { service, message } => {
                    let message = message.as_deref().map(Into::into);
                    let mode = Mode::Maintenance { message };
                    self.run_time.modes.insert(service.as_str().into(), mode);
                }
                What::Upstreams { service, pool, list } => {
                    let parse =
                        |(address, weight): &(String, u16)| Some((address.parse().ok()?, *weight));
                    let list: Vec<(Address, u16)> = list.iter().filter_map(parse).collect();
                    let key = (service.as_str().into(), pool.as_str().into());
                    self.run_time.changed.insert(key, list);
                }
                _ => {}
            }
        }
    }

    fn commit(&mut self, batch: Batch) -> Result<Vec<Revision>, CommitError> {
        if batch.is_empty() { Ok(Vec::new()) } else { self.store.commit(batch) }
    }

    /// Believes a revision that is committed.
    fn take(&mut self, service: &Arc<str>, revision: &Revision) {
        let Revision { split, number, salt, layout, .. } = revision.clone();
        let traffic = Traffic { split, revision: number, salt, layout: Some(layout) };
        self.run_time.traffic.insert(service.clone(), traffic);
        self.newest.insert(service.clone(), revision.clone());
        self.is_changed = true;
    }

    fn newest_number(&self, service: &str) -> u64 {
        self.newest.get(service).map_or(0, |newest| newest.number)
    }

    fn say(&mut self, kind: Kind, subject: Subject, order: &Order) {
        let (author, reason) = (Some(order.author.clone()), order.reason.clone());
        self.effects.push(Effect::Say(Event { kind, subject, author, reason }));
    }

    fn override_of(what: What, order: &Order, now: Now, until: Option<WallTime>) -> Override {
        let (author, reason) = (order.author.clone(), order.reason.clone());
        Override { what, author, reason, at: now.wall, until }
    }
}

fn find_upstream<'s>(
    snapshot: &'s Snapshot,
    service: &str,
    pool: &str,
    address: &str,
) -> Option<&'s Upstream> {
    let pool = snapshot.service(service)?.pool(pool)?;
    let mut upstreams = pool.members.list().iter().map(|member| &*member.upstream);
    upstreams.find(|upstream| &*upstream.name == address)
}

impl From<CommitError> for Refused {
    fn from(error: CommitError) -> Refused {
        match error {
            CommitError::LostRace(lost) => Refused::LostRace(lost),
            CommitError::LostFlagRace { expected, current, .. } => {
                Refused::LostRace(LostRace { expected, current })
            }
            CommitError::Store(error) => Refused::Store(error.to_string()),
        }
    }
}

/// Refuses what was meant for another revision.
fn check_expected(expected: Option<u64>, current: u64) -> Result<(), LostRace> {
    match expected {
        Some(expected) if expected != current => Err(LostRace { expected, current }),
        _ => Ok(()),
    }
}

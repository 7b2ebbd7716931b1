//! What must outlast the process: changes in, the state that they make out.
//!
//! [`State::apply`] is the only way from one state to the next. The same [`Change`] is what a
//! decision answers with, what the store keeps (one entry each), what is read back at the start and
//! what an import or another node brings; so nothing is kept twice by hand. A state is plain data:
//! its parts are shared, and a change copies the part of its own service alone.
//!
//! What need not outlast the process (resolved names, what pools did lately) is not here, and
//! neither is what happened: events are a log, not a state.

mod about;
mod change;
mod file_part;
mod revision;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aa::Tally;
use crate::automation;
use crate::capacity::Day;
use crate::clock::WallTime;
use crate::incident::{self, Alert, Incident};
use crate::judge::bursts::Bursts;
use crate::recording::Minute;
use crate::rollout::Rollout;
use crate::slo::{Alarms, Block, Grain, Kept};

pub use about::About;
pub use change::Change;
pub use file_part::FilePart;
pub use revision::{Draft, LostRace, Revision, Versions};
pub use standing::{Deployed, FlagState, GivesBack, Override, Unstored, What};

/// Revisions remembered for each service.
pub const KEPT: usize = 1_000;

/// States remembered of each flag.
pub const FLAG_STATES_KEPT: usize = 100;

/// Ended rollouts remembered for each service.
pub const PAST_ROLLOUTS_KEPT: usize = 100;

/// Everything that must outlast the process. A copy costs a few counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The key of the cohort hash, once it was made.
    secret: Option<[u8; 16]>,
    services: Arc<BTreeMap<Arc<str>, Arc<Remembered>>>,
    flags: Arc<BTreeMap<Arc<str>, Arc<Numbered<FlagState>>>>,
    in_file: Arc<BTreeMap<Arc<str>, String>>,
    /// What the file does not have any more, and since when.
    absent: Arc<BTreeMap<FilePart, WallTime>>,
    budgets: Arc<BTreeMap<Arc<str>, Arc<Accounts>>>,
    /// How the failures of pools' upstreams come together, by `SERVICE/POOL`.
    bursts: Arc<BTreeMap<Arc<str>, Arc<Bursts>>>,
    /// What upstreams did in the last hour, by `SERVICE/PLACE`.
    recorded: Arc<BTreeMap<Arc<str>, Arc<Minute>>>,
    /// How often the judge would have taken back what is as good as the rest, by service.
    checked: Arc<BTreeMap<Arc<str>, Arc<Tally>>>,
    /// What pools carried, by `SERVICE/POOL/DAY`.
    carried: Arc<BTreeMap<Arc<str>, Arc<Day>>>,
    /// What rules did, what they have added, and whether they are stopped.
    automation: Arc<automation::Kept>,
    incidents: Arc<Numbered<Incident>>,
    /// What others have said is wrong, by fingerprint.
    alerts: Arc<BTreeMap<Arc<str>, Arc<Alert>>>,
}

type Numbered<T> = BTreeMap<u64, Arc<T>>;

/// What is remembered of one service, whether it is configured or not.
#[derive(Clone, Debug, Default, PartialEq)]
struct Remembered {
    revisions: Numbered<Revision>,
    rollout: Option<Arc<Rollout>>,
    past: Numbered<Rollout>,
    orders: BTreeMap<About, Override>,
}

/// What is remembered of one error budget.
#[derive(Clone, Debug, Default, PartialEq)]
struct Accounts {
    alarms: Alarms,
    blocks: BTreeMap<(Grain, u64), Arc<Block>>,
}

impl State {
    /// Takes in one change.
    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::Secret(secret) => self.secret = Some(secret),
            Change::Revision { service, revision } => self.of_service(&service, |known| {
                known.revisions.insert(revision.number, revision);
            }),
            Change::ForgetRevision { service, number } => self.of_service(&service, |known| {
                known.revisions.remove(&number);
            }),
            Change::Rollout(rollout) => {
                let service = rollout.service.clone();
                self.of_service(&service, |known| known.rollout = Some(rollout));
            }
            Change::Heard { service, id, heard } => self.of_service(&service, |known| {
                if let Some(rollout) = known.rollout.as_mut().filter(|rollout| rollout.id == id) {
                    Arc::make_mut(rollout).set_heard(heard);
                }
            }),
            Change::EndRollout { service } => {
                self.of_service(&service, |known| known.rollout = None);
            }
            // It went with its rollout.
            Change::ForgetHeard { .. } => {}
            Change::Past(rollout) => {
                let service = rollout.service.clone();
                self.of_service(&service, |known| {
                    known.past.insert(rollout.id, rollout);
                });
            }
            Change::ForgetPast { service, id } => self.of_service(&service, |known| {
                known.past.remove(&id);
            }),
            Change::Order(standing) => self.of_service(standing.what.service(), |known| {
                known.orders.insert(standing.what.about(), standing.clone());
            }),
            Change::Clear(about) => self.of_service(about.service(), |known| {
                known.orders.remove(&about);
            }),
            Change::Flag { name, state } => {
                let states = Arc::make_mut(&mut self.flags).entry(name).or_default();
                Arc::make_mut(states).insert(state.revision, state);
            }
            Change::ForgetFlag { name, revision } => {
                if let Some(states) = Arc::make_mut(&mut self.flags).get_mut(&name) {
                    Arc::make_mut(states).remove(&revision);
                }
            }
            Change::InFile { of, said: Some(said) } => {
                Arc::make_mut(&mut self.in_file).insert(of, said);
            }
            Change::InFile { of, said: None } => {
                Arc::make_mut(&mut self.in_file).remove(&of);
            }
            Change::Absent { part, since: Some(since) } => {
                Arc::make_mut(&mut self.absent).insert(part, since);
            }
            Change::Absent { part, since: None } => {
                Arc::make_mut(&mut self.absent).remove(&part);
            }
            Change::Alarms { of, alarms } => self.of_budget(&of, |kept| kept.alarms = alarms),
            Change::Block { of, block } => self.of_budget(&of, |kept| {
                kept.blocks.insert((block.grain, block.number), block);
            }),
            Change::ForgetBlock { of, grain, number } => self.of_budget(&of, |kept| {
                kept.blocks.remove(&(grain, number));
            }),
            Change::Bursts { of, bursts: Some(bursts) } => {
                Arc::make_mut(&mut self.bursts).insert(of, bursts);
            }
            Change::Bursts { of, bursts: None } => {
                Arc::make_mut(&mut self.bursts).remove(&of);
            }
            Change::Recorded { of, minute: Some(minute) } => {
                Arc::make_mut(&mut self.recorded).insert(of, minute);
            }
            Change::Recorded { of, minute: None } => {
                Arc::make_mut(&mut self.recorded).remove(&of);
            }
            Change::Carried { of, day: Some(day) } => {
                Arc::make_mut(&mut self.carried).insert(of, day);
            }
            Change::Carried { of, day: None } => {
                Arc::make_mut(&mut self.carried).remove(&of);
            }
            Change::Checked { service, tally: Some(tally) } => {
                Arc::make_mut(&mut self.checked).insert(service, tally);
            }
            Change::Checked { service, tally: None } => {
                Arc::make_mut(&mut self.checked).remove(&service);
            }
            Change::Automation(change) => Arc::make_mut(&mut self.automation).apply(change),
            Change::Incident(incident) => {
                Arc::make_mut(&mut self.incidents).insert(incident.id, incident);
            }
            Change::ForgetIncident { id } => {
                Arc::make_mut(&mut self.incidents).remove(&id);
            }
            Change::Alert(alert) => {
                let fingerprint = alert.fingerprint.as_str().into();
                Arc::make_mut(&mut self.alerts).insert(fingerprint, alert);
            }
            Change::ForgetAlert { fingerprint } => {
                Arc::make_mut(&mut self.alerts).remove(&fingerprint);
            }
            Change::ForgetAlarms { of } => {
                self.of_budget(&of, |kept| kept.alarms = Alarms::default());
            }
        }
    }

    /// Takes in changes, one after the other.
    pub fn apply_all<'c>(&mut self, changes: impl IntoIterator<Item = &'c Change>) {
        changes.into_iter().for_each(|change| self.apply(change));
    }

    /// What is let go of when a change comes: the oldest, once there are as many as are kept. This
    /// is the one place that says how much is remembered.
    pub fn gives_way_to(&self, change: &Change) -> Option<Change> {
        match change {
            Change::Revision { service, revision } => {
                let known = &self.services.get(service)?.revisions;
                let number = oldest_over(known, revision.number, KEPT)?;
                Some(Change::ForgetRevision { service: service.clone(), number })
            }
            Change::Past(rollout) => {
                let known = &self.services.get(&rollout.service)?.past;
                let id = oldest_over(known, rollout.id, PAST_ROLLOUTS_KEPT)?;
                Some(Change::ForgetPast { service: rollout.service.clone(), id })
            }
            Change::Flag { name, state } => {
                let known = self.flags.get(name)?;
                let revision = oldest_over(known, state.revision, FLAG_STATES_KEPT)?;
                Some(Change::ForgetFlag { name: name.clone(), revision })
            }
            Change::Automation(change) => {
                self.automation.gives_way_to(change).map(Change::Automation)
            }
            Change::Incident(incident) => {
                let oldest = oldest_over(&self.incidents, incident.id, incident::KEPT)?;
                // One that goes on is kept as long as there are others.
                let closed = self.incidents.values().find(|known| !known.is_open());
                Some(Change::ForgetIncident { id: closed.map_or(oldest, |closed| closed.id) })
            }
            _ => None,
        }
    }

    /// The change that would put what this one changes back to how it is here; none for what is
    /// only ever added to, such as revisions.
    pub fn undoing(&self, change: &Change) -> Option<Change> {
        Some(match change {
            Change::Rollout(rollout) => self.rollout_or_none(&rollout.service),
            Change::EndRollout { service } => self.rollout_or_none(service),
            Change::Heard { service, .. } | Change::ForgetHeard { service } => {
                match self.rollout(service) {
                    Some(rollout) => Change::Heard {
                        service: service.clone(),
                        id: rollout.id,
                        heard: rollout.heard().clone(),
                    },
                    None => Change::ForgetHeard { service: service.clone() },
                }
            }
            Change::Order(standing) => self.standing_or_clear(standing.what.about()),
            Change::Clear(about) => self.standing_or_clear(about.clone()),
            _ => return None,
        })
    }

    fn rollout_or_none(&self, service: &Arc<str>) -> Change {
        match self.rollout(service) {
            Some(rollout) => Change::Rollout(rollout.clone()),
            None => Change::EndRollout { service: service.clone() },
        }
    }

    fn standing_or_clear(&self, about: About) -> Change {
        match self.order(&about) {
            Some(standing) => Change::Order(standing.clone()),
            None => Change::Clear(about),
        }
    }

    /// Whether nothing was changed since this was a copy of the other; no may be wrong.
    pub fn is_same_as(&self, other: &State) -> bool {
        self.secret == other.secret
            && Arc::ptr_eq(&self.services, &other.services)
            && Arc::ptr_eq(&self.flags, &other.flags)
            && Arc::ptr_eq(&self.in_file, &other.in_file)
            && Arc::ptr_eq(&self.absent, &other.absent)
            && Arc::ptr_eq(&self.budgets, &other.budgets)
            && Arc::ptr_eq(&self.automation, &other.automation)
            && Arc::ptr_eq(&self.incidents, &other.incidents)
            && Arc::ptr_eq(&self.alerts, &other.alerts)
    }

    /// The services of which something may be remembered that the other does not, or the other way
    /// round.
    pub fn services_unlike<'a>(&'a self, other: &'a State) -> impl Iterator<Item = &'a Arc<str>> {
        let is_new = |(name, known): &(&Arc<str>, &Arc<Remembered>)| {
            other.services.get(*name).is_none_or(|before| !Arc::ptr_eq(before, known))
        };
        let is_same = Arc::ptr_eq(&self.services, &other.services);
        let new = self.services.iter().filter(move |_| !is_same).filter(is_new);
        let gone = other.services.keys().filter(move |_| !is_same);
        let gone = gone.filter(|name| !self.services.contains_key(*name));
        new.map(|(name, _)| name).chain(gone)
    }

    /// The key of the cohort hash, once it was made.
    pub fn secret(&self) -> Option<[u8; 16]> {
        self.secret
    }

    /// The names of all services that something is remembered of.
    pub fn services(&self) -> impl Iterator<Item = &Arc<str>> {
        self.services.keys()
    }

    /// The newest revision of a service.
    pub fn newest(&self, service: &str) -> Option<&Arc<Revision>> {
        self.services.get(service)?.revisions.values().next_back()
    }

    /// One revision of a service, as long as it is remembered.
    pub fn revision(&self, service: &str, number: u64) -> Option<&Arc<Revision>> {
        self.services.get(service)?.revisions.get(&number)
    }

    /// The revisions of a service, the newest first.
    pub fn history(&self, service: &str) -> impl Iterator<Item = &Arc<Revision>> {
        self.services.get(service).into_iter().flat_map(|known| known.revisions.values().rev())
    }

    /// The rollout of a service that is under way.
    pub fn rollout(&self, service: &str) -> Option<&Arc<Rollout>> {
        self.services.get(service)?.rollout.as_ref()
    }

    /// All rollouts under way, by service.
    pub fn rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        self.services.values().filter_map(|known| known.rollout.as_ref())
    }

    /// One rollout of a service, under way or ended.
    pub fn rollout_of(&self, service: &str, id: u64) -> Option<&Arc<Rollout>> {
        let known = self.services.get(service)?;
        known.rollout.as_ref().filter(|rollout| rollout.id == id).or_else(|| known.past.get(&id))
    }

    /// The ended rollouts of a service, the newest first.
    pub fn past_rollouts(&self, service: &str) -> impl Iterator<Item = &Arc<Rollout>> {
        self.services.get(service).into_iter().flat_map(|known| known.past.values().rev())
    }

    /// Ended rollouts with a hook that was begun and that nobody has told the end of.
    pub fn lingering(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        let past = self.services.values().flat_map(|known| known.past.values());
        past.filter(|rollout| rollout.is_pending())
    }

    /// The highest id that a service has given to a rollout; 0 before the first.
    pub fn last_rollout(&self, service: &str) -> u64 {
        let Some(known) = self.services.get(service) else { return 0 };
        let past = known.past.keys().next_back().copied().unwrap_or_default();
        known.rollout.as_ref().map_or(past, |rollout| rollout.id.max(past))
    }

    /// An order that stands.
    pub fn order(&self, about: &About) -> Option<&Override> {
        self.services.get(about.service())?.orders.get(about)
    }

    /// The orders that stand of a service.
    pub fn orders_of(&self, service: &str) -> impl Iterator<Item = &Override> {
        self.services.get(service).into_iter().flat_map(|known| known.orders.values())
    }

    /// All orders that stand.
    pub fn orders(&self) -> impl Iterator<Item = &Override> {
        self.services.values().flat_map(|known| known.orders.values())
    }

    /// The newest state of a flag; none if the file alone has said so far.
    pub fn flag(&self, name: &str) -> Option<&Arc<FlagState>> {
        self.flags.get(name)?.values().next_back()
    }

    /// The newest state of each flag.
    pub fn flags(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<FlagState>)> {
        self.flags.iter().filter_map(|(name, states)| Some((name, states.values().next_back()?)))
    }

    /// The states of a flag, the newest first.
    pub fn flag_history(&self, name: &str) -> impl Iterator<Item = &Arc<FlagState>> {
        self.flags.get(name).into_iter().flat_map(|states| states.values().rev())
    }

    /// All incidents, the newest first.
    pub fn incidents(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.incidents.values().rev()
    }

    /// The incidents that go on, the newest first.
    pub fn open_incidents(&self) -> impl Iterator<Item = &Arc<Incident>> {
        self.incidents().filter(|incident| incident.is_open())
    }

    /// One incident, as long as it is remembered.
    pub fn incident(&self, id: u64) -> Option<&Arc<Incident>> {
        self.incidents.get(&id)
    }

    /// What others have said is wrong, by fingerprint.
    pub fn alerts(&self) -> &BTreeMap<Arc<str>, Arc<Alert>> {
        &self.alerts
    }

    /// What the config file said when it was read last, by what it said it of.
    pub fn in_file(&self) -> &BTreeMap<Arc<str>, String> {
        &self.in_file
    }

    /// What the file does not have any more and orders are kept of, with the time since when.
    pub fn absent(&self) -> impl Iterator<Item = (&FilePart, WallTime)> {
        self.absent.iter().map(|(part, since)| (part, *since))
    }

    /// Whether the file does not have this any more.
    pub fn is_absent(&self, part: &FilePart) -> bool {
        self.absent.contains_key(part)
    }

    /// Whether an order is about something that the file does not have any more: it is kept, and
    /// counts for nothing until that comes back.
    pub fn is_dormant(&self, what: &What) -> bool {
        if self.absent.is_empty() {
            return false;
        }
        self.is_absent(&what.part()) || self.is_absent(&FilePart::Service(what.service().into()))
    }

    /// The orders that are kept of a part of the file, those of a service's pools among its own.
    pub fn orders_about<'a>(&'a self, part: &'a FilePart) -> impl Iterator<Item = &'a Override> {
        let of_service = part.service().map(|service| self.orders_of(service));
        let is_it = |standing: &&Override| match part {
            FilePart::Pool { .. } => standing.what.part() == *part,
            FilePart::Service(_) | FilePart::Flag(_) => true,
        };
        of_service.into_iter().flatten().filter(is_it)
    }

    /// What is kept of an error budget, by its key; nothing if there is nothing.
    pub fn budget(&self, of: &str) -> Kept {
        let Some(kept) = self.budgets.get(of) else { return Kept::default() };
        let blocks = kept.blocks.values().cloned().collect();
        Kept { blocks, alarms: kept.alarms.clone() }
    }

    /// The keys of all error budgets.
    pub fn budgets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.budgets.keys()
    }

    /// The stretches of time that an error budget has samples of.
    pub fn blocks(&self, of: &str) -> impl Iterator<Item = &Arc<Block>> {
        self.budgets.get(of).into_iter().flat_map(|kept| kept.blocks.values())
    }

    /// What rules did, what they have added, and whether they are stopped.
    pub fn automation(&self) -> &automation::Kept {
        &self.automation
    }

    /// How the failures of pools' upstreams came together, by `SERVICE/POOL`.
    pub fn bursts(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Bursts>)> {
        self.bursts.iter()
    }

    /// What the upstreams of services did in the last hour, minute by minute, by `SERVICE/PLACE`.
    pub fn recorded(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Minute>)> {
        self.recorded.iter()
    }

    /// How often the judge would have taken back what is as good as the rest, by service.
    pub fn checked(&self) -> &BTreeMap<Arc<str>, Arc<Tally>> {
        &self.checked
    }

    /// What pools carried, day by day, by `SERVICE/POOL/DAY`.
    pub fn carried(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Day>)> {
        self.carried.iter()
    }

    /// Whether they share all that they hold, so that one cannot differ from the other.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_shared_with(&self, other: &State) -> bool {
        let State {
            secret,
            services,
            flags,
            in_file,
            absent,
            budgets,
            bursts,
            recorded,
            checked,
            carried,
            automation,
            incidents,
            alerts,
        } = self;
        *secret == other.secret
            && Arc::ptr_eq(services, &other.services)
            && Arc::ptr_eq(flags, &other.flags)
            && Arc::ptr_eq(in_file, &other.in_file)
            && Arc::ptr_eq(absent, &other.absent)
            && Arc::ptr_eq(budgets, &other.budgets)
            && Arc::ptr_eq(bursts, &other.bursts)
            && Arc::ptr_eq(recorded, &other.recorded)
            && Arc::ptr_eq(checked, &other.checked)
            && Arc::ptr_eq(carried, &other.carried)
            && Arc::ptr_eq(automation, &other.automation)
            && Arc::ptr_eq(incidents, &other.incidents)
            && Arc::ptr_eq(alerts, &other.alerts)
    }

    /// All of it as changes: applied to nothing, they make this state.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = self.secret.map(Change::Secret).into_iter().collect();
        for (service, known) in &*self.services {
            let revisions = known.revisions.values().cloned();
            changes.extend(
                revisions.map(|revision| Change::Revision { service: service.clone(), revision }),
            );
            if let Some(rollout) = &known.rollout {
                let (id, heard) = (rollout.id, rollout.heard().clone());
                changes.push(Change::Rollout(rollout.clone()));
                changes.push(Change::Heard { service: service.clone(), id, heard });
            }
            changes.extend(known.past.values().cloned().map(Change::Past));
            changes.extend(known.orders.values().cloned().map(Change::Order));
        }
        for (name, states) in &*self.flags {
            let states = states.values().cloned();
            changes.extend(states.map(|state| Change::Flag { name: name.clone(), state }));
        }
        let said = |(of, said): (&Arc<str>, &String)| Change::InFile {
            of: of.clone(),
            said: Some(said.clone()),
        };
        changes.extend(self.in_file.iter().map(said));
        changes.extend(
            self.absent()
                .map(|(part, since)| Change::Absent { part: part.clone(), since: Some(since) }),
        );
        for (of, kept) in &*self.budgets {
            changes.push(Change::Alarms { of: of.clone(), alarms: kept.alarms.clone() });
            let blocks = kept.blocks.values().cloned();
            changes.extend(blocks.map(|block| Change::Block { of: of.clone(), block }));
        }
        changes.extend(
            self.bursts().map(|(of, bursts)| Change::Bursts {
                of: of.clone(),
                bursts: Some(bursts.clone()),
            }),
        );
        changes.extend(
            self.recorded().map(|(of, minute)| Change::Recorded {
                of: of.clone(),
                minute: Some(minute.clone()),
            }),
        );
        changes.extend(self.checked.iter().map(|(service, tally)| Change::Checked {
            service: service.clone(),
            tally: Some(tally.clone()),
        }));
        let carried = self.carried();
        changes.extend(
            carried.map(|(of, day)| Change::Carried { of: of.clone(), day: Some(day.clone()) }),
        );
        changes.extend(self.automation.changes().map(Change::Automation));
        changes.extend(self.incidents.values().cloned().map(Change::Incident));
        changes.extend(self.alerts.values().cloned().map(Change::Alert));
        changes
    }

    fn of_service(&mut self, service: &str, change: impl FnOnce(&mut Remembered)) {
        let services = Arc::make_mut(&mut self.services);
        if !services.contains_key(service) {
            services.insert(service.into(), Arc::default());
        }
        if let Some(known) = services.get_mut(service) {
            let known = Arc::make_mut(known);
            change(known);
            // Of what is not remembered there is no trace.
            if *known == Remembered::default() {
                services.remove(service);
            }
        }
    }

    fn of_budget(&mut self, of: &Arc<str>, change: impl FnOnce(&mut Accounts)) {
        let budgets = Arc::make_mut(&mut self.budgets);
        let kept = Arc::make_mut(budgets.entry(of.clone()).or_default());
        change(kept);
        if *kept == Accounts::default() {
            budgets.remove(of);
        }
    }
}

/// The oldest of what is numbered, if one more is too many.
fn oldest_over<T>(known: &Numbered<T>, new: u64, kept: usize) -> Option<u64> {
    let is_over = known.len() >= kept && !known.contains_key(&new);
    known.keys().next().copied().filter(|_| is_over)
}

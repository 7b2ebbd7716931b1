//! Error budgets: what requests came to is taken in, kept, and said where it changes what rollouts
//! may do; and what people say above it.
//!
//! Counts are looked at with every tick and stored once a minute, so a process that is killed loses
//! a minute of them at most. A commit that fails loses nothing as long as the process lives: the
//! next one stores what that one did not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Desk, Effect, Now};
use crate::clock::WallTime;
use crate::event::{Event, Kind, Subject};
use crate::orders::{FreezeOrder, Order, Refused};
use crate::rollout::Rollout;
use crate::slo::{Budget, Decree, Shown, Standing, State};
use crate::snapshot::Snapshot;
use crate::store::{Batch, CommitError, Override, OverrideKey, Store, StoreError, What};

/// How often counts are stored, in seconds.
const SAVED: u64 = 60;

/// How long an override lasts at most: a freeze that nobody heeds is none.
pub const LONGEST_OVERRIDE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long what is not promised any more is kept, for an edit that is taken back: as long as any
/// budget could be for.
const FORGOTTEN: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The budgets of all objectives of the config.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    /// By service and [`Store::budget_key`].
    all: BTreeMap<(Arc<str>, String), Budget>,
    /// The state that was last said of each service.
    said: BTreeMap<Arc<str>, State>,
    saved: WallTime,
}

impl Budgets {
    fn of(&self, service: &str) -> impl Iterator<Item = &Budget> {
        self.all.iter().filter(move |((of, _), _)| **of == *service).map(|(_, budget)| budget)
    }

    fn state(&self, service: &str) -> State {
        self.of(service).map(Budget::state).max().unwrap_or_default()
    }
}

impl Desk {
    /// Goes on from what the store keeps, when the process begins.
    pub(super) fn begin_budgets(&mut self, now: Now) -> Result<(), CommitError> {
        self.align_budgets(true, now)?;
        self.budgets.saved = now.wall;
        let services = self.config.services.iter();
        self.budgets.said = services
            .map(|service| (service.name.clone(), self.budgets.state(&service.name)))
            .collect();
        let mut batch = Batch::new();
        let is_promised = |of: &str| self.budgets.all.keys().any(|(_, promised)| promised == of);
        for (of, newest) in self.store.budgets()? {
            if !is_promised(&of) && now.wall.elapsed_since(newest) > FORGOTTEN {
                batch.forget_budget(&of);
            }
        }
        self.commit(batch).map(drop)
    }

    /// Keeps a budget for each objective of the config and for no other. `is_new`: the process has
    /// just begun, and its counters with it.
    pub(super) fn align_budgets(&mut self, is_new: bool, now: Now) -> Result<(), StoreError> {
        let mut before = std::mem::take(&mut self.budgets.all);
        for service in &self.config.services {
            let Some(slo) = &service.slo else { continue };
            for objective in &slo.objectives {
                let key = (service.name.clone(), Store::budget_key(&service.name, objective));
                let budget = match before.remove(&key) {
                    Some(mut budget) => {
                        budget.set(*objective, slo.window);
                        budget
                    }
                    None => {
                        let kept = self.store.budget(&service.name, objective)?;
                        Budget::begin(*objective, slo.window, kept, is_new, now.wall)
                    }
                };
                self.budgets.all.insert(key, budget);
            }
        }
        let mut batch = Batch::new();
        for ((service, _), budget) in &mut before {
            budget.mark(now.wall);
            batch.budget(service, budget);
        }
        if let Err(error) = self.commit(batch) {
            tracing::warn!(%error, "a minute of what is not promised any more is lost");
        }
        Ok(())
    }

    /// Takes in what requests came to, says where that changes what rollouts may do, and stores it
    /// once a minute. Only storing can fail, and is tried again.
    pub fn watch_budgets(&mut self, snapshot: &Snapshot, now: Now) -> Result<(), Refused> {
        self.count(snapshot, now);
        let is_said = self.say_states(now);
        let ended = self.end_decrees(now);
        self.show_standings(snapshot, now);
        let minute = |at: WallTime| at.millis() / 1_000 / SAVED;
        let saved = match is_said || minute(now.wall) != minute(self.budgets.saved) {
            true => self.save(now),
            false => Ok(()),
        };
        ended.and(saved)
    }

    /// Stores what requests came to up to now.
    pub fn save_budgets(&mut self, snapshot: &Snapshot, now: Now) -> Result<(), Refused> {
        self.count(snapshot, now);
        self.save(now)
    }

    fn count(&mut self, snapshot: &Snapshot, now: Now) {
        for ((service, _), budget) in &mut self.budgets.all {
            if let Some(service) = snapshot.service(service) {
                budget.look(service.state.slo.read(budget.objective()), now.wall);
            }
        }
    }

    fn save(&mut self, now: Now) -> Result<(), Refused> {
        // Also if it fails: a disk that is full is not asked every second.
        self.budgets.saved = now.wall;
        let mut batch = Batch::new();
        for ((service, _), budget) in &mut self.budgets.all {
            budget.mark(now.wall);
            batch.budget(service, budget);
        }
        self.commit(batch)?;
        self.budgets.all.values_mut().for_each(Budget::set_saved);
        Ok(())
    }

    /// Says where a service's state has become another; whether any has.
    fn say_states(&mut self, now: Now) -> bool {
        let mut is_said = false;
        for service in self.config.clone().services.iter() {
            let name = &service.name;
            let state = self.budgets.state(name);
            let before = self.budgets.said.insert(name.clone(), state).unwrap_or_default();
            if state == before {
                continue;
            }
            is_said = true;
            let standing = Standing { freeze: None, ..self.standing_at(name, now) };
            let why = standing.why().unwrap_or_default();
            let remaining = standing.scarcest().map_or(1.0, |shown| shown.reading.remaining);
            let kind = Kind::BudgetTurned { state, remaining, why };
            self.effects.push(Effect::Say(Event::by_itself(kind, Subject::service(name))));
        }
        is_said
    }

    /// Takes back what was said for a time that is over, or for a rollout that is.
    fn end_decrees(&mut self, now: Now) -> Result<(), Refused> {
        let is_over = |standing: &&Override| match &standing.what {
            What::Freeze { .. } => standing.until.is_some_and(|until| until <= now.wall),
            What::Lifted { service, rollout } => {
                let is_under_way = |id: &u64| {
                    self.rollouts.get(&**service).is_some_and(|known| known.rollout.id == *id)
                };
                standing.until.is_some_and(|until| until <= now.wall)
                    || rollout.as_ref().is_some_and(|id| !is_under_way(id))
            }
            _ => false,
        };
        let over: Vec<What> =
            self.overrides.values().filter(is_over).map(|standing| standing.what.clone()).collect();
        if over.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for what in &over {
            batch.clear(what.key());
        }
        self.commit(batch)?;
        let order = Order::of("pointsman", Some("its time is over"));
        for what in over {
            self.overrides.remove(&what.key());
            let (service, said) = match what {
                What::Freeze { service } => (service, Kind::Thawed),
                What::Lifted { service, rollout: None } => (service, Kind::OverrideEnded),
                // The end of the rollout was told.
                _ => continue,
            };
            self.say(said, Subject::service(&service), &order);
        }
        Ok(())
    }

    /// Shows how services stand to whoever looks at a snapshot.
    pub(super) fn show_standings(&self, snapshot: &Snapshot, now: Now) {
        for service in &snapshot.services {
            service.state.set_standing(self.standing_at(&service.name, now));
        }
    }

    /// How a service stands.
    pub(super) fn standing_at(&self, service: &str, now: Now) -> Standing {
        let shown = |budget: &Budget| Shown {
            objective: *budget.objective(),
            window: budget.window(),
            reading: budget.reading(now.wall),
            state: budget.state(),
            burning: budget.course().burning(),
        };
        let decree = |key: OverrideKey| {
            let Override { author, reason, at, until, .. } = self.overrides.get(&key)?.clone();
            let standing = until.is_none_or(|until| until > now.wall);
            let why = reason.unwrap_or_default();
            standing.then_some(Decree { by: author, why, at, until })
        };
        let name = service.to_string();
        Standing {
            objectives: self.budgets.of(service).map(shown).collect(),
            freeze: decree(OverrideKey::Freeze { service: name.clone() }),
            lifted: decree(OverrideKey::Lifted { service: name, rollout: None }),
        }
    }

    /// Whether a rollout was started in spite of a freeze, not too long ago, and nobody has frozen
    /// the service since.
    pub(super) fn goes_on_despite(&self, rollout: &Rollout, now: Now) -> bool {
        let service = rollout.service.to_string();
        let key = OverrideKey::Lifted { service: service.clone(), rollout: Some(rollout.id) };
        let Some(lifted) = self.overrides.get(&key) else { return false };
        let freeze = self.overrides.get(&OverrideKey::Freeze { service });
        lifted.until.is_some_and(|until| until > now.wall)
            && freeze.is_none_or(|freeze| freeze.at < lifted.at)
    }

    /// Orders it after what was said of the service's rollouts before, also if the clock was set back:
    /// the last word counts.
    fn after_all(&self, service: &str, mut standing: Override) -> Override {
        let is_said = |key: &OverrideKey| match key {
            OverrideKey::Freeze { service: of } | OverrideKey::Lifted { service: of, .. } => {
                *of == *service
            }
            _ => false,
        };
        let said = self.overrides.iter().filter(|(key, _)| is_said(key));
        if let Some(last) = said.map(|(_, said)| said.at).max() {
            standing.at = standing.at.max(last + Duration::from_millis(1));
        }
        standing
    }

    /// Refuses a rollout that nobody should start now; with an override, what stands for it from
    /// then on, and why it was refused.
    pub(super) fn check_freeze(
        &self,
        name: &str,
        id: u64,
        is_overridden: bool,
        order: &Order,
        now: Now,
    ) -> Result<Option<(Override, String)>, Refused> {
        let service = name.to_string();
        match self.standing_at(name, now).refuses() {
            None => Ok(None),
            Some(why) if !is_overridden => Err(Refused::Frozen { service, why }),
            Some(why) => {
                reason(order)?;
                let what = What::Lifted { service, rollout: Some(id) };
                let until = Some(now.wall + LONGEST_OVERRIDE);
                let standing = Desk::override_of(what, order, now, until);
                let standing = self.after_all(name, standing);
                Ok(Some((standing, why)))
            }
        }
    }

    /// Freezes a service's rollouts, or lets them go on.
    pub fn freeze(
        &mut self,
        name: &str,
        what: FreezeOrder,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        if self.config.service(name).is_none() {
            return Err(Refused::NoService(name.into()));
        }
        let service = name.to_string();
        let frozen = What::Freeze { service: service.clone() };
        let standing = self.standing_at(name, now);
        let mut batch = Batch::new();
        let new = match what {
            FreezeOrder::Freeze { length } => {
                reason(order)?;
                let until = length.map(|length| now.wall + length);
                Some(Desk::override_of(frozen.clone(), order, now, until))
            }
            FreezeOrder::Override { .. } if standing.state() == State::Open => {
                return Err(Refused::NotFrozen { service, why: None });
            }
            FreezeOrder::Override { length } => {
                reason(order)?;
                let until = Some(now.wall + length.min(LONGEST_OVERRIDE));
                let lifted = What::Lifted { service: service.clone(), rollout: None };
                Some(Desk::override_of(lifted, order, now, until))
            }
            FreezeOrder::Lift if self.overrides.contains_key(&frozen.key()) => None,
            FreezeOrder::Lift => {
                return Err(Refused::NotFrozen { service, why: standing.refuses() });
            }
        };
        let new = new.map(|new| self.after_all(name, new));
        // The last word on all rollouts counts. What was said for a single one counts again once a
        // freeze is lifted.
        let is_gone = |key: &&OverrideKey| match key {
            OverrideKey::Freeze { service: of } => *of == service,
            OverrideKey::Lifted { service: of, rollout } => {
                *of == service && rollout.is_none() && !matches!(what, FreezeOrder::Lift)
            }
            _ => false,
        };
        let gone: Vec<OverrideKey> = self.overrides.keys().filter(is_gone).cloned().collect();
        for key in &gone {
            batch.clear(key.clone());
        }
        if let Some(standing) = &new {
            batch.set(standing.clone());
        }
        self.commit(batch)?;
        self.overrides.retain(|key, _| !gone.contains(key));
        self.overrides.extend(new.map(|standing| (standing.what.key(), standing)));
        self.show_standings(snapshot, now);
        let kind = match what {
            FreezeOrder::Freeze { length } => Kind::Frozen { length },
            FreezeOrder::Lift => Kind::Thawed,
            FreezeOrder::Override { length } => {
                let (freeze_by, why) = match &standing.freeze {
                    Some(Decree { by, why, .. }) => (Some(by.clone()), Some(why.clone())),
                    None => (None, standing.why()),
                };
                Kind::Overridden { length, freeze_by, why }
            }
        };
        self.say(kind, Subject::service(name), order);
        Ok(())
    }
}

/// What is said above a budget is kept with a reason.
fn reason(order: &Order) -> Result<(), Refused> {
    let is_given = order.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
    if is_given { Ok(()) } else { Err(Refused::NoReason) }
}

#[cfg(test)]
mod tests;

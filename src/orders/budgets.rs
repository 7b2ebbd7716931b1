//! Error budgets: what requests came to is taken in, kept, and said where it changes what rollouts
//! may do; and what people say above it.
//!
//! Counts are looked at with every tick and kept once a minute, so a process that is killed loses a
//! minute of them at most. They are changes that make nobody wait: the disk takes them when it has
//! nothing else to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::draft::{Draft, View};
use super::{FreezeOrder, Made, Now, Refused};
use crate::clock::WallTime;
use crate::config::Config;
use crate::event::{Event, Kind, Subject};
use crate::rollout::Rollout;
use crate::slo::{Budget, Decree, Objective, Shown, Standing, State as Stand};
use crate::snapshot::Snapshot;
use crate::state::{About, Change, Override, State, What};

/// How often counts are kept, in seconds.
const SAVED: u64 = 60;

/// How long an override lasts at most: a freeze that nobody heeds is none.
pub const LONGEST_OVERRIDE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long what is not promised any more is kept, for an edit that is taken back: as long as any
/// budget could be for.
const FORGOTTEN: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The budgets of all objectives of the config.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    /// By service and key.
    all: BTreeMap<(Arc<str>, Arc<str>), Budget>,
    /// The state that was last said of a service, if it was not the best.
    said: BTreeMap<Arc<str>, Stand>,
    saved: WallTime,
}

/// What an error budget is kept under, as in `shop/p99 500ms`: an objective that counts otherwise has
/// another history.
pub(super) fn budget_key(service: &str, objective: &Objective) -> Arc<str> {
    format!("{service}/{objective}").into()
}

impl Budgets {
    fn of(&self, service: &str) -> impl Iterator<Item = &Budget> {
        self.all.iter().filter(move |((of, _), _)| **of == *service).map(|(_, budget)| budget)
    }

    fn state(&self, service: &str) -> Stand {
        self.of(service).map(Budget::state).max().unwrap_or_default()
    }

    /// Goes on from what is kept, when the process begins. Answers with what is not needed any more.
    pub fn begin(state: &State, config: &Config, now: Now) -> (Budgets, Vec<Change>) {
        let mut budgets = Budgets { saved: now.wall, ..Budgets::default() };
        budgets.align(state, config, true, now);
        let names = config.services.iter().map(|service| service.name.clone());
        let said = names.map(|name| (name.clone(), budgets.state(&name)));
        budgets.said = said.filter(|(_, at)| *at != Stand::default()).collect();
        let is_promised = |of: &str| budgets.all.keys().any(|(_, promised)| **promised == *of);
        let mut gone = Vec::new();
        for of in state.budgets().filter(|of| !is_promised(of)) {
            let newest = |block: &Arc<crate::slo::Block>| block.samples.last().map(|last| last.at);
            let newest = state.blocks(of).filter_map(newest).max().unwrap_or_default();
            if now.wall.elapsed_since(newest) > FORGOTTEN {
                gone.push(Change::ForgetAlarms { of: of.clone() });
                gone.extend(state.blocks(of).map(|block| {
                    let (grain, number) = (block.grain, block.number);
                    Change::ForgetBlock { of: of.clone(), grain, number }
                }));
            }
        }
        (budgets, gone)
    }

    /// Keeps a budget for each objective of the config and for no other; answers with what is to be
    /// kept of those that are not promised any more. `is_new`: the process has just begun, and its
    /// counters with it.
    pub fn align(&mut self, state: &State, config: &Config, is_new: bool, now: Now) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.all);
        for service in &config.services {
            let Some(slo) = &service.slo else { continue };
            for objective in &slo.objectives {
                let of = budget_key(&service.name, objective);
                let key = (service.name.clone(), of);
                let budget = match before.remove(&key) {
                    Some(mut budget) => {
                        budget.set(*objective, slo.window);
                        budget
                    }
                    None => {
                        let kept = state.budget(&key.1);
                        Budget::begin(*objective, slo.window, kept, is_new, now.wall)
                    }
                };
                self.all.insert(key, budget);
            }
        }
        let kept = before.iter_mut().map(|((_, of), budget)| unsaved(of, budget, state, now.wall));
        kept.flatten().collect()
    }

    /// Takes in what requests came to.
    pub fn count(&mut self, snapshot: &Snapshot, now: Now) {
        for ((service, _), budget) in &mut self.all {
            if let Some(service) = snapshot.service(service) {
                budget.look(service.state.slo.read(budget.objective()), now.wall);
            }
        }
    }

    /// What is to be kept, if it is time for that: once a minute, and when something was said.
    pub fn due(&mut self, state: &State, is_said: bool, now: WallTime) -> Vec<Change> {
        let minute = |at: WallTime| at.millis() / 1_000 / SAVED;
        match is_said || minute(now) != minute(self.saved) {
            true => self.unsaved(state, now),
            false => Vec::new(),
        }
    }

    /// What is to be kept now.
    pub fn unsaved(&mut self, state: &State, now: WallTime) -> Vec<Change> {
        self.saved = now;
        let kept = self.all.iter_mut().map(|((_, of), budget)| unsaved(of, budget, state, now));
        kept.flatten().collect()
    }

    /// Where a service's state has become another.
    pub fn turned(&mut self, state: &State, config: &Config, now: Now) -> Vec<Event> {
        let mut turned = Vec::new();
        for service in &config.services {
            let name = &service.name;
            if service.slo.is_none() && !self.said.contains_key(name) {
                continue;
            }
            let now_at = self.state(name);
            let before = match now_at == Stand::default() {
                true => self.said.remove(name),
                false => self.said.insert(name.clone(), now_at),
            };
            if now_at == before.unwrap_or_default() {
                continue;
            }
            let standing = Standing { freeze: None, ..self.standing_at(state, name, now) };
            let why = standing.why().unwrap_or_default();
            let remaining = standing.scarcest().map_or(1.0, |shown| shown.reading.remaining);
            let kind = Kind::BudgetTurned { state: now_at, remaining, why };
            turned.push(Event::by_itself(kind, Subject::service(name)));
        }
        turned
    }

    /// What is left of a service's scarcest budget, 0 to 1; none without any.
    pub fn remaining(&self, service: &str, now: WallTime) -> Option<f64> {
        let left = self.of(service).map(|budget| budget.reading(now).remaining);
        left.reduce(f64::min)
    }

    /// How a service stands.
    pub fn standing_at(&self, state: &State, service: &str, now: Now) -> Standing {
        let shown = |budget: &Budget| Shown {
            objective: *budget.objective(),
            window: budget.window(),
            reading: budget.reading(now.wall),
            state: budget.state(),
            burning: budget.alarms().burning(),
        };
        let decree = |about: About| {
            let standing = state.order(&about).filter(|standing| !standing.is_over(now.wall))?;
            let Override { author, reason, at, until, .. } = standing.clone();
            Some(Decree { by: author, why: reason.unwrap_or_default(), at, until })
        };
        Standing {
            objectives: self.of(service).map(shown).collect(),
            freeze: decree(About::freeze(service)),
            lifted: decree(About::lifted(service, None)),
        }
    }
}

/// What is new of a budget, and what no window of it reaches back to.
fn unsaved(of: &Arc<str>, budget: &mut Budget, state: &State, now: WallTime) -> Vec<Change> {
    budget.mark(now);
    let mut changes = vec![Change::Alarms { of: of.clone(), alarms: budget.alarms().clone() }];
    let blocks = budget.rings().unsaved().into_iter();
    changes.extend(blocks.map(|block| Change::Block { of: of.clone(), block }));
    for (grain, oldest) in budget.rings().oldest_blocks() {
        let old = state.blocks(of).filter(|block| block.grain == grain && block.number < oldest);
        changes.extend(old.map(|block| Change::ForgetBlock {
            of: of.clone(),
            grain,
            number: block.number,
        }));
    }
    budget.set_saved();
    changes
}

impl View<'_> {
    /// How a service stands.
    pub fn standing_at(&self, state: &State, service: &str) -> Standing {
        self.budgets.standing_at(state, service, self.now)
    }
}

impl Draft<'_> {
    /// Whether a rollout was started in spite of a freeze, not too long ago, and nobody has frozen
    /// the service since.
    pub fn goes_on_despite(&self, rollout: &Rollout) -> bool {
        let about = About::lifted(&rollout.service, Some(rollout.id));
        let Some(lifted) = self.state.order(&about) else { return false };
        let freeze = self.state.order(&About::freeze(&rollout.service));
        !lifted.is_over(self.view.now.wall) && freeze.is_none_or(|freeze| freeze.at < lifted.at)
    }

    /// Orders it after what was said of the service's rollouts before, also if the clock was set back:
    /// the last word counts.
    fn after_all(&self, service: &str, mut standing: Override) -> Override {
        let is_said =
            |said: &&Override| matches!(said.what, What::Freeze { .. } | What::Lifted { .. });
        let said = self.state.orders_of(service).filter(is_said);
        if let Some(last) = said.map(|said| said.at).max() {
            standing.at = standing.at.max(last + Duration::from_millis(1));
        }
        standing
    }

    /// Refuses a rollout that nobody should start now; with an override, what stands for it from
    /// then on, and why it was refused.
    pub fn check_freeze(
        &self,
        name: &str,
        id: u64,
        is_overridden: bool,
    ) -> Result<Option<(Override, String)>, Refused> {
        let service = name.to_string();
        match self.view.standing_at(&self.state, name).refuses() {
            None => Ok(None),
            Some(why) if !is_overridden => Err(Refused::Frozen { service, why }),
            Some(why) => {
                self.check_reason()?;
                let what = What::Lifted { service, rollout: Some(id) };
                let until = Some(self.view.now.wall + LONGEST_OVERRIDE);
                let standing = self.after_all(name, self.standing(what, until));
                Ok(Some((standing, why)))
            }
        }
    }

    /// Freezes a service's rollouts, or lets them go on.
    pub fn freeze(&mut self, name: &str, what: FreezeOrder) -> Result<Made, Refused> {
        if self.view.config.service(name).is_none() {
            return Err(Refused::NoService(name.into()));
        }
        let (service, now) = (name.to_string(), self.view.now.wall);
        let frozen = What::Freeze { service: service.clone() };
        let standing = self.view.standing_at(&self.state, name);
        let new = match what {
            FreezeOrder::Freeze { length } => {
                self.check_reason()?;
                Some(self.standing(frozen, length.map(|length| now + length)))
            }
            FreezeOrder::Override { .. } if standing.state() == Stand::Open => {
                return Err(Refused::NotFrozen { service, why: None });
            }
            FreezeOrder::Override { length } => {
                self.check_reason()?;
                let lifted = What::Lifted { service, rollout: None };
                Some(self.standing(lifted, Some(now + length.min(LONGEST_OVERRIDE))))
            }
            FreezeOrder::Lift if standing.freeze.is_some() => None,
            FreezeOrder::Lift => {
                return Err(Refused::NotFrozen { service, why: standing.refuses() });
            }
        };
        let new = new.map(|new| self.after_all(name, new));
        // The last word on all rollouts counts. What was said for a single one counts again once a
        // freeze is lifted.
        let is_gone = |said: &&Override| match &said.what {
            What::Freeze { .. } => true,
            What::Lifted { rollout, .. } => rollout.is_none() && what != FreezeOrder::Lift,
            _ => false,
        };
        let gone: Vec<What> =
            self.state.orders_of(name).filter(is_gone).map(|said| said.what.clone()).collect();
        gone.iter().for_each(|what| self.clear(what));
        if let Some(standing) = new {
            self.change(Change::Order(standing));
        }
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
        self.say(kind, Subject::service(name));
        Ok(Made::Done)
    }

    /// What is said above a budget is kept with a reason.
    fn check_reason(&self) -> Result<(), Refused> {
        let reason = self.by.reason.as_ref();
        let is_given = reason.is_some_and(|reason| !reason.trim().is_empty());
        if is_given { Ok(()) } else { Err(Refused::NoReason) }
    }
}

#[cfg(test)]
mod tests;

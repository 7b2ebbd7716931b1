//! A decision being made: a state, what is seen and an order in; changes, effects and an answer out.
//!
//! Each change is taken into the draft's own copy of the state at once, so that what is decided next
//! sees it; the state itself is as it was until the changes are stored. Nothing here acts.

use std::sync::Arc;
use std::time::Instant;

use super::budgets::Budgets;
use super::impacts::Impacts;
use super::rollouts::Watched;
use super::{By, Decided, Effect, Haste, Made, Now, Order, Refused};
use crate::capacity::Overload;
use crate::clock::WallTime;
use crate::config::Config;
use crate::event::{Event, Kind, Subject};
use crate::history::History;
use crate::snapshot::Snapshot;
use crate::state::{Change, Draft as Drafted, LostRace, Override, Revision, State, What};

/// What is seen beside the state.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub config: &'a Arc<Config>,
    pub snapshot: &'a Snapshot,
    pub watched: &'a std::collections::BTreeMap<Arc<str>, Watched>,
    pub history: &'a History,
    pub budgets: &'a Budgets,
    pub impacts: &'a Impacts,
    /// When the process began, in milliseconds since the epoch.
    pub process: u64,
    /// What the disk has in its hands: its numbers are taken, whatever becomes of it.
    pub in_hands: &'a [Change],
    pub now: Now,
    /// From when on what connect checks find counts for an order.
    pub asked: Instant,
    /// Whether an order may wait for them still.
    pub may_wait: bool,
}

/// Why an order is not decided as it was asked for.
#[derive(Debug)]
pub(super) enum Undecided {
    /// It is refused.
    Refused(Refused),
    /// Whether these pools of its service could take traffic is not known yet.
    Unseen(Vec<Arc<str>>),
}

impl<R: Into<Refused>> From<R> for Undecided {
    fn from(refused: R) -> Undecided {
        Undecided::Refused(refused.into())
    }
}

/// A decision being made.
pub(super) struct Draft<'a> {
    pub view: View<'a>,
    pub by: By,
    pub state: State,
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
    pub haste: Haste,
    /// What is told with the answer.
    pub warnings: Vec<Overload>,
}

/// Decides what an order changes.
pub(super) fn decide(
    state: &State,
    view: View<'_>,
    order: &Order,
    by: &By,
) -> Result<Decided, Undecided> {
    let mut draft = Draft::new(state, view, by.clone());
    let answer = match order {
        Order::Shift { service, to } => draft.shift(service, to.clone())?,
        Order::Upstream { place, what } => draft.set_upstream(place, what.clone())?,
        Order::Labelled { service, pool, label, drains } => {
            draft.set_labelled(service, pool.as_deref(), label, *drains)?
        }
        Order::Breaker { place, what } => draft.set_breaker(place, *what)?,
        Order::Mode { service, what } => draft.set_mode(service, what.clone())?,
        Order::StartRollout { service, wishes } => draft.start_rollout(service, wishes)?,
        Order::Deploy { service, what } => draft.deploy(service, what)?,
        Order::Rollout { service, what } => draft.order_rollout(service, *what)?,
        Order::Freeze { service, what } => draft.freeze(service, *what)?,
        Order::Flag { name, percent: Some(percent) } => draft.set_flag(name, *percent)?,
        Order::Flag { name, percent: None } => draft.roll_flag_back(name)?,
        Order::Automation { stops } => draft.set_automation(*stops),
        Order::Incident(order) => draft.order_incident(order)?,
        Order::Alerts(alerts) => draft.take_alerts(alerts)?,
        Order::Reload { config, changes, forgets, .. } => {
            draft.reload(config, changes, *forgets)?
        }
    };
    Ok(draft.decided(answer))
}

impl<'a> Draft<'a> {
    pub fn new(state: &State, view: View<'a>, by: By) -> Draft<'a> {
        let (changes, effects) = (Vec::new(), Vec::new());
        let (haste, warnings) = (Haste::None, Vec::new());
        Draft { view, by, state: state.clone(), changes, effects, haste, warnings }
    }

    pub fn decided(self, answer: Made) -> Decided {
        let Draft { changes, effects, haste, warnings, .. } = self;
        Decided { changes, effects, answer, haste, warnings }
    }

    /// Takes in a change, and lets go of what is too old for it.
    pub fn change(&mut self, change: Change) {
        let gone = self.state.gives_way_to(&change);
        for change in [Some(change), gone].into_iter().flatten() {
            self.state.apply(&change);
            self.changes.push(change);
        }
    }

    /// Makes a draft the newest revision of a service. One that goes back to the traffic of an
    /// earlier one puts every client where it was then.
    pub fn revise(
        &mut self,
        service: &Arc<str>,
        drafted: Drafted,
        back_to: Option<u64>,
    ) -> Arc<Revision> {
        let newest = self.state.newest(service).cloned();
        let then = back_to.and_then(|number| self.state.revision(service, number)).cloned();
        let mut revision = drafted.after(newest.as_deref(), then.as_deref());
        // What is on its way to the disk keeps its number, though it is not in force.
        let taken = self.view.in_hands.iter().filter_map(|change| match change {
            Change::Revision { service: of, revision } if *of == *service => Some(revision.number),
            _ => None,
        });
        if let Some(taken) = taken.max().filter(|taken| *taken >= revision.number) {
            if revision.salt == revision.number {
                revision.salt = taken + 1;
            }
            revision.number = taken + 1;
        }
        revision.versions = self.versions(service, &revision.split);
        let revision = Arc::new(revision);
        self.change(Change::Revision { service: service.clone(), revision: revision.clone() });
        revision
    }

    /// Notes what became of a revision, as long as it is remembered.
    pub fn note_outcome(&mut self, service: &Arc<str>, number: u64, outcome: &str) {
        if let Some(revision) = self.state.revision(service, number) {
            let outcome = Some(outcome.to_string());
            let revision = Arc::new(Revision { outcome, ..(**revision).clone() });
            self.change(Change::Revision { service: service.clone(), revision });
        }
    }

    /// Puts an order in the place of the one about the same.
    pub fn put(&mut self, what: What, until: Option<WallTime>) {
        let standing = self.standing(what, until);
        self.change(Change::Order(standing));
    }

    /// An order by who orders, from now.
    pub fn standing(&self, what: What, until: Option<WallTime>) -> Override {
        let (author, reason) = (self.by.author.clone(), self.by.reason.clone());
        Override { what, author, reason, at: self.view.now.wall, until }
    }

    /// No order lasts longer than it was to because the clock was set back before the process began.
    pub fn bound_orders(&mut self) {
        let now = self.view.now.wall;
        let bounded: Vec<Change> =
            self.state.orders().filter_map(|it| it.bounded(now)).map(Change::Order).collect();
        bounded.into_iter().for_each(|change| self.change(change));
    }

    /// Takes an order back, if it stands.
    pub fn clear(&mut self, what: &What) {
        let about = what.about();
        if self.state.order(&about).is_some() {
            self.change(Change::Clear(about));
        }
    }

    pub fn newest_number(&self, service: &str) -> u64 {
        self.state.newest(service).map_or(0, |newest| newest.number)
    }

    /// Refuses what was meant for another revision.
    pub fn check_expected(&self, current: u64) -> Result<(), LostRace> {
        match self.by.expected {
            Some(expected) if expected != current => Err(LostRace { expected, current }),
            _ => Ok(()),
        }
    }

    pub fn say(&mut self, kind: Kind, subject: Subject) {
        let (author, reason) = (Some(self.by.author.clone()), self.by.reason.clone());
        self.effects.push(Effect::Say(Event { kind, subject, author, reason }));
    }
}

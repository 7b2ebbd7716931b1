//! From one stage into the next: forward, back, or to an end.

use super::{
    Action, Event, HookPoint, Outcome, Paused, Rollout, Stage, Strategy, Task, Trouble, View,
    WayBack,
};
use crate::clock::WallTime;
use crate::judge::Counts;
use crate::split::{BasisPoints, Split};

impl Rollout {
    /// The task that the stage waits for.
    pub(super) fn task(&self) -> Option<Task> {
        let point = match self.stage {
            Stage::BeforeStart => HookPoint::BeforeStart,
            Stage::Expanding => HookPoint::Expand,
            Stage::BeforeStep => HookPoint::BeforeStep,
            Stage::BeforePromote => HookPoint::BeforePromote,
            Stage::Contracting => HookPoint::Contract,
            Stage::Smoking => return Some(Task::Smoke),
            _ => return None,
        };
        Some(Task::Hook(point))
    }

    /// Enters a stage; one that waits for a hook which is not declared is passed at once.
    pub(super) fn enter(&mut self, stage: Stage, now: WallTime, actions: &mut Vec<Action>) {
        (self.stage, self.entered, self.asked) = (stage, now, now);
        (self.has_failed, self.has_passed) = (false, false);
        match self.task() {
            Some(Task::Hook(point)) if self.plan.hooks.at(&point).is_none() => {
                self.pass(now, actions);
            }
            Some(task) => {
                if stage == Stage::Contracting {
                    actions.push(Action::Contract { pool: self.plan.from.clone() });
                }
                self.begin(task, now, actions);
            }
            None => {}
        }
    }

    pub(super) fn after_expand(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let rolls = self.plan.strategy == Strategy::Rolling;
        self.enter(if rolls { Stage::Rolling } else { Stage::Awaiting }, now, actions);
    }

    pub(super) fn after_ready(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        match self.plan.smoke.is_empty() {
            true => self.take_step(0, now, actions),
            false => self.enter(Stage::Smoking, now, actions),
        }
    }

    pub(super) fn following(&self) -> usize {
        self.step.map_or(0, |step| step + 1)
    }

    /// Takes a step, after its hook.
    pub(super) fn take_step(&mut self, step: usize, now: WallTime, actions: &mut Vec<Action>) {
        self.next = step;
        let is_last = step + 1 >= self.plan.steps.len();
        match (is_last, step) {
            (true, _) => self.enter(Stage::BeforePromote, now, actions),
            (false, 0) => self.shift(step, now, actions),
            (false, _) => self.enter(Stage::BeforeStep, now, actions),
        }
    }

    fn shift(&mut self, step: usize, now: WallTime, actions: &mut Vec<Action>) {
        let share = self.plan.steps.get(step).copied().unwrap_or(BasisPoints::WHOLE);
        let (from, to, id) = (&self.plan.from, &self.plan.to, self.id);
        // What the step before has shown is kept with the revision.
        let shown = self.evidence().filter(|_| self.step.is_some()).map(|found| found.verdict);
        let shown = shown.map_or_else(String::new, |verdict| format!(": {}", verdict.evidence()));
        let why = format!("rollout {id}: step {} of {}{shown}", step + 1, self.plan.steps.len());
        let split = Split::between(from, to, share);
        actions.push(Action::Shift { split, why });
        actions.push(Action::Say(Event::Stepped { to: to.clone(), share }));
        self.on_shift(now);
        self.step = Some(step);
        self.counts = Counts::default();
        self.traffic_since = self.traffic_since.or(Some(now));
        self.unready_since = None;
        let is_last = share == BasisPoints::WHOLE;
        self.enter(if is_last { Stage::Watching } else { Stage::Holding }, now, actions);
        if is_last {
            self.call(HookPoint::AfterPromote, now, actions);
            if self.plan.watch.is_zero() {
                self.enter(Stage::Draining, now, actions);
            }
        }
    }

    pub(super) fn after_drain(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        self.enter(Stage::Contracting, now, actions);
    }

    /// The task of the stage has ended well.
    pub(super) fn pass(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        self.has_passed = false;
        match self.stage {
            Stage::BeforeStart => self.enter(Stage::Expanding, now, actions),
            Stage::Expanding => self.after_expand(now, actions),
            Stage::Smoking => self.take_step(0, now, actions),
            Stage::BeforeStep | Stage::BeforePromote => self.shift(self.next, now, actions),
            Stage::Contracting => self.promote(now, actions),
            _ => {}
        }
    }

    /// Takes traffic back. It does not (false) while it is not known whether the old pool would take it,
    /// nor to a dead one, as long as the target answers anything well: that would make it worse.
    pub(super) fn take_back(
        &mut self,
        why: String,
        view: &View<'_>,
        actions: &mut Vec<Action>,
    ) -> bool {
        match view.way_back {
            WayBack::NotKnown => return false,
            WayBack::Dead { why: dead } if view.target_answers => {
                // Told also where somebody has paused it for another reason.
                let before = self.paused.take_if(|paused| !paused.why.ends_with(dead));
                self.pause(Trouble::NoWayBack, format!("{why}, but {dead}"), view.now, actions);
                if let (Some(before), Some(paused)) = (before, &mut self.paused) {
                    paused.at = before.at;
                }
                return false;
            }
            WayBack::Dead { .. } | WayBack::Open => {}
        }
        let event = Event::RolledBack { why: why.clone() };
        self.shift_back(&event, None, view.now, actions);
        actions.push(Action::Say(event));
        self.end(Outcome::RolledBack { why }, view.now);
        true
    }

    /// Takes back what it has moved, because of this; and why, if somebody said so.
    pub(super) fn shift_back(
        &mut self,
        event: &Event,
        reason: Option<&str>,
        now: WallTime,
        actions: &mut Vec<Action>,
    ) {
        if self.step.is_none() {
            return;
        }
        let split = Split::all_to(self.plan.from.clone());
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        actions.push(Action::Shift { split, why: format!("{}{reason}", event.words(self.id)) });
        self.on_taken_back(now, actions);
    }

    /// Traffic that it had moved is taken back.
    pub(super) fn on_taken_back(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        if self.step.take().is_none() {
            return;
        }
        self.on_end(now);
        self.on_shift(now);
        // Told again after a crash, it would say that all is well.
        self.forget(&Task::Hook(HookPoint::AfterPromote));
        self.call(HookPoint::AfterRollback, now, actions);
    }

    pub(super) fn promote(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let to = self.plan.to.clone();
        actions.push(Action::Say(match self.plan.strategy {
            Strategy::Rolling => Event::RenewalEnded {
                service: self.service.clone(),
                pool: to,
                left_out: self.rolling.left_out().cloned().collect(),
            },
            _ => Event::Promoted { to },
        }));
        self.end(Outcome::Promoted, now);
    }

    pub(super) fn fail(&mut self, why: String, now: WallTime, actions: &mut Vec<Action>) {
        actions.push(Action::Say(Event::Failed { why: why.clone() }));
        self.end(Outcome::Failed { why }, now);
    }

    pub(super) fn pause(
        &mut self,
        trouble: Trouble,
        why: String,
        now: WallTime,
        actions: &mut Vec<Action>,
    ) {
        if self.paused.is_none() {
            actions.push(Action::Say(Event::Paused { trouble, why: why.clone() }));
            self.paused = Some(Paused { at: now, why });
        }
    }

    pub(super) fn end(&mut self, outcome: Outcome, now: WallTime) {
        (self.paused, self.held) = (None, None);
        self.forget_all_but_last();
        self.on_end(now);
        self.ended = Some((outcome, now));
    }
}

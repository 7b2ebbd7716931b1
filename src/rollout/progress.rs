//! How a rollout goes on: what it is told and what it sees in, what it wants done out.
//!
//! In a tick, failure comes before progress, and both before the clock: a canary that fails is
//! taken back also while a hook runs and while somebody has paused it.

use std::sync::Arc;
use std::time::Duration;

use super::rolling::Rolling;
use super::{
    Action, Deploy, Doer, Event, Finished, HookPoint, Input, LONGEST_WITHOUT_TARGET,
    OnInconclusive, Order, OrderRefused, Outcome, Paused, Plan, Rollout, Stage, Strategy, Task,
    TaskError, Trouble, View,
};
use crate::clock::{WallTime, in_words};
use crate::judge::{Counts, Verdict};
use crate::split::BasisPoints;

impl Rollout {
    /// Begins a plan with a version that was put into its target, if one was.
    pub fn start(
        id: u64,
        service: Arc<str>,
        (plan, deploy): (Plan, Option<Deploy>),
        (author, reason): (String, Option<String>),
        now: WallTime,
    ) -> (Rollout, Vec<Action>) {
        let mut rollout = Rollout {
            id,
            service,
            plan,
            deploy,
            author,
            reason,
            started: now,
            ended: None,
            stage: Stage::BeforeStart,
            entered: now,
            step: None,
            next: 0,
            paused: None,
            held: None,
            asked: now,
            pending: Vec::new(),
            looked: Some(now),
            has_failed: false,
            has_passed: false,
            counts: Counts::default(),
            whole: Counts::default(),
            traffic_since: None,
            unready_since: None,
            rolling: Rolling::default(),
            hearing: Arc::default(),
        };
        let plan = &rollout.plan;
        let (from, to) = (plan.from.clone(), plan.to.clone());
        let started = match plan.strategy {
            Strategy::Rolling => Event::RenewalStarted { pool: to },
            _ => Event::Started { from, to, deploy: rollout.deploy.clone() },
        };
        let mut actions = vec![Action::Say(started)];
        rollout.enter(Stage::BeforeStart, now, &mut actions);
        rollout.note_said(&actions, "", now);
        (rollout, actions)
    }

    /// Hears what happened and sees how things are; answers with what is to be done.
    pub fn advance(&mut self, input: Input, view: &View<'_>) -> Result<Vec<Action>, OrderRefused> {
        let mut actions = Vec::new();
        if self.is_over() {
            return match input {
                Input::Order { .. } => Err(self.refuse("has ended")),
                Input::Done { task, .. } => {
                    self.forget(&task);
                    Ok(actions)
                }
                Input::Tick => Ok(actions),
            };
        }
        self.keep_time(view.now);
        let mut by = String::new();
        match input {
            Input::Tick => {
                actions.extend(self.take_return().map(Action::Say));
                self.on_tick(view, &mut actions);
            }
            Input::Done { task, result } => {
                // The next share must not come of a hook that passes while the target fails.
                if let Some(evidence) = self.failure(view)
                    && self.take_back(evidence, view, &mut actions)
                {
                    self.forget(&task);
                } else {
                    self.on_done(&task, result, view.now, &mut actions);
                }
            }
            Input::Order { order, author, reason } => {
                // That it stops says so itself.
                if matches!(order, Order::Step | Order::Promote | Order::Resume) {
                    actions.push(Action::Say(Event::Ordered { order }));
                }
                let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                by = format!(", by {author}{why}");
                self.on_order(order, &author, reason, view, &mut actions)?;
            }
        }
        self.note_said(&actions, &by, view.now);
        Ok(actions)
    }

    /// What is said of it that it does not know of itself.
    pub fn note_beside(&mut self, event: &Event, now: WallTime) {
        self.note(event.words(self.id), now);
    }

    /// Notes what is said, and of what was ordered `by` whom.
    fn note_said(&mut self, actions: &[Action], by: &str, now: WallTime) {
        for action in actions {
            if let Action::Say(event) = action {
                let by = if event.doer() == Doer::Orderer { by } else { "" };
                self.note(format!("{}{by}", event.words(self.id)), now);
            }
        }
    }

    /// Its service's traffic was changed past it, by this; it ends and moves nothing. What it had
    /// only drained takes requests again, and of a rollback its hook is told.
    pub fn supersede(&mut self, by: &str, is_rollback: bool, now: WallTime) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.is_over() {
            self.abort_rolling(&mut actions);
            if is_rollback {
                // As if it had gone back by itself.
                self.on_taken_back(now, &mut actions);
            }
            actions.push(Action::Say(Event::Superseded { by: by.into(), is_rollback }));
            self.end(Outcome::Superseded { by: by.into() }, now);
        }
        actions
    }

    /// The process ended while something was in force against it that was not stored: it stays where it
    /// is until somebody decides.
    pub fn pause_unstored(&mut self, what: &str, now: WallTime) -> Vec<Action> {
        let mut actions = Vec::new();
        let why = format!(
            "when the process ended, this was in force and not stored, because the disk did not take \
             it: {what}"
        );
        self.paused = None;
        self.pause(Trouble::Unstored, why, now, &mut actions);
        self.note_said(&actions, "", now);
        actions
    }

    /// Whether it is where another state of it was: what has changed since are counts and times.
    pub fn is_where(&self, other: &Rollout) -> bool {
        let is_at = |rollout: &Rollout| (rollout.stage, rollout.has_failed, rollout.has_passed);
        let tasks = |rollout: &Rollout| rollout.pending.len();
        is_at(self) == is_at(other) && tasks(self) == tasks(other)
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// The share of the target that it has set.
    pub fn share(&self) -> BasisPoints {
        self.step.and_then(|step| self.plan.steps.get(step)).copied().unwrap_or_default()
    }

    /// The place in the plan's steps that it is at; 0 before the first.
    pub fn step(&self) -> usize {
        self.step.unwrap_or_default()
    }

    /// Whether it has moved traffic, and not back.
    pub fn has_moved(&self) -> bool {
        self.step.is_some()
    }

    /// Attempts at the target since it got traffic, and since when it has.
    pub fn seen(&self) -> (Counts, Option<WallTime>) {
        (self.whole, self.traffic_since)
    }

    /// Whether the target gets traffic because of it, and this may be taken back.
    fn is_exposed(&self) -> bool {
        use Stage::{BeforePromote, BeforeStep, Holding, Watching};
        self.step.is_some() && matches!(self.stage, BeforeStep | BeforePromote | Holding | Watching)
    }

    /// Counts attempts at a target that gets traffic.
    pub fn count(&mut self, attempts: Counts) {
        if self.is_exposed() {
            self.counts += attempts;
            self.whole += attempts;
        }
    }

    /// Why the target, which gets traffic, must not have it.
    pub(super) fn failure(&self, view: &View<'_>) -> Option<String> {
        match &view.verdict {
            Verdict::Fail { evidence, .. } if self.is_exposed() => Some(evidence.clone()),
            _ => None,
        }
    }

    fn on_tick(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        let mut must_go_back = false;
        if self.is_exposed() {
            self.count(view.canary);
            self.unready_since = match view.target_ready {
                true => None,
                false => self.unready_since.or(Some(view.now)),
            };
            let without = self.unready_since.map(|since| view.now.elapsed_since(since));
            let is_gone = without.is_some_and(|for_| for_ >= LONGEST_WITHOUT_TARGET);
            let gone = || format!("no upstream of pool `{}` takes requests", self.plan.to);
            let why = self.failure(view).or_else(|| is_gone.then(gone));
            must_go_back = why.is_some();
            if let Some(why) = why
                && self.take_back(why, view, actions)
            {
                return;
            }
        }
        for (task, waited) in self.lost(view) {
            self.on_done(&task, Err(TaskError::Lost(waited)), view.now, actions);
            if self.is_over() {
                return;
            }
        }
        let has_traffic = self.is_exposed() || self.stage == Stage::Rolling;
        if has_traffic && self.is_to_measure(view.now) {
            self.begin(Task::Measure, view.now, actions);
        }
        self.heed(view, actions);
        if self.stage == Stage::Rolling {
            self.whole += view.canary;
            if let Verdict::Fail { evidence, .. } = &view.verdict
                && self.paused.is_none()
            {
                self.pause(Trouble::Verdict, evidence.clone(), view.now, actions);
            }
            self.roll(view, actions);
            return;
        }
        // What is only not known to have a way back must not go on meanwhile.
        if self.stands_still() || must_go_back {
            return;
        }
        if let (Verdict::Invalid { evidence }, true) = (&view.verdict, self.is_exposed()) {
            self.pause(Trouble::Verdict, evidence.clone(), view.now, actions);
            return;
        }
        let elapsed = view.now.elapsed_since(self.entered);
        match self.stage {
            Stage::Awaiting if view.target_ready => self.after_ready(view.now, actions),
            Stage::Awaiting if elapsed >= self.plan.ready_within => {
                let why = self.was_not_ready(view);
                self.fail(why, view.now, actions);
            }
            Stage::Holding => self.hold(elapsed, view, actions),
            Stage::Watching if elapsed >= self.plan.watch => {
                self.enter(Stage::Draining, view.now, actions);
            }
            Stage::Draining if view.old_in_flight == 0 || elapsed >= self.plan.drain => {
                self.after_drain(view.now, actions);
            }
            _ => {}
        }
    }

    /// That the target has not become healthy in time. Of a deploy all are waited for, so it says which
    /// of them it is.
    fn was_not_ready(&self, view: &View<'_>) -> String {
        let (to, within) = (&self.plan.to, in_words(self.plan.ready_within));
        let missing = view.upstreams.iter().filter(|upstream| !upstream.is_ready);
        let missing: Vec<String> = missing.map(|it| format!("`{}`", it.address)).collect();
        match self.deploy.is_some() && !missing.is_empty() {
            true => {
                format!("{} of pool `{to}` did not prove well within {within}", missing.join(", "))
            }
            false => format!("pool `{to}` was not healthy within {within}"),
        }
    }

    /// How long the step lasts at least: the first one longer, until latencies of a target that has
    /// just started count too.
    pub(super) fn holds_for(&self) -> Duration {
        let settings = &self.plan.judging.settings;
        match self.step == Some(0) && settings.enabled {
            true => self.plan.hold + settings.warm_up,
            false => self.plan.hold,
        }
    }

    /// Goes on from a step that has lasted long enough and is well.
    fn hold(&mut self, elapsed: Duration, view: &View<'_>, actions: &mut Vec<Action>) {
        let enough = self.counts.total >= self.plan.min_requests;
        let passes = matches!(view.verdict, Verdict::Pass { .. });
        let hold = self.holds_for();
        if elapsed >= hold && enough && passes && view.target_ready {
            self.take_step(self.following(), view.now, actions);
        } else if elapsed >= self.plan.longest_step.max(hold) {
            let within = in_words(self.plan.longest_step.max(hold));
            let (trouble, why) = match &view.verdict {
                _ if !enough => {
                    let (came, wanted) = (self.counts.total, self.plan.min_requests);
                    let why =
                        format!("{came} of {wanted} requests came in {within}: too few to go on");
                    (Trouble::TooFew, why)
                }
                _ if !view.target_ready => {
                    let why = format!("pool `{}` is not healthy after {within}", self.plan.to);
                    (Trouble::NotReady, why)
                }
                verdict => {
                    let why = format!("there is no verdict after {within}: {}", verdict.evidence());
                    (Trouble::NoVerdict, why)
                }
            };
            match self.plan.judging.on_inconclusive {
                OnInconclusive::Promote if view.target_ready => {
                    actions.push(Action::Say(Event::SteppedWithoutVerdict { why }));
                    self.take_step(self.following(), view.now, actions);
                }
                OnInconclusive::Rollback => drop(self.take_back(why, view, actions)),
                _ => self.pause(trouble, why, view.now, actions),
            }
        }
    }

    fn on_done(
        &mut self,
        task: &Task,
        result: Result<Finished, TaskError>,
        now: WallTime,
        actions: &mut Vec<Action>,
    ) {
        let was_pending = self.forget(task);
        if *task == Task::Measure {
            self.on_measured(result, now, actions);
            return;
        }
        if let (Task::Hook(HookPoint::Deploy { upstream }), true) = (task, was_pending) {
            self.on_deployed(upstream, result, now, actions);
            return;
        }
        let named = task.words();
        if !was_pending || self.task().as_ref() != Some(task) {
            // Of a stage that is over or given up, or one that holds nothing up.
            if let Err(why) = result {
                actions.push(Action::Say(Event::TaskFailed { task: task.clone(), why }));
            }
            return;
        }
        match (result, self.stage) {
            (Ok(_), _) if self.stands_still() => self.has_passed = true,
            (Ok(_), _) => self.pass(now, actions),
            (Err(why), Stage::BeforeStart | Stage::Expanding | Stage::Smoking) => {
                self.fail(format!("{named} failed: {why}"), now, actions);
            }
            (Err(why), _) => {
                self.has_failed = true;
                let trouble = Trouble::Task(task.clone());
                self.pause(trouble, format!("{named} failed: {why}"), now, actions);
            }
        }
    }

    /// Stays where it is while the service's error budget holds it, and goes on by itself.
    fn heed(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        match (view.held, self.held.is_some()) {
            (Some(why), false) => {
                actions.push(Action::Say(Event::Held { why: why.to_string() }));
                self.held = Some(Paused { at: view.now, why: why.to_string() });
            }
            (None, true) => self.let_go(view.now, actions),
            _ => {}
        }
    }

    fn let_go(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let Some(held) = self.held.take() else { return };
        actions.push(Action::Say(Event::LetGo));
        match &mut self.paused {
            Some(paused) => paused.at = paused.at.min(held.at),
            None => {
                self.entered = self.entered + now.elapsed_since(held.at);
                if self.has_passed {
                    self.pass(now, actions);
                }
            }
        }
    }

    /// Whether it makes no headway, whoever keeps it.
    pub(super) fn stands_still(&self) -> bool {
        self.paused.is_some() || self.held.is_some()
    }

    /// Whether it stays where it is until somebody decides.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }
}

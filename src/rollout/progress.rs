//! How a rollout goes on: what it is told and what it sees in, what it wants done out.
//!
//! In a tick, failure comes before progress, and both before the clock: a canary that fails is
//! taken back also while a hook runs and while somebody has paused it.

use std::time::Duration;

use super::rolling::Rolling;
use super::{
    Action, Hearing, HookPoint, Input, LONGEST_WITHOUT_TARGET, OnInconclusive, Order, OrderRefused,
    Outcome, Paused, Plan, Rollout, Stage, Strategy, Task, View, Weight,
};
use crate::clock::WallTime;
use crate::judge::{Counts, Verdict};
use crate::split::{BasisPoints, Split};

use std::sync::Arc;

impl Rollout {
    /// Begins a plan.
    pub fn start(
        id: u64,
        service: Arc<str>,
        plan: Plan,
        author: String,
        reason: Option<String>,
        now: WallTime,
    ) -> (Rollout, Vec<Action>) {
        let mut rollout = Rollout {
            id,
            service,
            plan,
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
            hearing: Hearing::default(),
        };
        let plan = &rollout.plan;
        let what = match plan.strategy {
            Strategy::Rolling => format!("rollout {id} renews pool `{}`", plan.to),
            _ => format!("rollout {id} from `{}` to `{}` has started", plan.from, plan.to),
        };
        let mut actions = vec![say(Weight::Note, what)];
        rollout.enter(Stage::BeforeStart, now, &mut actions);
        rollout.note_said(&actions, now);
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
        match input {
            Input::Tick => self.on_tick(view, &mut actions),
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
                self.on_order(order, &author, reason, view, &mut actions)?;
            }
        }
        self.note_said(&actions, view.now);
        Ok(actions)
    }

    fn note_said(&mut self, actions: &[Action], now: WallTime) {
        for action in actions {
            if let Action::Say { what, .. } = action {
                self.note(what, now);
            }
        }
    }

    /// Its service's traffic was changed past it, by this; it ends and moves nothing. What it had
    /// only drained takes requests again.
    pub fn supersede(&mut self, by: &str, now: WallTime) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.is_over() {
            self.abort_rolling(&mut actions);
            let what = format!("rollout {} is superseded by {by}", self.id);
            actions.push(say(Weight::Note, what));
            self.end(Outcome::Superseded { by: by.into() }, now);
        }
        actions
    }

    /// Whether it is where another state of it was: what has changed since are counts and times.
    pub fn is_where(&self, other: &Rollout) -> bool {
        self.stage == other.stage
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

    /// Attempts at the target since it got traffic, and since when it has.
    pub fn seen(&self) -> (Counts, Option<WallTime>) {
        (self.whole, self.traffic_since)
    }

    /// Whether the target gets traffic because of it, and this may be taken back.
    fn is_exposed(&self) -> bool {
        use Stage::{BeforePromote, BeforeStep, Holding, Watching};
        self.step.is_some() && matches!(self.stage, BeforeStep | BeforePromote | Holding | Watching)
    }

    /// Why the target, which gets traffic, must not have it.
    fn failure(&self, view: &View<'_>) -> Option<String> {
        match &view.verdict {
            Verdict::Fail { evidence, .. } if self.is_exposed() => Some(evidence.clone()),
            _ => None,
        }
    }

    fn on_tick(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        if self.is_exposed() {
            self.counts += view.canary;
            self.whole += view.canary;
            self.unready_since = match view.target_ready {
                true => None,
                false => self.unready_since.or(Some(view.now)),
            };
            let without = self.unready_since.map(|since| view.now.elapsed_since(since));
            let is_gone = without.is_some_and(|for_| for_ >= LONGEST_WITHOUT_TARGET);
            let gone = || format!("no upstream of pool `{}` takes requests", self.plan.to);
            let why = self.failure(view).or_else(|| is_gone.then(gone));
            if let Some(why) = why
                && self.take_back(why, view, actions)
            {
                return;
            }
        }
        for (task, waited) in self.lost(view) {
            let why = format!("nobody has told its end for {waited:?}");
            self.on_done(&task, Err(why), view.now, actions);
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
                self.pause(evidence.clone(), view.now, actions);
            }
            self.roll(view, actions);
            return;
        }
        if self.stands_still() {
            return;
        }
        if let (Verdict::Invalid { evidence }, true) = (&view.verdict, self.is_exposed()) {
            self.pause(evidence.clone(), view.now, actions);
            return;
        }
        let elapsed = view.now.elapsed_since(self.entered);
        match self.stage {
            Stage::Awaiting if view.target_ready => self.after_ready(view.now, actions),
            Stage::Awaiting if elapsed >= self.plan.ready_within => {
                let within = self.plan.ready_within;
                let why = format!("pool `{}` was not healthy within {within:?}", self.plan.to);
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

    /// Goes on from a step that has lasted long enough and is well.
    fn hold(&mut self, elapsed: Duration, view: &View<'_>, actions: &mut Vec<Action>) {
        let enough = self.counts.total >= self.plan.min_requests;
        let passes = matches!(view.verdict, Verdict::Pass { .. });
        if elapsed >= self.plan.hold && enough && passes && view.target_ready {
            self.take_step(self.following(), view.now, actions);
        } else if elapsed >= self.plan.longest_step.max(self.plan.hold) {
            let within = self.plan.longest_step.max(self.plan.hold);
            let why = match &view.verdict {
                _ if !enough => {
                    let (came, wanted) = (self.counts.total, self.plan.min_requests);
                    format!("{came} of {wanted} requests came in {within:?}: too few to go on")
                }
                _ if !view.target_ready => {
                    format!("pool `{}` is not healthy after {within:?}", self.plan.to)
                }
                verdict => format!("there is no verdict after {within:?}: {}", verdict.evidence()),
            };
            match self.plan.judging.on_inconclusive {
                OnInconclusive::Promote if view.target_ready => {
                    let what = format!("rollout {} goes on without a verdict: {why}", self.id);
                    actions.push(say(Weight::Warning, what));
                    self.take_step(self.following(), view.now, actions);
                }
                OnInconclusive::Rollback => drop(self.take_back(why, view, actions)),
                _ => self.pause(why, view.now, actions),
            }
        }
    }

    fn on_done(
        &mut self,
        task: &Task,
        result: Result<String, String>,
        now: WallTime,
        actions: &mut Vec<Action>,
    ) {
        let was_pending = self.forget(task);
        if *task == Task::Measure {
            self.on_measured(result, now);
            return;
        }
        if let (Task::Hook(HookPoint::Deploy { upstream }), true) = (task, was_pending) {
            self.on_deployed(upstream, result, now, actions);
            return;
        }
        let named = task.words();
        if !was_pending || self.task().as_ref() != Some(task) {
            // Of a stage that is over or given up, or one that holds nothing up.
            if let Err(why) = &result {
                let what = format!("rollout {}: {named} failed: {why}", self.id);
                actions.push(say(Weight::Warning, what));
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
                self.pause(format!("{named} failed: {why}"), now, actions);
            }
        }
    }

    /// The task of the stage has ended well.
    fn pass(&mut self, now: WallTime, actions: &mut Vec<Action>) {
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

    fn on_order(
        &mut self,
        order: Order,
        author: &str,
        reason: Option<String>,
        view: &View<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<(), OrderRefused> {
        let now = view.now;
        if let Some(evidence) = self.failure(view)
            && matches!(order, Order::Step | Order::Promote | Order::Resume)
        {
            return Err(self.refuse(format!("cannot go on: {evidence}")));
        }
        match order {
            Order::Pause if self.paused.is_some() => return Err(self.refuse("is paused already")),
            Order::Pause => {
                let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                let why = format!("by {author}{why}");
                self.paused = Some(Paused { at: now, why: why.clone() });
                actions.push(say(Weight::Note, format!("rollout {} is paused {why}", self.id)));
            }
            Order::Resume if self.paused.is_none() => return Err(self.refuse("is not paused")),
            Order::Resume => self.go_on(now, actions),
            Order::Abort if self.stage == Stage::Contracting => {
                let why = "has begun to contract: the old version cannot run any more";
                return Err(self.refuse(why));
            }
            Order::Abort => {
                let by = author.to_string();
                let what = format!("rollout {} was aborted by {by}", self.id);
                self.shift_back(&what, now, actions);
                self.abort_rolling(actions);
                actions.push(say(Weight::Warning, what));
                self.end(Outcome::Aborted { by, why: reason }, now);
            }
            Order::Step | Order::Promote if view.held.is_some() => {
                return Err(self.refuse(format!("is held: {}", view.held.unwrap_or_default())));
            }
            Order::Step if self.stage == Stage::Rolling => {
                if !self.skip_stuck() {
                    return Err(self.refuse("waits for no upstream that could be left out"));
                }
                self.go_on(now, actions);
            }
            Order::Step | Order::Promote if self.stage == Stage::Holding => {
                self.unpause(now);
                let last = self.plan.steps.len().saturating_sub(1);
                let to = if order == Order::Promote { last } else { self.following() };
                self.take_step(to, now, actions);
            }
            Order::Promote if self.stage == Stage::Watching => {
                self.unpause(now);
                self.enter(Stage::Draining, now, actions);
            }
            Order::Step | Order::Promote => {
                let why = format!("cannot do this now: {}", self.words(now));
                return Err(self.refuse(why));
            }
        }
        Ok(())
    }

    fn unpause(&mut self, now: WallTime) {
        if let Some(paused) = self.paused.take() {
            match &mut self.held {
                // It goes on standing still: all of it counts once, when that is over.
                Some(held) => held.at = held.at.min(paused.at),
                // A pause is no part of a hold.
                None => self.entered = self.entered + now.elapsed_since(paused.at),
            }
        }
    }

    /// Stays where it is while the service's error budget holds it, and goes on by itself.
    fn heed(&mut self, view: &View<'_>, actions: &mut Vec<Action>) {
        match (view.held, self.held.is_some()) {
            (Some(why), false) => {
                let what = format!("rollout {} is held: {why}", self.id);
                actions.push(say(Weight::Warning, what));
                self.held = Some(Paused { at: view.now, why: why.to_string() });
            }
            (None, true) => self.let_go(view.now, actions),
            _ => {}
        }
    }

    fn let_go(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let Some(held) = self.held.take() else { return };
        actions.push(say(Weight::Note, format!("rollout {} is held no longer", self.id)));
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

    fn go_on(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let stood_still = self.stage == Stage::Holding;
        let longest = self.plan.longest_step.max(self.plan.hold);
        self.unpause(now);
        self.on_resumed();
        actions.push(say(Weight::Note, format!("rollout {} goes on", self.id)));
        if self.has_passed && !self.stands_still() {
            self.pass(now, actions);
        } else if std::mem::take(&mut self.has_failed) {
            self.task().into_iter().for_each(|task| self.begin(task, now, actions));
        } else if stood_still && now.elapsed_since(self.entered) >= longest {
            // It had waited as long as it may; it may wait as long again.
            self.entered = now;
        }
        if self.stage == Stage::Rolling {
            // Whoever lets it go on has seen what failed; what fails from now on counts.
            (self.whole, self.traffic_since) = (Counts::default(), Some(now));
        }
        self.retry_stuck(now, actions);
    }

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
    fn enter(&mut self, stage: Stage, now: WallTime, actions: &mut Vec<Action>) {
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

    fn after_expand(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let rolls = self.plan.strategy == Strategy::Rolling;
        self.enter(if rolls { Stage::Rolling } else { Stage::Awaiting }, now, actions);
    }

    fn after_ready(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        match self.plan.smoke.is_empty() {
            true => self.take_step(0, now, actions),
            false => self.enter(Stage::Smoking, now, actions),
        }
    }

    fn following(&self) -> usize {
        self.step.map_or(0, |step| step + 1)
    }

    /// Takes a step, after its hook.
    fn take_step(&mut self, step: usize, now: WallTime, actions: &mut Vec<Action>) {
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
        actions.push(say(Weight::Note, format!("rollout {id}: `{to}` gets {share} %")));
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

    fn after_drain(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        self.enter(Stage::Contracting, now, actions);
    }

    /// Takes traffic back; false if there is nothing to take it back to.
    fn take_back(&mut self, why: String, view: &View<'_>, actions: &mut Vec<Action>) -> bool {
        let (id, from) = (self.id, &self.plan.from);
        if !view.old_ready {
            if self.paused.is_none() {
                let why = format!("{why}, but pool `{from}` has no upstream that takes requests");
                self.pause(why, view.now, actions);
            }
            return false;
        }
        let what = format!("rollout {id} is rolled back: {why}");
        self.shift_back(&what, view.now, actions);
        actions.push(say(Weight::Failure, what));
        self.end(Outcome::RolledBack { why }, view.now);
        true
    }

    fn shift_back(&mut self, why: &str, now: WallTime, actions: &mut Vec<Action>) {
        if self.step.take().is_none() {
            return;
        }
        let split = Split::all_to(self.plan.from.clone());
        actions.push(Action::Shift { split, why: why.to_string() });
        // Told again after a crash, it would say that all is well.
        self.on_shift(now);
        self.forget(&Task::Hook(HookPoint::AfterPromote));
        self.call(HookPoint::AfterRollback, now, actions);
    }

    pub(super) fn promote(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let what = match self.plan.strategy {
            Strategy::Rolling => format!("rollout {}: pool `{}` is renewed", self.id, self.plan.to),
            _ => format!("rollout {}: `{}` is promoted", self.id, self.plan.to),
        };
        actions.push(say(Weight::Note, what));
        self.end(Outcome::Promoted, now);
    }

    fn fail(&mut self, why: String, now: WallTime, actions: &mut Vec<Action>) {
        let what = format!("rollout {} has ended before any traffic moved: {why}", self.id);
        actions.push(say(Weight::Warning, what));
        self.end(Outcome::Failed { why }, now);
    }

    pub(super) fn pause(&mut self, why: String, now: WallTime, actions: &mut Vec<Action>) {
        if self.paused.is_none() {
            let what = format!("rollout {} is paused: {why}", self.id);
            actions.push(say(Weight::Warning, what));
            self.paused = Some(Paused { at: now, why });
        }
    }

    /// Whether it stays where it is until somebody decides.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    fn end(&mut self, outcome: Outcome, now: WallTime) {
        (self.paused, self.held) = (None, None);
        self.forget_all_but_last();
        self.ended = Some((outcome, now));
    }

    fn refuse(&self, why: impl Into<String>) -> OrderRefused {
        OrderRefused { id: self.id, service: self.service.clone(), why: why.into() }
    }
}

pub(super) fn say(weight: Weight, what: String) -> Action {
    Action::Say { weight, what }
}

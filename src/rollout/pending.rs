//! Tasks that were begun and that nobody has told the end of: what is begun again after a crash,
//! and what is given up.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, HookPoint, Rollout, Task, View};
use crate::clock::WallTime;

/// A task that was begun and that nobody has told the end of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub task: Task,
    /// When it was asked for, so that whoever is called can tell a repetition.
    pub asked: WallTime,
    /// Since when its end is waited for: later than `asked` if it was begun again.
    pub since: WallTime,
}

/// How much longer than its own time-out a task is waited for: whoever does it says so when the
/// time-out is over, and may have been begun a moment after it was asked for.
const MARGIN: Duration = Duration::from_secs(30);

impl Rollout {
    /// What has to be begun again when the process has started anew; its judge is told that it was away.
    pub fn resume(&mut self, now: WallTime) -> Vec<Task> {
        self.interrupt_hearing();
        self.pending.iter_mut().for_each(|pending| pending.since = now);
        // A store of an older version has no list of what is pending.
        let waits = !self.has_failed && !self.has_passed;
        let task = self.task().filter(|_| waits);
        let mut tasks: Vec<Task> = task.into_iter().chain(self.rolling.deploying()).collect();
        if self.is_over() {
            tasks.clear();
        }
        for task in tasks {
            if !self.pending.iter().any(|pending| pending.task == task) {
                self.pending.push(Pending { task, asked: self.asked, since: now });
            }
        }
        self.pending.iter().map(|pending| pending.task.clone()).collect()
    }

    /// When a task was asked for: the same after a crash, another when it is asked for again.
    pub fn asked(&self, task: &Task) -> WallTime {
        let pending = self.pending.iter().find(|pending| pending.task == *task);
        pending.map_or(self.asked, |pending| pending.asked)
    }

    /// Whether the end of a task is waited for, also of one that is of use after the rollout's end.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn begin(&mut self, task: Task, now: WallTime, actions: &mut Vec<Action>) {
        self.forget(&task);
        self.asked = now;
        self.pending.push(Pending { task: task.clone(), asked: now, since: now });
        actions.push(Action::Begin(task));
    }

    /// Begins the hook of a point, if one is declared.
    pub(super) fn call(&mut self, point: HookPoint, now: WallTime, actions: &mut Vec<Action>) {
        if self.plan.hooks.at(&point).is_some() {
            self.begin(Task::Hook(point), now, actions);
        }
    }

    /// Waits for a task no longer; false if it was not waited for.
    pub fn forget(&mut self, task: &Task) -> bool {
        let before = self.pending.len();
        self.pending.retain(|pending| pending.task != *task);
        self.pending.len() < before
    }

    /// Waits no longer for what only mattered to a rollout under way.
    pub(super) fn forget_all_but_last(&mut self) {
        self.pending.retain(|pending| pending.task.outlasts());
    }

    /// Tasks that nobody has heard of for so long that nobody will, each with how long that is.
    pub(super) fn lost(&self, view: &View<'_>) -> Vec<(Task, Duration)> {
        let lost = self.pending.iter().filter_map(|pending| {
            let waited = view.now.elapsed_since(pending.since);
            (waited >= self.timeout(&pending.task, view) + MARGIN)
                .then(|| (pending.task.clone(), waited))
        });
        lost.collect()
    }

    fn timeout(&self, task: &Task, view: &View<'_>) -> Duration {
        match task {
            Task::Hook(point) => self.plan.hooks.at(point).map(super::Hook::timeout),
            Task::Measure => None,
            Task::Smoke => {
                // One after the other, and all of them to each upstream.
                let each: Duration = self.plan.smoke.iter().map(|smoke| smoke.timeout).sum();
                Some(each * view.upstreams.len() as u32)
            }
        }
        .unwrap_or_default()
    }
}

//! What people order of a rollout under way.

use super::{Action, Event, Order, OrderRefused, Outcome, Paused, Rollout, Stage, View};
use crate::clock::WallTime;
use crate::judge::Counts;

impl Rollout {
    pub(super) fn on_order(
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
                self.paused = Some(Paused { at: now, why });
                actions.push(Action::Say(Event::PausedByOrder));
            }
            Order::Resume if self.paused.is_none() => return Err(self.refuse("is not paused")),
            Order::Resume => self.go_on(now, actions),
            Order::Abort if self.stage == Stage::Contracting => {
                let why = "has begun to contract: the old version cannot run any more";
                return Err(self.refuse(why));
            }
            Order::Abort => {
                self.shift_back(&Event::Aborted, reason.as_deref(), now, actions);
                self.abort_rolling(actions);
                actions.push(Action::Say(Event::Aborted));
                self.end(Outcome::Aborted { by: author.to_string(), why: reason }, now);
            }
            Order::Step | Order::Promote if view.held.is_some() => {
                return Err(self.refuse(format!(
                    "is held: {why}; `pointsman freeze {service} --lift` ends a freeze by order, and with \
                     `--override --reason TEXT` it goes on whatever the error budget says",
                    why = view.held.unwrap_or_default(),
                    service = self.service
                )));
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

    fn go_on(&mut self, now: WallTime, actions: &mut Vec<Action>) {
        let stood_still = self.stage == Stage::Holding;
        let longest = self.plan.longest_step.max(self.holds_for());
        self.unpause(now);
        self.on_resumed();
        actions.push(Action::Say(Event::Resumed));
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

    pub(super) fn refuse(&self, why: impl Into<String>) -> OrderRefused {
        OrderRefused { id: self.id, service: self.service.clone(), why: why.into() }
    }
}

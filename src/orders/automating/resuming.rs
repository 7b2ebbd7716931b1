//! A process that begins: what the one before had begun and not ended, and what it may not have told.

use super::*;

impl Orders {
    /// Begins again what had begun when the process ended, where that is no harm, and tells again what may
    /// not have been told.
    pub fn resume_acts(&mut self, now: Now) {
        let kept = self.state.automation().clone();
        for act in kept.acts().filter(|act| act.is_under_way()) {
            match act.deed {
                Deed::Webhook => self.effects.push(Effect::Act(act.clone())),
                _ => drop(self.automation.lost.insert(act.id)),
            }
        }
        let told = |act: &&Arc<Act>| matches!(act.deed, Deed::Escalate | Deed::Notify);
        for act in kept.acts().filter(told) {
            if now.wall.elapsed_since(act.at) < TOLD_AGAIN && act.end != Some(End::DryRun) {
                let event = match act.deed {
                    Deed::Notify => RuleEvent::Tells,
                    _ => RuleEvent::Escalated { why: act.why.clone(), to: self.target(&act.rule) },
                };
                let said = said(&act.rule, &act.place, event, Some(&act.why));
                self.effects.push(Effect::Say(said));
            }
        }
    }

    /// Notes of commands that were under way when the process before ended that nobody knows their end.
    pub(super) fn lose_commands(&mut self, snapshot: &Snapshot, now: Now) {
        for id in std::mem::take(&mut self.automation.lost) {
            let Some(act) = self.state.automation().act(id).filter(|act| act.is_under_way()) else {
                continue;
            };
            let act = (**act).clone();
            // Until it is stored.
            self.automation.lost.insert(id);
            let scope = scope_of(&act.place);
            if self.queue.is_busy(&scope) {
                continue;
            }
            let mut ledger = self.ledger(now);
            let rule = self.rule_of(&act);
            let mut step = self.step(&rule, &act.place, &act.why, &ledger, now);
            let deed = described(&act, &rule);
            step.say(RuleEvent::Unknown { act: id, deed });
            let why = format!(
                "nobody knows what has come of its command (act {id}): Pointsman ended meanwhile, and it \
                 is not run again"
            );
            step.end(act, End::Unknown);
            step.escalate(why);
            self.submit_step(step, scope, &mut ledger, snapshot, now);
        }
    }
}

impl Draft<'_> {
    /// No act was made in the future, by a clock that was set back before the process began.
    pub fn bound_acts(&mut self) {
        let now = self.view.now.wall;
        let kept: Kept = self.state.automation().clone();
        for act in kept.acts().filter(|act| act.at > now) {
            let act = Arc::new(Act { at: now, ..(**act).clone() });
            self.change(Change::Automation(automation::Change::Act(act)));
        }
    }
}

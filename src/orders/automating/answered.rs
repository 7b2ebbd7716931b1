//! How a call has ended: what whoever was called has answered in, what is added and what is told out.

use super::*;
use crate::automation::{Grown, Instance, Offered};

impl Orders {
    /// Hears how a call of a rule has ended, now or once nothing of its place waits.
    pub fn on_acted(
        &mut self,
        id: u64,
        result: Result<Answer, String>,
        snapshot: &Snapshot,
        now: Now,
    ) {
        // It is told to people who may not know what the file takes from outside.
        let within = |text: String| self.config.taken.within(text).to_string();
        let result = match result {
            Ok(answer) => Ok(Answer { line: within(answer.line), ..answer }),
            Err(why) => Err(within(why)),
        };
        self.automation.unheard.insert(id, result);
        self.hear_answers(snapshot, now);
    }

    /// Takes in the ends of calls; each is kept until it is stored.
    pub(super) fn hear_answers(&mut self, snapshot: &Snapshot, now: Now) {
        let unheard: Vec<u64> = self.automation.unheard.keys().copied().collect();
        for id in unheard {
            let act = self.state.automation().act(id).filter(|act| act.is_under_way()).cloned();
            let result = self.automation.unheard.get(&id).cloned();
            let (Some(act), Some(result)) = (act, result) else {
                self.automation.unheard.remove(&id);
                continue;
            };
            let scope = scope_of(&act.place);
            if self.queue.is_busy(&scope) {
                continue;
            }
            let mut ledger = self.ledger(now);
            let rule = self.rule_of(&act);
            let mut step = self.step(&rule, &act.place, &act.why, &ledger, now);
            let act = (*act).clone();
            match result {
                Err(why) => step.fail(act, why),
                Ok(answer) => {
                    let line = answer.line.clone();
                    match self.add_instances(&mut step, &act, answer, snapshot, now) {
                        Ok(()) => {
                            step.say(RuleEvent::Ended { act: act.id, answer: line.clone() });
                            step.end(act, End::Done(line));
                        }
                        Err(why) => step.fail(act, why),
                    }
                }
            }
            self.submit_step(step, scope, &mut ledger, snapshot, now);
        }
    }

    /// Adds what was answered to the pool, as a person would; why not all of it, if not.
    fn add_instances(
        &self,
        step: &mut Step,
        act: &Act,
        answer: Answer,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), String> {
        let Some(adds) = step.rule.adds.clone().filter(|_| act.removed.is_none()) else {
            return Ok(());
        };
        let by = By::new(&author(&step.rule.name), Some(&step.why));
        let mut draft = Draft::new(&self.state, self.view(snapshot, now), by);
        let grown = self.state.automation().grown(&step.rule.name);
        let mut grown = grown.map(|grown| Grown::clone(grown)).unwrap_or_default();
        let (mut failed, before) = (None, grown.instances.len());
        for Offered { address, is_here } in answer.upstreams {
            if grown.instances.len() >= adds.instances {
                break;
            }
            let text = address.to_string();
            if is_here && self.listens_everywhere_at(address.port()) {
                failed = Some(format!("`{text}` is where this Pointsman itself listens"));
                continue;
            }
            let place = At { upstream: text.as_str().into(), ..act.place.clone() };
            let added = named(&place).and_then(|place| {
                draft.set_upstream(&place, UpstreamOrder::Add { weight: None, labels: None })
            });
            match added {
                Ok(_) => grown.instances.push(Instance { place, at: now.wall }),
                // It was told of before.
                Err(Refused::Known { .. }) => {}
                Err(refused) => failed = Some(refused.to_string()),
            }
        }
        if grown.instances.len() > before {
            let rule = step.rule.name.clone();
            step.take(draft.decided(Made::Done));
            let grown = Some(Arc::new(grown));
            step.change(automation::Change::Grown { rule, grown });
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether requests or orders are accepted at this port of each address of this machine.
    fn listens_everywhere_at(&self, port: u16) -> bool {
        let listeners = self.config.listeners.iter().map(|listener| &listener.address);
        listeners.chain([&self.config.admin.address]).any(|own| own.is_everywhere_at(port))
    }
}

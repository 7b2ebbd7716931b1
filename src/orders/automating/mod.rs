//! What rules of the automation do: looked at once a second, decided like orders, stored before it begins.
//!
//! What a rule orders here is one change together with its act, so that both are there after a crash or
//! neither. Whom it calls is begun once its act is stored. When a process begins, a web request that was
//! under way is made again, with the same key; a command is not, for it may have been done: that nobody
//! knows is told instead. While something of a place waits for the disk, nothing is decided there, and
//! the next second looks again.

mod answered;
mod resuming;
mod seeing;
mod shrinking;
mod step;
mod taking_back;
mod withholding;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::draft::{Draft, Undecided};
use super::order::Scope;
use super::queue::Job;
use super::*;
use crate::automation::{
    self, Act, Answer, Deed, End, Kept, Ledger, NotNow, Place as At, Rule, Seen, Then, Watch,
    author, is_rule,
};
use crate::clock::in_words;
use crate::event::RuleEvent;
use crate::rollout::{self, Hook};
use crate::state::What;
use seeing::Rooms;
use step::{Step, described, said};
use withholding::Aim;
use withholding::is_persons;

/// How long ago it may have been told that a rule can do no more, to be told again by the next process:
/// a notice may have been on its way.
const TOLD_AGAIN: Duration = Duration::from_secs(120);

/// How often acts have ended, by rule, deed and end, since the process began.
pub type ActCounts = BTreeMap<(Arc<str>, &'static str, &'static str), u64>;

/// What lives as long as the process.
#[derive(Debug, Default)]
pub(super) struct Automation {
    watch: Watch,
    rooms: Rooms,
    /// Ends of calls, until they are stored.
    unheard: BTreeMap<u64, Result<Answer, String>>,
    /// Commands that were under way when the process before ended.
    lost: BTreeSet<u64>,
    /// Why a rule leaves a place alone, as it was said last.
    withheld: BTreeMap<(Arc<str>, At), String>,
    counts: ActCounts,
}

impl Automation {
    /// Counts acts that end with these changes.
    pub fn note(&mut self, before: &State, changes: &[Change]) {
        for change in changes {
            let Change::Automation(automation::Change::Act(act)) = change else { continue };
            let was = before.automation().act(act.id).is_some_and(|was| was.end.is_some());
            if let (Some(end), false) = (&act.end, was) {
                let key = (act.rule.clone(), act.deed.name(), end.name());
                *self.counts.entry(key).or_default() += 1;
            }
        }
    }
}

impl Orders {
    /// How often acts of rules have ended since the process began.
    pub fn act_counts(&self) -> &ActCounts {
        &self.automation.counts
    }

    /// Looks at what each rule looks at, and has it act.
    pub(super) fn automate(&mut self, snapshot: &Snapshot, now: Now) {
        self.lose_commands(snapshot, now);
        self.hear_answers(snapshot, now);
        let config = self.config.clone();
        self.automation.watch.keep(&config.automation);
        self.automation.rooms.keep(snapshot);
        if config.automation.is_empty() {
            return;
        }
        let is_stopped = self.state.automation().stopped().is_some();
        let mut ledger = self.ledger(now);
        for rule in &config.automation {
            let readings = self.readings(rule, &ledger, snapshot, now);
            let seen = self.automation.watch.look(rule, readings, now.instant);
            self.note_what_is_over(rule, &seen, &ledger);
            if is_stopped {
                continue;
            }
            self.take_back(rule, &mut ledger, snapshot, now);
            self.shrink(rule, &seen, &mut ledger, snapshot, now);
            let fires = |place: &At| seen.iter().any(|seen| seen.fires && seen.place == *place);
            self.automation.withheld.retain(|(of, at), _| *of != rule.name || fires(at));
            for seen in seen.iter().filter(|seen| seen.fires) {
                self.act(rule, seen, &mut ledger, snapshot, now);
            }
        }
    }

    /// What all rules did, with what is decided and not stored yet.
    fn ledger(&self, now: Now) -> Ledger {
        let mut ledger = Ledger::of(self.state.automation().acts(), now.wall);
        let waiting = self.queue.waiting.iter().flat_map(|job| &job.changes);
        for change in waiting.chain(self.queue.changes_in_hands()) {
            if let Change::Automation(automation::Change::Act(act)) = change {
                ledger.add(act.clone());
            }
        }
        ledger
    }

    /// Has a rule act at a place where its condition has held long enough, if it may.
    fn act(
        &mut self,
        rule: &Arc<Rule>,
        seen: &Seen,
        ledger: &mut Ledger,
        snapshot: &Snapshot,
        now: Now,
    ) {
        let scope = scope_of(&seen.place);
        if self.queue.is_busy(&scope) {
            return;
        }
        let rollout = match self.aim(rule, &seen.place, ledger, now) {
            Aim::At(rollout) => rollout,
            Aim::Nothing => return,
            Aim::Withheld(why) => return self.withhold(rule, seen, why),
        };
        self.automation.withheld.remove(&(rule.name.clone(), seen.place.clone()));
        let most = self.config.server.automation_an_hour;
        let limit = match ledger.may(rule, &seen.place, most) {
            Ok(()) => self.is_full(rule).map(|most| {
                format!("it has added {most} instances, which is all it may, and {}", seen.told)
            }),
            Err(NotNow::Spent) => Some(format!(
                "it has acted {} times within {}, which is all it may, and {}",
                ledger.done(rule),
                in_words(rule.per),
                seen.told
            )),
            Err(NotNow::Bound) => Some(format!(
                "all rules together have acted {most} times within an hour, which is all they may, and {}",
                seen.told
            )),
            Err(_) => return,
        };
        let mut step = self.step(rule, &seen.place, &seen.told, ledger, now);
        match limit {
            Some(_) if ledger.is_escalated(rule, &seen.place) => return,
            Some(why) => step.escalate(why),
            None => {
                let act = step.begin(deed(&rule.then), rollout);
                self.decide_act(&mut step, act, snapshot, now);
            }
        }
        self.submit_step(step, scope, ledger, snapshot, now);
    }

    /// What an act changes and has done.
    fn decide_act(&self, step: &mut Step, act: Act, snapshot: &Snapshot, now: Now) {
        let rule = step.rule.clone();
        if rule.dry_run {
            step.say(RuleEvent::Would { deed: rule.then.to_string() });
            return step.end(act, End::DryRun);
        }
        match &rule.then {
            Then::Call(_) => step.call(act),
            Then::Notify => {
                step.say(RuleEvent::Tells);
                step.end(act, End::Done(String::new()));
            }
            _ => match self.order_of(step, snapshot, now) {
                Ok(decided) => {
                    step.take(decided);
                    step.end(act, End::Done(String::new()));
                }
                Err(refused) => step.fail(act, refused.to_string()),
            },
        }
    }

    /// The changes of what a rule orders.
    fn order_of(&self, step: &Step, snapshot: &Snapshot, now: Now) -> Result<Decided, Refused> {
        let (place, rule) = (&step.place, &step.rule);
        let service = place.service.to_string();
        let order = match &rule.then {
            Then::Drain => Order::Upstream { place: named(place)?, what: UpstreamOrder::Drain },
            Then::OpenBreaker => Order::Breaker { place: named(place)?, what: BreakerOrder::Open },
            Then::PauseRollout => Order::Rollout { service, what: rollout::Order::Pause },
            Then::AbortRollout => Order::Rollout { service, what: rollout::Order::Abort },
            Then::Maintenance { message } => {
                Order::Mode { service, what: ModeOrder::Maintenance { message: message.clone() } }
            }
            Then::Call(_) | Then::Notify => return Err(Refused::NoService(service)),
        };
        self.decide_for(rule, &step.why, &order, snapshot, now)
    }

    /// Decides an order in a rule's name.
    fn decide_for(
        &self,
        rule: &Rule,
        why: &str,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<Decided, Refused> {
        let by = By::new(&author(&rule.name), Some(why));
        let decided = draft::decide(&self.state, self.view(snapshot, now), order, &by);
        decided.map_err(|undecided| match undecided {
            Undecided::Refused(refused) => refused,
            // Nobody waits for a look, so it is decided by what is known.
            Undecided::Unseen(_) => Refused::Withdrawn,
        })
    }

    /// Says once that a rule leaves something alone.
    fn withhold(&mut self, rule: &Rule, seen: &Seen, why: String) {
        let key = (rule.name.clone(), seen.place.clone());
        if self.automation.withheld.get(&key) == Some(&why) {
            return;
        }
        let event = RuleEvent::Withheld { deed: rule.then.to_string(), why: why.clone() };
        let said = said(&rule.name, &seen.place, event, Some(&seen.told));
        self.effects.push(Effect::Say(said));
        self.automation.withheld.insert(key, why);
    }

    /// Whether a rule has added all that it may; how much that is.
    fn is_full(&self, rule: &Rule) -> Option<usize> {
        let most = rule.adds.as_ref()?.instances;
        let grown = self.state.automation().grown(&rule.name);
        grown.filter(|grown| grown.instances.len() >= most).map(|_| most)
    }

    /// The rule of an act, or what is known of one that the file has no more.
    fn rule_of(&self, act: &Act) -> Arc<Rule> {
        let known = self.config.automation.iter().find(|rule| rule.name == act.rule);
        known.cloned().unwrap_or_else(|| Arc::new(Rule::gone(&act.rule)))
    }

    fn target(&self, rule: &str) -> Option<Arc<str>> {
        let known = self.config.automation.iter().find(|known| *known.name == *rule)?;
        known.escalate_to.clone()
    }

    fn step(&self, rule: &Arc<Rule>, place: &At, why: &str, ledger: &Ledger, now: Now) -> Step {
        Step {
            rule: rule.clone(),
            place: place.clone(),
            why: why.to_string(),
            next: ledger.next_id(),
            now: now.wall,
            decided: Decided {
                changes: Vec::new(),
                effects: Vec::new(),
                answer: Made::Done,
                haste: Haste::None,
                warnings: Vec::new(),
            },
        }
    }

    fn submit_step(
        &mut self,
        step: Step,
        scope: Scope,
        ledger: &mut Ledger,
        snapshot: &Snapshot,
        now: Now,
    ) {
        let mut decided = step.decided;
        // What is let go of for it, one after the other.
        let (mut kept, mut gone) = (self.state.automation().clone(), Vec::new());
        for change in &decided.changes {
            let Change::Automation(change) = change else { continue };
            if let automation::Change::Act(act) = change {
                ledger.add(act.clone());
            }
            let oldest = kept.gives_way_to(change);
            for change in [Some(change.clone()), oldest.clone()].into_iter().flatten() {
                kept.apply(change);
            }
            gone.extend(oldest.map(Change::Automation));
        }
        decided.changes.extend(gone);
        self.submit(Job::by_itself(scope, decided, now.instant), snapshot, now);
    }
}

impl Draft<'_> {
    /// Stops all rules, or lets them act again.
    pub fn set_automation(&mut self, stops: bool) -> Made {
        let is_stopped = self.state.automation().stopped().is_some();
        if !stops && !is_stopped {
            return Made::Done;
        }
        let stopped = stops.then(|| {
            let (by, reason) = (self.by.author.clone(), self.by.reason.clone());
            Arc::new(automation::Stopped { by, reason, at: self.view.now.wall })
        });
        self.change(Change::Automation(automation::Change::Stopped(stopped)));
        let event = if stops { RuleEvent::Stopped } else { RuleEvent::Started };
        let kind = Kind::Rule { rule: "".into(), event: Box::new(event) };
        self.say(kind, Subject::default());
        Made::Done
    }
}

/// What a rule does, as it is stored.
fn deed(then: &Then) -> Deed {
    match then {
        Then::Call(Hook::Webhook { .. }) => Deed::Webhook,
        Then::Call(Hook::Command { .. }) => Deed::Command,
        Then::Drain => Deed::Drain,
        Then::OpenBreaker => Deed::OpenBreaker,
        Then::PauseRollout => Deed::PauseRollout,
        Then::AbortRollout => Deed::AbortRollout,
        Then::Maintenance { .. } => Deed::Maintenance,
        Then::Notify => Deed::Notify,
    }
}

/// What an act at a place keeps waiting, and waits for.
fn scope_of(place: &At) -> Scope {
    match place.service.is_empty() {
        true => Scope::Automation,
        false => Scope::Service(place.service.clone()),
    }
}

/// A place as orders name it.
fn named(place: &At) -> Result<Place, Refused> {
    let (service, pool) = (place.service.to_string(), place.pool.to_string());
    let upstream = match place.upstream.is_empty() {
        true => None,
        false => match place.upstream.parse::<Address>() {
            Ok(address) => Some(address),
            Err(_) => {
                let address = place.upstream.to_string();
                return Err(Refused::NoUpstream { pool, address });
            }
        },
    };
    Ok(Place { service, pool, upstream })
}

#[cfg(test)]
mod tests;

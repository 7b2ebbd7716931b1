//! What a rule has added is taken out again when it is quiet: the newest first, one at a time, drained
//! before; and whoever was called is told to end it.

use super::*;
use crate::automation::{Adds, Grown, Instance, Leaving};

/// How long one that is drained may hold requests.
const DRAINS: Duration = Duration::from_secs(30);

impl Orders {
    /// Takes out what a rule has added, once it has been quiet for long enough.
    pub(super) fn shrink(
        &mut self,
        rule: &Arc<Rule>,
        seen: &[Seen],
        ledger: &mut Ledger,
        snapshot: &Snapshot,
        now: Now,
    ) {
        let Some(adds) = rule.adds.as_ref().filter(|_| !rule.dry_run) else { return };
        let Some(grown) = self.state.automation().grown(&rule.name).cloned() else { return };
        let Some(seen) = seen.first() else { return };
        let scope = scope_of(&seen.place);
        if self.queue.is_busy(&scope) {
            return;
        }
        let is_there = |place: &At| find_instance(snapshot, place).is_some();
        if grown.instances.iter().any(|instance| !is_there(&instance.place)) {
            // A person has taken it out, or the file has: it is theirs.
            let mut left = Grown::clone(&grown);
            left.instances.retain(|instance| is_there(&instance.place));
            left.leaving = left.leaving.filter(|leaving| is_there(&leaving.place));
            return self.count(vec![grown_change(rule, left)]);
        }
        let mut step = self.step(rule, &seen.place, "it is quiet again", ledger, now);
        let is_decided = match &grown.leaving {
            None => self.begin_leaving(&mut step, adds, &grown, seen, snapshot, now),
            Some(leaving) => self.go_on_leaving(&mut step, &grown, leaving, seen, snapshot, now),
        };
        if is_decided {
            self.submit_step(step, scope, ledger, snapshot, now);
        }
    }

    /// Drains the newest that no person has ordered anything of.
    fn begin_leaving(
        &mut self,
        step: &mut Step,
        adds: &Adds,
        grown: &Grown,
        seen: &Seen,
        snapshot: &Snapshot,
        now: Now,
    ) -> bool {
        if seen.quiet.is_none_or(|quiet| quiet < adds.quiet) {
            return false;
        }
        let is_ours = |instance: &&Instance| {
            let At { service, pool, upstream } = &instance.place;
            let abouts = [
                About::drain(service, pool, upstream),
                About::breaker(service, pool, Some(upstream)),
            ];
            let orders = abouts.iter().filter_map(|about| self.state.order(about));
            !orders.into_iter().any(|standing| is_persons(standing, now.wall))
        };
        let Some(instance) = grown.instances.iter().rev().find(is_ours) else { return false };
        let place = instance.place.clone();
        let Ok(named) = named(&place) else { return false };
        let order = Order::Upstream { place: named, what: UpstreamOrder::Drain };
        match self.decide_for(&step.rule, &step.why, &order, snapshot, now) {
            Ok(decided) => step.take(decided),
            Err(_) => {
                // Nobody else of the pool takes requests; after another quiet time, perhaps.
                self.automation.watch.begin_quiet(&step.rule.name, &seen.place, now.instant);
                return false;
            }
        }
        let leaving = Some(Leaving { place, since: now.wall });
        let left = Grown { leaving, ..grown.clone() };
        step.change(grown_step(&step.rule, left));
        true
    }

    /// Takes out one that holds no requests any more, or lets it back in where it is wanted again.
    fn go_on_leaving(
        &mut self,
        step: &mut Step,
        grown: &Grown,
        leaving: &Leaving,
        seen: &Seen,
        snapshot: &Snapshot,
        now: Now,
    ) -> bool {
        let Ok(place) = named(&leaving.place) else { return false };
        let held =
            find_instance(snapshot, &leaving.place).map_or(0, |upstream| upstream.in_flight());
        let mut left = Grown { leaving: None, ..grown.clone() };
        let order = |orders: &Orders, what| {
            let order = Order::Upstream { place: place.clone(), what };
            orders.decide_for(&step.rule, &step.why, &order, snapshot, now)
        };
        let is_due = held == 0 || now.wall.elapsed_since(leaving.since) >= DRAINS;
        let removed = match seen.quiet {
            Some(_) if !is_due => return false,
            Some(_) => order(self, UpstreamOrder::Remove).map(|decided| (decided, true)),
            None => order(self, UpstreamOrder::Activate).map(|decided| (decided, false)),
        };
        // Where it may not go now, it stays, and takes requests.
        let (decided, is_out) = match removed {
            Ok(decided) => decided,
            Err(_) => match order(self, UpstreamOrder::Activate) {
                Ok(decided) => (decided, false),
                Err(_) => return false,
            },
        };
        step.take(decided);
        if is_out {
            left.instances.retain(|instance| instance.place != leaving.place);
            step.say(RuleEvent::Shrinks);
            let act = step.begin(deed(&step.rule.then.clone()), None);
            step.call(Act { removed: Some(leaving.place.upstream.clone()), ..act });
        }
        step.change(grown_step(&step.rule, left));
        self.automation.watch.begin_quiet(&step.rule.name, &seen.place, now.instant);
        true
    }
}

fn grown_step(rule: &Rule, grown: Grown) -> automation::Change {
    let is_none = grown.instances.is_empty();
    let grown = (!is_none).then(|| Arc::new(grown));
    automation::Change::Grown { rule: rule.name.clone(), grown }
}

fn grown_change(rule: &Rule, grown: Grown) -> Change {
    Change::Automation(grown_step(rule, grown))
}

fn find_instance<'s>(snapshot: &'s Snapshot, place: &At) -> Option<&'s crate::upstream::Upstream> {
    find_upstream(snapshot, &place.service, &place.pool, &place.upstream)
}

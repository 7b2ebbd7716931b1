//! What becomes of an act once it is done: its cause is over, a person takes back what it ordered, or the
//! rule does so itself when the time is over that it was for.

use super::*;

impl Orders {
    /// Notes where what a rule acted on is over, and where a person has taken back what it ordered.
    pub(super) fn note_what_is_over(&mut self, rule: &Rule, seen: &[Seen], ledger: &Ledger) {
        let mut changed = Vec::new();
        for act in ledger.open_acts(&rule.name) {
            let here = seen.iter().find(|seen| seen.place == act.place);
            let is_over = here.is_none_or(|seen| seen.quiet.is_some_and(|it| it >= rule.lasts));
            let is_undone = rule.orders()
                && matches!(act.end, Some(End::Done(_)))
                && !act.is_back
                && act.undone.is_none()
                && !self.stands(rule, &act.place);
            let mut next = (**act).clone();
            next.is_over |= is_over;
            next.undone = next.undone.or(is_undone.then(|| ledger.now()));
            if next != **act && !self.queue.is_busy(&scope_of(&act.place)) {
                changed.push(Change::Automation(automation::Change::Act(Arc::new(next))));
            }
        }
        self.count(changed);
    }

    /// Whether an order of a rule stands at a place.
    fn stands(&self, rule: &Rule, place: &At) -> bool {
        let about = withholding::about(rule, place);
        let standing = about.and_then(|about| self.state.order(&about));
        standing.is_some_and(|standing| standing.author == author(&rule.name))
    }

    /// Takes back what a rule has ordered for a time that is over.
    pub(super) fn take_back(
        &mut self,
        rule: &Arc<Rule>,
        ledger: &mut Ledger,
        snapshot: &Snapshot,
        now: Now,
    ) {
        let Some(back) = rule.back.filter(|_| !rule.dry_run) else { return };
        let is_due = |act: &&Arc<Act>| {
            matches!(act.end, Some(End::Done(_)))
                && !act.is_back
                && act.undone.is_none()
                && now.wall.elapsed_since(act.at) >= back
        };
        let due: Vec<Arc<Act>> =
            ledger.of_rule(&rule.name).filter(|act| act.counts()).filter(is_due).cloned().collect();
        for act in due {
            let scope = scope_of(&act.place);
            if self.queue.is_busy(&scope) || !self.stands(rule, &act.place) {
                continue;
            }
            let why = format!("it was for {}", in_words(back));
            let mut step = self.step(rule, &act.place, &why, ledger, now);
            let service = act.place.service.to_string();
            let order = match (&rule.then, named(&act.place)) {
                (Then::Drain, Ok(place)) => {
                    Order::Upstream { place, what: UpstreamOrder::Activate }
                }
                (Then::OpenBreaker, Ok(place)) => {
                    Order::Breaker { place, what: BreakerOrder::Auto }
                }
                (Then::Maintenance { .. }, _) => {
                    let from = Some(ModeName::Maintenance);
                    Order::Mode { service, what: ModeOrder::Serve { from } }
                }
                _ => continue,
            };
            // What is refused, as while a rollout has the upstream, is tried again.
            if let Ok(decided) = self.decide_for(rule, &why, &order, snapshot, now) {
                step.take(decided);
                step.put(Act { is_back: true, ..(*act).clone() });
                self.submit_step(step, scope, ledger, snapshot, now);
            }
        }
    }
}

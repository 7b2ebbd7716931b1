//! Whether a rule may act: what all rules have done lately in, yes or why not out.
//!
//! All bounds are counted from the acts that are stored, so that a restart forgives nothing.

use std::sync::Arc;
use std::time::Duration;

use super::{Act, Deed, End, Place, Rule};
use crate::clock::WallTime;

/// What the bound on all rules together is for.
pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// Why a rule does not act now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Something that it did is under way.
    Busy,
    /// It has acted here, and what it did stands or goes on to be enough.
    Done,
    /// It has acted here a short while ago.
    Rests,
    /// A person has taken back what it did here.
    Undone,
    /// It has acted as often as it may.
    Spent,
    /// All rules together have done as much as they may in an hour.
    Bound,
}

/// What all rules have done lately, the newest first.
pub struct Ledger {
    acts: Vec<Arc<Act>>,
    now: WallTime,
}

impl Ledger {
    /// Of these acts, the newest first; what is older than a day plays no part, but what is under way.
    pub fn of<'a>(acts: impl Iterator<Item = &'a Arc<Act>>, now: WallTime) -> Ledger {
        Ledger { acts: acts.cloned().collect(), now }
    }

    /// Adds one that is decided and not stored yet.
    pub fn add(&mut self, act: Arc<Act>) {
        match self.acts.iter().position(|known| known.id == act.id) {
            Some(place) => self.acts[place] = act,
            None => self.acts.insert(0, act),
        }
    }

    /// The number of the next act.
    pub fn next_id(&self) -> u64 {
        self.acts.iter().map(|act| act.id).max().unwrap_or(0) + 1
    }

    /// When it is of.
    pub fn now(&self) -> WallTime {
        self.now
    }

    /// What a rule did of which something may change yet: its last act at each place.
    pub fn open_acts<'a>(&'a self, rule: &'a str) -> Vec<&'a Arc<Act>> {
        let mut open: Vec<&Arc<Act>> = Vec::new();
        for act in self.of_rule(rule).filter(|act| act.counts() && !act.is_under_way()) {
            if !open.iter().any(|known| known.place == act.place) {
                open.push(act);
            }
        }
        open
    }

    /// What a rule did, the newest first.
    pub fn of_rule<'a>(&'a self, rule: &'a str) -> impl Iterator<Item = &'a Arc<Act>> {
        self.acts.iter().filter(move |act| *act.rule == *rule)
    }

    /// What a rule did last at a place, telling aside.
    pub fn last_at<'a>(&'a self, rule: &'a str, place: &Place) -> Option<&'a Arc<Act>> {
        self.of_rule(rule).find(|act| act.counts() && act.place == *place)
    }

    /// What a rule did last, telling aside.
    pub fn last<'a>(&'a self, rule: &'a str) -> Option<&'a Arc<Act>> {
        self.of_rule(rule).find(|act| act.counts())
    }

    fn within(&self, act: &Act, length: Duration) -> bool {
        self.now.elapsed_since(act.at) < length
    }

    /// How much all rules have done in the last hour.
    pub fn in_an_hour(&self) -> usize {
        self.acts.iter().filter(|act| act.counts() && self.within(act, HOUR)).count()
    }

    /// How often a rule has acted within its `per`.
    pub fn done(&self, rule: &Rule) -> usize {
        let lately = |act: &&Arc<Act>| act.counts() && self.within(act, rule.per);
        self.of_rule(&rule.name).filter(lately).count()
    }

    /// Whether a rule may act at a place. `most`: what all rules together may do in an hour.
    pub fn may(&self, rule: &Rule, place: &Place, most: usize) -> Result<(), NotNow> {
        if self.of_rule(&rule.name).any(|act| act.is_under_way()) {
            return Err(NotNow::Busy);
        }
        if let Some(last) = self.last_at(&rule.name, place) {
            let stands = !last.is_over && matches!(last.end, Some(End::Done(_) | End::DryRun));
            if !rule.repeats() && stands {
                return Err(NotNow::Done);
            }
            if last.undone.is_some_and(|at| self.now.elapsed_since(at) < rule.per) {
                return Err(NotNow::Undone);
            }
            let since = last.ended.unwrap_or(last.at).max(last.at);
            if self.now.elapsed_since(since) < rule.cooldown {
                return Err(NotNow::Rests);
            }
        }
        if self.done(rule) >= rule.at_most as usize {
            return Err(NotNow::Spent);
        }
        match self.in_an_hour() >= most {
            true => Err(NotNow::Bound),
            false => Ok(()),
        }
    }

    /// Whether it was told within a rule's `per` that it can do no more at a place.
    pub fn is_escalated(&self, rule: &Rule, place: &Place) -> bool {
        let is_it = |act: &&Arc<Act>| act.deed == Deed::Escalate && act.place == *place;
        self.of_rule(&rule.name).filter(is_it).any(|act| self.within(act, rule.per))
    }

    /// Whether a rule has acted on a rollout already: what people did with it since then stands.
    pub fn has_acted_on(&self, rule: &str, service: &str, rollout: u64) -> bool {
        let is_it = |act: &Arc<Act>| {
            act.counts()
                && *act.place.service == *service
                && act.rollout == Some(rollout)
                && !matches!(act.end, Some(End::Failed(_)))
        };
        self.of_rule(rule).any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Each, Then, When};
    use super::*;
    use crate::rollout::Hook;

    fn rule(then: Then) -> Rule {
        Rule {
            name: "r".into(),
            service: Some("shop".into()),
            pool: None,
            each: Each::Upstream,
            when: When::Down { times: 1 },
            lasts: Duration::ZERO,
            then,
            adds: None,
            back: None,
            at_most: 3,
            per: HOUR,
            cooldown: Duration::from_secs(60),
            escalate_to: None,
            dry_run: false,
        }
    }

    fn call() -> Then {
        let (run, timeout) = (vec!["x".into()], Duration::from_secs(1));
        Then::Call(Hook::Command { run, timeout })
    }

    fn act(id: u64, minute: u64) -> Act {
        Act {
            id,
            rule: "r".into(),
            place: Place::service("shop"),
            deed: Deed::Command,
            why: String::new(),
            at: at(minute),
            end: Some(End::Done(String::new())),
            ended: None,
            is_over: false,
            undone: None,
            is_back: false,
            rollout: None,
            removed: None,
        }
    }

    fn at(minute: u64) -> WallTime {
        WallTime::from_millis(minute * 60_000)
    }

    fn may(acts: &[Act], rule: &Rule, minute: u64, most: usize) -> Result<(), NotNow> {
        let acts: Vec<Arc<Act>> = acts.iter().rev().cloned().map(Arc::new).collect();
        Ledger::of(acts.iter(), at(minute)).may(rule, &Place::service("shop"), most)
    }

    #[test]
    fn three_times_in_an_hour_and_no_more() {
        let rule = rule(call());
        let acts = [act(1, 100), act(2, 110), act(3, 120)];
        assert_eq!(may(&acts[..2], &rule, 120, 9), Ok(()));
        assert_eq!(may(&acts, &rule, 121, 9), Err(NotNow::Spent));
        assert_eq!(may(&acts, &rule, 160, 9), Ok(()), "the first is an hour old");
        assert_eq!(may(&acts[..1], &rule, 100, 9), Err(NotNow::Rests));
        let running = Act { end: None, ..act(1, 100) };
        assert_eq!(may(&[running], &rule, 500, 9), Err(NotNow::Busy));
    }

    #[test]
    fn all_rules_together_are_bounded() {
        let others: Vec<Act> =
            (1..=5).map(|id| Act { rule: "other".into(), ..act(id, 100) }).collect();
        assert_eq!(may(&others, &rule(call()), 110, 5), Err(NotNow::Bound));
        assert_eq!(may(&others, &rule(call()), 110, 6), Ok(()));
        assert_eq!(may(&others, &rule(call()), 160, 5), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_forgives_nothing() {
        let acts = [act(1, 100), act(2, 110), act(3, 120)];
        assert_eq!(may(&acts, &rule(call()), 5, 9), Err(NotNow::Rests));
    }

    #[test]
    fn what_stands_is_not_done_again_until_its_cause_is_over() {
        let rule = rule(Then::Drain);
        assert_eq!(may(&[act(1, 100)], &rule, 900, 9), Err(NotNow::Done));
        let over = Act { is_over: true, ..act(1, 100) };
        assert_eq!(may(std::slice::from_ref(&over), &rule, 900, 9), Ok(()));
        let undone = Act { undone: Some(at(890)), ..over };
        assert_eq!(may(&[undone], &rule, 900, 9), Err(NotNow::Undone));
        let failed = Act { end: Some(End::Failed("no".into())), ..act(1, 100) };
        assert_eq!(may(&[failed], &rule, 900, 9), Ok(()));
    }
}

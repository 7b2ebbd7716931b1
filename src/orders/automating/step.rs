//! One step of a rule while it is decided: acts, what they change and what is told of them, to be stored
//! together.

use super::*;

/// What a rule changes at once.
pub(super) struct Step {
    pub rule: Arc<Rule>,
    pub place: At,
    pub why: String,
    pub next: u64,
    pub now: WallTime,
    pub decided: Decided,
}

impl Step {
    /// An act of the rule, under way.
    pub fn begin(&mut self, deed: Deed, rollout: Option<u64>) -> Act {
        let id = self.next;
        self.next += 1;
        Act {
            id,
            rule: self.rule.name.clone(),
            place: self.place.clone(),
            deed,
            why: self.why.clone(),
            at: self.now,
            end: None,
            ended: None,
            is_over: false,
            undone: None,
            is_back: false,
            rollout,
            removed: None,
        }
    }

    pub fn put(&mut self, act: Act) {
        self.change(automation::Change::Act(Arc::new(act)));
    }

    pub fn change(&mut self, change: automation::Change) {
        self.decided.changes.push(Change::Automation(change));
    }

    pub fn say(&mut self, event: RuleEvent) {
        let said = said(&self.rule.name, &self.place, event, Some(&self.why));
        self.decided.effects.push(Effect::Say(said));
    }

    /// Takes in what an order in the rule's name changes.
    pub fn take(&mut self, decided: Decided) {
        self.decided.changes.extend(decided.changes);
        self.decided.effects.extend(decided.effects);
        if decided.haste != Haste::None {
            self.decided.haste = decided.haste;
        }
    }

    pub fn end(&mut self, act: Act, end: End) {
        self.put(Act { end: Some(end), ended: Some(self.now), ..act });
    }

    /// Somebody is called once the act is stored.
    pub fn call(&mut self, act: Act) {
        let deed = described(&act, &self.rule);
        self.say(RuleEvent::Began { act: act.id, deed });
        let act = Arc::new(act);
        self.change(automation::Change::Act(act.clone()));
        self.decided.effects.push(Effect::Act(act));
    }

    /// An act has come to nothing, which people are told.
    pub fn fail(&mut self, act: Act, why: String) {
        let deed = described(&act, &self.rule);
        self.say(RuleEvent::Failed { act: act.id, deed, why: why.clone() });
        let told = format!("act {} has come to nothing: {why}", act.id);
        self.end(act, End::Failed(why));
        self.escalate(told);
    }

    /// People are told that the rule can do no more.
    pub fn escalate(&mut self, why: String) {
        self.say(RuleEvent::Escalated { why: why.clone(), to: self.rule.escalate_to.clone() });
        let act = self.begin(Deed::Escalate, None);
        self.end(Act { why, ..act }, End::Done(String::new()));
    }
}

/// What an act does, in words.
pub(super) fn described(act: &Act, rule: &Rule) -> String {
    match (&act.removed, act.deed) {
        (Some(removed), _) => format!("{} to end `{removed}`", rule.then),
        (None, Deed::Webhook) => "calls its webhook".into(),
        (None, Deed::Command) => "runs its command".into(),
        (None, _) => rule.then.to_string(),
    }
}

/// An event of a rule.
pub(super) fn said(rule: &str, place: &At, event: RuleEvent, why: Option<&str>) -> Event {
    let (reason, subject) = (why, Subject::new(&place.service, &place.pool, &place.upstream));
    let reason = match &event {
        // They say why themselves.
        RuleEvent::Escalated { .. } => None,
        _ => reason.map(str::to_string),
    };
    let kind = Kind::Rule { rule: rule.into(), event: Box::new(event) };
    Event { kind, subject, author: Some(author(rule)), reason }
}

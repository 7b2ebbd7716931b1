//! What must outlast the process of what rules did: changes in, what is kept out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Act, Place};
use crate::clock::WallTime;

/// Acts remembered, of all rules together: more than a day of as many as there may be in an hour, so
/// that no bound on a day forgets any.
pub const ACTS_KEPT: usize = 3_000;

/// One durable step of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// An act, or what became of one.
    Act(Arc<Act>),
    /// An act is remembered no longer.
    ForgetAct(u64),
    /// All rules are stopped; none once they may act again.
    Stopped(Option<Arc<Stopped>>),
    /// What a rule has added and not taken out; none once there is nothing.
    Grown {
        /// The rule.
        rule: Arc<str>,
        /// What.
        grown: Option<Arc<Grown>>,
    },
}

/// That all rules are stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// By whom.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub at: WallTime,
}

/// The upstreams that a rule has added and not taken out, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// Each of them.
    pub instances: Vec<Instance>,
    /// The one that is on its way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// An upstream that a rule has added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Where.
    pub place: Place,
    /// When.
    pub at: WallTime,
}

/// An upstream that is drained before it is taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Where.
    pub place: Place,
    /// Since when.
    pub since: WallTime,
}

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    acts: BTreeMap<u64, Arc<Act>>,
    stopped: Option<Arc<Stopped>>,
    grown: BTreeMap<Arc<str>, Arc<Grown>>,
}

impl Kept {
    /// Takes in one change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Act(act) => drop(self.acts.insert(act.id, act)),
            Change::ForgetAct(id) => drop(self.acts.remove(&id)),
            Change::Stopped(stopped) => self.stopped = stopped,
            Change::Grown { rule, grown: Some(grown) } => drop(self.grown.insert(rule, grown)),
            Change::Grown { rule, grown: None } => drop(self.grown.remove(&rule)),
        }
    }

    /// The act that is let go of when one comes: the oldest that has ended, once there are as many as
    /// are kept. The newest is never one, so that no number is given twice.
    pub fn gives_way_to(&self, change: &Change) -> Option<Change> {
        let Change::Act(act) = change else { return None };
        let is_over = self.acts.len() >= ACTS_KEPT && !self.acts.contains_key(&act.id);
        let mut ended = self.acts.values().filter(|act| !act.is_under_way());
        ended.next().filter(|_| is_over).map(|act| Change::ForgetAct(act.id))
    }

    /// All of it as changes: applied to nothing, they make this.
    pub fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let grown = self
            .grown
            .iter()
            .map(|(rule, grown)| Change::Grown { rule: rule.clone(), grown: Some(grown.clone()) });
        let stopped = self.stopped.iter().map(|stopped| Change::Stopped(Some(stopped.clone())));
        self.acts.values().cloned().map(Change::Act).chain(stopped).chain(grown)
    }

    /// All acts that are remembered, the newest first.
    pub fn acts(&self) -> impl Iterator<Item = &Arc<Act>> {
        self.acts.values().rev()
    }

    /// One of them.
    pub fn act(&self, id: u64) -> Option<&Arc<Act>> {
        self.acts.get(&id)
    }

    /// That all rules are stopped, if they are.
    pub fn stopped(&self) -> Option<&Arc<Stopped>> {
        self.stopped.as_ref()
    }

    /// What a rule has added and not taken out.
    pub fn grown(&self, rule: &str) -> Option<&Arc<Grown>> {
        self.grown.get(rule)
    }

    /// The same of all rules, those that are gone from the file among them.
    pub fn all_grown(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Grown>)> {
        self.grown.iter()
    }
}

impl Change {
    /// The key of its entry in the store.
    pub fn key(&self) -> String {
        match self {
            Change::Act(act) => act_key(act.id),
            Change::ForgetAct(id) => act_key(*id),
            Change::Stopped(_) => STOPPED.into(),
            Change::Grown { rule, .. } => format!("{GROWN}{rule}"),
        }
    }

    /// Its entry as JSON; none where it takes the entry away.
    ///
    /// # Errors
    ///
    /// None in practice: texts and numbers can be written.
    pub fn json(&self) -> Option<serde_json::Result<String>> {
        match self {
            Change::Act(act) => Some(serde_json::to_string(act)),
            Change::Stopped(Some(stopped)) => Some(serde_json::to_string(stopped)),
            Change::Grown { grown: Some(grown), .. } => Some(serde_json::to_string(grown)),
            Change::ForgetAct(_) | Change::Stopped(None) | Change::Grown { grown: None, .. } => {
                None
            }
        }
    }

    /// The change that an entry was written for; none for what a later version has put there.
    ///
    /// # Errors
    ///
    /// If the JSON is not what such an entry is.
    pub fn read(key: &str, json: &str) -> serde_json::Result<Option<Change>> {
        Ok(Some(if key.starts_with(ACT) {
            Change::Act(serde_json::from_str(json).map(Arc::new)?)
        } else if key == STOPPED {
            Change::Stopped(Some(serde_json::from_str(json).map(Arc::new)?))
        } else if let Some(rule) = key.strip_prefix(GROWN) {
            let grown = Some(serde_json::from_str(json).map(Arc::new)?);
            Change::Grown { rule: rule.into(), grown }
        } else {
            return Ok(None);
        }))
    }
}

const ACT: &str = "act/";
const STOPPED: &str = "stopped";
const GROWN: &str = "grown/";

fn act_key(id: u64) -> String {
    format!("{ACT}{id:020}")
}

#[cfg(test)]
mod tests {
    use super::super::{Deed, End};
    use super::*;

    fn act(id: u64, end: Option<End>) -> Change {
        Change::Act(Arc::new(Act {
            id,
            rule: "restart".into(),
            place: Place::service("shop"),
            deed: Deed::Command,
            why: "down".into(),
            at: WallTime::from_millis(5),
            end,
            ended: None,
            is_over: false,
            undone: None,
            is_back: false,
            rollout: None,
            removed: None,
        }))
    }

    #[test]
    fn what_is_kept_is_read_back_as_it_was() {
        let mut kept = Kept::default();
        let stopped = Stopped { by: "ann".into(), reason: None, at: WallTime::from_millis(7) };
        let instance = Instance { place: Place::service("shop"), at: WallTime::from_millis(9) };
        let leaving = Leaving { place: Place::service("shop"), since: WallTime::from_millis(8) };
        let grown = Grown { instances: vec![instance], leaving: Some(leaving) };
        kept.apply(act(1, Some(End::Failed("it broke".into()))));
        kept.apply(act(2, None));
        kept.apply(Change::Stopped(Some(Arc::new(stopped))));
        kept.apply(Change::Grown { rule: "grow".into(), grown: Some(Arc::new(grown)) });
        let mut again = Kept::default();
        for change in kept.changes() {
            let json = change.json().unwrap().unwrap();
            again.apply(Change::read(&change.key(), &json).unwrap().unwrap());
        }
        assert_eq!(again, kept);
        assert_eq!(Change::read("later/1", "{}").unwrap(), None);
    }

    #[test]
    fn the_oldest_that_has_ended_gives_way_and_none_that_is_under_way() {
        let mut kept = Kept::default();
        kept.apply(act(1, None));
        (2..=ACTS_KEPT as u64).for_each(|id| kept.apply(act(id, Some(End::Unknown))));
        let next = act(ACTS_KEPT as u64 + 1, None);
        assert_eq!(kept.gives_way_to(&next), Some(Change::ForgetAct(2)));
        assert_eq!(kept.gives_way_to(&act(7, None)), None, "it is one that is there");
    }
}

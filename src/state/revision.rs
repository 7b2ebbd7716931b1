//! Numbered traffic states of a service: a draft and the revision before it in, a revision out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rollout::Version;
use crate::split::{Layout, Split};

/// The versions that deploys have put into pools, by pool.
pub type Versions = BTreeMap<Arc<str>, Version>;

/// One numbered traffic state of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Counts from 1 within its service.
    pub number: u64,
    /// How traffic divides.
    pub split: Split,
    /// What the cohorts of this split are hashed with.
    pub salt: u64,
    /// Where the split lies on the cohort range.
    pub layout: Layout,
    /// Who made it so: a person, a token, `file`, a rollout.
    pub author: String,
    /// Why, in the author's words.
    pub reason: Option<String>,
    /// Unix time, in seconds; kept to the millisecond.
    pub at: f64,
    /// What became of it, once that is known.
    pub outcome: Option<String>,
    /// The rollout that it is a step of.
    pub rollout: Option<u64>,
    /// Whether it was made by going back: then there is nothing more to take back.
    pub is_back: bool,
    /// What its pools with traffic ran, as far as it was deployed.
    pub versions: Versions,
}

/// What a revision says before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// How traffic divides.
    pub split: Split,
    /// Who makes it so.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Unix time, in seconds.
    pub at: f64,
    /// The rollout that it is a step of.
    pub rollout: Option<u64>,
    /// Whether it is made by going back.
    pub is_back: bool,
}

/// Somebody else was faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is at revision {current} by now, not at {expected}")]
pub struct LostRace {
    /// The revision that the change was made for.
    pub expected: u64,
    /// The newest there is; 0 for none.
    pub current: u64,
}

impl Draft {
    /// The revision that follows `before`, the newest there is. One that goes back to the traffic of
    /// an earlier one puts every client where it was `then`.
    ///
    /// A revision that leaves a one-sided split begins something new and is salted with its own
    /// number; those after it keep that salt until the split is one-sided again. So each rollout
    /// puts other clients first, nobody is moved by a new salt, and no client moves while one lasts.
    pub fn after(self, before: Option<&Revision>, then: Option<&Revision>) -> Revision {
        let Draft { split, author, reason, at, rollout, is_back } = self;
        let number = before.map_or(1, |before| before.number + 1);
        let divided = before.filter(|before| !before.split.is_one_sided());
        let then = then.filter(|then| then.split == split && !split.is_one_sided());
        let (salt, layout) = match (then, divided) {
            (Some(then), _) => (then.salt, then.layout.clone()),
            (None, Some(divided)) => (divided.salt, divided.layout.after(&split)),
            // Nobody moves when a service that is all on one pool is salted anew.
            (None, None) => (number, Layout::of(&split)),
        };
        let at = (at * 1e3).round() / 1e3;
        let outcome = None;
        Revision {
            number,
            split,
            salt,
            layout,
            author,
            reason,
            at,
            outcome,
            rollout,
            is_back,
            // Whoever knows the pools fills it in.
            versions: Versions::new(),
        }
    }
}

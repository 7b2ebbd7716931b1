//! Numbered traffic states of a service: a draft and the revision before it in, a revision out.

use crate::split::Split;

/// One numbered traffic state of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Counts from 1 within its service.
    pub number: u64,
    /// How traffic divides.
    pub split: Split,
    /// What the cohorts of this split are hashed with.
    pub salt: u64,
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
}

/// Somebody else was faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service is at revision {current} by now, not at {expected}")]
pub struct LostRace {
    /// The revision that the change was made for.
    pub expected: u64,
    /// The newest there is; 0 for none.
    pub current: u64,
}

impl Draft {
    /// The revision that follows `before`, the newest there is.
    pub(super) fn after(self, before: Option<&Revision>) -> Revision {
        let Draft { split, author, reason, at, rollout } = self;
        let number = before.map_or(1, |before| before.number + 1);
        // Nobody moves when a service that is all on one pool is salted anew; so each time it
        // leaves one, other clients are the first to move, and no two services move the same.
        let salt = before.filter(|before| !is_one_sided(&before.split));
        let salt = salt.map_or(number, |before| before.salt);
        let at = (at * 1e3).round() / 1e3;
        Revision { number, split, salt, author, reason, at, outcome: None, rollout }
    }
}

fn is_one_sided(split: &Split) -> bool {
    split.parts().len() == 1
}

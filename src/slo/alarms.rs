//! Whether an objective's budget lets rollouts go on: burn rates and what is left in, states that
//! do not flap out.
//!
//! | State | Is entered | Is left |
//! |---|---|---|
//! | `Hold` | 14.4× or 6× burns | once neither has burnt for 30 minutes |
//! | `Caution` | 3× or 1× burns, or at most 10 % is left | neither burns and 20 % is left |
//! | `Frozen` | nothing is left | 10 % is left |
//!
//! The three are kept apart and the hardest of them shows, so that the end of a fast burn uncovers
//! what it did to the budget.
//!
//! The design's table of defaults says it shorter: freeze below 10 % of the budget or at 14.4× over
//! an hour and 5 minutes, with an audited override. That holds here too: in all three states a
//! rollout is refused unless somebody overrides it with a reason. What differs is what becomes of
//! one under way. Below 10 % it goes on (`Caution`), for the next step may well be the mend; while
//! the budget burns fast or is spent it is held. And 6× over six hours counts as fast, since it
//! spends as much as 14.4× does, only later.
//!
//! A budget whose history is shorter than its window is warming: then what is left says little, and
//! only the two fast rates hold anything.

use super::{Reading, TIERS};
use crate::clock::WallTime;

use std::time::Duration;

/// What a budget lets rollouts do; the later, the harder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All.
    #[default]
    Open,
    /// Go on; a new one needs somebody's word.
    Caution,
    /// Stay where they are, until that has passed; a new one needs somebody's word.
    Hold,
    /// Stay where they are, until there is budget again; a new one needs somebody's word.
    Frozen,
}

/// How long the short window must be well below a rate before that is over: two looks of ten seconds.
const QUIET: Duration = Duration::from_secs(10);

/// How long fast rates must be over before rollouts go on.
const CLEAR: Duration = Duration::from_secs(30 * 60);

/// What of an objective's budget alarms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alarms {
    /// Whether each of [`TIERS`] burns.
    pub(crate) tiers: [Fire; TIERS.len()],
    pub(crate) is_held: bool,
    /// Since when neither of the fast rates burns, while it is held.
    pub(crate) clear_since: Option<WallTime>,
    pub(crate) is_cautious: bool,
    pub(crate) is_frozen: bool,
}

/// Whether a tier burns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fire {
    pub(crate) burns: bool,
    /// Since when it could be over.
    pub(crate) quiet_since: Option<WallTime>,
}

impl State {
    /// All of them.
    pub const ALL: [State; 4] = [State::Open, State::Caution, State::Hold, State::Frozen];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Caution => "caution",
            State::Hold => "hold",
            State::Frozen => "frozen",
        }
    }

    /// Whether rollouts under way stay where they are.
    pub fn holds(self) -> bool {
        self >= State::Hold
    }
}

impl Alarms {
    /// Goes on by what is seen now.
    pub fn look(&mut self, seen: &Reading, now: WallTime) {
        for (fire, tier) in self.tiers.iter_mut().zip(&TIERS) {
            let is_quiet = tier.is_quiet(&seen.burns);
            fire.burns |= tier.fires(&seen.burns);
            if fire.burns && since(&mut fire.quiet_since, is_quiet, now) >= QUIET {
                *fire = Fire::default();
            }
        }
        let is_fast = self.tiers[0].burns || self.tiers[1].burns;
        let is_slow = self.tiers[2].burns || self.tiers[3].burns;
        self.is_held |= is_fast;
        if self.is_held && since(&mut self.clear_since, !is_fast, now) >= CLEAR {
            (self.is_held, self.clear_since) = (false, None);
        }
        if seen.is_warming {
            (self.is_cautious, self.is_frozen) = (false, false);
            return;
        }
        // One error of ten requests is no budget spent.
        let left = if seen.is_enough { seen.remaining } else { 1.0 };
        self.is_frozen = left <= 0.0 || self.is_frozen && left < 0.1;
        self.is_cautious = is_slow || left <= 0.1 || self.is_cautious && left < 0.2;
    }

    /// The hardest state that holds.
    pub fn state(&self) -> State {
        match self {
            Alarms { is_frozen: true, .. } => State::Frozen,
            Alarms { is_held: true, .. } => State::Hold,
            Alarms { is_cautious: true, .. } => State::Caution,
            _ => State::Open,
        }
    }

    /// Which of [`TIERS`] burn.
    pub fn burning(&self) -> [bool; TIERS.len()] {
        self.tiers.map(|fire| fire.burns)
    }
}

/// For how long something has been so; forgets it when it is not.
fn since(from: &mut Option<WallTime>, is_so: bool, now: WallTime) -> Duration {
    // A clock that was set back begins anew.
    *from = is_so.then(|| from.unwrap_or(now).min(now));
    from.map_or(Duration::ZERO, |from| now.elapsed_since(from))
}

#[cfg(test)]
mod tests;

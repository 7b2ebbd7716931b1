//! What can be ordered: traffic, upstreams, breakers, modes, freezes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::snapshot::Mode;
use crate::split::BasisPoints;
use crate::upstream::Address;

/// Who asks for a change, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// A person, a token, `file`.
    pub author: String,
    /// In the author's words.
    pub reason: Option<String>,
    /// The revision the change is meant for; none changes whatever is there.
    pub expected: Option<u64>,
    /// Even if a pool that gets more has no upstream that takes requests.
    pub force: bool,
}

impl Order {
    /// An order that is meant for whatever is there.
    pub fn of(author: &str, reason: Option<&str>) -> Order {
        Order {
            author: author.into(),
            reason: reason.map(Into::into),
            expected: None,
            force: false,
        }
    }
}

/// What a service's mode is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeOrder {
    /// It serves again.
    Serve {
        /// Only if this is what it does now.
        from: Option<ModeName>,
    },
    /// New requests wait.
    Hold {
        /// How long at most.
        length: Duration,
        /// How many at most.
        most: usize,
    },
    /// New requests are told to come back later.
    Maintenance {
        /// What they are told.
        message: Option<String>,
    },
}

/// A mode without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeName {
    /// It serves.
    Serve,
    /// New requests wait.
    Hold,
    /// New requests are told to come back later.
    Maintenance,
}

impl ModeName {
    /// That of a mode.
    pub fn of(mode: &Mode) -> ModeName {
        match mode {
            Mode::Serve => ModeName::Serve,
            Mode::Hold { .. } => ModeName::Hold,
            Mode::Maintenance { .. } => ModeName::Maintenance,
        }
    }
}

impl std::fmt::Display for ModeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ModeName::Serve => "serving",
            ModeName::Hold => "held",
            ModeName::Maintenance => "in maintenance",
        })
    }
}

/// A pool, or one upstream of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The service.
    pub service: String,
    /// The pool.
    pub pool: String,
    /// The upstream; none for the pool as a whole.
    pub upstream: Option<Address>,
}

/// What becomes of one upstream of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamOrder {
    /// It takes requests.
    Activate,
    /// It ends those it has and takes no more.
    Drain,
    /// It joins the pool, or gets another weight.
    Add {
        /// Relative to the others of the pool; none leaves it as it is.
        weight: Option<u16>,
    },
    /// It leaves the pool; requests it holds end.
    Remove,
}

/// What is said of a service's rollouts above what its error budgets say. Each takes the place of the
/// other; each needs a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeOrder {
    /// None starts and none goes on.
    Freeze {
        /// For how long at most; none until it is lifted.
        length: Option<Duration>,
    },
    /// A freeze by order ends.
    Lift,
    /// They go on, whatever the budgets say.
    Override {
        /// For how long at most.
        length: Duration,
    },
}

/// What a service's traffic is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These shares; pools left out get nothing.
    Weights(BTreeMap<String, BasisPoints>),
    /// Everything to one pool.
    Flip {
        /// The pool.
        pool: String,
    },
    /// As it was.
    Back {
        /// The revision; none for the one before the last change, where the steps of one rollout
        /// are one change.
        to: Option<u64>,
    },
}

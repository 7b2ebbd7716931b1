//! What stands until somebody takes it back: overrides and flags; and events as they are kept.

use crate::clock::WallTime;
use crate::split::BasisPoints;
use crate::upstream::BreakerOrder;

/// Something an operator (or a rollout) put above what config and probes say.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// What is so, and where.
    pub what: What,
    /// Who made it so.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub at: WallTime,
    /// Until when, if it ends by itself. The store keeps it until it is cleared.
    pub until: Option<WallTime>,
}

/// What an override says. Addresses are as people write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An upstream gets no new requests.
    Drain {
        /// Its service.
        service: String,
        /// Its pool.
        pool: String,
        /// Its address.
        upstream: String,
    },
    /// A breaker does not decide by itself.
    Breaker {
        /// Its service.
        service: String,
        /// Its pool.
        pool: String,
        /// The upstream; none for the pool's own breaker.
        upstream: Option<String>,
        /// What it does instead.
        order: BreakerOrder,
    },
    /// New requests of a service wait.
    Hold {
        /// The service.
        service: String,
        /// How many at most.
        most: usize,
    },
    /// New requests of a service are told to come back later.
    Maintenance {
        /// The service.
        service: String,
        /// What they are told.
        message: Option<String>,
    },
    /// A pool has other upstreams than the file says.
    Upstreams {
        /// Its service.
        service: String,
        /// The pool.
        pool: String,
        /// Address and weight of each.
        list: Vec<(String, u16)>,
    },
    /// A pool's version cannot run any more: the schema was narrowed.
    Contracted {
        /// Its service.
        service: String,
        /// The pool.
        pool: String,
        /// The rollout that did it.
        by_rollout: u64,
    },
    /// Nobody may start a rollout of a service, and those under way stay where they are.
    Freeze {
        /// The service.
        service: String,
    },
    /// Rollouts of a service go on whatever its error budgets say.
    Lifted {
        /// The service.
        service: String,
        /// Only this rollout, which was started so; none for all of them.
        rollout: Option<u64>,
    },
}

/// What an override is about; of each there is one at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OverrideKey {
    /// Whether an upstream is drained.
    Drain {
        /// Its service.
        service: String,
        /// Its pool.
        pool: String,
        /// Its address.
        upstream: String,
    },
    /// What a breaker does.
    Breaker {
        /// Its service.
        service: String,
        /// Its pool.
        pool: String,
        /// The upstream; none for the pool's own breaker.
        upstream: Option<String>,
    },
    /// Whether a service serves: it is held or in maintenance, never both.
    Mode {
        /// The service.
        service: String,
    },
    /// Which upstreams a pool has.
    Upstreams {
        /// Its service.
        service: String,
        /// The pool.
        pool: String,
    },
    /// Whether a pool's version can run.
    Contracted {
        /// Its service.
        service: String,
        /// The pool.
        pool: String,
    },
    /// Whether rollouts of a service are frozen.
    Freeze {
        /// The service.
        service: String,
    },
    /// Whether error budgets are heeded.
    Lifted {
        /// The service.
        service: String,
        /// By one rollout; none for all.
        rollout: Option<u64>,
    },
}

impl What {
    /// What it is about.
    pub fn key(&self) -> OverrideKey {
        match self.clone() {
            What::Drain { service, pool, upstream } => {
                OverrideKey::Drain { service, pool, upstream }
            }
            What::Breaker { service, pool, upstream, .. } => {
                OverrideKey::Breaker { service, pool, upstream }
            }
            What::Hold { service, .. } | What::Maintenance { service, .. } => {
                OverrideKey::Mode { service }
            }
            What::Upstreams { service, pool, .. } => OverrideKey::Upstreams { service, pool },
            What::Contracted { service, pool, .. } => OverrideKey::Contracted { service, pool },
            What::Freeze { service } => OverrideKey::Freeze { service },
            What::Lifted { service, rollout } => OverrideKey::Lifted { service, rollout },
        }
    }
}

/// One numbered state of a feature flag.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagState {
    /// The share of cohorts that has it.
    pub percent: BasisPoints,
    /// Counts from 1 within its flag.
    pub revision: u64,
    /// Who made it so.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: WallTime,
}

/// An event as it is kept: in words, which no later version has to understand. Empty parts of its
/// place are meant as a whole.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredEvent {
    /// Counts up over all events of the store.
    pub number: u64,
    /// When.
    pub at: WallTime,
    /// What kind, such as `breaker`.
    pub kind: String,
    /// What exactly; empty if an older version noted it.
    #[serde(default)]
    pub code: String,
    /// How bad, such as `high`.
    #[serde(default)]
    pub severity: String,
    /// The service.
    #[serde(default)]
    pub service: String,
    /// The pool.
    #[serde(default)]
    pub pool: String,
    /// The upstream.
    #[serde(default)]
    pub upstream: String,
    /// What happened.
    pub what: String,
    /// Who did it, if somebody did.
    #[serde(default)]
    pub author: Option<String>,
    /// Why, in the author's words.
    #[serde(default)]
    pub reason: Option<String>,
}

//! What can be ordered: traffic, upstreams, breakers, modes, rollouts, freezes, flags, the file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{DeployOrder, IncidentOrder};
use crate::config::Config;
use crate::incident::Alert;
use crate::rollout::{self, Wishes};
use crate::snapshot::{Mode, Resolved};
use crate::split::BasisPoints;
use crate::upstream::{Address, BreakerOrder, Label, Labels};

/// Something that is to be changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A service's split.
    Shift {
        /// The service.
        service: String,
        /// What it becomes.
        to: TrafficOrder,
    },
    /// One upstream of a pool.
    Upstream {
        /// Which.
        place: Place,
        /// What becomes of it.
        what: UpstreamOrder,
    },
    /// All upstreams of a service that have a label are drained, or let back in.
    Labelled {
        /// The service.
        service: String,
        /// The pool alone that is meant; none for all.
        pool: Option<String>,
        /// The label.
        label: Label,
        /// Whether they are drained.
        drains: bool,
    },
    /// A breaker.
    Breaker {
        /// Whose.
        place: Place,
        /// What it does.
        what: BreakerOrder,
    },
    /// A service's mode.
    Mode {
        /// The service.
        service: String,
        /// What it becomes.
        what: ModeOrder,
    },
    /// A rollout is to start.
    StartRollout {
        /// The service.
        service: String,
        /// What is wished for.
        wishes: Box<Wishes>,
    },
    /// A version is to be put into a pool, and a rollout to it to start.
    Deploy {
        /// The service.
        service: String,
        /// What.
        what: Box<DeployOrder>,
    },
    /// The rollout of a service that is under way.
    Rollout {
        /// The service.
        service: String,
        /// What is to be done.
        what: rollout::Order,
    },
    /// What is said of a service's rollouts above its error budgets.
    Freeze {
        /// The service.
        service: String,
        /// What.
        what: FreezeOrder,
    },
    /// A feature flag.
    Flag {
        /// The flag.
        name: String,
        /// Its share; none for the state before the last order.
        percent: Option<BasisPoints>,
    },
    /// All rules of the automation are stopped, or may act again.
    Automation {
        /// Whether they are stopped.
        stops: bool,
    },
    /// An incident.
    Incident(Box<IncidentOrder>),
    /// What somebody says of alerts.
    Alerts(Vec<Alert>),
    /// A config that was checked is to be in force.
    Reload {
        /// The config.
        config: Arc<Config>,
        /// What differs from what is in force, in words.
        changes: Vec<String>,
        /// What names resolve to that the config brings along.
        learnt: Resolved,
        /// Whether what was ordered of what is not in it any more is forgotten.
        forgets: bool,
    },
}

/// What an order is about as a whole: while a change of one of them waits for the disk, further
/// orders of it wait undecided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Service(Arc<str>),
    Flag(Arc<str>),
    Automation,
    Incidents,
    Everything,
}

impl Scope {
    pub fn meets(&self, other: &Scope) -> bool {
        *self == Scope::Everything || *other == Scope::Everything || self == other
    }

    pub fn is_of(&self, service: &str) -> bool {
        matches!(self, Scope::Service(of) if **of == *service)
    }
}

impl Order {
    /// The config of a file that was read; what vanishes from it is kept.
    #[cfg(any(test, fuzzing))]
    pub(super) fn reload(config: Arc<Config>) -> Order {
        Order::Reload { config, changes: Vec::new(), learnt: Resolved::new(), forgets: false }
    }

    pub(super) fn scope(&self) -> Scope {
        match self {
            Order::Shift { service, .. }
            | Order::Labelled { service, .. }
            | Order::Mode { service, .. }
            | Order::StartRollout { service, .. }
            | Order::Deploy { service, .. }
            | Order::Rollout { service, .. }
            | Order::Freeze { service, .. } => Scope::Service(service.as_str().into()),
            Order::Upstream { place, .. } | Order::Breaker { place, .. } => {
                Scope::Service(place.service.as_str().into())
            }
            Order::Flag { name, .. } => Scope::Flag(name.as_str().into()),
            Order::Automation { .. } => Scope::Automation,
            Order::Incident(order) => match &**order {
                // They freeze services, and let them go.
                IncidentOrder::Open { freezes: true, .. } | IncidentOrder::Close { .. } => {
                    Scope::Everything
                }
                _ => Scope::Incidents,
            },
            Order::Alerts(_) => Scope::Incidents,
            Order::Reload { .. } => Scope::Everything,
        }
    }

    /// Whether it may be one that takes traffic away from something sick, and does not wait for the disk then.
    pub(super) fn may_be_urgent(&self) -> bool {
        matches!(
            self,
            Order::Rollout { what: rollout::Order::Abort, .. }
                | Order::Shift { to: TrafficOrder::Back { .. }, .. }
                | Order::Upstream { what: UpstreamOrder::Drain, .. }
                | Order::Labelled { drains: true, .. }
        )
    }
}

/// Who asks for a change, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// A person, a token, `file`.
    pub author: String,
    /// In the author's words.
    pub reason: Option<String>,
    /// The revision the change is meant for; none changes whatever is there.
    pub expected: Option<u64>,
    /// Even if nobody of a pool that gets more would take requests.
    pub force: bool,
}

impl By {
    /// Somebody who means whatever is there.
    pub fn new(author: &str, reason: Option<&str>) -> By {
        By { author: author.into(), reason: reason.map(Into::into), expected: None, force: false }
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
    /// It joins the pool, or gets another weight or other labels.
    Add {
        /// Relative to the others of the pool; none leaves it as it is.
        weight: Option<u16>,
        /// All that it has; none leaves them as they are.
        labels: Option<Labels>,
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
pub enum TrafficOrder {
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

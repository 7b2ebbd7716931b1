//! Why what was ordered has not happened.

use super::ModeName;
use crate::incident::NotNow;
use crate::rollout::{OrderRefused, PlanRefused, Tag};
use crate::snapshot::Dead;
use crate::split::SplitError;
use crate::state::LostRace;

/// What this process does at an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It takes orders.
    Admin,
    /// It accepts requests.
    Accept,
}

impl std::fmt::Display for Does {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Does::Admin => "has its admin API",
            Does::Accept => "accepts requests",
        })
    }
}

/// Why a change was not made. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such service.
    #[error("no service is named `{0}`")]
    NoService(String),
    /// No such pool.
    #[error("service `{service}` has no pool named `{pool}`")]
    NoPool {
        /// The service asked of.
        service: String,
        /// The name given.
        pool: String,
    },
    /// No such upstream.
    #[error("pool `{pool}` has no upstream `{address}`")]
    NoUpstream {
        /// The pool asked of.
        pool: String,
        /// The address given.
        address: String,
    },
    /// The weights are no split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Another change came first.
    #[error(transparent)]
    LostRace(#[from] LostRace),
    /// The pool could not take the traffic.
    #[error("pool `{pool}` {why}")]
    DeadPool {
        /// The pool.
        pool: String,
        /// Why not.
        why: Dead,
    },
    /// It is in another mode than the order is for.
    #[error("service `{service}` is {is}")]
    OtherMode {
        /// The service asked of.
        service: String,
        /// What it does.
        is: ModeName,
    },
    /// It is in the pool already, with this weight.
    #[error("pool `{pool}` has `{address}` already, with this weight")]
    Known {
        /// The pool asked of.
        pool: String,
        /// The address given.
        address: String,
    },
    /// It is where the admin API is.
    #[error("`{address}` is this Pointsman's own admin API, which is no upstream")]
    OwnAdmin {
        /// The address given.
        address: String,
    },
    /// It is where requests are accepted.
    #[error(
        "`{address}` is where this Pointsman accepts requests, which would come back again and again"
    )]
    OwnListener {
        /// The address given.
        address: String,
    },
    /// By a file this process would come to be where an order has put an upstream.
    #[error(
        "by this file Pointsman {does} at `{address}`, which is an upstream of pool `{pool}` of `{service}` by \
         order; `pointsman upstream remove {service}/{pool} {address}` takes it out"
    )]
    OrderedOwn {
        /// The service.
        service: String,
        /// The pool.
        pool: String,
        /// The address, as it was ordered.
        address: String,
        /// What would be done there.
        does: Does,
    },
    /// A pool that gets traffic would have nobody left.
    #[error("`{address}` is the last upstream of pool `{pool}` that takes requests")]
    Last {
        /// The pool asked of.
        pool: String,
        /// The address given.
        address: String,
    },
    /// No upstream of the service has the label.
    #[error("no upstream of `{service}` has the label `{label}`")]
    NoLabel {
        /// The service asked of.
        service: String,
        /// The label given.
        label: String,
    },
    /// A pool that gets traffic would have nobody left, for as long as it is drained.
    #[error("`{address}` is the last upstream of pool `{pool}` that takes requests")]
    LastDrained {
        /// The pool asked of.
        pool: String,
        /// The address given.
        address: String,
    },
    /// It came with a name.
    #[error("`{address}` is what the name `{name}` resolves to; remove the name")]
    Named {
        /// The address given.
        address: String,
        /// The name in the pool.
        name: String,
    },
    /// A rollout moves the service's traffic.
    #[error("rollout {id} of `{service}` to `{to}` is under way")]
    RolloutUnderWay {
        /// The service asked of.
        service: String,
        /// The rollout's number.
        id: u64,
        /// Its target.
        to: String,
    },
    /// A version is being deployed.
    #[error("{} is being deployed to `{to}` of `{service}`: rollout {id} is under way", version(.tag))]
    DeployUnderWay {
        /// The service asked of.
        service: String,
        /// The rollout's number.
        id: u64,
        /// Its target.
        to: String,
        /// What people call the version.
        tag: Option<Tag>,
    },
    /// Every pool has something else to do.
    #[error("no pool of `{service}` is free for a version: {}", .why.join(", "))]
    NoFreePool {
        /// The service asked of.
        service: String,
        /// Each pool and what keeps it from being taken.
        why: Vec<String>,
    },
    /// Several pools could take it.
    #[error("several pools of `{service}` are free for a version: {}", .pools.join(", "))]
    FreePools {
        /// The service asked of.
        service: String,
        /// Their names in quotes.
        pools: Vec<String>,
    },
    /// A deploy goes from one pool to another.
    #[error("`{0}` rolls out inside one pool, and a deploy moves traffic to another one")]
    DeployRolls(String),
    /// The version that gets traffic now is there.
    #[error(
        "`{address}` is in pool `{pool}`, which gets traffic: a version of its own needs a place of its own"
    )]
    HasTraffic {
        /// The pool that has it.
        pool: String,
        /// The address given.
        address: String,
    },
    /// An order that stands would keep requests from it.
    #[error("pool `{pool}` could not take requests for an order that stands: {what}")]
    KeptOut {
        /// The pool.
        pool: String,
        /// The order in words.
        what: String,
    },
    /// It would take out what is none of its networks.
    #[error(
        "this would take `{address}` out of pool `{pool}`, which is not in the token's networks"
    )]
    OutOfReach {
        /// The pool.
        pool: String,
        /// What it has.
        address: String,
    },
    /// It gets requests beside its share of the traffic.
    #[error("pool `{pool}` {is}: it would get requests before the version there has proved well")]
    OtherUse {
        /// The pool.
        pool: String,
        /// What it is used for.
        is: &'static str,
    },
    /// A file would have it get requests beside its share, while a version is being deployed there.
    #[error(
        "{} is being deployed to `{pool}` of `{service}` by rollout {id}; by this file the pool {is}: it would get requests before the version there has proved well", version(.tag)
    )]
    UnderDeploy {
        /// The service.
        service: String,
        /// The rollout's number.
        id: u64,
        /// Its target.
        pool: String,
        /// What people call the version.
        tag: Option<Tag>,
        /// What the pool would be used for.
        is: &'static str,
    },
    /// A deploy that has moved nothing has its place.
    #[error(
        "{} is being deployed to `{pool}` by rollout {id}; whether what the pool had before could take requests is not known", version(.tag)
    )]
    TakenByDeploy {
        /// The service asked of.
        service: String,
        /// The rollout's number.
        id: u64,
        /// Its target.
        pool: String,
        /// What people call the version.
        tag: Option<Tag>,
    },
    /// The pool runs another version than then.
    #[error("pool `{pool}` has {now} by now{}", had(.was, .revision))]
    OtherVersion {
        /// The pool.
        pool: String,
        /// What it runs.
        now: String,
        /// What it ran.
        was: Option<String>,
        /// The revision asked for.
        revision: u64,
    },
    /// A rollout that has moved nothing yet is the last change: there is nothing to take back.
    #[error("rollout {id} of `{service}` is under way and has moved nothing yet")]
    NothingMoved {
        /// The service asked of.
        service: String,
        /// The rollout's number.
        id: u64,
    },
    /// Rollouts of the service are frozen, or its error budget keeps them back.
    #[error("no rollout of `{service}` starts: {why}")]
    Frozen {
        /// The service asked of.
        service: String,
        /// Why.
        why: String,
    },
    /// It is not frozen by order.
    #[error("rollouts of `{service}` are not frozen by anybody{}", kept_back(.why))]
    NotFrozen {
        /// The service asked of.
        service: String,
        /// Why they are kept back all the same, if they are.
        why: Option<String>,
    },
    /// What is said above an error budget is kept with a reason.
    #[error("this needs a reason")]
    NoReason,
    /// There is none to give an order to.
    #[error("no rollout of `{0}` is under way")]
    NoRollout(String),
    /// It cannot be planned so.
    #[error(transparent)]
    Plan(#[from] PlanRefused),
    /// It makes no sense now.
    #[error(transparent)]
    Rollout(#[from] OrderRefused),
    /// No such revision is remembered.
    #[error("service `{service}` has no revision {number} any more, or never had")]
    NoRevision {
        /// The service asked of.
        service: String,
        /// The number given.
        number: u64,
    },
    /// There is nothing to go back to.
    #[error("service `{0}` has no state before this one")]
    NothingBefore(String),
    /// The version cannot run any more.
    #[error("version `{pool}` cannot run on the contracted schema")]
    Contracted {
        /// Its pool.
        pool: String,
    },
    /// No such flag.
    #[error("no flag is named `{0}`")]
    NoFlag(String),
    /// No such incident.
    #[error("there is no incident {0}, or it is remembered no longer")]
    NoIncident(u64),
    /// It cannot be done with an incident as it stands.
    #[error("incident {id}: {why}")]
    IncidentNot {
        /// Which.
        id: u64,
        /// Why not.
        why: NotNow,
    },
    /// As many alerts fire as are kept.
    #[error("{0} alerts fire, and no more are kept; nothing of this call was taken")]
    TooManyAlerts(usize),
    /// A flag that nobody has set cannot be taken back.
    #[error("flag `{0}` has no state before this one")]
    FlagAsInFile(String),
    /// The store did not take it.
    #[error("{0}")]
    Store(String),
    /// The disk had not begun with it in time.
    #[error("the disk has not taken it in time; nothing was changed")]
    Withdrawn,
    /// What takes traffic from something sick came meanwhile.
    #[error("nothing was changed, because meanwhile: {by}")]
    GaveWay {
        /// What came.
        by: String,
    },
    /// It is stored, but something decided later is in force.
    #[error("it is stored{}, but what was decided after it is in force: {by}", of_revision(.revision))]
    Overtaken {
        /// The revision that it made.
        revision: Option<u64>,
        /// What is in force.
        by: String,
    },
    /// The disk has it in its hands and does not answer.
    #[error(
        "the disk does not answer: whether this is changed is not known{}",
        would_be(.revision)
    )]
    Unknown {
        /// The revision that it would make.
        revision: Option<u64>,
    },
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

fn version(tag: &Option<Tag>) -> String {
    tag.as_ref().map_or_else(|| "a version".into(), Tag::to_string)
}

fn had(was: &Option<String>, revision: &u64) -> String {
    match was {
        Some(was) => format!("; it had {was} in revision {revision}"),
        None => format!("; it had other upstreams in revision {revision}"),
    }
}

fn kept_back(why: &Option<String>) -> String {
    why.as_ref().map_or_else(String::new, |why| format!(", but kept back: {why}"))
}

fn of_revision(revision: &Option<u64>) -> String {
    revision.map_or_else(String::new, |number| format!(" as revision {number}"))
}

fn would_be(revision: &Option<u64>) -> String {
    revision.map_or_else(String::new, |number| format!("; it would be revision {number}"))
}

//! What happens to a rollout and is worth telling: each thing with what it tells, its weight and its
//! words.

use std::sync::Arc;

use super::{Deploy, Order, Task, TaskError};
use crate::split::BasisPoints;

/// Something that happened to a rollout.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It has started.
    Started {
        /// The pool that traffic is to leave.
        from: Arc<str>,
        /// The pool that is to get it.
        to: Arc<str>,
        /// The version that was put there for this.
        deploy: Option<Deploy>,
    },
    /// The target has the upstreams again that it had before the deploy.
    GivenBack {
        /// The target.
        pool: Arc<str>,
    },
    /// It has started to renew a pool, upstream by upstream.
    RenewalStarted {
        /// The pool.
        pool: Arc<str>,
    },
    /// Somebody wants it to go on; that it stops says so itself.
    Ordered {
        /// What.
        order: Order,
    },
    /// The target has another share.
    Stepped {
        /// The target.
        to: Arc<str>,
        /// Its share.
        share: BasisPoints,
    },
    /// The target is about to get more than one upstream has ever carried well.
    Overloads {
        /// The target.
        to: Arc<str>,
        /// Its share.
        share: BasisPoints,
        /// What is too much, in words.
        what: String,
    },
    /// It goes on though nobody knows whether the target is well.
    SteppedWithoutVerdict {
        /// Why nobody knows.
        why: String,
    },
    /// It stays where it is until somebody decides.
    Paused {
        /// What kind of trouble it has.
        trouble: Trouble,
        /// The trouble in words.
        why: String,
    },
    /// Somebody keeps it where it is.
    PausedByOrder,
    /// It is paused no more.
    Resumed,
    /// What its judge had heard cannot be read by this version: its step begins anew.
    BegunAnew,
    /// The error budget keeps it where it is.
    Held {
        /// Why.
        why: String,
    },
    /// The error budget lets it go on.
    LetGo,
    /// The Prometheus server has no answer, without which it does not go on.
    Unmeasured {
        /// What it was asked.
        query: String,
        /// Why it has none.
        why: String,
    },
    /// The Prometheus server has an answer again.
    Measured,
    /// The target was away for a moment and is back; the step waits for evidence that it is fine.
    WasAway {
        /// The target.
        to: Arc<str>,
        /// Its only upstream, if it has one only.
        upstream: Option<Arc<str>>,
        /// For how many seconds.
        seconds: u64,
    },
    /// A task has failed that holds nothing up.
    TaskFailed {
        /// Which.
        task: Task,
        /// Why.
        why: TaskError,
    },
    /// An upstream was renewed.
    Renewed {
        /// Its address.
        upstream: Arc<str>,
    },
    /// An upstream was taken out and is not let in.
    StaysOut {
        /// Its address.
        upstream: Arc<str>,
    },
    /// It has ended well.
    Promoted {
        /// The target.
        to: Arc<str>,
    },
    /// It has ended well: its pool is renewed.
    RenewalEnded {
        /// The service.
        service: Arc<str>,
        /// The pool.
        pool: Arc<str>,
        /// Upstreams that stay drained.
        left_out: Vec<Arc<str>>,
    },
    /// It took traffic back, because of this.
    RolledBack {
        /// The evidence.
        why: String,
    },
    /// Somebody took it back.
    Aborted,
    /// It has ended before any traffic moved.
    Failed {
        /// Why.
        why: String,
    },
    /// The service's traffic was changed past it.
    Superseded {
        /// By what.
        by: String,
        /// Whether that took its traffic back.
        is_rollback: bool,
    },
}

/// What a paused rollout has trouble with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// What the judge or the guard has seen.
    Verdict,
    /// The target fails, and the pool before it cannot take its traffic.
    NoWayBack,
    /// Something that was in force against it was lost with the process.
    Unstored,
    /// Too few requests came to say anything.
    TooFew,
    /// The target is not healthy.
    NotReady,
    /// The judge has said nothing in time.
    NoVerdict,
    /// This upstream did not come back.
    Upstream(Arc<str>),
    /// This task failed.
    Task(Task),
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doer {
    /// Who started the rollout.
    Starter,
    /// Who gave the order that it follows from.
    Orderer,
    /// The judge, or what stands in for it.
    Judge,
    /// The rollout, as planned.
    Plan,
}

/// How much something matters to who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As planned.
    Note,
    /// It has ended as planned.
    End,
    /// Somebody may have to do something.
    Warning,
    /// Traffic was taken back.
    Failure,
    /// Users suffer, and it can do nothing about it.
    Alarm,
}

impl Event {
    /// How much it matters.
    pub fn weight(&self) -> Weight {
        match self {
            Event::Started { .. }
            | Event::GivenBack { .. }
            | Event::RenewalStarted { .. }
            | Event::Ordered { .. }
            | Event::Stepped { .. }
            | Event::PausedByOrder
            | Event::Resumed
            | Event::LetGo
            | Event::Measured
            | Event::Renewed { .. }
            | Event::Superseded { is_rollback: false, .. } => Weight::Note,
            Event::Promoted { .. } | Event::RenewalEnded { .. } => Weight::End,
            Event::Overloads { .. }
            | Event::SteppedWithoutVerdict { .. }
            | Event::BegunAnew
            | Event::Held { .. }
            | Event::Unmeasured { .. }
            | Event::WasAway { .. }
            | Event::TaskFailed { .. }
            | Event::StaysOut { .. }
            | Event::Aborted
            | Event::Failed { .. }
            | Event::Superseded { is_rollback: true, .. } => Weight::Warning,
            Event::Paused { trouble, .. } => match trouble {
                Trouble::NoWayBack | Trouble::Unstored => Weight::Alarm,
                _ => Weight::Warning,
            },
            Event::RolledBack { .. } => Weight::Failure,
        }
    }

    /// Who did it.
    pub fn doer(&self) -> Doer {
        match self {
            Event::Started { .. } | Event::RenewalStarted { .. } => Doer::Starter,
            Event::Ordered { .. }
            | Event::PausedByOrder
            | Event::Aborted
            | Event::Superseded { .. } => Doer::Orderer,
            Event::RolledBack { .. } => Doer::Judge,
            Event::Paused { trouble, .. } => match trouble {
                Trouble::Verdict | Trouble::NoWayBack | Trouble::TooFew | Trouble::NoVerdict => {
                    Doer::Judge
                }
                Trouble::Unstored | Trouble::NotReady | Trouble::Upstream(_) | Trouble::Task(_) => {
                    Doer::Plan
                }
            },
            _ => Doer::Plan,
        }
    }

    /// What exactly happened, in one word that no later version changes.
    pub fn code(&self) -> &'static str {
        match self {
            Event::Started { deploy: None, .. } => "rollout-started",
            Event::Started { deploy: Some(_), .. } => "deploy-started",
            Event::GivenBack { .. } => "deploy-given-back",
            Event::RenewalStarted { .. } => "renewal-started",
            Event::Ordered { .. } => "rollout-ordered",
            Event::Stepped { .. } => "rollout-stepped",
            Event::Overloads { .. } => "rollout-overloads",
            Event::SteppedWithoutVerdict { .. } => "rollout-stepped-without-verdict",
            Event::Paused { .. } => "rollout-paused",
            Event::PausedByOrder => "rollout-paused-by-order",
            Event::Resumed => "rollout-resumed",
            Event::BegunAnew => "rollout-step-begun-anew",
            Event::Held { .. } => "rollout-held",
            Event::LetGo => "rollout-let-go",
            Event::Unmeasured { .. } => "rollout-unmeasured",
            Event::Measured => "rollout-measured",
            Event::WasAway { .. } => "rollout-target-was-away",
            Event::TaskFailed { .. } => "rollout-task-failed",
            Event::Renewed { .. } => "upstream-renewed",
            Event::StaysOut { .. } => "upstream-stays-out",
            Event::Promoted { .. } => "rollout-promoted",
            Event::RenewalEnded { .. } => "renewal-ended",
            Event::RolledBack { .. } => "rollout-rolled-back",
            Event::Aborted => "rollout-aborted",
            Event::Failed { .. } => "rollout-failed",
            Event::Superseded { .. } => "rollout-superseded",
        }
    }

    /// What it names that tells it from others of its kind in the same rollout.
    pub fn named(&self) -> String {
        match self {
            Event::Ordered { order } => format!("{order:?}"),
            Event::Stepped { share, .. } | Event::Overloads { share, .. } => share.to_string(),
            Event::Paused { trouble, .. } => match trouble {
                Trouble::Upstream(upstream) => upstream.to_string(),
                Trouble::Task(task) => task.words(),
                trouble => format!("{trouble:?}"),
            },
            Event::TaskFailed { task, .. } => task.words(),
            Event::Renewed { upstream } | Event::StaysOut { upstream } => upstream.to_string(),
            _ => String::new(),
        }
    }

    /// As people are told of it: `rollout 7 goes on`.
    pub fn words(&self, id: u64) -> String {
        match self {
            Event::Started { from, to, deploy: None } => {
                format!("rollout {id} from `{from}` to `{to}` has started")
            }
            Event::Started { from, to, deploy: Some(deploy) } => {
                let deploy = deploy.words();
                format!("rollout {id} from `{from}` to `{to}` has started: deploys {deploy}")
            }
            Event::GivenBack { pool } => {
                format!("rollout {id}: pool `{pool}` has its upstreams back")
            }
            Event::RenewalStarted { pool } => format!("rollout {id} renews pool `{pool}`"),
            Event::Ordered { order } => format!("rollout {id}: {} was ordered", noun(*order)),
            Event::Stepped { to, share } => format!("rollout {id}: `{to}` gets {share} %"),
            Event::Overloads { share, what, .. } => {
                format!("rollout {id} takes its step to {share} %, though {what}")
            }
            Event::SteppedWithoutVerdict { why } => {
                format!("rollout {id} goes on without a verdict: {why}")
            }
            Event::Paused { why, .. } => format!("rollout {id} is paused: {why}"),
            Event::PausedByOrder => format!("rollout {id} is paused"),
            Event::Resumed => format!("rollout {id} goes on"),
            Event::BegunAnew => format!(
                "rollout {id}: what its judge had heard cannot be read by this version; its step \
                 begins anew"
            ),
            Event::Held { why } => format!("rollout {id} is held: {why}"),
            Event::LetGo => format!("rollout {id} is held no longer"),
            Event::Unmeasured { query, why } => {
                format!("rollout {id} goes on only once Prometheus answers `{query}`: {why}")
            }
            Event::Measured => format!("rollout {id}: Prometheus answers again"),
            Event::WasAway { to, upstream, seconds } => {
                let who = match upstream {
                    Some(upstream) => format!("the only upstream of `{to}`, {upstream},"),
                    None => format!("all upstreams of `{to}` together"),
                };
                let was = if upstream.is_some() { "was" } else { "were" };
                format!("rollout {id}: {who} {was} away for {seconds} s; the step waits")
            }
            Event::TaskFailed { task, why } => {
                format!("rollout {id}: {} failed: {why}", task.words())
            }
            Event::Renewed { upstream } => format!("rollout {id}: `{upstream}` is renewed"),
            Event::StaysOut { upstream } => format!("rollout {id}: `{upstream}` stays out"),
            Event::Promoted { to } => format!("rollout {id}: `{to}` is promoted"),
            Event::RenewalEnded { service, pool, left_out } => {
                let left_out = left_out.iter().map(|address| {
                    format!(
                        "; `{address}` was left out and stays drained until `pointsman drain \
                         {service}/{pool} {address} --undo`"
                    )
                });
                format!("rollout {id}: pool `{pool}` is renewed{}", left_out.collect::<String>())
            }
            Event::RolledBack { why } => format!("rollout {id} is rolled back: {why}"),
            Event::Aborted => format!("rollout {id} was aborted"),
            Event::Failed { why } => {
                format!("rollout {id} has ended before any traffic moved: {why}")
            }
            Event::Superseded { by, .. } => format!("rollout {id} is superseded by {by}"),
        }
    }
}

/// What was ordered, before "was ordered".
fn noun(order: Order) -> &'static str {
    match order {
        Order::Step => "a step",
        Order::Promote => "the promotion",
        Order::Resume => "its going on",
        Order::Pause => "a pause",
        Order::Abort => "the way back",
    }
}

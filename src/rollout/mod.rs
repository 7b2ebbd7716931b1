//! A plan that moves a service from one pool to another: time, readings and orders in, actions out.
//!
//! Nothing here acts. The controller calls [`Rollout::advance`], writes the rollout and what it
//! asks for into the store, and only then does it. So whatever a process dies of, the next one
//! finds the rollout where it was and goes on; an action that had begun is asked for again.

mod deploy;
mod hook;
mod judging;
mod plan;
mod event;
mod progress;
mod stages;
mod orders;
mod pending;
mod unwatched;
mod hearing;
mod report;
mod rolling;
mod smoke;
mod status;
mod stored;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::judge::{Counts, Verdict};
use crate::split::Split;

pub use deploy::{Deploy, LONGEST_TAG, NoTag, Tag, Version};
pub use event::{Doer, Event, Trouble, Weight};
pub use hearing::{Hearing, Past, Second};
pub use hook::{Hook, HookPoint, Hooks};
pub use judging::{Judging, OnInconclusive, Query};
pub use plan::{MOST_REQUESTS, Plan, PlanRefused, RolloutSettings, Strategy, Wishes, rise};
pub use smoke::Smoke;
pub use status::Status;
pub use stored::{StoredHearing, StoredRollout};
pub use task::{
    CommandEnd, CommandError, Finished, MeasureError, NoAnswer, SmokeError, Task, TaskError,
    WebhookError, answered,
};

use pending::Pending;
use rolling::Rolling;

/// How long a target that gets traffic may have nobody who takes it.
const LONGEST_WITHOUT_TARGET: Duration = Duration::from_secs(10);

/// A plan on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Counts from 1 within its service.
    pub id: u64,
    /// The service.
    pub service: Arc<str>,
    /// What it means to do.
    pub plan: Plan,
    /// The version that it has put into the target; none for one that was there.
    pub deploy: Option<Deploy>,
    /// Who started it.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub started: WallTime,
    /// How it ended and when, once it has.
    pub ended: Option<(Outcome, WallTime)>,
    stage: Stage,
    /// When the stage began; pauses and times without ticks are left out, so it may lie later.
    entered: WallTime,
    /// The place in the plan's steps of the share in force; none before the first.
    step: Option<usize>,
    /// The place that is taken next, once a hook allows it.
    next: usize,
    paused: Option<Paused>,
    /// Kept where it is by the service's error budget, until that lets it go.
    held: Option<Paused>,
    /// When the last task was asked for.
    asked: WallTime,
    /// Tasks whose end is waited for.
    pending: Vec<Pending>,
    /// When it was last told anything.
    looked: Option<WallTime>,
    /// Whether the task of the stage has failed, and is to be begun again.
    has_failed: bool,
    /// Whether the task of the stage has ended well during a pause.
    has_passed: bool,
    /// Attempts at the target in this step.
    counts: Counts,
    /// Attempts at the target since it got traffic.
    whole: Counts,
    traffic_since: Option<WallTime>,
    unready_since: Option<WallTime>,
    rolling: Rolling,
    /// What its judge has heard.
    hearing: Arc<Hearing>,
}

/// What a rollout is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    /// The hook before anything runs.
    BeforeStart,
    /// The schema is widened.
    Expanding,
    /// The target is to become healthy.
    Awaiting,
    /// Smoke requests are made.
    Smoking,
    /// The hook before the next step runs.
    BeforeStep,
    /// The hook before the last step runs.
    BeforePromote,
    /// A step lasts.
    Holding,
    /// All traffic is on the target, and could go back.
    Watching,
    /// The old pool ends its requests.
    Draining,
    /// The schema is narrowed.
    Contracting,
    /// Upstreams are renewed.
    Rolling,
}

/// Why a rollout stays where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Since when.
    pub at: WallTime,
    /// Why, in a sentence.
    pub why: String,
}

/// How a rollout ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// The target has everything.
    Promoted,
    /// The target was worse, and traffic is back.
    RolledBack {
        /// The evidence.
        why: String,
    },
    /// Somebody took it back.
    Aborted {
        /// Who.
        by: String,
        /// Why.
        why: Option<String>,
    },
    /// It ended before any traffic moved.
    Failed {
        /// Why.
        why: String,
    },
    /// The service's traffic was changed past it.
    Superseded {
        /// By what.
        by: String,
    },
}

/// An order that makes no sense now. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rollout {id} of `{service}` {why}")]
pub struct OrderRefused {
    /// Of the rollout.
    pub id: u64,
    /// Of the service.
    pub service: Arc<str>,
    /// Why, after "the rollout".
    pub why: String,
}

/// What a rollout sees of its service.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Now.
    pub now: WallTime,
    /// The split in force.
    pub split: &'a Split,
    /// Before its first traffic, whether anybody of the target would take it; then, whether anybody is
    /// well.
    pub target_ready: bool,
    /// Whether the target has answered anything well of late.
    pub target_answers: bool,
    /// Whether the old pool could be given its traffic back.
    pub way_back: &'a WayBack,
    /// Attempts at the target since the view before this one.
    pub canary: Counts,
    /// Requests that the old pool holds.
    pub old_in_flight: u32,
    /// The upstreams of the target.
    pub upstreams: &'a [UpstreamView],
    /// What the judge says of the step under way.
    pub verdict: Verdict,
    /// Why it may not go on, if the service's error budget or somebody keeps all its rollouts back.
    /// It may always go back.
    pub held: Option<&'a str>,
}

/// Whether a rollout could go back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// It could, or nobody knows better.
    Open,
    /// It is being looked at, and known within a second or so.
    NotKnown,
    /// Nobody would take what goes back.
    Dead {
        /// Why, as a sentence.
        why: String,
    },
}

/// What a rollout sees of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamView {
    /// As configured.
    pub address: Arc<str>,
    /// Whether it takes requests: proven, up, not draining.
    pub is_ready: bool,
    /// Requests it holds.
    pub in_flight: u32,
}

/// What a rollout is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// An action that it asked for has ended.
    Done {
        /// Which.
        task: Task,
        /// How it ended.
        result: Result<Finished, TaskError>,
    },
    /// Somebody gives an order.
    Order {
        /// What is to be done.
        order: Order,
        /// Who.
        author: String,
        /// Why.
        reason: Option<String>,
    },
}

/// An order to a rollout under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stay where it is.
    Pause,
    /// Go on.
    Resume,
    /// Take the next step now.
    Step,
    /// Go to the end now.
    Promote,
    /// Go back.
    Abort,
}

/// What a rollout wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A new revision of the service's split.
    Shift {
        /// What it becomes.
        split: Split,
        /// Why, for the revision.
        why: String,
    },
    /// Something that takes a while; its end comes back as [`Input::Done`].
    Begin(Task),
    /// An upstream gets no new requests.
    Drain(Arc<str>),
    /// An upstream takes requests again once a probe has succeeded.
    Renew(Arc<str>),
    /// The old version cannot run any more from here on.
    Contract {
        /// The pool that runs it.
        pool: Arc<str>,
    },
    /// Something to be told.
    Say(Event),
}

//! A plan that moves a service from one pool to another: time, readings and orders in, actions out.
//!
//! Nothing here acts. The controller calls [`Rollout::advance`], writes the rollout and what it
//! asks for into the store, and only then does it. So whatever a process dies of, the next one
//! finds the rollout where it was and goes on; an action that had begun is asked for again.

mod hook;
mod plan;
mod smoke;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::judge::{Counts, Verdict};
use crate::split::Split;

pub use hook::{Hook, HookPoint, Hooks};
pub use plan::{Plan, RolloutSettings, Strategy};
pub use smoke::Smoke;

/// What a rollout sees of its service.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Now.
    pub now: WallTime,
    /// The split in force.
    pub split: &'a Split,
    /// Whether the target could be given all traffic.
    pub target_ready: bool,
    /// Attempts at the target since the view before this one.
    pub canary: Counts,
    /// Attempts at the old pool since the view before this one.
    pub stable: Counts,
    /// Requests that the old pool holds.
    pub old_in_flight: u32,
    /// The upstreams of the target.
    pub upstreams: &'a [UpstreamView],
    /// What the judge says of the step under way.
    pub verdict: Verdict,
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
        /// What it said: a line for people, or why it failed.
        result: Result<String, String>,
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
    /// Its service's traffic was changed past it.
    Superseded {
        /// By what, such as `revision 12 by file`.
        by: String,
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

/// Something that takes a while and is done beside the controller; each may be asked for again
/// after a crash, so each must bear being done twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The hook of this point.
    Hook(HookPoint),
    /// The smoke requests.
    Smoke,
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
    /// Something worth an event.
    Say {
        /// How much it matters.
        weight: Weight,
        /// What, in a sentence.
        what: String,
    },
}

/// How much something matters to who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As planned.
    Note,
    /// Somebody may have to do something.
    Warning,
    /// Traffic was taken back.
    Failure,
}

//! What a rollout means to do: a service's settings and an order's wishes in, a plan out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Hooks, Smoke};
use crate::judge::Guard;
use crate::split::BasisPoints;

/// How a service moves from one pool to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One switch, once the target is healthy.
    AllAtOnce,
    /// One switch after smoke requests, with the old pool kept warm for a while.
    BlueGreen,
    /// In steps, each judged.
    #[default]
    Canary,
    /// Inside one pool, upstream by upstream.
    Rolling,
}

/// What a service says of its rollouts.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutSettings {
    /// Unless the order says otherwise.
    pub strategy: Strategy,
    /// Shares of the target, rising, the last of them the whole.
    pub steps: Vec<BasisPoints>,
    /// How long a step lasts at least.
    pub hold: Duration,
    /// Attempts at the target that a step wants at least.
    pub min_requests: u64,
    /// How long a step waits for them; then the rollout pauses.
    pub longest_step: Duration,
    /// When it is taken back.
    pub guard: Guard,
    /// How long the old pool is kept warm after the last step.
    pub watch: Duration,
    /// How long the target may take to become healthy, and a renewed upstream.
    pub ready_within: Duration,
    /// How long requests of the old pool, or of an upstream, may take to end.
    pub drain: Duration,
    /// Upstreams that are renewed at once, in a rolling rollout.
    pub at_once: usize,
    /// Requests that the target must answer first.
    pub smoke: Vec<Smoke>,
    /// What is called.
    pub hooks: Hooks,
}

/// A rollout's settings, fixed at its start: what is edited later is for the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How.
    pub strategy: Strategy,
    /// The pool that traffic leaves; in a rolling rollout the one that is renewed.
    pub from: Arc<str>,
    /// The pool that traffic goes to.
    pub to: Arc<str>,
    /// Shares of the target in percent steps of basis points, the last of them the whole.
    pub steps: Vec<BasisPoints>,
    /// See [`RolloutSettings`], as everything below.
    pub hold: Duration,
    /// Attempts.
    pub min_requests: u64,
    /// At most.
    pub longest_step: Duration,
    /// When it is taken back.
    pub guard: Guard,
    /// Warm.
    pub watch: Duration,
    /// Healthy.
    pub ready_within: Duration,
    /// Drained.
    pub drain: Duration,
    /// Upstreams.
    pub at_once: usize,
    /// Requests.
    pub smoke: Vec<Smoke>,
    /// Calls.
    pub hooks: Hooks,
}

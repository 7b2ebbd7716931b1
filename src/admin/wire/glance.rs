//! A service at a glance, as it travels to whoever watches all of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Budget, Mode};

/// A service at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Glance {
    /// Its name.
    pub name: String,
    /// The number of the traffic state in force.
    pub revision: u64,
    /// Whether it serves.
    pub mode: Mode,
    /// Its pools.
    pub pools: Vec<GlancePool>,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Share of them that failed, in percent.
    pub errors: f64,
    /// What 99 % of its upstreams' answers took at most over the last ten seconds, in seconds; none if
    /// there were none.
    pub p99: Option<f64>,
    /// Its error budget, if it has any objective or its rollouts are frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The rollout under way, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<GlanceRollout>,
    /// How many upstreams it has.
    pub upstreams: usize,
    /// How many of them take requests.
    pub well: usize,
    /// What is wrong, the worst first.
    pub wrong: Vec<Wrong>,
}

/// A pool at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GlancePool {
    /// Its name.
    pub name: String,
    /// What people call the version that a deploy has put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The share it is set to get, in percent.
    pub weight: f64,
    /// The share it got over the last ten seconds of the split in force, in percent.
    pub measured: Option<f64>,
}

/// A rollout at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GlanceRollout {
    /// Counts from 1 within its service.
    pub id: u64,
    /// The pool that traffic leaves.
    pub from: String,
    /// The pool that traffic goes to.
    pub to: String,
    /// `running` or `paused`.
    pub state: String,
    /// What it does or waits for.
    pub status: String,
    /// The share of the target that it has set, in percent.
    pub share: f64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Wrong {
    /// How much it matters: `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// What, in words.
    pub what: String,
}

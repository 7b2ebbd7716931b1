//! What travels about a service and its pools.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Breaker, Budget, JudgeCheck, Latency, Mode, Rollout, Standing, Upstream};

/// A service with its traffic.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The number of the traffic state in force.
    pub revision: u64,
    /// Whether it serves.
    pub mode: Mode,
    /// Requests that wait for a place or for the end of a hold.
    pub waiting: usize,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Its error budget, if it has any objective or its rollouts are frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What came of the check whether the judge keeps what is as good as the rest, if that is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_check: Option<JudgeCheck>,
    /// Its pools.
    pub pools: Vec<Pool>,
    /// The rollout under way, if there is one.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// What was ordered above its config, and stands until it is taken back.
    #[serde(default)]
    pub orders: Vec<Standing>,
}

/// A pool with its share.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What people call the version that a deploy has put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The rollout that has put it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_by: Option<u64>,
    /// The share it is set to get, in percent.
    pub weight: f64,
    /// The share it got over the last ten seconds of the split in force, in percent; none if that
    /// is too new or nothing came.
    pub measured: Option<f64>,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Share of requests that failed over the last ten seconds, in percent.
    pub errors: f64,
    /// Mean duration over the last ten seconds, in seconds.
    pub mean_seconds: f64,
    /// How long its upstreams took to the head of their answers, but for failures, over the last
    /// ten seconds, minute and five minutes.
    pub latency: Vec<Latency>,
    /// Requests it holds now.
    pub in_flight: u64,
    /// Whether it takes requests.
    pub available: bool,
    /// Whether no upstream is well: the fallback answers, or all are tried.
    pub panic: bool,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// Its upstreams.
    pub upstreams: Vec<Upstream>,
}

//! What travels about an upstream and how it stands.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Breaker;

/// An upstream with its state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upstream {
    /// Its address as configured.
    pub address: String,
    /// The configured name that resolved to it, if it was a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels, if it has any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it takes requests.
    pub state: UpstreamCondition,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// Seconds that its ejection still lasts, if it is ejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected_for: Option<f64>,
    /// Why its last failed health check failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_failure: Option<String>,
    /// Since when it gets no requests for what it did or its health checks say, as Unix time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<f64>,
    /// What last went wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When that was, as Unix time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<f64>,
    /// Attempts at it per second over the last ten seconds.
    #[serde(default)]
    pub requests_per_second: f64,
    /// Share of them that failed, in percent.
    #[serde(default)]
    pub errors_percent: f64,
    /// Average time to a response's head, in seconds; failures weigh five.
    pub latency_seconds: f64,
    /// Its weight within the pool.
    pub weight: u16,
    /// Requests it holds now.
    pub in_flight: u32,
    /// Attempts at it since the start.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
}

/// Whether an upstream takes requests, and if not why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamCondition {
    /// It does.
    Active,
    /// It does, but gets less than its share because it came in a short while ago.
    SlowStart,
    /// An operator has taken it out, or its health check asks for that.
    Draining,
    /// Its name has not resolved yet.
    Unresolved,
    /// No health check has succeeded yet.
    Unproven,
    /// Its health checks fail.
    Down,
    /// It refused its last connection, or could not be reached.
    Refusing,
    /// All its requests of a second failed.
    Failing,
    /// It failed too often in a row.
    Ejected,
    /// Its circuit breaker is open.
    BreakerOpen,
    /// Its circuit breaker's time is over, and trials find out whether it may close.
    BreakerHalfOpen,
}

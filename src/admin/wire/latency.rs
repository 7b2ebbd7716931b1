//! How long answers took, as it travels.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::judge::Distribution;

/// How long answers took over some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// The pool, where it is not clear from the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The time it is taken over, in seconds.
    pub window_seconds: f64,
    /// Answers in it.
    pub count: u64,
    /// What half of them took at most, in seconds, at most 1.6 % off; none if there were none.
    pub p50: Option<f64>,
    /// What 90 % took at most.
    pub p90: Option<f64>,
    /// What 95 % took at most.
    pub p95: Option<f64>,
    /// What 99 % took at most.
    pub p99: Option<f64>,
    /// What 99.9 % took at most.
    #[serde(rename = "p99.9")]
    pub p999: Option<f64>,
}

impl Latency {
    pub(in crate::admin) fn of(took: &Distribution, window_seconds: f64) -> Latency {
        let quantile = |share| took.quantile(share).map(|took| took.as_secs_f64());
        Latency {
            pool: None,
            window_seconds,
            count: took.total(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
        }
    }
}

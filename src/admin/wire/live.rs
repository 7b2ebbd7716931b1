//! What travels to whoever watches: lines once a second, and who watches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Service, Wrong};

/// Who asks, and what it may ask for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// What is proved by a token, a certificate or the kernel; none for whoever can reach a loopback
    /// address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its role: `read`, `shift`, `deploy`, `alerts` or `admin`.
    pub role: String,
    /// The services that it is bound to; none if it is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// What it may ask for, as `PUT /v1/services/{service}/split`.
    pub may: Vec<String>,
}

/// One line of what is watched. The first is whole; each of the others says what is different from the
/// line before. A whole line comes again where a reader was too slow for one of them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveLine {
    /// Counts up by one with each look that is shown.
    pub tick: u64,
    /// When that was, as Unix time in seconds.
    pub at: f64,
    /// Counts up with every change that took effect.
    pub generation: u64,
    /// The last event's number.
    pub last_event: u64,
    /// Whether it is all there is, and not what is different.
    pub whole: bool,
    /// By key. Of all services: `status`, `config`, and `service/NAME` as in Glance. Of one: `status`,
    /// `config`, `service`, `pool/NAME`, `upstream/POOL/ADDRESS`, `rollout`, `revision` and `slo`, as
    /// elsewhere in this API.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub rows: BTreeMap<String, serde_json::Value>,
    /// Keys of rows that are not there any more.
    #[serde(default)]
    pub gone: Vec<String>,
    /// What happened since the line before; nothing in a whole line.
    #[serde(default)]
    #[schema(value_type = Vec<super::Event>)]
    pub events: Vec<serde_json::Value>,
    /// Of one service, by pool: the last seconds; in a whole line those of five minutes. Each is when it
    /// was over as Unix time, requests, how many of them failed, and p50, p95 and p99 in seconds. A second
    /// in which nothing ended is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<BTreeMap<String, Vec<Points>>>,
    /// The same in spans of ten seconds, in a whole line: half an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spans: Option<BTreeMap<String, Vec<Points>>>,
}

/// One point of a plot.
pub type Points = Vec<Option<f64>>;

/// The process at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveStatus {
    /// Which Pointsman it is.
    pub name: String,
    /// What it is part of, such as `production`; empty if nobody has said so.
    pub environment: String,
    /// The version that runs.
    pub version: String,
    /// When it began, as Unix time in seconds.
    pub started: f64,
    /// Whether the process takes new connections.
    pub ready: bool,
    /// Whether what is ordered can be stored; while not, orders are refused.
    pub store_writable: bool,
}

/// One service but for its pools and its rollout, which are rows of their own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LiveService {
    /// The service, without pools and rollout.
    #[serde(flatten)]
    pub service: Service,
    /// The names of its pools.
    pub pool_names: Vec<String>,
    /// What is wrong, the worst first.
    pub wrong: Vec<Wrong>,
}

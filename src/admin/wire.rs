//! What travels over the admin API: the types of its JSON, for both ends.
//!
//! Never the types that decide anything: those may change without a client noticing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::{Change, Level, Problems};
use crate::split::Split;
use crate::store;

/// The process, the config and every service at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// Counts up with every change that took effect.
    pub generation: u64,
    /// Whether the process takes new connections.
    pub ready: bool,
    /// The config's state.
    pub config: ConfigStatus,
    /// Where requests come in.
    pub listeners: Vec<Listener>,
    /// All services.
    pub services: Vec<Service>,
}

/// The config's state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigStatus {
    /// The file it was read from.
    pub path: String,
    /// Whether the last reload took effect.
    pub last_reload_successful: bool,
    /// Unix time of the last that did, in seconds.
    pub last_reload_success: f64,
    /// Reloads that took effect.
    pub reloads: u64,
    /// Reloads that were refused.
    pub refused_reloads: u64,
}

/// An address where requests come in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// The address.
    pub address: String,
    /// Connections open now.
    pub connections: usize,
}

/// A service with its traffic.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The number of the traffic state in force.
    pub revision: u64,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Its pools.
    pub pools: Vec<Pool>,
}

/// A pool with its share.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Its name.
    pub name: String,
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
    /// Requests it holds now.
    pub in_flight: u64,
    /// Whether any upstream takes requests.
    pub available: bool,
    /// Its upstreams.
    pub upstreams: Vec<Upstream>,
}

/// An upstream with its state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upstream {
    /// Its address as configured.
    pub address: String,
    /// `active`, `draining` or `unresolved`.
    pub state: UpstreamCondition,
    /// Its weight within the pool.
    pub weight: u16,
    /// Requests it holds now.
    pub in_flight: u32,
    /// Attempts at it since the start.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
}

/// Whether an upstream takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamCondition {
    /// It does.
    Active,
    /// An operator has taken it out.
    Draining,
    /// Its name has not resolved yet.
    Unresolved,
}

/// A split to be set.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSplit {
    /// The share of each pool in percent, with at most two decimals; they sum to 100.
    #[schema(value_type = BTreeMap<String, f64>)]
    pub weights: BTreeMap<String, serde_json::Number>,
    /// Even if a pool that gets more has no upstream that takes requests.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A flip to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// The pool that is to get everything.
    pub to: String,
    /// Even if none of its upstreams takes requests.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A traffic state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// Its number within the service.
    pub revision: u64,
    /// The share of each pool in percent.
    pub weights: BTreeMap<String, f64>,
    /// Who made it so.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Unix time, in seconds.
    pub at: f64,
}

/// The traffic state in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CurrentSplit {
    /// Its number.
    pub revision: u64,
    /// The share of each pool in percent.
    pub weights: BTreeMap<String, f64>,
}

/// A state to be set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutUpstreamState {
    /// `active` or `drain`.
    pub state: UpstreamState,
}

/// What an upstream is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamState {
    /// Take requests.
    Active,
    /// End those it has and take no more.
    Drain,
}

/// A state that was set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpstreamStateSet {
    /// The state.
    pub state: UpstreamState,
    /// Requests the upstream holds now.
    pub in_flight: u32,
    /// The generation from which on it is so.
    pub generation: u64,
}

/// The config in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigText {
    /// The file it was read from.
    pub path: String,
    /// The text as it was read.
    pub text: String,
}

/// What a config says, checked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    /// Whether it can be used.
    pub valid: bool,
    /// What is wrong or odd, in the order of the file.
    pub problems: Vec<ConfigProblem>,
}

/// One thing that is wrong or odd in a config.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigProblem {
    /// `error` or `warning`.
    pub level: String,
    /// What is wrong.
    pub message: String,
    /// Where, from 1.
    pub line: Option<usize>,
    /// Where in the line, from 1, in characters.
    pub column: Option<usize>,
    /// More words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What a reload changed or would change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Changes {
    /// One for each difference.
    pub changes: Vec<ConfigChange>,
    /// The generation in force afterwards.
    pub generation: u64,
}

/// One difference between two configs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigChange {
    /// What it concerns.
    pub subject: String,
    /// What becomes of it.
    pub what: String,
    /// Whether it waits for the next start.
    pub needs_restart: bool,
}

impl From<Change> for ConfigChange {
    fn from(change: Change) -> ConfigChange {
        let Change { subject, what, needs_restart } = change;
        ConfigChange { subject, what, needs_restart }
    }
}

impl From<store::Revision> for Revision {
    fn from(revision: store::Revision) -> Revision {
        Revision {
            revision: revision.number,
            weights: weights(&revision.split),
            author: revision.author,
            reason: revision.reason,
            at: revision.at,
        }
    }
}

/// A split in percent.
pub fn weights(split: &Split) -> BTreeMap<String, f64> {
    split.parts().iter().map(|(pool, weight)| (pool.to_string(), weight.percent())).collect()
}

impl ConfigProblem {
    /// All problems of a text.
    pub fn all(problems: &Problems, text: &str) -> Vec<ConfigProblem> {
        let one = |problem: &crate::config::Problem| {
            let place = problem.position(text);
            ConfigProblem {
                level: match problem.level {
                    Level::Error => "error".into(),
                    Level::Warning => "warning".into(),
                },
                message: problem.message.clone(),
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
                label: problem.label.clone(),
                help: problem.help.clone(),
            }
        };
        problems.0.iter().map(one).collect()
    }
}

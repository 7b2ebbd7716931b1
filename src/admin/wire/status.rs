//! What travels about the process as a whole: its config, where requests come in, its services.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OpenIncident, Service};

/// The process, the config and every service at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Which Pointsman it is.
    #[serde(default)]
    pub name: String,
    /// What it is part of, such as `production`; empty if nobody has said so.
    #[serde(default)]
    pub environment: String,
    /// The version that runs.
    pub version: String,
    /// Whether what is ordered can be stored; while not, orders are refused.
    #[serde(default = "yes")]
    pub store_writable: bool,
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
    /// What was ordered of what is not in the file any more: in force again if that comes back in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// The incidents that are open, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<OpenIncident>,
    /// How many alerts of others fire.
    #[serde(default)]
    pub alerts_firing: usize,
    /// All services.
    pub services: Vec<Service>,
}

/// What was ordered of something that is not in the file any more.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Kept {
    /// What is gone, such as `service shop`.
    pub what: String,
    /// What was ordered of it, in words.
    pub orders: Vec<String>,
    /// Since when it is gone, as Unix time in seconds.
    pub since: f64,
    /// Until when its orders are kept.
    pub until: f64,
}

/// The config's state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigStatus {
    /// The file it was read from.
    pub path: String,
    /// Whether the last reload took effect.
    pub last_reload_successful: bool,
    /// Whether a file that was saved takes away what is in use, and waits for `pointsman reload`.
    #[serde(default)]
    pub waits_for_reload: bool,
    /// Why the last reload was refused; none if it took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
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

fn yes() -> bool {
    true
}

//! What travels about the process itself: its upgrades, and what its own log says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an upgrade has come to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upgraded {
    /// The number of the process that serves from now on.
    pub process: u32,
}

/// How much the process's own log says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLevels {
    /// Of whoever has no level of its own: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub default: String,
    /// By target.
    pub targets: BTreeMap<String, String>,
}

/// How much it is to say.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutLogLevels {
    /// By target; `default` is whoever has none of its own, and the level that takes a target's own away.
    #[serde(default)]
    pub levels: BTreeMap<String, String>,
    /// As it was when the process began, before that.
    #[serde(default)]
    pub reset: bool,
}

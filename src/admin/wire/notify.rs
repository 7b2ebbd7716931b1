//! What travels about notices that are tried.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A notice to be tried.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestNotice {
    /// The target's name; all of them if left out.
    #[serde(default)]
    pub target: Option<String>,
    /// `low`, `medium`, `high` or `critical`, by which whoever gets it sends it on; `low` if left out.
    #[serde(default)]
    pub severity: Option<String>,
    /// Whether the one before is over: closes its alert.
    #[serde(default)]
    pub over: bool,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// What became of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NoticeTested {
    /// Each target that was told.
    pub targets: Vec<TestedTarget>,
}

/// What a target answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TestedTarget {
    /// Its name.
    pub target: String,
    /// How it is told: `json`, `slack`, `alertmanager`, `alertmanager-webhook` or `pagerduty`.
    pub form: String,
    /// Whether it has taken the notice.
    pub taken: bool,
    /// The status of its answer, if there was one.
    #[serde(default)]
    pub status: Option<u16>,
    /// The answer's status and first line, or why there is none.
    pub answer: String,
}

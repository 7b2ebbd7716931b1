//! An event as it is kept: a log beside the state, by number.

use crate::clock::WallTime;
use crate::upstream::Labels;

/// An event as it is kept: in words, which no later version has to understand. Empty parts of its
/// place are meant as a whole.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredEvent {
    /// Counts up over all events of the store; 0 for one that is stored with the order it comes of,
    /// before it is said and numbered.
    pub number: u64,
    /// When.
    pub at: WallTime,
    /// What kind, such as `breaker`.
    pub kind: String,
    /// What exactly; empty if an older version noted it.
    #[serde(default)]
    pub code: String,
    /// How bad, such as `high`.
    #[serde(default)]
    pub severity: String,
    /// The service.
    #[serde(default)]
    pub service: String,
    /// The pool.
    #[serde(default)]
    pub pool: String,
    /// The upstream.
    #[serde(default)]
    pub upstream: String,
    /// What happened.
    pub what: String,
    /// Who did it, if somebody did.
    #[serde(default)]
    pub author: Option<String>,
    /// Why, in the author's words.
    #[serde(default)]
    pub reason: Option<String>,
    /// Those of the upstream.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// That of a request that shows what was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

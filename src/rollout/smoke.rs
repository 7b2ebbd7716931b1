//! Requests that a target must answer before any user sees it.

use std::time::Duration;

/// One request to the target, and what is expected of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smoke {
    /// `GET` if not said otherwise.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Fields beside `Host`.
    pub headers: Vec<(String, String)>,
    /// Sent with it, if anything.
    pub body: Option<String>,
    /// The status that is expected; none for any 2xx.
    pub status: Option<u16>,
    /// Text that the answer's body must contain.
    pub contains: Option<String>,
    /// For all of it.
    pub timeout: Duration,
}

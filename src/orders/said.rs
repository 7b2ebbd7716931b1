//! What is worth an event: where it happened, what, by whom and why.

use crate::config::Severity;

/// Something worth an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// How much it matters.
    pub severity: Severity,
    /// What kind, such as `rollout`.
    pub kind: &'static str,
    /// Where.
    pub subject: Subject,
    /// What happened.
    pub what: String,
    /// Who did it, if somebody did.
    pub author: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The command to run next, if there is one.
    pub next: Option<String>,
}

/// Where something happened; empty parts are meant as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The service.
    pub service: String,
    /// The pool.
    pub pool: String,
    /// The upstream.
    pub upstream: String,
}

impl Subject {
    /// These parts.
    pub fn new(service: &str, pool: &str, upstream: &str) -> Subject {
        Subject { service: service.into(), pool: pool.into(), upstream: upstream.into() }
    }
}

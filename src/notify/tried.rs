//! A notice of nothing, by which people see whether notices arrive: who asks for it in, the notice out, and what a
//! target answered.

use std::sync::Arc;

use http::StatusCode;

use super::{Notice, Severity};
use crate::clock::WallTime;
use crate::config::Form;
use crate::event::{Alert, Turn};

/// What became of a notice that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Whether the target has taken it.
    pub is_taken: bool,
    /// The status of its answer, if there was one.
    pub status: Option<StatusCode>,
    /// The answer, or why there is none, in words.
    pub answer: String,
}

/// A target that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its name.
    pub target: Arc<str>,
    /// How it is told.
    pub form: Form,
    /// What became of it.
    pub heard: Heard,
}

/// The alert of a trial.
const OPENS: Alert = Alert { name: "PointsmanTest", turn: Turn::Stays, severities: &[] };

/// Whatever severity it was open with.
const CLOSES: Alert = Alert {
    turn: Turn::Closes,
    severities: &[Severity::Low, Severity::Medium, Severity::High, Severity::Critical],
    ..OPENS
};

/// A notice that says of itself that it is a trial; or that the one before is over. `who`: which Pointsman,
/// and what that is part of. `id` tells it from every other one.
pub fn tried(
    (pointsman, environment): (Arc<str>, Arc<str>),
    (at, id): (WallTime, u64),
    severity: Severity,
    author: String,
    is_over: bool,
) -> Notice {
    let what = match is_over {
        false => "TEST: nothing is wrong, somebody looks whether notices arrive",
        true => "TEST: over",
    };
    Notice {
        id,
        pointsman,
        environment,
        at,
        severity,
        kind: "test".into(),
        service: String::new(),
        pool: String::new(),
        upstream: String::new(),
        labels: Default::default(),
        what: format!("{what}, by {author}"),
        author,
        state: String::new(),
        next: (!is_over).then(|| "pointsman notify test --over".into()),
        runbook: None,
        trace: None,
        topic: "///test".into(),
        // Each is told.
        dedup: String::new(),
        only_for: None,
        is_relief: is_over,
        alert: Some(if is_over { CLOSES } else { OPENS }),
    }
}

//! How a rollout is judged: what is counted, how strict the judge is, and what becomes of a rollout
//! that cannot be judged.

use std::time::Duration;

use crate::judge::ledger::METRICS;
use crate::judge::{Errors, JudgeSettings, Ledger};

/// How a service's rollouts are judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judging {
    /// How strict the judge is.
    pub settings: JudgeSettings,
    /// What counts as bad, in the words of [`Errors::of`]; none for its default.
    pub errors: Option<Vec<String>>,
    /// Whether answers of 4xx are judged too, in an account of their own.
    pub client_errors: bool,
    /// Metrics that upstreams report with their answers, at most eight.
    pub metrics: Vec<String>,
    /// Whether users are counted rather than requests; none for where clients keep to their side.
    pub by_user: Option<bool>,
    /// What becomes of a step that stays inconclusive for as long as a step may take.
    pub on_inconclusive: OnInconclusive,
    /// A question to a Prometheus server.
    pub prometheus: Option<Query>,
}

/// What becomes of a step that stays inconclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnInconclusive {
    /// The rollout pauses, and somebody is told.
    #[default]
    Pause,
    /// It goes on: no harm was seen, and more traffic shows more.
    Promote,
    /// Traffic is taken back.
    Rollback,
}

impl OnInconclusive {
    /// All of them.
    pub const ALL: [OnInconclusive; 3] =
        [OnInconclusive::Pause, OnInconclusive::Promote, OnInconclusive::Rollback];

    /// Its word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            OnInconclusive::Pause => "pause",
            OnInconclusive::Promote => "promote",
            OnInconclusive::Rollback => "rollback",
        }
    }
}

/// A question whose answer, a number, may not be above a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The server, such as `http://127.0.0.1:9090`.
    pub url: String,
    /// In PromQL; its result is one number or one series.
    pub query: String,
    /// Above it the target is worse.
    pub above: f64,
    /// How often it is asked.
    pub interval: Duration,
}

impl Judging {
    /// What counts as bad, where that is not what it is by default.
    pub fn own_errors(&self) -> Option<Errors> {
        let words = |words: &[String]| Errors::of(words.iter().map(String::as_str));
        // The file was checked; what an older version has stored may say words of its own.
        self.errors.as_ref().and_then(|list| words(list).ok())
    }

    /// An empty ledger for a rollout of a service whose clients keep to their side or not.
    pub fn ledger(&self, is_sticky: bool) -> Ledger {
        let errors = self.own_errors().unwrap_or_default();
        let extra = self.client_errors.then(|| Errors::of(["4xx"]).unwrap_or_default());
        let metrics = self.metrics.iter().take(METRICS).map(|name| name.as_str().into()).collect();
        Ledger::new(errors, extra, metrics, self.by_user.unwrap_or(is_sticky))
    }
}

//! What is said of a canary, and by what.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is said of a canary, always with the evidence in a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "says")]
pub enum Verdict {
    /// It may have more.
    Pass {
        /// Why.
        evidence: String,
    },
    /// It must go back.
    Fail {
        /// Why.
        evidence: String,
        /// What said so first.
        driver: Metric,
    },
    /// What was compared cannot be compared: the split did not do what it should.
    Invalid {
        /// Why.
        evidence: String,
    },
    /// Too little is known.
    Inconclusive {
        /// What is missing.
        evidence: String,
    },
}

impl Verdict {
    /// The sentence for people.
    pub fn evidence(&self) -> &str {
        match self {
            Verdict::Pass { evidence }
            | Verdict::Fail { evidence, .. }
            | Verdict::Invalid { evidence }
            | Verdict::Inconclusive { evidence } => evidence,
        }
    }
}

/// A [`Verdict`] without its words: what a rehearsal asks for millions of times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// It may have more.
    Pass,
    /// It must go back, because of this.
    Fail(Metric),
    /// It cannot be compared.
    Invalid,
    /// Too little is known.
    Inconclusive,
}

/// What a canary is judged by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// The share of failures, above a limit.
    Guard,
    /// Failures beside the stable pool's.
    Errors,
    /// The 99th percentile of latency.
    P99,
    /// The 95th.
    P95,
    /// The median.
    P50,
    /// Failures beyond the stable pool's rate, against the error budget.
    Budget,
    /// One of the upstreams' own.
    Custom(Arc<str>),
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Metric::Guard => "guard",
            Metric::Errors => "errors",
            Metric::P99 => "p99",
            Metric::P95 => "p95",
            Metric::P50 => "p50",
            Metric::Budget => "budget",
            Metric::Custom(name) => name,
        })
    }
}

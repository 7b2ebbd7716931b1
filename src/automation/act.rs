//! One thing that a rule has done or is doing, as it is stored before it begins.
//!
//! It is kept as it is written here, so its fields only grow: a new one has a default. There is no
//! program in it and no address to call: who is called is what the file in force says of the rule.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;

/// Something that a rule has done or is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Its number among all acts of all rules, from 1. Never used again.
    pub id: u64,
    /// By which rule.
    pub rule: Arc<str>,
    /// Where.
    #[serde(default)]
    pub place: Place,
    /// What.
    pub deed: Deed,
    /// What was seen, in words.
    pub why: String,
    /// When it was decided.
    pub at: WallTime,
    /// How it has ended; none while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<WallTime>,
    /// Whether what was seen has been over since.
    #[serde(default, skip_serializing_if = "is_no")]
    pub is_over: bool,
    /// Since when a person has taken back what it ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<WallTime>,
    /// Whether the rule itself has taken back what it ordered.
    #[serde(default, skip_serializing_if = "is_no")]
    pub is_back: bool,
    /// The rollout that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u64>,
    /// The upstream that was taken out of its pool before, where whoever ends it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Arc<str>>,
}

/// What is usual is not written.
fn is_no(said: &bool) -> bool {
    !said
}

/// Where a rule has looked and acts; empty parts are meant as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The service.
    #[serde(default)]
    pub service: Arc<str>,
    /// The pool.
    #[serde(default)]
    pub pool: Arc<str>,
    /// The upstream.
    #[serde(default)]
    pub upstream: Arc<str>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Calls an address.
    Webhook,
    /// Runs a command.
    Command,
    /// Drains an upstream.
    Drain,
    /// Opens a breaker.
    OpenBreaker,
    /// Pauses a rollout.
    PauseRollout,
    /// Takes a rollout back.
    AbortRollout,
    /// Puts a service into maintenance.
    Maintenance,
    /// Tells people.
    Notify,
    /// Tells people that it can do no more.
    Escalate,
}

/// How an act has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// It is done; what was answered, if anything was.
    Done(String),
    /// It has come to nothing, and why.
    Failed(String),
    /// Nobody knows: the process ended meanwhile.
    Unknown,
    /// It was only said what would be done.
    DryRun,
}

impl Act {
    /// Whether it is under way.
    pub fn is_under_way(&self) -> bool {
        self.end.is_none()
    }

    /// Whether it has come to nothing, or nobody knows.
    pub fn is_bad(&self) -> bool {
        matches!(self.end, Some(End::Failed(_) | End::Unknown))
    }

    /// Whether it counts for what a rule may do: telling that it can do no more does not, and neither
    /// does taking out what it has added.
    pub fn counts(&self) -> bool {
        self.deed != Deed::Escalate && self.removed.is_none()
    }

    /// The same for a call that is made again, so that receivers can tell.
    pub fn key(&self) -> String {
        format!("act_{}_{}", self.id, self.at.millis())
    }
}

impl Place {
    /// A service as a whole.
    pub fn service(name: &str) -> Place {
        Place { service: name.into(), ..Place::default() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&*self.service, &*self.pool, &*self.upstream];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&parts.join("/"))
    }
}

impl Deed {
    /// Its word, as it is stored and told to programs.
    pub fn name(self) -> &'static str {
        match self {
            Deed::Webhook => "webhook",
            Deed::Command => "command",
            Deed::Drain => "drain",
            Deed::OpenBreaker => "open-breaker",
            Deed::PauseRollout => "pause-rollout",
            Deed::AbortRollout => "abort-rollout",
            Deed::Maintenance => "maintenance",
            Deed::Notify => "notify",
            Deed::Escalate => "escalate",
        }
    }
}

impl End {
    /// Its word for programs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            End::Done(_) => "done",
            End::Failed(_) => "failed",
            End::Unknown => "unknown",
            End::DryRun => "dry-run",
        }
    }
}

//! What rules of the automation do, as events: each thing with its code, its weight and its words.

use std::fmt::{Display, Formatter, Result};
use std::sync::Arc;

use crate::config::Severity;

/// Something that a rule has done, or that was done with all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleEvent {
    /// It has begun to call somebody.
    Began {
        /// The number of the act.
        act: u64,
        /// What it does, in words.
        deed: String,
    },
    /// What it called has ended well.
    Ended {
        /// The number of the act.
        act: u64,
        /// What was answered; empty if nothing was.
        answer: String,
    },
    /// What it did has come to nothing.
    Failed {
        /// The number of the act.
        act: u64,
        /// What it was to do, in words.
        deed: String,
        /// Why.
        why: String,
    },
    /// Nobody knows what has come of it: the process ended meanwhile.
    Unknown {
        /// The number of the act.
        act: u64,
        /// What it was to do, in words.
        deed: String,
    },
    /// It would have done something, and only says so.
    Would {
        /// What, in words.
        deed: String,
    },
    /// It leaves something alone because of what a person has ordered.
    Withheld {
        /// What, in words.
        deed: String,
        /// Because of what.
        why: String,
    },
    /// It was to tell people, and does.
    Tells,
    /// It can do no more.
    Escalated {
        /// Why.
        why: String,
        /// The target that is told, and no other; none for all of them.
        to: Option<Arc<str>>,
    },
    /// It has taken out what it had added, and whoever is called is told to end it.
    Shrinks,
    /// All rules are stopped.
    Stopped,
    /// They may act again.
    Started,
}

impl RuleEvent {
    /// What exactly happened, in one word that no later version changes.
    pub fn code(&self) -> &'static str {
        match self {
            RuleEvent::Began { .. } => "rule-began",
            RuleEvent::Ended { .. } => "rule-ended",
            RuleEvent::Failed { .. } => "rule-failed",
            RuleEvent::Unknown { .. } => "rule-end-unknown",
            RuleEvent::Would { .. } => "rule-would-act",
            RuleEvent::Withheld { .. } => "rule-withheld",
            RuleEvent::Tells => "rule-tells",
            RuleEvent::Escalated { .. } => "rule-escalated",
            RuleEvent::Shrinks => "rule-shrinks",
            RuleEvent::Stopped => "automation-stopped",
            RuleEvent::Started => "automation-started",
        }
    }

    /// How much it matters.
    pub(super) fn severity(&self) -> Severity {
        match self {
            RuleEvent::Escalated { .. } => Severity::Critical,
            RuleEvent::Tells => Severity::High,
            // What has failed is escalated besides.
            RuleEvent::Failed { .. } | RuleEvent::Unknown { .. } | RuleEvent::Stopped => {
                Severity::Medium
            }
            RuleEvent::Began { .. }
            | RuleEvent::Ended { .. }
            | RuleEvent::Would { .. }
            | RuleEvent::Withheld { .. }
            | RuleEvent::Shrinks
            | RuleEvent::Started => Severity::Low,
        }
    }

    /// What it names that tells it from others of its kind at the same place.
    pub(super) fn named(&self) -> String {
        match self {
            RuleEvent::Began { act, .. }
            | RuleEvent::Ended { act, .. }
            | RuleEvent::Failed { act, .. }
            | RuleEvent::Unknown { act, .. } => act.to_string(),
            RuleEvent::Withheld { why, .. } => why.clone(),
            RuleEvent::Would { .. }
            | RuleEvent::Tells
            | RuleEvent::Escalated { .. }
            | RuleEvent::Shrinks
            | RuleEvent::Stopped
            | RuleEvent::Started => String::new(),
        }
    }
}

impl Display for RuleEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            RuleEvent::Began { act, deed } => write!(f, "{deed} (act {act})"),
            RuleEvent::Ended { act, answer } if answer.is_empty() => {
                write!(f, "act {act} has ended well")
            }
            RuleEvent::Ended { act, answer } => write!(f, "act {act} has ended well: {answer}"),
            RuleEvent::Failed { act, deed, why } => {
                write!(f, "act {act} has come to nothing: it {deed}: {why}")
            }
            RuleEvent::Unknown { act, deed } => write!(
                f,
                "nobody knows what has come of act {act}: it {deed}, and Pointsman ended meanwhile; it \
                 is not done again"
            ),
            RuleEvent::Would { deed } => write!(f, "dry run: a rule that acts {deed} now"),
            RuleEvent::Withheld { deed, why } => {
                write!(f, "leaves this alone, and not {deed}: {why}")
            }
            RuleEvent::Tells => f.write_str("somebody should look"),
            RuleEvent::Escalated { why, .. } => write!(f, "can do no more: {why}"),
            RuleEvent::Shrinks => f.write_str("it is quiet: what was added is taken out again"),
            RuleEvent::Stopped => f.write_str("all rules of the automation are stopped"),
            RuleEvent::Started => f.write_str("the rules of the automation may act again"),
        }
    }
}

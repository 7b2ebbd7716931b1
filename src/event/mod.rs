//! One thing that happened, as a value: what, where, by whom and why in; its severity, its words, the
//! next command, the alert that it opens or closes, and what makes two of them alike out.
//!
//! Whoever decides or finds something makes an [`Event`]; nobody else chooses words or a severity for
//! it. The rim (`events`) numbers it, keeps it and tells it.

mod alert;
mod kind;
mod rule;
mod runbooks;
mod words;

use std::sync::Arc;

use crate::config::Severity;

pub use alert::{Alert, Turn};
pub use kind::{Kept, Kind};
pub use rule::RuleEvent;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Where.
    pub subject: Subject,
    /// Who did it, if somebody did.
    pub author: Option<String>,
    /// Why, in the author's words.
    pub reason: Option<String>,
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

    /// A service as a whole.
    pub fn service(name: &str) -> Subject {
        Subject::new(name, "", "")
    }
}

impl Event {
    /// Something that happened by itself.
    pub fn by_itself(kind: Kind, subject: Subject) -> Event {
        Event { kind, subject, author: None, reason: None }
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.kind.severity(&self.subject)
    }

    /// What happened, in a few words.
    pub fn words(&self) -> String {
        self.kind.to_string()
    }

    /// The command to run next, if there is one.
    pub fn next(&self) -> Option<String> {
        self.kind.next(&self.subject)
    }

    /// The runbook that tells what to do about it: a file of the repository; none where nobody is wanted.
    pub fn runbook(&self) -> Option<String> {
        runbooks::runbook(self.kind.code())
    }

    /// What happened, by whom and why, for who reads nothing else.
    pub fn told(&self) -> String {
        let by = self.author.as_ref().map_or_else(String::new, |author| format!(", by {author}"));
        let why = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("{}{by}{why}", self.words())
    }

    /// What it is the state of, and where: of those that share it, the last one says how it is now.
    pub fn topic(&self) -> String {
        let Subject { service, pool, upstream } = &self.subject;
        format!("{service}/{pool}/{upstream}/{}", self.kind.state_of())
    }

    /// Whether it says that trouble is over: who was told of that wants to hear it, however little it
    /// matters by itself.
    pub fn is_relief(&self) -> bool {
        alert::is_relief(self.kind.code())
    }

    /// The alert that it opens or closes; none where nobody is wanted.
    pub fn alert(&self) -> Option<Alert> {
        alert::alert(self.kind.code())
    }

    /// The one target of notices that is told of it, whatever it wants to hear of; none for all.
    pub fn only_for(&self) -> Option<&Arc<str>> {
        self.kind.only_for()
    }

    /// Whether nobody is to be called for it: what came of it is told by another one.
    pub fn is_for_the_record(&self) -> bool {
        self.kind.is_for_the_record()
    }

    /// What makes two of them alike: kind, place, and what the kind names. Words and figures of why
    /// make no difference.
    pub fn likeness(&self) -> String {
        let Subject { service, pool, upstream } = &self.subject;
        let (name, code, named) = (self.kind.name(), self.kind.code(), self.kind.named());
        format!("{name}/{service}/{pool}/{upstream}/{code}/{named}")
    }
}

#[cfg(test)]
mod tests;

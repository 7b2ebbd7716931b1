//! One incident, as a value: what people and rules say of it in, the next value of it out; and from
//! that its messages, what may mend it and a draft of its report.
//!
//! No clock, no store and no socket. Whoever decides (`orders`) keeps each value as one durable change,
//! which replaces the one before; so what is asked for twice is so once. Everything is bounded: a storm
//! of events is a few entries with a count, and nothing that it brings pushes out what people wrote.

mod alert;
mod impact;
mod messages;
mod report;
mod suggest;
mod timeline;
mod words;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::config::Severity;

pub use alert::{ALERTS_KEPT, Alert};
pub use impact::{Counting, Impact, Reading};
pub use messages::{Message, MessageKind};
pub use report::report;
pub use suggest::{Changed, Facts, ServiceFacts, Suspect, suggest};
pub use timeline::{Entry, EntryKind, Timeline};
pub use words::{LONGEST_NAME, LONGEST_TEXT, LONGEST_TITLE, clipped};

/// Incidents remembered, open and closed.
pub const KEPT: usize = 200;

/// Services that one incident is about at most.
pub const MOST_SERVICES: usize = 50;

/// One incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Counts from 1.
    pub id: u64,
    /// Counts up with what people and rules change of it; what is gathered makes no difference.
    pub revision: u64,
    /// What is wrong, in a few words.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The services concerned, in name order; none for the process as a whole.
    pub services: Vec<String>,
    /// Who leads.
    #[serde(default)]
    pub commander: Option<String>,
    /// Where people talk about it.
    #[serde(default)]
    pub channel: Option<String>,
    /// What opened it.
    pub origin: Origin,
    /// When.
    pub opened: WallTime,
    /// Since when users are not hurt any more, as people said.
    #[serde(default)]
    pub mitigated: Option<WallTime>,
    /// When it was closed.
    #[serde(default)]
    pub closed: Option<WallTime>,
    /// What ended it, in the words of who closed it.
    #[serde(default)]
    pub resolution: Option<String>,
    /// When the next update was promised for; none once it is closed.
    #[serde(default)]
    pub next_update: Option<WallTime>,
    /// How long after an update the next one is due.
    pub every: Duration,
    /// When it was last said that an update is due.
    #[serde(default)]
    pub reminded: Option<WallTime>,
    /// When requests began to fail, as far as that is known.
    #[serde(default)]
    pub first_failure: Option<WallTime>,
    /// What it has cost so far.
    #[serde(default)]
    pub impact: Impact,
    /// How that is counted.
    #[serde(default)]
    pub counting: Counting,
    /// Services whose rollouts it has frozen.
    #[serde(default)]
    pub froze: Vec<String>,
    /// What happened.
    #[serde(default)]
    pub timeline: Timeline,
    /// The last event that was looked at for it.
    #[serde(default)]
    pub seen: u64,
}

/// What opened an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// By whom or what kind of thing.
    pub kind: OriginKind,
    /// Who it was, or what happened.
    pub what: String,
    /// The number of the event that it was, if it was one: it opens no other one.
    #[serde(default)]
    pub event: u64,
}

/// What kind of thing opened an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OriginKind {
    /// Somebody.
    Person,
    /// A rollout that was taken back.
    Rollback,
    /// An error budget that burns too fast.
    Budget,
    /// An alert of somebody else.
    Alert,
}

impl OriginKind {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            OriginKind::Person => "person",
            OriginKind::Rollback => "rollback",
            OriginKind::Budget => "budget",
            OriginKind::Alert => "alert",
        }
    }
}

/// What an incident begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    /// What is wrong, in a few words.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// The services concerned.
    pub services: Vec<String>,
    /// Who leads.
    pub commander: Option<String>,
    /// Where people talk about it.
    pub channel: Option<String>,
    /// How long after an update the next one is due.
    pub every: Duration,
}

/// What an update says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// What is known now.
    pub text: String,
    /// How bad it is now; none for as before.
    pub severity: Option<Severity>,
    /// Who leads now; none for as before.
    pub commander: Option<String>,
    /// Where people talk about it now; none for as before.
    pub channel: Option<String>,
    /// How long until the next one; none for as before.
    pub every: Option<Duration>,
}

/// What was done with an incident, which is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was opened.
    Opened,
    /// Somebody has written something down.
    Noted,
    /// Somebody told how it is.
    Updated,
    /// Users are not hurt any more.
    Mitigated,
    /// It was closed.
    Closed,
    /// An update is due, and nobody has told anything.
    Due,
}

/// Why something cannot be said of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// It is closed.
    #[error("it is closed already")]
    Closed,
    /// It is mitigated.
    #[error("it is mitigated already")]
    Mitigated,
    /// Its timeline has as many words of people as are kept.
    #[error("it has as many notes and updates as are kept; close it, and open another")]
    Full,
}

impl Incident {
    /// A new one. Its first entry says how it began.
    pub fn open(id: u64, opening: Opening, origin: Origin, now: WallTime) -> Incident {
        let Opening { title, severity, mut services, commander, channel, every } = opening;
        services.sort();
        services.dedup();
        services.truncate(MOST_SERVICES);
        let name = |name: Option<String>| name.map(|name| clipped(&name, LONGEST_NAME));
        let (title, what) = (clipped(&title, LONGEST_TITLE), clipped(&origin.what, LONGEST_TEXT));
        let mut timeline = Timeline::default();
        let by = (origin.kind == OriginKind::Person).then(|| what.clone());
        let text = match origin.kind {
            OriginKind::Person => title.clone(),
            _ => format!("by rule: {what}"),
        };
        timeline.write(Entry::said(EntryKind::Opened, now, by, &text));
        Incident {
            id,
            revision: 1,
            title,
            severity,
            services,
            commander: name(commander),
            channel: name(channel),
            origin: Origin { what, ..origin },
            opened: now,
            mitigated: None,
            closed: None,
            resolution: None,
            next_update: Some(now + every),
            every,
            reminded: None,
            first_failure: None,
            impact: Impact::default(),
            counting: Counting::default(),
            froze: Vec::new(),
            timeline,
            seen: 0,
        }
    }

    /// Whether it goes on.
    pub fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// Whether it is about this service; one without services is about what is of none.
    pub fn is_about(&self, service: &str) -> bool {
        match self.services.is_empty() {
            true => service.is_empty(),
            false => self.services.iter().any(|own| own == service),
        }
    }

    /// In a word: `open`, `mitigated` or `closed`.
    pub fn state(&self) -> &'static str {
        match (self.closed, self.mitigated) {
            (Some(_), _) => "closed",
            (None, Some(_)) => "mitigated",
            (None, None) => "open",
        }
    }

    /// Somebody has written something down. A closed one takes notes too: what is found out later
    /// belongs into its report.
    pub fn note(&mut self, by: &str, text: &str, now: WallTime) -> Result<(), NotNow> {
        self.write(EntryKind::Note, Some(by), text, now)
    }

    /// Somebody tells how it is. The next update is due after the same time again.
    pub fn update(&mut self, by: &str, update: Update, now: WallTime) -> Result<(), NotNow> {
        if !self.is_open() {
            return Err(NotNow::Closed);
        }
        let Update { text, severity, commander, channel, every } = update;
        let mut text = text;
        if let Some(new) = severity.filter(|new| *new != self.severity) {
            text = format!("{text} (severity {} → {new})", self.severity);
        }
        self.write(EntryKind::Update, Some(by), &text, now)?;
        self.severity = severity.unwrap_or(self.severity);
        let name = |name: String| clipped(&name, LONGEST_NAME);
        self.commander = commander.map(name).or(self.commander.take());
        self.channel = channel.map(name).or(self.channel.take());
        self.every = every.unwrap_or(self.every);
        self.promise(now);
        Ok(())
    }

    /// Users are not hurt any more.
    pub fn mitigate(&mut self, by: &str, text: &str, now: WallTime) -> Result<(), NotNow> {
        match (self.is_open(), self.mitigated) {
            (false, _) => return Err(NotNow::Closed),
            (true, Some(_)) => return Err(NotNow::Mitigated),
            (true, None) => {}
        }
        self.write(EntryKind::Mitigated, Some(by), text, now)?;
        self.mitigated = Some(now);
        self.promise(now);
        Ok(())
    }

    /// It is over. What has not been said to be mitigated is so now.
    pub fn close(&mut self, by: &str, resolution: &str, now: WallTime) -> Result<(), NotNow> {
        if !self.is_open() {
            return Err(NotNow::Closed);
        }
        // There is always room for the last word.
        self.timeline.write(Entry::said(EntryKind::Closed, now, Some(by.into()), resolution));
        self.revision += 1;
        self.mitigated = self.mitigated.or(Some(now));
        self.closed = Some(now);
        self.resolution = Some(clipped(resolution, LONGEST_TEXT));
        self.next_update = None;
        Ok(())
    }

    /// Whether it is to be said now that an update is due: once when it is, and again whenever as
    /// much time has passed once more.
    pub fn is_due(&self, now: WallTime) -> bool {
        let due = match (self.next_update, self.reminded) {
            (None, _) => return false,
            (Some(due), None) => due,
            (Some(due), Some(reminded)) => due.max(reminded + self.every),
        };
        self.is_open() && due <= now
    }

    /// It was said.
    pub fn remind(&mut self, now: WallTime) {
        self.reminded = Some(now);
    }

    /// From the first failure, or from when it was opened if none is known, until it was opened.
    pub fn time_to_detect(&self) -> Option<Duration> {
        self.first_failure.map(|first| self.opened.elapsed_since(first))
    }

    /// From the first failure, or from when it was opened if none is known, until it was mitigated.
    pub fn time_to_mitigate(&self) -> Option<Duration> {
        let began = self.first_failure.unwrap_or(self.opened).min(self.opened);
        self.mitigated.map(|mitigated| mitigated.elapsed_since(began))
    }

    fn promise(&mut self, now: WallTime) {
        (self.next_update, self.reminded) = (Some(now + self.every), None);
    }

    fn write(
        &mut self,
        kind: EntryKind,
        by: Option<&str>,
        text: &str,
        now: WallTime,
    ) -> Result<(), NotNow> {
        if self.timeline.is_full() {
            return Err(NotNow::Full);
        }
        self.timeline.write(Entry::said(kind, now, by.map(Into::into), text));
        self.revision += 1;
        Ok(())
    }
}

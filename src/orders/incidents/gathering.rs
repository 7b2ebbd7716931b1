//! What happens in the course of incidents: events in, entries of timelines out; and incidents that a
//! rule opens.

use std::sync::Arc;
use std::time::Duration;

use super::super::draft::Draft;
use super::super::order::Scope;
use super::super::queue::Job;
use super::super::{By, Made, Now, Orders};
use crate::clock::WallTime;
use crate::config::{IncidentRules, Severity};
use crate::event::{Event, Subject};
use crate::incident::{Entry, EntryKind, Incident, Opening, Origin, OriginKind, Step};
use crate::snapshot::Snapshot;
use crate::state::{Change, State};

/// How long before it was opened, or before the first failure, what happened belongs to it.
const BEFORE: Duration = Duration::from_secs(60 * 60);

/// How old an event may be that opens one: of a process that was killed before it looked, it is news;
/// of yesterday it is none.
const NEWS: Duration = Duration::from_secs(15 * 60);

/// Who opens one by rule.
const ITSELF: &str = "pointsman";

/// An event, with its number and time.
#[derive(Clone, Copy, Debug)]
pub struct Happened<'a> {
    /// Its number.
    pub number: u64,
    /// When.
    pub at: WallTime,
    /// What.
    pub event: &'a Event,
}

/// What a rule makes of an event: an incident of this severity and origin.
fn rule(rules: &IncidentRules, event: &Event, number: u64) -> Option<(Severity, Origin)> {
    let (severity, kind) = match event.kind.code() {
        "rollout-rolled-back" => (rules.rollback?, OriginKind::Rollback),
        "budget-hold" | "budget-frozen" => (rules.budget?, OriginKind::Budget),
        _ => return None,
    };
    Some((severity, Origin { kind, what: event.words(), event: number }))
}

/// Up to which event a state has looked.
pub(in super::super) fn looked_at(state: &State) -> u64 {
    let looked = state.incidents().map(|incident| incident.seen.max(incident.origin.event));
    looked.max().unwrap_or_default()
}

impl Orders {
    /// Events with a higher number are still to be looked at.
    pub fn gathered(&self) -> u64 {
        let open = self.state.open_incidents().map(|incident| incident.seen);
        open.min().unwrap_or(u64::MAX).min(self.gathered)
    }

    /// Looks at what happened since it was asked last, the oldest first; once a second. Reminds of
    /// updates that are due, counts what incidents cost, and lets go of alerts that are over.
    pub fn gather(&mut self, events: &[Happened<'_>], snapshot: &Snapshot, now: Now) {
        self.open_by_rule(events, snapshot, now);
        let open: Vec<Arc<Incident>> = self.state.open_incidents().cloned().collect();
        for known in &open {
            let mut incident = (**known).clone();
            gather(&mut incident, events);
            self.view(snapshot, now).count_impact(&mut incident);
            if incident != **known {
                self.count(vec![Change::Incident(Arc::new(incident))]);
            }
        }
        if !open.is_empty() {
            self.remind(snapshot, now);
        }
        let gone = self.state.alerts().values().filter(|alert| alert.is_gone(now.wall));
        let forget = |fingerprint: &str| Change::ForgetAlert { fingerprint: fingerprint.into() };
        let gone: Vec<Change> = gone.map(|alert| forget(&alert.fingerprint)).collect();
        self.count(gone);
    }

    /// Opens incidents for what a rule names, unless one of the service is open. What cannot be
    /// stored now is looked at again.
    fn open_by_rule(&mut self, events: &[Happened<'_>], snapshot: &Snapshot, now: Now) {
        let rules = self.config.incidents.clone();
        let is_new = |happened: &&Happened<'_>| {
            happened.number > self.gathered && now.wall.elapsed_since(happened.at) < NEWS
        };
        let mut draft = Draft::new(&self.state, self.view(snapshot, now), By::new(ITSELF, None));
        let mut first = None;
        for happened in events.iter().filter(is_new) {
            let service = &happened.event.subject.service;
            let Some((severity, origin)) = rule(&rules, happened.event, happened.number) else {
                continue;
            };
            if draft.state.open_incidents().any(|incident| incident.is_about(service)) {
                continue;
            }
            let opening = Opening {
                title: format!("{service}: {}", origin.what),
                severity,
                services: vec![service.clone()],
                commander: None,
                channel: rules.channel.as_deref().map(Into::into),
                every: rules.updates,
            };
            // A service that is not served any more has no incident.
            if draft.open_incident(opening, origin, false).is_ok() {
                first = first.or(Some(happened.number));
            }
        }
        let decided = draft.decided(Made::Done);
        let last = events.last().map_or(self.gathered, |last| last.number.max(self.gathered));
        let Some(first) = first else {
            self.gathered = last;
            return;
        };
        // It is looked at again until it is stored: then one is open.
        self.gathered = first.saturating_sub(1).max(self.gathered);
        if !self.queue.keeps_back(&Scope::Incidents) {
            let job = Job::by_itself(Scope::Incidents, decided, now.instant);
            self.submit(job, snapshot, now);
        }
    }

    /// Says that updates are due.
    fn remind(&mut self, snapshot: &Snapshot, now: Now) {
        if self.queue.keeps_back(&Scope::Incidents) {
            return;
        }
        let is_due = |incident: &&Arc<Incident>| incident.is_due(now.wall);
        let due: Vec<Arc<Incident>> = self.state.open_incidents().filter(is_due).cloned().collect();
        let mut draft = Draft::new(&self.state, self.view(snapshot, now), By::new(ITSELF, None));
        for known in due {
            let mut incident = (*known).clone();
            incident.remind(now.wall);
            draft.keep_incident(incident, Step::Due);
        }
        let decided = draft.decided(Made::Done);
        if !decided.changes.is_empty() {
            let job = Job::by_itself(Scope::Incidents, decided, now.instant);
            self.submit(job, snapshot, now);
        }
    }
}

/// Takes in what happened to the services concerned, and to the process.
fn gather(incident: &mut Incident, events: &[Happened<'_>]) {
    let began = incident.first_failure.unwrap_or(incident.opened).min(incident.opened) - BEFORE;
    let seen = incident.seen;
    for Happened { number, at, event } in events.iter().filter(|happened| happened.number > seen) {
        incident.seen = *number;
        if *at >= began && concerns(incident, event) {
            let entry = Entry {
                place: place(&event.subject),
                severity: event.severity(),
                likeness: event.likeness(),
                ..Entry::said(EntryKind::Event, *at, event.author.clone(), &words(event))
            };
            incident.timeline.gather(entry);
        }
    }
}

/// Whether an event belongs to an incident: it is of one of its services, or trouble of the process,
/// or another config. What was done with incidents stands there already.
fn concerns(incident: &Incident, event: &Event) -> bool {
    let Subject { service, .. } = &event.subject;
    match event.kind.name() {
        "incident" | "audit" => false,
        "reload" => true,
        _ if service.is_empty() => incident.is_about("") || event.severity() > Severity::Low,
        _ => incident.is_about(service),
    }
}

/// What happened and why.
fn words(event: &Event) -> String {
    match &event.reason {
        Some(reason) => format!("{}: {reason}", event.words()),
        None => event.words(),
    }
}

/// As in `shop/blue 10.0.0.11:9000`.
fn place(subject: &Subject) -> String {
    let Subject { service, pool, upstream } = subject;
    let pool = if pool.is_empty() { String::new() } else { format!("/{pool}") };
    format!("{service}{pool} {upstream}").trim().to_string()
}

//! Incidents: what people, rules and other people's alerts say in, changes and what is told out.
//!
//! One that a rule opens is decided here when the event is looked at that it is for, a second later at
//! most. Events are numbered and kept; what was looked at is kept with the incident. So a process that
//! is killed in between looks at the same event again, and whatever was stored already is not done
//! twice. Nothing of this is on the way of any request, and a storm is looked at once a second.

mod alerts;
mod facts;
mod gathering;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::draft::{Draft, View};
use super::impacts::Mark;
use super::{Made, Refused};
use crate::event::{Kind, Subject};
use crate::incident::{
    Incident, Message, MessageKind, Opening, Origin, OriginKind, Step, Update, clipped,
};
use crate::state::{About, Change};

pub use facts::incident_facts;
pub use gathering::Happened;
pub(super) use gathering::looked_at;

/// The longest reason of a freeze, in characters: a title may be longer.
const LONGEST_REASON: usize = 300;

/// What is to be done with an incident.
#[derive(Clone, Debug, PartialEq)]
pub enum IncidentOrder {
    /// A new one.
    Open {
        /// What it begins with.
        opening: Opening,
        /// Whether rollouts of its services are frozen until it is closed.
        freezes: bool,
    },
    /// Something is written down.
    Note {
        /// Which.
        id: u64,
        /// What.
        text: String,
    },
    /// It is told how it is.
    Update {
        /// Which.
        id: u64,
        /// How it is.
        update: Update,
    },
    /// Users are not hurt any more.
    Mitigate {
        /// Which.
        id: u64,
        /// What has helped.
        text: String,
    },
    /// It is over.
    Close {
        /// Which.
        id: u64,
        /// What has ended it.
        resolution: String,
    },
}

/// What marks a freeze as an incident's.
fn reason_of(id: u64) -> String {
    format!("incident {id}:")
}

impl Draft<'_> {
    /// Does what somebody wants done with an incident.
    pub(super) fn order_incident(&mut self, order: &IncidentOrder) -> Result<Made, Refused> {
        let now = self.view.now.wall;
        let by = self.by.author.clone();
        let (id, step) = match order {
            IncidentOrder::Open { opening, freezes } => {
                let origin = Origin { kind: OriginKind::Person, what: by, event: 0 };
                let incident = self.open_incident(opening.clone(), origin, *freezes)?;
                return Ok(Made::Incident(incident));
            }
            IncidentOrder::Note { id, .. } => (*id, Step::Noted),
            IncidentOrder::Update { id, .. } => (*id, Step::Updated),
            IncidentOrder::Mitigate { id, .. } => (*id, Step::Mitigated),
            IncidentOrder::Close { id, .. } => (*id, Step::Closed),
        };
        let known = self.state.incident(id).ok_or(Refused::NoIncident(id))?;
        self.check_expected(known.revision)?;
        let mut incident = (**known).clone();
        self.view.count_impact(&mut incident);
        let done = match order {
            IncidentOrder::Note { text, .. } => incident.note(&by, text, now),
            IncidentOrder::Update { update, .. } => incident.update(&by, update.clone(), now),
            IncidentOrder::Mitigate { text, .. } => incident.mitigate(&by, text, now),
            IncidentOrder::Close { resolution, .. } => incident.close(&by, resolution, now),
            IncidentOrder::Open { .. } => Ok(()),
        };
        done.map_err(|why| Refused::IncidentNot { id, why })?;
        if step == Step::Closed {
            self.lift_freezes(&mut incident);
        }
        Ok(Made::Incident(self.keep_incident(incident, step)))
    }

    /// Opens one, and freezes its services if that is wished.
    pub(super) fn open_incident(
        &mut self,
        opening: Opening,
        origin: Origin,
        freezes: bool,
    ) -> Result<Arc<Incident>, Refused> {
        for service in &opening.services {
            if self.view.config.service(service).is_none() {
                return Err(Refused::NoService(service.clone()));
            }
        }
        let id = self.state.incidents().next().map_or(1, |newest| newest.id + 1);
        let mut incident = Incident::open(id, opening, origin, self.view.now.wall);
        self.view.begin_impact(&mut incident);
        if freezes {
            self.freeze_for(&mut incident)?;
        }
        Ok(self.keep_incident(incident, Step::Opened))
    }

    /// Puts an incident in the place of the one before, and says what was done.
    pub(super) fn keep_incident(&mut self, incident: Incident, step: Step) -> Arc<Incident> {
        let incident = Arc::new(incident);
        self.change(Change::Incident(incident.clone()));
        let text = told(&incident, step, self.view);
        let (id, revision, severity) = (incident.id, incident.revision, incident.severity);
        let subject = match &incident.services[..] {
            [service] => Subject::service(service),
            _ => Subject::default(),
        };
        self.say(Kind::Incident { id, revision, step, severity, text }, subject);
        incident
    }

    /// Freezes those of its services that nobody has frozen.
    fn freeze_for(&mut self, incident: &mut Incident) -> Result<(), Refused> {
        let own = self.by.reason.take();
        let reason = format!("{} {}", reason_of(incident.id), incident.title);
        self.by.reason = Some(clipped(&reason, LONGEST_REASON));
        for service in incident.services.clone() {
            if self.state.order(&About::freeze(&service)).is_none() {
                self.freeze(&service, super::FreezeOrder::Freeze { length: None })?;
                incident.froze.push(service);
            }
        }
        self.by.reason = own;
        Ok(())
    }

    /// Lifts the freezes that it has set. One that somebody has set anew since is theirs.
    fn lift_freezes(&mut self, incident: &mut Incident) {
        let mark = reason_of(incident.id);
        for service in std::mem::take(&mut incident.froze) {
            let is_own = self.state.order(&About::freeze(&service)).is_some_and(|standing| {
                standing.reason.as_ref().is_some_and(|reason| reason.starts_with(&mark))
            });
            if is_own && self.view.config.service(&service).is_some() {
                // It is refused if it is over meanwhile, and then there is nothing to lift.
                let _ = self.freeze(&service, super::FreezeOrder::Lift);
            }
        }
    }
}

/// What is told of what was done.
fn told(incident: &Incident, step: Step, view: View<'_>) -> String {
    let (id, title) = (incident.id, &incident.title);
    let message = |kind| Message::of(incident, kind, view.now.wall).line();
    let last = || incident.timeline.entries().last().map(|last| last.text.clone());
    match step {
        Step::Opened => message(MessageKind::Notification),
        Step::Updated | Step::Mitigated => message(MessageKind::Update),
        Step::Closed => message(MessageKind::Resolution),
        Step::Noted => format!("incident {id}: {}", last().unwrap_or_default()),
        Step::Due => format!("an update of incident {id} is due: {title}"),
    }
}

impl View<'_> {
    /// Has an incident count from the first failure of its services, or from now.
    fn begin_impact(&self, incident: &mut Incident) {
        let now = self.now.wall;
        incident.counting.process = self.process;
        for service in &incident.services {
            let first = self.impacts.first_failure(service, now);
            let from = match first {
                Some(first) => Some(first.came),
                None => self.impacts.reading(self.snapshot, service),
            };
            incident.counting.from.extend(from.map(|from| (service.clone(), from)));
            if let Some(Mark { at, left, .. }) = first {
                let earliest = incident.first_failure.map_or(at, |known| known.min(at));
                incident.first_failure = Some(earliest);
                let left = left.map(|left| (service.clone(), left));
                incident.counting.remaining.extend(left);
            }
        }
        self.count_impact(incident);
    }

    /// Counts what an incident has cost up to now.
    pub(super) fn count_impact(&self, incident: &mut Incident) {
        if !incident.is_open() {
            return;
        }
        let left = |service: &str| self.budgets.remaining(service, self.now.wall);
        let came = |service: &str| self.impacts.reading(self.snapshot, service);
        let Incident { impact, counting, services, .. } = incident;
        *impact = counting.impact(impact, self.process, services, came, left);
        if incident.first_failure.is_none() {
            let now = self.now.wall;
            let first = |service: &String| self.impacts.first_failure(service, now);
            let first = incident.services.iter().filter_map(first).map(|first| first.at).min();
            incident.first_failure = first.filter(|_| incident.impact.came.failed > 0);
        }
    }
}

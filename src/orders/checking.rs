//! The A/A check of all services: what was recorded in, tallies and what is said of them out.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Effect, Orders};
use crate::aa::{Concluded, Known, Tally};
use crate::event::{Event, Kind, Subject};
use crate::history::History;
use crate::recording::Recording;
use crate::rollout::RolloutSettings;
use crate::snapshot::Snapshot;
use crate::state::{Change, State};

/// What is known of services.
struct Seen<'a> {
    state: &'a State,
    history: &'a History,
}

impl Known for Seen<'_> {
    fn tally(&self, service: &str) -> Tally {
        self.state.checked().get(service).map(|tally| Tally::clone(tally)).unwrap_or_default()
    }

    fn newest(&self, service: &str) -> Option<u64> {
        self.history.newest_minute(service)
    }

    fn recording(&self, service: &str) -> Recording {
        self.history.recording(service).unwrap_or_default()
    }
}

impl Orders {
    /// A second's work on whether the judge keeps what is as good as the rest.
    pub(super) fn check_judge(&mut self, snapshot: &Snapshot) {
        let services = snapshot.services.iter().filter_map(|service| {
            let settings: &RolloutSettings = service.rollout.as_ref()?;
            let is_judged = settings.judging.settings.enabled && service.pools.len() > 1;
            is_judged.then_some((&service.name, settings))
        });
        let services: Vec<(&Arc<str>, &RolloutSettings)> = services.collect();
        let seen = Seen { state: &self.state, history: &self.history };
        let (concluded, _) = self.checks.tick(&services, &seen);
        let mut changes = Vec::new();
        for Concluded { service, tally, is_news } in concluded {
            if is_news {
                self.effects.push(Effect::Say(said(&service, &tally)));
            }
            changes.push(Change::Checked { service, tally: Some(Arc::new(tally)) });
        }
        let names: HashSet<&Arc<str>> = services.iter().map(|(name, _)| *name).collect();
        let gone = self.state.checked().keys().filter(|name| !names.contains(name));
        changes.extend(gone.map(|name| Change::Checked { service: name.clone(), tally: None }));
        self.count(changes);
        for service in &snapshot.services {
            let tally = names
                .contains(&service.name)
                .then(|| self.state.checked().get(&service.name).cloned().unwrap_or_default());
            service.state.set_checked(tally);
        }
    }
}

/// That more is taken back than was promised.
fn said(service: &Arc<str>, tally: &Tally) -> Event {
    let counts = tally.counts();
    let whose = tally.worst().filter(|(_, times)| *times * 2 > counts.bad);
    let upstream = whose.map(|(name, _)| name.clone());
    let kind = Kind::JudgeMistaken { taken_back: counts.bad, trials: counts.total, upstream };
    Event { kind, subject: Subject::service(service), author: None, reason: None }
}

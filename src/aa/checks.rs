//! Whose trial it is, and how much work that may be: services in, tallies that changed out.

use std::sync::Arc;

use super::{MINUTES, Tally, Trial};
use crate::recording::Recording;
use crate::rollout::RolloutSettings;

/// What a second may cost for all services together, in units of about a microsecond: an upstream's second that
/// is looked at, of which [`Trial::step`] says how many it was. Half of what half a percent of a core would be.
pub const WORK: usize = 2_500;

/// Services that are looked at in a second for whether a trial of theirs is due.
const LOOKS: usize = 20;

/// What such a look costs.
const LOOK: usize = 4;

/// The trials of all services, one after the other.
#[derive(Debug, Default)]
pub struct Checks {
    /// The one under way, of a service.
    trial: Option<(Arc<str>, Box<Trial>)>,
    /// Whose turn it is among the services.
    next: usize,
    /// What was done beyond [`WORK`], for a piece of it is larger where there are many upstreams: so much less
    /// is done in the seconds that follow.
    owed: usize,
}

/// A tally that is another now.
#[derive(Clone, Debug, PartialEq)]
pub struct Concluded {
    /// Of this service.
    pub service: Arc<str>,
    /// As it is.
    pub tally: Tally,
    /// Whether it is to be told that more is taken back than was promised.
    pub is_news: bool,
}

/// What is asked about a service.
pub trait Known {
    /// What came of its trials so far.
    fn tally(&self, service: &str) -> Tally;

    /// The number of its newest minute; none if nothing is recorded.
    fn newest(&self, service: &str) -> Option<u64>;

    /// What was recorded of it.
    fn recording(&self, service: &str) -> Recording;
}

impl Checks {
    /// A second's work for these services, with what it came to in units: over many seconds at most [`WORK`]
    /// each, and in one at most a piece more, which is to begin a trial, or a second of one.
    pub fn tick(
        &mut self,
        services: &[(&Arc<str>, &RolloutSettings)],
        known: &impl Known,
    ) -> (Vec<Concluded>, usize) {
        let (mut concluded, mut done, mut looked) = (Vec::new(), 0, 0);
        let may = WORK.saturating_sub(self.owed);
        let settings_of = |name: &Arc<str>| {
            services.iter().find(|(known, _)| **known == *name).map(|(_, settings)| *settings)
        };
        // Its service may be gone, or have no rollouts any more.
        self.trial = self.trial.take().filter(|(name, _)| settings_of(name).is_some());
        while done < may {
            let Some((name, mut trial)) = self.trial.take() else {
                if looked >= services.len().min(LOOKS) {
                    break;
                }
                looked += 1;
                let (name, settings) = services[self.next % services.len()];
                self.next = (self.next + 1) % services.len();
                done += LOOK;
                let (changed, cost) = self.begin(name, settings, known);
                done += cost;
                concluded.extend(changed);
                continue;
            };
            let (ended, cost) = trial.step();
            done += cost;
            let Some(is_taken_back) = ended else {
                self.trial = Some((name, trial));
                continue;
            };
            // What was tried under other settings says nothing of these.
            if let Some(settings) = settings_of(&name).filter(|settings| trial.is_of(settings)) {
                let newest = known.newest(&name).unwrap_or_default();
                let mut tally = known.tally(&name).for_settings(settings, newest);
                let is_news = tally.note(trial.canary(), is_taken_back);
                concluded.push(Concluded { service: name, tally, is_news });
            }
        }
        self.owed = (self.owed + done).saturating_sub(WORK);
        (concluded, done)
    }

    /// Begins a trial of a service if one is due; its tally, if that says something else now.
    fn begin(
        &mut self,
        name: &Arc<str>,
        settings: &RolloutSettings,
        known: &impl Known,
    ) -> (Option<Concluded>, usize) {
        let Some(newest) = known.newest(name) else { return (None, 0) };
        let before = known.tally(name);
        // Numbers begin anew where a store was lost.
        let is_due =
            before.looked.is_none_or(|looked| newest < looked || newest >= looked + MINUTES as u64);
        let mut tally = before.clone().for_settings(settings, newest);
        let service = name.clone();
        if !is_due {
            let changed = tally != before;
            return (changed.then_some(Concluded { service, tally, is_news: false }), 0);
        }
        tally.since = tally.since.filter(|since| *since <= newest);
        let mut recording = known.recording(name);
        recording.minutes.retain(|minute| tally.since.is_none_or(|since| minute.number > since));
        let (begun, cost) = Trial::begin(&recording, settings, tally.turn);
        tally.why_not = begun.as_ref().err().copied();
        tally.looked = Some(newest);
        if let Ok(trial) = begun {
            self.trial = Some((name.clone(), Box::new(trial)));
        }
        let changed = (tally != before).then_some(Concluded { service, tally, is_news: false });
        (changed, cost)
    }
}

//! What is in force and not stored. An order against a rollout is noted on a page that needs no room on
//! the disk, and heeded by the next process, which would go on with the rollout otherwise. What the file
//! has changed at a start is stored with whatever the disk takes first; the next process would find it
//! in the file as this one did.

use super::draft::Draft;
use super::order::Scope;
use super::queue::Job;
use super::storing::EDITS;
use super::{By, Effect, Haste, Made, Now, Orders};
use crate::event::{Event, Kind, Subject};
use crate::snapshot::Snapshot;
use crate::state::{Change, Unstored};

/// Who pauses what was ordered back.
const ITSELF: &str = "pointsman";

impl Job {
    /// What is to be noted of it while it is not stored: the rollout that it ends.
    pub(super) fn against_rollout(&self, now: Now) -> Option<Unstored> {
        let ended = self.changes.iter().find_map(|change| match change {
            Change::Past(rollout) if self.scope.is_of(&rollout.service) => Some(rollout),
            _ => None,
        })?;
        let (service, rollout) = (ended.service.clone(), ended.id);
        let what = format!("rollout {rollout}: {}", ended.status(now.wall).words);
        Some(Unstored { service, rollout, what })
    }
}

impl Orders {
    /// What the page of the disk is to say.
    pub fn unstored(&self) -> Vec<Unstored> {
        let is_due = |job: &&Job| job.is_told || job.is_noted;
        let due = self.queue.urgent.iter().filter(is_due);
        due.filter_map(|job| job.note.clone()).collect()
    }

    /// The page says this from now on.
    pub fn on_noted(&mut self, unstored: &[Unstored]) {
        for job in &mut self.queue.urgent {
            let is_said = |note: &Unstored| unstored.contains(note);
            job.is_noted = job.note.as_ref().is_some_and(is_said);
        }
    }

    /// What the file has changed at the start is in force and not stored, and why; it is stored once the
    /// disk takes something.
    pub fn go_on_unstored(&mut self, edits: Vec<Change>, why: String) {
        self.queue.keep_unsaved(edits);
        self.effects.push(Effect::Say(Event::by_itself(
            Kind::Unstored { what: EDITS.into(), why },
            Subject::default(),
        )));
    }

    /// Pauses rollouts of which the page said when the process began that something was in force
    /// against them. That is in force at once, also on a disk that is full still, and the page says it
    /// until it is stored.
    pub fn heed(&mut self, unstored: &[Unstored], snapshot: &Snapshot, now: Now) {
        for note in unstored {
            let known = self.state.rollout(&note.service).filter(|known| known.id == note.rollout);
            let Some(known) = known else { continue };
            let mut rollout = (**known).clone();
            // As `resume_rollouts` has it, which asks for what is to be begun again.
            rollout.resume(now.wall);
            let actions = rollout.pause_unstored(&note.what, now.wall);
            let mut draft =
                Draft::new(&self.state, self.view(snapshot, now), By::new(ITSELF, None));
            draft.perform(rollout, actions);
            draft.haste = Haste::Traffic;
            let decided = draft.decided(Made::Done);
            let scope = Scope::Service(note.service.clone());
            let job = Job::by_itself(scope, decided, now.instant);
            self.submit(Job { note: Some(note.clone()), is_noted: true, ..job }, snapshot, now);
        }
    }
}

//! What a rollout wants done, as changes and effects: the one place where its actions are read.

use std::sync::Arc;

use super::draft::Draft;
use super::{By, Effect, Haste};
use crate::event::{Event, Kind, Subject};
use crate::rollout::{self, Action, Outcome, Rollout};
use crate::split::BasisPoints;
use crate::state::{Change, Draft as Drafted, What};

impl Draft<'_> {
    /// Takes in a rollout's new state with all that it wants.
    pub fn perform(&mut self, rollout: Rollout, actions: Vec<Action>) {
        let name = rollout.service.clone();
        let author = format!("rollout {} by {}", rollout.id, rollout.author);
        let before = std::mem::replace(&mut self.by, By::new(&author, None));
        if let Some((outcome, _)) = &rollout.ended {
            // Of its last step, not of the way back, which comes below.
            let last = self.state.newest(&name).filter(|last| last.rollout == Some(rollout.id));
            if let Some(number) = last.map(|last| last.number) {
                self.note_outcome(&name, number, outcome.name());
            }
            let takes_back = actions.iter().any(|action| matches!(action, Action::Shift { .. }));
            let is_back = matches!(outcome, Outcome::RolledBack { .. } | Outcome::Aborted { .. });
            if is_back && takes_back || matches!(outcome, Outcome::Aborted { .. }) {
                self.haste = Haste::Traffic;
            }
        }
        actions.into_iter().for_each(|action| self.take(action, &rollout));
        self.by = before;
        self.keep(Arc::new(rollout));
    }

    fn take(&mut self, action: Action, rollout: &Rollout) {
        let (name, to) = (&rollout.service, &rollout.plan.to);
        match action {
            Action::Shift { split, why } => {
                // What proved fit for traffic is a new version in the contracted one's place.
                if split.weight(to) > BasisPoints::NONE {
                    self.clear(&contracted(rollout, to));
                }
                let (author, at) = (self.by.author.clone(), self.view.now.wall.seconds());
                let (reason, rollout) = (Some(why), Some(rollout.id));
                self.revise(name, Drafted { split, author, reason, at, rollout }, None);
                self.effects.push(Effect::BeginStep { service: name.clone() });
            }
            Action::Drain(upstream) => self.put(drain(rollout, &upstream), None),
            Action::Renew(upstream) => {
                self.clear(&drain(rollout, &upstream));
                let (service, pool) = (name.clone(), to.clone());
                self.effects.push(Effect::Renew { service, pool, upstream });
            }
            Action::Contract { pool } => self.put(contracted(rollout, &pool), None),
            Action::Begin(task) => {
                self.effects.push(Effect::Begin { rollout: Box::new(rollout.clone()), task });
            }
            Action::Say(event) => {
                let reason = rollout.reason.clone();
                self.say_of_rollout(name, rollout.id, Some(&rollout.author), event, reason);
            }
        }
    }

    /// Keeps where a rollout is, among those under way or the past ones.
    pub fn keep(&mut self, rollout: Arc<Rollout>) {
        let (service, id) = (rollout.service.clone(), rollout.id);
        if rollout.is_over() {
            self.change(Change::Past(rollout));
            self.change(Change::EndRollout { service: service.clone() });
            self.change(Change::ForgetHeard { service });
        } else {
            let heard = rollout.heard().clone();
            self.change(Change::Rollout(rollout));
            self.change(Change::Heard { service, id, heard });
        }
    }

    /// Ends the rollout of a service because its traffic is changed past it, if there is one.
    pub fn supersede(&mut self, service: &str, by: &str, is_rollback: bool) {
        let Some(rollout) = self.state.rollout(service) else { return };
        let mut rollout = (**rollout).clone();
        let actions = rollout.supersede(by, is_rollback, self.view.now.wall);
        self.perform(rollout, actions);
    }

    pub fn say_of_rollout(
        &mut self,
        service: &str,
        id: u64,
        by: Option<&str>,
        event: rollout::Event,
        reason: Option<String>,
    ) {
        let author =
            by.map_or_else(|| format!("rollout {id}"), |by| format!("rollout {id} by {by}"));
        self.effects.push(Effect::Say(Event {
            kind: Kind::Rollout { id, event: event.into() },
            subject: Subject::service(service),
            author: Some(author),
            reason,
        }));
    }
}

/// That a pool's version cannot run on the schema that a rollout has narrowed.
fn contracted(rollout: &Rollout, pool: &str) -> What {
    let (service, pool) = (rollout.service.to_string(), pool.to_string());
    What::Contracted { service, pool, by_rollout: rollout.id }
}

/// An upstream that a rolling rollout has taken out.
fn drain(rollout: &Rollout, upstream: &str) -> What {
    What::Drain {
        service: rollout.service.to_string(),
        pool: rollout.plan.to.to_string(),
        upstream: upstream.to_string(),
    }
}

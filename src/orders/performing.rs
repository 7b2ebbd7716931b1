//! What a rollout wants done, as changes and effects: the one place where its actions are read.

use std::sync::Arc;

use super::draft::Draft;
use super::{By, Effect, Haste};
use crate::event::{Event, Kind, Subject};
use crate::rollout::{self, Action, Doer, Outcome, Rollout};
use crate::split::BasisPoints;
use crate::state::{Change, Draft as Drafted, What};

/// Who takes traffic back by evidence.
const JUDGE: &str = "judge";

impl Draft<'_> {
    /// Takes in a rollout's new state with all that it wants.
    pub fn perform(&mut self, mut rollout: Rollout, actions: Vec<Action>) {
        let name = rollout.service.clone();
        // What a person ordered is that person's doing, and what the judge takes back is the judge's.
        let author = match &rollout.ended {
            Some((Outcome::RolledBack { .. }, _)) => JUDGE.to_string(),
            Some((Outcome::Aborted { by, .. }, _)) => by.clone(),
            _ => format!("rollout {} by {}", rollout.id, rollout.author),
        };
        let orderer = std::mem::replace(&mut self.by, By::new(&author, None));
        if let Some((outcome, _)) = &rollout.ended {
            // Of its last step, not of the way back, which comes below.
            let last = self.state.newest(&name).filter(|last| last.rollout == Some(rollout.id));
            if let Some(number) = last.map(|last| last.number) {
                self.note_outcome(&name, number, outcome.name());
            }
            let takes_back = actions.iter().any(|action| matches!(action, Action::Shift { .. }));
            let is_back = matches!(outcome, Outcome::RolledBack { .. } | Outcome::Aborted { .. });
            if is_back {
                let (service, pool) = (name.clone(), rollout.plan.to.clone());
                self.effects.push(Effect::Forget { service, pool });
            }
            if is_back && takes_back || matches!(outcome, Outcome::Aborted { .. }) {
                self.haste = Haste::Traffic;
            }
        }
        for action in actions {
            if let Action::Shift { split, .. } = &action
                && !rollout.is_over()
                && let Some(event) = self.step_overloads(&rollout, split)
            {
                rollout.note_beside(&event, self.view.now.wall);
                self.say_of_rollout(&name, rollout.id, author.clone(), event, None);
            }
            self.take(action, &rollout, &orderer);
        }
        if rollout.is_over() && rollout.deploy.is_some() && self.give_back(&rollout) {
            let event = rollout::Event::GivenBack { pool: rollout.plan.to.clone() };
            rollout.note_beside(&event, self.view.now.wall);
            let author = format!("rollout {} by {}", rollout.id, rollout.author);
            self.say_of_rollout(&name, rollout.id, author, event, None);
        }
        self.by = orderer;
        self.keep(Arc::new(rollout));
    }

    fn take(&mut self, action: Action, rollout: &Rollout, orderer: &By) {
        let (name, to) = (&rollout.service, &rollout.plan.to);
        match action {
            Action::Shift { split, why } => {
                // What proved fit for traffic is a new version in the contracted one's place.
                if split.weight(to) > BasisPoints::NONE {
                    self.clear(&contracted(rollout, to));
                    self.settle_version(name, to);
                }
                let (author, at) = (self.by.author.clone(), self.view.now.wall.seconds());
                // One that has ended shifts but to take its traffic back.
                let is_back = rollout.is_over();
                let (reason, rollout) = (Some(why), Some(rollout.id));
                let drafted = Drafted { split, author, reason, at, rollout, is_back };
                self.revise(name, drafted, None);
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
                let (author, reason) = match event.doer() {
                    Doer::Starter => (rollout.author.clone(), rollout.reason.clone()),
                    Doer::Orderer => (orderer.author.clone(), orderer.reason.clone()),
                    Doer::Judge => (JUDGE.to_string(), None),
                    Doer::Plan => (format!("rollout {} by {}", rollout.id, rollout.author), None),
                };
                self.say_of_rollout(name, rollout.id, author, event, reason);
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
        author: String,
        event: rollout::Event,
        reason: Option<String>,
    ) {
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

//! What a rollout wants done is committed with its new state, and then done.

use super::rollouts::UnderWay;
use super::{Desk, Effect, Now};
use crate::event::{Event, Kind, Subject};
use crate::orders::{Order, Refused};
use crate::rollout::{self, Action, Rollout};
use crate::snapshot::Snapshot;
use crate::split::BasisPoints;
use crate::store::{Batch, Draft, OverrideKey, Revision, What};
use crate::upstream::Proof;

/// A rollout that ends because its service's traffic is changed past it.
pub(super) struct Superseded {
    rollout: Rollout,
    actions: Vec<Action>,
}

/// A rollout that has taken its traffic back, in memory alone.
#[derive(Debug)]
pub(super) struct Unstored {
    /// As it is to be stored.
    pub under_way: UnderWay,
    actions: Vec<Action>,
}

impl Desk {
    /// What must not wait for a disk with room: traffic leaves a target that fails, or that somebody
    /// has aborted. The store still holds the rollout as under way, so a process that is killed now
    /// goes on there, and judges anew.
    pub(super) fn retreat(&mut self, under_way: UnderWay, actions: Vec<Action>, why: &str) {
        let rollout = &under_way.rollout;
        let back = actions.iter().find_map(|action| match action {
            Action::Shift { split, .. } if rollout.is_over() => Some(split.clone()),
            _ => None,
        });
        let name = rollout.service.clone();
        let (Some(split), Some(traffic)) = (back, self.run_time.traffic.get_mut(&name)) else {
            return;
        };
        (traffic.split, traffic.layout) = (split, None);
        self.is_changed = true;
        // What to do about it is said with the store's own event.
        let why = why.split(';').next().unwrap_or_default();
        let (id, from) = (rollout.id, rollout.plan.from.clone());
        self.effects.push(Effect::Say(Event {
            kind: Kind::RolloutUnstored { id, from, why: why.into() },
            subject: Subject::service(&name),
            author: Some(format!("rollout {id} by {}", rollout.author)),
            reason: None,
        }));
        self.unstored.insert(name, Unstored { under_way, actions });
    }

    /// Stores what was taken back in memory alone, if anything was.
    pub(super) fn store_retreat(
        &mut self,
        name: &str,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        let Some(Unstored { under_way, actions }) = self.unstored.get(name) else {
            return Ok(());
        };
        let (under_way, actions) = (under_way.clone(), actions.clone());
        self.perform(under_way, actions, Batch::new(), snapshot, now)
    }

    /// Commits a rollout's new state with all that it wants, and then does it.
    pub(super) fn perform(
        &mut self,
        under_way: UnderWay,
        actions: Vec<Action>,
        mut batch: Batch,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        let rollout = &under_way.rollout;
        let name = rollout.service.clone();
        let by = Order::of(&format!("rollout {} by {}", rollout.id, rollout.author), None);
        let mut expected = self.newest_number(&name);
        for action in &actions {
            match action {
                Action::Shift { split, why } => {
                    let draft = Draft {
                        split: split.clone(),
                        author: by.author.clone(),
                        reason: Some(why.clone()),
                        at: now.wall.seconds(),
                        rollout: Some(rollout.id),
                    };
                    batch.revise(&name, expected, draft);
                    expected += 1;
                    // What proved fit for traffic is a new version in the contracted one's place.
                    let key = contracted(rollout);
                    if split.weight(&rollout.plan.to) > BasisPoints::NONE
                        && self.overrides.contains_key(&key)
                    {
                        batch.clear(key);
                    }
                }
                Action::Drain(upstream) => {
                    batch.set(Desk::override_of(drain(rollout, upstream), &by, now, None));
                }
                Action::Renew(upstream) => {
                    batch.clear(drain(rollout, upstream).key());
                }
                Action::Contract { pool } => {
                    let what = What::Contracted {
                        service: name.to_string(),
                        pool: pool.to_string(),
                        by_rollout: rollout.id,
                    };
                    batch.set(Desk::override_of(what, &by, now, None));
                }
                Action::Begin(_) | Action::Say(_) => {}
            }
        }
        match rollout.is_over() {
            true => {
                // Of its last step, not of the way back, which this batch may make.
                if let Some((outcome, _)) = &rollout.ended
                    && let Some(newest) = self.newest.get(&name)
                    && newest.rollout == Some(rollout.id)
                {
                    batch.outcome(&name, newest.number, outcome.name());
                }
                batch.end_rollout(rollout);
            }
            false => drop(batch.rollout(rollout)),
        }
        let revisions = self.commit(batch)?;
        self.believe(under_way, actions, &revisions, &by, snapshot, now);
        Ok(())
    }

    fn believe(
        &mut self,
        mut under_way: UnderWay,
        actions: Vec<Action>,
        revisions: &[Revision],
        by: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) {
        let rollout = under_way.rollout.clone();
        let name = rollout.service.clone();
        revisions.iter().for_each(|revision| self.take(&name, revision));
        let moment = snapshot.moment(now.instant);
        let service = snapshot.service(&name);
        let probes = service.is_some_and(|service| service.stability.health.is_some());
        let find =
            |upstream: &str| super::find_upstream(snapshot, &name, &rollout.plan.to, upstream);
        for action in actions {
            match action {
                Action::Shift { split, .. } => {
                    if split.weight(&rollout.plan.to) > BasisPoints::NONE {
                        self.overrides.remove(&contracted(&rollout));
                    }
                    service.into_iter().for_each(|service| under_way.observing.begin_step(service));
                }
                Action::Drain(upstream) => {
                    let standing = Desk::override_of(drain(&rollout, &upstream), by, now, None);
                    self.overrides.insert(standing.what.key(), standing);
                    find(&upstream).into_iter().for_each(|found| found.set_draining(true));
                }
                Action::Renew(upstream) => {
                    self.overrides.remove(&drain(&rollout, &upstream).key());
                    if let Some(found) = find(&upstream) {
                        if probes {
                            // What it proved was another version's.
                            found.set_proof(Proof::Unproven, moment);
                        }
                        found.come_in(moment);
                        found.set_draining(false);
                    }
                }
                Action::Contract { pool } => {
                    let what = What::Contracted {
                        service: name.to_string(),
                        pool: pool.to_string(),
                        by_rollout: rollout.id,
                    };
                    let standing = Desk::override_of(what, by, now, None);
                    self.overrides.insert(standing.what.key(), standing);
                }
                Action::Begin(task) => {
                    self.effects.push(Effect::Begin { rollout: Box::new(rollout.clone()), task });
                }
                Action::Say(event) => {
                    let reason = rollout.reason.clone();
                    let by = Some(&*rollout.author);
                    self.say_of_rollout(&name, rollout.id, by, event, reason);
                }
            }
            self.is_changed = true;
        }
        match rollout.is_over() {
            true => self.ended(rollout),
            false => {
                self.run_time.observed.insert(name.clone(), under_way.observing.observed());
                self.rollouts.insert(name, under_way);
            }
        }
    }

    /// The rollout of a service as it ends when its traffic is changed past it, which the batch
    /// keeps.
    pub(super) fn superseded_by(
        &self,
        service: &str,
        by: &str,
        is_rollback: bool,
        batch: &mut Batch,
        now: Now,
    ) -> Option<Superseded> {
        let mut rollout = self.rollouts.get(service)?.rollout.clone();
        let actions = rollout.supersede(by, is_rollback, now.wall);
        for action in &actions {
            if let Action::Renew(upstream) = action {
                batch.clear(drain(&rollout, upstream).key());
            }
        }
        batch.end_rollout(&rollout);
        Some(Superseded { rollout, actions })
    }

    /// Believes that a rollout is superseded, which is committed.
    pub(super) fn supersede(&mut self, superseded: Superseded) {
        let Superseded { rollout, actions } = superseded;
        for action in actions {
            match action {
                // The next snapshot lets it in.
                Action::Renew(upstream) => {
                    self.overrides.remove(&drain(&rollout, &upstream).key());
                }
                Action::Say(event) => {
                    let by = Some(&*rollout.author);
                    self.say_of_rollout(&rollout.service, rollout.id, by, event, None);
                }
                Action::Begin(task) => {
                    self.effects.push(Effect::Begin { rollout: Box::new(rollout.clone()), task });
                }
                Action::Shift { .. } | Action::Drain(_) | Action::Contract { .. } => {}
            }
        }
        self.ended(rollout);
    }

    fn ended(&mut self, rollout: Rollout) {
        self.rollouts.remove(&rollout.service);
        self.unstored.remove(&rollout.service);
        self.run_time.observed.remove(&rollout.service);
        if let Some((outcome, _)) = &rollout.ended {
            *self.ended.entry((rollout.service.clone(), outcome.name())).or_default() += 1;
        }
        if rollout.is_pending() {
            self.lingering.push(rollout);
        }
        self.is_changed = true;
    }

    pub(super) fn say_of_rollout(
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

/// Under which it stands that a rollout's target cannot run on the schema.
fn contracted(rollout: &Rollout) -> OverrideKey {
    let (service, pool) = (rollout.service.to_string(), rollout.plan.to.to_string());
    OverrideKey::Contracted { service, pool }
}

/// An upstream that a rolling rollout has taken out.
fn drain(rollout: &Rollout, upstream: &str) -> What {
    What::Drain {
        service: rollout.service.to_string(),
        pool: rollout.plan.to.to_string(),
        upstream: upstream.to_string(),
    }
}

//! No traffic for the dead: a pool that is to get more in; go on, wait for its connect checks, or a
//! refusal out. And of a rollout, whether there is a way back.
//!
//! Nobody here waits: an order that must know more is decided again once it is known, and what a
//! rollout does not know yet it looks at again within a fraction of a second. What never comes to be
//! known, because nothing of ours can make a check, holds nobody up for long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::draft::{Draft, Undecided, View};
use super::rollouts::Watched;
use super::{Now, Orders, Refused};
use crate::balance::Member;
use crate::config::Stability;
use crate::rollout::{HookPoint, Plan, Rollout, Strategy, WayBack};
use crate::snapshot::{Pool, Probes, Reach, Service, Snapshot};
use crate::split::Split;

/// How long an order waits for connect checks at most: each takes a second at most.
pub(super) const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// How long a rollout that is to go back waits for them at most. One that nobody answers has ended by
/// then.
pub(super) const LONGEST_DOUBT: Duration = Duration::from_millis(1_400);

/// How old what is known of a pool may be for a rollout: checks of it go on once a second, and those
/// of a machine that is very busy come late.
pub const LATELY: Duration = Duration::from_secs(10);

/// How long the checks of a rollout's pools go on after its last look.
const GO_ON: Duration = Duration::from_secs(3);

/// Within which a pool has begun a good answer that still answers.
const ANSWERS: Duration = Duration::from_secs(5);

impl View<'_> {
    /// Whether a pool could take what an order gives it.
    fn reach(&self, pool: &Pool, stability: &Stability, probes: Probes) -> Reach {
        let since = self.snapshot.moment(self.asked);
        match pool.reach(stability, probes, since) {
            // As it would be without checks.
            Reach::NotKnown if !self.may_wait => Reach::Accepts,
            reach => reach,
        }
    }
}

impl Draft<'_> {
    /// Refuses a split that gives more to a dead pool.
    pub fn check_growing(&self, service: &str, split: &Split) -> Result<(), Undecided> {
        let Some(known) = self.view.snapshot.service(service) else { return Ok(()) };
        let grows = |pool: &&Pool| split.weight(&pool.name) > known.split.weight(&pool.name);
        let growing = known.pools.iter().filter(grows);
        self.check_alive(known, growing, Probes::MustHavePassed)
    }

    /// Refuses a rollout to a dead pool, unless it begins with a hook that may start it.
    pub fn check_target(&self, service: &Service, plan: &Plan) -> Result<(), Undecided> {
        let starts_it = |point: &HookPoint| plan.hooks.at(point).is_some();
        let is_started = [HookPoint::BeforeStart, HookPoint::Expand].iter().any(starts_it);
        if self.by.force || is_started || plan.strategy == Strategy::Rolling {
            return Ok(());
        }
        // Who is new is waited for.
        self.check_alive(service, service.pool(&plan.to), Probes::MustNotHaveFailed)
    }

    /// Refuses to send a rollout's traffic back to a dead pool.
    pub fn check_way_back(&self, rollout: &Rollout) -> Result<(), Undecided> {
        let known = self.view.snapshot.service(&rollout.service);
        match known.filter(|_| rollout.has_moved() && !self.by.force) {
            Some(service) => {
                let from = service.pool(&rollout.plan.from);
                self.check_alive(service, from, Probes::MustHavePassed)
            }
            None => Ok(()),
        }
    }

    fn check_alive<'p>(
        &self,
        service: &Service,
        pools: impl IntoIterator<Item = &'p Pool>,
        probes: Probes,
    ) -> Result<(), Undecided> {
        let mut unseen = Vec::new();
        for pool in pools {
            match self.view.reach(pool, &service.stability, probes) {
                Reach::Accepts => {}
                Reach::NotKnown => unseen.push(pool.name.clone()),
                Reach::Dead(why) => {
                    return Err(Refused::DeadPool { pool: pool.name.to_string(), why }.into());
                }
            }
        }
        if unseen.is_empty() { Ok(()) } else { Err(Undecided::Unseen(unseen)) }
    }

    /// Whether the target of a rollout could be given its first traffic, or has who takes what it gets.
    pub fn is_target_ready(&self, rollout: &Rollout, service: &Service, to: &Pool) -> bool {
        if rollout.has_moved() || rollout.plan.strategy == Strategy::Rolling {
            return to.is_ready();
        }
        let since = self.view.snapshot.moment_before(self.view.now.instant, LATELY);
        to.reach(&service.stability, Probes::MustHavePassed, since) == Reach::Accepts
    }

    /// The upstreams of a deploy that have yet to show that they would take requests: all of them do,
    /// before any gets its first. None of a rollout to a version that was there, or that has begun.
    pub fn unready<'p>(
        &self,
        rollout: &Rollout,
        service: &Service,
        to: &'p Pool,
    ) -> Option<Vec<&'p Member>> {
        if rollout.has_moved() || rollout.deploy.is_none() {
            return None;
        }
        let since = self.view.snapshot.moment_before(self.view.now.instant, LATELY);
        Some(to.unready(&service.stability, since))
    }

    /// Whether a pool has the upstreams that a rollout has put there.
    pub fn is_of_deploy(&self, rollout: &Rollout, to: &Pool) -> bool {
        let is_it = to.version.as_ref().is_some_and(|version| version.rollout == rollout.id);
        is_it && !to.members.list().is_empty()
    }

    /// Whether a rollout could go back now.
    pub fn way_back(
        &self,
        rollout: &Rollout,
        service: &Service,
        watched: Option<&Watched>,
    ) -> WayBack {
        let now = self.view.now.instant;
        let is_long = watched.is_some_and(|it| it.doubt.is_some() && !it.is_in_doubt(now));
        match reach_of_old(rollout, service, self.view.snapshot, self.view.now) {
            Reach::NotKnown if !is_long => WayBack::NotKnown,
            Reach::NotKnown | Reach::Accepts => WayBack::Open,
            Reach::Dead(why) => {
                WayBack::Dead { why: format!("pool `{}` {why}", rollout.plan.from) }
            }
        }
    }

    /// Whether the target of a rollout has answered anything well of late.
    pub fn target_answers(&self, to: &Pool) -> bool {
        to.answers_since(self.view.snapshot.moment_before(self.view.now.instant, ANSWERS))
    }
}

/// Whether the pool that a rollout leaves could take its traffic back; what has moved nothing needs no
/// way back.
fn reach_of_old(rollout: &Rollout, service: &Service, snapshot: &Snapshot, now: Now) -> Reach {
    match service.pool(&rollout.plan.from).filter(|_| rollout.has_moved()) {
        Some(from) => {
            let since = snapshot.moment_before(now.instant, LATELY);
            from.reach(&service.stability, Probes::MustHavePassed, since)
        }
        None => Reach::Accepts,
    }
}

impl Orders {
    /// Asks for connect checks of these pools, for an order that was given then.
    pub(super) fn ask_checks(
        &mut self,
        service: &str,
        pools: &[Arc<str>],
        asked: Instant,
        snapshot: &Snapshot,
    ) {
        let known = snapshot.service(service);
        for pool in pools.iter().filter_map(|pool| known?.pool(pool)) {
            pool.state.wanted.ask(snapshot.moment(asked));
            self.wants_checks = true;
        }
    }

    /// Has the checks of the pools of a rollout under way go on: of the target until it has traffic, of
    /// the old one from then on. Notes whether it is in doubt where it could go back to.
    pub(super) fn watch_reach(&mut self, rollout: &Rollout, snapshot: &Snapshot, now: Now) {
        let Some(service) = snapshot.service(&rollout.service) else { return };
        if rollout.plan.strategy == Strategy::Rolling {
            return;
        }
        let next = if rollout.has_moved() { &rollout.plan.from } else { &rollout.plan.to };
        if let Some(pool) = service.pool(next) {
            pool.state.wanted.ask_until(snapshot.moment(now.instant) + GO_ON);
        }
        let is_in_doubt = reach_of_old(rollout, service, snapshot, now) == Reach::NotKnown;
        let Some(watched) = self.watched.get_mut(&rollout.service) else { return };
        watched.doubt = is_in_doubt.then(|| watched.doubt.unwrap_or(now.instant));
        self.wants_checks |= is_in_doubt;
    }

    /// Whether connect checks were asked for since it was asked last.
    pub fn take_wants_checks(&mut self) -> bool {
        std::mem::take(&mut self.wants_checks)
    }

    /// Whether something waits for connect checks.
    pub fn is_looking(&self) -> bool {
        let is_in_doubt = |watched: &Watched| watched.doubt.is_some();
        self.queue.has_unseen() || self.watched.values().any(is_in_doubt)
    }

    /// Decides what waits for connect checks, as far as more is known by now.
    pub fn look_again(&mut self, snapshot: &Snapshot, now: Now) {
        if self.queue.has_unseen() {
            self.decide_waiting(snapshot, now);
        }
        let in_doubt = self.watched.iter().filter(|(_, watched)| watched.doubt.is_some());
        let in_doubt =
            in_doubt.map(|(name, watched)| (name.clone(), !watched.is_in_doubt(now.instant)));
        for (name, is_long) in in_doubt.collect::<Vec<_>>() {
            let Some(rollout) = self.state.rollout(&name).cloned() else { continue };
            let Some(service) = snapshot.service(&name) else { continue };
            let is_known = reach_of_old(&rollout, service, snapshot, now) != Reach::NotKnown;
            if is_known || is_long {
                self.tell_again(&rollout, snapshot, now);
            }
            if let (Some(watched), true) = (self.watched.get_mut(&name), is_known) {
                watched.doubt = None;
            }
        }
    }
}

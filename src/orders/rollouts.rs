//! Rollouts under way: started, looked at, told what happened; what they want done is committed
//! with their new state, and then done.

use std::sync::Arc;
use std::time::Duration;

use super::observing::Observing;
use super::{Desk, Effect, Now};
use crate::clock::WallTime;
use crate::event::{Kind, Subject};
use crate::judge::{Counts, Metric, Verdict};
use crate::orders::{Order, Refused};
use crate::rollout::{
    self, Finished, Input, Outcome, Past, Plan, Rollout, Status, Task, TaskError, UpstreamView,
    View, Wishes,
};
use crate::slo::Blame;
use crate::snapshot::{Pool, Service, Snapshot};
use crate::split::Split;
use crate::store::{Batch, CommitError};

/// How often a rollout's counts are stored though nothing else has changed.
const SAVED: Duration = Duration::from_secs(5);

/// A rollout and how far its attempts were read.
#[derive(Clone, Debug)]
pub(super) struct UnderWay {
    pub rollout: Rollout,
    /// What its pools do.
    pub observing: Observing,
    saved: WallTime,
    /// What it does to the service's errors, from the first look on.
    blame: Option<Blame>,
}

/// The end of a task.
#[derive(Clone, Debug)]
pub(super) struct Done {
    service: Arc<str>,
    id: u64,
    task: Task,
    result: Result<Finished, TaskError>,
}

/// A rollout for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// As it is.
    pub rollout: Rollout,
    /// Where it is.
    pub status: Status,
    /// The newest revision of its service.
    pub revision: u64,
}

/// What a rollout sees, with what the view borrows.
pub(super) struct Look {
    now: WallTime,
    split: Split,
    target_ready: bool,
    old_ready: bool,
    canary: Counts,
    old_in_flight: u32,
    upstreams: Vec<UpstreamView>,
    verdict: Verdict,
    held: Option<String>,
}

impl UnderWay {
    /// Takes in what its pools did since it was asked last; answers with the attempts at the target.
    fn hear(&mut self, service: &Service, snapshot: &Snapshot, now: Now) -> Counts {
        let is_warming = self.rollout.is_warming(now.wall);
        let (reading, attempts) = self.observing.read(service, is_warming);
        self.rollout.hear(&reading, now.wall);
        self.weigh(snapshot, now);
        attempts
    }

    /// Takes in what the attempts at both pools are now; a rolling rollout has but one.
    fn weigh(&mut self, snapshot: &Snapshot, now: Now) {
        let plan = &self.rollout.plan;
        let service = snapshot.service(&self.rollout.service);
        let pool = |name: &str| service.and_then(|service| service.pool(name)).map(counts);
        let (Some(canary), Some(old)) = (pool(&plan.to), pool(&plan.from)) else { return };
        match &mut self.blame {
            Some(blame) => blame.look(canary, old, now.wall),
            None if plan.to == plan.from => {}
            None => self.blame = Some(Blame::begin(canary, old, now.wall)),
        }
    }
}

impl Look {
    pub fn borrow(&self) -> View<'_> {
        View {
            now: self.now,
            split: &self.split,
            target_ready: self.target_ready,
            old_ready: self.old_ready,
            canary: self.canary,
            old_in_flight: self.old_in_flight,
            upstreams: &self.upstreams,
            verdict: self.verdict.clone(),
            held: self.held.as_deref(),
        }
    }
}

impl Desk {
    /// Starts a rollout of a service.
    pub fn start_rollout(
        &mut self,
        name: &str,
        wishes: &Wishes,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<Report, Refused> {
        let config = self.config.clone();
        let service = config.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        super::check_expected(order.expected, self.newest_number(name))?;
        if let Some(under_way) = self.rollouts.get(name) {
            let rollout = &under_way.rollout;
            let (id, to) = (rollout.id, rollout.plan.to.to_string());
            return Err(Refused::RolloutUnderWay { service: name.into(), id, to });
        }
        let known = snapshot.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        let pools: Vec<(Arc<str>, usize)> =
            known.pools.iter().map(|pool| (pool.name.clone(), pool.members.list().len())).collect();
        let plan = Plan::new(&service.rollout, wishes, &pools, &known.split)?;
        let id = self.last_ids.get(name).map_or(1, |last| last + 1);
        let despite = self.check_freeze(name, id, wishes.despite_freeze, order, now)?;
        let (author, reason) = (order.author.clone(), order.reason.clone());
        let from = plan.from.clone();
        let limit = plan.judging.settings.tempering_limit;
        let (mut rollout, actions) =
            Rollout::start(id, service.name.clone(), plan, author, reason, now.wall);
        if let Some(stable) = known.pool(&from) {
            let share = rollout.plan.judging.settings.budget_share;
            let budget = self.standing_at(name, now).bears(share, now.wall);
            rollout.seat_judge(Past { budget, ..self.history.past(name, stable, limit) });
        }
        let mut batch = Batch::new();
        if let Some((standing, _)) = &despite {
            batch.set(standing.clone());
        }
        let observing = Observing::of(&rollout, &config);
        let under_way = UnderWay { rollout, observing, saved: now.wall, blame: None };
        self.perform(under_way, actions, batch, snapshot, now)?;
        self.last_ids.insert(service.name.clone(), id);
        if let Some((standing, why)) = despite {
            self.overrides.insert(standing.what.key(), standing);
            let kind = Kind::StartedDespite { rollout: id, why };
            self.say(kind, Subject::service(name), order);
        }
        // What is ready at once need not wait for the next look; what cannot be stored now does. It
        // has started all the same, and must not be told otherwise.
        let _ = self.tick_one(&service.name, snapshot, now);
        self.report(name, now)?.ok_or_else(|| Refused::NoRollout(name.into()))
    }

    /// Gives an order to the rollout of a service.
    pub fn order_rollout(
        &mut self,
        name: &str,
        what: rollout::Order,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<Report, Refused> {
        if self.config.service(name).is_none() {
            return Err(Refused::NoService(name.into()));
        }
        super::check_expected(order.expected, self.newest_number(name))?;
        let input = Input::Order {
            order: what,
            author: order.author.clone(),
            reason: order.reason.clone(),
        };
        if !self.rollouts.contains_key(name) {
            return Err(Refused::NoRollout(name.into()));
        }
        self.tell(name, input, snapshot, now)?;
        self.report(name, now)?.ok_or_else(|| Refused::NoRollout(name.into()))
    }

    /// Hears how a task of a rollout has ended. What cannot be stored now is heard again later.
    pub fn on_done(
        &mut self,
        service: &str,
        id: u64,
        task: Task,
        result: Result<Finished, TaskError>,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        let done = Done { service: service.into(), id, task, result };
        let heard = self.hear(&done, snapshot, now);
        if let Err(Refused::Store(_)) = &heard {
            self.unheard.push(done);
        }
        heard
    }

    fn hear(&mut self, done: &Done, snapshot: &Snapshot, now: Now) -> Result<(), Refused> {
        let Done { service, id, task, result } = done;
        let known = self.rollouts.get(service).map(|under_way| under_way.rollout.id);
        if known == Some(*id) {
            let (task, result) = (task.clone(), result.clone());
            return self.tell(service, Input::Done { task, result }, snapshot, now);
        }
        // Its rollout is over.
        let is_it = |rollout: &Rollout| rollout.service == *service && rollout.id == *id;
        if let Some(at) = self.lingering.iter().position(is_it) {
            let mut rollout = self.lingering[at].clone();
            if rollout.forget(task) {
                let mut batch = Batch::new();
                batch.settle(&rollout);
                self.commit(batch)?;
            }
            match rollout.is_pending() {
                true => self.lingering[at] = rollout,
                false => drop(self.lingering.swap_remove(at)),
            }
        }
        if let Err(why) = result {
            let (task, why) = (task.clone(), why.clone());
            let event = rollout::Event::TaskFailed { task, why };
            self.say_of_rollout(service, *id, None, event, None);
        }
        Ok(())
    }

    /// Lets all rollouts go on; answers with those that could not be stored, which try again.
    pub fn tick(&mut self, snapshot: &Snapshot, now: Now) -> Vec<(Arc<str>, Refused)> {
        let mut failed = Vec::new();
        for Done { service, id, task, result } in std::mem::take(&mut self.unheard) {
            let heard = self.on_done(&service, id, task, result, snapshot, now);
            failed.extend(heard.err().map(|error| (service, error)));
        }
        let names: Vec<Arc<str>> = self.rollouts.keys().cloned().collect();
        for name in names {
            let error = self.tick_one(&name, snapshot, now).err();
            failed.extend(error.map(|error| (name, error)));
        }
        failed
    }

    fn tick_one(&mut self, name: &Arc<str>, snapshot: &Snapshot, now: Now) -> Result<(), Refused> {
        self.tell(name, Input::Tick, snapshot, now)
    }

    /// Begins again what had begun when the process ended.
    pub fn resume_rollouts(&mut self, now: Now) {
        let under_way = self.rollouts.values_mut().map(|under_way| &mut under_way.rollout);
        for rollout in under_way.chain(&mut self.lingering) {
            let tasks = rollout.resume(now.wall);
            let begin = |task| Effect::Begin { rollout: Box::new(rollout.clone()), task };
            self.effects.extend(tasks.into_iter().map(begin));
        }
    }

    /// The rollout of a service that is under way, else the last one; none if there was none.
    pub fn report(&self, service: &str, now: Now) -> Result<Option<Report>, Refused> {
        let unstored = self.unstored.get(service).map(|unstored| &unstored.under_way);
        let rollout = match unstored.or_else(|| self.rollouts.get(service)) {
            Some(under_way) => Some(under_way.rollout.clone()),
            None => {
                let past = self.store.past_rollouts(service, 1).map_err(CommitError::Store)?;
                past.into_iter().next()
            }
        };
        Ok(rollout.map(|rollout| self.describe(rollout, now)))
    }

    /// All rollouts of a service that are remembered, the newest first.
    pub fn reports(&self, service: &str, now: Now) -> Result<Vec<Report>, Refused> {
        let past = self.store.past_rollouts(service, usize::MAX).map_err(CommitError::Store)?;
        let unstored = self.unstored.get(service).map(|unstored| &unstored.under_way);
        let now_under_way = unstored.or_else(|| self.rollouts.get(service));
        let now_under_way = now_under_way.map(|known| known.rollout.clone());
        let all = now_under_way.into_iter().chain(past);
        Ok(all.map(|rollout| self.describe(rollout, now)).collect())
    }

    fn describe(&self, rollout: Rollout, now: Now) -> Report {
        let revision = self.newest_number(&rollout.service);
        Report { status: rollout.status(now.wall), rollout, revision }
    }

    pub(super) fn take_up(&mut self, rollout: Rollout, now: Now) {
        let name = rollout.service.clone();
        let observing = Observing::of(&rollout, &self.config);
        self.run_time.observed.insert(name.clone(), observing.observed());
        self.rollouts.insert(name, UnderWay { rollout, observing, saved: now.wall, blame: None });
    }

    fn tell(
        &mut self,
        name: &str,
        input: Input,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        if self.unstored.contains_key(name) {
            return match input {
                Input::Tick => self.store_retreat(name, snapshot, now),
                Input::Order { .. } => Err(Refused::NoRollout(name.into())),
                Input::Done { .. } => Err(Refused::Store("its rollout's end comes first".into())),
            };
        }
        let Some(under_way) = self.rollouts.get(name) else { return Ok(()) };
        let Some(service) = snapshot.service(name) else { return Ok(()) };
        // What follows from what is read now is believed only if it can be stored.
        let mut next = under_way.clone();
        let is_tick = input == Input::Tick;
        let mut canary = Counts::default();
        if is_tick {
            canary = next.hear(service, snapshot, now);
        }
        let Some(look) = self.look(&next, canary, snapshot, now) else { return Ok(()) };
        let actions = next.rollout.advance(input, &look.borrow())?;
        if let Some((Outcome::RolledBack { .. }, _)) = &next.rollout.ended {
            next.rollout.keep_failing(next.observing.ledger().sample.read());
        }
        // Also when the clock was set back: it must not take long until it gets there again.
        let is_due = now.wall < next.saved || now.wall.elapsed_since(next.saved) >= SAVED;
        let has_moved = next.rollout.is_over() || !next.rollout.is_where(&under_way.rollout);
        if is_tick && actions.is_empty() && !is_due && !has_moved {
            self.rollouts.insert(next.rollout.service.clone(), next);
            return Ok(());
        }
        next.saved = now.wall;
        let performed = self.perform(next.clone(), actions.clone(), Batch::new(), snapshot, now);
        if let Err(Refused::Store(why)) = &performed {
            match (is_tick, actions.is_empty() && !has_moved) {
                // Counts alone are lost with the process, as between two times of storing them.
                (true, true) => drop(self.rollouts.insert(next.rollout.service.clone(), next)),
                _ if next.rollout.is_over() => self.retreat(next, actions, why),
                (true, false) => self.only_hear(name, snapshot, now),
                (false, _) => {}
            }
        }
        performed
    }

    /// Takes in what the pools did while nothing that follows from it can be stored, so that the
    /// judge still sees it second by second.
    fn only_hear(&mut self, name: &str, snapshot: &Snapshot, now: Now) {
        let (Some(mut heard), Some(service)) =
            (self.rollouts.get(name).cloned(), snapshot.service(name))
        else {
            return;
        };
        let attempts = heard.hear(service, snapshot, now);
        heard.rollout.count(attempts);
        self.rollouts.insert(service.name.clone(), heard);
    }

    /// What a rollout sees now; none if one of its pools is gone.
    fn look(
        &self,
        under_way: &UnderWay,
        canary: Counts,
        snapshot: &Snapshot,
        now: Now,
    ) -> Option<Look> {
        let rollout = &under_way.rollout;
        let service = snapshot.service(&rollout.service)?;
        let (to, from) = (service.pool(&rollout.plan.to)?, service.pool(&rollout.plan.from)?);
        let (stability, moment) = (&service.stability, snapshot.moment(now.instant));
        let standing = self.standing_at(&rollout.service, now);
        let blamed = under_way.blame.as_ref();
        let blamed = blamed.and_then(|blame| blame.blames(standing.burning(), now.wall));
        let verdict = match (rollout.verdict(canary, now.wall), blamed) {
            (verdict @ Verdict::Fail { .. }, _) | (verdict, None) => verdict,
            (_, Some(evidence)) => Verdict::Fail { evidence, driver: Metric::Budget },
        };
        let upstreams = to.members.list().iter().map(|member| UpstreamView {
            address: member.upstream.name.clone(),
            is_ready: member.is_available(
                stability.balance.slow_start,
                stability.breaker.as_ref(),
                moment,
            ),
            in_flight: member.upstream.in_flight(),
        });
        Some(Look {
            now: now.wall,
            split: service.split.clone(),
            target_ready: to.is_ready(stability, moment),
            old_ready: from.is_ready(stability, moment),
            canary,
            old_in_flight: from.state.in_flight(),
            upstreams: upstreams.collect(),
            verdict,
            held: standing.holds().filter(|_| !self.goes_on_despite(rollout, now)),
        })
    }
}

/// What a pool's upstreams did so far.
fn counts(pool: &Pool) -> Counts {
    pool.state.attempts.read()
}

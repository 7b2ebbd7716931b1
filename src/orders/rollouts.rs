//! Rollouts under way: started, looked at, told what happened. What follows is decided with their
//! new state in one draft.

use std::sync::Arc;
use std::time::Instant;

use super::dead_pools::LONGEST_DOUBT;
use super::draft::{Draft, Undecided, View};
use super::observing::Observing;
use super::warming::mark_cold;
use super::{Haste, Made, Now, Refused};
use crate::clock::WallTime;
use crate::config::Config;
use crate::event::{Kind, Subject};
use crate::judge::{Counts, Metric, Reading, Verdict};
use crate::rollout::{
    self, Deploy, Finished, Input, Outcome, Past, Plan, Rollout, Status, Task, TaskError,
    UpstreamView, WayBack, Wishes,
};
use crate::slo::Blame;
use crate::snapshot::{Pool, Service, Snapshot};
use crate::split::Split;
use crate::state::{Change, Override, State};

/// Readings that are kept for a step that the disk has not taken yet.
const READINGS: usize = 900;

/// What is noted of the pools of a rollout under way.
#[derive(Debug)]
pub(super) struct Watched {
    pub id: u64,
    pub observing: Observing,
    /// What it does to the service's errors, from the first look on.
    blame: Option<Blame>,
    /// When where it is was stored last, and what its judge has heard.
    pub placed: WallTime,
    pub heard: WallTime,
    /// Since when it is in doubt where it could go back to, if it is.
    pub doubt: Option<Instant>,
    /// What was read since a decision was made that waits for the disk.
    readings: Vec<(Reading, WallTime)>,
}

impl Watched {
    /// Whether it is in doubt where its rollout could go back to, and not for so long that nothing is
    /// going to say.
    pub fn is_in_doubt(&self, now: Instant) -> bool {
        self.doubt.is_some_and(|since| now.saturating_duration_since(since) < LONGEST_DOUBT)
    }
}

/// The end of a task.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub service: Arc<str>,
    pub id: u64,
    pub task: Task,
    pub result: Result<Finished, TaskError>,
}

/// A rollout for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// As it is.
    pub rollout: Arc<Rollout>,
    /// Where it is.
    pub status: Status,
    /// The newest revision of its service.
    pub revision: u64,
}

impl Report {
    /// A rollout of this state, at a moment.
    pub fn of(state: &State, rollout: &Arc<Rollout>, now: WallTime) -> Report {
        let revision = state.newest(&rollout.service).map_or(0, |newest| newest.number);
        Report { status: rollout.status(now), rollout: rollout.clone(), revision }
    }

    /// The rollout of a service that is under way, else the last one.
    pub fn newest(state: &State, service: &str, now: WallTime) -> Option<Report> {
        let newest = state.rollout(service).or_else(|| state.past_rollouts(service).next());
        newest.map(|rollout| Report::of(state, rollout, now))
    }

    /// All rollouts of a service that are remembered, the newest first.
    pub fn all(state: &State, service: &str, now: WallTime) -> Vec<Report> {
        let all = state.rollout(service).into_iter().chain(state.past_rollouts(service));
        all.map(|rollout| Report::of(state, rollout, now)).collect()
    }
}

/// A rollout that is to begin.
pub(super) struct Starting {
    pub id: u64,
    pub service: Arc<str>,
    pub plan: Plan,
    /// The version that was put into its target for it.
    pub deploy: Option<Deploy>,
    /// What lets it go on in spite of a freeze, and why it would not.
    pub despite: Option<(Override, String)>,
}

/// What a rollout sees, with what the view borrows.
pub(super) struct Look {
    now: WallTime,
    split: Split,
    target_ready: bool,
    target_answers: bool,
    way_back: WayBack,
    canary: Counts,
    old_in_flight: u32,
    upstreams: Vec<UpstreamView>,
    verdict: Verdict,
    held: Option<String>,
}

impl Watched {
    /// Begins to look at what a rollout's pools do.
    pub fn begin(
        rollout: &Rollout,
        config: &Config,
        snapshot: &Snapshot,
        now: WallTime,
    ) -> Watched {
        let observing = Observing::of(rollout, config, snapshot.service(&rollout.service));
        let (id, readings) = (rollout.id, Vec::new());
        Watched { id, observing, blame: None, placed: now, heard: now, doubt: None, readings }
    }

    /// Has a rollout hear what its pools did since it was asked last; answers with the attempts at
    /// the target.
    pub fn hear(&mut self, rollout: &mut Rollout, snapshot: &Snapshot, now: Now) -> Counts {
        let Some(service) = snapshot.service(&rollout.service) else { return Counts::default() };
        mark_cold(rollout, service, snapshot, now);
        let now = now.wall;
        let (reading, attempts) = self.observing.read(service, rollout.is_warming(now));
        rollout.hear(&reading, now);
        self.weigh(rollout, service, now);
        if self.readings.len() < READINGS {
            self.readings.push((reading, now));
        }
        attempts
    }

    /// What was read from now on is later than what is decided.
    pub fn forget_readings(&mut self) {
        self.readings.clear();
    }

    /// Has a rollout hear what was read while the disk did not take its step.
    pub fn catch_up(&mut self, rollout: &mut Rollout) {
        for (reading, at) in std::mem::take(&mut self.readings) {
            rollout.hear(&reading, at);
        }
    }

    /// Takes in what the attempts at both pools are now; a rolling rollout has but one.
    fn weigh(&mut self, rollout: &Rollout, service: &Service, now: WallTime) {
        let plan = &rollout.plan;
        let pool = |name: &str| service.pool(name).map(counts);
        let (Some(canary), Some(old)) = (pool(&plan.to), pool(&plan.from)) else { return };
        match &mut self.blame {
            Some(blame) => blame.look(canary, old, now),
            None if plan.to == plan.from => {}
            None => self.blame = Some(Blame::begin(canary, old, now)),
        }
    }
}

impl Look {
    pub fn borrow(&self) -> rollout::View<'_> {
        rollout::View {
            now: self.now,
            split: &self.split,
            target_ready: self.target_ready,
            target_answers: self.target_answers,
            way_back: &self.way_back,
            canary: self.canary,
            old_in_flight: self.old_in_flight,
            upstreams: &self.upstreams,
            verdict: self.verdict.clone(),
            held: self.held.as_deref(),
        }
    }
}

impl View<'_> {
    /// What the judge of a rollout that begins now knows of the past.
    pub fn past(&self, state: &State, rollout: &Rollout) -> Option<Past> {
        let service = self.snapshot.service(&rollout.service)?;
        let stable = service.pool(&rollout.plan.from)?;
        let settings = &rollout.plan.judging.settings;
        let standing = self.standing_at(state, &rollout.service);
        let budget = standing.bears(settings.budget_share, self.now.wall);
        Some(Past { budget, ..self.history.past(service, stable) })
    }
}

impl Draft<'_> {
    /// Starts a rollout of a service.
    pub fn start_rollout(&mut self, name: &str, wishes: &Wishes) -> Result<Made, Undecided> {
        let (config, snapshot) = (self.view.config, self.view.snapshot);
        let service = config.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        self.check_expected(self.newest_number(name))?;
        self.check_none_under_way(name)?;
        let known = snapshot.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        let pools: Vec<(Arc<str>, usize)> =
            known.pools.iter().map(|pool| (pool.name.clone(), pool.members.list().len())).collect();
        let plan = Plan::new(&service.rollout, wishes, &pools, &known.split)?;
        let id = self.state.last_rollout(name) + 1;
        let despite = self.check_freeze(name, id, wishes.despite_freeze)?;
        self.check_target(known, &plan)?;
        let service = service.name.clone();
        let mut rollout = self.begin_rollout(Starting { id, service, plan, deploy: None, despite });
        self.warnings.extend(self.overload_at_the_end(&rollout, None));
        // What is ready at once need not wait for the next look.
        if let Some(look) = self.look(&rollout, Counts::default(), None)
            && let Ok(actions) = rollout.advance(Input::Tick, &look.borrow())
        {
            self.perform(rollout, actions);
        }
        Ok(self.newest_rollout(name)?)
    }

    /// Begins a rollout, in spite of a freeze if that is so.
    pub(super) fn begin_rollout(&mut self, starting: Starting) -> Rollout {
        let Starting { id, service, plan, deploy, despite } = starting;
        let said_by = (self.by.author.clone(), self.by.reason.clone());
        let now = self.view.now.wall;
        let (mut rollout, actions) =
            Rollout::start(id, service.clone(), (plan, deploy), said_by, now);
        if let Some(past) = self.view.past(&self.state, &rollout) {
            rollout.seat_judge(past);
        }
        self.perform(rollout.clone(), actions);
        if let Some((standing, why)) = despite {
            self.change(Change::Order(standing));
            self.say(Kind::StartedDespite { rollout: id, why }, Subject::service(&service));
        }
        rollout
    }

    /// Refuses what is not for a service whose traffic a rollout moves.
    pub(super) fn check_none_under_way(&self, name: &str) -> Result<(), Refused> {
        let Some(rollout) = self.state.rollout(name) else { return Ok(()) };
        let (service, id, to) = (name.into(), rollout.id, rollout.plan.to.to_string());
        let tag = rollout.deploy.as_ref().and_then(|deploy| deploy.tag.clone());
        match rollout.deploy.is_some() {
            true => Err(Refused::DeployUnderWay { service, id, to, tag }),
            false => Err(Refused::RolloutUnderWay { service, id, to }),
        }
    }

    pub(super) fn newest_rollout(&self, name: &str) -> Result<Made, Refused> {
        let report = Report::newest(&self.state, name, self.view.now.wall);
        let report = report.ok_or_else(|| Refused::NoRollout(name.into()))?;
        Ok(Made::Rollout(Box::new(report)))
    }

    /// Gives an order to the rollout of a service.
    pub fn order_rollout(&mut self, name: &str, what: rollout::Order) -> Result<Made, Undecided> {
        if self.view.config.service(name).is_none() {
            return Err(Refused::NoService(name.into()).into());
        }
        self.check_expected(self.newest_number(name))?;
        let none = || Refused::NoRollout(name.into());
        let rollout = (**self.state.rollout(name).ok_or_else(none)?).clone();
        if what == rollout::Order::Abort {
            self.check_way_back(&rollout)?;
        }
        let (author, reason) = (self.by.author.clone(), self.by.reason.clone());
        self.tell(rollout, Input::Order { order: what, author, reason }, Counts::default())?;
        Ok(self.newest_rollout(name)?)
    }

    /// Tells a rollout something, and takes in what it wants. Answers with whether that is more than
    /// counts.
    pub fn tell(
        &mut self,
        mut rollout: Rollout,
        input: Input,
        canary: Counts,
    ) -> Result<bool, Refused> {
        let watched = self.view.watched.get(&rollout.service);
        let watched = watched.filter(|watched| watched.id == rollout.id);
        let Some(look) = self.look(&rollout, canary, watched) else { return Ok(false) };
        let (is_tick, before) = (input == Input::Tick, rollout.clone());
        let actions = rollout.advance(input, &look.borrow())?;
        if let (Some((Outcome::RolledBack { .. }, _)), Some(watched)) = (&rollout.ended, watched) {
            rollout.keep_failing(watched.observing.ledger().sample.read());
        }
        let is_more =
            !is_tick || !actions.is_empty() || rollout.is_over() || !rollout.is_where(&before);
        match is_more {
            true => self.perform(rollout, actions),
            false => self.state.apply(&Change::Rollout(Arc::new(rollout))),
        }
        Ok(is_more)
    }

    /// Takes in how a task has ended.
    pub fn hear(&mut self, done: &Done) -> Result<(), Refused> {
        let Done { service, id, task, result } = done;
        if let Some(rollout) = self.state.rollout(service).filter(|known| known.id == *id) {
            let (rollout, task, result) = ((**rollout).clone(), task.clone(), result.clone());
            self.tell(rollout, Input::Done { task, result }, Counts::default())?;
            // Nobody waits for an answer, and it is asked for again.
            if self.haste == Haste::Traffic {
                self.haste = Haste::None;
            }
            return Ok(());
        }
        // Its rollout is over.
        if let Some(past) = self.state.rollout_of(service, *id) {
            let mut past = (**past).clone();
            if past.forget(task) {
                self.change(Change::Past(Arc::new(past)));
            }
        }
        if let Err(why) = result {
            let (task, why) = (task.clone(), why.clone());
            let event = rollout::Event::TaskFailed { task, why };
            self.say_of_rollout(service, *id, format!("rollout {id}"), event, None);
        }
        Ok(())
    }

    /// What a rollout sees now; none if one of its pools is gone.
    fn look(&self, rollout: &Rollout, canary: Counts, watched: Option<&Watched>) -> Option<Look> {
        let View { snapshot, now, .. } = self.view;
        let service = snapshot.service(&rollout.service)?;
        let (to, from) = (service.pool(&rollout.plan.to)?, service.pool(&rollout.plan.from)?);
        let standing = self.view.standing_at(&self.state, &rollout.service);
        let blamed = watched.and_then(|watched| watched.blame.as_ref());
        let blamed = blamed.and_then(|blame| blame.blames(standing.burning(), now.wall));
        let verdict = match (rollout.verdict(canary, now.wall), blamed) {
            (verdict @ Verdict::Fail { .. }, _) | (verdict, None) => verdict,
            (_, Some(evidence)) => Verdict::Fail { evidence, driver: Metric::Budget },
        };
        let unready = self.unready(rollout, service, to);
        let upstreams = to.members.list().iter().map(|member| UpstreamView {
            address: member.upstream.name.clone(),
            is_ready: match &unready {
                Some(unready) => !unready.iter().any(|it| std::ptr::eq(*it, member)),
                None => member.is_well(),
            },
            in_flight: member.upstream.in_flight(),
        });
        Some(Look {
            now: now.wall,
            split: service.split.clone(),
            target_ready: match &unready {
                Some(unready) => self.is_of_deploy(rollout, to) && unready.is_empty(),
                None => self.is_target_ready(rollout, service, to),
            },
            target_answers: self.target_answers(to),
            way_back: self.way_back(rollout, service, watched),
            canary,
            old_in_flight: from.state.in_flight(),
            upstreams: upstreams.collect(),
            verdict,
            held: standing.holds().filter(|_| !self.goes_on_despite(rollout)),
        })
    }
}

/// What a pool's upstreams did so far, but for what one client alone brought about.
fn counts(pool: &Pool) -> Counts {
    pool.state.judged()
}

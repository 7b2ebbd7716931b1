//! One rehearsed rollout: the real rollout and the real judge, on a virtual clock.
//!
//! What the controller does for a rollout once a second is done here in the same order: read, let it
//! hear, ask for the verdict, let it go on, do what it wants. Pools are healthy, hooks pass at once.

use std::time::Duration;

use super::Rehearsal;
use super::replay::Replay;
use super::service::{Service, Surroundings};
use crate::clock::WallTime;
use crate::judge::{Counts, Metric, Reading, Verdict};
use crate::rollout::{Action, Finished, Input, Outcome, Plan, Rollout, Task, View, WayBack};
use crate::split::{BasisPoints, Split};

/// How a rehearsed rollout went.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// How it ended.
    pub ending: Ending,
    /// When, counted from the start in virtual time.
    pub took: Duration,
    /// Why, if it was taken back or stands still, in the words that an operator would read.
    pub why: String,
    /// What took it back; none if it was not, or only for want of a verdict.
    pub by: Option<Metric>,
    /// The largest share that the canary had.
    pub share: BasisPoints,
    /// When the canary got everything, if it did.
    pub whole: Option<Duration>,
    /// Attempts at the canary.
    pub canary: Counts,
    /// Those that failed beyond what would have failed at the stable pool, on average.
    pub excess: f64,
    /// Users whom the canary failed at least once, where users are known; not those whose client
    /// fails anywhere.
    pub users: Option<u64>,
}

/// How a rehearsed rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Traffic was taken back.
    RolledBack,
    /// The new version has everything.
    Promoted,
    /// It stands still, and somebody has to decide.
    Paused,
}

/// A rollout, and what the controller holds for it.
struct Trial {
    rollout: Rollout,
    split: Split,
    now: WallTime,
    /// Begun and not ended.
    tasks: Vec<Task>,
    shifted: bool,
}

/// When the rollouts start; any time would do.
const START: WallTime = WallTime::from_millis(1_000_000_000);

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn run(rehearsal: &Rehearsal, seed: u64) -> Run {
    let plan = &rehearsal.scenario().plan;
    let split = Split::all_to(plan.from.clone());
    let scenario = rehearsal.scenario();
    let mut service: Box<dyn Surroundings + '_> = match &scenario.recorded {
        Some(recorded) => Box::new(Replay::new(scenario, recorded, seed)),
        None => Box::new(Service::new(scenario, rehearsal.tables(), &split, seed)),
    };
    let mut trial = Trial::start(plan, split);
    trial.rollout.seat_judge(service.past());
    let (mut canary, mut excess) = (Counts::default(), 0.0);
    let (mut share, mut whole, mut by) = (BasisPoints::NONE, None, None);
    let limit = longest(plan);
    let mut took = Duration::ZERO;
    loop {
        let mut came = Counts::default();
        let is_warming = trial.rollout.is_warming(trial.now);
        if took.is_zero() {
            trial.rollout.hear(&Reading::default(), trial.now);
        } else {
            let second = service.second(took, is_warming);
            trial.rollout.hear(&second.reading, trial.now);
            came = second.canary;
            canary += came;
            excess += came.bad as f64 - second.expected;
        }
        let verdict = trial.rollout.verdict(came, trial.now);
        if let Verdict::Fail { driver, .. } = &verdict {
            by = Some(driver.clone());
        }
        trial.tick(came, verdict);
        if std::mem::take(&mut trial.shifted) {
            service.on_shift(&trial.split);
            share = share.max(trial.split.weight(&plan.to));
            let is_whole = trial.split.weight(&plan.to) == BasisPoints::WHOLE;
            whole = whole.or(is_whole.then_some(took));
        }
        if trial.rollout.is_over() || trial.rollout.is_paused() || took >= limit {
            break;
        }
        took += SECOND;
        trial.now = trial.now + SECOND;
    }
    let (ending, why) = trial.ending();
    let by = by.filter(|_| ending == Ending::RolledBack);
    Run { ending, took, why, by, share, whole, canary, excess, users: service.users_hit() }
}

/// Longer than any rollout takes that does not stand still.
fn longest(plan: &Plan) -> Duration {
    let step = plan.longest_step.max(plan.hold);
    step * plan.steps.len() as u32 + plan.ready_within + plan.watch + plan.drain + step
}

impl Trial {
    fn start(plan: &Plan, split: Split) -> Trial {
        let (service, author) = ("rehearsed".into(), "rehearsal".to_string());
        let (rollout, actions) =
            Rollout::start(1, service, (plan.clone(), None), (author, None), START);
        let mut trial = Trial { rollout, split, now: START, tasks: Vec::new(), shifted: false };
        trial.take(actions);
        trial
    }

    /// A second's look, after which all that was begun has passed.
    fn tick(&mut self, canary: Counts, verdict: Verdict) {
        self.tell(Input::Tick, canary, verdict.clone());
        while let Some(task) = self.tasks.pop() {
            let done = Input::Done { task, result: Ok(Finished::Agreed(String::new())) };
            self.tell(done, Counts::default(), verdict.clone());
        }
    }

    fn tell(&mut self, input: Input, canary: Counts, verdict: Verdict) {
        let view = View {
            now: self.now,
            split: &self.split,
            target_ready: true,
            target_answers: true,
            way_back: &WayBack::Open,
            canary,
            old_in_flight: 0,
            upstreams: &[],
            verdict,
            held: None,
        };
        // Only orders are refused, and nobody gives any.
        let actions = self.rollout.advance(input, &view).unwrap_or_default();
        self.take(actions);
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Shift { split, .. } => (self.split, self.shifted) = (split, true),
                Action::Begin(task) => self.tasks.push(task),
                _ => {}
            }
        }
    }

    fn ending(&self) -> (Ending, String) {
        match &self.rollout.ended {
            Some((Outcome::Promoted, _)) => (Ending::Promoted, String::new()),
            Some((Outcome::RolledBack { why }, _)) => (Ending::RolledBack, why.clone()),
            _ => (Ending::Paused, self.rollout.status(self.now).words),
        }
    }
}

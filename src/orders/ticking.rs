//! What comes by itself: seconds that pass, tasks that end, a process that begins.
//!
//! Each second every rollout hears what its pools did. What follows from that is decided like an
//! order; while something of the service waits for the disk, only that traffic must leave a failing
//! target is decided, and the rest is looked at again in the next second.

use std::sync::Arc;
use std::time::Duration;

use super::draft::Draft;
use super::order::Scope;
use super::other_uses::serves_already;
use super::rollouts::Done;
use super::*;
use crate::rollout::{Finished, Input, TaskError};

/// How often a rollout's counts are stored though nothing else has changed.
const PLACED: Duration = Duration::from_secs(5);

/// How often what its judge has heard is: it is large, and a judge that has lost a minute of it
/// judges a little later.
const HEARD: Duration = Duration::from_secs(60);

/// Who takes back what has ended by itself.
const ITSELF: &str = "pointsman";

/// What a rollout is told as time passes: that it does, or that it must not go on.
fn input(rollout: &Rollout, snapshot: &Snapshot) -> Input {
    match serves_already(rollout, snapshot) {
        None => Input::Tick,
        Some(why) => {
            let (author, reason) = (ITSELF.to_string(), Some(why));
            Input::Order { order: crate::rollout::Order::Abort, author, reason }
        }
    }
}

impl Orders {
    /// A second has passed: budgets count, and rollouts go on.
    pub fn tick(&mut self, snapshot: &Snapshot, now: Now) {
        self.watch_budgets(snapshot, now);
        self.impacts.look(snapshot, &self.watched, now.wall);
        self.check_judge(snapshot);
        for done in std::mem::take(&mut self.unheard) {
            self.hear(done, snapshot, now);
        }
        let names: Vec<Arc<str>> =
            self.state.rollouts().map(|rollout| rollout.service.clone()).collect();
        names.iter().for_each(|name| self.tick_one(name, snapshot, now));
        self.automate(snapshot, now);
    }

    fn tick_one(&mut self, name: &Arc<str>, snapshot: &Snapshot, now: Now) {
        let scope = Scope::Service(name.clone());
        let is_busy = self.queue.is_busy(&scope);
        let Some(rollout) = self.state.rollout(name) else { return };
        let Some(watched) = self.watched.get_mut(name) else { return };
        if snapshot.service(name).is_none() {
            return;
        }
        if !is_busy {
            watched.forget_readings();
        }
        let mut heard = (**rollout).clone();
        let attempts = watched.hear(&mut heard, snapshot, now);
        self.watch_reach(&heard, snapshot, now);
        let by = By::new(ITSELF, None);
        let mut draft = Draft::new(&self.state, self.view(snapshot, now), by);
        let told = draft.tell(heard.clone(), input(&heard, snapshot), attempts);
        match told {
            Ok(false) => {
                // Counts alone.
                let next = draft.state.rollout(name).cloned();
                let next = next.unwrap_or_else(|| Arc::new(heard));
                self.note_counts(next, is_busy, now);
            }
            told => {
                let decided = draft.decided(Made::Done);
                let is_urgent = decided.haste != Haste::None;
                // Should nothing of that come to be, the judge has seen this second all the same.
                heard.count(attempts);
                self.apply(Change::Rollout(Arc::new(heard)));
                if told.is_ok() && (is_urgent || !is_busy) {
                    if let Some(watched) = self.watched.get_mut(name) {
                        (watched.placed, watched.heard) = (now.wall, now.wall);
                    }
                    let job = Job::by_itself(scope, decided, now.instant);
                    self.submit(job, snapshot, now);
                }
            }
        }
    }

    /// Tells a rollout again how things are, though no second has passed: it waited for that.
    pub(super) fn tell_again(&mut self, rollout: &Rollout, snapshot: &Snapshot, now: Now) {
        let scope = Scope::Service(rollout.service.clone());
        let mut draft = Draft::new(&self.state, self.view(snapshot, now), By::new(ITSELF, None));
        let told = draft.tell(rollout.clone(), input(rollout, snapshot), Default::default());
        let decided = draft.decided(Made::Done);
        let is_urgent = decided.haste != Haste::None;
        if matches!(told, Ok(true)) && (is_urgent || !self.queue.is_busy(&scope)) {
            self.submit(Job::by_itself(scope, decided, now.instant), snapshot, now);
        }
    }

    /// Keeps what a rollout's pools did.
    fn note_counts(&mut self, rollout: Arc<Rollout>, is_busy: bool, now: Now) {
        let name = rollout.service.clone();
        self.apply(Change::Rollout(rollout.clone()));
        let Some(watched) = self.watched.get_mut(&name).filter(|_| !is_busy) else { return };
        // Also when the clock was set back: it must not take long until it gets there again.
        let is_due = |saved: WallTime, every: Duration| {
            now.wall < saved || now.wall.elapsed_since(saved) >= every
        };
        if is_due(watched.placed, PLACED) {
            watched.placed = now.wall;
            self.queue.count(Change::Rollout(rollout.clone()));
        }
        if is_due(watched.heard, HEARD) {
            watched.heard = now.wall;
            let (id, heard) = (rollout.id, rollout.heard().clone());
            self.queue.count(Change::Heard { service: name, id, heard });
        }
    }

    /// Takes in what need not be stored now.
    fn apply(&mut self, change: Change) {
        self.base.apply(&change);
        self.state.apply(&change);
    }

    /// Hears how a task of a rollout has ended, now or once nothing of its service waits.
    pub fn on_done(
        &mut self,
        service: &str,
        id: u64,
        task: Task,
        result: Result<Finished, TaskError>,
        snapshot: &Snapshot,
        now: Now,
    ) {
        // It is told to people who may not know what the file takes from outside.
        let result = result.map_err(|error| error.told(|text| self.config.taken.within(text)));
        self.hear(Done { service: service.into(), id, task, result }, snapshot, now);
    }

    fn hear(&mut self, done: Done, snapshot: &Snapshot, now: Now) {
        let scope = Scope::Service(done.service.clone());
        // What would let it take a step must not come before it is known whether it is to go back.
        let is_in_doubt =
            self.watched.get(&done.service).is_some_and(|known| known.is_in_doubt(now.instant));
        if is_in_doubt || self.queue.is_busy(&scope) {
            self.unheard.push(done);
            return;
        }
        let mut draft = Draft::new(&self.state, self.view(snapshot, now), By::new(ITSELF, None));
        if draft.hear(&done).is_ok() {
            let decided = draft.decided(Made::Done);
            let job = Job { done: Some(done), ..Job::by_itself(scope, decided, now.instant) };
            self.submit(job, snapshot, now);
        }
    }

    /// Takes in what requests came to, says where that changes what rollouts may do, and keeps it
    /// once a minute.
    fn watch_budgets(&mut self, snapshot: &Snapshot, now: Now) {
        self.budgets.count(snapshot, now);
        let turned = self.budgets.turned(&self.state, &self.config, now);
        let due = self.budgets.due(&self.base, !turned.is_empty(), now.wall);
        self.count(due);
        self.keep_measured(snapshot, now);
        self.effects.extend(turned.into_iter().map(Effect::Say));
        self.end_orders(snapshot, now);
        self.forget_absent(now.wall);
        self.show_standings(snapshot, now);
    }

    /// Keeps what requests came to up to now.
    pub fn save_budgets(&mut self, snapshot: &Snapshot, now: Now) {
        self.budgets.count(snapshot, now);
        let unsaved = self.budgets.unsaved(&self.base, now.wall);
        self.count(unsaved);
        self.save_measured(snapshot, now, true);
    }

    /// Keeps once a minute how failures come together, what was recorded and what pools carried.
    fn keep_measured(&mut self, snapshot: &Snapshot, now: Now) {
        let saved = self.bursts_saved;
        // Also when the clock was set back.
        if now.wall < saved || now.wall.elapsed_since(saved) >= HEARD {
            self.bursts_saved = now.wall;
            self.save_measured(snapshot, now, false);
        }
    }

    /// `all`: also what is hardly new, for the process ends.
    fn save_measured(&mut self, snapshot: &Snapshot, now: Now, all: bool) {
        let new = self.history.unsaved_bursts().into_iter();
        let mut changes: Vec<Change> =
            new.map(|(of, bursts)| Change::Bursts { of, bursts: Some(Arc::new(bursts)) }).collect();
        let is_there = |of: &str| {
            let (service, pool) = of.split_once('/').unwrap_or((of, ""));
            snapshot.service(service).is_some_and(|service| service.pool(pool).is_some())
        };
        let gone = self.base.bursts().map(|(of, _)| of).filter(|of| !is_there(of));
        changes.extend(gone.map(|of| Change::Bursts { of: of.clone(), bursts: None }));
        let new = self.history.unsaved_minutes().into_iter();
        changes.extend(new.map(|(of, minute)| Change::Recorded { of, minute }));
        let is_recorded = |of: &str| {
            let service = of.split_once('/').and_then(|(service, _)| snapshot.service(service));
            service.is_some_and(|service| service.rollout.is_some())
        };
        let gone = self.base.recorded().map(|(of, _)| of).filter(|of| !is_recorded(of));
        changes.extend(gone.map(|of| Change::Recorded { of: of.clone(), minute: None }));
        let new = self.history.unsaved_days(now.wall, all).into_iter();
        changes.extend(new.map(|(of, day)| Change::Carried { of, day }));
        let of_pool = |of: &str| of.rsplit_once('/').is_some_and(|(pool, _)| is_there(pool));
        let gone = self.base.carried().map(|(of, _)| of).filter(|of| !of_pool(of));
        changes.extend(gone.map(|of| Change::Carried { of: of.clone(), day: None }));
        self.count(changes);
    }

    /// Takes back what was ordered for a time that is over, or for a rollout that is. It counts no
    /// more already, so this makes nobody wait: it is said now, and the disk hears of it when it has
    /// nothing else to do.
    fn end_orders(&mut self, snapshot: &Snapshot, now: Now) {
        let ahead = self.base.orders().filter(|standing| !self.is_over(standing, snapshot, now));
        let bounded = ahead.filter_map(|standing| standing.bounded(now.wall)).map(Change::Order);
        let bounded: Vec<Change> = bounded.collect();
        self.count(bounded);
        let is_over = |standing: &&Override| self.is_over(standing, snapshot, now);
        let over: Vec<Override> = self.base.orders().filter(is_over).cloned().collect();
        let before = std::mem::take(&mut self.over);
        for standing in over {
            let about = standing.what.about();
            self.queue.count(Change::Clear(about.clone()));
            if before.get(&about) != Some(&standing) {
                self.is_changed = true;
                self.effects.extend(ended(&standing.what).map(Effect::Say));
            }
            self.over.insert(about, standing);
        }
    }

    fn is_over(&self, standing: &Override, snapshot: &Snapshot, now: Now) -> bool {
        if standing.is_over(now.wall) || self.over.get(&standing.what.about()) == Some(standing) {
            return true;
        }
        match &standing.what {
            // Those who waited do not go back into line because the clock was set back.
            What::Hold { service, .. } => {
                let known = snapshot.service(service).and_then(|service| service.mode.until());
                known.is_some_and(|until| until <= snapshot.moment(now.instant))
            }
            What::Lifted { service, rollout: Some(id) } => {
                self.state.rollout(service).is_none_or(|under_way| under_way.id != *id)
            }
            _ => false,
        }
    }

    /// Begins again what had begun when the process ended.
    pub fn resume_rollouts(&mut self, now: Now) {
        let under_way: Vec<_> = self.state.rollouts().cloned().collect();
        let lingering: Vec<_> = self.state.lingering().cloned().collect();
        for rollout in under_way.into_iter().chain(lingering) {
            let mut rollout = (*rollout).clone();
            let tasks = rollout.resume(now.wall);
            let begin = |task| Effect::Begin { rollout: Box::new(rollout.clone()), task };
            self.effects.extend(tasks.into_iter().map(begin));
            let rollout = Arc::new(rollout);
            self.apply(match rollout.is_over() {
                true => Change::Past(rollout),
                false => Change::Rollout(rollout),
            });
        }
    }
}

/// What is said of the end of an order; nothing where another end was told already.
fn ended(what: &What) -> Option<Event> {
    let kind = match what {
        What::Hold { .. } => Kind::Serves,
        What::Freeze { .. } => Kind::Thawed,
        What::Lifted { rollout: None, .. } => Kind::OverrideEnded,
        _ => return None,
    };
    let reason = match what {
        What::Hold { .. } => "the time of the hold is over",
        _ => "its time is over",
    };
    let (author, reason) = (Some(ITSELF.into()), Some(reason.into()));
    Some(Event { kind, subject: Subject::service(what.service()), author, reason })
}

impl Draft<'_> {
    /// Has rollouts whose judge has heard nothing that can be read begin their step anew.
    pub fn begin_steps_anew(&mut self) {
        let lost: Vec<_> =
            self.state.rollouts().filter(|rollout| rollout.has_lost_hearing()).cloned().collect();
        for rollout in lost {
            let mut rollout = (*rollout).clone();
            let past = self.view.past(&self.state, &rollout).unwrap_or_default();
            rollout.begin_step_anew(past, self.view.now.wall);
            let (name, id) = (rollout.service.clone(), rollout.id);
            self.keep(Arc::new(rollout));
            let author = format!("rollout {id}");
            self.say_of_rollout(&name, id, author, crate::rollout::Event::BegunAnew, None);
        }
    }
}

//! Takes commands one by one and keeps time: the desk decides and stores, this publishes, binds,
//! reads files and begins what takes a while.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{Command, Commands, Control, Listening, ReloadError};
use crate::clock::Clock;
use crate::config::{Change, Config, diff};
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::files::{FileError, InForce, Source};
use crate::notify::{Caller, Notifier, Occasion, call_hook, measure, smoke};
use crate::observe::{Process, RolloutStand, RolloutTally};
use crate::orders::{Board, Desk, Effect, Now, Refused};
use crate::resolve::{look_up_new, names};
use crate::rollout::{Finished, HookPoint, Rollout, Task, TaskError};
use crate::snapshot::{Published, Snapshot};
use crate::store::Batch;
use crate::upstream::{Address, Target};

/// How long a reload waits for names it has not seen before.
const NEW_NAMES: Duration = Duration::from_secs(1);

/// How often rollouts are looked at, and events stored.
const TICK: Duration = Duration::from_secs(1);

/// What the controller is connected to.
pub struct Wiring<L> {
    /// Where snapshots go.
    pub published: Arc<Published>,
    /// Where connections come in.
    pub listeners: L,
    /// Where the config comes from.
    pub source: Source,
    /// Where reloads are counted.
    pub process: Arc<Process>,
    /// Where the config in force is shown to who needs the whole of it.
    pub in_force: watch::Sender<Arc<InForce>>,
    /// Where it is shown what stands.
    pub board: watch::Sender<Arc<Board>>,
    /// Where it is told what happened.
    pub events: Arc<Events>,
    /// Who tells others.
    pub notifier: Arc<Notifier>,
    /// Who calls hooks and makes smoke requests.
    pub caller: Arc<Caller>,
    /// The way back for what takes a while.
    pub control: Control,
    /// Time.
    pub clock: Clock,
}

/// The one writer.
pub struct Controller<L> {
    wiring: Wiring<L>,
    desk: Desk,
}

impl<L: Listening> Controller<L> {
    /// Goes on from a first snapshot, which the desk has built.
    pub fn new(wiring: Wiring<L>, desk: Desk) -> Self {
        Controller { wiring, desk }
    }

    /// Takes commands until nobody is left to send any.
    pub async fn run(mut self, mut commands: Commands) {
        self.wiring.notifier.set_targets(self.desk.config().notify.clone());
        self.desk.resume_rollouts(self.now());
        self.settle();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.0.recv() => match command {
                    Some(command) => self.take(command).await,
                    None => break,
                },
                _ = tick.tick() => self.tick(),
            }
            self.settle();
        }
        self.save_budgets();
        let _ = self.store_events();
    }

    async fn take(&mut self, command: Command) {
        let (snapshot, now) = (self.wiring.published.load(), self.now());
        let desk = &mut self.desk;
        // A caller that no longer waits for its answer has lost nothing but the answer.
        match command {
            Command::Shift { service, to, order, reply } => {
                let done = desk.shift(&service, to, &order, &snapshot, now);
                self.settle();
                let _ = reply.send(done);
            }
            Command::Upstream { place, what, order, reply } => {
                let done = desk.set_upstream(&place, what, &order, &snapshot, now);
                let _ = reply.send(done.map(|()| self.settle()));
                self.tell_names();
            }
            Command::Breaker { place, what, order, reply } => {
                let done = desk.set_breaker(&place, what, &order, &snapshot, now);
                let _ = reply.send(done.map(|()| self.settle()));
            }
            Command::Mode { service, what, order, reply } => {
                let done = desk.set_mode(&service, what, &order, &snapshot, now);
                let _ = reply.send(done.map(|()| self.settle()));
            }
            Command::StartRollout { service, wishes, order, reply } => {
                let done = desk.start_rollout(&service, &wishes, &order, &snapshot, now);
                self.settle();
                let _ = reply.send(done);
            }
            Command::OrderRollout { service, what, order, reply } => {
                let done = desk.order_rollout(&service, what, &order, &snapshot, now);
                self.settle();
                let _ = reply.send(done);
            }
            Command::Freeze { service, what, order, reply } => {
                let done = desk.freeze(&service, what, &order, &snapshot, now);
                let _ = reply.send(done);
            }
            Command::Rollouts { service, reply } => {
                let known = self.known(&service).and_then(|()| self.desk.reports(&service, now));
                let _ = reply.send(known);
            }
            Command::Done { service, rollout, task, result } => {
                let heard = desk.on_done(&service, rollout, task, result, &snapshot, now);
                if let Err(error) = heard {
                    tracing::error!(service = &*service, rollout, %error, "a rollout stands still");
                }
            }
            Command::SetFlag { flag, percent, order, reply } => {
                let done = match percent {
                    Some(percent) => desk.set_flag(&flag, percent, &order, now),
                    None => desk.roll_flag_back(&flag, &order, now),
                };
                self.settle();
                let _ = reply.send(done);
            }
            Command::Flags { reply } => drop(reply.send(desk.flags())),
            Command::Export { reply } => {
                let exported = desk.store().export();
                let _ = reply.send(exported.map_err(|error| Refused::Store(error.to_string())));
            }
            Command::Diff { config, reply } => drop(reply.send(self.changes(&config))),
            Command::Reload { reply } => {
                let reloaded = self.reload().await;
                self.settle();
                let _ = reply.send(reloaded);
            }
            Command::History { service, reply } => {
                let history = self.known(&service).and_then(|()| {
                    let history = self.desk.store().history(&service, crate::store::KEPT);
                    history.map_err(|error| Refused::Store(error.to_string()))
                });
                let _ = reply.send(history);
            }
            Command::Resolved(resolved) => desk.resolve(resolved),
            Command::StopListening { reply } => {
                self.wiring.listeners.stop();
                self.save_budgets();
                let _ = self.store_events();
                let _ = reply.send(());
            }
        }
    }

    fn known(&self, service: &str) -> Result<(), Refused> {
        let found = self.desk.config().service(service);
        found.map(drop).ok_or_else(|| Refused::NoService(service.to_string()))
    }

    fn now(&self) -> Now {
        Now { instant: self.wiring.clock.now(), wall: self.wiring.clock.wall_time() }
    }

    fn tick(&mut self) {
        let snapshot = self.wiring.published.load();
        let mut failed = None;
        if let Err(error) = self.desk.watch_budgets(&snapshot, self.now()) {
            tracing::error!(%error, "error budgets are not stored; trying again in a minute");
            failed = Some(error.to_string());
        }
        for (service, error) in self.desk.tick(&snapshot, self.now()) {
            tracing::error!(service = &*service, %error, "a rollout stands still; trying again");
            failed = Some(error.to_string());
        }
        let stored = self.store_events();
        self.tell_of_store(failed.or(stored.err()));
    }

    /// At the end, so that less than a minute of counts is lost.
    fn save_budgets(&mut self) {
        let snapshot = self.wiring.published.load();
        if let Err(error) = self.desk.save_budgets(&snapshot, self.now()) {
            tracing::error!(%error, "error budgets are not stored");
        }
    }

    /// Events are nobody's answer: they are stored a moment later.
    fn store_events(&self) -> Result<(), String> {
        let fresh = self.wiring.events.unstored();
        let Some(last) = fresh.last().map(|entry| entry.number) else { return Ok(()) };
        let mut batch = Batch::new();
        batch.events(fresh.iter().map(|entry| (&**entry).into()).collect());
        match self.desk.store().commit(batch) {
            Ok(_) => {
                self.wiring.events.set_stored(last);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "events are not stored; trying again");
                Err(error.to_string())
            }
        }
    }

    /// Says once that the store takes nothing, and once that it does again. What is said is itself
    /// to be stored, and so tries it anew each time.
    fn tell_of_store(&self, failed: Option<String>) {
        let is_new = self.wiring.process.gauges().is_store_writable == failed.is_some();
        if !is_new {
            return;
        }
        self.wiring.process.update(|gauges| gauges.is_store_writable = failed.is_none());
        let kind = match failed {
            Some(why) => Kind::StoreFails { why },
            None => Kind::StoreWorks,
        };
        self.wiring.events.say(Event::by_itself(kind, Subject::default()));
    }

    /// Publishes what has changed and begins what was asked for; answers with the generation in
    /// force.
    fn settle(&mut self) -> u64 {
        let generation = match self.desk.take_changed() {
            true => self.publish(),
            false => self.wiring.published.load().generation,
        };
        for effect in self.desk.take_effects() {
            match effect {
                Effect::Say(event) => self.wiring.events.say(event),
                Effect::Begin { rollout, task } => self.begin(*rollout, task),
            }
        }
        self.post();
        generation
    }

    /// Shows what stands.
    fn post(&self) {
        let (board, now) = (self.desk.board(), self.now());
        let mut tallies = BTreeMap::<Arc<str>, RolloutTally>::new();
        for ((service, outcome), count) in self.desk.ended_rollouts() {
            tallies.entry(service.clone()).or_default().ended.insert(outcome, *count);
        }
        for rollout in &board.rollouts {
            let status = rollout.status(now.wall);
            let (step, steps) = status.steps;
            let share = status.share.ratio();
            let stand = RolloutStand { state: status.state, step, steps, share };
            tallies.entry(rollout.service.clone()).or_default().under_way = Some(stand);
        }
        self.wiring.process.set_rollouts(tallies);
        self.wiring.board.send_replace(Arc::new(board));
    }

    /// Puts what is known in force; answers with its generation. Whoever waits looks again, also
    /// for what is gone now: one is called in each line, and each calls the next.
    fn publish(&self) -> u64 {
        let before = self.wiring.published.load();
        let next = self.desk.build(Some(&before), self.now());
        let generation = next.generation;
        self.wiring.published.publish(next);
        let queues = before.services.iter().flat_map(|service| service.queues());
        queues.for_each(|queue| queue.call_next());
        generation
    }

    /// Begins a task of a rollout beside; its end comes back as a command.
    fn begin(&self, rollout: Rollout, task: Task) {
        let (caller, control) = (self.wiring.caller.clone(), self.wiring.control.clone());
        let snapshot = self.wiring.published.load();
        let work = run_task(caller, rollout.clone(), task.clone(), snapshot);
        tokio::spawn(async move {
            let result = work.await;
            control.done(rollout.service, rollout.id, task, result).await;
        });
    }

    async fn reload(&mut self) -> Result<Vec<Change>, ReloadError> {
        let reloaded = self.try_reload().await;
        let now = self.wiring.clock.unix_seconds();
        self.wiring.process.update(|gauges| match &reloaded {
            Ok(_) => {
                gauges.reloads += 1;
                gauges.last_reload_successful = true;
                gauges.last_reload_success = now;
            }
            Err(_) => {
                gauges.refused_reloads += 1;
                gauges.last_reload_successful = false;
            }
        });
        match &reloaded {
            Ok(changes) => {
                tracing::info!(changes = changes.len(), "config reloaded");
                changes.iter().for_each(|change| tracing::info!("{change}"));
            }
            Err(ReloadError::File(FileError::Problems(rejected))) => {
                tracing::error!(
                    "config refused, the old one stays in force\n{}",
                    rejected.render(false)
                );
            }
            Err(error) => tracing::error!(%error, "config refused, the old one stays in force"),
        }
        if let Err(error) = &reloaded
            && !matches!(error, ReloadError::NoFile)
        {
            let file = self.wiring.source.path().map(|path| path.display().to_string());
            let (at_fault, why) = (error.at_fault(), error.to_string());
            let kind = Kind::ReloadRefused { at_fault, why, file };
            self.wiring.events.say(Event::by_itself(kind, Subject::default()));
        }
        reloaded
    }

    async fn try_reload(&mut self) -> Result<Vec<Change>, ReloadError> {
        if self.wiring.source.path().is_none() {
            return Err(ReloadError::NoFile);
        }
        let read = self.wiring.source.read()?;
        let (config, odd) = read.parse()?;
        read.log(&odd);
        let prepared = self.wiring.listeners.prepare(&config.listeners)?;
        // Upstreams known by name only would take nothing until their names are looked up.
        let new = look_up_new(&config, &self.desk.run_time().resolved, NEW_NAMES).await;
        self.desk.resolve(new);
        let run_time = self.desk.run_time();
        let wanted: HashSet<Address> = names(&config, &run_time.changed).collect();
        let changes = self.changes(&config);
        self.desk.retain_resolved(|address| wanted.contains(address));
        let now = self.now();
        let taken = self.desk.reload(&config, now);
        taken.map_err(|error| ReloadError::Store(error.to_string()))?;
        self.publish();
        self.wiring.listeners.commit(prepared);
        self.wiring.process.set_listeners(self.wiring.listeners.tallies());
        self.wiring.notifier.set_targets(config.notify.clone());
        let changed = self.desk.run_time().changed.clone();
        self.wiring.in_force.send_replace(Arc::new(InForce { config, text: read, changed }));
        Ok(changes)
    }

    /// What a config changes, compared with all that is in force.
    fn changes(&self, after: &Config) -> Vec<Change> {
        diff(self.desk.config(), after, &self.desk.live())
    }

    /// Tells the resolver, which may have a name to look up.
    fn tell_names(&self) {
        let changed = self.desk.run_time().changed.clone();
        self.wiring.in_force.send_modify(|in_force| {
            let (config, text) = (in_force.config.clone(), in_force.text.clone());
            *in_force = Arc::new(InForce { config, text, changed });
        });
    }
}

fn run_task(
    caller: Arc<Caller>,
    rollout: Rollout,
    task: Task,
    snapshot: Arc<Snapshot>,
) -> impl Future<Output = Result<Finished, TaskError>> + Send + 'static {
    let targets = targets(&snapshot, &rollout);
    async move {
        match task {
            Task::Measure => match &rollout.plan.judging.prometheus {
                Some(query) => Ok(measure(&caller, query).await?),
                None => Err(TaskError::NoQuestion),
            },
            Task::Smoke => smoke(&caller, &targets, &rollout.service, &rollout.plan.smoke).await,
            Task::Hook(point) => {
                let Some(hook) = rollout.plan.hooks.at(&point) else {
                    return Err(TaskError::NoHook);
                };
                call_hook(&caller, hook, &occasion(&rollout, point)).await
            }
        }
    }
}

/// Where the upstreams of a rollout's target are.
fn targets(snapshot: &Snapshot, rollout: &Rollout) -> Vec<Target> {
    let pool =
        snapshot.service(&rollout.service).and_then(|service| service.pool(&rollout.plan.to));
    let members = pool.into_iter().flat_map(|pool| pool.members.list());
    members.filter_map(|member| member.target.clone()).collect()
}

fn occasion(rollout: &Rollout, point: HookPoint) -> Occasion {
    let at = rollout.asked(&Task::Hook(point.clone()));
    Occasion {
        point,
        service: rollout.service.clone(),
        rollout: rollout.id,
        strategy: rollout.plan.strategy,
        from: rollout.plan.from.clone(),
        to: rollout.plan.to.clone(),
        step: rollout.step(),
        share: rollout.share(),
        author: rollout.author.clone(),
        reason: rollout.reason.clone(),
        at,
    }
}

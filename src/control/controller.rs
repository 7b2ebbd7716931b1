//! Takes commands one by one and keeps time: orders are decided, this hands over what is to be stored,
//! publishes, binds, reads files and begins what takes a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::commits::{Batch, Commits};
use super::failing::Failing;
use super::handing::Turn;
use super::page::PageWriter;
use super::reload::{Reading, Reloading, read};
use super::tasks::run_task;
use super::{Cause, Command, Commands, Control, Granted, Listening};
use crate::automation::Act;
use crate::clock::Clock;
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::files::{Files, InForce};
use crate::notify::{Caller, Notifier, call_rule};
use crate::observe::{AutomationTally, Process, RolloutStand, RolloutTally};
use crate::orders::{
    Answered, By, Counts, Effect, Ended, Happened, Now, Orders, Refused, Ticket, changed_upstreams,
};
use crate::outgoing::tls::make_ready;
use crate::rollout::{Rollout, Task};
use crate::snapshot::{Published, Snapshot};
use crate::state::State;

/// How often rollouts are looked at, and events stored.
const TICK: Duration = Duration::from_secs(1);

/// How often what waits for the disk is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long a process that stops waits for the disk.
pub(super) const LAST: Duration = Duration::from_secs(2);

/// What the controller is connected to.
pub struct Wiring<L> {
    /// Where snapshots go.
    pub published: Arc<Published>,
    /// Where states go.
    pub state: watch::Sender<Arc<State>>,
    /// Where connections come in.
    pub listeners: L,
    /// Where the config comes from, and all that it names.
    pub files: Arc<Files>,
    /// Where reloads are counted.
    pub process: Arc<Process>,
    /// Where the config in force is shown to who needs the whole of it.
    pub in_force: watch::Sender<Arc<InForce>>,
    /// Where it is told what happened.
    pub events: Arc<Events>,
    /// Who tells others.
    pub notifier: Arc<Notifier>,
    /// Who calls hooks and makes smoke requests.
    pub caller: Arc<Caller>,
    /// Calls whoever makes connect checks.
    pub checks: Arc<Notify>,
    /// The way back for what takes a while.
    pub control: Control,
    /// Whether only this machine can reach the admin API, which needs no tokens then.
    pub is_admin_local: bool,
    /// Time.
    pub clock: Clock,
}

type Reply = oneshot::Sender<Result<Granted, Refused>>;

/// The one writer.
pub struct Controller<L: Listening> {
    pub(super) wiring: Wiring<L>,
    pub(super) orders: Orders,
    /// None while the store is another's.
    pub(super) commits: Option<Commits>,
    page: PageWriter,
    /// Whose turn it is to decide.
    pub(super) turn: Turn,
    /// What takes a while, for rollouts.
    pub(super) tasks: JoinSet<()>,
    /// The state that was shown last; at first none was.
    shown: State,
    pub(super) replies: HashMap<Ticket, Reply>,
    pub(super) reloading: Option<Reloading<L::Prepared>>,
    /// The file, while it is read and new names are looked up.
    pub(super) reading: Option<Reading>,
    /// Who waits for a reload after that one.
    pub(super) reloads: VecDeque<(By, Cause, super::reload::Reply)>,
    /// Whether counts and events may be stored though there is nothing else to store.
    is_time: bool,
    /// The last event of the batch that the disk has.
    handed: Option<u64>,
    /// The disk, as long as it takes nothing.
    failing: Failing,
}

impl<L: Listening> Controller<L> {
    /// Goes on from a first snapshot, which the orders have built.
    pub fn new(wiring: Wiring<L>, orders: Orders, commits: Commits, page: PageWriter) -> Self {
        Controller {
            wiring,
            orders,
            commits: Some(commits),
            page,
            turn: Turn::default(),
            tasks: JoinSet::new(),
            shown: State::default(),
            replies: HashMap::new(),
            reloading: None,
            reading: None,
            reloads: VecDeque::new(),
            is_time: false,
            handed: None,
            failing: Failing::default(),
        }
    }

    /// Takes commands until it is told to stop or nobody is left to send any; answers with the part
    /// that has ended before that, if one has.
    pub async fn run(mut self, mut commands: Commands) -> Option<&'static str> {
        let config = self.orders.config();
        self.wiring.notifier.set_targets(&config.notify, &config.keys);
        self.orders.resume_rollouts(self.now());
        self.orders.resume_acts(self.now());
        self.settle();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let told = loop {
            let (waits, looks) = (self.orders.is_waiting(), self.orders.is_looking());
            let patience = self.patience();
            tokio::select! {
                command = commands.0.recv() => match command {
                    Some(Command::Stop { reply }) => break Some(reply),
                    Some(Command::Handing(handing)) => self.on_handing(handing).await,
                    Some(command) if self.decides() => self.take(command),
                    Some(command) => self.wait_or_refuse(command),
                    None => break None,
                },
                stored = stored(&mut self.commits) => match stored {
                    Some(stored) => self.on_stored(stored),
                    // Whoever waits is told that it stops. Nothing more can be promised.
                    None => return Some("the thread that stores"),
                },
                noted = self.page.written() => self.orders.on_noted(&noted),
                read = read(&mut self.reading), if self.may_reload() => self.on_read(read),
                _ = tick.tick() => self.tick(),
                _ = sleep(LOOK), if waits || looks => {}
                () = sleep(patience.unwrap_or_default()), if patience.is_some() => {
                    self.refuse_waiting();
                }
            }
            if !self.decides() {
                self.settle();
                continue;
            }
            if waits {
                self.orders.on_time(self.now());
            }
            if looks {
                let snapshot = self.wiring.published.load();
                self.orders.look_again(&snapshot, self.now());
            }
            self.settle();
            self.hand_over();
            self.page.say(self.orders.unstored(), false);
            self.reload_next();
        };
        if matches!(self.turn, Turn::Nobodys(..)) {
            // Another process may serve there by now: what is refused for us is refused for it.
            self.wiring.listeners.hand_on();
        }
        self.wiring.listeners.stop().await;
        // Whoever orders something from now on is told that the process stops.
        drop(commands);
        self.store_the_rest().await;
        let Controller { commits, replies, reloads, .. } = self;
        drop((replies, reloads));
        let ended = commits.map(|commits| timeout(LAST, commits.end()));
        if let Some(ended) = ended
            && ended.await.is_err()
        {
            tracing::error!("the store is held until the process has ended: its disk hangs");
        }
        // Who has asked for it may have been told twice, and waits no more.
        told.map(|told| told.send(()).ok());
        None
    }

    pub(super) fn take(&mut self, command: Command) {
        self.wiring.process.update(|gauges| gauges.commands += 1);
        let (snapshot, now) = (self.wiring.published.load(), self.now());
        match command {
            Command::Order { order, by, reply } => {
                let ticket = self.orders.take(order, by, &snapshot, now);
                self.replies.insert(ticket, reply);
            }
            Command::Reload { by, cause, reply } => self.reloads.push_back((by, cause, reply)),
            Command::Done { service, rollout, task, result } => {
                self.orders.on_done(&service, rollout, task, result, &snapshot, now);
            }
            Command::Acted { act, result } => {
                self.orders.on_acted(act, result, &snapshot, now);
            }
            Command::Resolved(resolved) => self.orders.resolve(resolved),
            // What ends the loop that takes commands, and what is no matter of decisions.
            Command::Stop { .. } | Command::Handing(_) => {}
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { instant: self.wiring.clock.now(), wall: self.wiring.clock.wall_time() }
    }

    fn tick(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        if !self.decides() {
            return;
        }
        let snapshot = self.wiring.published.load();
        self.orders.tick(&snapshot, self.now());
        self.gather(&snapshot);
        self.is_time = true;
        self.page.say(self.orders.unstored(), true);
    }

    /// Has it looked whether what happened belongs to an incident, or opens one.
    fn gather(&mut self, snapshot: &Snapshot) {
        let now = self.now();
        let new = self.wiring.events.after(self.orders.gathered());
        let told = new.iter().map(|entry| Happened {
            number: entry.number,
            at: entry.at,
            event: &entry.event,
        });
        let told: Vec<Happened<'_>> = told.collect();
        self.orders.gather(&told, snapshot, now);
    }

    /// Hands the disk what it is to take next, with what has happened so far and what is to be said of
    /// it: an order that was acknowledged has its event though the process is killed then.
    pub(super) fn hand_over(&mut self) {
        let now = self.now();
        let Some(commits) = &self.commits else { return };
        let fresh = self.wiring.events.unstored();
        let counts = match (self.is_time, fresh.is_empty()) {
            (false, _) => Counts::Wait,
            (true, true) => Counts::Go,
            (true, false) => Counts::GoWithEvents,
        };
        let Some(changes) = self.orders.next_write(counts, now) else { return };
        self.is_time = false;
        self.handed = fresh.last().map(|entry| entry.number);
        let said = fresh.iter().map(|entry| (&**entry).into());
        let unsaid =
            self.orders.events_in_hands().map(|event| self.wiring.events.unnumbered(event));
        let events = said.chain(unsaid).collect();
        commits.hand(Batch { changes, events });
    }

    fn on_stored(&mut self, stored: Result<(), String>) {
        let (snapshot, handed) = (self.wiring.published.load(), self.handed.take());
        if let Some(since) = self.orders.handed() {
            let took = self.now().instant.saturating_duration_since(since);
            self.wiring.process.commits().note(stored.is_ok(), took);
        }
        if let (Ok(()), Some(last)) = (&stored, handed) {
            self.wiring.events.set_stored(last);
        }
        self.log_of_store(stored.as_ref().err());
        self.tell_of_store(stored.as_ref().err());
        self.orders.on_written(stored, &snapshot, self.now());
        self.settle();
        let (snapshot, now) = (self.wiring.published.load(), self.now());
        self.orders.decide_waiting(&snapshot, now);
    }

    /// Stores what a process that ends must not lose, as long as the disk answers.
    async fn store_the_rest(&mut self) {
        if self.commits.is_none() {
            return;
        }
        let snapshot = self.wiring.published.load();
        self.orders.save_budgets(&snapshot, self.now());
        if timeout(LAST, self.store_all()).await.is_err() {
            tracing::error!("the disk does not answer; what it has not taken is lost");
        }
        self.settle();
    }

    /// Whether all was stored.
    pub(super) async fn store_all(&mut self) -> bool {
        loop {
            self.settle();
            self.is_time = true;
            self.hand_over();
            // What else waits, for a connect check, is not told to the disk any more.
            if !self.orders.awaits_disk() {
                return true;
            }
            let Some(stored) = stored(&mut self.commits).await else { return false };
            let is_stored = stored.is_ok();
            self.on_stored(stored);
            if !is_stored {
                return false;
            }
        }
    }

    fn log_of_store(&mut self, failed: Option<&String>) {
        let Some(error) = failed else { return self.failing.on_success() };
        match self.failing.on_failure(self.wiring.clock.now()) {
            None => {}
            Some(0) => tracing::error!(%error, "something is not stored"),
            Some(more) => tracing::error!(%error, "nothing is stored yet, tried {more} times more"),
        }
    }

    /// Says once that the store takes nothing, and once that it does again. What is said is itself
    /// to be stored, and so tries it anew each time.
    fn tell_of_store(&self, failed: Option<&String>) {
        let is_new = self.wiring.process.gauges().is_store_writable == failed.is_some();
        if !is_new {
            return;
        }
        self.wiring.process.update(|gauges| gauges.is_store_writable = failed.is_none());
        let kind = match failed {
            Some(why) => Kind::StoreFails { why: why.clone() },
            None => Kind::StoreWorks,
        };
        self.wiring.events.say(Event::by_itself(kind, Subject::default()));
    }

    /// Publishes what has changed, begins what was asked for, and answers who waits.
    pub(super) fn settle(&mut self) {
        if self.orders.take_changed() {
            self.publish();
        }
        if self.orders.take_wants_checks() {
            self.wiring.checks.notify_one();
        }
        for effect in self.orders.take_effects() {
            match effect {
                Effect::Say(event) => self.wiring.events.say(event),
                Effect::Begin { rollout, task } => self.begin(*rollout, task),
                Effect::Act(act) => self.call(act),
                // Done already, where it was decided.
                Effect::BeginStep { .. } | Effect::Renew { .. } | Effect::Forget { .. } => {}
            }
        }
        self.post();
        for (ticket, answered) in self.orders.take_replies() {
            self.answer(ticket, answered);
        }
    }

    fn answer(&mut self, ticket: Ticket, answered: Result<Answered, Refused>) {
        if self.reloading.as_ref().is_some_and(|reloading| reloading.ticket == ticket) {
            self.reloaded(answered.map(drop));
            return;
        }
        let generation = self.wiring.published.load().generation;
        let granted = answered.map(|answered| {
            let Answered { answer, stored, warnings } = answered;
            Granted { answer, generation, stored, warnings }
        });
        if let Some(reply) = self.replies.remove(&ticket) {
            // A caller that no longer waits for its answer has lost nothing but the answer.
            let _ = reply.send(granted);
        }
    }

    /// Shows what stands, as far as it is another than was shown last: with thousands of services
    /// most commands change one.
    fn post(&mut self) {
        let depth = self.orders.depth() as u64;
        self.wiring.process.update(|gauges| gauges.store_queue = depth);
        let (state, now) = (self.orders.state(), self.now());
        if state.is_same_as(&self.shown) {
            return;
        }
        for service in state.services_unlike(&self.shown) {
            let stand = |rollout: &Arc<Rollout>| {
                let status = rollout.status(now.wall);
                let (step, steps) = status.steps;
                RolloutStand {
                    state: status.state,
                    step,
                    steps,
                    share: status.share.ratio(),
                    is_deploy: rollout.deploy.is_some(),
                }
            };
            let under_way = state.rollout(service).map(stand);
            let Ended { all: ended, deploys } = self.orders.ended_rollouts(service);
            self.wiring.process.set_rollouts(service, RolloutTally { ended, deploys, under_way });
        }
        let is_stopped = state.automation().stopped().is_some();
        let has_rules = is_stopped || !self.orders.config().automation.is_empty();
        self.wiring.process.set_automation(AutomationTally {
            acts: self.orders.act_counts().clone(),
            is_stopped: has_rules.then_some(is_stopped),
        });
        let mut open_incidents = [0; 4];
        for incident in state.open_incidents() {
            open_incidents[incident.severity as usize] += 1;
        }
        let firing = state.alerts().values().filter(|alert| alert.is_firing()).count() as u64;
        self.wiring.process.update(|gauges| {
            (gauges.open_incidents, gauges.alerts_firing) = (open_incidents, firing);
        });
        self.shown = state.clone();
        self.wiring.state.send_replace(Arc::new(self.shown.clone()));
    }

    /// Puts what is known in force. Whoever waits looks again, also for what is gone now: one is
    /// called in each line, and each calls the next.
    fn publish(&self) {
        let before = self.wiring.published.load();
        let next = self.orders.build(Some(&before), self.now());
        make_ready(&next);
        self.wiring.published.publish(next);
        let queues = before.services.iter().flat_map(|service| service.queues());
        queues.for_each(|queue| queue.call_next());
        self.tell_names();
    }

    /// Begins a task of a rollout beside; its end comes back as a command.
    fn begin(&mut self, rollout: Rollout, task: Task) {
        let (caller, control) = (self.wiring.caller.clone(), self.wiring.control.clone());
        let snapshot: Arc<Snapshot> = self.wiring.published.load();
        let by = (self.orders.config().clone(), self.wiring.events.who(&snapshot));
        let work = run_task(caller, rollout.clone(), task.clone(), snapshot, by);
        self.tasks.spawn(async move {
            let result = work.await;
            control.done(rollout.service, rollout.id, task, result).await;
        });
    }

    /// Calls whom a rule calls by the config in force, beside; the end comes back as a command. What is
    /// stored is no program.
    fn call(&mut self, act: Arc<Act>) {
        let (caller, control) = (self.wiring.caller.clone(), self.wiring.control.clone());
        let who = self.wiring.events.who(&self.wiring.published.load());
        let config = self.orders.config().clone();
        self.tasks.spawn(async move {
            let rule = config.automation.iter().find(|rule| rule.name == act.rule);
            let result = match rule {
                Some(rule) => call_rule(&caller, rule, &config.keys, &act, &who).await,
                None => Err("the file in force has no such rule any more".into()),
            };
            control.acted(act.id, result).await;
        });
    }

    /// Tells the resolver, which may have a name to look up.
    fn tell_names(&self) {
        let changed = changed_upstreams(self.orders.state());
        self.wiring.in_force.send_if_modified(|in_force| {
            if in_force.changed == changed {
                return false;
            }
            let (config, texts) = (in_force.config.clone(), in_force.texts.clone());
            let asked = in_force.asked;
            *in_force = Arc::new(InForce { config, texts, changed, asked });
            true
        });
    }
}

/// The answer of the disk; none ever comes while the store is another's.
async fn stored(commits: &mut Option<Commits>) -> Option<Result<(), String>> {
    match commits {
        Some(commits) => commits.stored().await,
        None => std::future::pending().await,
    }
}

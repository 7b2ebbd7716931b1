//! Decides what changes: a state, what is seen, and an order or the time in; changes, effects and an
//! answer out.
//!
//! No runtime and no clock: time is an argument, what takes a while is asked for as an [`Effect`],
//! and what is to be stored is handed out by [`Orders::next_write`], one batch at a time; so a
//! simulation can run it on its own time and let it die, or its disk hang, at any write. What was
//! decided is believed once it is stored. Three changes do not wait for that: the judge takes
//! traffic from a failing target, a person takes a rollout back, a person drains what is not well.
//! They are in force at once, and stored as soon as the disk takes them.

mod absent;
mod automating;
mod order;
mod other_uses;
mod overloads;
mod refused;
mod deploy;
mod draft;
mod queue;
mod budgets;
mod checking;
mod dead_pools;
mod flags;
mod impacts;
mod imported;
mod incidents;
mod observing;
mod operations;
mod performing;
mod rollouts;
mod storing;
mod supposed;
mod unstored;
mod upstreams;
mod warming;
mod ticking;
mod traffic;
#[cfg(any(test, fuzzing))]
mod drive;
#[cfg(any(test, fuzzing))]
pub(crate) mod simulation;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::aa::Checks;
use crate::automation::Act;
use crate::capacity::Overload;
use crate::clock::{Moment, WallTime};
use crate::config::{Config, Live};
use crate::event::{Event, Kind, Subject};
use crate::history::History;
use crate::incident::Incident;
use crate::rollout::{Rollout, Task};
use crate::snapshot::{Blueprint, Mode, Resolved, RunTime, Snapshot, Traffic};
use crate::split::Secret;
use crate::state::{About, Change, Override, Revision, State, What};
use crate::upstream::{Address, BreakerOrder};

pub use absent::{KEPT as ABSENT_KEPT, differences, kept_of, removals};
pub use budgets::LONGEST_OVERRIDE;
pub use dead_pools::LATELY;
pub use deploy::{DeployOrder, MOST_DEPLOYED};
pub use flags::FlagReport;
pub use imported::Imported;
pub use incidents::{Happened, IncidentOrder, incident_facts};
pub use order::{By, FreezeOrder, ModeName, ModeOrder, Order, Place, TrafficOrder, UpstreamOrder};
pub use queue::Counts;
pub use refused::{Does, Refused};
pub use rollouts::Report;
pub use supposed::Supposed;
pub use upstreams::changed_upstreams;

use automating::Automation;
use budgets::Budgets;
use draft::{Draft, Undecided, View};
use impacts::Impacts;
use order::Scope;
use queue::{Asked, Job, Queue};
use rollouts::{Done, Watched};
use upstreams::{find_upstream, labels_in, ordered_labels, upstreams_in, written};

/// The moment of a command.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what lives as long as the process.
    pub instant: Instant,
    /// For what is stored.
    pub wall: WallTime,
}

/// Something that is to be done once a decision is in force.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A task of a rollout; its end comes back as [`Orders::on_done`].
    Begin {
        /// The rollout as it is now.
        rollout: Box<Rollout>,
        /// What.
        task: Task,
    },
    /// Whoever a rule calls is called; the end comes back as [`Orders::on_acted`].
    Act(Arc<Act>),
    /// Something worth an event.
    Say(Event),
    /// What is noted of a rollout's pools begins anew. Done here.
    BeginStep {
        /// The service.
        service: Arc<str>,
    },
    /// An upstream is another version: what it has proved counts no more. Done here.
    Renew {
        /// The service.
        service: Arc<str>,
        /// The pool.
        pool: Arc<str>,
        /// The upstream.
        upstream: Arc<str>,
    },
    /// What a pool has said goes no more to anybody: its version was taken back. Done here.
    Forget {
        /// The service.
        service: Arc<str>,
        /// The pool.
        pool: Arc<str>,
    },
}

/// Whether a decision waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Haste {
    /// It is in force once it is stored.
    None,
    /// It takes a rollout's traffic back, and is in force at once.
    Traffic,
    /// It drains what is not well, and is in force at once.
    Drain,
}

/// What was decided.
#[derive(Debug)]
pub(crate) struct Decided {
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
    pub answer: Made,
    pub haste: Haste,
    pub warnings: Vec<Overload>,
}

/// What an order is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// It is so.
    Done,
    /// The revision that it made.
    Revision(Arc<Revision>),
    /// The revision in force, which is as it was asked for already: nothing was changed.
    Already(Arc<Revision>),
    /// The rollout.
    Rollout(Box<Report>),
    /// The flag.
    Flag {
        /// As it is.
        flag: FlagReport,
        /// Whether anything was changed for it.
        is_changed: bool,
    },
    /// The incident.
    Incident(Arc<Incident>),
    /// What was said of alerts.
    Alerts {
        /// How many fire.
        firing: usize,
        /// How many are resolved.
        resolved: usize,
        /// The incidents that they have opened.
        opened: Vec<u64>,
    },
}

/// An answer, and whether a crash now would undo it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// What.
    pub answer: Made,
    /// Whether the disk has taken it.
    pub stored: Stored,
    /// What it may be too much for.
    pub warnings: Vec<Overload>,
}

/// Whether the disk has taken what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It has.
    Yes,
    /// Not yet, and a note of it: after a crash its rollout would come up paused.
    Noted,
    /// Not yet: a crash now would undo it.
    No,
}

/// The number of an order, under which its answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The answer to an order.
pub type Reply = (Ticket, Result<Answered, Refused>);

/// How many rollouts of a service have ended since the process began, by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// All.
    pub all: BTreeMap<&'static str, u64>,
    /// Those that had put a version into their target first.
    pub deploys: BTreeMap<&'static str, u64>,
}

/// All that is decided here: the state in force, what waits for the disk, and what is seen.
#[derive(Debug)]
pub struct Orders {
    /// What is stored, and counts that will be.
    base: State,
    /// What is in force: the base, and on it what did not wait for the disk.
    state: State,
    queue: Queue,
    config: Arc<Config>,
    resolved: Resolved,
    watched: BTreeMap<Arc<str>, Watched>,
    /// What the pools did lately; somebody looks once a second.
    history: Arc<History>,
    budgets: Budgets,
    /// When it was last kept how failures come together.
    bursts_saved: WallTime,
    /// Whether the judge keeps what is as good as the rest.
    checks: Checks,
    /// What rules have seen and said.
    automation: Automation,
    /// How many rollouts have ended since the process began, by service and outcome.
    ended: BTreeMap<Arc<str>, Ended>,
    /// What came to the clients of services.
    impacts: Impacts,
    /// When the process began, in milliseconds since the epoch: what tells it from others that count.
    process: u64,
    /// Up to which event it was looked whether it opens an incident.
    gathered: u64,
    /// Orders whose time is over, as long as the store has them.
    over: BTreeMap<About, Override>,
    /// Tasks whose end could not be taken in yet.
    unheard: Vec<Done>,
    effects: Vec<Effect>,
    replies: Vec<Reply>,
    last: Ticket,
    is_changed: bool,
    wants_checks: bool,
}

impl Orders {
    /// Goes on from a state; a config's edits since then are taken in. What that changes is to be
    /// stored before anything else happens.
    pub fn open(
        state: State,
        config: Arc<Config>,
        resolved: Resolved,
        now: Now,
    ) -> (Orders, Vec<Change>) {
        let (budgets, gone) = Budgets::begin(&state, &config, now);
        let gathered = incidents::looked_at(&state);
        let mut orders = Orders {
            base: state.clone(),
            state,
            queue: Queue::default(),
            config: config.clone(),
            resolved,
            watched: BTreeMap::new(),
            history: Arc::default(),
            budgets,
            bursts_saved: now.wall,
            checks: Checks::default(),
            automation: Automation::default(),
            ended: BTreeMap::new(),
            impacts: Impacts::default(),
            process: now.wall.millis(),
            gathered,
            over: BTreeMap::new(),
            unheard: Vec::new(),
            effects: Vec::new(),
            replies: Vec::new(),
            last: Ticket::default(),
            is_changed: false,
            wants_checks: false,
        };
        orders.history.restore_bursts(orders.state.bursts());
        orders.history.restore_recorded(orders.state.recorded());
        orders.history.restore_days(orders.state.carried());
        let snapshot = orders.build(None, now);
        let mut draft =
            Draft::new(&orders.state, orders.view(&snapshot, now), By::new("file", None));
        draft.bound_orders();
        draft.bound_acts();
        draft.adopt(&config, false);
        draft.begin_steps_anew();
        gone.into_iter().for_each(|change| draft.change(change));
        let decided = draft.decided(Made::Done);
        orders.note_ended(&decided.changes);
        orders.base.apply_all(&decided.changes);
        orders.settle(&snapshot, decided.effects, now);
        // The first snapshot is built from all this.
        orders.is_changed = false;
        (orders, decided.changes)
    }

    /// The state in force.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The config in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What names resolve to.
    pub fn resolved(&self) -> &Resolved {
        &self.resolved
    }

    /// What the pools did lately, for whoever looks and asks.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// How many rollouts of a service have ended since the process began, by outcome.
    pub fn ended_rollouts(&self, service: &Arc<str>) -> Ended {
        self.ended.get(service).cloned().unwrap_or_default()
    }

    /// How many orders and decisions wait for the disk.
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// What is to be said of the order that the disk has in its hands, once it is stored: it is stored
    /// with it.
    pub fn events_in_hands(&self) -> impl Iterator<Item = &Event> {
        let effects = match &self.queue.in_hands {
            Some(queue::Held::Job(job)) => &job.effects[..],
            _ => &[],
        };
        effects.iter().filter_map(|effect| match effect {
            Effect::Say(event) => Some(event),
            _ => None,
        })
    }

    /// Whether something waits, so that time alone can change something.
    pub fn is_waiting(&self) -> bool {
        self.queue.is_waiting()
    }

    /// Whether the disk has something in its hands that it will answer.
    pub fn awaits_disk(&self) -> bool {
        self.queue.is_held()
    }

    /// Since when the disk has it.
    pub fn handed(&self) -> Option<Instant> {
        self.queue.handed
    }

    /// What is to be done outside, in order; asked for once.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Answers to orders; asked for once, after what has changed is published.
    pub fn take_replies(&mut self) -> Vec<Reply> {
        std::mem::take(&mut self.replies)
    }

    /// Whether a snapshot is to be built since it was asked last.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// Takes an order; its answer comes under the ticket.
    pub fn take(&mut self, order: Order, by: By, snapshot: &Snapshot, now: Now) -> Ticket {
        self.last = Ticket(self.last.0 + 1);
        let ticket = self.last;
        let asked = Asked { ticket, order, by, since: now.instant, is_unseen: false };
        match self.queue.is_full(&asked.order) {
            true => self.replies.push((ticket, Err(Refused::Withdrawn))),
            false => self.decide(asked, snapshot, now),
        }
        ticket
    }

    /// Decides an order, or has it wait.
    fn decide(&mut self, mut asked: Asked, snapshot: &Snapshot, now: Now) {
        let waited = now.instant.saturating_duration_since(asked.since);
        let may_wait = waited < dead_pools::LONGEST_LOOK;
        let view = View { asked: asked.since, may_wait, ..self.view(snapshot, now) };
        let decided = draft::decide(&self.state, view, &asked.order, &asked.by);
        let is_kept_back = self.queue.keeps_back(&asked.order.scope());
        asked.is_unseen = false;
        match decided {
            Ok(decided) if !is_kept_back || decided.haste != Haste::None => {
                let job = Job::of(asked, decided);
                self.submit(job, snapshot, now);
            }
            Err(Undecided::Refused(refused)) if !is_kept_back => {
                self.replies.push((asked.ticket, Err(refused)));
            }
            Err(Undecided::Unseen(pools)) => {
                if let Scope::Service(service) = asked.order.scope() {
                    self.ask_checks(&service, &pools, asked.since, snapshot);
                }
                asked.is_unseen = true;
                self.queue.undecided.push_back(asked);
            }
            // What it is decided on may be something else by then.
            _ => self.queue.undecided.push_back(asked),
        }
    }

    /// Decides the orders that had to wait for others and need not any more.
    pub fn decide_waiting(&mut self, snapshot: &Snapshot, now: Now) {
        for asked in std::mem::take(&mut self.queue.undecided) {
            self.decide(asked, snapshot, now);
        }
    }

    fn view<'a>(&'a self, snapshot: &'a Snapshot, now: Now) -> View<'a> {
        View {
            config: &self.config,
            snapshot,
            watched: &self.watched,
            history: &self.history,
            budgets: &self.budgets,
            impacts: &self.impacts,
            process: self.process,
            in_hands: self.queue.changes_in_hands(),
            now,
            asked: now.instant,
            may_wait: false,
        }
    }

    /// The snapshot of what is known.
    pub fn build(&self, before: Option<&Snapshot>, now: Now) -> Snapshot {
        let moment = before.map_or_else(Moment::default, |before| before.moment(now.instant));
        let (config, run_time) = (self.config.clone(), &self.run_time(moment, now));
        let secret = Secret(self.state.secret().unwrap_or_default());
        let blueprint = Blueprint { config, run_time, secret, now: now.instant };
        let snapshot = Snapshot::build(&blueprint, before);
        self.tell_upstreams(&snapshot, snapshot.moment(now.instant));
        self.show_standings(&snapshot, now);
        snapshot
    }

    /// What was learnt and ordered since the config was read.
    fn run_time(&self, moment: Moment, now: Now) -> RunTime {
        let mut run_time = RunTime { resolved: self.resolved.clone(), ..RunTime::default() };
        for service in &self.config.services {
            let name = &service.name;
            if let Some(newest) = self.state.newest(name) {
                let Revision { split, number, salt, layout, .. } = (**newest).clone();
                let traffic = Traffic { split, revision: number, salt, layout: Some(layout) };
                run_time.traffic.insert(name.clone(), traffic);
            }
            for standing in self.state.orders_of(name) {
                let is_over = |standing: &Override| {
                    let about = standing.what.about();
                    standing.is_over(now.wall) || self.over.get(&about) == Some(standing)
                };
                let from_now = |until: WallTime| moment + until.elapsed_since(now.wall);
                match &standing.what {
                    What::Hold { .. } if is_over(standing) => {}
                    What::Hold { most, .. } => {
                        let until = standing.until.map(from_now).unwrap_or_default();
                        run_time.modes.insert(name.clone(), Mode::Hold { most: *most, until });
                    }
                    What::Maintenance { message, .. } => {
                        let message = message.as_deref().map(Into::into);
                        run_time.modes.insert(name.clone(), Mode::Maintenance { message });
                    }
                    _ => {}
                }
            }
        }
        run_time.changed = changed_upstreams(&self.state);
        run_time.labels = ordered_labels(&self.state);
        run_time.versions = deploy::deployed_versions(&self.state);
        let flags = self.state.flags();
        run_time.flags = flags.map(|(name, state)| (name.clone(), state.percent)).collect();
        let watched = self.watched.iter();
        run_time.observed =
            watched.map(|(name, watched)| (name.clone(), watched.observing.observed())).collect();
        run_time
    }

    /// Tells upstreams and breakers what was ordered of them; they may be new to it.
    fn tell_upstreams(&self, snapshot: &Snapshot, now: Moment) {
        let (mut drained, mut breakers) = (HashSet::new(), BTreeMap::new());
        for standing in self.state.orders() {
            match &standing.what {
                What::Drain { service, pool, upstream } => {
                    drained.insert((&**service, &**pool, &**upstream));
                }
                What::Breaker { service, pool, upstream, order } => {
                    breakers.insert((&**service, &**pool, upstream.as_deref()), *order);
                }
                _ => {}
            }
        }
        let ordered = |service, pool, upstream| {
            breakers.get(&(service, pool, upstream)).copied().unwrap_or(BreakerOrder::Auto)
        };
        for service in &snapshot.services {
            for pool in &service.pools {
                let order = ordered(&*service.name, &*pool.name, None);
                if pool.state.breaker.order() != order {
                    pool.state.breaker.set_order(order, now);
                }
                for member in pool.members.list() {
                    let upstream = &member.upstream;
                    let order = ordered(&*service.name, &*pool.name, Some(&*upstream.name));
                    if upstream.breaker.order() != order {
                        upstream.breaker.set_order(order, now);
                        upstream.note_breaker(now);
                    }
                    let is_out = drained.contains(&(&*service.name, &*pool.name, &*upstream.name));
                    if upstream.is_draining() && !is_out {
                        upstream.come_in(now);
                    }
                    upstream.set_draining(is_out);
                }
            }
        }
    }

    /// Shows how services stand to whoever looks at a snapshot.
    fn show_standings(&self, snapshot: &Snapshot, now: Now) {
        let is_decree =
            |order: &&Override| matches!(order.what, What::Freeze { .. } | What::Lifted { .. });
        let decrees: HashSet<&str> =
            self.state.orders().filter(is_decree).map(|order| order.what.service()).collect();
        for service in &snapshot.services {
            // Of most there is nothing to be said, and there may be many.
            if service.slo.is_none() && !decrees.contains(&*service.name) {
                service.state.set_no_standing();
                continue;
            }
            let standing = self.budgets.standing_at(&self.state, &service.name, now);
            service.state.set_standing(standing);
        }
    }

    /// Puts new addresses to the names of upstreams.
    pub fn resolve(&mut self, resolved: Resolved) {
        self.learn(resolved);
        self.is_changed = true;
    }

    /// Keeps the addresses of names.
    fn learn(&mut self, resolved: Resolved) {
        // Added, not replaced: a look-up that began before a reload knows nothing of the names that
        // the reload has looked up itself.
        self.resolved.extend(resolved);
    }

    /// Forgets the addresses of names that nobody wants.
    pub fn retain_resolved(&mut self, wanted: impl Fn(&Address) -> bool) {
        self.resolved.retain(|address, _| wanted(address));
    }
}

/// What is in force beside a config.
pub fn live(state: &State, config: &Config) -> Live {
    let drained = state.orders().filter_map(|standing| match standing.what.clone() {
        What::Drain { service, pool, upstream } => Some([service, pool, upstream]),
        _ => None,
    });
    let splits = config.services.iter().filter_map(|service| {
        Some((service.name.clone(), state.newest(&service.name)?.split.clone()))
    });
    Live {
        drained: drained.collect(),
        splits: splits.collect(),
        flags: state.flags().map(|(name, state)| (name.clone(), state.percent)).collect(),
        upstreams: changed_upstreams(state),
        deployed: deploy::deployed_versions(state)
            .into_iter()
            .map(|(pool, version)| (pool, version.words()))
            .collect(),
        rollouts: state.rollouts().map(|rollout| (**rollout).clone()).collect(),
    }
}

//! The one writer: commands in, one after the other; a new snapshot published and an answer out.
//!
//! Whoever wants to change anything (API, file watcher, resolver) sends a command through the
//! [`Control`] handle. The [`Controller`] takes them in order, remembers what must be remembered,
//! and publishes. Nobody else calls `publish`, so no two changes can overwrite each other.

mod board;
mod controller;
mod desk;
mod events;
mod latencies;
mod prober;
mod rates;
mod resolve;
mod source;
mod watch;
mod watchman;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::{Change, Config, Problems};
use crate::proxy::listen::BindError;
use crate::rollout::{self, OrderRefused, PlanRefused, Task, Wishes};
use crate::snapshot::{Changed, Mode, Resolved};
use crate::split::{BasisPoints, SplitError};
use crate::store::{Export, LostRace, Revision};
use crate::upstream::{Address, BreakerOrder};

pub use board::Board;
pub use controller::{Controller, Wiring};
pub use desk::{Desk, FlagReport, LONGEST_OVERRIDE, Now, Report};
pub use events::{Event, Events, Subject};
pub use latencies::{Latencies, WINDOWS as LATENCY_WINDOWS};
pub use prober::run as probe;
pub use rates::{PERIOD as RATES_PERIOD, PoolRate, Rates};
pub use resolve::Resolver;
pub use source::{Source, Text};
pub use watch::watch;
pub use watchman::watch_over;

/// Commands waiting at once. More mean a caller in a loop; it then waits its turn.
const QUEUE: usize = 64;

/// Who asks for a change, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// A person, a token, `file`.
    pub author: String,
    /// In the author's words.
    pub reason: Option<String>,
    /// The revision the change is meant for; none changes whatever is there.
    pub expected: Option<u64>,
    /// Even if a pool that gets more has no upstream that takes requests.
    pub force: bool,
}

impl Order {
    /// An order that is meant for whatever is there.
    pub fn of(author: &str, reason: Option<&str>) -> Order {
        Order {
            author: author.into(),
            reason: reason.map(Into::into),
            expected: None,
            force: false,
        }
    }
}

/// What a service's mode is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeOrder {
    /// It serves again.
    Serve {
        /// Only if this is what it does now.
        from: Option<ModeName>,
    },
    /// New requests wait.
    Hold {
        /// How long at most.
        length: Duration,
        /// How many at most.
        most: usize,
    },
    /// New requests are told to come back later.
    Maintenance {
        /// What they are told.
        message: Option<String>,
    },
}

/// A mode without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeName {
    /// It serves.
    Serve,
    /// New requests wait.
    Hold,
    /// New requests are told to come back later.
    Maintenance,
}

impl ModeName {
    /// That of a mode.
    pub fn of(mode: &Mode) -> ModeName {
        match mode {
            Mode::Serve => ModeName::Serve,
            Mode::Hold { .. } => ModeName::Hold,
            Mode::Maintenance { .. } => ModeName::Maintenance,
        }
    }
}

impl std::fmt::Display for ModeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ModeName::Serve => "serving",
            ModeName::Hold => "held",
            ModeName::Maintenance => "in maintenance",
        })
    }
}

/// A pool, or one upstream of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The service.
    pub service: String,
    /// The pool.
    pub pool: String,
    /// The upstream; none for the pool as a whole.
    pub upstream: Option<Address>,
}

/// What becomes of one upstream of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamOrder {
    /// It takes requests.
    Activate,
    /// It ends those it has and takes no more.
    Drain,
    /// It joins the pool, or gets another weight.
    Add {
        /// Relative to the others of the pool; none leaves it as it is.
        weight: Option<u16>,
    },
    /// It leaves the pool; requests it holds end.
    Remove,
}

/// What is said of a service's rollouts above what its error budgets say. Each takes the place of the
/// other; each needs a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreezeOrder {
    /// None starts and none goes on.
    Freeze {
        /// For how long at most; none until it is lifted.
        length: Option<Duration>,
    },
    /// A freeze by order ends.
    Lift,
    /// They go on, whatever the budgets say.
    Override {
        /// For how long at most.
        length: Duration,
    },
}

/// A change to be made.
#[derive(Debug)]
enum Command {
    Shift {
        service: String,
        to: Target,
        order: Order,
        reply: oneshot::Sender<Result<Revision, Refused>>,
    },
    Upstream {
        place: Place,
        what: UpstreamOrder,
        order: Order,
        reply: oneshot::Sender<Result<u64, Refused>>,
    },
    Breaker {
        place: Place,
        what: BreakerOrder,
        order: Order,
        reply: oneshot::Sender<Result<u64, Refused>>,
    },
    Mode {
        service: String,
        what: ModeOrder,
        order: Order,
        reply: oneshot::Sender<Result<u64, Refused>>,
    },
    Diff {
        config: Arc<Config>,
        reply: oneshot::Sender<Vec<Change>>,
    },
    Reload {
        reply: oneshot::Sender<Result<Vec<Change>, ReloadError>>,
    },
    History {
        service: String,
        reply: oneshot::Sender<Result<Vec<Revision>, Refused>>,
    },
    StartRollout {
        service: String,
        wishes: Box<Wishes>,
        order: Order,
        reply: oneshot::Sender<Result<Report, Refused>>,
    },
    OrderRollout {
        service: String,
        what: rollout::Order,
        order: Order,
        reply: oneshot::Sender<Result<Report, Refused>>,
    },
    Rollouts {
        service: String,
        reply: oneshot::Sender<Result<Vec<Report>, Refused>>,
    },
    Done {
        service: Arc<str>,
        rollout: u64,
        task: Task,
        result: Result<String, String>,
    },
    Freeze {
        service: String,
        what: FreezeOrder,
        order: Order,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    SetFlag {
        flag: String,
        percent: Option<BasisPoints>,
        order: Order,
        reply: oneshot::Sender<Result<FlagReport, Refused>>,
    },
    Flags {
        reply: oneshot::Sender<Vec<FlagReport>>,
    },
    Export {
        reply: oneshot::Sender<Result<Export, Refused>>,
    },
    Resolved(Resolved),
    StopListening {
        reply: oneshot::Sender<()>,
    },
}

/// What a service's traffic is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// These shares; pools left out get nothing.
    Weights(BTreeMap<String, BasisPoints>),
    /// Everything to one pool.
    Flip {
        /// The pool.
        pool: String,
    },
    /// As it was.
    Back {
        /// The revision; none for the one before the last change, where the steps of one rollout
        /// are one change.
        to: Option<u64>,
    },
}

/// Why a change was not made. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such service.
    #[error("no service is named `{0}`")]
    NoService(String),
    /// No such pool.
    #[error("service `{service}` has no pool named `{pool}`")]
    NoPool {
        /// The service asked of.
        service: String,
        /// The name given.
        pool: String,
    },
    /// No such upstream.
    #[error("pool `{pool}` has no upstream `{address}`")]
    NoUpstream {
        /// The pool asked of.
        pool: String,
        /// The address given.
        address: String,
    },
    /// The weights are no split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Another change came first.
    #[error(transparent)]
    LostRace(#[from] LostRace),
    /// The pool could not take the traffic.
    #[error("pool `{0}` has no upstream that takes requests")]
    NotAvailable(String),
    /// It is in another mode than the order is for.
    #[error("service `{service}` is {is}")]
    OtherMode {
        /// The service asked of.
        service: String,
        /// What it does.
        is: ModeName,
    },
    /// It is in the pool already, with this weight.
    #[error("pool `{pool}` has `{address}` already, with this weight")]
    Known {
        /// The pool asked of.
        pool: String,
        /// The address given.
        address: String,
    },
    /// A pool that gets traffic would have nobody left.
    #[error("`{address}` is the last upstream of pool `{pool}` that takes requests")]
    Last {
        /// The pool asked of.
        pool: String,
        /// The address given.
        address: String,
    },
    /// It came with a name.
    #[error("`{address}` is what the name `{name}` resolves to; remove the name")]
    Named {
        /// The address given.
        address: String,
        /// The name in the pool.
        name: String,
    },
    /// A rollout moves the service's traffic.
    #[error("rollout {id} of `{service}` to `{to}` is under way")]
    RolloutUnderWay {
        /// The service asked of.
        service: String,
        /// The rollout's number.
        id: u64,
        /// Its target.
        to: String,
    },
    /// Rollouts of the service are frozen, or its error budget keeps them back.
    #[error("no rollout of `{service}` starts: {why}")]
    Frozen {
        /// The service asked of.
        service: String,
        /// Why.
        why: String,
    },
    /// It is not frozen by order.
    #[error("rollouts of `{service}` are not frozen by anybody{}", kept_back(.why))]
    NotFrozen {
        /// The service asked of.
        service: String,
        /// Why they are kept back all the same, if they are.
        why: Option<String>,
    },
    /// What is said above an error budget is kept with a reason.
    #[error("this needs a reason")]
    NoReason,
    /// There is none to give an order to.
    #[error("no rollout of `{0}` is under way")]
    NoRollout(String),
    /// It cannot be planned so.
    #[error(transparent)]
    Plan(#[from] PlanRefused),
    /// It makes no sense now.
    #[error(transparent)]
    Rollout(#[from] OrderRefused),
    /// No such revision is remembered.
    #[error("service `{service}` has no revision {number} any more, or never had")]
    NoRevision {
        /// The service asked of.
        service: String,
        /// The number given.
        number: u64,
    },
    /// There is nothing to go back to.
    #[error("service `{0}` has no state before this one")]
    NothingBefore(String),
    /// The version cannot run any more.
    #[error("version `{pool}` cannot run on the contracted schema")]
    Contracted {
        /// Its pool.
        pool: String,
    },
    /// No such flag.
    #[error("no flag is named `{0}`")]
    NoFlag(String),
    /// The store did not take it.
    #[error("{0}")]
    Store(String),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

fn kept_back(why: &Option<String>) -> String {
    why.as_ref().map_or_else(String::new, |why| format!(", but kept back: {why}"))
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The process was started without a file.
    #[error("there is no file to reload: the process was started without one")]
    NoFile,
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not a config.
    #[error("{}", .0.summary())]
    Problems(Box<Rejected>),
    /// A new listener's address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The store did not take what the file changes.
    #[error("{0}")]
    Store(String),
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}

/// What is served, and the text it was read from.
#[derive(Debug)]
pub struct InForce {
    /// The checked values.
    pub config: Arc<Config>,
    /// The text.
    pub text: Text,
    /// Pools whose upstreams were changed at run time.
    pub changed: Changed,
}

/// A text that is not a config, with all that is wrong with it.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The file it was read from.
    pub path: String,
    /// What was read.
    pub text: String,
    /// What is wrong.
    pub problems: Problems,
}

impl Rejected {
    /// As people read it, with lines and carets.
    pub fn render(&self, colour: bool) -> String {
        self.problems.render(&self.text, &self.path, colour)
    }

    /// In one line.
    fn summary(&self) -> String {
        let errors = self.problems.count(crate::config::Level::Error);
        let plural = if errors == 1 { "" } else { "s" };
        format!("{} has {errors} error{plural}", self.path)
    }
}

/// The way to the controller.
#[derive(Clone, Debug)]
pub struct Control(mpsc::Sender<Command>);

/// The controller's end of the way.
#[derive(Debug)]
pub struct Commands(mpsc::Receiver<Command>);

/// A way and its end.
pub fn channel() -> (Control, Commands) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Control(sender), Commands(receiver))
}

impl Control {
    /// Changes a service's split; answers once it is in force.
    pub async fn shift(
        &self,
        service: &str,
        to: Target,
        order: Order,
    ) -> Result<Revision, Refused> {
        let service = service.to_string();
        self.ask(|reply| Command::Shift { service, to, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Changes what becomes of an upstream; answers with the generation from which on it is so.
    pub async fn set_upstream(
        &self,
        place: Place,
        what: UpstreamOrder,
        order: Order,
    ) -> Result<u64, Refused> {
        self.ask(|reply| Command::Upstream { place, what, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Opens or closes a breaker, or lets it decide by itself again; answers with the generation.
    pub async fn set_breaker(
        &self,
        place: Place,
        what: BreakerOrder,
        order: Order,
    ) -> Result<u64, Refused> {
        self.ask(|reply| Command::Breaker { place, what, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Holds a service, puts it into maintenance, or lets it serve; answers with the generation.
    pub async fn set_mode(
        &self,
        service: &str,
        what: ModeOrder,
        order: Order,
    ) -> Result<u64, Refused> {
        let service = service.to_string();
        self.ask(|reply| Command::Mode { service, what, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// What putting this config in force would change.
    pub async fn diff(&self, config: Arc<Config>) -> Result<Vec<Change>, ReloadError> {
        self.ask(|reply| Command::Diff { config, reply }).await.ok_or(ReloadError::Stopping)
    }

    /// Reads the file again and puts it in force; answers with what changed.
    pub async fn reload(&self) -> Result<Vec<Change>, ReloadError> {
        self.ask(|reply| Command::Reload { reply }).await.unwrap_or(Err(ReloadError::Stopping))
    }

    /// The revisions of a service, the newest first.
    pub async fn history(&self, service: &str) -> Result<Vec<Revision>, Refused> {
        let service = service.to_string();
        self.ask(|reply| Command::History { service, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Starts a rollout; answers once it is stored.
    pub async fn start_rollout(
        &self,
        service: &str,
        wishes: Wishes,
        order: Order,
    ) -> Result<Report, Refused> {
        let (service, wishes) = (service.to_string(), Box::new(wishes));
        self.ask(|reply| Command::StartRollout { service, wishes, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Gives an order to the rollout of a service.
    pub async fn order_rollout(
        &self,
        service: &str,
        what: rollout::Order,
        order: Order,
    ) -> Result<Report, Refused> {
        let service = service.to_string();
        self.ask(|reply| Command::OrderRollout { service, what, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// The rollouts of a service that are remembered, the newest first.
    pub async fn rollouts(&self, service: &str) -> Result<Vec<Report>, Refused> {
        let service = service.to_string();
        self.ask(|reply| Command::Rollouts { service, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Tells how a task of a rollout has ended.
    pub(super) async fn done(
        &self,
        service: Arc<str>,
        rollout: u64,
        task: Task,
        result: Result<String, String>,
    ) {
        // A controller that is gone asks again when it is back.
        let _ = self.0.send(Command::Done { service, rollout, task, result }).await;
    }

    /// Freezes a service's rollouts, or lets them go on.
    pub async fn freeze(
        &self,
        service: &str,
        what: FreezeOrder,
        order: Order,
    ) -> Result<(), Refused> {
        let service = service.to_string();
        self.ask(|reply| Command::Freeze { service, what, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Gives a flag to this share of clients, or takes it back to the state before.
    pub async fn set_flag(
        &self,
        flag: &str,
        percent: Option<BasisPoints>,
        order: Order,
    ) -> Result<FlagReport, Refused> {
        let flag = flag.to_string();
        self.ask(|reply| Command::SetFlag { flag, percent, order, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// All flags.
    pub async fn flags(&self) -> Vec<FlagReport> {
        self.ask(|reply| Command::Flags { reply }).await.unwrap_or_default()
    }

    /// All that is stored.
    pub async fn export(&self) -> Result<Export, Refused> {
        self.ask(|reply| Command::Export { reply }).await.unwrap_or(Err(Refused::Stopping))
    }

    /// Tells what names resolve to.
    pub async fn resolved(&self, resolved: Resolved) {
        // A controller that is gone needs no names.
        let _ = self.0.send(Command::Resolved(resolved)).await;
    }

    /// Stops accepting connections.
    pub async fn stop_listening(&self) {
        let _ = self.ask(|reply| Command::StopListening { reply }).await;
    }

    /// None if the controller is gone.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

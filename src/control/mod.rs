//! The one writer: commands in, one after the other; a new snapshot published and an answer out.
//!
//! Whoever wants to change anything (API, file watcher, resolver) sends a command through the
//! [`Control`] handle. The [`Controller`] takes them in order, remembers what must be remembered,
//! and publishes. Nobody else calls `publish`, so no two changes can overwrite each other.

mod controller;
mod holds;
mod listening;
mod reload;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::config::{Change, Config};
use crate::orders::{
    FlagReport, FreezeOrder, ModeOrder, Order, Place, Refused, Report, Target, UpstreamOrder,
};
use crate::rollout::{self, Finished, Task, TaskError, Wishes};
use crate::snapshot::Resolved;
use crate::split::BasisPoints;
use crate::store::{Export, Revision};
use crate::upstream::BreakerOrder;

pub use controller::{Controller, Wiring};
pub use holds::end_holds;
pub use listening::{BindError, Listening};
pub use reload::ReloadError;

/// Commands waiting at once. More mean a caller in a loop; it then waits its turn.
const QUEUE: usize = 64;

/// A change to be made.
#[derive(Debug)]
pub(crate) enum Command {
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
        result: Result<Finished, TaskError>,
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

/// The way to the controller.
#[derive(Clone, Debug)]
pub struct Control(mpsc::Sender<Command>);

/// The controller's end of the way.
#[derive(Debug)]
pub struct Commands(pub(crate) mpsc::Receiver<Command>);

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
        result: Result<Finished, TaskError>,
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

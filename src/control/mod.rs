//! The one writer: orders in, one after the other; a new snapshot and state published and an answer
//! out.
//!
//! Whoever wants to change anything (API, file watcher, resolver) sends a command through the
//! [`Control`] handle. The [`Controller`] takes them in order, has them decided, hands what is to be
//! stored to the [`commits`] thread, and publishes. Nobody else calls `publish`, so no two changes
//! can overwrite each other. Whoever only reads takes the snapshot and the state that are published,
//! and never comes here.

mod commits;
mod controller;
mod failing;
mod handing;
mod listening;
mod page;
mod reload;
mod tasks;
mod upgrades;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::automation::Answer;
use crate::capacity::Overload;
use crate::config::Change;
use crate::orders::{By, Made, Order, Refused, Stored};
use crate::rollout::{Finished, Task, TaskError};
use crate::snapshot::Resolved;
use crate::state::Change as StateChange;
use handing::Handing;

#[cfg(test)]
pub(crate) use commits::Batch;
pub use commits::Commits;
pub use controller::{Controller, Wiring};
pub use handing::Store as GivenUp;
pub use listening::{BindError, Listening};
pub use page::PageWriter;
pub use reload::ReloadError;
pub use upgrades::{NotUpgraded, Upgrades, Wish, upgrades};

/// Commands waiting at once. More mean a caller in a loop; it then waits its turn.
const QUEUE: usize = 64;

/// Something for the one writer.
#[derive(Debug)]
pub(crate) enum Command {
    Order { order: Order, by: By, reply: oneshot::Sender<Result<Granted, Refused>> },
    Reload { by: By, cause: Cause, reply: oneshot::Sender<Result<Vec<Change>, ReloadError>> },
    Done { service: Arc<str>, rollout: u64, task: Task, result: Result<Finished, TaskError> },
    Acted { act: u64, result: Result<Answer, String> },
    Resolved(Resolved),
    Handing(Handing),
    Stop { reply: oneshot::Sender<()> },
}

/// Why the file is read again, and so what it may take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asks for it: whatever is not in it any more goes.
    Asked {
        /// What was ordered of that is forgotten; else it is kept for a day.
        forgets: bool,
    },
    /// It was saved: what is in use goes only if the config in force allows that
    /// (`server.removals`).
    Saved {
        /// It has not changed again for a while: what is refused now is refused out loud.
        is_last: bool,
    },
}

/// What an order has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// What it made.
    pub answer: Made,
    /// The generation of the snapshot from which on it is so.
    pub generation: u64,
    /// Whether the disk has taken it.
    pub stored: Stored,
    /// What it may be too much for.
    pub warnings: Vec<Overload>,
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
    /// Gives an order; answers once it is in force.
    pub async fn order(&self, order: Order, by: By) -> Result<Granted, Refused> {
        self.ask(|reply| Command::Order { order, by, reply })
            .await
            .unwrap_or(Err(Refused::Stopping))
    }

    /// Reads the file again and puts it in force; answers with what changed.
    pub async fn reload(&self, by: By, cause: Cause) -> Result<Vec<Change>, ReloadError> {
        let stopping = || Err(Refused::Stopping.into());
        self.ask(|reply| Command::Reload { by, cause, reply }).await.unwrap_or_else(stopping)
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

    /// Tells how a call of a rule has ended.
    pub(super) async fn acted(&self, act: u64, result: Result<Answer, String>) {
        // A controller that is gone knows when it is back that it had begun.
        let _ = self.0.send(Command::Acted { act, result }).await;
    }

    /// Tells what names resolve to.
    pub async fn resolved(&self, resolved: Resolved) {
        // A controller that is gone needs no names.
        let _ = self.0.send(Command::Resolved(resolved)).await;
    }

    /// The listeners, for another process; until they are taken back, none comes or goes.
    pub async fn pass_on(&self) -> std::io::Result<Vec<OwnedFd>> {
        let passed = self.ask(|reply| Command::Handing(Handing::PassOn { reply })).await;
        passed.unwrap_or_else(|| Err(std::io::Error::other("the process is stopping")))
    }

    /// Stores what there is and gives the store back. If it is not kept, nothing is decided from then on
    /// until [`Control::take_back`].
    pub async fn give_up(&self) -> GivenUp {
        let given = self.ask(|reply| Command::Handing(Handing::GiveUp { reply })).await;
        given.unwrap_or(GivenUp::Kept)
    }

    /// Goes on as before; with this way to the store, if it was given back.
    pub async fn take_back(&self, commits: Option<Commits>) {
        // A controller that is gone has nothing to go on with.
        let _ = self.0.send(Command::Handing(Handing::TakeBack { commits })).await;
    }

    /// Another process serves: stops accepting, without closing what that one has, and takes no orders any
    /// more.
    pub async fn leave(&self) {
        // A controller that is gone has left.
        let _ = self.ask(|reply| Command::Handing(Handing::Leave { reply })).await;
    }

    /// Takes in what that process has decided since.
    pub async fn follow(&self, changes: Vec<StateChange>) {
        let _ = self.0.send(Command::Handing(Handing::Follow(changes))).await;
    }

    /// Stops accepting connections and taking orders, stores what is left and gives the store back.
    pub async fn stop(&self) {
        // A controller that is gone has stopped.
        let _ = self.ask(|reply| Command::Stop { reply }).await;
    }

    /// None if the controller is gone.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

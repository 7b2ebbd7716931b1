//! The writer gives its place to that of another process: the store given back first, then the listeners,
//! and from then on it only follows what the other has decided.
//!
//! Until the other serves, all of it can be taken back. Meanwhile nothing is decided, so that what is in
//! memory and what is stored stay the same; orders wait a little for who will take them.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::commits::Commits;
use super::controller::{Controller, LAST};
use super::{Command, Listening};
use crate::state::Change;

/// How long orders wait for the end of a change of processes.
const ORDERS: Duration = Duration::from_secs(2);

/// Something of a change of processes.
#[derive(Debug)]
pub(crate) enum Handing {
    /// The listeners are wanted by another process. From now on none comes or goes.
    PassOn { reply: oneshot::Sender<std::io::Result<Vec<OwnedFd>>> },
    /// Stores what there is and gives the store back, if it can.
    GiveUp { reply: oneshot::Sender<Store> },
    /// Goes on as before; with another way to the store if it was given up.
    TakeBack { commits: Option<Commits> },
    /// The other process serves: stops accepting, and follows.
    Leave { reply: oneshot::Sender<()> },
    /// What the other process has decided.
    Follow(Vec<Change>),
}

/// What has become of the store that was to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// It is free, with all there was to store in it.
    Free,
    /// It is kept: the disk does not take what there is to store.
    Kept,
    /// It is given back, and the disk does not let go of it yet.
    Hangs,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) enum Turn {
    /// Ours.
    #[default]
    Ours,
    /// Ours; listeners stay as they are.
    Passing,
    /// Nobody's, since then: what is to be decided waits.
    Nobodys(Instant, Vec<Command>),
    /// Another's.
    Others,
}

impl<L: Listening> Controller<L> {
    /// Whether listeners may come and go.
    pub(super) fn may_reload(&self) -> bool {
        matches!(self.turn, Turn::Ours)
    }

    /// Whether anything may be decided.
    pub(super) fn decides(&self) -> bool {
        matches!(self.turn, Turn::Ours | Turn::Passing)
    }

    pub(super) async fn on_handing(&mut self, handing: Handing) {
        match handing {
            // Its listeners are bound, and the config may be in force at any moment.
            Handing::PassOn { reply } if self.reloading.is_some() => {
                let _ = reply.send(Err(std::io::Error::other("a reload is under way")));
            }
            Handing::PassOn { reply } => {
                self.turn = Turn::Passing;
                // Who asked and is gone will say so.
                let _ = reply.send(self.wiring.listeners.descriptors());
            }
            Handing::GiveUp { reply } => {
                let store = self.give_up().await;
                let _ = reply.send(store);
            }
            Handing::TakeBack { commits } => {
                self.commits = commits.or(self.commits.take());
                if let Turn::Nobodys(_, waiting) = std::mem::take(&mut self.turn) {
                    for command in waiting {
                        self.take(command);
                    }
                }
            }
            Handing::Leave { reply } => {
                // Who waits is told that the process stops: its answer is the other's to give.
                self.turn = Turn::Others;
                self.replies.clear();
                self.reloads.clear();
                (self.reading, self.reloading) = (None, None);
                self.tasks.abort_all();
                self.wiring.listeners.hand_on();
                self.wiring.listeners.stop().await;
                let _ = reply.send(());
            }
            Handing::Follow(changes) => {
                let (snapshot, now) = (self.wiring.published.load(), self.now());
                self.orders.follow(&changes, &snapshot, now);
            }
        }
    }

    async fn give_up(&mut self) -> Store {
        let snapshot = self.wiring.published.load();
        self.orders.save_budgets(&snapshot, self.now());
        if timeout(LAST, self.store_all()).await != Ok(true) {
            tracing::error!("the disk does not take what there is to store");
            return Store::Kept;
        }
        self.turn = Turn::Nobodys(self.wiring.clock.now(), Vec::new());
        let Some(commits) = self.commits.take() else { return Store::Free };
        match timeout(LAST, commits.end()).await {
            Ok(()) => Store::Free,
            Err(_) => Store::Hangs,
        }
    }

    /// A command comes while nothing may be decided.
    pub(super) fn wait_or_refuse(&mut self, command: Command) {
        match (&mut self.turn, command) {
            // What a name leads to is nobody's decision.
            (_, Command::Resolved(resolved)) => self.orders.resolve(resolved),
            (Turn::Nobodys(_, waiting), command) => waiting.push(command),
            // Whoever has asked hears that the process stops.
            (_, command) => drop(command),
        }
    }

    /// How long what waits may still wait; none if nothing does.
    pub(super) fn patience(&self) -> Option<Duration> {
        match &self.turn {
            Turn::Nobodys(since, waiting) if waiting.iter().any(is_order) => {
                let waited = self.wiring.clock.now().saturating_duration_since(*since);
                Some(ORDERS.saturating_sub(waited))
            }
            _ => None,
        }
    }

    /// Orders have waited long enough.
    pub(super) fn refuse_waiting(&mut self) {
        if let Turn::Nobodys(_, waiting) = &mut self.turn {
            waiting.retain(|command| !is_order(command));
        }
    }
}

/// Whether somebody waits for its answer.
fn is_order(command: &Command) -> bool {
    matches!(command, Command::Order { .. } | Command::Reload { .. })
}

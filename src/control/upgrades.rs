//! The way to whoever has another process take over: the wish in, that process's number out, or why there is
//! none.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// Wishes that wait at once. Who comes while one is carried out is told so.
const QUEUE: usize = 1;

/// Why the process goes on as before.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NotUpgraded {
    /// There is no file, and so no store: nothing would be remembered.
    #[error("a process that was started without a file remembers nothing, and cannot hand it over")]
    NoFile,
    /// The program could be anybody's.
    #[error("the program is not started: {0}")]
    Untrusted(String),
    /// The system does not start it.
    #[error("the new process cannot be started: {0}")]
    NotStarted(String),
    /// It says why it will not.
    #[error("the new process refuses: {0}")]
    Refuses(String),
    /// It has ended.
    #[error("the new process has ended before it was {word}: {status}")]
    Ended {
        /// What it was to be.
        word: &'static str,
        /// How it ended.
        status: String,
    },
    /// It says nothing.
    #[error("the new process was not {word} within {} s, and was ended", .within.as_secs())]
    Late {
        /// What it was to be.
        word: &'static str,
        /// For how long it was waited for.
        within: Duration,
    },
    /// What is in memory cannot be handed over.
    #[error("the disk does not take what there is to store, or does not let go of the store")]
    Disk,
    /// One at a time.
    #[error("an upgrade is under way")]
    UnderWay,
    /// It ends anyway, or another process has taken over.
    #[error("the process is stopping")]
    Stopping,
}

/// A wish, and where its answer goes.
#[derive(Debug)]
pub struct Wish {
    /// The number of the process that has taken over.
    pub reply: oneshot::Sender<Result<u32, NotUpgraded>>,
}

/// The way there.
#[derive(Clone, Debug)]
pub struct Upgrades(mpsc::Sender<Wish>);

/// A way and its end.
pub fn upgrades() -> (Upgrades, mpsc::Receiver<Wish>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Upgrades(sender), receiver)
}

impl Upgrades {
    /// Has another process take over; answers with its number once it has.
    pub async fn upgrade(&self) -> Result<u32, NotUpgraded> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send(Wish { reply }).map_err(|_| NotUpgraded::UnderWay)?;
        answer.await.unwrap_or(Err(NotUpgraded::Stopping))
    }
}

//! The keys of session tickets: read at the start, followed by another every twelve hours, kept in the
//! state folder so that sessions outlast the process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::config::Config;
use crate::snapshot::Published;
use crate::store::{read_private, replace_private};
use crate::wire::tls::tickets::{Keys, TicketKeys};

/// Their file in the state folder.
pub const FILE: &str = "ticket.keys";

/// How often it is looked whether one is due: a machine may have slept, or its clock have been set.
const LOOK: Duration = Duration::from_secs(10);

/// The keys of a process, and where they are kept.
#[derive(Debug)]
pub struct Keeper {
    keys: Keys,
    /// None if they end with the process.
    file: Option<PathBuf>,
    /// Whether the file has been looked at.
    is_open: bool,
    ready: Arc<TicketKeys>,
    clock: Clock,
}

impl Keeper {
    /// Of a process with this state folder. There are none before the first turn.
    pub fn new(folder: Option<&Path>, ready: Arc<TicketKeys>, clock: Clock) -> Keeper {
        let file = folder.map(|folder| folder.join(FILE));
        Keeper { keys: Keys::default(), file, is_open: false, ready, clock }
    }

    fn now(&self) -> u64 {
        self.clock.unix_seconds() as u64
    }

    /// Whether there is something to be done.
    fn is_due(&self) -> bool {
        self.keys.due(self.now()).is_zero()
    }

    /// Makes another key if it is time for one, and keeps it before it is used. The first time those are
    /// taken over that an earlier process has kept. May wait for the disk.
    pub fn turn(&mut self) {
        if !std::mem::replace(&mut self.is_open, true) {
            self.take_over();
        }
        let now = self.now();
        if self.is_due() {
            let Some(keys) = self.keys.followed(now) else {
                tracing::error!("no chance to be had for a key of session tickets");
                return;
            };
            if let Some(file) = &self.file
                && let Err(error) = replace_private(file, &keys.bytes())
            {
                // Used all the same: that it ends with the process is better than an old one.
                tracing::warn!(%error, "the keys of session tickets cannot be kept over a restart");
            }
            self.keys = keys;
        }
        self.ready.set(&self.keys);
    }

    fn take_over(&mut self) {
        let kept = self.file.as_ref().map(|file| read_private(file));
        match kept.transpose().map(Option::flatten) {
            Ok(Some(bytes)) => match Keys::read(&bytes, self.now()) {
                Some(keys) => self.keys = keys,
                None => {
                    tracing::warn!("the keys of session tickets are of no use: new ones are made");
                }
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(
                %error,
                "the keys of session tickets cannot be read: clients begin anew"
            ),
        }
    }

    /// Makes the next key whenever it is due, for ever: as long as some listener speaks TLS.
    pub async fn keep(self, published: Arc<Published>) {
        let mut keeper = self;
        loop {
            if keeper.is_due() && speaks_tls(&published.load().config) {
                // Beside the runtime: a disk may take its time.
                let turned = spawn_blocking(move || {
                    keeper.turn();
                    keeper
                });
                // A panic has been reported by itself, and ends this part of the process.
                let Ok(back) = turned.await else { return };
                keeper = back;
            }
            sleep(LOOK).await;
        }
    }
}

/// Whether any listener does.
pub fn speaks_tls(config: &Config) -> bool {
    config.admin.tls.is_some() || config.listeners.iter().any(|listener| listener.tls.is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Instant, SystemTime};

    use super::*;

    static NOW: AtomicU64 = AtomicU64::new(1_000_000);

    #[test]
    fn keys_are_kept_over_a_restart_and_followed_in_time() {
        let wall = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::Relaxed));
        let clock = Clock { now: Instant::now, wall, draw: || 0 };
        let folder = tempfile::TempDir::new().unwrap();
        let start_in = |folder| {
            let mut keeper = Keeper::new(folder, Arc::default(), clock);
            keeper.turn();
            keeper
        };
        let start = || start_in(Some(folder.path()));
        let mut first = start();
        assert_eq!(start().keys, first.keys, "the next process has the same");
        assert_ne!(start_in(None).keys, first.keys);
        NOW.fetch_add(12 * 60 * 60, Ordering::Relaxed);
        let before = first.keys.clone();
        assert!(first.is_due());
        first.turn();
        assert!(!first.is_due());
        assert_ne!(first.keys, before);
        assert_eq!(start().keys, first.keys);
        std::fs::write(folder.path().join(FILE), "damaged").unwrap();
        assert_ne!(start().keys, first.keys, "a start is not kept from");
    }
}

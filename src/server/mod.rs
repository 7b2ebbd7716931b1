//! The process: a config in, a running edge out, and an orderly end.
//!
//! Four runtimes, so that none can starve the others: one moves requests, on as many threads as
//! there are cores; one probes upstreams and one sends copies of requests, each on a thread of its
//! own; and one, which the caller brings, holds the controller, the admin API and what else runs in
//! the background.

mod admin_port;
mod background;
mod certificates;
pub mod clock;
pub mod descriptors;
pub mod fd_store;
pub mod inherit;
mod kept;
mod leaving;
pub mod listen;
mod memory;
mod parts;
mod shortage;
pub mod signals;
pub mod socket;
mod start;
pub mod supervisor;
mod tickets;
pub mod upgrade;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::config::{Config, ListenAddress};
use crate::control::{Control, Upgrades};
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::files::Source;
use crate::notify::Notifier;
use crate::observe::{OpenAgain, Process, Writer};
use crate::otlp::Exporter;
use crate::snapshot::Published;
use crate::state::State;
use crate::wire::clients::Clients;
use crate::wire::stop::Bounds;
use fd_store::FdStore;
pub use leaving::Over;
use leaving::{AdminDoor, none_is_left};
use parts::{Parts, Workers};
pub use start::StartError;
use upgrade::Successor;

/// The store's name in the state folder.
pub const STORE: &str = "store.redb";

/// What a process can be started with beside its config.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the config comes from.
    pub source: Source,
    /// An admin address that takes precedence over the config's.
    pub admin: Option<ListenAddress>,
    /// Whether the file's changes take effect by themselves.
    pub watches_file: bool,
}

/// A running edge.
pub struct Server {
    published: Arc<Published>,
    state: watch::Receiver<Arc<State>>,
    control: Control,
    process: Arc<Process>,
    clients: Arc<Clients>,
    addresses: Vec<ListenAddress>,
    admin_address: ListenAddress,
    open: Arc<AtomicUsize>,
    is_stopping: Arc<AtomicBool>,
    events: Arc<Events>,
    notifier: Arc<Notifier>,
    exporter: Arc<Exporter>,
    upgrades: Upgrades,
    /// Comes once another process has taken over.
    succeeded: oneshot::Receiver<Successor>,
    successor: Option<Successor>,
    admin_door: AdminDoor,
    fd_store: Arc<FdStore>,
    /// What must not end before the process does.
    parts: Parts,
    /// The threads that do one thing beside; each ends with its sender.
    _beside: [oneshot::Sender<()>; 2],
    _workers: Workers,
    /// Writes of the last requests, too.
    access_log: Writer,
}

impl Server {
    /// Where requests are accepted, port 0 replaced.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// The first TCP address where requests are accepted.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.iter().find_map(|address| match address {
            ListenAddress::Tcp(socket) => Some(*socket),
            ListenAddress::Unix(_) => None,
        })
    }

    /// Where the admin API is, port 0 replaced.
    pub fn admin_address(&self) -> &ListenAddress {
        &self.admin_address
    }

    /// The way to have the file of the access log opened again.
    pub fn access_log(&self) -> OpenAgain {
        self.access_log.opener()
    }

    /// The way to change things.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The way to have another process take over.
    pub fn upgrades(&self) -> &Upgrades {
        &self.upgrades
    }

    /// What requests see.
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// What outlasts the process, as it is now.
    pub fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// The process's own counts.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Has the service manager keep the listening sockets over a crash, from now on: this process is the one
    /// that it hears.
    pub fn keep_sockets(&self) {
        self.fd_store.begin();
    }

    fn note_ended(&self, part: &'static str) {
        self.is_stopping.store(true, Ordering::Relaxed);
        let kind = Kind::PartEnded { part: part.into() };
        self.events.say(Event::by_itself(kind, Subject::default()));
    }

    /// Stops: says that it is not ready, accepts for `stop_delay` more and then those who have
    /// connected, closes the listeners, gives the store back, and lets connections end, for `drain`
    /// at most. Answers with how many have not.
    pub async fn stop(self) -> usize {
        self.is_stopping.store(true, Ordering::Relaxed);
        sleep(self.published.load().config.server.stop_delay).await;
        let settings = self.published.load().config.server.clone();
        let (idle, tunnels) = (settings.drain_idle, settings.drain_tunnels);
        self.clients.wind_down(Bounds { idle, tunnels });
        self.control.stop().await;
        let drained = none_is_left(|| self.open.load(Ordering::Relaxed));
        // The count below says whether this ended in time.
        let requests = async {
            let _ = timeout(settings.drain, drained).await;
            // Those of the last requests, too.
            self.exporter.stop().await;
        };
        tokio::join!(requests, self.notifier.stop());
        self.open.load(Ordering::Relaxed)
    }
}

/// Where a process with a file keeps its state: where the file says, else where systemd says, else
/// in a folder beside the file.
pub fn state_dir(source: &Source, config: &Config) -> Option<PathBuf> {
    let file = source.path()?;
    let by_systemd = || std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let named = config.server.state_dir.clone().or_else(by_systemd);
    Some(named.unwrap_or_else(|| file.with_extension("state")))
}

#[cfg(test)]
mod tests;

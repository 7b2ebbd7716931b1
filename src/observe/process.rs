//! What belongs to no service: listeners and reloads count themselves in here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::runtime::Handle;

use super::commits::CommitTally;
use super::lag::Lag;
use crate::access_log::Entries;
use crate::record::{Refusals, Rings};
use crate::traces::Waiting;
use crate::upstream::Address;
use crate::wire::limited::Limited;
use crate::wire::tls::handshake::Handshakes;
use crate::wire::tls::ordered::OrderedCertificates;

/// Totals of one listener.
#[derive(Debug)]
pub struct ListenerTally {
    /// Its address, port 0 replaced.
    pub address: String,
    /// Connections open now.
    pub open: AtomicUsize,
    /// Connections accepted so far.
    pub accepted: AtomicU64,
    /// Connections closed at once, because too many were open or accepting failed.
    pub refused: AtomicU64,
    /// How often accepting failed for lack of descriptors or memory.
    pub lacked: AtomicU64,
    /// Handshakes of TLS.
    pub handshakes: Arc<Handshakes>,
}

impl ListenerTally {
    /// All zero.
    pub fn new(address: String) -> ListenerTally {
        ListenerTally {
            address,
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            lacked: AtomicU64::new(0),
            handshakes: Arc::default(),
        }
    }
}

/// Totals of one target of notifications.
#[derive(Debug)]
pub struct NotifyTally {
    /// The target's name.
    pub name: Arc<str>,
    /// Notices that the target took.
    pub sent: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Notices that were given up.
    pub dropped: AtomicU64,
    /// Notices not told because their like was a short while ago.
    pub suppressed: AtomicU64,
    /// Notices that wait to be told.
    pub waiting: AtomicUsize,
}

impl NotifyTally {
    /// All zero.
    pub fn new(name: Arc<str>) -> NotifyTally {
        NotifyTally {
            name,
            sent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// What rules of the automation did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AutomationTally {
    /// How often acts have ended since the process began, by rule, action and outcome.
    pub acts: BTreeMap<(Arc<str>, &'static str, &'static str), u64>,
    /// Whether all of them are stopped; none without rules.
    pub is_stopped: Option<bool>,
}

/// The rollouts of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RolloutTally {
    /// Those that have ended since the start, by outcome.
    pub ended: BTreeMap<&'static str, u64>,
    /// Of those the deploys.
    pub deploys: BTreeMap<&'static str, u64>,
    /// The one under way.
    pub under_way: Option<RolloutStand>,
}

/// Where a rollout under way is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RolloutStand {
    /// `running` or `paused`.
    pub state: &'static str,
    /// Steps taken.
    pub step: usize,
    /// Steps in all; 0 of a rolling one, which has upstreams instead.
    pub steps: usize,
    /// The share of the target that it has set, 0 to 1.
    pub share: f64,
    /// Whether it began by putting a version into its target.
    pub is_deploy: bool,
}

/// Totals of the process that belong to no service.
#[derive(Debug, Default)]
pub struct Process {
    listeners: Mutex<Vec<Arc<ListenerTally>>>,
    notify_targets: Mutex<Vec<Arc<NotifyTally>>>,
    rollouts: Mutex<BTreeMap<Arc<str>, RolloutTally>>,
    automation: Mutex<AutomationTally>,
    names: Mutex<BTreeMap<Address, bool>>,
    gauges: Mutex<Gauges>,
    /// Why the last reload was refused; none if it took effect.
    refused: Mutex<Option<String>>,
    lag: OnceLock<Arc<Lag>>,
    requests: OnceLock<(Arc<Rings>, Arc<Refusals>)>,
    access_log: OnceLock<Arc<Entries>>,
    traces: OnceLock<Arc<Waiting>>,
    limited: OnceLock<Arc<Limited>>,
    ordered: OnceLock<Arc<OrderedCertificates>>,
    memory: Mutex<Option<Memory>>,
    commits: CommitTally,
    workers: OnceLock<Handle>,
    client_room: OnceLock<usize>,
    state_dir: OnceLock<PathBuf>,
}

/// How full the memory is that the process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What it has, in bytes: of a cgroup without the files that the kernel can drop.
    pub used: u64,
    /// What it may have.
    pub limit: u64,
}

/// What is known of the config's reloads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Gauges {
    /// Unix time of the start, in seconds.
    pub started: f64,
    /// Reloads that took effect.
    pub reloads: u64,
    /// Reloads that were refused.
    pub refused_reloads: u64,
    /// Whether the last one took effect.
    pub last_reload_successful: bool,
    /// Whether a file that was saved waits for somebody's word.
    pub waits_for_reload: bool,
    /// Unix time of the last that took effect, in seconds.
    pub last_reload_success: f64,
    /// Whether what is to be remembered can be stored.
    pub is_store_writable: bool,
    /// Orders and decisions that wait for the disk.
    pub store_queue: u64,
    /// Commands that the one writer has taken.
    pub commands: u64,
    /// Open incidents, by severity from low to critical.
    pub open_incidents: [u64; 4],
    /// Alerts of others that fire.
    pub alerts_firing: u64,
}

impl Process {
    /// Replaces the list of listeners.
    pub fn set_listeners(&self, listeners: Vec<Arc<ListenerTally>>) {
        *self.listeners.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = listeners;
    }

    /// What commits to the store came to.
    pub fn commits(&self) -> &CommitTally {
        &self.commits
    }

    /// Says which runtime moves requests; only the first time counts.
    pub fn set_workers(&self, workers: Handle) {
        // There is one set of workers for the life of a process.
        let _ = self.workers.set(workers);
    }

    /// The runtime that moves requests, if it is known.
    pub(super) fn workers(&self) -> Option<&Handle> {
        self.workers.get()
    }

    /// Says for how many connections of clients there are descriptors; only the first time counts.
    pub fn set_client_room(&self, connections: usize) {
        // They are shared out at the start, once.
        let _ = self.client_room.set(connections);
    }

    /// For how many connections of clients there are descriptors; any number if that is not known.
    pub(super) fn client_room(&self) -> usize {
        self.client_room.get().copied().unwrap_or(usize::MAX)
    }

    /// Replaces the list of targets of notifications.
    pub fn set_notify_targets(&self, targets: Vec<Arc<NotifyTally>>) {
        *self.notify_targets.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = targets;
    }

    /// Replaces what is known of the rollouts of a service.
    pub fn set_rollouts(&self, service: &Arc<str>, tally: RolloutTally) {
        let mut all = self.rollouts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        all.insert(service.clone(), tally);
    }

    /// The rollouts of a service.
    pub(super) fn rollouts(&self, service: &str) -> RolloutTally {
        let rollouts = self.rollouts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        rollouts.get(service).cloned().unwrap_or_default()
    }

    /// Replaces what is known of the automation.
    pub fn set_automation(&self, tally: AutomationTally) {
        *self.automation.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = tally;
    }

    /// What rules of the automation did.
    pub(super) fn automation(&self) -> AutomationTally {
        self.automation.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Replaces what is known of upstreams' names: whether each resolves.
    pub fn set_names(&self, names: BTreeMap<Address, bool>) {
        *self.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = names;
    }

    /// Whether each of the upstreams' names resolves.
    pub(super) fn names(&self) -> BTreeMap<Address, bool> {
        self.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Says where the lag of the workers is sampled; only the first time counts.
    pub fn set_lag(&self, lag: Arc<Lag>) {
        // There is one set of workers for the life of a process.
        let _ = self.lag.set(lag);
    }

    /// Says where the last requests are remembered, and those counted that were refused; only the
    /// first time counts.
    pub fn set_requests(&self, last: Arc<Rings>, refusals: Arc<Refusals>) {
        // A second time would be a second server on the same totals.
        let _ = self.requests.set((last, refusals));
    }

    /// Says where entries of the access log are put; only the first time counts.
    pub fn set_access_log(&self, entries: Arc<Entries>) {
        // A second time would be a second server on the same totals.
        let _ = self.access_log.set(entries);
    }

    /// Where entries of the access log are put, if anywhere.
    pub fn access_log(&self) -> Option<&Entries> {
        self.access_log.get().map(|entries| &**entries)
    }

    /// Says where requests are put that are told of to a collector; only the first time counts.
    pub fn set_traces(&self, waiting: Arc<Waiting>) {
        // A second time would be a second server on the same totals.
        let _ = self.traces.set(waiting);
    }

    /// Where requests are put that are told of to a collector, if anywhere.
    pub(super) fn traces(&self) -> Option<&Waiting> {
        self.traces.get().map(|waiting| &**waiting)
    }

    /// The last requests and what was refused, if anybody keeps them.
    pub fn requests(&self) -> Option<(&Rings, &Refusals)> {
        self.requests.get().map(|(last, refusals)| (&**last, &**refusals))
    }

    /// Says where connections are counted that a limit has refused or ended; only the first time counts.
    pub fn set_limited(&self, limited: Arc<Limited>) {
        // There is one set of connections for the life of a process.
        let _ = self.limited.set(limited);
    }

    /// Connections that a limit has refused or ended, if anybody counts them.
    pub(super) fn limited(&self) -> Option<&Limited> {
        self.limited.get().map(|limited| &**limited)
    }

    /// Says where the certificates are that were ordered; only the first time counts.
    pub fn set_ordered(&self, ordered: Arc<OrderedCertificates>) {
        // There is one set of them for the life of a process.
        let _ = self.ordered.set(ordered);
    }

    /// The certificates that were ordered, if any can be.
    pub fn ordered(&self) -> Option<&OrderedCertificates> {
        self.ordered.get().map(|ordered| &**ordered)
    }

    /// Says how full the memory is; none if nobody has set a limit.
    pub fn set_memory(&self, memory: Option<Memory>) {
        *self.memory.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = memory;
    }

    /// How full the memory is, if it has a limit.
    pub(super) fn memory(&self) -> Option<Memory> {
        *self.memory.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Says where what outlives the process is kept; only the first time counts.
    pub fn set_state_dir(&self, folder: PathBuf) {
        // It takes effect at a start only.
        let _ = self.state_dir.set(folder);
    }

    /// Where what outlives the process is kept, if anywhere.
    pub fn state_dir(&self) -> Option<&Path> {
        self.state_dir.get().map(PathBuf::as_path)
    }

    /// The lag of the workers, if it is sampled.
    pub fn lag(&self) -> Option<&Lag> {
        self.lag.get().map(|lag| &**lag)
    }

    /// Says why the last reload was refused, if it was.
    pub fn set_refused(&self, why: Option<String>) {
        *self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = why;
    }

    /// Why the last reload was refused; none if it took effect.
    pub fn refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Changes the gauges.
    pub fn update(&self, change: impl FnOnce(&mut Gauges)) {
        change(&mut self.gauges.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// The gauges now.
    pub fn gauges(&self) -> Gauges {
        *self.gauges.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The targets of notifications now.
    pub fn notify_targets(&self) -> Vec<Arc<NotifyTally>> {
        self.notify_targets.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// The listeners now.
    pub fn listeners(&self) -> Vec<Arc<ListenerTally>> {
        self.listeners.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

//! What a diagnosis is made of, so far as somebody could see it.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::WallTime;
use crate::config::Config;

/// All of it. What nobody could look at is not there.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Now.
    pub now: WallTime,
    /// The file, checked.
    pub config: Option<&'a Config>,
    /// The certificates in force; none if they were not read.
    pub certificates: Option<Vec<Good>>,
    /// The process of the proxy.
    pub process: Option<ProcessFacts>,
    /// What the proxy knows since it runs, and remembers of before.
    pub running: Option<Running>,
    /// The machine, as the command sees it that runs beside the proxy.
    pub here: Option<Here>,
    /// How long a stop may take, where the file itself is not known.
    pub stop: Option<Duration>,
}

/// What a stop needs beside its drain.
const BESIDE_DRAIN: Duration = Duration::from_secs(5);

impl Facts<'_> {
    /// How long a stop may take.
    pub fn stop_takes(&self) -> Option<Duration> {
        let by_file = self.config.map(|config| {
            config
                .server
                .stop_delay
                .saturating_add(config.server.drain)
                .saturating_add(BESIDE_DRAIN)
        });
        by_file.or(self.stop)
    }
}

/// A certificate and how long it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Good {
    /// Its file, or whom it names.
    pub name: String,
    /// Until when, in seconds since the epoch.
    pub until: u64,
}

/// What the proxy's process may do and has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// File descriptors that it may have.
    pub descriptors: Option<u64>,
    /// How it is kept from what it need not do.
    pub sandbox: Option<Sandbox>,
    /// The disks that it writes to.
    pub disks: Vec<Disk>,
}

/// How a process is kept from what it need not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Whether it is root's.
    pub is_root: bool,
    /// Whether it can get no new privileges.
    pub no_new_privileges: bool,
    /// Whether some system calls are kept from it.
    pub is_filtered: bool,
    /// Whether it has capabilities beside that of ports below 1,024.
    pub has_more_capabilities: bool,
}

/// A disk that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// What for.
    pub holds: &'static str,
    /// The folder.
    pub folder: String,
    /// Bytes that are free for us.
    pub free: u64,
    /// Bytes in all.
    pub whole: u64,
}

/// What the proxy knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Running {
    /// Whether what is to be remembered can be stored.
    pub is_store_writable: bool,
    /// Whether there is a store that outlives the process.
    pub has_store: bool,
    /// Why the last reload was refused, if it was.
    pub refused: Option<String>,
    /// Whether a saved file waits for somebody's word.
    pub waits_for_reload: bool,
    /// Who is told, with what came of it.
    pub notified: Vec<Notified>,
    /// Its services.
    pub services: Vec<ServiceFacts>,
}

/// Somebody who is told of what happens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notified {
    /// What it is called.
    pub name: String,
    /// Notices that it took since the start.
    pub sent: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Notices that were given up.
    pub dropped: u64,
}

/// What is known of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceFacts {
    /// Its name.
    pub name: String,
    /// When traffic was taken back last, by a rollback, an abort or the judge.
    pub taken_back: Option<WallTime>,
    /// What came of the A/A check.
    pub judged: Judged,
    /// Its pools that get traffic.
    pub pools: Vec<PoolLoad>,
}

/// What came of the A/A check of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Judged {
    /// It is not checked: it has no rollouts, no judge or one pool.
    #[default]
    Not,
    /// Too few trials say anything yet.
    TooFew(String),
    /// It keeps its promise.
    Keeps(String),
    /// It would take back more than is promised.
    Broken(String),
}

/// What a pool that gets traffic carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolLoad {
    /// Its name.
    pub name: String,
    /// Its upstreams, names resolved.
    pub upstreams: usize,
    /// How much of what it can carry would be free with its largest upstream lost, at the highest of 28 days,
    /// 0 to 1 and below; none if nobody knows yet what it can carry.
    pub room_at_peak: Option<f64>,
}

/// The machine, as a command sees it that runs beside the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// Whether the clock is synchronised; none if nothing here says so.
    pub is_clock_synchronised: Option<bool>,
    /// How far the clock of the proxy is from that of the command.
    pub skew: Option<Duration>,
    /// How long the service manager waits for the proxy to stop, if it runs it.
    pub stop_timeout: Option<StopTimeout>,
    /// A folder of runbooks, if there is one.
    pub runbooks: Option<String>,
}

/// How long a service manager waits for a process to stop before it kills it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopTimeout {
    /// So long.
    After(Duration),
    /// It never kills it: `TimeoutStopSec=infinity`.
    Never,
}

/// Whether a network is so wide that strangers are in it.
pub(super) fn is_wide(network: &ipnet::IpNet) -> bool {
    let is_private = match network.addr() {
        IpAddr::V4(address) => address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
    };
    // Networks of large CDNs have 13 bits of IPv4, or 29 of IPv6; private ones 8 and 7.
    let most = if matches!(network, ipnet::IpNet::V4(_)) { 10 } else { 19 };
    network.prefix_len() < if is_private { 7 } else { most }
}

//! What an operator wants: the text of a TOML file in, checked values or every problem out.
//!
//! After [`Config::parse`] nobody checks again: names are unique and known, splits sum to the whole,
//! addresses are addresses, no two routes tie. Nothing here reads a file; the rim does.

mod access_log;
mod acme;
mod actions;
mod advice;
mod auth;
mod automation;
mod client;
mod compression;
mod diff;
mod duration;
mod fallback;
mod flags;
mod gone;
mod health;
mod incidents;
mod include;
mod judge;
mod key;
mod listener;
mod mirror;
mod notify;
mod opt_in;
mod outside;
mod pages;
mod problem;
mod rate;
mod read;
mod reference;
mod role;
mod rollout;
mod route;
mod sample;
mod schema;
mod section;
mod server;
mod service;
mod settings;
mod signing_key;
mod slo;
mod stability;
mod sticky;
mod suggestion;
mod syntax;
mod texts;
mod tls;
mod tokens;
mod traces;
mod values;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::UserFiles;
use crate::automation::Rule;
use crate::balance::{BalanceSettings, LimitSettings, RetrySettings};
use crate::certificate::Certificates;
use crate::fallback::Fallback;
use crate::http::compression::Compression;
use crate::http::forwarded::TrustedProxies;
use crate::http::page::ErrorPages;
use crate::mirror::MirrorSettings;
use crate::rate::RateSettings;
use crate::rollout::RolloutSettings;
use crate::route::Route;
use crate::slo::Slo;
use crate::split::{BasisPoints, Split, Sticky};
use crate::upstream::{Address, BreakerSettings, EjectionSettings, Health, Labels, ProxyVersion};

pub use access_log::{AccessLog, LogFormat, LogPlace};
pub use acme::{Acme, AcmeAuthority, AcmeName, Challenge, ExternalAccount};
pub use actions::{Actions, Encoded, RouteTimeouts};
pub use client::ClientLimits;
pub use diff::{Change, Live, diff};
pub use duration::{BadDuration, duration, duration_or_zero};
pub use incidents::IncidentRules;
pub use include::{Include, MOST_INCLUDED, includes};
pub use listener::{ListenAddress, Listener, Speaks};
pub use notify::{Form, NotifyTarget, RoutingKey, Severity, SeverityError, web_address};
pub use opt_in::OptIn;
pub use outside::{Environment, Expansion, ReadSecret, Taken};
pub use problem::{Level, Problem, Problems};
pub use read::{FilePlaces, Parsed};
pub use reference::reference;
pub use role::Role;
pub use schema::schema;
pub use settings::Settings;
pub use signing_key::{BadKey, SigningKey, SigningKeys};
pub use suggestion::suggest;
pub use texts::{Place, Text, Texts};
pub use tls::{CertificateFiles, ClientCertificates, Hsts, ListenerTls, PoolTls, TlsVersion};
pub use tokens::{BadLine, Bearer, Tokens, TokensError};
pub use traces::{Keep, Traces, TracesProtocol};
pub use values::{ANSWERED, REDIRECTED, UNMATCHED, is_of_no_service};

/// A whole file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The process as a whole.
    pub server: Server,
    /// Where requests are accepted; at least one, no address twice.
    pub listeners: Vec<Listener>,
    /// Where orders are accepted.
    pub admin: Admin,
    /// What leads where; free of ties. `Route::service` is a place in `services`, and there where the
    /// route does not answer itself.
    pub routes: Vec<Route>,
    /// The rate limit of each route, in the order of `routes`, if it has one.
    pub route_limits: Vec<Option<Arc<RateSettings>>>,
    /// What each route does beside leading somewhere, in the order of `routes`, if it does anything.
    pub route_actions: Vec<Option<Arc<Actions>>>,
    /// What is said of each route beyond what it matches and where it leads, in the order of `routes`.
    pub route_settings: Vec<Settings>,
    /// In name order; at least one.
    pub services: Vec<Service>,
    /// Who is told of what happens; no name twice.
    pub notify: Vec<NotifyTarget>,
    /// What is done by itself; in name order, no name twice.
    pub automation: Vec<Arc<Rule>>,
    /// Which requests are told of to a collector of traces; none for none.
    pub traces: Option<Arc<Traces>>,
    /// What opens incidents by itself.
    pub incidents: IncidentRules,
    /// What is in the files that sign calls, once they were read.
    pub keys: SigningKeys,
    /// What is in the files of certificates, once they were read.
    pub certificates: Certificates,
    /// Who is in the files of users, once they were read.
    pub users: UserFiles,
    /// In name order.
    pub flags: Vec<Flag>,
    /// Everything that is said beyond the defaults, as it is written: what a diff compares.
    pub settings: Settings,
    /// The same of what the file as a whole says.
    pub top: Settings,
    /// What of it is from the environment and from files.
    pub taken: Taken,
}

/// A risky change that is on for a share of the clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Unique.
    pub name: Arc<str>,
    /// The share of the clients that it is on for, unless it was shifted at run time.
    pub percent: BasisPoints,
    /// The services whose upstreams are told of it, in name order; each is known.
    pub services: Vec<Arc<str>>,
}

/// Settings of the process as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// What this Pointsman is called where it tells people something; none for the machine's name.
    pub name: Option<Arc<str>>,
    /// What it is part of, such as `production`.
    pub environment: Option<Arc<str>>,
    /// Its own, such as the zone that it is in.
    pub labels: Labels,
    /// Which labels of upstreams are labels of metrics too.
    pub metric_labels: Vec<Arc<str>>,
    /// Threads that move requests; none means one per core. Takes effect at the next start.
    pub workers: Option<NonZeroUsize>,
    /// Peers whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: TrustedProxies,
    /// The name servers to ask; none means the system's.
    pub resolvers: Vec<SocketAddr>,
    /// How long a stop goes on accepting, so that who looks at `/readyz` sends no more.
    pub stop_delay: Duration,
    /// How long a stop waits for connections after that, whatever they are doing.
    pub drain: Duration,
    /// How long it waits for kept connections that say nothing.
    pub drain_idle: Duration,
    /// How long it waits for tunnels.
    pub drain_tunnels: Duration,
    /// What a file that was merely saved may take away.
    pub removals: Removals,
    /// Whether hooks may run commands of this machine.
    pub allow_commands: bool,
    /// What all rules of `automation` together may do in an hour.
    pub automation_an_hour: usize,
    /// A folder for what outlives the process; none for the usual one. Takes effect at the next
    /// start.
    pub state_dir: Option<PathBuf>,
    /// Bytes that hold the last requests, for whoever asks why. Takes effect at the next start.
    pub remember: usize,
    /// What a client may do.
    pub client: ClientLimits,
    /// What is done when memory becomes short.
    pub memory: MemorySettings,
    /// The log of requests, if there is to be one.
    pub access_log: Option<Arc<AccessLog>>,
}

/// What a file that was merely saved may take away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Removals {
    /// Nothing that is in use: that waits for somebody's word.
    #[default]
    Confirm,
    /// Whatever is not in it.
    AtOnce,
}

/// What is done when memory becomes short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySettings {
    /// What the process may have, in bytes; 0 for what its cgroup says.
    pub limit: u64,
    /// Percent of it from which on connections that wait for nothing are closed.
    pub idle: u8,
    /// Percent of it from which on new connections are refused.
    pub refuse: u8,
}

/// Where the admin API is, for who knows more of it than the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminPlace {
    /// Where the file says.
    #[default]
    File,
    /// Here, whatever the file says, at the next start too.
    Instead(ListenAddress),
    /// Here until the next start; then where the file says.
    Now(ListenAddress),
}

/// The admin API's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it is. Loopback or a Unix socket, unless there is a token.
    pub address: ListenAddress,
    /// A file of tokens, one of which every request must bring.
    pub token_file: Option<PathBuf>,
    /// The group of a Unix socket; none for the process's own. Takes effect at the next start.
    pub group: Option<String>,
    /// What is in it, once it was read.
    pub tokens: Option<Tokens>,
    /// The TLS that is spoken there; none for none.
    pub tls: Option<ListenerTls>,
}

/// What users think of as one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Unique.
    pub name: Arc<str>,
    /// In name order; at least one.
    pub pools: Vec<Pool>,
    /// Names pools of this service only, and none that is empty.
    pub split: Split,
    /// What clients are recognised by.
    pub sticky: Sticky,
    /// By what testers name a pool.
    pub opt_in: Option<OptIn>,
    /// Whether everybody is told which pool answers.
    pub tells_pool: bool,
    /// What it makes smaller for clients; none for nothing.
    pub compression: Option<Arc<Compression>>,
    /// Bytes of a request's body, unless its route says otherwise, 0 for any number; none for what is said
    /// of all clients.
    pub body_limit: Option<u64>,
    /// Whether its upstreams are asked for paths in the normal form, rather than as they came.
    pub has_normal_paths: bool,
    /// Bounds on its upstreams.
    pub timeouts: Timeouts,
    /// What it does when upstreams fail.
    pub stability: Arc<Stability>,
    /// How many requests of one client it takes; none for any number.
    pub rate_limit: Option<Arc<RateSettings>>,
    /// What it copies to another pool; none for nothing.
    pub mirror: Option<Arc<MirrorSettings>>,
    /// How it moves from one version to the next.
    pub rollout: Arc<RolloutSettings>,
    /// Whether the file says anything of that: then it is recorded what its upstreams do.
    pub has_rollouts: bool,
    /// What it promises its users; none for nothing.
    pub slo: Option<Arc<Slo>>,
}

/// What a service does when upstreams fail or too much is asked of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stability {
    /// How upstreams are probed; none for not at all.
    pub health: Option<Arc<Health>>,
    /// When failing upstreams are taken out; none for never.
    pub ejection: Option<EjectionSettings>,
    /// When the breakers of its pools and upstreams trip; none for only by order.
    pub breaker: Option<BreakerSettings>,
    /// When failed attempts are made again.
    pub retries: RetrySettings,
    /// How requests are spread over a pool's upstreams.
    pub balance: BalanceSettings,
    /// How many requests at once.
    pub limits: LimitSettings,
    /// Who answers when a pool is open or has nobody.
    pub fallback: Fallback,
    /// Pages for people, in place of ours.
    pub error_pages: ErrorPages,
    /// Who passes during maintenance.
    pub maintenance: Maintenance,
}

/// Who passes during maintenance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Maintenance {
    /// Clients' networks.
    pub allow: Vec<IpNet>,
    /// Whole paths, for health checks from outside.
    pub paths: Vec<String>,
}

/// The upstreams that run one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Unique in its service.
    pub name: Arc<str>,
    /// Each address once, with its weight.
    pub upstreams: Vec<(Address, u16)>,
    /// The labels of those that have any.
    pub labels: HashMap<Address, Labels>,
    /// Whether they are asked in HTTP/2.
    pub http2: bool,
    /// The header that connections to them begin with, if they do.
    pub proxy_protocol: Option<ProxyVersion>,
    /// How they speak TLS; none if they do not.
    pub tls: Option<PoolTls>,
}

/// How long a service's upstreams may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// From the end of the request to the end of the response's header section.
    pub response: Duration,
    /// Between two reads or writes; [`Duration::MAX`] for any time.
    pub idle: Duration,
    /// The same in an answer that is a stream.
    pub stream_idle: Duration,
    /// For a connection to wait unused for the next request.
    pub pool_idle: Duration,
}

impl Default for Stability {
    fn default() -> Self {
        Stability {
            health: None,
            ejection: Some(EjectionSettings::default()),
            breaker: Some(BreakerSettings::default()),
            retries: RetrySettings::default(),
            balance: BalanceSettings::default(),
            limits: LimitSettings::default(),
            fallback: Fallback::default(),
            error_pages: ErrorPages::default(),
            maintenance: Maintenance::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(15),
            idle: Duration::from_secs(60),
            stream_idle: Duration::from_secs(15 * 60),
            pool_idle: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// Reads and checks a whole file that takes nothing from outside. All problems are found in one go;
    /// warnings alone do not keep a config from being used and come back beside it.
    pub fn parse(text: &str) -> Result<(Config, Problems), Problems> {
        let parsed = Config::parse_texts(
            &Texts::of("", text),
            &AdminPlace::File,
            &Expansion::None,
            &mut |_| Err("no file is read".into()),
        )?;
        Ok((parsed.config, parsed.odd))
    }

    /// The same of a file and what it includes, where the admin API may be elsewhere than the file says,
    /// filled in with what comes from outside.
    pub fn parse_texts(
        texts: &Texts,
        admin: &AdminPlace,
        expansion: &Expansion,
        secret: ReadSecret<'_>,
    ) -> Result<Parsed, Problems> {
        read::parse(texts, admin, expansion, secret)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        let place = self.services.binary_search_by(|service| (*service.name).cmp(name));
        place.ok().map(|place| &self.services[place])
    }
}

impl Service {
    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        let place = self.pools.binary_search_by(|pool| (*pool.name).cmp(name));
        place.ok().map(|place| &self.pools[place])
    }

    /// The names of its pools, in order.
    pub fn pool_names(&self) -> Vec<Arc<str>> {
        self.pools.iter().map(|pool| pool.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests;

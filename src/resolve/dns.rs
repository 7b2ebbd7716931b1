//! One look-up: an address with a name in, its answers and how long they count out.
//!
//! Asks the hosts file first, then name servers. What cannot be asked for just now is filled in
//! from the last good answer, so that one name server away does not take half of a name with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, system_conf};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::servers::{Addresses, Family, Servers, name_server, ttl_of};
use super::srv::{self, Host};
use crate::balance::DEFAULT_WEIGHT;
use crate::config::ListenAddress;
use crate::snapshot::Resolution;
use crate::upstream::{Address, DialAddress};

/// How long a whole look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one target of SRV records may take: the others' addresses have to come in before the
/// patience for all of them ends.
const TARGET: Duration = Duration::from_secs(2);

/// How long addresses count that come without a TTL: from the hosts file or the system.
const NO_TTL: Duration = Duration::from_secs(10);

/// How long an answer counts at most that lacks something which may come back.
const INCOMPLETE: Duration = Duration::from_secs(30);

/// Targets of SRV records looked up at once, for one name.
const TARGETS_AT_ONCE: usize = 16;

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) enum Dns {
    /// These name servers.
    Servers(Arc<Servers>),
    /// Whoever the C library asks. Tells neither TTLs nor SRV records.
    System,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// At least one, in the order of their sockets.
    pub answers: Arc<[Resolution]>,
    /// How long they count.
    pub ttl: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The name servers know the name or its addresses not to exist.
    #[error("there is no such name, or it has no address")]
    None,
    /// All its addresses are such that nobody can be asked there.
    #[error("its addresses are none of a host: {0}")]
    NoHost(String),
    /// Who writes the zone is not to say who may ask the admin API.
    #[error("it leads to this Pointsman's own admin API at {0}")]
    OwnAdmin(ListenAddress),
    /// Nobody answered in time.
    #[error("no answer in time")]
    Late,
    /// The question could not be asked or answered.
    #[error("{0}")]
    Broken(String),
}

/// Sockets that an answer would hold if everything had been answered: what was known of them
/// before is still the best that is known. No family stands for both.
struct Lacking {
    port: u16,
    family: Option<Family>,
}

impl Dns {
    /// These name servers, or the system's if there are none.
    pub fn of(name_servers: &[SocketAddr]) -> Dns {
        let config = match name_servers {
            [] => system_conf::read_system_conf(),
            given => {
                let servers = given.iter().map(name_server).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                Ok((config, ResolverOpts::default()))
            }
        };
        match config.and_then(|(config, options)| Servers::new(config, options)) {
            Ok(servers) => Dns::Servers(Arc::new(servers)),
            Err(error) => {
                tracing::warn!(%error, "no name server is known; names are left to the C library");
                Dns::System
            }
        }
    }

    /// Looks a name up. What `last` knows of the parts of it that cannot be looked up just now
    /// becomes part of the answer.
    pub async fn look_up(&self, address: &Address, last: &[Resolution]) -> Result<Found, Failure> {
        let found = async {
            match address {
                Address::Name { host, port } => self.host(host, *port, last).await,
                Address::Srv { name } => self.service(name, last).await,
                Address::Socket(_) | Address::Unix(_) => Err(Failure::None),
            }
        };
        timeout(PATIENCE, found).await.unwrap_or(Err(Failure::Late))
    }

    async fn host(&self, host: &str, port: u16, last: &[Resolution]) -> Result<Found, Failure> {
        let Addresses { ips, ttl, lacks } = self.addresses(host).await?;
        let sockets = ips.into_iter().map(|ip| (SocketAddr::new(ip, port), DEFAULT_WEIGHT));
        let lacking = lacks.map(|family| Lacking { port, family: Some(family) });
        Ok(complete(sockets.collect(), ttl, lacking.as_slice(), last))
    }

    async fn service(&self, name: &str, last: &[Resolution]) -> Result<Found, Failure> {
        let Dns::Servers(servers) = self else {
            let message = "SRV records need name servers: name them as `resolvers` in [server]";
            return Err(Failure::Broken(message.into()));
        };
        let lookup = servers.records(name).await?;
        let records = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        });
        let mut failure = Failure::None;
        for group in srv::by_priority(records) {
            let mut ttl = ttl_of(&lookup);
            let targets = group.iter().map(|record| &record.target).collect();
            let targets = self.targets(targets, lookup.additionals()).await;
            let (mut hosts, mut lacking) = (Vec::new(), Vec::new());
            for record in &group {
                match targets.get(&record.target) {
                    Some(Ok(found)) => {
                        ttl = ttl.min(found.ttl);
                        let (port, addresses) = (record.port, found.ips.clone());
                        hosts.push(Host { weight: record.weight, port, addresses });
                        lacking.extend(found.lacks.map(|f| Lacking { port, family: Some(f) }));
                    }
                    Some(Err(Failure::None)) => {}
                    Some(Err(error)) => {
                        failure = error.clone();
                        lacking.push(Lacking { port: record.port, family: None });
                    }
                    None => {}
                }
            }
            if !hosts.is_empty() {
                return Ok(complete(srv::weigh(&hosts), ttl, &lacking, last));
            }
            // What was known before is worth more than a step down the priorities because a name
            // server is away.
            if !lacking.is_empty() && !last.is_empty() {
                break;
            }
        }
        Err(failure)
    }

    /// The addresses of the targets of SRV records.
    async fn targets(
        &self,
        targets: BTreeSet<&Name>,
        additional: &[Record],
    ) -> BTreeMap<Name, Result<Addresses, Failure>> {
        let mut found = BTreeMap::new();
        let mut asked = Vec::new();
        for target in targets {
            let records = additional.iter().filter(|record| record.name == *target);
            match Addresses::of(records) {
                Some(addresses) => drop(found.insert(target.clone(), usable(addresses))),
                None => asked.push(target.clone()),
            }
        }
        let mut asked = asked.into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < TARGETS_AT_ONCE
                && let Some(target) = asked.next()
            {
                let dns = self.clone();
                under_way.spawn(async move {
                    let addresses = timeout(TARGET, dns.addresses(&target.to_ascii())).await;
                    (target, addresses.unwrap_or(Err(Failure::Late)))
                });
            }
            match under_way.join_next().await {
                Some(Ok((target, addresses))) => drop(found.insert(target, addresses)),
                Some(Err(_)) => {}
                None => return found,
            }
        }
    }

    async fn addresses(&self, host: &str) -> Result<Addresses, Failure> {
        usable(self.all_addresses(host).await?)
    }

    async fn all_addresses(&self, host: &str) -> Result<Addresses, Failure> {
        if let Some(ips) = in_hosts_file(host).await {
            return Ok(Addresses { ips, ttl: NO_TTL, lacks: None });
        }
        let Dns::Servers(servers) = self else {
            // The port is not looked at.
            let found = tokio::net::lookup_host((host, 0)).await;
            let found = found.map_err(|error| Failure::Broken(error.to_string()))?;
            let ips: BTreeSet<IpAddr> = found.map(|socket| socket.ip()).collect();
            let some = (!ips.is_empty()).then_some(Addresses { ips, ttl: NO_TTL, lacks: None });
            return some.ok_or(Failure::None);
        };
        for name in servers.candidates(host)? {
            match servers.addresses(&name).await {
                Err(Failure::None) => {}
                // With a suffix unanswered, the next one could belong to somebody else.
                outcome => return outcome,
            }
        }
        Err(Failure::None)
    }
}

/// Without the addresses that are none of a host. Dialled, 0.0.0.0 is this machine itself: a name
/// that is blocked or taken down that way must not send users' requests here.
fn usable(mut addresses: Addresses) -> Result<Addresses, Failure> {
    let is_host = |ip: &IpAddr| {
        let ip = ip.to_canonical();
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
    };
    let refused: Vec<String> =
        addresses.ips.iter().filter(|ip| !is_host(ip)).map(IpAddr::to_string).collect();
    addresses.ips.retain(is_host);
    match addresses.ips.is_empty() && !refused.is_empty() {
        true => Err(Failure::NoHost(refused.join(", "))),
        false => Ok(addresses),
    }
}

impl Found {
    /// The same without the place where the admin API is.
    pub fn without(self, admin: &ListenAddress) -> Result<Found, Failure> {
        if !self.answers.iter().any(|answer| admin.takes(&answer.target)) {
            return Ok(self);
        }
        let others = self.answers.iter().filter(|answer| !admin.takes(&answer.target));
        let answers: Arc<[Resolution]> = others.cloned().collect();
        match answers.is_empty() {
            true => Err(Failure::OwnAdmin(admin.clone())),
            false => Ok(Found { answers, ..self }),
        }
    }
}

impl Lacking {
    fn covers(&self, socket: &SocketAddr) -> bool {
        let family = if socket.is_ipv4() { Family::V4 } else { Family::V6 };
        self.port == socket.port() && self.family.is_none_or(|lacking| lacking == family)
    }
}

/// Sockets that were found, with what `last` knew of those that could not be asked for.
fn complete(
    mut sockets: BTreeMap<SocketAddr, u16>,
    ttl: Duration,
    lacking: &[Lacking],
    last: &[Resolution],
) -> Found {
    for answer in last {
        if let DialAddress::Socket(socket) = answer.target
            && lacking.iter().any(|lacking| lacking.covers(&socket))
        {
            sockets.entry(socket).or_insert(answer.weight);
        }
    }
    let answer = |(socket, weight)| Resolution { target: DialAddress::Socket(socket), weight };
    let ttl = if lacking.is_empty() { ttl } else { ttl.min(INCOMPLETE) };
    Found { answers: sockets.into_iter().map(answer).collect(), ttl }
}

/// The addresses that the hosts file has for a name, read afresh so that edits take effect.
async fn in_hosts_file(host: &str) -> Option<BTreeSet<IpAddr>> {
    let text = tokio::fs::read("/etc/hosts").await.ok()?;
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(&*text).ok()?;
    let name = Name::from_ascii(host).ok()?;
    let kinds = [RecordType::A, RecordType::AAAA];
    let found = kinds.map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)));
    let records = found.iter().flatten().flat_map(Lookup::answers);
    Addresses::of(records).map(|addresses| addresses.ips)
}

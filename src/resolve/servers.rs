//! Name servers: a host or service name in, its records out.
//!
//! Through hickory-resolver 0.26 with its cache off: the schedule decides when to ask again. Its
//! search list and hosts file are not used either: it would take the two families of one name from
//! two different suffixes, and reads the hosts file only once.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, Record, RecordType};
use tokio::time::timeout;

use super::dns::Failure;

/// How long one try of a query may take: two of them fit into the patience.
const TRY: Duration = Duration::from_secs(2);

/// How long the second family may take after the first has brought addresses: some name servers
/// never answer for IPv6, and that must not delay IPv4. RFC 8305 section 3 waits 50 ms for the
/// sake of a person; here nobody waits.
const SECOND_FAMILY: Duration = Duration::from_millis(500);

/// Name servers and how names are completed before they are asked.
#[derive(Debug)]
pub(super) struct Servers {
    resolver: TokioResolver,
    search: Vec<Name>,
    /// Names with this many dots are tried as they are first.
    dots: usize,
}

/// A host's addresses.
pub(super) struct Addresses {
    /// At least one.
    pub ips: BTreeSet<IpAddr>,
    /// How long they count.
    pub ttl: Duration,
    /// The family that could not be asked for.
    pub lacks: Option<Family>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Servers {
    /// These, asked in the way that the options say, within bounds.
    pub fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Servers, NetError> {
        let (domain, mut search, servers) = config.into_parts();
        if search.is_empty() {
            search.extend(domain);
        }
        let dots = options.ndots;
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = options.timeout.min(TRY);
        options.attempts = options.attempts.clamp(1, 2);
        *builder.options_mut() = options;
        Ok(Servers { resolver: builder.build()?, search, dots })
    }

    /// The names that a text may stand for, in the order of resolv.conf(5).
    pub fn candidates(&self, text: &str) -> Result<Vec<Name>, Failure> {
        let name = Name::from_ascii(text).map_err(|error| Failure::Broken(error.to_string()))?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let with = |suffix: &Name| name.clone().append_domain(suffix).ok();
        let mut names: Vec<Name> = self.search.iter().filter_map(with).collect();
        let mut alone = name.clone();
        alone.set_fqdn(true);
        let is_first = usize::from(name.num_labels()) > self.dots || name.is_localhost();
        names.insert(if is_first { 0 } else { names.len() }, alone);
        Ok(names)
    }

    /// The SRV records of a name, with what came along.
    pub async fn records(&self, name: &str) -> Result<Lookup, Failure> {
        for name in self.candidates(name)? {
            match self.ask(name, RecordType::SRV).await {
                Err(Failure::None) => {}
                outcome => return outcome,
            }
        }
        Err(Failure::None)
    }

    /// The addresses of a host of this full name.
    pub async fn addresses(&self, name: &Name) -> Result<Addresses, Failure> {
        let v4 = self.ask(name.clone(), RecordType::A);
        let v6 = self.ask(name.clone(), RecordType::AAAA);
        tokio::pin!(v4, v6);
        let (v4, v6) = tokio::select! {
            biased;
            first = &mut v4 => match &first {
                Ok(_) => (first, timeout(SECOND_FAMILY, v6).await.unwrap_or(Err(Failure::Late))),
                Err(_) => (first, v6.await),
            },
            first = &mut v6 => match &first {
                Ok(_) => (timeout(SECOND_FAMILY, v4).await.unwrap_or(Err(Failure::Late)), first),
                Err(_) => (v4.await, first),
            },
        };
        let found = |lookup: &Lookup| Addresses::of(lookup.answers().iter());
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Addresses::of(v4.answers().iter().chain(v6.answers())),
            (Ok(v4), Err(Failure::None)) => found(&v4),
            (Err(Failure::None), Ok(v6)) => found(&v6),
            (Ok(v4), Err(_)) => found(&v4).map(|found| found.without(Family::V6)),
            (Err(_), Ok(v6)) => found(&v6).map(|found| found.without(Family::V4)),
            (Err(Failure::None), Err(error)) | (Err(error), Err(_)) => return Err(error),
        }
        .ok_or(Failure::None)
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Result<Lookup, Failure> {
        match self.resolver.lookup(name, kind).await {
            Ok(lookup) => Ok(lookup),
            Err(error) if error.is_no_records_found() => Err(Failure::None),
            Err(NetError::Timeout) => Err(Failure::Late),
            Err(error) => Err(Failure::Broken(error.to_string())),
        }
    }
}

impl Addresses {
    /// The addresses among records, if there are any.
    pub fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Option<Addresses> {
        let mut found = Addresses { ips: BTreeSet::new(), ttl: Duration::MAX, lacks: None };
        for record in records {
            // A CNAME on the way counts no longer than what it leads to, and the other way round.
            found.ttl = found.ttl.min(Duration::from_secs(record.ttl.into()));
            found.ips.extend(record.data.ip_addr());
        }
        (!found.ips.is_empty()).then_some(found)
    }

    fn without(self, family: Family) -> Addresses {
        Addresses { lacks: Some(family), ..self }
    }
}

/// A name server on this socket, by UDP and, for long answers, by TCP.
pub(super) fn name_server(socket: &SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = socket.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(on_port);
    NameServerConfig::new(socket.ip(), true, connections.into())
}

/// The shortest TTL of an answer.
pub(super) fn ttl_of(lookup: &Lookup) -> Duration {
    let ttls = lookup.answers().iter().map(|record| record.ttl);
    Duration::from_secs(ttls.min().unwrap_or_default().into())
}

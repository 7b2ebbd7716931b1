//! The next snapshot: config, traffic and resolved names in, a [`Snapshot`] out, with everything
//! that lives on taken over from the one before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::{Doors, Mirror, Mode, OptIn, Pool, RateLimits, Service, Snapshot};
use crate::balance::{Member, Members};
use crate::certificate::{Authorities, Certificates};
use crate::clock::Moment;
use crate::config::{self, Config, ListenAddress, Listener};
use crate::fallback::StaleStore;
use crate::judge::{Ledger, Watched};
use crate::mirror::MirrorState;
use crate::rollout::Version;
use crate::route::RouteTable;
use crate::split::{BasisPoints, ClientHash, Cut, Flags, Layout, Secret, Signer, Split};
use crate::upstream::{
    Address, DialAddress, Labels, Proof, ProxiedTarget, ProxyVersion, TlsTarget, TlsTerms, Trust,
    Upstream,
};

/// What names resolve to; a name without an entry has not resolved yet. The answers of a name are
/// in a fixed order, so that the same answer compares equal however the name server shuffled it.
pub type Resolved = HashMap<Address, Arc<[Resolution]>>;

/// One of the places that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Where to dial.
    pub target: DialAddress,
    /// In hundredths of the weight that the name was given, never 0: from SRV records, and
    /// [`DEFAULT_WEIGHT`](crate::balance::DEFAULT_WEIGHT) for each address of a host.
    pub weight: u16,
}

/// The traffic state of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Names pools that the config knows.
    pub split: Split,
    /// The number of the revision that made it so.
    pub revision: u64,
    /// What cohorts are salted with; 0 if unknown.
    pub salt: u64,
    /// Where it lies on the cohort range; none for where a split lies that follows no other.
    pub layout: Option<Layout>,
}

/// Upstreams of pools that were changed at run time, by service and pool.
pub type Changed = HashMap<(Arc<str>, Arc<str>), Vec<(Address, u16)>>;

/// Labels of upstreams that were given at run time, by service and pool.
pub type Labelled = HashMap<(Arc<str>, Arc<str>), HashMap<Address, Labels>>;

/// What was learnt and ordered since the config was read.
#[derive(Clone, Debug, Default)]
pub struct RunTime {
    /// By service; one without an entry has the split of its config, as revision 0.
    pub traffic: HashMap<Arc<str>, Traffic>,
    /// By service; one without an entry serves.
    pub modes: HashMap<Arc<str>, Mode>,
    /// Shares of flags that were shifted at run time, by flag.
    pub flags: HashMap<Arc<str>, BasisPoints>,
    /// Pools whose upstreams are not those of the config.
    pub changed: Changed,
    /// Which versions deploys have put into pools, by service and pool.
    pub versions: HashMap<(Arc<str>, Arc<str>), Arc<Version>>,
    /// Labels that take the place of the config's.
    pub labels: Labelled,
    /// What names resolve to.
    pub resolved: Resolved,
    /// What is noted of the pools of rollouts under way, by service.
    pub observed: HashMap<Arc<str>, Observed>,
}

/// The pools of a rollout, and where it is noted what they do.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What is noted.
    pub ledger: Arc<Ledger>,
    /// The pool that traffic leaves.
    pub from: Arc<str>,
    /// The pool that traffic goes to.
    pub to: Arc<str>,
}

/// What a snapshot is built from.
#[derive(Debug)]
pub struct Blueprint<'a> {
    /// The config to serve.
    pub config: Arc<Config>,
    /// What else there is to it.
    pub run_time: &'a RunTime,
    /// The key of all hashes of clients.
    pub secret: Secret,
    /// Now.
    pub now: Instant,
}

impl Snapshot {
    /// The snapshot of a blueprint. What `before` holds of the same identity lives on in it:
    /// upstreams by (service, pool, address), totals of pools by (service, pool).
    pub fn build(blueprint: &Blueprint<'_>, before: Option<&Snapshot>) -> Snapshot {
        let config = &blueprint.config;
        let same_config = before.filter(|before| Arc::ptr_eq(&before.config, config));
        let routes = match same_config {
            Some(before) => before.routes.clone(),
            // A checked config has no ties.
            None => Arc::new(RouteTable::build(&config.routes).unwrap_or_default()),
        };
        let origin = before.map_or(blueprint.now, |before| before.origin);
        let now = Moment::since(origin, blueprint.now);
        let service = |service: &config::Service| {
            let before = before.and_then(|before| before.service(&service.name));
            build_service(service, blueprint, before, now)
        };
        let services: Vec<Service> = config.services.iter().map(service).collect();
        Snapshot {
            generation: before.map_or(1, |before| before.generation + 1),
            has_rate_limits: services.iter().any(|service| service.limits.are_any()),
            services,
            unmatched: before.map(|before| before.unmatched.clone()).unwrap_or_default(),
            own: before.map(|before| before.own.clone()).unwrap_or_default(),
            trace_limits: before.map(|before| before.trace_limits.clone()).unwrap_or_default(),
            acts: config.route_actions.iter().any(Option::is_some)
                || config.services.iter().any(|service| service.has_normal_paths)
                || bounds_bodies(config),
            testers: testers(config),
            doors: Doors::build(blueprint, before.map(|before| &before.doors)),
            config: config.clone(),
            origin,
            routes,
            resolved: blueprint.run_time.resolved.clone(),
        }
    }
}

/// Whether any request's body may be no longer than so much; a route that says so acts anyway.
fn bounds_bodies(config: &Config) -> bool {
    let limits = config.services.iter().filter_map(|service| service.body_limit);
    config.server.client.body_limit > 0 || limits.into_iter().any(|limit| limit > 0)
}

/// Who may name a pool, of each route that says so itself.
fn testers(config: &Config) -> Vec<Option<Arc<OptIn>>> {
    let of_route = |actions: &Option<Arc<config::Actions>>| {
        let told = actions.as_ref()?.opt_in.as_ref()?;
        Some(Arc::new(OptIn::of(told, &config.keys)))
    };
    config.route_actions.iter().map(of_route).collect()
}

fn build_service(
    service: &config::Service,
    blueprint: &Blueprint<'_>,
    before: Option<&Service>,
    now: Moment,
) -> Service {
    let from_file = || Traffic { split: service.split.clone(), revision: 0, salt: 0, layout: None };
    let traffic = blueprint.run_time.traffic.get(&service.name).cloned().unwrap_or_else(from_file);
    let pool = |pool: &config::Pool| {
        let key = (service.name.clone(), pool.name.clone());
        let upstreams = blueprint.run_time.changed.get(&key).unwrap_or(&pool.upstreams);
        let before = before.and_then(|before| before.pool(&pool.name));
        let version = blueprint.run_time.versions.get(&key).cloned();
        let (admin, listeners) = (&blueprint.config.admin.address, &blueprint.config.listeners[..]);
        let tls = pool.tls.as_ref().map(|tls| {
            let before = before.and_then(|before| before.tls.as_ref());
            tls_terms(tls, &blueprint.config.certificates, before)
        });
        let named = pool.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        let by_tls = tls.as_ref().map(|terms| (terms, named, pool.http2));
        let resolved = &blueprint.run_time.resolved;
        let reach = Reach { resolved, admin, listeners, by_tls, introduced: pool.proxy_protocol };
        let ordered = blueprint.run_time.labels.get(&key);
        // Here and not where a request is: whoever chooses looks no label up.
        let labels = |address: &Address| {
            let ordered = ordered.and_then(|ordered| ordered.get(address));
            ordered.or_else(|| pool.labels.get(address)).cloned().unwrap_or_default()
        };
        // What an earlier version has shown at the same address says nothing of one that is deployed.
        let is_same = |before: &&Pool| version.is_none() || before.version == version;
        let known = before.filter(is_same);
        let joins = before.is_some();
        let members = members((upstreams, &labels), reach, service, (known, joins), now);
        let state = before.map(|before| before.state.clone()).unwrap_or_default();
        let (name, http2) = (pool.name.clone(), pool.http2);
        let pool = Pool { name, members, version, http2, tls, state };
        pool.assess(&service.stability, now);
        pool
    };
    let layout = traffic.layout.unwrap_or_else(|| Layout::of(&traffic.split));
    let place = |name: &Arc<str>| service.pools.iter().position(|pool| pool.name == *name);
    Service {
        name: service.name.clone(),
        revision: traffic.revision,
        cut: Cut::of(&layout, service.pools.iter().map(|pool| &pool.name)),
        stable: stable(service, &traffic.split),
        stand_in: service.stability.fallback.pool.as_ref().and_then(place),
        stale: stale(service, &traffic.split, before, now),
        split: traffic.split,
        has_normal_paths: service.has_normal_paths,
        timeouts: service.timeouts,
        stability: service.stability.clone(),
        mode: blueprint.run_time.modes.get(&service.name).cloned().unwrap_or_default(),
        pools: service.pools.iter().map(pool).collect(),
        state: before.map(|before| before.state.clone()).unwrap_or_default(),
        limits: RateLimits::build(service, blueprint, before.map(|before| &before.limits)),
        mirror: mirror(service, before, now),
        salt: traffic.salt,
        sticky: service.sticky.clone(),
        signer: Signer::of(blueprint.secret),
        cohorts: ClientHash::of_cohorts(blueprint.secret, &service.name, traffic.salt),
        balance: ClientHash::of_balance(blueprint.secret),
        opt_in: service.opt_in.as_ref().map(|told| OptIn::of(told, &blueprint.config.keys)),
        slo: service.slo.clone(),
        tells_pool: service.tells_pool,
        compression: service.compression.clone(),
        body_limit: service.body_limit,
        flags: flags(&service.name, blueprint),
        rollout: service.has_rollouts.then(|| service.rollout.clone()),
        counted: service.rollout.judging.own_errors().filter(|_| service.pools.len() > 1),
        watched: blueprint.run_time.observed.get(&service.name).and_then(|observed| {
            let ledger = observed.ledger.clone();
            Some(Watched { ledger, stable: place(&observed.from)?, target: place(&observed.to)? })
        }),
    }
}

/// The flags of a service, with the shares in force.
fn flags(service: &Arc<str>, blueprint: &Blueprint<'_>) -> Flags {
    let of_service = blueprint.config.flags.iter().filter(|flag| flag.services.contains(service));
    let share = |flag: &config::Flag| {
        let shifted = blueprint.run_time.flags.get(&flag.name);
        (flag.name.clone(), shifted.copied().unwrap_or(flag.percent))
    };
    Flags::new(of_service.map(share), blueprint.secret)
}

/// What was kept stays as long as its bounds do, and as its pool has traffic.
fn stale(
    service: &config::Service,
    split: &Split,
    before: Option<&Service>,
    now: Moment,
) -> Option<Arc<StaleStore>> {
    let limits = service.stability.fallback.stale?;
    let kept = before.and_then(|before| before.stale.clone());
    let kept = kept.filter(|store| store.limits() == limits);
    let kept = kept.unwrap_or_else(|| Arc::new(StaleStore::new(limits)));
    let with_traffic = split.parts().iter().filter(|(_, weight)| weight.get() > 0);
    let pools: Vec<Arc<str>> = with_traffic.map(|(pool, _)| pool.clone()).collect();
    kept.set_pools(&pools, now);
    Some(kept)
}

/// What came of copies is told of one pool: another one begins anew.
fn mirror(service: &config::Service, before: Option<&Service>, now: Moment) -> Option<Mirror> {
    let settings = service.mirror.clone()?;
    let pool = service.pools.iter().position(|pool| pool.name == settings.to)?;
    let before = before.and_then(|before| before.mirror.as_ref());
    let same = before.filter(|before| before.settings.to == settings.to);
    let state = same.map(|same| same.state.clone());
    let state = state.unwrap_or_else(|| Arc::new(MirrorState::since_now(now)));
    Some(Mirror { settings, state, pool })
}

/// The pool with the largest share in the file, as long as it gets any traffic; otherwise the one
/// with the largest share now. So a canary does not become stable by growing past a half.
fn stable(service: &config::Service, now: &Split) -> usize {
    let largest = |split: &Split| {
        let places = (0..service.pools.len()).rev();
        places.max_by_key(|&place| split.weight(&service.pools[place].name)).unwrap_or(0)
    };
    let by_file = largest(&service.split);
    match now.weight(&service.pools[by_file].name).get() {
        0 => largest(now),
        _ => by_file,
    }
}

/// What an upstream is labelled with.
type LabelsOf<'l> = &'l dyn Fn(&Address) -> Labels;

fn members(
    (upstreams, labels_of): (&[(Address, u16)], LabelsOf<'_>),
    reach: Reach<'_>,
    service: &config::Service,
    (known, joins): (Option<&Pool>, bool),
    now: Moment,
) -> Members {
    let known: HashMap<&Address, &Arc<Upstream>> = known
        .iter()
        .flat_map(|known| known.members.list())
        .map(|member| (&member.upstream.address, &member.upstream))
        .collect();
    let mut list: Vec<Member> = Vec::new();
    let mut seen: HashSet<Address> = HashSet::new();
    let prefer = service.stability.balance.prefer.as_ref();
    for (address, weight) in upstreams {
        let labels = labels_of(address);
        let is_near = prefer.is_some_and(|label| labels.has(label));
        for (address, of, weight, target) in expand(address, *weight, reach) {
            // Listed itself and found behind a name, it is one upstream all the same.
            if !seen.insert(address.clone()) {
                continue;
            }
            let upstream = match known.get(&address) {
                Some(&upstream) => upstream.clone(),
                None => Arc::new(newcomer(Upstream::new(address, of), service, joins, now)),
            };
            if service.stability.health.is_none() && upstream.proof() != Proof::Up {
                upstream.set_proof(Proof::Up, now);
            }
            list.push(Member { upstream, weight, target, labels: labels.clone(), is_near });
        }
    }
    Members::new(list, service.stability.balance.by)
}

/// How upstreams are reached.
#[derive(Clone, Copy)]
struct Reach<'a> {
    /// What names stand for.
    resolved: &'a Resolved,
    /// Where nobody is led.
    admin: &'a ListenAddress,
    /// Where requests are accepted, to which none goes back.
    listeners: &'a [Listener],
    /// How they speak TLS, under which name if not under their own, and whether HTTP/2 inside.
    by_tls: Option<(&'a Arc<TlsTerms>, Option<&'a str>, bool)>,
    /// How connections say whom they are for, if they do.
    introduced: Option<ProxyVersion>,
}

impl Reach<'_> {
    /// Whether this very process would be dialled.
    fn is_ours(&self, target: &DialAddress) -> bool {
        self.admin.takes(target) || self.listeners.iter().any(|own| own.address.takes(target))
    }

    /// Where to dial an upstream of this address. A socket of this machine is as safe without TLS.
    fn target(&self, address: &Address, place: DialAddress) -> DialAddress {
        let target = match self.introduced {
            Some(version) => {
                DialAddress::Proxied(Arc::new(ProxiedTarget::new(place.clone(), version)))
            }
            None => place.clone(),
        };
        let (Some((terms, name, http2)), DialAddress::Socket(socket)) = (self.by_tls, &place)
        else {
            return target;
        };
        let own = || match address {
            Address::Name { .. } | Address::Srv { .. } => name_of(address),
            Address::Socket(_) | Address::Unix(_) => socket.ip().to_canonical().to_string(),
        };
        let name = name.map_or_else(own, str::to_string).into();
        DialAddress::Tls(Arc::new(TlsTarget { below: target, name, http2, terms: terms.clone() }))
    }
}

/// The name that who is at this address has to show.
pub(super) fn name_of(address: &Address) -> String {
    match address {
        Address::Name { host, .. } => host.trim_end_matches('.').to_string(),
        // `shop.internal` of `_http._tcp.shop.internal`: whose name was asked for (RFC 6125
        // section 6.2.1).
        Address::Srv { name } => {
            let labels = name.trim_end_matches('.').split('.');
            labels.skip_while(|label| label.starts_with('_')).collect::<Vec<_>>().join(".")
        }
        Address::Socket(socket) => socket.ip().to_canonical().to_string(),
        Address::Unix(_) => "localhost".into(),
    }
}

/// How a pool speaks TLS: the same as before if nothing has changed, with all that was made of it.
fn tls_terms(
    tls: &config::PoolTls,
    certificates: &Certificates,
    before: Option<&Arc<TlsTerms>>,
) -> Arc<TlsTerms> {
    let nobody = || Arc::new(Authorities(Vec::new()));
    let trust = match (&tls.ca, tls.verify) {
        (_, false) => Trust::Anybody,
        (Some(file), true) => {
            Trust::Signed(certificates.authorities(file).cloned().unwrap_or_else(nobody))
        }
        (None, true) => Trust::Signed(certificates.system().cloned().unwrap_or_else(nobody)),
    };
    let own = tls.own.as_ref().and_then(|(certificate, key)| certificates.pair(certificate, key));
    let terms = TlsTerms::new(trust, own.cloned());
    match before.filter(|before| ***before == terms) {
        Some(before) => before.clone(),
        None => Arc::new(terms),
    }
}

type Expanded = (Address, Option<Arc<str>>, u16, Option<DialAddress>);

/// An address as it is, or a name as the addresses that it stands for.
fn expand(address: &Address, weight: u16, reach: Reach<'_>) -> Vec<Expanded> {
    if let Some(target) = address.target() {
        // What was ordered before we were there leads nowhere.
        let target = Some(target).filter(|target| !reach.is_ours(target));
        let target = target.map(|target| reach.target(address, target));
        return vec![(address.clone(), None, weight, target)];
    }
    let Some(answers) = reach.resolved.get(address).filter(|answers| !answers.is_empty()) else {
        return vec![(address.clone(), None, weight, None)];
    };
    let of: Arc<str> = address.to_string().into();
    let one = |answer: &Resolution| {
        let weight = (u32::from(weight) * u32::from(answer.weight)).div_ceil(100);
        let weight = u16::try_from(weight).unwrap_or(u16::MAX);
        let target = Some(answer.target.clone()).filter(|target| !reach.is_ours(target));
        let target = target.map(|target| reach.target(address, target));
        (Address::of(&answer.target), Some(of.clone()), weight, target)
    };
    answers.iter().map(one).collect()
}

/// One that is probed has to prove itself; one that joins others begins with less than its share.
fn newcomer(upstream: Upstream, service: &config::Service, joins: bool, now: Moment) -> Upstream {
    if service.stability.health.is_some() {
        upstream.set_proof(Proof::Unproven, now);
    }
    if joins {
        upstream.come_in(now);
    }
    upstream
}

//! Names of upstreams: a config in, addresses out, again and again in the background.
//!
//! The data plane never looks anything up. Each name has its own schedule: it is looked up
//! again when the TTL of its answer is over, and keeps its last good answer while that fails; one
//! that never had an answer takes no requests. A slow name holds up no other.

mod dns;
mod schedule;
mod servers;
mod srv;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use self::dns::{Dns, Failure, Found};
use self::schedule::Schedule;
use crate::auth::Rule;
use crate::clock::Clock;
use crate::config::{Config, ListenAddress};
use crate::event::Kind;
use crate::files::InForce;
use crate::snapshot::{Changed, Resolution, Resolved};
use crate::upstream::Address;

/// Look-ups under way at once.
const AT_ONCE: usize = 16;

/// Looks names up and remembers the answers.
#[derive(Debug)]
pub struct Resolver {
    clock: Clock,
    /// As the config names them; none are the system's.
    name_servers: Vec<SocketAddr>,
    /// Where the admin API is, which no name may lead to.
    admin: Option<ListenAddress>,
    /// None until there is a name to look up.
    dns: Option<Dns>,
    known: Resolved,
    schedule: Schedule,
    under_way: JoinSet<LookedUp>,
    /// What nobody has heard of yet.
    news: Vec<News>,
}

/// That a name does not resolve any more, or again.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// The name.
    pub name: Address,
    /// What is so now.
    pub kind: Kind,
}

/// A name and what came of its look-up.
type LookedUp = (Address, Result<Found, Failure>);

impl Resolver {
    /// One that knows nothing yet.
    pub fn new(clock: Clock) -> Resolver {
        Resolver {
            clock,
            name_servers: Vec::new(),
            admin: None,
            dns: None,
            known: Resolved::new(),
            schedule: Schedule::new(clock.draws()),
            under_way: JoinSet::new(),
            news: Vec::new(),
        }
    }

    /// What is known now.
    pub fn known(&self) -> &Resolved {
        &self.known
    }

    /// Looks up every name of a config that has not been looked up yet; answers whether anything
    /// is different from before. May be dropped half-way: what is under way then goes on.
    pub async fn look_up(&mut self, config: &Config) -> bool {
        let before = self.known.clone();
        self.follow(config, &Changed::new());
        while !self.schedule.all_tried() {
            self.start_due();
            let Some(done) = self.under_way.join_next().await else { break };
            self.note(done);
        }
        self.known != before
    }

    /// Follows the config and the names' schedule, and tells all that is known whenever it has
    /// changed, until the config has no more changes to come. Whoever wants to hear which names have
    /// begun or ceased to resolve, and whether each does, is told by `heard`.
    pub async fn run<F: Future<Output = ()>>(
        mut self,
        mut in_force: watch::Receiver<Arc<InForce>>,
        tell: impl Fn(Resolved) -> F,
        heard: impl Fn(Vec<News>, BTreeMap<Address, bool>),
    ) {
        let current = in_force.borrow_and_update().clone();
        self.follow(&current.config, &current.changed);
        let mut shown = None;
        loop {
            self.start_due();
            let names = self.schedule.standing();
            if !self.news.is_empty() || shown.as_ref() != Some(&names) {
                heard(std::mem::take(&mut self.news), names.clone());
                shown = Some(names);
            }
            let next = self.next_due();
            let done = tokio::select! {
                changed = in_force.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let current = in_force.borrow_and_update().clone();
                    self.follow(&current.config, &current.changed);
                    None
                }
                done = self.under_way.join_next(), if !self.under_way.is_empty() => done,
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => None,
            };
            let Some(done) = done else { continue };
            let mut changed = self.note(done);
            // One snapshot for all that came at the same time.
            while let Some(done) = self.under_way.try_join_next() {
                changed |= self.note(done);
            }
            if changed {
                tell(self.known.clone()).await;
            }
        }
    }

    /// Takes over the names and name servers of a config.
    fn follow(&mut self, config: &Config, changed: &Changed) {
        let now = self.clock.now();
        let wanted: BTreeSet<Address> = names(config, changed).collect();
        self.known.retain(|address, _| wanted.contains(address));
        self.admin = Some(config.admin.address.clone());
        if self.name_servers != config.server.resolvers {
            self.name_servers.clone_from(&config.server.resolvers);
            // What the old ones still say counts no more.
            self.under_way = JoinSet::new();
            self.schedule.start_again(now);
        }
        // Read afresh at each reload, as the system's own may have changed.
        self.dns = (!wanted.is_empty()).then(|| Dns::of(&self.name_servers));
        self.schedule.follow(wanted, now);
    }

    fn start_due(&mut self) {
        let Some(dns) = &self.dns else { return };
        while self.under_way.len() < AT_ONCE
            && let Some(address) = self.schedule.take(self.clock.now())
        {
            let last = self.known.get(&address).cloned().unwrap_or_default();
            let admin = self.admin.clone();
            self.under_way.spawn(look_up(dns.clone(), address, last, admin));
        }
    }

    /// When the next name is due; none while there is no place for it or no name.
    fn next_due(&self) -> Option<Instant> {
        let has_place = self.under_way.len() < AT_ONCE;
        let next = self.schedule.next(self.clock.now()).filter(|_| has_place);
        next.map(Instant::from_std)
    }

    /// Answers whether what is known has changed.
    fn note(&mut self, done: Result<LookedUp, JoinError>) -> bool {
        // A look-up that panicked has been reported by the panic; its turn comes again.
        let Ok((address, found)) = done else { return false };
        if !self.schedule.contains(&address) {
            return false;
        }
        let now = self.clock.now();
        match found {
            Ok(Found { answers, ttl }) => {
                if self.schedule.succeeded(&address, ttl, now) {
                    self.news.push(News { name: address.clone(), kind: Kind::NameResolves });
                }
                let before = self.known.insert(address, answers.clone());
                before.is_none_or(|before| before != answers)
            }
            Err(error) => {
                // Said once, not at each try.
                if self.schedule.failed(&address, now) {
                    let keeps_last = self.known.contains_key(&address);
                    let kind = Kind::NameFails { why: error.to_string(), keeps_last };
                    self.news.push(News { name: address, kind });
                }
                false
            }
        }
    }
}

/// Looks up the names of a config that are not known yet, for at most this long; answers with
/// those that came in time.
pub async fn look_up_new(config: &Config, known: &Resolved, patience: Duration) -> Resolved {
    let changed = Changed::new();
    let new = names(config, &changed).filter(|address| !known.contains_key(address));
    let mut waiting: BTreeSet<Address> = new.collect();
    let mut found = Resolved::new();
    if waiting.is_empty() {
        return found;
    }
    let dns = Dns::of(&config.server.resolvers);
    let mut under_way = JoinSet::new();
    let all = async {
        loop {
            while under_way.len() < AT_ONCE
                && let Some(address) = waiting.pop_first()
            {
                let admin = Some(config.admin.address.clone());
                under_way.spawn(look_up(dns.clone(), address, Arc::default(), admin));
            }
            match under_way.join_next().await {
                Some(Ok((address, Ok(answer)))) => drop(found.insert(address, answer.answers)),
                Some(_) => {}
                None => return,
            }
        }
    };
    // Those that take longer come in through the resolver.
    let _ = timeout(patience, all).await;
    found
}

/// The names among the addresses of a config, of services that are asked who may come in, and of pools
/// that were changed at run time.
pub fn names<'a>(config: &'a Config, changed: &'a Changed) -> impl Iterator<Item = Address> + 'a {
    let pools = config.services.iter().flat_map(|service| &service.pools);
    let from_file = pools.flat_map(|pool| &pool.upstreams);
    let all = from_file.chain(changed.values().flatten()).map(|(address, _)| address);
    let rules = config.route_actions.iter().filter_map(|actions| actions.as_ref()?.auth.as_ref());
    let asked = rules.filter_map(|rule| match rule {
        Rule::Ask(ask) => Some(&ask.address),
        Rule::Basic { .. } => None,
    });
    all.chain(asked).filter(|address| address.is_name()).cloned()
}

async fn look_up(
    dns: Dns,
    address: Address,
    last: Arc<[Resolution]>,
    admin: Option<ListenAddress>,
) -> LookedUp {
    let found = dns.look_up(&address, &last).await;
    let found = found.and_then(|found| match &admin {
        Some(admin) => found.without(admin),
        None => Ok(found),
    });
    (address, found)
}

#[cfg(test)]
mod name_server;

#[cfg(test)]
mod tests;

//! Takes commands one by one: each becomes a revision, a snapshot, or a refusal.
//!
//! `operations.rs` has those that change no split: drains, breakers, modes.

mod operations;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::resolve::{look_up_new, names};
use super::{Command, Commands, Events, InForce, Order, Refused, ReloadError, Source, Target};
use crate::clock::Clock;
use crate::config::{Change, Config, Service, diff, given_up};
use crate::observe::Process;
use crate::proxy::listen::{Listeners, Serve};
use crate::snapshot::{Blueprint, Pool, Published, Resolved, RunTime, Snapshot, Traffic};
use crate::split::{Secret, Split};
use crate::store::{Draft, Revision, Store};
use crate::upstream::Address;

/// How long a reload waits for names it has not seen before.
const NEW_NAMES: Duration = Duration::from_secs(1);

/// What the controller is connected to.
pub struct Wiring<S> {
    /// Where snapshots go.
    pub published: Arc<Published>,
    /// Where connections come in.
    pub listeners: Listeners<S>,
    /// Where the config comes from.
    pub source: Source,
    /// Where reloads are counted.
    pub process: Arc<Process>,
    /// Where the config in force is shown to who needs the whole of it.
    pub in_force: watch::Sender<Arc<InForce>>,
    /// Where it is told what happened.
    pub events: Arc<Events>,
    /// Time for revisions.
    pub clock: Clock,
}

/// The one writer.
pub struct Controller<S> {
    wiring: Wiring<S>,
    store: Store,
    run_time: RunTime,
    secret: Secret,
    config: Arc<Config>,
}

impl<S: Serve> Controller<S> {
    /// The snapshot that a process begins with, and the store that remembers how it came about.
    pub fn first(
        config: Arc<Config>,
        resolved: &Resolved,
        secret: Secret,
        clock: Clock,
    ) -> (Snapshot, Store) {
        let now = clock.unix_seconds();
        let mut store = Store::default();
        let traffic = config.services.iter().map(|service| {
            let draft = from_file(service, now, None);
            // The store is empty, so revision 0 is what every service is at.
            let number = store.append(&service.name, 0, draft).map_or(1, |made| made.number);
            let split = service.split.clone();
            (service.name.clone(), Traffic { split, revision: number, salt: 0 })
        });
        let traffic = traffic.collect();
        let run_time = RunTime { traffic, resolved: resolved.clone(), ..RunTime::default() };
        let blueprint = Blueprint { config, run_time: &run_time, secret, now: clock.now() };
        (Snapshot::build(&blueprint, None), store)
    }

    /// Goes on from a first snapshot.
    pub fn new(wiring: Wiring<S>, store: Store, resolved: Resolved, secret: Secret) -> Self {
        let snapshot = wiring.published.load();
        let traffic = snapshot.services.iter().map(|service| {
            let (split, revision) = (service.split.clone(), service.revision);
            (service.name.clone(), Traffic { split, revision, salt: service.salt })
        });
        let (traffic, config) = (traffic.collect(), snapshot.config.clone());
        let run_time = RunTime { traffic, resolved, ..RunTime::default() };
        Controller { wiring, store, run_time, secret, config }
    }

    /// Takes commands until nobody is left to send any.
    pub async fn run(mut self, mut commands: Commands) {
        // A caller that no longer waits for its answer has lost nothing but the answer.
        while let Some(command) = commands.0.recv().await {
            match command {
                Command::Shift { service, to, order, reply } => {
                    let _ = reply.send(self.shift(&service, to, order));
                }
                Command::Upstream { place, what, order, reply } => {
                    let _ = reply.send(self.set_upstream(&place, what, &order));
                }
                Command::Breaker { place, what, order, reply } => {
                    let _ = reply.send(self.set_breaker(&place, what, &order));
                }
                Command::Mode { service, what, order, reply } => {
                    let _ = reply.send(self.set_mode(&service, what, &order));
                }
                Command::Reload { reply } => {
                    let _ = reply.send(self.reload().await);
                }
                Command::History { service, reply } => {
                    let known = self.service(&service).map(|_| self.store.history(&service));
                    let _ = reply.send(known);
                }
                Command::Resolved(resolved) => {
                    // Added, not replaced: a look-up that began before a reload knows nothing of the
                    // names that the reload has looked up itself.
                    self.run_time.resolved.extend(resolved);
                    self.publish();
                }
                Command::StopListening { reply } => {
                    self.wiring.listeners.stop();
                    let _ = reply.send(());
                }
            }
        }
    }

    fn service(&self, name: &str) -> Result<&Service, Refused> {
        self.config.service(name).ok_or_else(|| Refused::NoService(name.to_string()))
    }

    fn shift(&mut self, service: &str, to: Target, order: Order) -> Result<Revision, Refused> {
        let config = self.config.clone();
        let service = config.service(service).ok_or_else(|| Refused::NoService(service.into()))?;
        let split = match to {
            Target::Weights(weights) => {
                let split = Split::new(weights.into_iter().map(|(pool, w)| (pool.into(), w)))?;
                split.check_pools(&service.pool_names())?;
                split
            }
            Target::Flip { pool } => {
                if service.pool(&pool).is_none() {
                    return Err(Refused::NoPool { service: service.name.to_string(), pool });
                }
                Split::all_to(pool.into())
            }
        };
        if !order.force {
            self.check_available(service, &split)?;
        }
        let newest = self.store.newest(&service.name).map_or(0, |newest| newest.number);
        let Order { author, reason, expected, .. } = order;
        let draft = Draft { split, author, reason, at: self.wiring.clock.unix_seconds() };
        let revision = self.store.append(&service.name, expected.unwrap_or(newest), draft)?;
        self.take(&service.name, &revision);
        self.publish();
        tracing::info!(
            service = &*service.name,
            revision = revision.number,
            split = %revision.split,
            author = revision.author,
            reason = revision.reason,
            "traffic shifted"
        );
        Ok(revision)
    }

    /// Refuses a split that gives more to a pool that can take nothing.
    fn check_available(&self, service: &Service, split: &Split) -> Result<(), Refused> {
        let snapshot = self.wiring.published.load();
        let Some(now) = snapshot.service(&service.name) else { return Ok(()) };
        let grows = |pool: &&Pool| split.weight(&pool.name) > now.split.weight(&pool.name);
        let mut growing = now.pools.iter().filter(grows);
        let moment = snapshot.moment(self.wiring.clock.now());
        match growing.find(|pool| !pool.is_ready(&now.stability, moment)) {
            Some(pool) => Err(Refused::NotAvailable(pool.name.to_string())),
            None => Ok(()),
        }
    }

    async fn reload(&mut self) -> Result<Vec<Change>, ReloadError> {
        let reloaded = self.try_reload().await;
        let now = self.wiring.clock.unix_seconds();
        self.wiring.process.update(|gauges| match &reloaded {
            Ok(_) => {
                gauges.reloads += 1;
                gauges.last_reload_successful = true;
                gauges.last_reload_success = now;
            }
            Err(_) => {
                gauges.refused_reloads += 1;
                gauges.last_reload_successful = false;
            }
        });
        match &reloaded {
            Ok(changes) => {
                tracing::info!(changes = changes.len(), "config reloaded");
                changes.iter().for_each(|change| tracing::info!("{change}"));
            }
            Err(ReloadError::Problems(rejected)) => {
                tracing::error!(
                    "config refused, the old one stays in force\n{}",
                    rejected.render(false)
                );
            }
            Err(error) => tracing::error!(%error, "config refused, the old one stays in force"),
        }
        reloaded
    }

    async fn try_reload(&mut self) -> Result<Vec<Change>, ReloadError> {
        if self.wiring.source.path().is_none() {
            return Err(ReloadError::NoFile);
        }
        let read = self.wiring.source.read()?;
        let (config, _) = read.parse()?;
        let prepared = self.wiring.listeners.prepare(&config.listeners)?;
        // Upstreams known by name only would take nothing until their names are looked up.
        let new = look_up_new(&config, &self.run_time.resolved, NEW_NAMES).await;
        self.run_time.resolved.extend(new);
        let wanted: HashSet<Address> = names(&config, &self.run_time.changed).collect();
        self.run_time.resolved.retain(|address, _| wanted.contains(address));
        let live =
            |name: &str| self.run_time.traffic.get(name).map(|traffic| traffic.split.clone());
        let mut changes = diff(&self.config, &config, live);
        let changed = self.run_time.changed.keys().map(|(service, pool)| (&**service, &**pool));
        changes.extend(given_up(&self.config, &config, changed));
        self.adopt(&config);
        self.config = config.clone();
        self.publish();
        self.wiring.listeners.commit(prepared);
        self.wiring.process.set_listeners(self.wiring.listeners.tallies());
        let changed = self.run_time.changed.clone();
        self.wiring.in_force.send_replace(Arc::new(InForce { config, text: read, changed }));
        Ok(changes)
    }

    /// Applies the rule for file and API together: a split that was edited in the file is a new
    /// revision, one that was not keeps what was set at run time.
    fn adopt(&mut self, config: &Arc<Config>) {
        let now = self.wiring.clock.unix_seconds();
        self.run_time.traffic.retain(|name, _| config.service(name).is_some());
        self.run_time.modes.retain(|name, _| config.service(name).is_some());
        // As with splits: an unedited list of upstreams keeps what was changed at run time.
        let before = self.config.clone();
        let pool = |config: &Config, (service, pool): &(Arc<str>, Arc<str>)| {
            config.service(service).and_then(|service| service.pool(pool)).cloned()
        };
        self.run_time.changed.retain(|key, _| {
            let now = pool(config, key);
            now.is_some() && now == pool(&before, key)
        });
        for service in &config.services {
            let before = self.config.service(&service.name).map(|before| &before.split);
            let newest = self.store.newest(&service.name);
            let at_run_time = newest.filter(|_| before == Some(&service.split));
            let reason = match at_run_time {
                Some(newest) if newest.split.check_pools(&service.pool_names()).is_ok() => {
                    continue;
                }
                Some(newest) => {
                    Some(format!("revision {} names a pool that is gone", newest.number))
                }
                None => None,
            };
            let expected = newest.map_or(0, |newest| newest.number);
            let draft = from_file(service, now, reason);
            // Nobody else appends, so the newest is still the newest.
            if let Ok(revision) = self.store.append(&service.name, expected, draft) {
                self.take(&service.name, &revision);
            }
        }
    }

    fn take(&mut self, service: &Arc<str>, revision: &Revision) {
        let (split, revision) = (revision.split.clone(), revision.number);
        let traffic = Traffic { split, revision, salt: 0 };
        self.run_time.traffic.insert(service.clone(), traffic);
    }

    /// Puts what is known in force; answers with its generation. Whoever waits looks again, also
    /// for what is gone now: one is called in each line, and each calls the next.
    fn publish(&self) -> u64 {
        let blueprint = Blueprint {
            config: self.config.clone(),
            run_time: &self.run_time,
            secret: self.secret,
            now: self.wiring.clock.now(),
        };
        let before = self.wiring.published.load();
        let next = Snapshot::build(&blueprint, Some(&before));
        let generation = next.generation;
        self.wiring.published.publish(next);
        let queues = before.services.iter().flat_map(|service| service.queues());
        queues.for_each(|queue| queue.call_next());
        generation
    }
}

fn from_file(service: &Service, at: f64, reason: Option<String>) -> Draft {
    Draft { split: service.split.clone(), author: "file".into(), reason, at }
}

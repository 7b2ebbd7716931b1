//! Names of upstreams: a config in, addresses out, again and again in the background.
//!
//! The data plane never looks anything up. A name that does not resolve keeps its last good
//! answer, or takes no requests if it never had one; others are not held up by it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Control, InForce};
use crate::config::Config;
use crate::snapshot::{Answer, Resolved};
use crate::upstream::{Address, Target};

/// How often names are looked up again.
const PERIOD: Duration = Duration::from_secs(10);

/// How long one look-up may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Look-ups under way at once.
const AT_ONCE: usize = 16;

/// Looks names up with the system's resolver and remembers the answers.
#[derive(Debug, Default)]
pub struct Resolver {
    known: Resolved,
    /// Names that did not resolve the last time: said once, not every ten seconds.
    failing: BTreeSet<Address>,
}

impl Resolver {
    /// What is known now.
    pub fn known(&self) -> &Resolved {
        &self.known
    }

    /// Looks up every name of a config; answers whether anything is different from before.
    pub async fn look_up(&mut self, config: &Config) -> bool {
        let wanted: BTreeSet<Address> = names(config).collect();
        let before = self.known.clone();
        self.known.retain(|address, _| wanted.contains(address));
        self.failing.retain(|address| wanted.contains(address));
        let mut waiting = wanted.into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < AT_ONCE
                && let Some(address) = waiting.next()
            {
                under_way.spawn(answer(address));
            }
            let Some(done) = under_way.join_next().await else { break };
            let Ok((address, answer)) = done else { continue };
            match answer {
                Ok(targets) => {
                    if self.failing.remove(&address) {
                        tracing::info!(name = %address, "name resolves again");
                    }
                    self.known.insert(address, targets);
                }
                Err(error) if self.failing.insert(address.clone()) => {
                    let keeps = self.known.contains_key(&address);
                    tracing::warn!(name = %address, %error, keeps_last_answer = keeps, "name does not resolve");
                }
                Err(_) => {}
            }
        }
        self.known != before
    }

    /// Looks up at every change of the config and periodically, and tells the controller.
    pub async fn run(mut self, mut in_force: watch::Receiver<Arc<InForce>>, control: Control) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = in_force.changed() => if changed.is_err() { return },
                _ = ticks.tick() => {}
            }
            let current = in_force.borrow_and_update().clone();
            if self.look_up(&current.config).await {
                control.resolved(self.known.clone()).await;
            }
        }
    }
}

/// Looks up the names of a config that are not known yet, for at most this long; answers with
/// those that came in time.
pub async fn look_up_new(config: &Config, known: &Resolved, patience: Duration) -> Resolved {
    let mut under_way = JoinSet::new();
    for address in names(config).filter(|address| !known.contains_key(address)) {
        under_way.spawn(answer(address));
    }
    let mut found = Resolved::new();
    let late = sleep(patience);
    tokio::pin!(late);
    loop {
        tokio::select! {
            done = under_way.join_next() => match done {
                Some(Ok((address, Ok(targets)))) => drop(found.insert(address, targets)),
                Some(_) => {}
                None => return found,
            },
            () = &mut late => return found,
        }
    }
}

/// The names among the addresses of a config.
pub fn names(config: &Config) -> impl Iterator<Item = Address> {
    let pools = config.services.iter().flat_map(|service| &service.pools);
    let addresses = pools.flat_map(|pool| &pool.upstreams).map(|(address, _)| address);
    addresses.filter(|address| matches!(address, Address::Name { .. })).cloned()
}

async fn answer(address: Address) -> (Address, std::io::Result<Arc<[Answer]>>) {
    let Address::Name { host, port } = &address else {
        let error = std::io::Error::other("not a name");
        return (address, Err(error));
    };
    let found = match timeout(PATIENCE, tokio::net::lookup_host((host.as_str(), *port))).await {
        Ok(Ok(found)) => {
            // In order, so that the same answer compares equal however it was shuffled.
            let found: BTreeSet<_> = found.collect();
            let answer = |socket| Answer { target: Target::Socket(socket), weight: 100 };
            let targets: Arc<[Answer]> = found.into_iter().map(answer).collect();
            match targets.is_empty() {
                true => Err(std::io::Error::other("the name has no address")),
                false => Ok(targets),
            }
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    (address, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_does_not_resolve_leaves_the_others_alone() {
        let text = "[[listeners]]\naddress = \":0\"\n[services.a.pools.p]\n\
                    upstreams = [\"localhost:81\", \"no-such-host.invalid:80\", \"192.0.2.1:80\"]\n";
        let (config, _) = Config::parse(text).unwrap();
        let mut resolver = Resolver::default();
        assert!(resolver.look_up(&config).await);
        let known: Vec<_> = resolver.known().keys().map(ToString::to_string).collect();
        assert_eq!(known, ["localhost:81"]);
        assert!(!resolver.look_up(&config).await, "the same answer is no change");
    }
}

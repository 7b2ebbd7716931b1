//! What is noted of the pools of a rollout under way: the ledger that the data plane writes in, one
//! second's reading for the judge out.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::Config;
use crate::judge::bursts::ByUpstream;
use crate::judge::ledger::{AccountReading, STRATA};
use crate::judge::{Counts, Distribution, Ledger, Part, Reading, Side};
use crate::rollout::Rollout;
use crate::snapshot::{Observed, Pool, Service, Stratum};
use crate::upstream::{JudgedReading, Upstream};

/// The ledger of a rollout, and how far it is read.
#[derive(Clone, Debug)]
pub(super) struct Observing {
    ledger: Arc<Ledger>,
    from: Arc<str>,
    to: Arc<str>,
    /// The names of strata, by place.
    strata: Arc<[Arc<str>]>,
    /// Both accounts as they were read last, the stable pool's first.
    accounts: [AccountReading; 2],
    /// Both histograms, and those of upstreams that are cold; none before the first look.
    took: Option<[[Distribution; 2]; 2]>,
    /// What each upstream had done, by pool and address.
    upstreams: [HashMap<Arc<str>, Seen>; 2],
}

/// What an upstream had done when it was read last.
#[derive(Clone, Debug)]
struct Seen {
    /// Another one of the same address has counters of its own.
    upstream: Arc<Upstream>,
    judged: JudgedReading,
    answers: u64,
}

impl Observing {
    /// An empty ledger for a rollout of a service that has done this by now.
    pub fn of(rollout: &Rollout, config: &Config, service: Option<&Service>) -> Observing {
        let known = config.service(&rollout.service);
        let is_sticky = known.is_some_and(|known| !known.sticky.keys.is_empty());
        let ledger = Arc::new(rollout.plan.judging.ledger(is_sticky));
        let mut observing = Observing {
            accounts: [ledger.stable.read(), ledger.target.read()],
            ledger,
            from: rollout.plan.from.clone(),
            to: rollout.plan.to.clone(),
            strata: strata(&rollout.service, config),
            took: None,
            upstreams: Default::default(),
        };
        if let Some(service) = service {
            // What the first reading says of upstreams begins where its accounts do.
            observing.read(service, false);
        }
        observing
    }

    /// What the snapshot needs of it.
    pub fn observed(&self) -> Observed {
        let (ledger, from, to) = (self.ledger.clone(), self.from.clone(), self.to.clone());
        Observed { ledger, from, to }
    }

    /// Where the data plane notes.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The routes may be others.
    pub fn rename(&mut self, service: &str, config: &Config) {
        self.strata = strata(service, config);
    }

    /// The share was set: users begin anew, and what comes from now on is the new share's.
    pub fn begin_step(&mut self, service: &Service) {
        for account in [&self.ledger.stable, &self.ledger.target] {
            account.begin_step();
        }
        self.read(service, false);
    }

    /// What came since the last reading, and the target's attempts among it.
    pub fn read(&mut self, service: &Service, is_warming: bool) -> (Reading, Counts) {
        let accounts = [self.ledger.stable.read(), self.ledger.target.read()];
        let pool = |name: &Arc<str>| service.pool(name);
        let read =
            |name| pool(name).map(|pool| [pool.state.latency.read(), pool.state.cold.read()]);
        let took = [&self.from, &self.to].map(|name| read(name).unwrap_or_default());
        let before = self.took.as_ref().unwrap_or(&took);
        let [stable, target] = [0, 1].map(|at| accounts[at].since(&self.accounts[at]));
        let pools = [&self.from, &self.to].map(pool);
        let mut upstreams = [0, 1].map(|at| by_upstream(pools[at], &mut self.upstreams[at]));
        let mut side = |account: &AccountReading, at: usize| Side {
            attempts: account.users.map_or(account.attempts, |users| users.counts()),
            latency: took[at][0].since(&before[at][0]),
            cold: took[at][1].since(&before[at][1]),
            arrivals: account.arrivals,
            upstreams: std::mem::take(&mut upstreams[at]),
        };
        let reading = Reading {
            counts_users: stable.users.is_some(),
            stable: side(&stable, 0),
            canary: side(&target, 1),
            is_warming,
            metrics: self.metrics(&stable, &target),
            strata: self.parts(&stable, &target),
        };
        self.accounts = accounts;
        self.took = Some(took);
        (reading, target.attempts)
    }

    fn metrics(&self, stable: &AccountReading, target: &AccountReading) -> Vec<Part> {
        let own = self.ledger.metrics.iter().enumerate().map(|(at, name)| {
            let of = |account: &AccountReading| Counts {
                total: account.attempts.total,
                bad: account.metrics[at],
            };
            Part { name: name.as_ref().into(), stable: of(stable), canary: of(target) }
        });
        let extra = self.ledger.extra.map(|_| Part {
            name: "4xx".into(),
            stable: stable.extra,
            canary: target.extra,
        });
        own.chain(extra).collect()
    }

    fn parts(&self, stable: &AccountReading, target: &AccountReading) -> Vec<Part> {
        let parts = self.strata.iter().zip(stable.strata.iter().zip(&target.strata));
        let came = parts.filter(|(_, (stable, target))| stable.total + target.total > 0);
        let part = |(name, (stable, target)): (&Arc<str>, (&Counts, &Counts))| Part {
            name: name.clone(),
            stable: *stable,
            canary: *target,
        };
        came.map(part).collect()
    }
}

/// What came since it was read last, of each upstream of a pool.
fn by_upstream(pool: Option<&Pool>, seen: &mut HashMap<Arc<str>, Seen>) -> Vec<ByUpstream> {
    let mut before = std::mem::take(seen);
    let members = pool.into_iter().flat_map(|pool| pool.members.list());
    let mut read = |upstream: &Arc<Upstream>| {
        let (judged, answers) = (upstream.judged.read(), upstream.tally.read().answers());
        let now = Seen { upstream: upstream.clone(), judged, answers };
        let (attempts, slow, answers) = match before.remove(&upstream.name) {
            Some(last) if Arc::ptr_eq(&last.upstream, upstream) => {
                let (attempts, slow) = judged.since(last.judged);
                (attempts, slow, answers.saturating_sub(last.answers))
            }
            // Another one has come in its place since: all that is judged of it came since too. How
            // many answers it had before, in another process, nobody says.
            Some(_) => (judged.since(JudgedReading::default()).0, [0; 3], 0),
            // Of one that is new, what it did until now was judged by nobody.
            None => Default::default(),
        };
        seen.insert(upstream.name.clone(), now);
        let (answers, slow) = match upstream.warmth.is_cold() {
            true => (0, [0; 3]),
            false => (answers, slow),
        };
        ByUpstream { name: upstream.name.clone(), attempts, answers, slow }
    };
    members.map(|member| read(&member.upstream)).collect()
}

/// What the strata of a service are called.
fn strata(service: &str, config: &Config) -> Arc<[Arc<str>]> {
    let place = config.services.iter().position(|other| *other.name == *service);
    let routes: Vec<String> = config
        .routes
        .iter()
        .filter(|route| route.service.is_some() && route.service == place)
        .map(ToString::to_string)
        .collect();
    let name = |place: usize| -> Arc<str> {
        let (nth, method) = Stratum::names(place);
        let method = method.unwrap_or("other methods");
        let route = nth.and_then(|nth| routes.get(nth)).map_or("other routes", String::as_str);
        format!("{method} {route}").into()
    };
    (0..STRATA).map(name).collect()
}

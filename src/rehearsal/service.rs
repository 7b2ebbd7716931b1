//! The service that is rehearsed with: seconds in, what both pools did in them out.
//!
//! It stands for everything outside the rollout and the judge: clients, the draw of the split, and
//! upstreams that fail and take their time. Each upstream is one of its own, for what happens to one is
//! what a judge must not take for a version.

use std::sync::Arc;
use std::time::Duration;

use super::latency::Table;
use super::users::{ByPool, Users};
use super::world::{Paused, Pausing, Stalling, World};
use super::{Behaviour, Scenario};
use crate::clock::Draws;
use crate::judge::bursts::{Bursts, ByUpstream};
use crate::judge::ledger::AccountReading;
use crate::judge::{Counts, Distribution, Ledger, Reading, Side, buckets};
use crate::rollout::Past;
use crate::sampling::{binomial, evenly, poisson};
use crate::split::{BasisPoints, Split};

/// Seconds that the stable pool was watched before the rollout, if nothing else is said: what
/// `control` keeps of the past.
const PAST: u64 = 600;

/// Steps by which what is cold becomes warm.
const WARMTHS: usize = 16;

/// Both pools' latencies as tables, made once for many runs.
#[derive(Debug)]
pub(super) struct Tables {
    stable: Table,
    canary: Table,
    /// The canary's while it is cold, the coldest last: as long as it is as the stable pool, and as itself.
    cold: [Vec<Table>; 2],
}

impl Tables {
    pub fn of(scenario: &Scenario) -> Tables {
        let (stable, canary) = (scenario.stable.latency, scenario.canary.latency);
        let cold = [stable, canary].map(|latency| {
            let cold = scenario.world.cold.into_iter().flat_map(|cold| {
                (1..=WARMTHS).filter_map(move |step| {
                    let factor = 1.0 + (cold.factor - 1.0) * step as f64 / WARMTHS as f64;
                    latency.times(factor).map(Table::of)
                })
            });
            cold.collect()
        });
        Tables { stable: Table::of(stable), canary: Table::of(canary), cold }
    }

    /// The canary's, so long after its upstreams have started.
    fn canary_at(&self, is_itself: bool, since: f64, scenario: &Scenario) -> &Table {
        let warm = if is_itself { &self.canary } else { &self.stable };
        let Some(cold) = scenario.world.cold else { return warm };
        let left = (cold.factor_at(since) - 1.0) / (cold.factor - 1.0).max(1e-9);
        let step = (left * WARMTHS as f64).ceil() as usize;
        let tables = &self.cold[usize::from(is_itself)];
        step.checked_sub(1).and_then(|step| tables.get(step)).unwrap_or(warm)
    }
}

/// The service of one run.
#[derive(Debug)]
pub(super) struct Service<'a> {
    scenario: &'a Scenario,
    tables: &'a Tables,
    draws: Draws,
    share: BasisPoints,
    sticky: Option<Sticky>,
    /// The stable pool's, then the canary's.
    pools: [Vec<Upstream>; 2],
    shared: Option<Stalling>,
    /// When the canary's upstreams started last, in seconds.
    started: f64,
    /// Buckets of the stable pool's p50, p95 and p99: what is above them is slow. Known from the past.
    slow: [Option<usize>; 3],
}

/// One upstream and what happens to it.
#[derive(Debug)]
struct Upstream {
    name: Arc<str>,
    stalls: Option<Stalling>,
    pauses: Option<Pausing>,
}

/// What there is more where clients keep to their side.
#[derive(Debug)]
struct Sticky {
    users: Users,
    ledger: Ledger,
    read: [AccountReading; 2],
}

/// One second.
#[derive(Clone, Debug, Default)]
pub(super) struct Second {
    /// What the judge is told.
    pub reading: Reading,
    /// Attempts at the canary.
    pub canary: Counts,
    /// How many of them would have failed at the stable pool, on average.
    pub expected: f64,
}

/// Everything outside the rollout and the judge.
pub(super) trait Surroundings {
    /// What the stable pool did before the rollout; asked for once, before all else.
    fn past(&mut self) -> Past;

    /// The split is set.
    fn on_shift(&mut self, split: &Split);

    /// The second that ends so long after the canary's first requests could come.
    /// The canary's upstreams are new then, and warm up.
    fn second(&mut self, ends: Duration, is_warming: bool) -> Second;

    /// Users that a failure of the canary hit, where users are known.
    fn users_hit(&self) -> Option<u64>;
}

impl<'a> Service<'a> {
    pub fn new(
        scenario: &'a Scenario,
        tables: &'a Tables,
        split: &Split,
        seed: u64,
    ) -> Service<'a> {
        // Seeds that are neighbours must not be sequences that are.
        let mut draws = Draws::seeded(Draws::seeded(seed).bits());
        let sticky = scenario.crowd.map(|crowd| {
            let ledger = scenario.plan.judging.ledger(true);
            let read = [ledger.stable.read(), ledger.target.read()];
            Sticky { users: Users::new(crowd, split, &mut draws), ledger, read }
        });
        let World { stalls, shared, pauses, .. } = scenario.world;
        let from = -(watched(scenario) as f64);
        let mut upstream = |pool: &str, number: u32| Upstream {
            name: format!("{pool}-{number}").into(),
            stalls: stalls.map(|stalls| Stalling::from(stalls, from, &mut draws)),
            pauses: pauses.map(|pauses| Pausing::from(pauses, from, &mut draws)),
        };
        let mut pool = |pool: &str, place: usize| {
            (1..=scenario.upstreams[place].max(1)).map(|number| upstream(pool, number)).collect()
        };
        let pools = [pool("stable", 0), pool("canary", 1)];
        let shared = shared.map(|shared| Stalling::from(shared, from, &mut draws));
        let share = BasisPoints::NONE;
        Service {
            scenario,
            tables,
            draws,
            share,
            sticky,
            pools,
            shared,
            started: 0.0,
            slow: [None; 3],
        }
    }
}

impl Surroundings for Service<'_> {
    fn past(&mut self) -> Past {
        let Scenario { traffic, stable, .. } = self.scenario;
        let rate = traffic.at(Duration::ZERO);
        let broken = match &self.sticky {
            Some(sticky) => sticky.users.broken_share(&mut self.draws),
            None => 0.0,
        };
        let mut attempts = Counts::default();
        let (mut base, mut latency) = (0, Distribution::default());
        let watched = watched(self.scenario);
        let mut seconds = Vec::with_capacity(watched as usize);
        for second in 0..watched {
            let from = second as f64 - watched as f64;
            let shared = self.shared(from);
            let mut fails = self.fails(*stable, 0, shared, from);
            fails.iter_mut().for_each(|errors| *errors += (1.0 - *errors) * broken);
            let requests = poisson(rate, &mut self.draws);
            let came = self.ask(requests, &fails);
            let held: Vec<Held> = self.hold(0, &came, from, &self.tables.stable);
            for held in &held {
                base += held.base;
                held.waited.iter().for_each(|took| latency.add(*took));
            }
            came.iter().for_each(|counts| attempts += *counts);
            seconds.push((came, held));
        }
        latency += &self.tables.stable.draw(base, &mut self.draws);
        // What is slow is known only now; somebody who watches finds out on the way.
        self.slow = [0.5, 0.95, 0.99].map(|share| latency.bucket_at(share));
        let mut bursts = Bursts::default();
        for (came, held) in &seconds {
            let told = self.tell(0, came, held, &self.tables.stable);
            bursts.tick(&told);
        }
        Past { attempts, latency, bursts, budget: self.scenario.budget }
    }

    fn on_shift(&mut self, split: &Split) {
        let plan = &self.scenario.plan;
        self.share = split.weight(&plan.to);
        let Some(sticky) = &mut self.sticky else { return };
        sticky.users.on_shift(split, [&plan.from, &plan.to]);
        let accounts = [&sticky.ledger.stable, &sticky.ledger.target];
        accounts.iter().for_each(|account| account.begin_step());
        sticky.read = accounts.map(|account| account.read());
    }

    fn second(&mut self, ends: Duration, is_warming: bool) -> Second {
        let begins = ends.saturating_sub(Duration::from_secs(1));
        let from = begins.as_secs_f64();
        let Scenario { traffic, stable, canary, after, world, plan, .. } = self.scenario;
        let is_itself = begins >= *after;
        let canary = if is_itself { *canary } else { *stable };
        let since = from - self.started;
        let is_cold = since < plan.judging.settings.warm_up.as_secs_f64();
        let took = [&self.tables.stable, self.tables.canary_at(is_itself, since, self.scenario)];
        let shared = self.shared(from);
        let away = world.restarts.map_or(0.0, |restarts| restarts.away(from));
        let mut fails = [self.fails(*stable, 0, shared, from), self.fails(canary, 1, shared, from)];
        if away > 0.0 {
            self.started = from + 1.0;
            fails[1].iter_mut().for_each(|errors| *errors += (1.0 - *errors) * away);
        }
        let usual = world.stalls.map_or(stable.errors, |stalls| stalls.usual(stable.errors));
        let usual = usual + (1.0 - usual) * shared;
        let requests = poisson(traffic.at(begins), &mut self.draws);
        let asked = match self.sticky.is_some() {
            true => self.ask_users(requests, &fails, usual),
            false => self.ask_all(requests, &fails, usual),
        };
        let mut attempts = [Counts::default(); 2];
        let [stable, canary] = [0, 1].map(|place| {
            let came = &asked.came[place];
            came.iter().for_each(|counts| attempts[place] += *counts);
            let held = self.hold(place, came, from, took[place]);
            let drawn = self.latency(&held, took[place]);
            let mut upstreams = self.tell(place, came, &held, took[place]);
            let is_cold = place == 1 && is_cold;
            let (latency, cold) = match is_cold {
                true => (Distribution::default(), drawn),
                false => (drawn, Distribution::default()),
            };
            if is_cold {
                upstreams.iter_mut().for_each(|one| (one.answers, one.slow) = (0, [0; 3]));
            }
            let judged = asked.judged[place].unwrap_or(attempts[place]);
            Side { attempts: judged, latency, cold, arrivals: asked.arrivals[place], upstreams }
        });
        let counts_users = asked.judged[0].is_some();
        let reading = Reading { stable, canary, is_warming, counts_users, ..Reading::default() };
        Second { reading, canary: attempts[1], expected: asked.expected }
    }

    fn users_hit(&self) -> Option<u64> {
        self.sticky.as_ref().map(|sticky| sticky.users.hit())
    }
}

impl Service<'_> {
    /// The chance that a request fails in this second for what both pools share.
    fn shared(&mut self, from: f64) -> f64 {
        let shared = self.shared.as_mut();
        shared.map_or(0.0, |shared| shared.errors(0.0, from, &mut self.draws))
    }

    /// The chance that a request to each upstream of a pool fails in this second.
    fn fails(&mut self, pool: Behaviour, place: usize, shared: f64, from: f64) -> Vec<f64> {
        let draws = &mut self.draws;
        let upstreams = self.pools[place].iter_mut();
        let fails = upstreams.map(|upstream| {
            let own = match &mut upstream.stalls {
                Some(stalls) => stalls.errors(pool.errors, from, draws),
                None => pool.errors,
            };
            own + (1.0 - own) * shared
        });
        fails.collect()
    }

    /// So many requests to the upstreams of a pool, which fail with these chances.
    fn ask(&mut self, requests: u64, fails: &[f64]) -> Vec<Counts> {
        let shares = evenly(requests, fails.len(), &mut self.draws);
        let count = |(total, errors): (u64, &f64)| Counts {
            total,
            bad: binomial(total, *errors, &mut self.draws),
        };
        shares.into_iter().zip(fails).map(count).collect()
    }

    /// So many requests of nobody in particular.
    fn ask_all(&mut self, requests: u64, fails: &[Vec<f64>; 2], usual: f64) -> Asked {
        let to_canary = binomial(requests, self.share.ratio(), &mut self.draws);
        let arrivals = [requests - to_canary, to_canary];
        let came = [0, 1].map(|place| self.ask(arrivals[place], &fails[place]));
        Asked { came, judged: [None; 2], arrivals, expected: to_canary as f64 * usual }
    }

    /// So many requests of users.
    fn ask_users(&mut self, requests: u64, fails: &[Vec<f64>; 2], usual: f64) -> Asked {
        let Some(sticky) = &mut self.sticky else { return Asked::default() };
        let ledger = &sticky.ledger;
        let fails = [&*fails[0], &*fails[1]];
        let (at_canary, by_pool) = sticky.users.ask(requests, fails, ledger, &mut self.draws);
        let now = [ledger.stable.read(), ledger.target.read()];
        let came = [0, 1].map(|place| now[place].since(&sticky.read[place]));
        sticky.read = now;
        Asked {
            came: by_pool,
            judged: came.each_ref().map(|account| account.users.map(|users| users.counts())),
            arrivals: came.map(|account| account.arrivals),
            expected: at_canary.sound as f64 * usual + at_canary.broken as f64,
        }
    }

    /// What becomes of the good answers of each upstream: some come at once, some wait for a pause.
    fn hold(&mut self, place: usize, came: &[Counts], from: f64, table: &Table) -> Vec<Held> {
        let draws = &mut self.draws;
        let held = self.pools[place].iter_mut().zip(came).map(|(upstream, counts)| {
            let Some(pauses) = &mut upstream.pauses else {
                return Held { base: counts.good(), waited: Vec::new() };
            };
            let Paused { held, ended } = pauses.second(counts.good(), from, draws);
            let waited = ended.into_iter().map(|waited| waited + table.draw_one(draws));
            Held { base: counts.good() - held, waited: waited.collect() }
        });
        held.collect()
    }

    /// How long the answers of all upstreams took.
    fn latency(&mut self, held: &[Held], table: &Table) -> Distribution {
        let mut took = table.draw(held.iter().map(|held| held.base).sum(), &mut self.draws);
        held.iter().flat_map(|held| &held.waited).for_each(|waited| took.add(*waited));
        took
    }

    /// What is told of each upstream. Those slower than usual are drawn for each by itself: which ones they
    /// were of the pool's latencies, nobody asks.
    fn tell(
        &mut self,
        place: usize,
        came: &[Counts],
        held: &[Held],
        table: &Table,
    ) -> Vec<ByUpstream> {
        let chances = self.slow.map(|bucket| bucket.map_or(0.0, |bucket| table.above(bucket)));
        let upstreams = self.pools[place].iter().zip(came.iter().zip(held));
        let draws = &mut self.draws;
        let one = |(upstream, (counts, held)): (&Upstream, (&Counts, &Held))| {
            let (mut slower, mut before) = (held.base, 1.0);
            let slow = [0, 1, 2].map(|kind| {
                slower = binomial(slower, chances[kind] / before, draws);
                before = chances[kind].max(f64::MIN_POSITIVE);
                let bucket = self.slow[kind];
                let is_slow = |took: &&Duration| {
                    bucket.is_some_and(|bucket| buckets::bucket_of(**took) > bucket)
                };
                slower + held.waited.iter().filter(is_slow).count() as u64
            });
            let answers = held.base + held.waited.len() as u64;
            ByUpstream { name: upstream.name.clone(), attempts: *counts, answers, slow }
        };
        upstreams.map(one).collect()
    }
}

/// Seconds that the stable pool is watched.
fn watched(scenario: &Scenario) -> u64 {
    scenario.world.watched.map_or(PAST, |watched| watched.as_secs())
}

/// Good answers of one upstream in a second.
#[derive(Clone, Debug, Default)]
struct Held {
    /// Those that no pause held up.
    base: u64,
    /// How long the others took.
    waited: Vec<Duration>,
}

/// What came of a second's requests, the stable pool's first.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// At each upstream.
    came: ByPool,
    /// Users, where the judge counts them.
    judged: [Option<Counts>; 2],
    arrivals: [u64; 2],
    expected: f64,
}

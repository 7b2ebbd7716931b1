//! The service that is rehearsed with: seconds in, what both pools did in them out.
//!
//! It stands for everything outside the rollout and the judge: clients, the draw of the split, and
//! upstreams that fail and take their time.

use std::time::Duration;

use super::latency::Table;
use super::sampling::{binomial, poisson};
use super::users::Users;
use super::{Behaviour, Scenario};
use crate::clock::Draws;
use crate::judge::ledger::AccountReading;
use crate::judge::{Counts, Distribution, Ledger, Reading, Side, tempering};
use crate::rollout::Past;
use crate::split::{BasisPoints, Split};

/// Seconds that the stable pool was watched before the rollout: what `control` keeps of the past.
const PAST: usize = 600;

/// Of them, those whose failures say whether they come in bursts.
const BURSTS: usize = 300;

/// Both pools' latencies as tables, made once for many runs.
#[derive(Debug)]
pub(super) struct Tables {
    stable: Table,
    canary: Table,
}

impl Tables {
    pub fn of(scenario: &Scenario) -> Tables {
        let (stable, canary) = (scenario.stable.latency, scenario.canary.latency);
        Tables { stable: Table::of(stable), canary: Table::of(canary) }
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
        Service { scenario, tables, draws, share: BasisPoints::NONE, sticky }
    }

    /// What the stable pool did before the rollout.
    pub fn past(&mut self) -> Past {
        let Scenario { plan, traffic, stable, upstreams: [upstreams, _], .. } = self.scenario;
        let upstreams = (*upstreams).max(1);
        let mean = traffic.at(Duration::ZERO) / f64::from(upstreams);
        let stall_chance = self.scenario.stalls.map_or(0.0, |stalls| stalls.chance());
        let broken = match &self.sticky {
            Some(sticky) => sticky.users.broken_share(&mut self.draws),
            None => 0.0,
        };
        let mut attempts = Counts::default();
        let mut series = vec![Vec::with_capacity(PAST); upstreams as usize];
        for _ in 0..PAST {
            for failures in &mut series {
                let total = poisson(mean, &mut self.draws);
                let stalled = binomial(1, stall_chance, &mut self.draws) as f64;
                let errors = self.errors(stable.errors, stalled);
                let bad = binomial(total, errors + (1.0 - errors) * broken, &mut self.draws);
                attempts += Counts { total, bad };
                failures.push(u32::try_from(bad).unwrap_or(u32::MAX));
            }
        }
        let latency = self.tables.stable.draw(attempts.good(), &mut self.draws);
        let lately = series.iter().map(|failures| &failures[PAST - BURSTS..]);
        let phi = tempering::phi(lately, plan.judging.settings.tempering_limit);
        Past { attempts, latency, phi, budget: self.scenario.budget }
    }

    /// The split is set.
    pub fn on_shift(&mut self, split: &Split) {
        let plan = &self.scenario.plan;
        self.share = split.weight(&plan.to);
        let Some(sticky) = &mut self.sticky else { return };
        sticky.users.on_shift(split, [&plan.from, &plan.to]);
        let accounts = [&sticky.ledger.stable, &sticky.ledger.target];
        accounts.iter().for_each(|account| account.begin_step());
        sticky.read = accounts.map(|account| account.read());
    }

    /// The second that ends so long after the canary's first requests could come.
    /// The canary's upstreams are new then, and warm up.
    pub fn second(&mut self, ends: Duration, is_warming: bool) -> Second {
        let begins = ends.saturating_sub(Duration::from_secs(1));
        let is_cold = begins < self.scenario.plan.judging.settings.warm_up;
        let Scenario { traffic, stable, canary, after, stalls, .. } = self.scenario;
        let is_itself = begins >= *after;
        let canary = if is_itself { canary } else { stable };
        let tables = self.tables;
        let took = [&tables.stable, if is_itself { &tables.canary } else { &tables.stable }];
        let requests = poisson(traffic.at(begins), &mut self.draws);
        let fails = [self.fails(stable, 0), self.fails(canary, 1)];
        let usual = self.errors(stable.errors, stalls.map_or(0.0, |stalls| stalls.chance()));
        let asked = match self.sticky.is_some() {
            true => self.ask_users(requests, fails, usual),
            false => self.ask(requests, fails, usual),
        };
        let [stable, canary] = [0, 1].map(|place| {
            let drawn = took[place].draw(asked.attempts[place].good(), &mut self.draws);
            let (latency, cold) = match place == 1 && is_cold {
                true => (Distribution::default(), drawn),
                false => (drawn, Distribution::default()),
            };
            Side { attempts: asked.judged[place], latency, cold, arrivals: asked.arrivals[place] }
        });
        let reading = Reading { stable, canary, is_warming, ..Reading::default() };
        Second { reading, canary: asked.attempts[1], expected: asked.expected }
    }

    /// Users that a failure of the canary hit, where users are known.
    pub fn users_hit(&self) -> Option<u64> {
        self.sticky.as_ref().map(|sticky| sticky.users.hit())
    }

    /// So many requests of nobody in particular.
    fn ask(&mut self, requests: u64, fails: [f64; 2], usual: f64) -> Asked {
        let draws = &mut self.draws;
        let to_canary = binomial(requests, self.share.ratio(), draws);
        let arrivals = [requests - to_canary, to_canary];
        let attempts = [0, 1].map(|place| {
            let total = arrivals[place];
            Counts { total, bad: binomial(total, fails[place], draws) }
        });
        Asked { attempts, judged: attempts, arrivals, expected: to_canary as f64 * usual }
    }

    /// So many requests of users.
    fn ask_users(&mut self, requests: u64, fails: [f64; 2], usual: f64) -> Asked {
        let Some(sticky) = &mut self.sticky else { return Asked::default() };
        let ledger = &sticky.ledger;
        let at_canary = sticky.users.ask(requests, fails, ledger, &mut self.draws);
        let now = [ledger.stable.read(), ledger.target.read()];
        let came = [0, 1].map(|place| now[place].since(&sticky.read[place]));
        sticky.read = now;
        Asked {
            attempts: [0, 1].map(|place| came[place].attempts),
            judged: [0, 1].map(|place| {
                let AccountReading { attempts, users, .. } = &came[place];
                users.map_or(*attempts, |users| users.counts())
            }),
            arrivals: [0, 1].map(|place| came[place].arrivals),
            expected: at_canary.sound as f64 * usual + at_canary.broken as f64,
        }
    }

    /// The chance that a request to this pool fails in the second that begins.
    fn fails(&mut self, pool: &Behaviour, place: usize) -> f64 {
        let Some(stalls) = self.scenario.stalls else { return pool.errors };
        let upstreams = self.scenario.upstreams[place].max(1);
        let stalled = binomial(u64::from(upstreams), stalls.chance(), &mut self.draws);
        self.errors(pool.errors, stalled as f64 / f64::from(upstreams))
    }

    /// The same where this share of the upstreams stalls.
    fn errors(&self, errors: f64, stalled: f64) -> f64 {
        let then = self.scenario.stalls.map_or(errors, |stalls| stalls.errors(errors));
        errors + (then - errors) * stalled
    }
}

/// What came of a second's requests, the stable pool's first.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    attempts: [Counts; 2],
    /// What the judge counts: attempts or users.
    judged: [Counts; 2],
    arrivals: [u64; 2],
    expected: f64,
}

//! One pool: what it and its upstreams have done so far, once a second, in; what it did lately out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::latencies::Latencies;
use super::series::{Came, Series};
use super::upstream::{UpstreamMinutes, UpstreamRate};
use crate::capacity::{Look, LookAtUpstream, Weeks};
use crate::clock::WallTime;
use crate::judge::bursts::{Bursts, ByUpstream};
use crate::judge::{Counts, Distribution};
use crate::recording::PoolSecond;
use crate::rollout::Past;
use crate::snapshot::{Pool, Service};
use crate::upstream::JudgedReading;

/// How far back rates look, in looks; one more is kept to count from.
pub(super) const LOOKS: usize = 10;

/// How often a mark is set that a past begins at.
const MARK: Duration = Duration::from_secs(120);

/// Marks that are kept: the past is the last ten to twelve minutes.
const MARKS: usize = 6;

/// Looks after which it is found out anew from when on answers are slow.
const SLOW_LOOKS: usize = 10;

/// Answers that tell what is usual.
const SLOW_FEWEST: u64 = 100;

/// Looks after which nothing is left of what was before: the oldest mark is gone then too.
pub(super) const KEPT: usize = (MARKS + 1) * MARK.as_secs() as usize;

/// All that a pool and its upstreams have done so far, as one number that grows whenever they do
/// something.
#[derive(Debug)]
pub(super) struct Work {
    pool: Arc<str>,
    upstreams: Vec<Arc<str>>,
    done: u64,
}

impl Work {
    /// Of this pool.
    pub fn of(pool: &Pool) -> Work {
        let upstreams = pool.members.list().iter().map(|member| member.upstream.name.clone());
        Work { pool: pool.name.clone(), upstreams: upstreams.collect(), done: done(pool) }
    }

    /// Whether it was nothing ever.
    pub fn is_none(&self) -> bool {
        self.done == 0
    }

    /// Whether this is the same pool, with the same upstreams, and has done nothing more.
    pub fn is_all_of(&self, pool: &Pool) -> bool {
        let names = pool.members.list().iter().map(|member| &member.upstream.name);
        self.pool == pool.name && names.eq(&self.upstreams) && self.done == done(pool)
    }
}

fn done(pool: &Pool) -> u64 {
    let attempts = pool.members.list().iter().map(|member| member.upstream.tally.read().total());
    pool.state.tally.read().total() + attempts.sum::<u64>()
}

/// What a pool has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub requests: u64,
    pub errors: u64,
    pub nanos: u64,
}

/// A pool as it was read in a look.
pub(super) struct Reading<'p> {
    pub pool: &'p Pool,
    /// Whether what is bad is counted by words of the file, and by upstream alone.
    counts_own: bool,
    totals: Totals,
    latency: Distribution,
    cold: Distribution,
}

/// The last minutes of one pool.
#[derive(Debug, Default)]
pub(super) struct PoolMinutes {
    /// The newest last; at most [`LOOKS`] and one.
    totals: VecDeque<Totals>,
    latencies: Latencies,
    series: Series,
    /// The oldest first; at most [`MARKS`].
    marks: VecDeque<(Instant, Counts, Distribution)>,
    upstreams: HashMap<Arc<str>, UpstreamMinutes>,
    bursts: Bursts,
    /// What each upstream did between the last two looks.
    came: Vec<ByUpstream>,
    /// From when on its answers were slow by then.
    slow_from: Option<[Duration; 3]>,
    /// Something came since they were kept.
    is_unsaved: bool,
    /// Requests that nobody of it could be asked for, by the last look.
    refused: u64,
    /// Attempts that were counted by upstream, where what is bad is counted by words of the file.
    own: Counts,
    /// Looks since it was found out what is slow.
    since_slow: usize,
    /// What it carried in the last weeks.
    pub(super) weeks: Weeks,
}

/// How a look lies to the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hears {
    /// Nothing was left out between them.
    pub follows: bool,
    /// What came since is what a second brought.
    pub is_second: bool,
    /// How far they are apart.
    pub within: Duration,
}

/// What an upstream has done by a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub attempts: Counts,
    pub answers: u64,
    pub judged: JudgedReading,
}

impl<'p> Reading<'p> {
    /// What a pool of this service has done by now.
    pub fn of(pool: &'p Pool, service: &Service) -> Reading<'p> {
        let tally = pool.state.tally.read();
        // What the stable pool had to answer instead counts against the canary.
        let shielded = pool.state.shielded.load(Ordering::Relaxed);
        let (requests, errors) = (tally.total(), tally.errors() + shielded);
        let totals = Totals { requests, errors, nanos: tally.nanos };
        let (latency, cold) = (pool.state.latency.read(), pool.state.cold.read());
        Reading { pool, counts_own: service.counted.is_some(), totals, latency, cold }
    }

    /// Requests that have ended by now.
    pub fn requests(&self) -> u64 {
        self.totals.requests
    }
}

impl PoolMinutes {
    /// Takes in a look.
    pub fn note(&mut self, reading: Reading<'_>, now: Instant, wall: WallTime, hears: Hears) {
        let Reading { pool, counts_own, totals, mut latency, cold } = reading;
        let before = self.totals.back().copied();
        self.totals.push_back(totals);
        if self.totals.len() > LOOKS + 1 {
            self.totals.pop_front();
        }
        let newest = self.marks.back().map(|(at, ..)| *at);
        if newest.is_none_or(|at| now.saturating_duration_since(at) >= MARK) {
            let attempts = if counts_own { self.own } else { pool.state.attempts.read() };
            self.marks.push_back((now, attempts, latency.clone()));
        }
        if self.marks.len() > MARKS {
            self.marks.pop_front();
        }
        latency += &cold;
        self.latencies.note(latency);
        // What it had done by the first look was not done in a second.
        let before = before.unwrap_or(totals);
        let requests = totals.requests.saturating_sub(before.requests);
        let errors = totals.errors.saturating_sub(before.errors).min(requests);
        if let Some(took) = self.latencies.newest() {
            self.series.note(wall, Came { within: hears.within, requests, errors, took });
        }
        let mut before = std::mem::take(&mut self.upstreams);
        let mut came = Vec::with_capacity(pool.members.list().len());
        for member in pool.members.list() {
            let name = &member.upstream.name;
            let (mut minutes, read) =
                (before.remove(name).unwrap_or_default(), member.upstream.tally.read());
            minutes.note(read.total(), read.errors());
            let done = Done {
                attempts: Counts { total: read.answers() + read.errors(), bad: read.errors() },
                answers: read.answers(),
                judged: member.upstream.judged.read(),
            };
            came.extend(minutes.came(&member.upstream, done, counts_own));
            self.upstreams.insert(name.clone(), minutes);
        }
        let refused = pool.state.refused.load(Ordering::Relaxed);
        let new = refused.saturating_sub(std::mem::replace(&mut self.refused, refused));
        // It has to be somebody's: with one upstream, it is that one's. By words of the file it is counted
        // there already.
        if let Some(first) = came.first_mut().filter(|_| !counts_own) {
            first.attempts += Counts { total: new, bad: new };
        }
        came.iter().filter(|_| counts_own).for_each(|one| self.own += one.attempts);
        self.is_unsaved |= came.iter().any(|one| one.attempts.total > 0);
        if !(hears.follows && hears.is_second) {
            self.bursts.interrupt();
        }
        if hears.is_second {
            self.bursts.tick(&came);
        }
        (self.came, self.slow_from) = (came, pool.state.slow_from.read());
        self.find_slow(pool);
        self.note_load(pool, now, wall);
    }

    /// Takes in what it carried between the last two looks.
    fn note_load(&mut self, pool: &Pool, now: Instant, wall: WallTime) {
        let members = pool.members.list();
        let upstreams = members.iter().zip(&self.came).map(|(member, came)| LookAtUpstream {
            name: &member.upstream.name,
            weight: member.weight,
            attempts: came.attempts.total,
            bad: came.attempts.bad,
        });
        let look = Look {
            requests: self.totals(0).requests.saturating_sub(self.totals(1).requests),
            in_flight: pool.state.in_flight(),
            well: members.iter().filter(|it| it.is_well()).map(|it| u32::from(it.weight)).sum(),
            took: self.latencies.newest(),
            upstreams: upstreams.collect(),
        };
        self.weeks.note(&look, now, wall);
    }

    /// What it did between the last two looks.
    pub fn last_second<'s>(&'s self, name: &'s Arc<str>) -> PoolSecond<'s> {
        let (upstreams, took) = (&*self.came, self.latencies.newest());
        PoolSecond { pool: name, upstreams, took, slow_from: self.slow_from }
    }

    /// Finds out now and then from when on answers are slow.
    fn find_slow(&mut self, pool: &Pool) {
        self.since_slow += 1;
        if self.since_slow < SLOW_LOOKS {
            return;
        }
        self.since_slow = 0;
        let lately = self.latencies.longest();
        if lately.total() >= SLOW_FEWEST {
            let at = |share| lately.quantile(share).unwrap_or(Duration::MAX);
            pool.state.slow_from.set([0.5, 0.95, 0.99].map(at));
        }
    }

    /// How its failures come together, if something came since this was asked last.
    pub fn take_unsaved(&mut self) -> Option<Bursts> {
        std::mem::take(&mut self.is_unsaved).then(|| self.bursts.clone())
    }

    /// What it had done by the last look but so many; nothing if it was not there yet.
    pub fn totals(&self, looks_ago: usize) -> Totals {
        self.totals.iter().rev().nth(looks_ago).copied().unwrap_or_default()
    }

    /// What each of its upstreams did over these seconds, by its address.
    pub fn upstream_rates(&self, seconds: f64) -> HashMap<Arc<str>, UpstreamRate> {
        let rate =
            |(name, minutes): (&Arc<str>, &UpstreamMinutes)| (name.clone(), minutes.rate(seconds));
        self.upstreams.iter().map(rate).collect()
    }

    /// The last half hour.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// How long it took over the last ten seconds.
    pub fn lately(&self) -> Distribution {
        self.latencies.shortest()
    }

    /// How long it took in each window.
    pub fn latencies(&self) -> [Distribution; 3] {
        self.latencies.windows()
    }
}

impl From<Bursts> for PoolMinutes {
    /// Nothing is known but this, of another process.
    fn from(mut bursts: Bursts) -> PoolMinutes {
        bursts.interrupt();
        PoolMinutes { bursts, ..PoolMinutes::default() }
    }
}

/// What a pool of this service did from the oldest mark to now; from its beginning if nobody has looked yet.
pub(super) fn past(known: Option<&PoolMinutes>, pool: &Pool, service: &Service) -> Past {
    let attempts = match service.counted {
        Some(_) => known.map(|known| known.own).unwrap_or_default(),
        None => pool.state.attempts.read(),
    };
    let latency = pool.state.latency.read();
    let (attempts, latency) = match known.and_then(|known| known.marks.front()) {
        Some((_, before, took)) => (attempts.since(*before), latency.since(took)),
        None => (attempts, latency),
    };
    let bursts = known.map(|known| known.bursts.clone()).unwrap_or_default();
    Past { attempts, latency, bursts, budget: None }
}

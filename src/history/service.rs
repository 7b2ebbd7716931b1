//! One service: its pools as they were read in each look in, rates and shares out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pool::{Hears, KEPT, LOOKS, PoolMinutes, Reading, Work};
use super::series::Point;
use super::upstream::UpstreamRate;
use crate::capacity::{Day, DayNumber};
use crate::clock::WallTime;
use crate::judge::Distribution;
use crate::judge::bursts::Bursts;
use crate::recording::{Minute, Ring};
use crate::snapshot::{Pool, Service};

/// How long ago requests may be that show that somebody uses a service.
const LATELY: Duration = Duration::from_secs(60);

/// Looks that are further apart are no neighbours: the machine was busy, or slept.
const LATE: Duration = Duration::from_secs(5);

/// The last minutes of one service.
#[derive(Debug, Default)]
pub(super) struct ServiceMinutes {
    /// When it was looked at, and the revision of its traffic then. The newest last; at most
    /// [`LOOKS`] and one.
    looks: VecDeque<(Instant, u64)>,
    pools: HashMap<Arc<str>, PoolMinutes>,
    /// When a look has found new requests last.
    asked: Option<Instant>,
    /// Looks in a row that have found nothing new.
    quiet: usize,
    /// What its pools had done by the last look that read all of it, in order.
    work: Vec<Work>,
    /// The last hour, if that is recorded.
    ring: Option<Ring>,
    /// It rested at the last look, which read nothing of it.
    rested: bool,
}

/// What one pool did over the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolRate {
    /// Requests per second.
    pub requests: f64,
    /// Share of them that failed, 0 to 1.
    pub errors: f64,
    /// Mean duration, in seconds.
    pub mean: f64,
    /// Share of the service's requests, 0 to 1, under the split in force; none if it is too new
    /// or nothing came.
    pub share: Option<f64>,
}

impl ServiceMinutes {
    /// Takes in a look at a service.
    pub fn note(&mut self, service: &Service, now: Instant, wall: WallTime) {
        let pools = service.pools.iter().map(|pool| Reading::of(pool, service));
        let pools: Vec<Reading<'_>> = pools.collect();
        if self.has_new(&pools) {
            self.asked = Some(now);
        }
        let last = self.looks.back().map(|(at, _)| *at);
        let within = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        // What came in a minute did not come in a second: nobody looked then.
        let (follows, is_second) = (!std::mem::take(&mut self.rested), within <= LATE);
        let hears = Hears { follows, is_second, within };
        self.note_look(service.revision, now);
        let is_same = self.is_same(pools.iter().map(|reading| reading.pool));
        self.quiet = if is_same { self.quiet + 1 } else { 0 };
        if !is_same {
            self.work = pools.iter().map(|reading| Work::of(reading.pool)).collect();
        }
        let mut before = std::mem::take(&mut self.pools);
        for reading in pools {
            let name = reading.pool.name.clone();
            let mut pool = before.remove(&name).unwrap_or_default();
            pool.note(reading, now, wall, hears);
            self.pools.insert(name, pool);
        }
        if service.rollout.is_none() {
            self.ring = None;
            return;
        }
        let ring = self.ring.get_or_insert_default();
        if last.is_none() || !hears.is_second {
            ring.interrupt();
        }
        if hears.is_second {
            ring.note(self.pools.iter().map(|(name, pool)| pool.last_second(name)), wall);
        }
    }

    /// Takes in a look at a service that [rests](ServiceMinutes::rests).
    pub fn note_rest(&mut self, revision: u64, now: Instant) {
        self.note_look(revision, now);
        self.rested = true;
        self.ring.iter_mut().for_each(Ring::interrupt);
    }

    fn note_look(&mut self, revision: u64, now: Instant) {
        self.looks.push_back((now, revision));
        if self.looks.len() > LOOKS + 1 {
            self.looks.pop_front();
        }
    }

    /// Whether nothing has happened in any of these pools for longer than anything is kept: then all
    /// that could be noted is there already. Of a service that was never asked that is soon so.
    pub fn rests(&self, pools: &[Pool]) -> bool {
        let enough = if self.work.iter().all(Work::is_none) { LOOKS + 1 } else { KEPT };
        self.quiet > enough && self.is_same(pools.iter())
    }

    fn is_same<'p>(&self, pools: impl ExactSizeIterator<Item = &'p Pool>) -> bool {
        pools.len() == self.work.len()
            && self.work.iter().zip(pools).all(|(work, pool)| work.is_all_of(pool))
    }

    /// Whether there are requests that no look has found yet.
    fn has_new(&self, pools: &[Reading<'_>]) -> bool {
        let before = |name| self.pools.get(name).map_or(0, |pool| pool.totals(0).requests);
        pools.iter().any(|reading| reading.requests() > before(&reading.pool.name))
    }

    /// Whether there were requests in the last minute.
    pub fn was_asked(&self, pools: &[Reading<'_>], now: Instant) -> bool {
        let is_lately = |asked: Instant| now.saturating_duration_since(asked) <= LATELY;
        self.asked.is_some_and(is_lately) || self.has_new(pools)
    }

    /// What is new of how the failures of its pools come together.
    pub fn unsaved_bursts(&mut self, name: &Arc<str>) -> Vec<(Arc<str>, Bursts)> {
        if self.pools.len() < 2 {
            return Vec::new();
        }
        let unsaved = |(pool, minutes): (&Arc<str>, &mut PoolMinutes)| {
            Some((format!("{name}/{pool}").into(), minutes.take_unsaved()?))
        };
        self.pools.iter_mut().filter_map(unsaved).collect()
    }

    /// The last hour, if that is recorded.
    pub fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// The same, to be changed.
    pub fn ring_mut(&mut self) -> Option<&mut Ring> {
        self.ring.as_mut()
    }

    /// Goes on from what another process has recorded.
    pub fn restore_recorded(&mut self, minutes: Vec<Arc<Minute>>) {
        self.ring.get_or_insert_default().restore(minutes);
    }

    /// Goes on from what another process knew of a pool, unless that was looked at already.
    pub fn restore_bursts(&mut self, pool: &str, bursts: Bursts) {
        if !self.pools.contains_key(pool) {
            self.pools.insert(pool.into(), PoolMinutes::from(bursts));
        }
    }

    /// All its pools, to be changed.
    pub fn pools_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut PoolMinutes)> {
        self.pools.iter_mut()
    }

    /// Goes on from what a pool carried on a day, as another process has seen it.
    pub fn restore_day(&mut self, pool: &str, day: DayNumber, kept: Arc<Day>) {
        let pool = self.pools.entry(pool.into()).or_default();
        pool.weeks.restore(day, kept);
    }

    /// One of its pools.
    pub fn pool(&self, name: &str) -> Option<&PoolMinutes> {
        self.pools.get(name)
    }

    /// How long all its pools together took over the last ten seconds.
    pub fn lately(&self) -> Distribution {
        let mut sum = Distribution::default();
        self.pools.values().for_each(|pool| sum += &pool.lately());
        sum
    }

    /// The last half hour of each pool, in the order of their names: points of ten seconds, points of one.
    pub fn series(&self) -> BTreeMap<Arc<str>, (Vec<Point>, Vec<Point>)> {
        self.pools.iter().map(|(name, pool)| (name.clone(), pool.series().points())).collect()
    }

    /// The newest seconds of each pool in which something ended, so many at most.
    pub fn newest(&self, most: usize) -> BTreeMap<Arc<str>, Vec<Point>> {
        self.pools.iter().map(|(name, pool)| (name.clone(), pool.series().newest(most))).collect()
    }

    /// What the upstreams of a pool did over the looks that are kept, by address.
    pub fn upstream_rates(&self, pool: &str) -> HashMap<Arc<str>, UpstreamRate> {
        let (Some((first, _)), Some((last, _))) = (self.looks.front(), self.looks.back()) else {
            return HashMap::new();
        };
        let seconds = last.saturating_duration_since(*first).as_secs_f64();
        self.pool(pool).map(|pool| pool.upstream_rates(seconds)).unwrap_or_default()
    }

    /// The rates of its pools; shares are of this revision.
    pub fn rates(&self, revision: u64) -> HashMap<Arc<str>, PoolRate> {
        let (Some((first, _)), Some((last, _))) = (self.looks.front(), self.looks.back()) else {
            return HashMap::new();
        };
        let seconds = last.saturating_duration_since(*first).as_secs_f64();
        let oldest = self.looks.len() - 1;
        // The first look at the split in force: what came before says nothing of its shares. Right
        // after a shift there is no such look yet.
        let settled = self.looks.iter().position(|(_, seen)| *seen == revision);
        let settled = settled.map_or(0, |place| oldest - place);
        let under_split = |pool: &PoolMinutes| {
            pool.totals(0).requests.saturating_sub(pool.totals(settled).requests)
        };
        let all: u64 = self.pools.values().map(under_split).sum();
        let rate = |(name, pool): (&Arc<str>, &PoolMinutes)| {
            let (now, before) = (pool.totals(0), pool.totals(oldest));
            let requests = now.requests.saturating_sub(before.requests);
            // The two are not read at one moment, and some that failed had ended before the first look.
            let errors = now.errors.saturating_sub(before.errors).min(requests) as f64;
            let requests = requests as f64;
            let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
            let rate = PoolRate {
                requests: ratio(requests, seconds),
                errors: ratio(errors, requests),
                mean: ratio(now.nanos.saturating_sub(before.nanos) as f64, requests) / 1e9,
                share: (all > 0).then(|| under_split(pool) as f64 / all as f64),
            };
            (name.clone(), rate)
        };
        self.pools.iter().map(rate).collect()
    }
}

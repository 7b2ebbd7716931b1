//! The last minutes of every pool and upstream: totals read once a second in; rates, quantiles and
//! the past that a canary is compared with out.
//!
//! One sampler looks once a second; whoever wants to know asks here. No clock: the moment of a look
//! is an argument. What is kept of a pool or upstream has a bound each, and goes with it.

mod capacity;
mod latencies;
mod pool;
mod series;
mod service;
mod upstream;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::WallTime;
use crate::judge::Distribution;
use crate::judge::bursts::Bursts;
use crate::recording::{MOST_MINUTES, Minute, Recording, Ring};
use crate::rollout::Past;
use crate::snapshot::{Pool, Service, Snapshot};

pub use capacity::Capacity;
pub use latencies::WINDOWS;
pub use series::Point;
pub use service::PoolRate;
pub use upstream::UpstreamRate;

use pool::Reading;
use service::ServiceMinutes;

/// How often to look.
pub const PERIOD: Duration = Duration::from_secs(1);

/// What the last hour of all services may take, in bytes.
const LARGEST: usize = 32 * 1024 * 1024;

/// Looks come once a second, and sometimes a little early.
const EARLY: Duration = Duration::from_millis(100);

/// The last minutes of all services.
#[derive(Debug, Default)]
pub struct History(Mutex<Minutes>);

#[derive(Debug, Default)]
struct Minutes {
    looked: Option<Instant>,
    services: HashMap<Arc<str>, ServiceMinutes>,
}

impl History {
    /// Notes the totals of this moment, unless it was called less than a second ago. A look costs the
    /// same for each pool and upstream, however many there are, next to nothing for those of a service
    /// that rests, and keeps readers from one service at a time.
    pub fn look(&self, snapshot: &Snapshot, now: Instant, wall: WallTime) {
        {
            let mut minutes = self.minutes();
            let is_due = |looked| now.saturating_duration_since(looked) + EARLY >= PERIOD;
            if !minutes.looked.is_none_or(is_due) {
                return;
            }
            minutes.looked = Some(now);
        }
        for service in &snapshot.services {
            let mut minutes = self.minutes();
            if let Some(known) = minutes.services.get_mut(&service.name)
                && known.rests(&service.pools)
            {
                known.note_rest(service.revision, now);
                continue;
            }
            match minutes.services.get_mut(&service.name) {
                Some(known) => known.note(service, now, wall),
                None => {
                    let mut new = ServiceMinutes::default();
                    new.note(service, now, wall);
                    minutes.services.insert(service.name.clone(), new);
                }
            }
        }
        let mut minutes = self.minutes();
        minutes.keep_within(LARGEST);
        // Each of the snapshot is among them by now.
        if minutes.services.len() != snapshot.services.len() {
            minutes.services.retain(|name, _| snapshot.service(name).is_some());
        }
    }

    /// The rates of all pools of a service over the last ten seconds; shares are of this revision of
    /// its traffic. A pool that came meanwhile is counted from its beginning.
    pub fn rates(&self, service: &str, revision: u64) -> HashMap<Arc<str>, PoolRate> {
        let minutes = self.minutes();
        minutes.services.get(service).map(|known| known.rates(revision)).unwrap_or_default()
    }

    /// Whether a service holds requests or had some in the last minute.
    pub fn was_asked(&self, snapshot: &Snapshot, service: &str, now: Instant) -> bool {
        let Some(known) = snapshot.service(service) else { return false };
        let readings = known.pools.iter().map(|pool| Reading::of(pool, known));
        let readings: Vec<Reading<'_>> = readings.collect();
        let holds = known.pools.iter().any(|pool| pool.state.in_flight() > 0);
        let minutes = self.minutes();
        holds
            || minutes.services.get(service).map_or_else(
                || readings.iter().any(|reading| reading.requests() > 0),
                |minutes| minutes.was_asked(&readings, now),
            )
    }

    /// What each upstream of a pool did over the last ten seconds, by its address.
    pub fn upstream_rates(&self, service: &str, pool: &str) -> HashMap<Arc<str>, UpstreamRate> {
        let minutes = self.minutes();
        minutes.services.get(service).map(|of| of.upstream_rates(pool)).unwrap_or_default()
    }

    /// What a pool took in each of the [`WINDOWS`].
    pub fn latencies(&self, service: &str, pool: &str) -> [Distribution; 3] {
        let minutes = self.minutes();
        let pool = minutes.services.get(service).and_then(|service| service.pool(pool));
        pool.map(|pool| pool.latencies()).unwrap_or_default()
    }

    /// How long all pools of a service together took over the last ten seconds.
    pub fn lately(&self, service: &str) -> Distribution {
        let minutes = self.minutes();
        minutes.services.get(service).map(|known| known.lately()).unwrap_or_default()
    }

    /// The last half hour of each pool of a service: points of ten seconds, and those of one second of
    /// the last five minutes.
    pub fn series(&self, service: &str) -> BTreeMap<Arc<str>, (Vec<Point>, Vec<Point>)> {
        let minutes = self.minutes();
        minutes.services.get(service).map(|known| known.series()).unwrap_or_default()
    }

    /// The newest seconds of each pool of a service in which something ended, so many at most.
    pub fn newest_points(&self, service: &str, most: usize) -> BTreeMap<Arc<str>, Vec<Point>> {
        let minutes = self.minutes();
        minutes.services.get(service).map(|known| known.newest(most)).unwrap_or_default()
    }

    /// What a pool did in the ten to twelve minutes before now, and what is known of how its failures come
    /// together.
    pub fn past(&self, service: &Service, pool: &Pool) -> Past {
        let minutes = self.minutes();
        let known = minutes.services.get(&service.name);
        pool::past(known.and_then(|known| known.pool(&pool.name)), pool, service)
    }

    /// What is new of how failures come together, by `SERVICE/POOL`: of services that may have rollouts
    /// from one pool to another.
    pub fn unsaved_bursts(&self) -> Vec<(Arc<str>, Bursts)> {
        let mut minutes = self.minutes();
        let services = minutes.services.iter_mut();
        services.flat_map(|(name, service)| service.unsaved_bursts(name)).collect()
    }

    /// What a service did in the last hour; none if that is not recorded.
    pub fn recording(&self, service: &str) -> Option<Recording> {
        let minutes = self.minutes();
        Some(minutes.services.get(service)?.ring()?.recording())
    }

    /// The number of the newest minute that is recorded of a service; none if there is none.
    pub fn newest_minute(&self, service: &str) -> Option<u64> {
        self.minutes().services.get(service)?.ring()?.newest()
    }

    /// Minutes that were recorded since this was asked last, by `SERVICE/PLACE`; none of those that there
    /// is no room for.
    pub fn unsaved_minutes(&self) -> Vec<(Arc<str>, Option<Arc<Minute>>)> {
        let mut minutes = self.minutes();
        let mut all = Vec::new();
        for (name, service) in &mut minutes.services {
            let Some(ring) = service.ring_mut() else { continue };
            let key = |number: u64| format!("{name}/{:02}", number % MOST_MINUTES as u64).into();
            let (new, dropped) = ring.take_unsaved();
            all.extend(dropped.into_iter().map(|number| (key(number), None)));
            all.extend(new.into_iter().map(|minute| (key(minute.number), Some(minute))));
        }
        all
    }

    /// Goes on from what another process has recorded. Of a service that is looked at already it is let go.
    pub fn restore_recorded<'s>(&self, all: impl Iterator<Item = (&'s Arc<str>, &'s Arc<Minute>)>) {
        let mut by_service: HashMap<&str, Vec<Arc<Minute>>> = HashMap::new();
        for (of, minute) in all {
            let Some((service, _)) = of.split_once('/') else { continue };
            by_service.entry(service).or_default().push(minute.clone());
        }
        let mut minutes = self.minutes();
        for (service, recorded) in by_service {
            minutes.services.entry(service.into()).or_default().restore_recorded(recorded);
        }
    }

    /// Goes on from what another process knew of that. A pool that is looked at already knows better.
    pub fn restore_bursts<'s>(&self, all: impl Iterator<Item = (&'s Arc<str>, &'s Arc<Bursts>)>) {
        let mut minutes = self.minutes();
        for (of, bursts) in all {
            let Some((service, pool)) = of.split_once('/') else { continue };
            let service = minutes.services.entry(service.into()).or_default();
            service.restore_bursts(pool, Bursts::clone(bursts));
        }
    }

    fn minutes(&self) -> MutexGuard<'_, Minutes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minutes {
    /// Lets go of the oldest minutes of whoever has most, until all of them take no more than so many bytes.
    fn keep_within(&mut self, largest: usize) {
        let rings = self.services.values().filter_map(ServiceMinutes::ring);
        let mut bytes: usize = rings.map(Ring::bytes).sum();
        while bytes > largest {
            let rings = self.services.values_mut().filter_map(ServiceMinutes::ring_mut);
            let Some(most) = rings.max_by_key(|ring| ring.bytes()) else { return };
            let before = most.bytes();
            most.drop_oldest();
            let freed = before - most.bytes();
            if freed == 0 {
                // What is being filled is all there is.
                most.interrupt();
                return;
            }
            bytes -= freed;
        }
    }
}

#[cfg(test)]
mod tests;

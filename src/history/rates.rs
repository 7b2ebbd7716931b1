//! What each pool did lately: totals once a second in, rates and shares out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Latencies;
use crate::snapshot::Snapshot;

/// How often totals are noted.
pub const PERIOD: Duration = Duration::from_secs(1);

/// How far back rates look, in periods.
const PERIODS: usize = 10;

/// The last totals of all pools.
#[derive(Debug, Default)]
pub struct Rates {
    totals: Mutex<VecDeque<Totals>>,
    latencies: Latencies,
}

#[derive(Debug)]
struct Totals {
    at: Instant,
    pools: BTreeMap<(Arc<str>, Arc<str>), Total>,
    revisions: BTreeMap<Arc<str>, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Total {
    requests: u64,
    errors: u64,
    nanos: u64,
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

impl Rates {
    /// Notes the totals of this moment.
    pub fn note(&self, snapshot: &Snapshot, at: Instant) {
        self.latencies.note(snapshot);
        let mut pools = BTreeMap::new();
        let mut revisions = BTreeMap::new();
        for service in &snapshot.services {
            revisions.insert(service.name.clone(), service.revision);
            for pool in &service.pools {
                let reading = pool.state.tally.read();
                // What the stable pool had to answer instead counts against the canary.
                let shielded = pool.state.shielded.load(std::sync::atomic::Ordering::Relaxed);
                let (requests, errors) = (reading.total(), reading.errors() + shielded);
                let total = Total { requests, errors, nanos: reading.nanos };
                pools.insert((service.name.clone(), pool.name.clone()), total);
            }
        }
        let mut noted = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() > PERIODS {
            noted.pop_front();
        }
        noted.push_back(Totals { at, pools, revisions });
    }

    /// How long the pools took.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    /// The rates of all pools of a service, by pool name; shares are of this revision of its
    /// traffic. A pool that came within the window is counted from its beginning.
    pub fn of(&self, service: &str, revision: u64) -> BTreeMap<Arc<str>, PoolRate> {
        let noted = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (noted.front(), noted.back()) else {
            return BTreeMap::new();
        };
        let seconds = last.at.saturating_duration_since(first.at).as_secs_f64();
        // The first look at the split in force: what came before says nothing of its shares. Right
        // after a shift there is no such look yet.
        let settled = noted.iter().find(|noted| noted.revisions.get(service) == Some(&revision));
        let settled = settled.unwrap_or(last);
        let mut rates = BTreeMap::new();
        let mut since_settled = BTreeMap::new();
        for (key, now) in last.pools.iter().filter(|((of, _), _)| &**of == service) {
            let of = |totals: &Totals| totals.pools.get(key).copied().unwrap_or_default();
            let before = of(first);
            let requests = now.requests.saturating_sub(before.requests);
            let ratio = |part: u64, whole: f64| if whole > 0.0 { part as f64 / whole } else { 0.0 };
            let rate = PoolRate {
                requests: ratio(requests, seconds),
                errors: ratio(now.errors.saturating_sub(before.errors), requests as f64),
                mean: ratio(now.nanos.saturating_sub(before.nanos), requests as f64) / 1e9,
                share: None,
            };
            let under_split = now.requests.saturating_sub(of(settled).requests);
            since_settled.insert(key.1.clone(), under_split);
            rates.insert(key.1.clone(), rate);
        }
        let all: u64 = since_settled.values().sum();
        for (rate, part) in rates.values_mut().zip(since_settled.values()) {
            rate.share = (all > 0).then(|| *part as f64 / all as f64);
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::snapshot::{Blueprint, RunTime, Traffic};
    use crate::split::{Secret, Split};
    use crate::upstream::{Outcome, StatusClass};

    const FILE: &str = "[[listeners]]\naddress = \":0\"\n[services.s]\nsplit = { a = 100 }\n\
                        pools.a.upstreams = [\"a:1\"]\npools.b.upstreams = [\"b:1\"]\n";

    fn snapshot(to: &str, revision: u64, before: Option<&Snapshot>) -> Snapshot {
        let traffic = Traffic { split: Split::all_to(to.into()), revision, salt: 0, layout: None };
        let traffic = [("s".into(), traffic)].into_iter().collect();
        let run_time = RunTime { traffic, ..RunTime::default() };
        let config = Arc::new(Config::parse(FILE).unwrap().0);
        let now = Instant::now();
        let blueprint = Blueprint { config, run_time: &run_time, secret: Secret([1; 16]), now };
        Snapshot::build(&blueprint, before)
    }

    #[test]
    fn shares_of_the_split_before_are_none_of_this_one() {
        let (rates, start) = (Rates::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let shares = |revision| -> Vec<Option<f64>> {
            rates.of("s", revision).values().map(|rate| rate.share).collect()
        };
        let ask = |snapshot: &Snapshot, pool: &str| {
            let pool = snapshot.services[0].pool(pool).unwrap();
            pool.state.tally.record(Outcome::Status(StatusClass::of(200)), Duration::ZERO);
        };
        let first = snapshot("a", 1, None);
        rates.note(&first, at(0));
        ask(&first, "a");
        rates.note(&first, at(1));
        assert_eq!(shares(1), [Some(1.0), Some(0.0)]);
        let second = snapshot("b", 2, Some(&first));
        assert_eq!(shares(2), [None, None], "nobody has looked at it yet");
        rates.note(&second, at(2));
        assert_eq!(shares(2), [None, None], "nothing has come yet");
        ask(&second, "b");
        rates.note(&second, at(3));
        assert_eq!(shares(2), [Some(0.0), Some(1.0)]);
    }
}

//! What each pool did lately, for rollouts that begin: totals second by second in, the past that a
//! canary is compared with out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::judge::{Counts, Distribution, tempering};
use crate::rollout::Past;
use crate::snapshot::{Pool, Service, Snapshot};

/// How often totals are kept.
const MARK: Duration = Duration::from_secs(120);

/// Totals that are kept: the past is the last ten to twelve minutes.
const MARKS: usize = 6;

/// Seconds of failures that are kept of each upstream.
const SECONDS: usize = 300;

/// Ticks come once a second, and sometimes a little early.
const SECOND: Duration = Duration::from_millis(900);

/// The last minutes of all pools.
#[derive(Debug, Default)]
pub(super) struct Recent {
    pools: HashMap<(Arc<str>, Arc<str>), Course>,
    looked: Option<Instant>,
}

/// The last minutes of one pool.
#[derive(Debug, Default)]
struct Course {
    /// The oldest first.
    marks: VecDeque<(Instant, Counts, Distribution)>,
    upstreams: HashMap<Arc<str>, Failures>,
}

/// Failures of one upstream, second by second.
#[derive(Debug, Default)]
struct Failures {
    total: u64,
    /// The oldest first.
    seconds: VecDeque<u32>,
}

impl Recent {
    /// Notes what came since the last look, a second ago or more.
    pub fn note(&mut self, snapshot: &Snapshot, now: Instant) {
        let is_due = |looked: Instant| now.saturating_duration_since(looked) >= SECOND;
        if !self.looked.is_none_or(is_due) {
            return;
        }
        self.looked = Some(now);
        let mut before = std::mem::take(&mut self.pools);
        for service in &snapshot.services {
            for pool in &service.pools {
                let key = (service.name.clone(), pool.name.clone());
                let mut course = before.remove(&key).unwrap_or_default();
                course.note(pool, now);
                self.pools.insert(key, course);
            }
        }
    }

    /// What a pool did before now.
    pub fn past(&self, service: &Service, pool: &Pool, limit: f64) -> Past {
        let key = (service.name.clone(), pool.name.clone());
        let course = self.pools.get(&key);
        let (attempts, latency) = (pool.state.attempts.read(), pool.state.latency.read());
        let first = course.and_then(|course| course.marks.front());
        let (attempts, latency) = match first {
            Some((_, before, took)) => (attempts.since(*before), latency.since(took)),
            None => (attempts, latency),
        };
        let series: Vec<Vec<u32>> = course
            .into_iter()
            .flat_map(|course| course.upstreams.values())
            .map(|failures| failures.seconds.iter().copied().collect())
            .collect();
        let phi = tempering::phi(series.iter().map(Vec::as_slice), limit);
        Past { attempts, latency, phi, budget: None }
    }
}

impl Course {
    fn note(&mut self, pool: &Pool, now: Instant) {
        let newest = self.marks.back().map(|(at, ..)| *at);
        if newest.is_none_or(|at| now.saturating_duration_since(at) >= MARK) {
            let state = &pool.state;
            self.marks.push_back((now, state.attempts.read(), state.latency.read()));
        }
        if self.marks.len() > MARKS {
            self.marks.pop_front();
        }
        let mut before = std::mem::take(&mut self.upstreams);
        for member in pool.members.list() {
            let name = &member.upstream.name;
            let mut failures = before.remove(name).unwrap_or_default();
            failures.note(member.upstream.tally.read().errors());
            self.upstreams.insert(name.clone(), failures);
        }
    }
}

impl Failures {
    fn note(&mut self, total: u64) {
        let new = total.saturating_sub(std::mem::replace(&mut self.total, total));
        self.seconds.push_back(u32::try_from(new).unwrap_or(u32::MAX));
        if self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
    }
}

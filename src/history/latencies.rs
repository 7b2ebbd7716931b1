//! How long each pool took lately: its histogram once a second in, quantiles by window out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::judge::Distribution;
use crate::snapshot::Snapshot;

/// Seconds that are kept one by one.
const SECONDS: usize = 10;

/// Spans of [`SECONDS`] that are kept: five minutes.
const SPANS: usize = 30;

/// The windows that quantiles are told of, in seconds.
pub const WINDOWS: [usize; 3] = [10, 60, 300];

/// The last five minutes of all pools.
#[derive(Debug, Default)]
pub struct Latencies(Mutex<Courses>);

/// By service and pool.
type Courses = BTreeMap<(Arc<str>, Arc<str>), Course>;

/// The last five minutes of one pool.
#[derive(Debug, Default)]
struct Course {
    read: Distribution,
    /// The newest last; at most [`SECONDS`].
    seconds: VecDeque<Distribution>,
    /// The newest last, the one that is being filled among them; at most [`SPANS`] and that one.
    spans: VecDeque<Distribution>,
    /// Seconds in the newest span.
    filled: usize,
}

impl Latencies {
    /// Notes what came since it was called last; called once a second.
    pub fn note(&self, snapshot: &Snapshot) {
        let mut courses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *courses);
        for service in &snapshot.services {
            for pool in &service.pools {
                let key = (service.name.clone(), pool.name.clone());
                let mut course = before.remove(&key).unwrap_or_default();
                course.note(pool.state.latency.read());
                courses.insert(key, course);
            }
        }
    }

    /// What a pool took in each of the [`WINDOWS`].
    pub fn of(&self, service: &str, pool: &str) -> [Distribution; 3] {
        let courses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let course = courses.get(&(service.into(), pool.into()));
        course.map(|course| WINDOWS.map(|seconds| course.last(seconds))).unwrap_or_default()
    }
}

impl Course {
    fn note(&mut self, read: Distribution) {
        let new = read.since(&self.read);
        self.read = read;
        if self.filled == 0 {
            self.spans.push_back(Distribution::default());
        }
        if let Some(span) = self.spans.back_mut() {
            *span += &new;
        }
        self.filled = (self.filled + 1) % SECONDS;
        self.seconds.push_back(new);
        if self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        if self.spans.len() > SPANS + 1 {
            self.spans.pop_front();
        }
    }

    /// The last so many seconds, more by at most one span.
    fn last(&self, seconds: usize) -> Distribution {
        let mut sum = Distribution::default();
        if seconds <= SECONDS {
            self.seconds.iter().rev().take(seconds).for_each(|one| sum += one);
            return sum;
        }
        // A span that has just begun counts for none.
        let spans = seconds / SECONDS + usize::from(self.filled > 0);
        self.spans.iter().rev().take(spans).for_each(|span| sum += span);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_window_holds_its_seconds() {
        let (mut course, mut read) = (Course::default(), Distribution::default());
        for second in 1..=400u64 {
            read.add(Duration::from_millis(second));
            course.note(read.clone());
        }
        let last = WINDOWS.map(|seconds| course.last(seconds));
        assert_eq!(last.each_ref().map(Distribution::total), [10, 60, 300]);
        let least = last[1].quantile(0.0).unwrap().as_secs_f64();
        assert!((0.335..0.346).contains(&least), "{least}");
        read.add(Duration::from_millis(1));
        course.note(read);
        assert_eq!(WINDOWS.map(|seconds| course.last(seconds).total()), [10, 61, 301]);
    }

    #[test]
    fn a_pool_that_nobody_knows_has_none() {
        assert_eq!(Latencies::default().of("s", "p"), <[Distribution; 3]>::default());
    }
}

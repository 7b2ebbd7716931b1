//! What came of a service's copies: ends of copies and comparisons in, counts and the last
//! differences out.
//!
//! It lives on from snapshot to snapshot as long as the copies go to the same pool. The request
//! path touches one count, of what waits; the list is written by whoever sends copies.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Differing;
use crate::clock::{Moment, WallTime};

/// How many differences are remembered.
const MOST_DIFFERENCES: usize = 100;

/// What we know of the copies that one service sends to one pool.
#[derive(Debug, Default)]
pub struct MirrorState {
    /// Since when it counts.
    since: Moment,
    waiting: AtomicUsize,
    under_way: AtomicUsize,
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    /// By [`Kind`].
    comparisons: [AtomicU64; Kind::ALL.len()],
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The oldest first.
    differences: VecDeque<Difference>,
    last_failure: Option<String>,
}

/// How a comparison came out: the first that differs, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing does.
    Same,
    /// The status does.
    Status,
    /// A chosen field does.
    Headers,
    /// The body does.
    Body,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Same, Kind::Status, Kind::Headers, Kind::Body];

    /// As labels and reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Same => "same",
            Kind::Status => "status",
            Kind::Headers => "headers",
            Kind::Body => "body",
        }
    }
}

/// Two answers to one request that differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// When that was found.
    pub at: WallTime,
    /// The id of both requests.
    pub request_id: String,
    /// Their method.
    pub method: String,
    /// Their path, without the query: that may hold what nobody wants to read in a report.
    pub path: String,
    /// What differs; not empty.
    pub parts: Vec<Differing>,
}

/// What came of the copies so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered in time.
    pub sent: u64,
    /// Not sent: too many waited.
    pub dropped: u64,
    /// Not answered, or not in time.
    pub failed: u64,
    /// Comparisons, by [`Kind`].
    pub comparisons: [u64; Kind::ALL.len()],
    /// Waiting to be sent.
    pub waiting: usize,
}

/// A place among those that wait or are under way; given back on drop.
#[derive(Debug)]
pub struct QueuePlace(Arc<MirrorState>, Of);

#[derive(Clone, Copy, Debug)]
enum Of {
    Waiting,
    UnderWay,
}

impl MirrorState {
    /// One that counts from now on.
    pub fn since_now(now: Moment) -> MirrorState {
        MirrorState { since: now, ..MirrorState::default() }
    }

    /// Since when it counts: since the process began, or since the copies go to their pool.
    pub fn since(&self) -> Moment {
        self.since
    }
}

impl QueuePlace {
    fn take(state: &Arc<MirrorState>, of: Of, most: usize) -> Option<QueuePlace> {
        let count = state.count(of);
        let more = |taken: usize| (taken < most).then_some(taken + 1);
        let took = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        took.is_ok().then(|| QueuePlace(state.clone(), of))
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        self.0.count(self.1).fetch_sub(1, Ordering::Relaxed);
    }
}

impl MirrorState {
    fn count(&self, of: Of) -> &AtomicUsize {
        match of {
            Of::Waiting => &self.waiting,
            Of::UnderWay => &self.under_way,
        }
    }

    /// A place to wait in; none if so many wait already, and then the copy counts as dropped.
    pub fn wait(self: &Arc<Self>, most: usize) -> Option<QueuePlace> {
        let place = QueuePlace::take(self, Of::Waiting, most);
        if place.is_none() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// A place to be under way in; none if so many are already.
    pub fn begin(self: &Arc<Self>, most: usize) -> Option<QueuePlace> {
        QueuePlace::take(self, Of::UnderWay, most)
    }

    /// A copy was answered.
    pub fn on_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// A copy was not answered.
    pub fn on_failed(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last_failure = Some(why);
    }

    /// Two answers were compared; `found` if they differ.
    pub fn on_compared(&self, found: Option<Difference>) {
        let first = found.as_ref().and_then(|found| found.parts.first());
        let kind = first.map_or(Kind::Same, |first| first.part.kind());
        self.comparisons[kind as usize].fetch_add(1, Ordering::Relaxed);
        let Some(found) = found else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.differences.len() == MOST_DIFFERENCES {
            seen.differences.pop_front();
        }
        seen.differences.push_back(found);
    }

    /// What came of the copies so far.
    pub fn read(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            sent: read(&self.sent),
            dropped: read(&self.dropped),
            failed: read(&self.failed),
            comparisons: std::array::from_fn(|at| read(&self.comparisons[at])),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    /// The last hundred differences, the newest first.
    pub fn differences(&self) -> Vec<Difference> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.differences.iter().rev().cloned().collect()
    }

    /// Why the last copy that failed did.
    pub fn last_failure(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last_failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::answered::Part;

    fn difference(number: u64, part: Part) -> Difference {
        let parts = vec![Differing { part, live: "a".into(), mirror: "b".into() }];
        let at = WallTime::from_millis(number);
        Difference { at, request_id: "id".into(), method: "GET".into(), path: "/".into(), parts }
    }

    #[test]
    fn places_are_bounded_and_come_back_and_who_finds_none_is_dropped() {
        let state = Arc::new(MirrorState::default());
        let (first, second) = (state.wait(2), state.wait(2));
        assert!(first.is_some() && second.is_some() && state.wait(2).is_none());
        assert_eq!((state.read().waiting, state.read().dropped), (2, 1));
        drop(first);
        assert!(state.wait(2).is_some());
        // Those under way have places of their own.
        let under_way = state.begin(1);
        assert!(under_way.is_some() && state.begin(1).is_none());
        assert_eq!(state.read().dropped, 1);
    }

    #[test]
    fn a_comparison_counts_once_by_what_differs_first() {
        let state = MirrorState::default();
        state.on_compared(None);
        let mut both = difference(1, Part::Status);
        both.parts.extend(difference(1, Part::Body).parts);
        state.on_compared(Some(both));
        state.on_compared(Some(difference(2, Part::Header(http::header::ETAG))));
        state.on_compared(Some(difference(3, Part::Body)));
        assert_eq!(state.read().comparisons, [1, 1, 1, 1]);
    }

    #[test]
    fn the_last_hundred_differences_are_kept_newest_first() {
        let state = MirrorState::default();
        (0..250).for_each(|number| state.on_compared(Some(difference(number, Part::Body))));
        let at: Vec<u64> = state.differences().iter().map(|found| found.at.millis()).collect();
        assert_eq!(at, (150..250).rev().collect::<Vec<_>>());
        assert_eq!(state.read().comparisons, [0, 0, 0, 250]);
    }
}

//! The clients whose requests fail on a pool: failures with their keys in, whether one is the client's
//! own doing out.
//!
//! It is when the key failed on two upstreams in the same way (of a single one twice) while others
//! contradict: at least [`LEAST`] requests of at least [`KEYS`] other keys to the same upstreams went
//! well within the same ten seconds, and fewer than one in twenty failed. Then the failure is
//! *withheld* from breakers and ejection (see [`Keys`](crate::upstream::Keys)). In doubt it counts.
//!
//! Only who fails is in the table, so that a request that does not fail knows nothing of it. It is
//! bounded, and has a lock that nobody waits for: whoever finds it held is treated as the last failure of
//! its key was since the upstream answered well, and else counts.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use smallvec::SmallVec;

use crate::clock::Moment;
use crate::http::failure::Cause;
use crate::upstream::{Others, Outcome, Upstream};

/// Keys and ways of failing that are kept; of more the one that failed last longest ago goes.
const MOST: usize = 32;

/// Upstreams of each that are kept.
const MOST_UPSTREAMS: usize = 4;

/// How long a failure is remembered.
const WITHIN: Duration = Duration::from_secs(10);

/// Requests of others that have to go well.
const LEAST: u32 = 20;

/// Other keys that these have to have.
const KEYS: u32 = 3;

/// One in so many requests of others may fail.
const ONE_IN: u32 = 20;

/// What tells a client from others; not unique.
pub fn client_key(client: IpAddr) -> u32 {
    match client {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            // A client has 64 bits to itself.
            let network = (address.to_bits() >> 64) as u64;
            (network ^ network >> 32) as u32
        }
    }
}

/// How an attempt failed: two that failed in the same way have the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// With this status.
    Status(u16),
    /// Without an answer, or within it.
    Cause(Option<Cause>),
}

impl Way {
    /// That of an attempt that ended like this.
    pub fn of(outcome: Outcome, status: Option<u16>, cause: Option<Cause>) -> Way {
        match (outcome, status) {
            (Outcome::Status(_), Some(status)) => Way::Status(status),
            _ => Way::Cause(cause),
        }
    }
}

/// Who fails on one pool.
#[derive(Debug, Default)]
pub struct FailingKeys(Mutex<Vec<Failing>>);

/// One key that fails in one way.
#[derive(Debug)]
struct Failing {
    key: u32,
    way: Way,
    last: Moment,
    /// When one of its failures was withheld last.
    withheld: Option<Moment>,
    on: SmallVec<[FailedOn; 2]>,
}

/// An upstream on which it failed.
#[derive(Debug)]
struct FailedOn {
    upstream: Arc<Upstream>,
    last: Moment,
}

/// What is known of a key that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// It failed in this way within the last ten seconds.
    pub has_failed: bool,
    /// That was withheld.
    pub was_withheld: bool,
}

impl FailingKeys {
    /// Hears of a failure, which its upstream's [`Keys`](crate::upstream::Keys) have been told of, and
    /// whether the upstream is the pool's only one. Answers whether the key's other failures and what
    /// others got say that it is the client's own doing; none if somebody else has the table.
    pub(super) fn hear(
        &self,
        (key, way): (u32, Way),
        upstream: &Arc<Upstream>,
        is_only_one: bool,
        now: Moment,
    ) -> Option<bool> {
        let mut all = self.0.try_lock().ok()?;
        let failing = find_or_add(&mut all, key, way, now);
        let has_failed = failing.note(upstream, now);
        let is_enough = if is_only_one { has_failed } else { failing.on.len() > 1 };
        Some(is_enough && failing.is_contradicted(upstream, now))
    }

    /// One of its failures is withheld.
    pub(super) fn note_withheld(&self, (key, way): (u32, Way), now: Moment) {
        let Ok(mut all) = self.0.try_lock() else { return };
        if let Some(failing) = all.iter_mut().find(|known| (known.key, known.way) == (key, way)) {
            failing.withheld = Some(now);
        }
    }

    /// What is known of a key that fails in this way.
    pub fn known(&self, (key, way): (u32, Way), now: Moment) -> Known {
        let Ok(all) = self.0.try_lock() else { return Known::default() };
        let Some(failing) = all.iter().find(|known| (known.key, known.way) == (key, way)) else {
            return Known::default();
        };
        Known {
            has_failed: is_fresh(failing.last, now),
            was_withheld: failing.withheld.is_some_and(|at| is_fresh(at, now)),
        }
    }

    /// Does something while the table is held, so that everything counts as if there were none.
    #[cfg(test)]
    pub(super) fn without<R>(&self, does: impl FnOnce() -> R) -> R {
        let _held = self.0.lock().unwrap();
        does()
    }
}

impl Failing {
    /// It failed on this upstream. Answers whether it had done so before.
    fn note(&mut self, upstream: &Arc<Upstream>, now: Moment) -> bool {
        self.on.retain(|on| is_fresh(on.last, now));
        let known = self.on.iter().position(|on| Arc::ptr_eq(&on.upstream, upstream));
        let at = known.unwrap_or_else(|| {
            if self.on.len() == MOST_UPSTREAMS {
                let oldest = (0..MOST_UPSTREAMS).min_by_key(|at| self.on[*at].last);
                self.on.swap_remove(oldest.unwrap_or_default());
            }
            self.on.push(FailedOn { upstream: upstream.clone(), last: now });
            self.on.len() - 1
        });
        self.on[at].last = now;
        known.is_some()
    }

    /// Whether others got on well with the upstreams that it failed on, and with this one among them.
    fn is_contradicted(&self, upstream: &Arc<Upstream>, now: Moment) -> bool {
        if !is_well(upstream.keys.others(self.key, now)) {
            return false;
        }
        let of = self.on.iter().map(|on| on.upstream.keys.others(self.key, now));
        let all = of.fold(Others::default(), Others::and);
        let is_enough = all.served + all.failed >= LEAST && all.keys() >= KEYS;
        is_enough && is_well(all)
    }
}

/// Whether of the requests of others so few failed that the upstream is none that fails.
fn is_well(others: Others) -> bool {
    others.failed * ONE_IN < others.served + others.failed
}

fn is_fresh(at: Moment, now: Moment) -> bool {
    now.elapsed_since(at) < WITHIN
}

fn find_or_add(all: &mut Vec<Failing>, key: u32, way: Way, now: Moment) -> &mut Failing {
    let known = all.iter().position(|known| (known.key, known.way) == (key, way));
    let at = known.unwrap_or_else(|| {
        let new = Failing { key, way, last: now, withheld: None, on: SmallVec::new() };
        if all.len() < MOST {
            all.push(new);
            return all.len() - 1;
        }
        let oldest = (0..all.len()).min_by_key(|at| all[*at].last).unwrap_or_default();
        all[oldest] = new;
        oldest
    });
    all[at].last = now;
    &mut all[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Way = Way::Cause(Some(Cause::Reset));

    fn at(millis: u64) -> Moment {
        Moment::from_micros(60_000_000 + millis * 1_000)
    }

    fn upstreams() -> [Arc<Upstream>; 2] {
        ["192.0.2.1:80", "192.0.2.2:80"]
            .map(|address| Arc::new(Upstream::new(address.parse().unwrap(), None)))
    }

    /// So many requests of so many other keys went well there.
    fn serve(upstream: &Upstream, requests: u32, keys: u32) {
        (0..requests).for_each(|nth| upstream.keys.note_good(100 + nth % keys, at(0)));
    }

    fn serve_both(one: &Upstream, two: &Upstream, requests: u32, keys: u32) {
        serve(one, requests, keys);
        serve(two, requests, keys);
    }

    fn fail(all: &FailingKeys, (key, way): (u32, Way), on: &Arc<Upstream>, millis: u64) -> bool {
        on.keys.note_failed(key, at(millis));
        all.hear((key, way), on, false, at(millis)) == Some(true)
    }

    #[test]
    fn a_key_that_fails_on_two_in_the_same_way_while_others_are_served_is_its_own_fault() {
        let (all, [one, two]) = (FailingKeys::default(), upstreams());
        serve_both(&one, &two, 10, 3);
        assert!(!fail(&all, (1, RESET), &one, 1), "on one");
        assert!(!fail(&all, (1, RESET), &one, 2), "on the same");
        assert!(!fail(&all, (1, Way::Status(502)), &two, 3), "in another way");
        assert!(!fail(&all, (2, RESET), &two, 4), "another key");
        fail(&all, (3, RESET), &two, 4);
        assert!(!fail(&all, (1, RESET), &two, 5), "of 22 others two failed");
        serve_both(&one, &two, 50, 3);
        assert!(fail(&all, (1, RESET), &two, 6) && fail(&all, (1, RESET), &one, 7));
        assert!(!fail(&all, (1, RESET), &two, 10_020), "that was long ago");
    }

    #[test]
    fn others_have_to_be_many_and_of_three_keys_and_well_here_too() {
        let is_own = |served: [(u32, u32); 2], failed: u32| {
            let (all, [one, two]) = (FailingKeys::default(), upstreams());
            serve(&one, served[0].0, served[0].1);
            serve(&two, served[1].0, served[1].1);
            (0..failed).for_each(|_| two.keys.note_failed(50, at(0)));
            fail(&all, (1, RESET), &one, 1);
            fail(&all, (1, RESET), &two, 2)
        };
        assert!(is_own([(19, 3), (1, 1)], 0));
        assert!(!is_own([(18, 3), (1, 1)], 0), "too few");
        assert!(!is_own([(50, 2), (50, 2)], 0), "of too few keys");
        assert!(!is_own([(50, 5), (0, 1)], 0), "nobody was served here");
        assert!(is_own([(50, 5), (50, 5)], 2) && !is_own([(50, 5), (50, 5)], 3));
    }

    #[test]
    fn of_a_single_one_twice_is_enough() {
        let (all, [one, _]) = (FailingKeys::default(), upstreams());
        serve(&one, 30, 5);
        let hear = |millis| {
            one.keys.note_failed(1, at(millis));
            all.hear((1, RESET), &one, true, at(millis)).unwrap()
        };
        assert!(!hear(1) && hear(2) && hear(3) && !hear(10_010));
    }

    #[test]
    fn the_table_is_bounded_and_who_goes_on_failing_stays_in_it() {
        let (all, [one, two]) = (FailingKeys::default(), upstreams());
        serve_both(&one, &two, 50, 10);
        fail(&all, (1, RESET), &one, 0);
        for nth in 0..1_000 {
            all.hear((1_000 + nth, RESET), &one, false, at(u64::from(nth)));
            all.hear((1, RESET), &one, false, at(u64::from(nth)));
        }
        assert_eq!(all.0.lock().unwrap().len(), MOST);
        assert!(all.known((1, RESET), at(1_000)).has_failed);
        assert!(!all.known((1_000, RESET), at(1_000)).has_failed, "long gone");
    }

    #[test]
    fn whoever_finds_the_table_held_does_not_wait() {
        let (all, [one, two]) = (FailingKeys::default(), upstreams());
        serve_both(&one, &two, 50, 10);
        fail(&all, (1, RESET), &one, 0);
        assert_eq!(all.without(|| all.hear((1, RESET), &two, false, at(1))), None);
        assert!(fail(&all, (1, RESET), &two, 2));
    }
}

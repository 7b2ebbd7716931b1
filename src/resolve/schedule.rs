//! When each name is looked up: outcomes and the time in, the next name that is due out.
//!
//! Pure: `now` is an argument and jitter comes from [`Draws`]. A name that is taken is given back
//! by its outcome, or, should none ever come, by the end of its lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::clock::Draws;
use crate::upstream::Address;

/// Bounds on how long an answer counts. Less would burden name servers that answer with TTL 0;
/// more would make an operator wait who forgot to lower the TTL before a move.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// The pause after a first failure; it doubles with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After this long a taken name is due again, whatever became of its look-up.
const LEASE: Duration = Duration::from_secs(15);

/// Names under way at once that failed the last time: they are the ones that may take their
/// whole patience again, so they leave places for the others.
const FAILING_AT_ONCE: usize = 8;

/// The schedule of all names.
#[derive(Debug)]
pub(super) struct Schedule {
    names: BTreeMap<Address, Plan>,
    draws: Draws,
}

#[derive(Debug)]
struct Plan {
    /// While it is taken: the end of its lease.
    due: Instant,
    is_taken: bool,
    /// Whether it has had any outcome.
    is_tried: bool,
    /// In a row.
    failures: u32,
}

impl Schedule {
    /// Without names.
    pub fn new(draws: Draws) -> Schedule {
        Schedule { names: BTreeMap::new(), draws }
    }

    /// These names from now on: new ones are due at once, the others keep their plan.
    pub fn follow(&mut self, wanted: BTreeSet<Address>, now: Instant) {
        self.names.retain(|address, _| wanted.contains(address));
        for address in wanted {
            let new = Plan { due: now, is_taken: false, is_tried: false, failures: 0 };
            self.names.entry(address).or_insert(new);
        }
    }

    /// Makes every name due now, also those that are taken.
    pub fn start_again(&mut self, now: Instant) {
        for plan in self.names.values_mut() {
            (plan.due, plan.is_taken) = (now, false);
        }
    }

    /// Whether this is one of the names.
    pub fn contains(&self, address: &Address) -> bool {
        self.names.contains_key(address)
    }

    /// Whether every name has had an outcome, good or bad.
    pub fn all_tried(&self) -> bool {
        self.names.values().all(|plan| plan.is_tried)
    }

    /// Whether each name that was tried resolves.
    pub fn standing(&self) -> BTreeMap<Address, bool> {
        let tried = self.names.iter().filter(|(_, plan)| plan.is_tried);
        tried.map(|(address, plan)| (address.clone(), plan.failures == 0)).collect()
    }

    /// The name that has been due for longest, if any is.
    pub fn take(&mut self, now: Instant) -> Option<Address> {
        let (address, _) = self.first(now).filter(|(_, due)| *due <= now)?;
        let address = address.clone();
        let plan = self.names.get_mut(&address)?;
        (plan.due, plan.is_taken) = (now + LEASE, true);
        Some(address)
    }

    /// When `take` will have a name, which may be in the past.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        self.first(now).map(|(_, due)| due)
    }

    fn first(&self, now: Instant) -> Option<(&Address, Instant)> {
        let is_failing_now = |plan: &&Plan| plan.is_taken && plan.due > now && plan.failures > 0;
        let failing = self.names.values().filter(is_failing_now).count();
        let may_go = |(_, plan): &(&Address, &Plan)| {
            plan.failures == 0 || plan.is_taken || failing < FAILING_AT_ONCE
        };
        let names = self.names.iter().filter(may_go);
        names.map(|(address, plan)| (address, plan.due)).min_by_key(|(_, due)| *due)
    }

    /// An answer came that counts this long; answers whether the name failed before.
    pub fn succeeded(&mut self, address: &Address, ttl: Duration, now: Instant) -> bool {
        let Some(plan) = self.names.get_mut(address) else { return false };
        let was_failing = plan.failures > 0;
        let due = now + ttl.clamp(TTL.0, TTL.1);
        *plan = Plan { due, is_taken: false, is_tried: true, failures: 0 };
        was_failing
    }

    /// No answer came; answers whether this is the first failure in a row.
    pub fn failed(&mut self, address: &Address, now: Instant) -> bool {
        let Some(plan) = self.names.get_mut(address) else { return false };
        let longest = FIRST_PAUSE * 2u32.saturating_pow(plan.failures.min(16));
        let half = longest.min(LONGEST_PAUSE) / 2;
        // Half of it is left to chance, so that many edges do not ask in step.
        let chance = Duration::from_micros(self.draws.below(half.as_micros() as u64));
        let failures = plan.failures.saturating_add(1);
        *plan = Plan { due: now + half + chance, is_taken: false, is_tried: true, failures };
        failures == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(i: usize) -> Address {
        Address::Name { host: format!("h{i:03}"), port: 80 }
    }

    fn schedule(names: usize, now: Instant) -> Schedule {
        let mut schedule = Schedule::new(Draws::seeded(1));
        schedule.follow((0..names).map(name).collect(), now);
        schedule
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_counts_for_its_ttl_within_bounds() {
        let now = Instant::now();
        for (ttl, counts) in [(0, 1), (1, 1), (60, 60), (300, 300), (86_400, 300)] {
            let mut schedule = schedule(1, now);
            assert_eq!(schedule.take(now), Some(name(0)));
            assert!(!schedule.succeeded(&name(0), seconds(ttl), now));
            assert_eq!(schedule.next(now), Some(now + seconds(counts)), "TTL {ttl}");
            assert_eq!(schedule.take(now + seconds(counts) - Duration::from_nanos(1)), None);
            assert_eq!(schedule.take(now + seconds(counts)), Some(name(0)));
        }
    }

    #[test]
    fn pauses_after_failures_grow_up_to_a_bound() {
        let mut now = Instant::now();
        let mut schedule = schedule(1, now);
        for (nth, longest) in [1, 2, 4, 8, 16, 30, 30, 30].into_iter().enumerate() {
            assert_eq!(schedule.take(now), Some(name(0)));
            assert_eq!(schedule.failed(&name(0), now), nth == 0, "said once");
            let pause = schedule.next(now).unwrap() - now;
            assert!(pause >= seconds(longest) / 2 && pause <= seconds(longest), "{pause:?}");
            now += pause;
        }
        assert!(schedule.succeeded(&name(0), seconds(5), now), "it failed before");
        assert!(!schedule.succeeded(&name(0), seconds(5), now));
        assert!(schedule.failed(&name(0), now), "the first of a new row");
        assert!(schedule.next(now).unwrap() - now <= FIRST_PAUSE);
    }

    #[test]
    fn each_name_is_taken_once_and_the_one_due_longest_first() {
        let now = Instant::now();
        let mut schedule = schedule(3, now);
        assert!(!schedule.all_tried());
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(now)).collect();
        assert_eq!(taken, [name(0), name(1), name(2)]);
        schedule.succeeded(&name(0), seconds(3), now);
        schedule.succeeded(&name(1), seconds(2), now);
        assert!(!schedule.all_tried());
        schedule.failed(&name(2), now);
        assert!(schedule.all_tried());
        let later = now + seconds(9);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(later)).collect();
        assert_eq!(taken, [name(2), name(1), name(0)]);
    }

    #[test]
    fn failing_names_leave_places_for_the_others() {
        let now = Instant::now();
        let mut schedule = schedule(20, now);
        while schedule.take(now).is_some() {}
        for i in 0..19 {
            schedule.failed(&name(i), now);
        }
        schedule.succeeded(&name(19), seconds(9), now);
        let later = now + seconds(9);
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(later)).collect();
        assert_eq!(taken.len(), FAILING_AT_ONCE + 1);
        assert!(taken.contains(&name(19)));
        // The rest has to wait for an outcome, and says so by being due no earlier.
        assert!(schedule.next(later).unwrap() > later);
        schedule.failed(&taken[0], later);
        assert!(schedule.take(later).is_some());
    }

    #[test]
    fn a_name_whose_look_up_never_ends_comes_back() {
        let now = Instant::now();
        let mut schedule = schedule(1, now);
        assert_eq!((schedule.take(now), schedule.take(now)), (Some(name(0)), None));
        assert_eq!(schedule.take(now + LEASE), Some(name(0)));
    }

    #[test]
    fn names_that_stay_keep_their_plan() {
        let now = Instant::now();
        let mut schedule = schedule(2, now);
        while schedule.take(now).is_some() {}
        schedule.succeeded(&name(1), seconds(60), now);
        schedule.follow([name(1), name(2)].into(), now);
        assert!(!schedule.contains(&name(0)));
        assert_eq!((schedule.take(now), schedule.take(now)), (Some(name(2)), None));
        assert_eq!(schedule.next(now + LEASE), Some(now + LEASE));
        schedule.start_again(now);
        assert_eq!((schedule.take(now), schedule.take(now)), (Some(name(1)), Some(name(2))));
    }
}

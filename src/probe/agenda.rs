//! Whose probe is next: due times in, the ones to send out, never too many at once.
//!
//! In two lanes. A probe that fails may take its whole time-out, and where many do, they would
//! hold every place and leave none to upstreams that work. So an address whose last probe failed
//! waits in a lane of its own, which holds half of the places at most.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Probes under way at once: bounds sockets and memory, and with 2 s each still lets through more
/// than thirty hanging ones a second.
const AT_ONCE: usize = 64;

/// How many of them may be of addresses whose last probe failed.
const FAILING_AT_ONCE: usize = 32;

/// What tells one address from another, in the order in which they came.
pub type Id = u64;

/// Where an address waits for its next probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Its last probe succeeded, or there was none.
    Steady = 0,
    /// Its last probe failed.
    Failing = 1,
}

/// Due times of addresses that have no probe under way, and how many have.
#[derive(Debug, Default)]
pub struct Agenda {
    waiting: [BinaryHeap<Reverse<(Instant, Id)>>; 2],
    under_way: [usize; 2],
}

impl Agenda {
    /// Lets an address wait for this time.
    pub fn add(&mut self, due: Instant, id: Id, lane: Lane) {
        self.waiting[lane as usize].push(Reverse((due, id)));
    }

    /// Takes out an address that is due and may be probed: it holds a place of its lane until
    /// [`Agenda::end`].
    pub fn begin(&mut self, now: Instant) -> Option<(Id, Lane)> {
        let lane = self.next().filter(|(due, _)| *due <= now)?.1;
        let Reverse((_, id)) = self.waiting[lane as usize].pop()?;
        self.under_way[lane as usize] += 1;
        Some((id, lane))
    }

    /// Gives a place back.
    pub fn end(&mut self, lane: Lane) {
        self.under_way[lane as usize] -= 1;
    }

    /// When the next probe can begin; none before a place is given back or an address added.
    pub fn next_due(&self) -> Option<Instant> {
        self.next().map(|(due, _)| due)
    }

    fn next(&self) -> Option<(Instant, Lane)> {
        let first = |lane: Lane| {
            let Reverse((due, _)) = self.waiting[lane as usize].peek()?;
            self.has_place(lane).then_some((*due, lane))
        };
        let lanes = [first(Lane::Steady), first(Lane::Failing)];
        lanes.into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn has_place(&self, lane: Lane) -> bool {
        let is_free = self.under_way.iter().sum::<usize>() < AT_ONCE;
        is_free && (lane == Lane::Steady || self.under_way[lane as usize] < FAILING_AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn begun(agenda: &mut Agenda, now: Instant) -> Vec<Id> {
        std::iter::from_fn(|| agenda.begin(now).map(|(id, _)| id)).collect()
    }

    #[test]
    fn what_is_due_first_begins_first_and_nothing_begins_early() {
        let (now, mut agenda) = (Instant::now(), Agenda::default());
        let at = |seconds| now + Duration::from_secs(seconds);
        agenda.add(at(3), 1, Lane::Steady);
        agenda.add(at(1), 2, Lane::Steady);
        agenda.add(at(2), 3, Lane::Failing);
        assert!(begun(&mut agenda, now).is_empty());
        assert_eq!(agenda.next_due(), Some(at(1)));
        assert_eq!(begun(&mut agenda, at(2)), [2, 3]);
        assert_eq!(agenda.next_due(), Some(at(3)));
    }

    #[test]
    fn only_so_many_are_under_way_at_once() {
        let (now, mut agenda) = (Instant::now(), Agenda::default());
        (0..100).for_each(|id| agenda.add(now, id, Lane::Steady));
        assert_eq!(begun(&mut agenda, now), Vec::from_iter(0..64));
        assert_eq!(agenda.next_due(), None);
        agenda.end(Lane::Steady);
        assert_eq!(begun(&mut agenda, now), [64]);
    }

    #[test]
    fn failing_addresses_leave_half_of_the_places_to_the_others() {
        let (now, mut agenda) = (Instant::now(), Agenda::default());
        (0..100).for_each(|id| agenda.add(now, id, Lane::Failing));
        assert_eq!(begun(&mut agenda, now), Vec::from_iter(0..32));
        let later = now + Duration::from_secs(1);
        (100..200).for_each(|id| agenda.add(later, id, Lane::Steady));
        assert_eq!(begun(&mut agenda, later), Vec::from_iter(100..132));
        agenda.end(Lane::Failing);
        assert_eq!(begun(&mut agenda, later), [32], "the one that has waited longest");
    }
}

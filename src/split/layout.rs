//! Where a split lies on the cohort range: the layout before and the next split in, the next
//! layout out.
//!
//! With two pools one boundary moves and nobody is sent back and forth. With three it matters who
//! gives to whom: cut anew in name order, a shift between the first and the last would push the
//! clients of the one between them around. So a layout follows from the one before it: pools that
//! lose give back what they got last, and what they give goes to those that gain. Whoever is in no
//! pool that loses stays where they are. With two pools this is the one moving boundary.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Split, WHOLE};

/// Runs that a layout may fall into. Thousands of shifts among many pools could crumble it; past
/// this it is laid out anew, which moves clients once.
const MOST_RUNS: usize = 256;

/// Where each pool lies on the cohort range 0..10,000; no cohort is in two or in none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Arc<str>, Vec<Run>>", into = "BTreeMap<Arc<str>, Vec<Run>>")]
pub struct Layout {
    /// In name order; each pool's runs in the order it got them.
    pools: BTreeMap<Arc<str>, Vec<Run>>,
}

/// Neighbouring cohorts, from the one that the pool got first to the one it got last. The last may
/// be the lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Run((u16, u16));

/// Runs that do not cover the range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pools do not hold each cohort once")]
pub struct NotALayout;

impl Run {
    fn len(self) -> u16 {
        self.0.0.abs_diff(self.0.1) + 1
    }

    fn bounds(self) -> (u16, u16) {
        (self.0.0.min(self.0.1), self.0.0.max(self.0.1))
    }

    /// The cohort that lies so many after the first.
    fn nth(self, steps: u16) -> u16 {
        let (first, last) = self.0;
        if first <= last { first + steps } else { first - steps }
    }

    /// What stays and what is given, the last ones first; `count` is less than all.
    fn give(self, count: u16) -> (Run, Run) {
        let kept = self.len() - count;
        (Run((self.0.0, self.nth(kept - 1))), Run((self.0.1, self.nth(kept))))
    }

    /// Both as one, if the second goes on where the first ends.
    fn joined(self, next: Run) -> Option<Run> {
        let whole = Run((self.0.0, next.0.1));
        let goes_on = whole.len() == self.len() + next.len()
            && self.0.1.abs_diff(next.0.0) == 1
            && whole.nth(self.len() - 1) == self.0.1;
        goes_on.then_some(whole)
    }
}

impl Layout {
    /// The layout of a split that follows no other: in name order, the last pool from the end.
    pub fn of(split: &Split) -> Layout {
        let mut reached = 0;
        let mut pools = BTreeMap::new();
        for (pool, weight) in split.parts() {
            let (low, high) = (reached, reached + weight.get() - 1);
            reached += weight.get();
            let is_last = reached == WHOLE && low > 0;
            let run = if is_last { Run((high, low)) } else { Run((low, high)) };
            pools.insert(pool.clone(), vec![run]);
        }
        Layout { pools }
    }

    /// The layout of the split that follows this one's. One pool that gets everything lies as it
    /// would after no other: everybody moves to it anyway.
    pub fn after(&self, split: &Split) -> Layout {
        if split.is_one_sided() {
            return Layout::of(split);
        }
        let mut pools = self.pools.clone();
        let mut given: Vec<Run> = Vec::new();
        for (pool, runs) in &mut pools {
            let mut surplus = held(runs).saturating_sub(split.weight(pool).get());
            while surplus > 0 {
                let Some(last) = runs.pop() else { break };
                match last.len() <= surplus {
                    true => {
                        surplus -= last.len();
                        given.push(Run((last.0.1, last.0.0)));
                    }
                    false => {
                        let (kept, gone) = last.give(surplus);
                        runs.push(kept);
                        given.push(gone);
                        surplus = 0;
                    }
                }
            }
        }
        // Taken from the end, so that what was given first is taken first.
        given.reverse();
        for (pool, weight) in split.parts() {
            let runs = pools.entry(pool.clone()).or_default();
            let mut missing = weight.get().saturating_sub(held(runs));
            while missing > 0 {
                let Some(next) = given.pop() else { break };
                let taken = match next.len() <= missing {
                    true => next,
                    false => {
                        let taken = Run((next.0.0, next.nth(missing - 1)));
                        given.push(Run((next.nth(missing), next.0.1)));
                        taken
                    }
                };
                missing -= taken.len();
                match runs.last_mut() {
                    Some(last) if let Some(joined) = last.joined(taken) => *last = joined,
                    _ => runs.push(taken),
                }
            }
        }
        pools.retain(|_, runs| !runs.is_empty());
        let next = Layout { pools };
        let count: usize = next.pools.values().map(Vec::len).sum();
        if count > MOST_RUNS { Layout::of(split) } else { next }
    }

    /// Whether each pool holds as much as the split gives it.
    pub fn is_of(&self, split: &Split) -> bool {
        let holds = |(pool, runs): (&Arc<str>, &Vec<Run>)| held(runs) == split.weight(pool).get();
        self.pools.len() == split.parts().len() && self.pools.iter().all(holds)
    }

    /// Every run's lowest and highest cohort with its pool, in the order of the range.
    pub(super) fn runs(&self) -> Vec<(u16, u16, &Arc<str>)> {
        let mut all = Vec::new();
        for (pool, runs) in &self.pools {
            let bounds = runs.iter().map(|run| run.bounds());
            all.extend(bounds.map(|(low, high)| (low, high, pool)));
        }
        all.sort_unstable();
        all
    }
}

fn held(runs: &[Run]) -> u16 {
    runs.iter().map(|run| run.len()).sum()
}

impl TryFrom<BTreeMap<Arc<str>, Vec<Run>>> for Layout {
    type Error = NotALayout;

    fn try_from(pools: BTreeMap<Arc<str>, Vec<Run>>) -> Result<Layout, NotALayout> {
        let layout = Layout { pools };
        let mut next = 0;
        for (low, high, _) in layout.runs() {
            if low != next || high >= WHOLE {
                return Err(NotALayout);
            }
            next = high + 1;
        }
        if next == WHOLE { Ok(layout) } else { Err(NotALayout) }
    }
}

impl From<Layout> for BTreeMap<Arc<str>, Vec<Run>> {
    fn from(layout: Layout) -> Self {
        layout.pools
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::{BasisPoints, Cohort, Cut};
    use proptest::prelude::*;

    const POOLS: [&str; 4] = ["a", "b", "c", "d"];

    fn split(weights: &[u16]) -> Split {
        let parts = POOLS.iter().zip(weights);
        let part =
            |(&pool, &weight): (&&str, &u16)| (pool.into(), BasisPoints::new(weight).unwrap());
        Split::new(parts.map(part)).unwrap()
    }

    /// The pool of each cohort.
    fn places(layout: &Layout) -> Vec<usize> {
        let cut = Cut::of(layout, POOLS);
        (0..WHOLE).map(|cohort| cut.pool(Cohort::new(cohort))).collect()
    }

    #[test]
    fn a_shift_between_two_leaves_the_third_alone() {
        let before = Layout::of(&split(&[3_000, 4_000, 3_000]));
        let after = before.after(&split(&[1_000, 4_000, 5_000]));
        let (before, after) = (places(&before), places(&after));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
        assert_eq!(moved.clone().count(), 2_000);
        assert!(moved.into_iter().all(|moved| moved == (&0, &2)));
    }

    #[test]
    fn runs_that_overlap_or_leave_a_hole_are_refused() {
        let read = |json: &str| serde_json::from_str::<Layout>(json);
        assert!(read(r#"{"a": [[0, 8999]], "b": [[9999, 9000]]}"#).is_ok());
        assert!(read(r#"{"a": [[0, 8999]], "b": [[9999, 9001]]}"#).is_err());
        assert!(read(r#"{"a": [[0, 9000]], "b": [[9999, 9000]]}"#).is_err());
        assert!(read(r#"{"a": [[0, 10000]]}"#).is_err());
    }

    #[test]
    fn a_run_ends_where_it_was_cut() {
        for run in [Run((10, 19)), Run((19, 10))] {
            let (kept, gone) = run.give(3);
            assert_eq!((kept.len(), gone.len()), (7, 3));
            let back = Run((gone.0.1, gone.0.0));
            assert_eq!(kept.joined(back), Some(run));
            assert_eq!(kept.joined(gone), None);
        }
    }

    fn weights(pools: usize) -> impl Strategy<Value = Vec<u16>> {
        prop::collection::vec(0u16..=WHOLE, pools - 1).prop_map(|mut cuts| {
            cuts.sort_unstable();
            let mut before = 0;
            let mut weights: Vec<u16> =
                cuts.iter().map(|&cut| cut - std::mem::replace(&mut before, cut)).collect();
            weights.push(WHOLE - before);
            weights
        })
    }

    proptest! {
        /// Whatever the course: shares are exact, nobody moves who need not, and what is stored is
        /// read again.
        #[test]
        fn only_as_many_move_as_must(course in prop::collection::vec(weights(4), 1..12)) {
            let mut layout = Layout::of(&split(&course[0]));
            for next in &course[1..] {
                let wanted = split(next);
                let after = layout.after(&wanted);
                prop_assert!(after.is_of(&wanted));
                let json = serde_json::to_string(&after).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Layout>(&json).unwrap(), &after);
                if !wanted.is_one_sided() {
                    let (before, now) = (places(&layout), places(&after));
                    let moved = before.iter().zip(&now).filter(|(a, b)| a != b).count();
                    let count = |places: &[usize], pool| {
                        places.iter().filter(|place| **place == pool).count()
                    };
                    let must: usize =
                        (0..4).map(|p| count(&now, p).saturating_sub(count(&before, p))).sum();
                    prop_assert_eq!(moved, must);
                }
                layout = after;
            }
        }

        /// With two pools the layout is the split's own, whatever came before.
        #[test]
        fn two_pools_share_one_boundary(course in prop::collection::vec(1u16..WHOLE, 1..12)) {
            let of = |green| split(&[WHOLE - green, green]);
            let mut layout = Layout::of(&of(course[0]));
            for &green in &course[1..] {
                layout = layout.after(&of(green));
                prop_assert_eq!(&layout, &Layout::of(&of(green)));
            }
        }

        /// What a shift took, the shift back returns.
        #[test]
        fn there_and_back_is_where_it_was(first in weights(4), second in weights(4)) {
            let before = Layout::of(&split(&first));
            let there = split(&second);
            prop_assume!(!there.is_one_sided() && !split(&first).is_one_sided());
            let back = before.after(&there).after(&split(&first));
            // Pools that gain and lose in one shift may pass clients on to another than they came
            // from only if there are more than one of each.
            let changed = first.iter().zip(&second).filter(|(a, b)| a != b).count();
            if changed <= 2 {
                prop_assert_eq!(places(&before), places(&back));
            }
        }
    }
}

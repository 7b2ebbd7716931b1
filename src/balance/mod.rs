//! Which upstream of a pool takes a request: members and draws in, a member's place out.
//!
//! Power of two choices (Mitzenmacher 2001): draw two members in proportion to their weights and
//! take the one that holds fewer requests for its weight. Among idle members the first draw
//! stands, so that shares follow the weights exactly; under load the better of two keeps the
//! fullest queue exponentially shorter than drawing one would.

use std::sync::Arc;

use crate::clock::Draws;
use crate::upstream::{Target, Upstream};

/// The weight of an upstream whose config names none. Relative to the others of its pool.
pub const DEFAULT_WEIGHT: u16 = 100;

/// How often an unavailable member is drawn again before all are looked through in order.
const REDRAWS: usize = 3;

/// An upstream as one pool of one snapshot holds it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The upstream itself, shared with every other snapshot.
    pub upstream: Arc<Upstream>,
    /// Relative to the others of the pool; 0 takes nothing.
    pub weight: u16,
    /// Where to dial; none while its name has not resolved.
    pub targets: Arc<[Target]>,
}

impl Member {
    /// Whether it may take a new request.
    pub fn is_available(&self) -> bool {
        self.weight > 0 && !self.targets.is_empty() && !self.upstream.is_draining()
    }
}

/// The members of a pool, with their weights summed up for drawing.
#[derive(Clone, Debug)]
pub struct Members {
    list: Vec<Member>,
    /// For each member the sum of weights up to and with it.
    reach: Vec<u32>,
}

impl Members {
    /// The members in this order.
    pub fn new(list: Vec<Member>) -> Members {
        let mut sum = 0;
        let reach = list.iter().map(|member| {
            sum += u32::from(member.weight);
            sum
        });
        Members { reach: reach.collect(), list }
    }

    /// All of them.
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// Whether any may take a new request.
    pub fn any_available(&self) -> bool {
        self.list.iter().any(Member::is_available)
    }

    /// The place of the member to ask; none if none is available.
    pub fn pick(&self, draws: &mut Draws) -> Option<usize> {
        let first = self.draw(draws, None)?;
        let Some(second) = self.draw(draws, Some(first)) else { return Some(first) };
        let load = |place: usize, by: usize| {
            u64::from(self.list[place].upstream.in_flight()) * u64::from(self.list[by].weight)
        };
        Some(if load(second, first) < load(first, second) { second } else { first })
    }

    /// One available member other than `except`, in proportion to the weights.
    fn draw(&self, draws: &mut Draws, except: Option<usize>) -> Option<usize> {
        let admits = |place: &usize| Some(*place) != except && self.list[*place].is_available();
        let whole = u64::from(self.reach.last().copied()?);
        for _ in 0..REDRAWS {
            let at = draws.below(whole) as u32;
            let place = self.reach.partition_point(|&reach| reach <= at);
            if place < self.list.len() && admits(&place) {
                return Some(place);
            }
        }
        // Many are away, or one outweighs the rest: draw among those that remain, at the cost of
        // a walk over all.
        let left = |place: &usize| admits(place);
        let weight = |place: usize| u64::from(self.list[place].weight);
        let remaining: u64 = (0..self.list.len()).filter(left).map(weight).sum();
        let mut at = draws.below(remaining);
        (0..self.list.len()).filter(left).find(|&place| {
            let here = at < weight(place);
            at = at.saturating_sub(weight(place));
            here
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(weights: &[u16]) -> Members {
        let member = |(i, &weight): (usize, &u16)| {
            let address: crate::upstream::Address = format!("192.0.2.1:{}", i + 1).parse().unwrap();
            let targets = address.target().into_iter().collect();
            Member { upstream: Arc::new(Upstream::new(address)), weight, targets }
        };
        Members::new(weights.iter().enumerate().map(member).collect())
    }

    #[test]
    fn idle_members_share_by_weight() {
        let members = members(&[100, 100, 200]);
        let mut draws = Draws::seeded(3);
        let mut picked = [0u32; 3];
        for _ in 0..40_000 {
            picked[members.pick(&mut draws).unwrap()] += 1;
        }
        // 4 σ of a binomial share of a quarter and a half.
        let near =
            |n: u32, expected: f64, sigma: f64| (f64::from(n) - expected).abs() < 4.0 * sigma;
        assert!(near(picked[0], 10_000.0, 86.6), "{picked:?}");
        assert!(near(picked[1], 10_000.0, 86.6), "{picked:?}");
        assert!(near(picked[2], 20_000.0, 100.0), "{picked:?}");
    }

    #[test]
    fn of_two_the_less_loaded_is_taken() {
        let members = members(&[100, 100]);
        let _held = members.list()[0].upstream.hold();
        let mut draws = Draws::seeded(9);
        assert!((0..1_000).all(|_| members.pick(&mut draws) == Some(1)));
    }

    #[test]
    fn held_requests_weigh_less_on_a_heavier_member() {
        let members = members(&[300, 100]);
        let _held: Vec<_> = (0..2).map(|_| members.list()[0].upstream.hold()).collect();
        let _one = members.list()[1].upstream.hold();
        let mut draws = Draws::seeded(9);
        assert!((0..1_000).all(|_| members.pick(&mut draws) == Some(0)), "2/3 is less than 1/1");
    }

    #[test]
    fn an_unresolved_member_takes_nothing() {
        let mut list = members(&[100, 100]).list().to_vec();
        list[0].targets = Arc::new([]);
        let mut draws = Draws::seeded(5);
        let members = Members::new(list);
        assert!((0..1_000).all(|_| members.pick(&mut draws) == Some(1)));
    }

    proptest! {
        #[test]
        fn a_drained_member_is_never_picked(
            weights in proptest::collection::vec(0u16..500, 1..12),
            drained in proptest::collection::vec(any::<bool>(), 12),
            seed in any::<u64>(),
        ) {
            let members = members(&weights);
            for (member, &drained) in members.list().iter().zip(&drained) {
                member.upstream.set_draining(drained);
            }
            let mut draws = Draws::seeded(seed);
            let picked = members.pick(&mut draws);
            prop_assert_eq!(picked.is_some(), members.any_available());
            if let Some(place) = picked {
                prop_assert!(members.list()[place].is_available());
            }
        }
    }
}

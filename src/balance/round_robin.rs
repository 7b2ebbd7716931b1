//! Each in turn: weights in, a smooth sequence out that is walked without a lock.
//!
//! The sequence is that of nginx's smooth weighted round robin (5, 1, 1 gives a a b a c a a), made
//! once when the members are known; a counter walks along it. Whoever chooses reads the counter and
//! whoever takes what was chosen moves it on (see [`Pool::commit`](crate::snapshot::Pool::commit)).

use super::policy::takes_share;
use super::{Admit, Heard, Member, Members, Picking};
use crate::clock::Draws;

/// The longest sequence; weights that need a longer one are rounded.
const LONGEST: u64 = 4_096;

/// Places in the order of their turns.
#[derive(Clone, Debug)]
pub(super) struct Sequence(Vec<u32>);

impl Sequence {
    pub fn build(list: &[Member]) -> Sequence {
        let mut weights: Vec<u64> = list.iter().map(|member| u64::from(member.weight)).collect();
        let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
        weights.iter_mut().for_each(|weight| *weight /= divisor);
        let sum: u64 = weights.iter().sum();
        if sum > LONGEST {
            let scale = |weight: u64| if weight == 0 { 0 } else { (weight * LONGEST / sum).max(1) };
            weights.iter_mut().for_each(|weight| *weight = scale(*weight));
        }
        let sum: u64 = weights.iter().sum();
        let mut current = vec![0i64; weights.len()];
        let turn = |_| {
            current.iter_mut().zip(&weights).for_each(|(now, weight)| *now += *weight as i64);
            // The first of equals, for a stable order.
            let best = (0..current.len()).rev().max_by_key(|&place| current[place]).unwrap_or(0);
            current[best] -= sum as i64;
            best as u32
        };
        Sequence((0..sum).map(turn).collect())
    }

    pub fn find(
        &self,
        members: &Members,
        by: &Picking<'_>,
        admit: Admit,
        draws: &mut Draws,
        heard: &mut impl Heard,
    ) -> Option<usize> {
        let (tail, head) = self.0.split_at(by.turn.checked_rem(self.0.len())?);
        let mut passed_over = None;
        for &place in head.iter().chain(tail) {
            let place = place as usize;
            if !members.admits(place, by, admit) {
                continue;
            }
            if takes_share(members, place, by, draws, heard) {
                return Some(place);
            }
            passed_over = Some(place);
        }
        passed_over
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

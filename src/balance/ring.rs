//! The same upstream for the same client: a key in, a member's place out.
//!
//! Consistent hashing (Karger 1997) on a ring on which each member has a hundred points for the
//! default weight, with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018): a member that holds
//! more than 1.25 times its part of the pool's requests is passed over for the next on the ring.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::{Admit, DEFAULT_WEIGHT, Heard, Member, Members, NotTaken, Picking};
use crate::clock::Draws;

/// Points of a member of the default weight: shares then differ by about a tenth.
const POINTS: usize = 100;

/// A member may hold this many percent of its part.
const BOUND: u64 = 125;

/// Points in the order of their hashes, each with a place.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    points: Vec<(u64, u32)>,
    whole: u64,
}

impl Ring {
    pub fn build(list: &[Member]) -> Ring {
        let mut points = Vec::new();
        for (place, member) in list.iter().enumerate().filter(|(_, member)| member.weight > 0) {
            let many = (POINTS * usize::from(member.weight) / usize::from(DEFAULT_WEIGHT))
                .clamp(1, 10 * POINTS);
            for point in 0..many {
                // Keyed by nothing: every process must place them alike, and clients cannot
                // choose the key's hash, which is made with the secret.
                let mut hasher = SipHasher13::new();
                hasher.write(member.upstream.name.as_bytes());
                hasher.write_usize(point);
                points.push((hasher.finish(), place as u32));
            }
        }
        points.sort_unstable();
        Ring { points, whole: list.iter().map(|member| u64::from(member.weight)).sum() }
    }

    pub fn find(
        &self,
        members: &Members,
        by: &Picking<'_>,
        admit: Admit,
        draws: &mut Draws,
        heard: &mut impl Heard,
    ) -> Option<usize> {
        let key = by.key.unwrap_or_else(|| draws.bits());
        let start = self.points.partition_point(|(hash, _)| *hash < key);
        let (tail, head) = self.points.split_at(start);
        let mut seen = usize::MAX;
        let mut fullest = None;
        for &(_, place) in head.iter().chain(tail) {
            let place = place as usize;
            if place == seen || !members.admits(place, by, admit) {
                continue;
            }
            seen = place;
            if self.has_room(&members.list[place], by.load) {
                return Some(place);
            }
            heard.passed_over(place, NotTaken::OverPart);
            fullest.get_or_insert(place);
        }
        // Only by a race are all above their bound: they cannot all hold more than their part.
        fullest
    }

    /// Whether one more request leaves it within ⌈1.25 · (all + 1) · its part⌉.
    fn has_room(&self, member: &Member, load: u32) -> bool {
        let part = BOUND * (u64::from(load) + 1) * u64::from(member.weight);
        let bound = part.div_ceil(100 * self.whole.max(1));
        u64::from(member.upstream.in_flight()) < bound
    }
}

//! The policies: candidates in, the chosen one's place out.
//!
//! Power of two choices (Mitzenmacher 2001) is the heart of the default: draw two members in
//! proportion to their weights and take the better one. Among equals the first draw stands, so
//! that shares follow the weights exactly; under load the better of two keeps the fullest queue
//! exponentially shorter than drawing one would.

use super::{Admit, Heard, Member, Members, NotTaken, Picking, Policy};
use super::{latency, ring, round_robin};
use crate::clock::Draws;
use crate::upstream::Conditions;

/// How often a member that is no candidate is drawn again before all are looked through in order.
const REDRAWS: usize = 3;

/// Up to so many members, the least loaded is looked for among all of them.
const SCAN: usize = 8;

/// A policy with what it prepared.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Latency,
    LeastRequests,
    RoundRobin(round_robin::Sequence),
    ConsistentHash(ring::Ring),
}

impl Order {
    pub fn build(policy: Policy, list: &[Member]) -> Order {
        match policy {
            Policy::Latency => Order::Latency,
            Policy::LeastRequests => Order::LeastRequests,
            Policy::RoundRobin => Order::RoundRobin(round_robin::Sequence::build(list)),
            Policy::ConsistentHash => Order::ConsistentHash(ring::Ring::build(list)),
        }
    }

    pub fn pick(
        &self,
        members: &Members,
        by: &Picking<'_>,
        admit: Admit,
        draws: &mut Draws,
        heard: &mut impl Heard,
    ) -> Option<usize> {
        match self {
            Order::Latency => two_choices(members, by, admit, draws, heard, latency::is_better),
            Order::LeastRequests if members.list.len() > SCAN => {
                two_choices(members, by, admit, draws, heard, is_less_loaded)
            }
            Order::LeastRequests => least_loaded(members, by, admit, draws, heard),
            Order::RoundRobin(sequence) => sequence.find(members, by, admit, draws, heard),
            Order::ConsistentHash(ring) => ring.find(members, by, admit, draws, heard),
        }
    }

    /// Why a member was not taken that nothing barred and that was not looked at.
    pub fn rest(&self) -> NotTaken {
        match self {
            Order::Latency | Order::LeastRequests => NotTaken::NotDrawn,
            Order::RoundRobin(_) => NotTaken::NotItsTurn,
            Order::ConsistentHash(_) => NotTaken::NotItsClient,
        }
    }
}

/// The better one of two drawn.
fn two_choices(
    members: &Members,
    by: &Picking<'_>,
    admit: Admit,
    draws: &mut Draws,
    heard: &mut impl Heard,
    is_better: impl Fn(&Member, &Member, &Picking<'_>) -> bool,
) -> Option<usize> {
    let first = draw(members, by, admit, draws, heard, None)?;
    let Some(second) = draw(members, by, admit, draws, heard, Some(first)) else {
        return Some(first);
    };
    let (taken, beaten) = match is_better(&members.list[second], &members.list[first], by) {
        true => (second, first),
        false => (first, second),
    };
    heard.passed_over(beaten, NotTaken::Beaten);
    Some(taken)
}

/// Holds fewer requests for its weight.
fn is_less_loaded(this: &Member, than: &Member, _: &Picking<'_>) -> bool {
    let load = |of: &Member, by: &Member| u64::from(of.upstream.in_flight()) * u64::from(by.weight);
    load(this, than) < load(than, this)
}

/// The least loaded of all; of equals the one drawn.
fn least_loaded(
    members: &Members,
    by: &Picking<'_>,
    admit: Admit,
    draws: &mut Draws,
    heard: &mut impl Heard,
) -> Option<usize> {
    let mut best = draw(members, by, admit, draws, heard, None)?;
    let first = best;
    for place in (0..members.list.len()).filter(|&place| place != first) {
        if !members.admits(place, by, admit) || !takes_share(members, place, by, draws, heard) {
            continue;
        }
        let is_less = is_less_loaded(&members.list[place], &members.list[best], by);
        let (taken, beaten) = if is_less { (place, best) } else { (best, place) };
        heard.passed_over(beaten, NotTaken::Beaten);
        best = taken;
    }
    Some(best)
}

/// One candidate other than `except`, in proportion to the weights.
fn draw(
    members: &Members,
    by: &Picking<'_>,
    admit: Admit,
    draws: &mut Draws,
    heard: &mut impl Heard,
    except: Option<usize>,
) -> Option<usize> {
    let admits = |place: usize| Some(place) != except && members.admits(place, by, admit);
    let whole = u64::from(members.reach.last().copied()?);
    if members.list.len() == 1 {
        return (whole > 0 && admits(0)).then_some(0);
    }
    for _ in 0..REDRAWS {
        let at = draws.below(whole) as u32;
        let place = members.reach.partition_point(|&reach| reach <= at);
        if place < members.list.len()
            && admits(place)
            && takes_share(members, place, by, draws, heard)
        {
            return Some(place);
        }
    }
    // Many are away, or one outweighs the rest: draw among those that remain, at the cost of a
    // walk over all. Weights are taken in thousandths, so that a slow start counts.
    let weight = |place: usize| {
        let member = &members.list[place];
        let share = if in_full(member) {
            1.0
        } else {
            member.upstream.share(by.settings.slow_start, by.now)
        };
        (f64::from(member.weight) * 1_000.0 * share) as u64
    };
    let remaining: u64 = (0..members.list.len()).filter(|&p| admits(p)).map(weight).sum();
    let mut at = draws.below(remaining);
    (0..members.list.len()).filter(|&place| admits(place)).find(|&place| {
        let here = at < weight(place);
        at = at.saturating_sub(weight(place));
        here
    })
}

/// Whether a member takes the request it was drawn for: always, unless it is to get only a part
/// of its share for now.
pub(super) fn takes_share(
    members: &Members,
    place: usize,
    by: &Picking<'_>,
    draws: &mut Draws,
    heard: &mut impl Heard,
) -> bool {
    let member = &members.list[place];
    let takes =
        in_full(member) || draws.unit() < member.upstream.share(by.settings.slow_start, by.now);
    if !takes {
        heard.passed_over(place, NotTaken::PartShare);
    }
    takes
}

/// Whether nothing speaks for less than its share.
fn in_full(member: &Member) -> bool {
    let partly = Conditions::SLOW_START.with(Conditions::ADVISED_WEIGHT);
    !member.upstream.conditions().any(partly)
}

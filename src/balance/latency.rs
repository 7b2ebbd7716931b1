//! Who is faster and less loaded: two members in, the better one out.
//!
//! The score is (requests held for its weight + 1) × average latency, as Finagle's Peak EWMA has
//! it. Averages that differ by less than half are taken as equal: they would otherwise decide
//! every choice between idle members and overrule the weights.

use super::{DEFAULT_WEIGHT, Member, Picking};

/// Averages within this factor of each other are equal.
const NOISE: f32 = 1.5;

/// Whether `this` is to be preferred to `than`.
pub(super) fn is_better(this: &Member, than: &Member, by: &Picking<'_>) -> bool {
    let (ours, theirs) =
        (this.upstream.latency.seconds(by.now), than.upstream.latency.seconds(by.now));
    match ours < theirs * NOISE && theirs < ours * NOISE {
        true => held(this) < held(than),
        false => (held(this) + 1.0) * ours < (held(than) + 1.0) * theirs,
    }
}

/// Requests held, for a member of the default weight.
fn held(member: &Member) -> f32 {
    member.upstream.in_flight() as f32 * f32::from(DEFAULT_WEIGHT) / f32::from(member.weight.max(1))
}

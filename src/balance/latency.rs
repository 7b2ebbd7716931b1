//! Who is faster and less loaded: two members in, the better one out.
//!
//! The score is (requests held for its weight + 1) × average latency, as Finagle's Peak EWMA has
//! it. Small differences between averages are taken for none: they would otherwise decide every
//! choice between idle members, overrule the weights, and starve who was a little slower once.

use super::{DEFAULT_WEIGHT, Member, Picking};

/// Averages that differ by less than this, in seconds, are equal.
const NOISE: f32 = 0.001;

/// And so are those that differ by less than this part of the larger.
const NOISE_PART: f32 = 0.1;

/// Whether `this` is to be preferred to `than`.
pub(super) fn is_better(this: &Member, than: &Member, by: &Picking<'_>) -> bool {
    let seconds = |of: &Member| of.upstream.latency.seconds(by.usual, by.now);
    let (ours, theirs) = (seconds(this), seconds(than));
    match (ours - theirs).abs() < NOISE.max(ours.max(theirs) * NOISE_PART) {
        true => held(this) < held(than),
        false => (held(this) + 1.0) * ours < (held(than) + 1.0) * theirs,
    }
}

/// Requests held, for a member of the default weight.
fn held(member: &Member) -> f32 {
    member.upstream.in_flight() as f32 * f32::from(DEFAULT_WEIGHT) / f32::from(member.weight.max(1))
}

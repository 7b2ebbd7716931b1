//! The probes of one address: results in, what they prove and the next time out.
//!
//! One success proves a new upstream, so that a start does not wait; `fall` failures in a row take
//! it out and `rise` successes in a row bring it back, so that one lost packet does neither. While
//! results speak against what is proved, probes follow each other faster, to make up one's mind
//! soon; while live traffic proves the upstream, every other one is spared, and two are never further
//! apart than two intervals. Every wait is drawn from ±20 %, and the first of all from a whole interval,
//! so that upstreams that start together do not go on being probed together.

use std::time::{Duration, Instant};

use super::{Health, Proof};
use crate::clock::Draws;

/// From one result to the next probe at most, while the state is changing.
const HURRY: Duration = Duration::from_secs(1);

/// What one probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The expected answer came in time.
    Success,
    /// It did not.
    Failure,
}

/// What live traffic shows of an upstream at the moment a probe is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    /// A request was answered with 2xx or 3xx within the last interval.
    Succeeding,
    /// None did, or none was sent.
    Silent,
}

/// Where the probes of one address stand.
#[derive(Clone, Debug, Default)]
pub struct Probing {
    proof: Proof,
    /// Results in a row that speak against `proof`, or failures in a row while there is none.
    against: u32,
    /// Whether the first wait has been drawn from a whole interval.
    is_spread: bool,
    /// Whether live traffic stood in for the last one that was due.
    has_spared: bool,
}

impl Probing {
    /// That of an address of which this much is known. Its first probe is due at once.
    pub fn from_proof(proof: Proof) -> Probing {
        Probing { proof, ..Probing::default() }
    }

    /// What the results so far prove.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// Whether the last results speak against what is proved, or nothing is proved yet.
    pub fn is_changing(&self) -> bool {
        self.proof == Proof::Unproven || self.against > 0
    }

    /// A probe is due: `None` if it has to be sent, else when to ask again, since live traffic
    /// shows what it would have shown.
    ///
    /// It is put off once, by so little that the next is no further from the last than two intervals. A
    /// health agent speaks through the answers to probes only, so with one none is spared.
    pub fn spare(
        &mut self,
        health: &Health,
        live: Live,
        now: Instant,
        draws: &mut Draws,
    ) -> Option<Instant> {
        let is_settled = self.is_spread && self.proof == Proof::Up && !self.is_changing();
        let may_be = is_settled && live == Live::Succeeding && !health.agent;
        if !may_be || self.has_spared {
            return None;
        }
        self.has_spared = true;
        // The wait before was 1.2 intervals at most.
        Some(now + health.interval * 2 / 5 + part_of(health.interval * 2 / 5, draws))
    }

    /// Takes a result in; answers with the time of the next probe.
    pub fn on_result(
        &mut self,
        finding: Finding,
        health: &Health,
        now: Instant,
        draws: &mut Draws,
    ) -> Instant {
        self.judge(finding, health);
        self.has_spared = false;
        if self.is_changing() {
            return now + jittered(health.interval.min(HURRY), draws);
        }
        if !self.is_spread {
            self.is_spread = true;
            return now + part_of(health.interval, draws);
        }
        now + jittered(health.interval, draws)
    }

    fn judge(&mut self, finding: Finding, health: &Health) {
        let (against_needed, becomes) = match (self.proof, finding) {
            (Proof::Unproven, Finding::Success) => (1, Proof::Up),
            (Proof::Unproven | Proof::Up, Finding::Failure) => (health.fall, Proof::Down),
            (Proof::Down, Finding::Success) => (health.rise, Proof::Up),
            (Proof::Up, Finding::Success) | (Proof::Down, Finding::Failure) => {
                self.against = 0;
                return;
            }
        };
        self.against += 1;
        // A success that proves a new upstream ends its failures too, however few they were.
        if self.against >= against_needed {
            (self.proof, self.against) = (becomes, 0);
        }
    }
}

/// U[0.8, 1.2] of this time.
fn jittered(time: Duration, draws: &mut Draws) -> Duration {
    time * 4 / 5 + part_of(time * 2 / 5, draws)
}

/// U[0, 1) of this time.
fn part_of(time: Duration, draws: &mut Draws) -> Duration {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(draws.below(nanos))
}

#[cfg(test)]
mod tests;

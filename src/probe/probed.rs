//! One address under probing: results in, proof, advice and counts out, to every upstream that
//! shares it. Changes are told by whoever watches the upstreams.

use std::sync::Arc;
use std::time::Instant;

use super::advice::Advice;
use super::failure::ProbeFailure;
use super::roster::{Subject, Subscriber};
use crate::clock::{Draws, Moment};
use crate::upstream::{Finding, Live, Probing, Proof, SUCCESSES};

/// A subject with its probing and its subscribers.
#[derive(Debug)]
pub struct Probed {
    /// What is probed, and how.
    pub subject: Arc<Subject>,
    subscribers: Vec<Subscriber>,
    probing: Probing,
}

impl Probed {
    /// A subject that goes on from what its upstreams have proved already: new settings make no
    /// upstream unproven that was up.
    pub fn new(subject: Subject, subscribers: Vec<Subscriber>, now: Instant) -> Probed {
        let mut proofs = subscribers.iter().map(|subscriber| subscriber.upstream.proof());
        let proof = proofs.find(|proof| *proof != Proof::Unproven).unwrap_or_default();
        let probing = Probing::from_proof(proof);
        let mut probed = Probed { subject: Arc::new(subject), subscribers: Vec::new(), probing };
        probed.subscribe(subscribers, now);
        probed
    }

    /// Serves these upstreams from now on. One that comes to share an address is proved by what
    /// the others were proved by.
    pub fn subscribe(&mut self, subscribers: Vec<Subscriber>, now: Instant) {
        for Subscriber { upstream, origin } in &subscribers {
            if upstream.proof() != self.probing.proof() {
                upstream.set_proof(self.probing.proof(), Moment::since(*origin, now));
            }
            if !self.subject.health.agent {
                upstream.set_advice(None, false);
            }
        }
        self.subscribers = subscribers;
    }

    /// A probe is due: when to ask again if live traffic stands in for it.
    pub fn spare(&mut self, now: Instant, draws: &mut Draws) -> Option<Instant> {
        let health = &self.subject.health;
        let succeeds = now.checked_sub(health.interval).is_some_and(|since| {
            self.subscribers
                .iter()
                .any(|to| to.upstream.succeeded_since(Moment::since(to.origin, since)))
        });
        let live = if succeeds { Live::Succeeding } else { Live::Silent };
        self.probing.spare(health, live, now, draws)
    }

    /// Takes a result in, tells all who share it, and answers with the time of the next probe.
    pub fn on_result(
        &mut self,
        result: &Result<Advice, ProbeFailure>,
        now: Instant,
        draws: &mut Draws,
    ) -> Instant {
        let finding = match result {
            Ok(advice) => self.on_success(*advice, now),
            Err(failure) => self.on_failure(failure),
        };
        let before = self.probing.proof();
        let due = self.probing.on_result(finding, &self.subject.health, now, draws);
        if self.probing.proof() != before {
            self.on_change(now);
        }
        due
    }

    fn on_success(&self, advice: Advice, now: Instant) -> Finding {
        for Subscriber { upstream, origin } in &self.subscribers {
            upstream.probes.record_success();
            upstream.note_accepted(SUCCESSES, Moment::since(*origin, now));
            if self.subject.health.agent {
                upstream.set_advice(advice.weight, advice.drain);
            }
        }
        Finding::Success
    }

    fn on_failure(&self, failure: &ProbeFailure) -> Finding {
        let reason: Arc<str> = failure.to_string().into();
        for Subscriber { upstream, .. } in &self.subscribers {
            upstream.probes.record_failure(reason.clone());
        }
        Finding::Failure
    }

    fn on_change(&self, now: Instant) {
        for Subscriber { upstream, origin } in &self.subscribers {
            upstream.set_proof(self.probing.proof(), Moment::since(*origin, now));
        }
    }
}

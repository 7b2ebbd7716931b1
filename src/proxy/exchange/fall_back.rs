//! What is said when nobody can be asked: a refusal in; the last good response, another pool, the
//! service's static answer or a plain refusal out, in this order.

use std::sync::atomic::Ordering;

use http::HeaderMap;

use super::super::admission::Head;
use super::super::answer::Answer;
use super::super::failure::Cause;
use super::Exchange;
use crate::route::Facts;
use crate::snapshot::{Mode, Refusal, Why};

/// What is kept of the request and its response for a time when nobody can be asked.
#[derive(Debug, Default)]
pub(super) struct Stale;

impl Exchange {
    /// The answer to a request that was refused; none if another pool takes it.
    pub(super) fn fall_back(
        &mut self,
        facts: &Facts<'_>,
        head: &Head<'_>,
        refusal: Refusal,
    ) -> Option<Answer> {
        let cause = Cause::from(refusal.why);
        if let (Why::NoUpstream | Why::Open, Some(at)) = (refusal.why, refusal.at) {
            let now = self.clock.now();
            let moment = self.snapshot.moment(now);
            let stand_in = self.snapshot.decide_stand_in(at, moment, &mut self.draws);
            if stand_in.is_some_and(|decision| self.sit_down(decision, now).is_ok()) {
                let fallbacks = &self.snapshot.services[at.0].state.fallbacks;
                fallbacks.pool.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        let _ = facts;
        if refusal.why == Why::Full
            && let Some(at) = refusal.at
        {
            self.snapshot.services[at.0].state.shed.fetch_add(1, Ordering::Relaxed);
        }
        let message = refusal.at.and_then(|at| match &self.snapshot.services[at.0].mode {
            Mode::Maintenance { message } => message.clone(),
            _ => None,
        });
        let mut answer = self.answer(cause, head.headers);
        if let Some(message) = message.filter(|_| cause == Cause::Maintenance) {
            answer = Answer::with_detail(cause, &message, head.headers, self.request_id());
        }
        Some(answer)
    }

    pub(super) fn prepare_stale(&mut self, _: &Head<'_>, _: &Facts<'_>) {}

    pub(super) fn record_stale(&mut self, _: u16, _: &HeaderMap) {}
}

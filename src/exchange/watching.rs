//! What of a request a rollout's ledger will want to know: where the split sent it, which of its
//! attempts speak for a version, and what the upstream counts itself. The rest is in its record
//! (`record/judged.rs`).
//!
//! A request of a service without a rollout costs one look at an option.

use super::Exchange;
use crate::http::fields::FieldId;
use crate::http::list;
use crate::http::view::View;
use crate::judge::Watched;
use crate::snapshot::{By, Choice};

impl Exchange {
    fn watched(&self, service: usize) -> Option<&Watched> {
        self.snapshot.services[service].watched.as_ref()
    }

    /// Whether what an upstream makes of the request says anything of its version: the split gave it
    /// to this pool. What the stable pool does for a canary is not its own.
    pub(super) fn is_judged(&self, decision: &Choice) -> bool {
        matches!(decision.by, By::Cohort(_) | By::Draw)
            && self.pool.is_none_or(|(_, pool)| pool == decision.pool)
    }

    /// The split sends the request to a pool. Counted at once: at its end another step may have begun.
    pub(super) fn note_arrival(&self, decision: &Choice) {
        let Some(watched) = self.watched(decision.service) else { return };
        if self.is_judged(decision)
            && let Some(account) = watched.account(decision.pool)
        {
            account.arrive(decision.user);
        }
    }

    /// The metrics that the head of an answer raises, where somebody wants to know.
    pub(super) fn read_metrics(&self, view: View<'_>) -> u8 {
        let watched = self.decision.and_then(|decision| self.watched(decision.service));
        let Some(watched) = watched else { return 0 };
        let names = &watched.ledger.metrics;
        if names.is_empty() {
            return 0;
        }
        let said = view.all_of(FieldId::Metric).flat_map(list::members).filter_map(list::directive);
        let bit = |(name, value): (&[u8], Option<&[u8]>)| {
            let place = names.iter().position(|known| known.as_bytes() == name)?;
            (value? != b"0").then_some(1 << place)
        };
        said.filter_map(bit).fold(0, |bits, bit: u8| bits | bit)
    }
}

//! One upstream: what it has done so far, once a second, in; what it did lately out.

use std::collections::VecDeque;

use super::pool::{Done, LOOKS};
use crate::judge::bursts::ByUpstream;
use crate::upstream::Upstream;

/// The last minutes of one upstream.
#[derive(Debug, Default)]
pub(super) struct UpstreamMinutes {
    /// Attempts and failures by each look, the newest last; at most [`LOOKS`] and one.
    totals: VecDeque<(u64, u64)>,
    /// What it had done by the last look.
    done: Option<Done>,
}

/// What one upstream did over the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UpstreamRate {
    /// Attempts at it per second.
    pub requests: f64,
    /// Share of them that failed, 0 to 1.
    pub errors: f64,
}

impl UpstreamMinutes {
    /// Takes in what it has done so far.
    pub fn note(&mut self, requests: u64, errors: u64) {
        self.totals.push_back((requests, errors));
        if self.totals.len() > LOOKS + 1 {
            self.totals.pop_front();
        }
    }

    /// What came of it since the last look, of its own counts of what is bad or of all its ends; none at the
    /// first, for what it had done until then was not done in a second.
    pub fn came(
        &mut self,
        upstream: &Upstream,
        done: Done,
        counts_own: bool,
    ) -> Option<ByUpstream> {
        let last = self.done.replace(done)?;
        let (own, slow) = done.judged.since(last.judged);
        let (answers, slow) = match upstream.warmth.is_cold() {
            true => (0, [0; 3]),
            false => (done.answers.saturating_sub(last.answers), slow),
        };
        let attempts = if counts_own { own } else { done.attempts.since(last.attempts) };
        Some(ByUpstream { name: upstream.name.clone(), attempts, answers, slow })
    }

    /// Its rates over the looks that are kept, which took so many seconds.
    pub fn rate(&self, seconds: f64) -> UpstreamRate {
        let (Some(first), Some(last)) = (self.totals.front(), self.totals.back()) else {
            return UpstreamRate::default();
        };
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let requests = last.0.saturating_sub(first.0);
        // As of a pool: the two are not read at one moment.
        let errors = last.1.saturating_sub(first.1).min(requests) as f64;
        let requests = requests as f64;
        let errors = ratio(errors, requests);
        UpstreamRate { requests: ratio(requests, seconds), errors }
    }
}

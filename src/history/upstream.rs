//! One upstream: what it has done so far, once a second, in; what it did lately out.

use std::collections::VecDeque;

use super::failures::Failures;
use super::pool::LOOKS;

/// The last minutes of one upstream.
#[derive(Debug, Default)]
pub(super) struct UpstreamMinutes {
    /// Five minutes of failures, second by second.
    pub failures: Failures,
    /// Attempts and failures by each look, the newest last; at most [`LOOKS`] and one.
    totals: VecDeque<(u64, u64)>,
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
        self.failures.note(errors);
        self.totals.push_back((requests, errors));
        if self.totals.len() > LOOKS + 1 {
            self.totals.pop_front();
        }
    }

    /// Its rates over the looks that are kept, which took so many seconds.
    pub fn rate(&self, seconds: f64) -> UpstreamRate {
        let (Some(first), Some(last)) = (self.totals.front(), self.totals.back()) else {
            return UpstreamRate::default();
        };
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let requests = last.0.saturating_sub(first.0) as f64;
        let errors = ratio(last.1.saturating_sub(first.1) as f64, requests);
        UpstreamRate { requests: ratio(requests, seconds), errors }
    }
}

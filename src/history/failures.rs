//! Failures of one upstream, second by second: its total in, the last five minutes out.

use std::collections::VecDeque;

/// Seconds that are kept.
const SECONDS: usize = 300;

/// The last five minutes of one upstream.
#[derive(Debug, Default)]
pub(super) struct Failures {
    total: u64,
    /// The oldest first; at most [`SECONDS`].
    seconds: VecDeque<u32>,
}

impl Failures {
    /// Notes how many there were so far.
    pub fn note(&mut self, total: u64) {
        let new = total.saturating_sub(std::mem::replace(&mut self.total, total));
        self.seconds.push_back(u32::try_from(new).unwrap_or(u32::MAX));
        if self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
    }

    /// How many came in each second, the oldest first.
    pub fn seconds(&self) -> Vec<u32> {
        self.seconds.iter().copied().collect()
    }
}

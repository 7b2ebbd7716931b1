//! What a pool's own upstreams did with what was asked of them: attempts in, two totals out.
//!
//! [`PoolState::tally`](super::PoolState::tally) shows what clients got. A canary that fails behind
//! its shield looks well there, so whoever judges pools reads these totals: one for each attempt,
//! whatever another pool made of it afterwards, and one for each request that nobody of its pool
//! could be asked for. What says nothing of the pool is in neither: clients that left, kept
//! connections that were dead and opened again, requests that our own limits refused.

use crate::judge::Counts;
use std::sync::atomic::{AtomicU64, Ordering};

/// Running totals of a pool's attempts.
#[derive(Debug, Default)]
pub struct Attempts {
    total: AtomicU64,
    bad: AtomicU64,
}

impl Attempts {
    /// Counts one that is over.
    pub fn count(&self, is_bad: bool) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if is_bad {
            self.bad.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The totals now; never more bad ones than there are.
    pub fn read(&self) -> Counts {
        let bad = self.bad.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        // Read without a lock, between the two steps of a count.
        Counts { total: total.max(bad), bad }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_ones_are_counted_in_both() {
        let attempts = Attempts::default();
        [true, false, true].into_iter().for_each(|is_bad| attempts.count(is_bad));
        assert_eq!(attempts.read(), Counts { total: 3, bad: 2 });
    }
}

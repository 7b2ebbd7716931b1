//! Whether anything has become different in how upstreams and breakers stand: marks and turns in, one count
//! out.
//!
//! Whoever looks at all of them from time to time need not while the count is the same. It is the process's:
//! upstreams outlive snapshots and belong to several pools, and a count too many costs one look.

use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Something is different now. Whoever finds this counted finds that, too.
pub(super) fn note() {
    COUNT.fetch_add(1, Ordering::Release);
}

/// How often something has become different so far. Read before a look: what changes during it may have been
/// seen or not, and is counted behind what was read here.
pub fn changes() -> u64 {
    COUNT.load(Ordering::Acquire)
}

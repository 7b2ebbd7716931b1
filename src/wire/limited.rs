//! Connections that a limit has refused or ended, by which.

use std::sync::atomic::{AtomicU64, Ordering};

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Too many connections of its address.
    PerClient,
    /// Memory is short: no new ones.
    Memory,
    /// Memory is short: none that wait for nothing.
    MemoryIdle,
    /// It has carried as many requests as it may.
    Requests,
    /// A body came too slowly.
    BodyRate,
    /// It should begin with a header of the PROXY protocol, and does not, or nobody believes it.
    ProxyHeader,
    /// Its requests were taken back too often.
    Resets,
    /// Its frames were too many for what they said, or too often wrong.
    Frames,
    /// It took nothing of what it was sent.
    Stuck,
}

/// Counts of them.
#[derive(Debug, Default)]
pub struct Limited([AtomicU64; 9]);

impl Limit {
    const ALL: [Limit; 9] = [
        Limit::PerClient,
        Limit::Memory,
        Limit::MemoryIdle,
        Limit::Requests,
        Limit::BodyRate,
        Limit::ProxyHeader,
        Limit::Resets,
        Limit::Frames,
        Limit::Stuck,
    ];

    /// As metrics name it.
    fn name(self) -> &'static str {
        match self {
            Limit::PerClient => "per_client",
            Limit::Memory => "memory",
            Limit::MemoryIdle => "memory_idle",
            Limit::Requests => "requests",
            Limit::BodyRate => "body_rate",
            Limit::ProxyHeader => "proxy_header",
            Limit::Resets => "resets",
            Limit::Frames => "frames",
            Limit::Stuck => "stuck",
        }
    }
}

impl Limited {
    /// One more.
    pub(super) fn count(&self, limit: Limit) {
        self.0[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each limit, and how often.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |limit: Limit| self.0[limit as usize].load(Ordering::Relaxed);
        Limit::ALL.into_iter().map(move |limit| (limit.name(), count(limit)))
    }
}

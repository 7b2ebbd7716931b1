//! The end of the process, and times when its memory is short, as connections see it: one call in,
//! shorter waits out.
//!
//! A connection asks to be woken once, when it comes in: while the process serves it costs nothing
//! more.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// How long connections may stay where nothing else bounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Those that are kept and say nothing.
    pub idle: Duration,
    /// Tunnels.
    pub tunnels: Duration,
}

/// Whether the process stops.
#[derive(Debug, Default)]
pub struct Stop {
    bounds: OnceLock<Bounds>,
    tunnels: AtomicUsize,
    called: Arc<Notify>,
    /// How long kept connections may say nothing while memory is short, in milliseconds and one; 0 for
    /// as long as ever.
    squeezed: AtomicU64,
    /// How often that has become shorter.
    squeezes: AtomicU32,
}

impl Stop {
    /// It does. The first call counts.
    pub fn call(&self, bounds: Bounds) {
        // A second call has nothing to say that the first has not.
        let _ = self.bounds.set(bounds);
        self.called.notify_waiters();
    }

    /// How many tunnels there are.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Counts one until it is dropped.
    pub(super) fn tunnel(&self) -> Tunnel<'_> {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        Tunnel(self)
    }

    /// The bounds, if it does.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        self.bounds.get().copied()
    }

    /// Memory is short: kept connections may say nothing for so long; none for as long as ever. Wakes
    /// all of them when that is shorter than before.
    pub fn squeeze(&self, idle: Option<Duration>) {
        let millis = |idle: Duration| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let now = idle.map_or(0, millis);
        let before = self.squeezed.swap(now, Ordering::SeqCst);
        if now != 0 && (before == 0 || now < before) {
            self.squeezes.fetch_add(1, Ordering::SeqCst);
            self.called.notify_waiters();
        }
    }

    /// How long kept connections may say nothing because memory is short, if it is.
    pub(super) fn squeezed(&self) -> Option<Duration> {
        self.squeezed.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis)
    }

    /// How often that has become shorter: who has been woken by it asks to be woken again.
    pub(super) fn squeezes(&self) -> u32 {
        self.squeezes.load(Ordering::Relaxed)
    }

    /// The call. What comes after this is not missed.
    pub(super) fn called(&self) -> OwnedNotified {
        self.called.clone().notified_owned()
    }
}

/// One tunnel.
pub(super) struct Tunnel<'s>(&'s Stop);

impl Drop for Tunnel<'_> {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

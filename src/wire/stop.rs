//! The end of the process as connections see it: one call in, shorter waits out.
//!
//! A connection asks to be woken once, when it comes in: while the process serves it costs nothing
//! more.

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
    called: Arc<Notify>,
}

impl Stop {
    /// It does. The first call counts.
    pub fn call(&self, bounds: Bounds) {
        // A second call has nothing to say that the first has not.
        let _ = self.bounds.set(bounds);
        self.called.notify_waiters();
    }

    /// The bounds, if it does.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        self.bounds.get().copied()
    }

    /// The call. What comes after this is not missed.
    pub(super) fn called(&self) -> OwnedNotified {
        self.called.clone().notified_owned()
    }
}

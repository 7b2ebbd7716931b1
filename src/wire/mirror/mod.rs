//! Copies of requests on their way to another pool: from the lanes in, to whoever sends them out.
//!
//! A lane offers a copy once its request is over, and never waits: the copy has a place in its
//! service's queue or it is dropped. One task on a thread of its own sends them, so that a pool that
//! hangs costs a request worker nothing.

mod connections;
mod sender;

use tokio::sync::mpsc;

use crate::mirror::{Copied, QueuePlace};

pub use sender::send_copies;

/// A copy with its place in the queue.
#[derive(Debug)]
struct Queued {
    copied: Copied,
    place: QueuePlace,
}

/// The lanes' end. The channel itself has no bound: every copy in it holds a place that has one.
#[derive(Clone, Debug)]
pub struct Mirrors(mpsc::UnboundedSender<Queued>);

/// The sender's end.
#[derive(Debug)]
pub struct Copies(mpsc::UnboundedReceiver<Queued>);

/// A way for copies.
pub fn channel() -> (Mirrors, Copies) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Mirrors(sender), Copies(receiver))
}

impl Mirrors {
    /// Takes a copy, or drops it if too many of its service wait.
    pub fn offer(&self, copied: Copied) {
        let Some(place) = copied.state.wait(copied.settings.queue) else { return };
        // Without anybody to send it the process is about to end.
        let _ = self.0.send(Queued { copied, place });
    }
}

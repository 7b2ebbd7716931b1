//! Where connections are to come in: the listeners that a config wants in, sockets that accept out.
//!
//! The process owns the sockets; the writer only says which it wants, in two steps, so that a change
//! that is refused half-way has changed nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::certificate::Certificates;
use crate::config::{ListenAddress, Listener, ListenerTls};
use crate::observe::ListenerTally;

/// Who owns the sockets.
pub trait Listening: Send + 'static {
    /// Sockets bound for a change that is not made yet.
    type Prepared: Send;

    /// Binds what is wanted and not there yet, and makes ready what connections get, those of the admin
    /// address too: with certificates that were read. Fails as a whole: then nothing has changed.
    fn prepare(
        &self,
        wanted: &[Listener],
        admin: (&ListenAddress, Option<&ListenerTls>),
        certificates: &Certificates,
    ) -> Result<Self::Prepared, BindError>;

    /// Accepts on what was prepared and no longer on what is not wanted.
    fn commit(&mut self, prepared: Self::Prepared);

    /// The sockets that are ours, once more, for another process.
    fn descriptors(&self) -> io::Result<Vec<OwnedFd>>;

    /// From now on another process accepts there too, and goes on when this one does not.
    fn hand_on(&self);

    /// Accepts what has come so far and then stops accepting everywhere.
    fn stop(&mut self) -> impl Future<Output = ()> + Send;

    /// The totals of each.
    fn tallies(&self) -> Vec<Arc<ListenerTally>>;
}

/// The address that could not be bound, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct BindError {
    /// The address as configured.
    pub address: ListenAddress,
    /// What the system said.
    pub error: io::Error,
}

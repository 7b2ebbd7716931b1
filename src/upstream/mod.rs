//! What we know of one upstream: its address, whether it takes requests, how many it holds, and
//! what it has done so far.
//!
//! An [`Upstream`] is shared by every snapshot that names it and so survives reloads and shifts;
//! its identity is (service, pool, address), never its weight. Many write here, without a lock.

mod address;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub use address::{Address, AddressError, Target};
pub use tally::{DURATION_BOUNDS, Outcome, StatusClass, Tally, TallyReading};

/// One address in one pool.
#[derive(Debug)]
pub struct Upstream {
    /// The address as configured; with service and pool, the identity.
    pub address: Address,
    /// The address as text, for labels and answers.
    pub name: Arc<str>,
    /// What was asked of it and how that went, attempt by attempt.
    pub tally: Tally,
    draining: AtomicBool,
    in_flight: AtomicU32,
}

impl Upstream {
    /// A new upstream, active and idle.
    pub fn new(address: Address) -> Upstream {
        let name = address.to_string().into();
        let (draining, in_flight) = (AtomicBool::new(false), AtomicU32::new(0));
        Upstream { address, name, tally: Tally::default(), draining, in_flight }
    }

    /// Whether an operator has taken it out for new requests.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Takes it out for new requests (`true`) or lets it back in.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// How many requests it holds now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one request in flight until the guard is dropped.
    pub fn hold(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }
}

/// One request in flight on an upstream; gives its place back on drop.
#[derive(Debug)]
pub struct InFlight(Arc<Upstream>);

impl InFlight {
    /// The upstream that holds the request.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

//! One finished request: how it went in, its pool's totals one higher out.

use std::time::Duration;

use crate::snapshot::Snapshot;
use crate::upstream::Outcome;

/// What is known of a request once it is over.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Places of service and pool; none if it was refused before it had any.
    pub pool: Option<(usize, usize)>,
    /// How it ended for the client.
    pub outcome: Outcome,
    /// From the end of its head to the end of its answer, but for the time it waited in line.
    pub duration: Duration,
    /// What its user waited for it: until the end of its answer, waits in line included; of a
    /// stream until its head.
    pub felt: Duration,
}

impl Record {
    /// Adds it to the totals of its pool in the snapshot that decided it, and to those that its
    /// service's objectives go by.
    pub fn account(&self, snapshot: &Snapshot) {
        let tally = match self.pool {
            Some((service, pool)) => {
                let service = &snapshot.services[service];
                if let Some(slo) = &service.slo {
                    service.state.slo.count(slo, self.outcome, self.felt);
                }
                &service.pools[pool].state.tally
            }
            None => &snapshot.unmatched,
        };
        tally.record(self.outcome, self.duration);
    }
}

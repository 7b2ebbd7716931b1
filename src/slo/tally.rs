//! What a service's requests came to, for its objectives: one that ended in, counters that only grow
//! out.
//!
//! A request raises one of three counters (bad, switched, timed) and, if it was slow, one for
//! each objective that it was too slow for. Sums of counters that only grow only grow as well, so a
//! reading without a lock can never look like a process that has begun anew.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Objective, Quantile, Slo};
use crate::judge::Counts;
use crate::upstream::{Outcome, StatusClass};

/// Running totals of a service.
#[derive(Debug, Default)]
pub struct Tally {
    bad: AtomicU64,
    /// Of the bad ones those that are the doing of one client.
    one_clients: AtomicU64,
    /// Good, and its length says nothing: the connection was switched to another protocol.
    switched: AtomicU64,
    /// Good, and as long as it took.
    timed: AtomicU64,
    /// Of those that were timed, by [`Quantile`].
    slow: [AtomicU64; Quantile::ALL.len()],
}

/// A copy of all totals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    bad: u64,
    one_clients: u64,
    switched: u64,
    timed: u64,
    slow: [u64; Quantile::ALL.len()],
}

impl Totals {
    /// What was counted since an earlier copy.
    pub fn since(&self, before: &Totals) -> Totals {
        Totals {
            bad: self.bad.saturating_sub(before.bad),
            one_clients: self.one_clients.saturating_sub(before.one_clients),
            switched: self.switched.saturating_sub(before.switched),
            timed: self.timed.saturating_sub(before.timed),
            slow: std::array::from_fn(|at| self.slow[at].saturating_sub(before.slow[at])),
        }
    }
}

impl Tally {
    /// All totals now.
    pub fn all(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            bad: read(&self.bad),
            one_clients: read(&self.one_clients),
            switched: read(&self.switched),
            timed: read(&self.timed),
            slow: std::array::from_fn(|at| read(&self.slow[at])),
        }
    }

    /// Counts what another process has counted.
    pub fn add(&self, more: &Totals) {
        let add = |counter: &AtomicU64, more| counter.fetch_add(more, Ordering::Relaxed);
        add(&self.bad, more.bad);
        add(&self.one_clients, more.one_clients);
        add(&self.switched, more.switched);
        add(&self.timed, more.timed);
        for (own, more) in self.slow.iter().zip(more.slow) {
            add(own, more);
        }
    }

    /// Counts a request that ended like this for its client after `took`. Who left says nothing.
    pub fn count(&self, slo: &Slo, outcome: Outcome, took: Duration) {
        let counter = match outcome {
            Outcome::ClientGone => return,
            Outcome::Failed | Outcome::Status(StatusClass::ServerError) => &self.bad,
            Outcome::Status(StatusClass::Informational) => &self.switched,
            Outcome::Status(_) => {
                for (quantile, at_most) in slo.latencies() {
                    if took > at_most {
                        self.slow[quantile as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
                &self.timed
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was counted as bad is the doing of one client: it counts all the same.
    pub fn note_one_clients(&self) {
        self.one_clients.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were the doing of one client, and the other bad ones.
    pub fn causes(&self) -> (u64, u64) {
        let one_clients = self.one_clients.load(Ordering::Relaxed);
        (one_clients, self.bad.load(Ordering::Relaxed).saturating_sub(one_clients))
    }

    /// The totals that an objective goes by.
    pub fn read(&self, objective: &Objective) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        match objective {
            Objective::Availability(_) => {
                let bad = read(&self.bad);
                Counts { total: bad + read(&self.switched) + read(&self.timed), bad }
            }
            Objective::Latency { quantile, .. } => {
                let bad = read(&self.slow[*quantile as usize]);
                Counts { total: read(&self.timed), bad }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::{DEFAULT_WINDOW, Goal};

    #[test]
    fn each_objective_counts_what_it_is_for() {
        let millis = Duration::from_millis;
        let availability = Objective::Availability(Goal::THREE_NINES);
        let [p50, p99] = [(Quantile::P50, 100), (Quantile::P99, 500)]
            .map(|(quantile, most)| Objective::Latency { quantile, at_most: millis(most) });
        let slo = Slo { objectives: vec![availability, p50, p99], window: DEFAULT_WINDOW };
        let tally = Tally::default();
        let status = |code| Outcome::Status(StatusClass::of(code));
        for (outcome, took) in [
            (status(200), 100),
            (status(200), 101),
            (status(302), 501),
            (status(404), 1),
            (status(101), 90_000),
            (status(500), 900),
            (status(503), 1),
            (Outcome::Failed, 15_000),
            (Outcome::ClientGone, 60_000),
        ] {
            tally.count(&slo, outcome, millis(took));
        }
        assert_eq!(tally.read(&availability), Counts { total: 8, bad: 3 });
        assert_eq!(tally.read(&p50), Counts { total: 4, bad: 2 });
        assert_eq!(tally.read(&p99), Counts { total: 4, bad: 1 });
    }
}

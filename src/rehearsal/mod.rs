//! What would a rollout do? A scenario in, how many thousand rollouts of it would go out.
//!
//! A rehearsal runs the rollout and the judge that a live service has, against a service that is
//! simulated second by second, or as it was recorded. Each run has its seed, and the same seed runs the same. Everything
//! that decides is the real thing; what is simulated is only what the world would do.

mod latency;
mod traffic;
mod world;
mod scenario;
mod users;
mod service;
mod recorded;
mod replay;
mod run;
mod summary;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::rollout::Strategy;
use service::Tables;

pub use latency::{Latency, NotALatency};
pub use recorded::{NotPlayed, Recorded, SHORTEST};
pub use run::{Ending, Run};
pub use scenario::{Behaviour, Crowd, Scenario};
pub use summary::{Group, Spread, Summary, wilson};
pub use traffic::{BadProfile, Traffic};
pub use world::{Cold, Lasts, Pauses, Restarts, Stalls, World};

/// A scenario that is ready to run.
#[derive(Debug)]
pub struct Rehearsal {
    scenario: Scenario,
    tables: Tables,
}

/// A plan that nothing can be rehearsed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rolling rollout renews upstreams in place and is not compared with anything: there is \
     nothing to rehearse"
)]
pub struct NotRehearsed;

impl Rehearsal {
    /// Makes a scenario ready.
    pub fn of(mut scenario: Scenario) -> Result<Rehearsal, NotRehearsed> {
        if scenario.plan.strategy == Strategy::Rolling {
            return Err(NotRehearsed);
        }
        scenario.plan.judging.prometheus = None;
        let tables = Tables::of(&scenario);
        Ok(Rehearsal { scenario, tables })
    }

    /// One rollout.
    pub fn run(&self, seed: u64) -> Run {
        run::run(self, seed)
    }

    /// One for each seed, in their order, on so many threads. `done` counts those that are over.
    pub fn run_all(&self, seeds: Range<u64>, threads: NonZeroUsize, done: &AtomicU64) -> Vec<Run> {
        let next = AtomicU64::new(seeds.start);
        let work = || {
            let mut runs = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return runs;
                }
                runs.push((seed, self.run(seed)));
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let mut runs = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads.get()).map(|_| scope.spawn(work)).collect();
            let mut runs = work();
            for other in others {
                match other.join() {
                    Ok(more) => runs.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            runs
        });
        runs.sort_unstable_by_key(|(seed, _)| *seed);
        runs.into_iter().map(|(_, run)| run).collect()
    }

    fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    fn tables(&self) -> &Tables {
        &self.tables
    }
}

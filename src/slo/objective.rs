//! What a service promises its users: objectives, and the time that their budgets are for.

use std::fmt;
use std::time::Duration;

use super::Goal;
use super::standing::FEWEST;

/// What a service promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Availability first, then latencies by quantile; no quantile twice.
    pub objectives: Vec<Objective>,
    /// The time that a budget is for; whole days, 1 to 90.
    pub window: Duration,
}

/// The window if nothing is said of it.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// So many requests do not fail.
    Availability(Goal),
    /// So many of the requests that did not fail are answered within a time. What failed is the
    /// other objective's: counted here too, one outage would spend two budgets, and a fast 500
    /// would be praised for its speed.
    Latency {
        /// How many.
        quantile: Quantile,
        /// The time, from the end of the request's head to the end of the answer, waits in line
        /// included: users wait there as well.
        at_most: Duration,
    },
}

/// The share of requests that a latency objective is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantile {
    /// Half.
    P50 = 0,
    /// 90 %.
    P90 = 1,
    /// 95 %.
    P95 = 2,
    /// 99 %.
    P99 = 3,
    /// 99.9 %.
    P999 = 4,
}

impl Quantile {
    /// All of them.
    pub const ALL: [Quantile; 5] =
        [Quantile::P50, Quantile::P90, Quantile::P95, Quantile::P99, Quantile::P999];

    /// Its word in the file and in labels.
    pub const fn name(self) -> &'static str {
        match self {
            Quantile::P50 => "p50",
            Quantile::P90 => "p90",
            Quantile::P95 => "p95",
            Quantile::P99 => "p99",
            Quantile::P999 => "p99.9",
        }
    }

    const fn goal(self) -> Goal {
        Goal::of_millionths(match self {
            Quantile::P50 => 500_000,
            Quantile::P90 => 900_000,
            Quantile::P95 => 950_000,
            Quantile::P99 => 990_000,
            Quantile::P999 => 999_000,
        })
    }
}

impl Objective {
    /// A name for labels and programs, unique in its service.
    pub fn name(&self) -> &'static str {
        match self {
            Objective::Availability(_) => "availability",
            Objective::Latency { quantile, .. } => quantile.name(),
        }
    }

    /// The share of requests that has to be good.
    pub fn goal(&self) -> Goal {
        match self {
            Objective::Availability(goal) => *goal,
            Objective::Latency { quantile, .. } => quantile.goal(),
        }
    }
}

/// Which requests are bad, in words: two that say the same are counted alike, so that history of the
/// one is history of the other. A goal is no part of it.
impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objective::Availability(_) => f.write_str("availability"),
            Objective::Latency { quantile, at_most } => {
                write!(f, "{} {at_most:?}", quantile.name())
            }
        }
    }
}

impl Slo {
    /// How many failures the availability budget bears if a share of it may be spent, from 0 to 1,
    /// and so many requests come in a second; none without such a budget.
    pub fn bears(&self, share: f64, requests_per_second: f64) -> Option<f64> {
        let mut objectives = self.objectives.iter();
        let available =
            objectives.find(|objective| matches!(objective, Objective::Availability(_)))?;
        let requests = requests_per_second * self.window.as_secs_f64();
        Some((requests * available.goal().budget() * share).max(FEWEST))
    }

    /// The latency objectives: how many and within which time.
    pub fn latencies(&self) -> impl Iterator<Item = (Quantile, Duration)> {
        self.objectives.iter().filter_map(|objective| match objective {
            Objective::Latency { quantile, at_most } => Some((*quantile, *at_most)),
            Objective::Availability(_) => None,
        })
    }
}

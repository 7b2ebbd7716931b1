//! What is rehearsed: a plan, and how the service and its new version behave.

use std::sync::Arc;
use std::time::Duration;

use super::{Latency, Recorded, Traffic, World};
use crate::rollout::Plan;

/// A rollout, and the world that it runs in.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What the rollout means to do. Its hooks pass, and nobody answers for Prometheus: it is not
    /// asked.
    pub plan: Plan,
    /// How many requests come.
    pub traffic: Traffic,
    /// How the pool behaves that traffic leaves.
    pub stable: Behaviour,
    /// How the pool behaves that traffic goes to, once it does as it will.
    pub canary: Behaviour,
    /// How long after its first requests that is; until then it does as the other.
    pub after: Duration,
    /// The users, where clients keep to their side of the split; none where each request is drawn.
    pub crowd: Option<Crowd>,
    /// Upstreams of the pool that traffic leaves, and of the one that it goes to; at least one.
    pub upstreams: [u32; 2],
    /// How many requests it may fail beyond the other, as the error budget bears; none for as many as
    /// it likes.
    pub budget: Option<f64>,
    /// What goes wrong in both pools alike.
    pub world: World,
    /// The service as it was recorded, in the place of traffic, users, the stable pool and what goes wrong in
    /// both. Then the canary fails by its errors more than what was recorded, and takes as many times as long
    /// as its median is longer than the stable pool's.
    pub recorded: Option<Arc<Recorded>>,
}

/// How a pool behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// The share of requests that fail, 0 to 1.
    pub errors: f64,
    /// How long the others take.
    pub latency: Latency,
}

/// Users that keep to their side of the split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crowd {
    /// How many there are; at least one.
    pub users: u32,
    /// How unevenly active they are: the tail of a Pareto distribution, above 1.
    pub tail: f64,
    /// The share of them, 0 to 1, whose client is broken: every request fails, on either version.
    pub broken: f64,
}

impl Scenario {
    /// The same with a new version that is as good as the old one: what is rolled back then was
    /// rolled back falsely.
    pub fn with_identical_canary(&self) -> Scenario {
        Scenario { canary: self.stable, ..self.clone() }
    }

    /// Whether the new version is as good as the old one.
    pub fn is_identical(&self) -> bool {
        self.canary == self.stable
    }
}

impl Crowd {
    /// So many users, as unevenly active as `judge.md` simulates them.
    pub fn of(users: u32) -> Crowd {
        Crowd { users: users.max(1), tail: 1.5, broken: 0.0 }
    }
}

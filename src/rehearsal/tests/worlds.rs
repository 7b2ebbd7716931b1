//! Worlds in which failures come together, by the letters of `docs/judge.md`: a name in, a scenario out.
//!
//! Tests rehearse a few of them, `cargo bench --bench judge_tables` all, so what is used here is named by
//! whoever includes it.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Behaviour, Lasts, Latency, Pauses, Plan, Restarts, RolloutSettings, Scenario, Split, Stalls,
    Traffic, Wishes, World,
};

/// A world, and what happens in it.
pub struct Named {
    /// Its letter.
    pub name: &'static str,
    /// What it is, in words.
    pub what: &'static str,
    /// Requests a second.
    pub rate: f64,
    /// Upstreams of the old version and of the new one.
    pub upstreams: [u32; 2],
    /// The share of requests that fails beside.
    pub errors: f64,
    /// What goes wrong.
    pub world: World,
}

const NOTHING: World =
    World { stalls: None, shared: None, pauses: None, restarts: None, cold: None, watched: None };

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A share between these two for so long on average.
const fn stalls(every: u64, share: [f64; 2], lasts: u64) -> World {
    let stalls = Stalls { every: millis(every), share, lasts: Lasts::About(millis(lasts)) };
    World { stalls: Some(stalls), ..NOTHING }
}

/// A share for exactly so long.
const fn stalls_of(every: u64, share: f64, lasts: u64) -> World {
    let lasts = Lasts::Exactly(millis(lasts));
    World { stalls: Some(Stalls { every: millis(every), share: [share; 2], lasts }), ..NOTHING }
}

const fn an_hour(world: World) -> World {
    World { watched: Some(millis(3_600_000)), ..world }
}

const fn shared(every: u64, share: f64, lasts: u64) -> World {
    let lasts = Lasts::Exactly(millis(lasts));
    World { shared: Some(Stalls { every: millis(every), share: [share; 2], lasts }), ..NOTHING }
}

const fn pauses(every: u64, lasts: u64) -> World {
    let pauses = Pauses { every: millis(every), lasts: Lasts::Exactly(millis(lasts)) };
    World { pauses: Some(pauses), ..NOTHING }
}

const fn of(
    name: &'static str,
    what: &'static str,
    rate: f64,
    upstreams: [u32; 2],
    world: World,
) -> Named {
    Named { name, what, rate, upstreams, errors: 0.001, world }
}

/// All of them.
pub const WORLDS: [Named; 35] = [
    of("A1", "nothing comes together", 1_000.0, [1, 1], NOTHING),
    of("A2", "the same", 1_000.0, [10, 1], NOTHING),
    of("B1", "30 % of a second each 30 s", 200.0, [1, 1], stalls_of(30_000, 0.3, 1_000)),
    of("B2", "the same", 200.0, [10, 1], stalls_of(30_000, 0.3, 1_000)),
    of("B3", "the same", 200.0, [3, 3], stalls_of(30_000, 0.3, 1_000)),
    of("B4", "the same", 1_000.0, [1, 1], stalls_of(30_000, 0.3, 1_000)),
    of("B6", "the same", 10.0, [1, 1], stalls_of(30_000, 0.3, 1_000)),
    of("C1", "0–60 % for about 3 s each minute", 200.0, [1, 1], stalls(60_000, [0.0, 0.6], 3_000)),
    of("C2", "the same", 200.0, [10, 1], stalls(60_000, [0.0, 0.6], 3_000)),
    of("C3", "the same", 200.0, [3, 3], stalls(60_000, [0.0, 0.6], 3_000)),
    of("D1", "dead for 1 s each 10 min", 200.0, [1, 1], stalls_of(600_000, 1.0, 1_000)),
    of("D2", "dead for 2 s each 10 min", 200.0, [1, 1], stalls_of(600_000, 1.0, 2_000)),
    of("D3", "the same", 200.0, [10, 1], stalls_of(600_000, 1.0, 2_000)),
    of("D4", "dead for 5 s each 10 min", 200.0, [1, 1], stalls_of(600_000, 1.0, 5_000)),
    of("D5", "the same", 200.0, [10, 1], stalls_of(600_000, 1.0, 5_000)),
    of("D6", "D4, watched for an hour", 200.0, [1, 1], an_hour(stalls_of(600_000, 1.0, 5_000))),
    of("D7", "D2, watched for an hour", 200.0, [1, 1], an_hour(stalls_of(600_000, 1.0, 2_000))),
    of("E1", "both dead for 5 s each 5 min", 200.0, [10, 1], shared(300_000, 1.0, 5_000)),
    of("E2", "the same", 200.0, [1, 1], shared(300_000, 1.0, 5_000)),
    of("E3", "both 30 % for 2 s each minute", 200.0, [10, 1], shared(60_000, 0.3, 2_000)),
    of("G1", "pauses of 1 s each 30 s", 200.0, [1, 1], pauses(30_000, 1_000)),
    of("G2", "pauses of 0.5 s each minute", 200.0, [10, 1], pauses(60_000, 500)),
    of("G3", "pauses of 2 s each minute", 200.0, [3, 3], pauses(60_000, 2_000)),
    of("H4", "0–30 % for about 2 s each 45 s", 300.0, [2, 1], stalls(45_000, [0.0, 0.3], 2_000)),
    of("H5", "0–80 % for about 2 s each 90 s", 400.0, [5, 2], stalls(90_000, [0.0, 0.8], 2_000)),
    of("H6", "60 % for 4 s each 200 s", 2_000.0, [20, 1], stalls_of(200_000, 0.6, 4_000)),
    of(
        "H9",
        "30 % of a second each 40 s; both 40 % for 2 s each 150 s",
        500.0,
        [3, 1],
        World { shared: shared(150_000, 0.4, 2_000).shared, ..stalls_of(40_000, 0.3, 1_000) },
    ),
    of(
        "H10",
        "dead for 3 s each 5 min, watched for 30 min",
        500.0,
        [1, 1],
        World { watched: Some(millis(1_800_000)), ..stalls_of(300_000, 1.0, 3_000) },
    ),
    of("H11", "dead for 3 s each 15 min", 500.0, [1, 1], stalls_of(900_000, 1.0, 3_000)),
    of("H12", "30 % of a second each 30 s", 500.0, [1, 3], stalls_of(30_000, 0.3, 1_000)),
    of("H13", "3 % for 30 s each 200 s", 1_000.0, [1, 1], stalls_of(200_000, 0.03, 30_000)),
    of("H14", "H11, watched for an hour", 500.0, [1, 1], an_hour(stalls_of(900_000, 1.0, 3_000))),
    of(
        "H15",
        "H13, watched for an hour",
        1_000.0,
        [1, 1],
        an_hour(stalls_of(200_000, 0.03, 30_000)),
    ),
    of(
        "H16",
        "2 % for 60 s each 5 min, watched for an hour",
        1_000.0,
        [1, 1],
        an_hour(stalls_of(300_000, 0.02, 60_000)),
    ),
    of("M1", "30 % of a second each 30 s", 1_000.0, [50, 5], stalls_of(30_000, 0.3, 1_000)),
];

/// A world by its letter.
pub fn world(name: &str) -> &'static Named {
    static ALL: [Named; 35] = WORLDS;
    ALL.iter().find(|world| world.name == name).unwrap_or(&ALL[0])
}

impl Named {
    /// The default rollout in it, of a canary that fails so much and is so many times as slow.
    pub fn scenario(&self, canary_errors: f64, times: f64) -> Scenario {
        let pools: [(Arc<str>, usize); 2] = [("blue".into(), 3), ("green".into(), 3)];
        let split = Split::all_to("blue".into());
        let plan = Plan::new(&RolloutSettings::default(), &Wishes::default(), &pools, &split);
        let stable = Behaviour { errors: self.errors, latency: Latency::default() };
        let latency = stable.latency.times(times).unwrap_or_default();
        Scenario {
            plan: plan.expect("the defaults are a plan"),
            traffic: Traffic::steady(self.rate).expect("it is a rate"),
            stable,
            canary: Behaviour { errors: canary_errors, latency },
            after: Duration::ZERO,
            crowd: None,
            upstreams: self.upstreams,
            budget: None,
            world: self.world,
            recorded: None,
        }
    }

    /// The same with a canary that is away now and then and as good as the old version otherwise.
    pub fn with_restarts(&self, restarts: Restarts) -> Scenario {
        let mut scenario = self.scenario(self.errors, 1.0);
        scenario.world.restarts = Some(restarts);
        scenario
    }
}

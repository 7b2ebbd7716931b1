//! How fast rollouts are rehearsed: 10,000 of the default plan at 500 requests a second are to take
//! a minute at most on two cores.
//!
//! `cargo bench --bench rehearsal`, or with another number of rollouts: `-- 1000`.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use pointsman::rehearsal::{
    Behaviour, Crowd, Latency, Rehearsal, Scenario, Summary, Traffic, World,
};
use pointsman::rollout::{Plan, RolloutSettings, Wishes};
use pointsman::split::Split;

/// The default rollout of a service that fails 0.1 % of 500 requests a second.
fn scenario(canary_errors: f64) -> Scenario {
    let pools: [(Arc<str>, usize); 2] = [("blue".into(), 3), ("green".into(), 3)];
    let split = Split::all_to("blue".into());
    let (settings, wishes) = (RolloutSettings::default(), Wishes::default());
    let stable = Behaviour { errors: 0.001, latency: Latency::default() };
    Scenario {
        plan: Plan::new(&settings, &wishes, &pools, &split).expect("the defaults are a plan"),
        traffic: Traffic::steady(500.0).expect("a rate"),
        stable,
        canary: Behaviour { errors: canary_errors, ..stable },
        after: Duration::ZERO,
        crowd: None,
        upstreams: [3, 3],
        budget: None,
        world: World::default(),
        recorded: None,
    }
}

fn main() {
    let rollouts = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(10_000);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let sticky = Scenario { crowd: Some(Crowd::of(10_000)), ..scenario(0.001) };
    for (name, scenario, rollouts) in [
        ("identical", scenario(0.001), rollouts),
        ("0.1 % -> 2 %", scenario(0.02), rollouts),
        ("identical, 10,000 sticky users", sticky, rollouts / 10),
    ] {
        let rehearsal = Rehearsal::of(scenario).expect("a canary");
        let begun = Instant::now();
        let runs = rehearsal.run_all(1..rollouts + 1, threads, &AtomicU64::new(0));
        let took = begun.elapsed().as_secs_f64();
        let summary = Summary::of(&runs);
        let hours = summary.virtual_time.as_secs_f64() / 3_600.0;
        println!(
            "{name}: {rollouts} rollouts ({hours:.0} virtual hours) in {took:.1} s on {threads} \
             threads, {:.0} rollouts/s, {:.2} µs a virtual second and thread; {} promoted, {} rolled \
             back",
            rollouts as f64 / took,
            took * threads.get() as f64 * 1e6 / summary.virtual_time.as_secs_f64(),
            summary.promoted.count,
            summary.rolled_back.count,
        );
    }
}

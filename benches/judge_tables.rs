//! The judge where failures come together: the tables of `docs/judge.md`, by thousands of rehearsed rollouts.
//!
//! `cargo bench --bench judge_tables`, or with a number of rollouts a row and some of the worlds:
//! `-- 200 C2 B4`. Ends with 1 if a row in which the promise is to hold is above 1 % and three standard errors.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../src/rehearsal/tests/worlds.rs"]
mod worlds;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use pointsman::rehearsal::{
    Behaviour, Cold, Crowd, Ending, Lasts, Latency, Pauses, Rehearsal, Restarts, Run, Scenario,
    Stalls, Traffic, World,
};
use pointsman::rollout::{Plan, RolloutSettings, Wishes};
use pointsman::split::Split;

use worlds::{WORLDS, world};

/// What may be taken back falsely.
const PROMISED: f64 = 0.01;

/// Where it is known to be more: `docs/judge.md` says so on its first page.
const KNOWN: [&str; 4] = ["D2", "D4", "H11", "H13"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runs = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000);
    let named = |name: &str| {
        let names: Vec<&String> = arguments
            .iter()
            .filter(|one| one.starts_with(|c: char| c.is_ascii_uppercase()))
            .collect();
        names.is_empty() || names.iter().any(|one| *one == name)
    };
    let holds = falsely(runs, &named);
    found(runs.min(300), &named);
    others(runs.min(500), &named);
    loops(runs.min(200), &named);
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runs_of(scenario: Scenario, runs: u64) -> Vec<Run> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let rehearsal = Rehearsal::of(scenario).expect("a canary");
    rehearsal.run_all(1..runs + 1, threads, &AtomicU64::new(0))
}

/// By what, and how often.
fn drivers(runs: &[Run]) -> String {
    let mut by: std::collections::BTreeMap<String, usize> = Default::default();
    runs.iter()
        .filter_map(|run| run.by.as_ref())
        .for_each(|by_| *by.entry(by_.to_string()).or_default() += 1);
    let words: Vec<String> = by.into_iter().map(|(by, count)| format!("{by} {count}")).collect();
    words.join(", ")
}

fn share(runs: &[Run], ending: Ending) -> f64 {
    runs.iter().filter(|run| run.ending == ending).count() as f64 / runs.len() as f64
}

/// The median time until it was taken back, and how many were.
fn when(runs: &[Run]) -> String {
    let mut took: Vec<u64> = runs
        .iter()
        .filter(|run| run.ending == Ending::RolledBack)
        .map(|run| run.took.as_secs())
        .collect();
    took.sort_unstable();
    let share = took.len() as f64 / runs.len() as f64;
    match took.get(runs.len() / 2) {
        Some(median) if share > 0.995 => format!("{median}"),
        Some(median) => format!("{median} ({:.0} %)", share * 100.0),
        None => format!("– ({:.0} %)", share * 100.0),
    }
}

/// Rollouts of an identical version that are taken back, whole ones with the watch at 100 %.
fn falsely(runs: u64, named: &dyn Fn(&str) -> bool) -> bool {
    println!(
        "\n| | world | old:new | req/s | taken back | at 100 % | by | paused |\n|---|---|---|---|---|---|---|---|"
    );
    let error = (PROMISED * (1.0 - PROMISED) / runs as f64).sqrt();
    let bound = PROMISED + 3.0 * error;
    eprintln!(
        "{runs} rollouts a row: a rate of 1 % has a standard error of {:.2} points, and may be {:.2} %",
        error * 100.0,
        bound * 100.0
    );
    let mut holds = true;
    for world in WORLDS.iter().filter(|world| named(world.name)) {
        let begun = Instant::now();
        let all = runs_of(world.scenario(world.errors, 1.0), runs);
        let back = share(&all, Ending::RolledBack);
        let whole = all
            .iter()
            .filter(|run| run.ending == Ending::RolledBack && run.whole.is_some())
            .count();
        let [stable, canary] = world.upstreams;
        println!(
            "| {} | {} | {stable}:{canary} | {} | {back:.4} | {:.4} | {} | {:.3} |",
            world.name,
            world.what,
            world.rate,
            whole as f64 / runs as f64,
            drivers(&all),
            share(&all, Ending::Paused),
        );
        eprintln!("{}: {:.1} s", world.name, begun.elapsed().as_secs_f64());
        if back > bound && !KNOWN.contains(&world.name) {
            eprintln!("{}: more than {bound:.4}", world.name);
            holds = false;
        }
    }
    holds
}

/// Seconds until a canary that is worse is taken back.
fn found(runs: u64, named: &dyn Fn(&str) -> bool) {
    println!(
        "\n| | 0.1 → 1 % | 0.1 → 5 % | 0.1 → 20 % | all fail | 1.5 times as slow |\n|---|---|---|---|---|---|"
    );
    for name in ["A1", "A2", "B1", "B2", "B3", "B4", "C2", "G1", "G3"]
        .into_iter()
        .filter(|name| named(name))
    {
        let world = world(name);
        let errors =
            [0.01, 0.05, 0.2, 1.0].map(|errors| when(&runs_of(world.scenario(errors, 1.0), runs)));
        let slow = when(&runs_of(world.scenario(world.errors, 1.5), runs));
        println!("| {name} | {} | {slow} |", errors.join(" | "));
    }
}

/// What a restart, a crash loop and a cold start do, and users that stick.
fn others(runs: u64, named: &dyn Fn(&str) -> bool) {
    println!("\n| | old:new | taken back | median s | by | paused |\n|---|---|---|---|---|---|");
    let row = |name: &str, what: &str, upstreams: [u32; 2], scenario: Scenario| {
        if !named(name) {
            return;
        }
        let all = runs_of(Scenario { upstreams, ..scenario }, runs);
        println!(
            "| {what} | {}:{} | {:.4} | {} | {} | {:.3} |",
            upstreams[0],
            upstreams[1],
            share(&all, Ending::RolledBack),
            when(&all),
            drivers(&all),
            share(&all, Ending::Paused)
        );
    };
    let secs = Duration::from_secs;
    let restarts = |lasts: u64, every: Option<u64>| {
        let at = Duration::from_millis(200_400);
        world("A1").with_restarts(Restarts { at, lasts: secs(lasts), every: every.map(secs) })
    };
    for upstreams in [[1, 1], [10, 1]] {
        row("R1", "one restart of 1 s", upstreams, restarts(1, None));
        row("R2", "one restart of 2 s", upstreams, restarts(2, None));
        row("R3", "one restart of 3 s", upstreams, restarts(3, None));
        row("R5", "one restart of 5 s", upstreams, restarts(5, None));
        row("R9", "one restart of 2 s each minute", upstreams, restarts(2, Some(60)));
    }
    let base = || world("A1").scenario(0.001, 1.0);
    let cold = |factor: f64, lasts: u64| {
        let mut scenario = base();
        scenario.world.cold = Some(Cold { factor, lasts: secs(lasts) });
        scenario
    };
    row("K1", "cold: twice as slow, for 60 s", [1, 1], cold(2.0, 60));
    row("K2", "cold: twice as slow, for 90 s", [1, 1], cold(2.0, 90));
    row("K3", "cold: ten times as slow, for 60 s", [1, 1], cold(10.0, 60));
    let sticky = |name: &str| {
        let scenario = world(name).scenario(0.001, 1.0);
        Scenario { crowd: Some(Crowd::of(10_000)), ..scenario }
    };
    row("U1", "10,000 users that stick, B1", [1, 1], sticky("B1"));
    row("U2", "10,000 users that stick, C2", [10, 1], sticky("C2"));
    let few = |rate: f64| {
        let scenario = world("C1").scenario(0.001, 1.0);
        Scenario { traffic: Traffic::steady(rate).expect("a rate"), ..scenario }
    };
    row("L1", "C1 with 0.5 requests/s", [1, 1], few(0.5));
    row("L2", "C1 with 2 requests/s", [1, 1], few(2.0));
    row("L3", "C1 with 20 requests/s", [1, 1], few(20.0));
    row("L4", "C1 with 20 requests/s", [10, 1], few(20.0));
}

/// At which restart a crash loop of the only canary upstream is found.
fn loops(runs: u64, named: &dyn Fn(&str) -> bool) {
    if !named("R9") {
        return;
    }
    println!(
        "\n| away for | each | old:new | taken back | median restart | of nine in ten |\n|---|---|---|---|---|---|"
    );
    let at = Duration::from_millis(200_400);
    for (lasts, every) in [(2, 30), (2, 60), (2, 120), (2, 300), (3, 60), (1, 60)] {
        for upstreams in [[1, 1], [10, 1]] {
            let every = Duration::from_secs(every);
            let restarts = Restarts { at, lasts: Duration::from_secs(lasts), every: Some(every) };
            let scenario = Scenario { upstreams, ..world("A1").with_restarts(restarts) };
            let all = runs_of(scenario, runs);
            let back = all.iter().filter(|run| run.ending == Ending::RolledBack);
            let nth = |run: &Run| run.took.saturating_sub(at).div_duration_f64(every) as u64 + 1;
            let mut found: Vec<u64> = back.map(nth).collect();
            found.sort_unstable();
            let at_share = |share: usize| match found.get(all.len() * share / 100) {
                Some(restart) => restart.to_string(),
                None => "–".to_string(),
            };
            println!(
                "| {lasts} s | {} s | {}:{} | {:.3} | {} | {} |",
                every.as_secs(),
                upstreams[0],
                upstreams[1],
                found.len() as f64 / all.len() as f64,
                at_share(50),
                at_share(90),
            );
        }
    }
}

//! Whole rehearsals, beside what `judge.md` has simulated.

use std::sync::Arc;
use std::time::Duration;

mod recorded;
mod worlds;

use super::*;
use crate::rollout::{Plan, RolloutSettings, Wishes};
use crate::split::{BasisPoints, Split};

fn plan(wishes: &Wishes) -> Plan {
    let pools: [(Arc<str>, usize); 2] = [("blue".into(), 3), ("green".into(), 3)];
    let split = Split::all_to("blue".into());
    Plan::new(&RolloutSettings::default(), wishes, &pools, &split).unwrap()
}

/// The default rollout of a service that fails 0.1 % of 500 requests a second.
fn scenario(canary_errors: f64) -> Scenario {
    let stable = Behaviour { errors: 0.001, latency: Latency::default() };
    Scenario {
        plan: plan(&Wishes::default()),
        traffic: Traffic::steady(500.0).unwrap(),
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

fn runs(scenario: Scenario, seeds: u64) -> Summary {
    let threads = NonZeroUsize::new(2).unwrap();
    let rehearsal = Rehearsal::of(scenario).unwrap();
    Summary::of(&rehearsal.run_all(1..seeds + 1, threads, &AtomicU64::new(0)))
}

fn seconds(took: Option<Duration>) -> u64 {
    took.unwrap().as_secs()
}

#[test]
fn the_same_seed_runs_the_same_and_another_does_not() {
    let rehearsal = Rehearsal::of(scenario(0.02)).unwrap();
    assert_eq!(rehearsal.run(7), rehearsal.run(7));
    assert_ne!(rehearsal.run(7), rehearsal.run(8));
    let (one, two) = (NonZeroUsize::MIN, NonZeroUsize::new(2).unwrap());
    let done = AtomicU64::new(0);
    let alone = rehearsal.run_all(1..20, one, &done);
    assert_eq!(alone, rehearsal.run_all(1..20, two, &done));
    assert_eq!((done.into_inner(), alone.len()), (38, 19));
}

#[test]
fn an_identical_canary_is_promoted() {
    let summary = runs(scenario(0.001), 200);
    assert!(summary.promoted.count >= 198, "{summary:?}");
    // The first step wants about 1,500 requests, of which 5 come a second (T7: 149 s at twice
    // that); then four minutes of steps and ten of watching.
    let median = seconds(summary.promoted.took.median);
    assert!((1_000..1_400).contains(&median), "{median}");
    assert!(summary.excess.abs() < 30.0, "{summary:?}");
}

#[test]
fn two_per_cent_instead_of_a_tenth_is_taken_back() {
    let summary = runs(scenario(0.02), 200);
    assert!(summary.rolled_back.count >= 198, "{summary:?}");
    // T6 has 9 s for 5 % and 61 s for 1 % at twice the traffic.
    let median = seconds(summary.rolled_back.took.median);
    assert!((20..90).contains(&median), "{median}");
    assert_eq!(summary.by[0].0, "errors");
    assert!((1.0..12.0).contains(&summary.excess), "{summary:?}");
}

#[test]
fn rollouts_are_taken_back_as_fast_as_the_tables_say() {
    // T6, at 1,000 requests a second; and a fifth more for what counting causes costs where none make many.
    for (errors, wanted) in [(0.05, 9), (1.0, 3), (0.01, 61)] {
        let traffic = Traffic::steady(1_000.0).unwrap();
        let summary = runs(Scenario { traffic, ..scenario(errors) }, 200);
        let median = seconds(summary.rolled_back.took.median);
        assert!(median.abs_diff(wanted) <= 1 + wanted / 5, "{errors}: {median} s");
    }
}

#[test]
fn a_regression_that_begins_late_is_found_late() {
    let late = Scenario { after: Duration::from_secs(900), ..scenario(0.02) };
    let summary = runs(late, 50);
    assert_eq!(summary.rolled_back.count, 50, "{summary:?}");
    let median = seconds(summary.rolled_back.took.median);
    assert!((900..930).contains(&median), "{median}");
}

#[test]
fn until_it_is_itself_a_canary_is_as_the_stable_pool_also_while_it_is_cold() {
    let mut same = scenario(0.001);
    same.world.cold = Some(Cold { factor: 2.0, lasts: Duration::from_secs(90) });
    let latency = Latency::default().times(1.5).unwrap();
    let later = Scenario {
        canary: Behaviour { latency, ..same.canary },
        after: Duration::MAX,
        ..same.clone()
    };
    let [same, later] = [same, later].map(|scenario| Rehearsal::of(scenario).unwrap().run(1));
    assert_eq!((same.ending, &same), (Ending::Promoted, &later));
}

#[test]
fn a_slower_canary_is_taken_back_for_its_latency() {
    let base = scenario(0.001);
    let latency = Latency::default().times(1.5).unwrap();
    let summary = runs(Scenario { canary: Behaviour { latency, ..base.canary }, ..base }, 50);
    assert_eq!(summary.rolled_back.count, 50, "{summary:?}");
    assert!(summary.by[0].0.starts_with('p'), "{summary:?}");
}

#[test]
fn silence_ends_paused() {
    let traffic = Traffic::parse("0,500\n30,0").unwrap();
    let rehearsal = Rehearsal::of(Scenario { traffic, ..scenario(0.001) }).unwrap();
    let run = rehearsal.run(1);
    assert_eq!((run.ending, run.took, run.by), (Ending::Paused, Duration::from_secs(1_800), None));
    assert!(run.why.contains("requests came in 30m: too few to go on"), "{}", run.why);
    assert_eq!(run.share, BasisPoints::new(100).unwrap());
}

#[test]
fn broken_clients_are_held_against_a_version_only_where_requests_are_counted() {
    // T9: one step of half the users for ten minutes.
    let steps = [5_000, 10_000].into_iter().filter_map(BasisPoints::new).collect();
    let hold = Some(Duration::from_secs(600));
    let wishes = Wishes { steps: Some(steps), hold, ..Wishes::default() };
    let stable = Behaviour { errors: 0.000_5, latency: Latency::default() };
    let crowd = Crowd { broken: 0.001, ..Crowd::of(20_000) };
    let of = |by_user| {
        let mut plan = plan(&wishes);
        (plan.judging.by_user, plan.watch) = (Some(by_user), Duration::from_secs(1));
        let traffic = Traffic::steady(1_000.0).unwrap();
        let crowd = Some(crowd);
        runs(Scenario { plan, traffic, stable, canary: stable, crowd, ..scenario(0.0) }, 24)
    };
    let (by_user, by_request) = (of(true), of(false));
    assert_eq!(by_user.rolled_back.count, 0, "{by_user:?}");
    assert!(by_request.rolled_back.count >= 1, "{by_request:?}");
    assert!(by_user.users_hit.is_some_and(|hit| hit.median > Some(100)), "{by_user:?}");
}

#[test]
fn stalls_alone_seldom_take_an_identical_canary_back() {
    // T13: one canary host of twenty.
    let lasts = Lasts::Exactly(Duration::from_secs(1));
    let stalls = Some(Stalls { every: Duration::from_secs(30), share: [0.3; 2], lasts });
    let world = World { stalls, ..World::default() };
    let upstreams = [19, 1];
    let stable = Behaviour { errors: 0.005, latency: Latency::default() };
    let summary = runs(Scenario { world, upstreams, stable, ..scenario(0.005) }, 40);
    assert!(summary.rolled_back.count <= 3, "{summary:?}");
}

#[test]
fn a_rolling_rollout_is_not_rehearsed() {
    let mut scenario = scenario(0.001);
    scenario.plan.strategy = Strategy::Rolling;
    assert_eq!(Rehearsal::of(scenario).unwrap_err(), NotRehearsed);
}

/// How often an identical version is taken back in this world, in fifty rollouts; `cargo bench --bench
/// judge_tables` has thousands, of all worlds.
fn taken_back(name: &str) -> u64 {
    let world = worlds::world(name);
    let summary = runs(world.scenario(world.errors, 1.0), 50);
    println!("{name}, {}: {summary:?}", world.what);
    summary.rolled_back.count
}

// At most 1 % and what chance adds; each of these was 15 to 75 % when failures were counted.

#[test]
fn bursts_of_single_hosts_take_no_identical_canary_back() {
    assert!(taken_back("C2") <= 3);
}

#[test]
fn stalls_beside_one_host_take_no_identical_canary_back() {
    assert!(taken_back("B4") <= 3);
}

#[test]
fn pauses_take_no_identical_canary_back() {
    assert!(taken_back("G3") <= 3);
}

#[test]
fn what_both_pools_fail_together_takes_no_identical_canary_back() {
    assert!(taken_back("E2") <= 3);
}

/// Rollouts of a canary that is away now and then.
fn restarting(lasts: u64, every: Option<u64>) -> Summary {
    let secs = Duration::from_secs;
    let at = Duration::from_millis(200_400);
    let restarts = Restarts { at, lasts: secs(lasts), every: every.map(secs) };
    runs(worlds::world("A1").with_restarts(restarts), 20)
}

#[test]
fn one_restart_of_two_seconds_takes_nothing_back_and_a_crash_loop_does() {
    let once = restarting(2, None);
    assert!(once.rolled_back.count <= 1, "{once:?}");
    let looping = restarting(2, Some(60));
    assert!(looping.rolled_back.count >= 19, "{looping:?}");
    let median = seconds(looping.rolled_back.took.median);
    assert!((200..600).contains(&median), "{median}");
}

#[test]
fn a_cold_start_of_a_minute_takes_nothing_back() {
    let mut scenario = worlds::world("A1").scenario(0.001, 1.0);
    scenario.world.cold = Some(Cold { factor: 3.0, lasts: Duration::from_secs(60) });
    let summary = runs(scenario, 20);
    assert!(summary.rolled_back.count == 0 && summary.promoted.count == 20, "{summary:?}");
}

#[test]
fn bursts_on_three_hosts_of_either_version_end_promoted() {
    let world = worlds::world("B3");
    let mut scenario = world.scenario(world.errors, 1.0);
    scenario.traffic = Traffic::steady(1_000.0).unwrap();
    let summary = runs(scenario, 20);
    assert!(summary.rolled_back.count == 0 && summary.promoted.count >= 19, "{summary:?}");
}

#[test]
fn a_slow_canary_goes_back_within_twenty_seconds_of_the_end_of_its_warm_up() {
    let warm_up = plan(&Wishes::default()).judging.settings.warm_up;
    let summary = runs(worlds::world("A2").scenario(0.001, 1.5), 20);
    assert_eq!(summary.rolled_back.count, 20, "{summary:?}");
    let median = summary.rolled_back.took.median.unwrap();
    assert!((warm_up..warm_up + Duration::from_secs(20)).contains(&median), "{median:?}");
}

#[test]
fn beside_many_hosts_that_stall_a_regression_is_found_in_two_minutes() {
    // 0.1 → 5 %: 121 s; no median of so few is further off than 60 s in 10⁹ runs.
    let summary = runs(worlds::world("B2").scenario(0.05, 1.0), 40);
    assert_eq!(summary.rolled_back.count, 40, "{summary:?}");
    assert!((60..180).contains(&seconds(summary.rolled_back.took.median)), "{summary:?}");
}

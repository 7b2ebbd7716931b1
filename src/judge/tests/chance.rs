//! P3, P4, P8, P9: what chance makes of the tests, on simulated traffic with fixed seeds.
//!
//! A few hundred runs of what `cargo bench --bench judge -- full` runs thousands of times; the
//! tolerances are those of `judge.md` 2.6 and what chance may add in so few runs.

use std::f64::consts::LN_10;

use super::super::frozen::{Frozen, Together};
use super::simulation::{
    Clients, Detection, Dice, Found, Latencies, Poisson, Traffic, block, errors, gate, guard, late,
    latency, with_blips,
};
use super::{Draws, Spending};

/// As many false alarms as α allows, and three standard deviations of so many runs more.
fn assert_rare(found: &Found, alpha: f64, runs: usize, what: &str) {
    let allowed = alpha + 3.0 * (alpha * (1.0 - alpha) / runs as f64).sqrt();
    println!("{what}: {} of {runs} runs, {allowed:.4} allowed", found.share());
    assert!(found.share() <= allowed, "{what}: {} > {allowed}", found.share());
}

/// Within a tenth of the table's, or a second.
fn assert_near(found: f64, wanted: f64, share: f64, what: &str) {
    println!("{what}: {found} s, the table says {wanted} s");
    assert!((found - wanted).abs() <= (wanted * share).max(1.0), "{what}: {found}, not {wanted}");
}

#[test]
fn releases_at_the_limit_of_what_is_tolerated_are_rarely_taken_back() {
    let (runs, seed) = (400, 31);
    println!("seed {seed}");
    for (rate, share, p) in
        [(1_000.0, 0.01, 0.001), (1_000.0, 0.5, 0.001), (50.0, 0.5, 0.01), (1_000.0, 0.05, 0.2)]
    {
        let traffic = Traffic::new(rate, share, p, 1.25 * p);
        let found =
            Found::in_runs(runs, seed, |draws| errors(1_800, false, |_| traffic.tick(draws)));
        assert_rare(&found, 0.004, runs, &format!("{rate}/s, {share}, {p}"));
    }
}

#[test]
fn equally_slow_pools_rarely_fail_the_block_test() {
    let (runs, seed) = (400, 32);
    println!("seed {seed}");
    for (share, slow) in [(0.01, 0.05), (0.05, 0.01), (0.5, 0.5)] {
        let traffic = Traffic::new(1_000.0, share, slow, slow);
        let found = Found::in_runs(runs, seed, |draws| block(slow, 1_200, 0.01, &traffic, draws));
        assert_rare(&found, 0.01, runs, &format!("{share}, {slow}"));
    }
}

#[test]
fn a_canary_at_the_margin_rarely_opens_the_gate() {
    let (runs, seed) = (1_000, 33);
    println!("seed {seed}");
    for (share, p) in [(0.05, 0.001), (0.5, 0.01)] {
        let worst = f64::max(2.0 * p, 0.005);
        let traffic = Traffic::new(1_000.0, share, p, worst);
        let found = Found::in_runs(runs, seed, |draws| gate(600, &traffic, draws));
        assert_rare(&found, 0.05, runs, &format!("{share}, {p}"));
    }
}

#[test]
fn the_guard_leaves_half_of_its_limit_alone_and_stops_more_than_it() {
    let (runs, seed) = (200, 34);
    println!("seed {seed}");
    for (p, median) in [(0.025, f64::INFINITY), (0.06, 12.0), (0.1, 5.0), (1.0, 4.0)] {
        let traffic = Traffic::new(1_000.0, 0.05, 0.001, p);
        let found = Found::in_runs(runs, seed, |draws| guard(600, &traffic, draws));
        match median.is_finite() {
            true => assert_near(found.median(), median, 0.15, &format!("{p}")),
            false => assert_rare(&found, 0.001, runs, &format!("{p}")),
        }
    }
}

#[test]
fn a_canary_that_fails_twice_as_often_as_its_past_is_rarely_taken_back() {
    let (runs, seed, alpha) = (400, 43, 0.01);
    println!("seed {seed}");
    for (requests, p) in [(20_000.0, 0.002), (1_000_000.0, 0.01)] {
        let past = Traffic::new(requests, 0.0, p, p);
        let canary = Traffic::new(1_000.0, 1.0, p, 2.0 * p);
        let found = Found::in_runs(runs, seed, |draws| {
            let (past, _) = past.tick(draws);
            let mut frozen =
                Frozen::new(past, Together::default(), 0.001, alpha, Spending::default());
            (1..=600).find_map(|seconds| {
                frozen.tick(LN_10, 0.0, 1, canary.tick(draws).1);
                frozen.fails(alpha).then_some(Detection { seconds, ..Detection::default() })
            })
        });
        assert_rare(&found, alpha, runs, &format!("{requests} before, {p}"));
    }
}

#[test]
fn regressions_are_found_as_soon_as_the_table_says() {
    let (runs, seed) = (1_500, 35);
    println!("seed {seed}");
    let rows = [
        (0.001, 0.01, 0.01, 64.0, 161.0),
        (0.001, 0.01, 0.05, 16.0, 35.0),
        (0.001, 0.05, 0.01, 9.0, 19.0),
        (0.001, 0.05, 0.05, 4.0, 6.0),
        (0.01, 0.02, 0.1, 47.0, 100.0),
        (0.001, 0.003, 0.5, 45.0, 94.0),
        (0.000_1, 0.01, 0.05, 10.0, 21.0),
        (0.001, 1.0, 0.05, 3.0, 3.0),
    ];
    for (stable, canary, share, median, p95) in rows {
        let traffic = Traffic::new(1_000.0, share, stable, canary);
        let found =
            Found::in_runs(runs, seed, |draws| errors(1_800, true, |_| traffic.tick(draws)));
        let what = format!("{stable} -> {canary} at {share}");
        assert_near(found.median(), median, 0.1, &what);
        assert_near(found.p95(), p95, 0.15, &format!("{what}, p95"));
    }
}

#[test]
fn slower_answers_are_found_as_soon_as_the_table_says() {
    let (runs, seed) = (100, 36);
    println!("seed {seed}");
    let base = Latencies::new(&[(1.0, &|millis| millis)]);
    let slower = Latencies::new(&[(1.0, &|millis| 1.5 * millis)]);
    let hung = Latencies::new(&[(0.98, &|millis| millis), (0.02, &|millis| millis + 1_000.0)]);
    let requests = (&Poisson::new(950.0), &Poisson::new(50.0));
    let rows =
        [(&slower, 60, [Some(11.0), Some(7.0), Some(5.0)]), (&hung, 90, [Some(19.0), None, None])];
    for (canary, horizon, wanted) in rows {
        let mut when = [const { Vec::new() }; 3];
        let mut seeds = Draws::seeded(seed);
        for _ in 0..runs {
            let mut draws = Draws::seeded(seeds.bits());
            let (found, _) = latency(horizon, requests, (&base, canary), &mut draws);
            found
                .into_iter()
                .zip(&mut when)
                .for_each(|(found, when)| when.push(found.unwrap_or(u64::MAX)));
        }
        for ((when, wanted), name) in when.iter_mut().zip(wanted).zip(["p99", "p95", "p50"]) {
            when.sort_unstable();
            let median = (when[runs / 2 - 1] as f64 + when[runs / 2] as f64) / 2.0;
            match wanted {
                Some(wanted) => assert_near(median, wanted, 0.2, name),
                None => assert!(median > horizon as f64, "{name}: {median}"),
            }
        }
    }
}

#[test]
fn what_begins_to_fail_after_half_an_hour_is_found_in_seconds() {
    let (runs, seed) = (200, 37);
    println!("seed {seed}");
    let healthy = Traffic::new(1_000.0, 0.1, 0.001, 0.001);
    let worse = Traffic::new(1_000.0, 0.1, 0.001, 0.01);
    let mut medians = [0.0; 2];
    for (restarts, median) in [true, false].into_iter().zip(&mut medians) {
        let found = Found::in_runs(runs, seed, |draws| late(restarts, &healthy, &worse, draws));
        assert!(found.quantile(0.01, |found| found.seconds) > 1_800.0, "too soon");
        *median = found.median() - 1_800.0;
    }
    assert_near(medians[0], 19.0, 0.15, "with restarts");
    assert_near(medians[1], 131.0, 0.15, "without");
}

#[test]
fn a_few_broken_clients_do_not_fail_a_release_that_is_judged_by_clients() {
    let (runs, seed, share) = (40, 38, 0.05);
    println!("seed {seed}");
    let (mut by_request, mut by_client) = (0, 0);
    let mut seeds = Draws::seeded(seed);
    for _ in 0..runs {
        let mut draws = Draws::seeded(seeds.bits());
        let clients = Clients::new(share, &mut draws);
        let (requests, users) = clients.detect(600, (0.000_5, 0.000_5), &mut draws);
        by_request += u32::from(requests.is_some());
        by_client += u32::from(users.is_some());
    }
    println!("false rollbacks of {runs}: {by_request} by requests, {by_client} by clients");
    assert_eq!(by_client, 0);
    assert!(by_request > 0, "the danger is real");
}

#[test]
fn clients_find_a_bad_release_as_soon_as_requests_do() {
    let (runs, seed) = (20, 39);
    println!("seed {seed}");
    let mut seeds = Draws::seeded(seed);
    let mut when: Vec<u64> = (0..runs)
        .map(|_| {
            let mut draws = Draws::seeded(seeds.bits());
            let clients = Clients::new(0.05, &mut draws);
            let (_, users) = clients.detect(120, (0.000_5, 0.01), &mut draws);
            users.map_or(u64::MAX, |found| found.seconds)
        })
        .collect();
    when.sort_unstable();
    assert_near(when[runs / 2] as f64, 13.0, 0.3, "by clients");
}

#[test]
fn seconds_in_which_all_fails_rarely_fail_a_canary_with_enough_traffic() {
    let (runs, seed) = (200, 41);
    println!("seed {seed}");
    let traffic = Traffic::new(1_000.0, 0.1, 0.001, 0.001);
    let found = Found::in_runs(runs, seed, |draws| {
        errors(3_600, true, |_| {
            let second = traffic.tick(draws);
            with_blips(second, draws)
        })
    });
    // A canary without a single request left for a second is not quite an identical one.
    assert_rare(&found, 0.008, runs, "10 %");
}

#[test]
fn the_dice_fall_as_they_are_loaded() {
    println!("seed 42");
    let mut draws = Draws::seeded(42);
    let poisson = Poisson::new(7.5);
    let counts: Vec<u64> = (0..100_000).map(|_| poisson.draw(&mut draws)).collect();
    let mean = counts.iter().sum::<u64>() as f64 / 1e5;
    let variance = counts.iter().map(|&n| (n as f64 - mean).powi(2)).sum::<f64>() / 1e5;
    assert!((mean - 7.5).abs() < 0.05 && (variance - 7.5).abs() < 0.2, "{mean} {variance}");
    let dice = Dice::new(&[1.0, 0.0, 3.0]);
    let mut seen = [0; 3];
    (0..40_000).for_each(|_| seen[dice.roll(&mut draws)] += 1);
    assert!(seen[1] == 0 && (9_500..10_500).contains(&seen[0]), "{seen:?}");
}

//! P5: shards merged equal the whole. P7: more canary errors never help the canary.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Histogram, Judge, JudgeSettings, Reading, Ruling, Side};
use super::{Counts, Distribution, ErrorTest, Spending, Tolerance, Weighing};
use crate::split::BasisPoints;

const TOLERANCE: Tolerance = Tolerance { ratio: 1.25, rate: 0.001 };

/// A second's requests of both pools and how many of them are bad.
fn second() -> impl Strategy<Value = (Counts, Counts)> {
    let counts = || {
        (0u64..400, 0.0..1.0f64, any::<bool>()).prop_map(|(total, share, is_good)| {
            let worst = if is_good { 0.02 } else { 0.5 };
            Counts { total, bad: (total as f64 * share * share * worst) as u64 }
        })
    };
    (counts(), counts())
}

fn evidence(seconds: &[(Counts, Counts)]) -> (f64, f64) {
    let (mut test, mut spending) = (ErrorTest::default(), Spending::over(Duration::from_secs(60)));
    for (stable, canary) in seconds {
        test.tick(TOLERANCE, Weighing { ln_stake: spending.tick(), phi: 1.0 }, *stable, *canary);
    }
    (test.ln_e(), test.ln_e_floor())
}

/// How bad it looks for the canary.
fn severity(ruling: &Ruling) -> u8 {
    match ruling {
        Ruling::Pass => 0,
        Ruling::Inconclusive => 1,
        Ruling::Invalid => 2,
        Ruling::Fail(_) => 3,
    }
}

/// What is said after each second of a rollout that gets all traffic at last.
fn rulings(seconds: &[(Counts, Counts)]) -> Vec<Ruling> {
    let mut latency = Distribution::default();
    (1..200).for_each(|millis| latency.add(Duration::from_millis(millis)));
    let settings = JudgeSettings::default();
    let mut judge = Judge::new(settings, 1.0, latency.clone(), Duration::from_secs(60));
    let steps = [(0, 1_000), (seconds.len() / 3, 5_000), (2 * seconds.len() / 3, 10_000)];
    let mut said = Vec::new();
    for (second, (stable, canary)) in seconds.iter().enumerate() {
        for (_, share) in steps.iter().filter(|(at, _)| *at == second) {
            judge.begin_step(BasisPoints::new(*share).expect("it is a share"));
        }
        let side = |attempts| Side { attempts, latency: latency.clone(), ..Side::default() };
        judge.tick(&Reading { stable: side(*stable), canary: side(*canary), ..Reading::default() });
        said.push(judge.ruling());
    }
    said
}

proptest! {
    #[test]
    fn one_more_failure_of_the_canary_never_weakens_the_evidence(
        seconds in vec(second(), 1..40),
        place in any::<prop::sample::Index>(),
    ) {
        let before = evidence(&seconds);
        let mut worse = seconds.clone();
        let canary = &mut worse[place.index(seconds.len())].1;
        prop_assume!(canary.good() > 0);
        canary.bad += 1;
        let after = evidence(&worse);
        prop_assert!(after.0 >= before.0 - 1e-9 && after.1 >= before.1 - 1e-9);
    }

    #[test]
    fn one_more_failure_of_the_stable_pool_never_strengthens_it(
        seconds in vec(second(), 1..40),
        place in any::<prop::sample::Index>(),
    ) {
        let before = evidence(&seconds);
        let mut worse = seconds.clone();
        let stable = &mut worse[place.index(seconds.len())].0;
        prop_assume!(stable.good() > 0);
        stable.bad += 1;
        prop_assert!(evidence(&worse).0 <= before.0 + 1e-9);
    }

    #[test]
    fn more_failures_of_the_canary_never_help_it(
        seconds in vec(second(), 3..40),
        place in any::<prop::sample::Index>(),
        more in 1u64..50,
    ) {
        let before = rulings(&seconds);
        let mut worse = seconds.clone();
        let canary = &mut worse[place.index(seconds.len())].1;
        canary.bad = (canary.bad + more).min(canary.total);
        for (second, (before, after)) in before.iter().zip(rulings(&worse)).enumerate() {
            prop_assert!(severity(&after) >= severity(before), "{second}: {before:?}, then {after:?}");
        }
    }

    #[test]
    fn a_fleets_readings_added_up_are_judged_as_one_proxys(
        requests in vec((0usize..3, 1u64..3_000, any::<bool>()), 200..600),
    ) {
        let shards: Vec<Histogram> = (0..3).map(|_| Histogram::new(2)).collect();
        let whole = Histogram::new(1);
        let mut merged = Side::default();
        let mut counts = [Counts::default(); 3];
        for (shard, millis, is_bad) in &requests {
            shards[*shard].record(Duration::from_millis(*millis));
            whole.record(Duration::from_millis(*millis));
            counts[*shard] += Counts { total: 1, bad: u64::from(*is_bad) };
        }
        for (shard, counts) in shards.iter().zip(counts) {
            merged.latency += &shard.read();
            merged.attempts += counts;
        }
        let bad = requests.iter().filter(|request| request.2).count() as u64;
        let attempts = Counts { total: requests.len() as u64, bad };
        let single = Side { attempts, latency: whole.read(), ..Side::default() };
        let judged = |canary: Side| {
            let mut judge = Judge::default();
            judge.tick(&Reading { stable: single.clone(), ..Reading::default() });
            judge.begin_step(BasisPoints::new(500).expect("it is a share"));
            judge.tick(&Reading { stable: single.clone(), canary, ..Reading::default() });
            judge
        };
        prop_assert_eq!(judged(merged), judged(single.clone()));
    }
}

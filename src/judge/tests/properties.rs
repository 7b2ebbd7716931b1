//! P5: shards merged equal the whole. P7: more canary errors never help the canary.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::bad_seconds::BadSeconds;
use super::super::bursts::ByUpstream;
use super::super::more_errors::BothForms;
use super::super::{Histogram, Judge, JudgeSettings, OnBursts, Reading, Ruling, Side};
use super::{Bursts, Causes, Counts, Distribution, ErrorTest, Spending, Tolerance, Weighing};
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
        test.tick(TOLERANCE, Weighing::of(spending.tick(), Causes::OF_EACH), *stable, *canary);
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
    // Each failure counts: what comes together may help a canary, for it was one event.
    let settings = JudgeSettings { bursts: OnBursts::Ignore, ..JudgeSettings::default() };
    let mut judge =
        Judge::new(settings, Bursts::default(), latency.clone(), Duration::from_secs(60));
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

/// A second of two stable upstreams and of one canary.
fn upstreams() -> impl Strategy<Value = [Counts; 3]> {
    let counts = || {
        (1u64..60, 0u64..60, 0u8..4).prop_map(|(total, bad, calm)| Counts {
            total,
            bad: if calm == 0 { bad.min(total) } else { 0 },
        })
    };
    [counts(), counts(), counts()]
}

/// ln E of bad seconds in each.
fn by_seconds(seconds: &[[Counts; 3]]) -> f64 {
    let (mut test, mut spending) = (BothForms::both(), Spending::over(Duration::from_secs(60)));
    for second in seconds {
        let [a, b, canary] = told(*second);
        let weighing = Weighing::of(spending.tick(), Causes::OF_EACH);
        let of = BadSeconds::of(&[a, b], &[canary]);
        test.tick(TOLERANCE, weighing, (second[0], second[2]), (1.5, of));
    }
    test.forms()[1]
}

fn told(second: [Counts; 3]) -> [ByUpstream; 3] {
    let mut names = ["a", "b", "c"].into_iter();
    second.map(|attempts| ByUpstream {
        name: names.next().unwrap_or_default().into(),
        attempts,
        answers: attempts.good(),
        slow: [attempts.good() / 2, attempts.bad, attempts.bad / 2],
    })
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

    #[test]
    fn a_failure_in_a_clean_second_of_the_stable_pool_never_strengthens_bad_seconds(
        seconds in vec(upstreams(), 1..30),
        place in any::<prop::sample::Index>(),
        which in 0usize..2,
    ) {
        let at = place.index(seconds.len());
        prop_assume!(seconds[at][which].bad == 0);
        let mut worse = seconds.clone();
        worse[at][which].bad = 1;
        prop_assert!(by_seconds(&worse) <= by_seconds(&seconds) + 1e-9);
    }

    #[test]
    fn one_more_failure_of_the_canary_never_weakens_bad_seconds(
        seconds in vec(upstreams(), 1..30),
        place in any::<prop::sample::Index>(),
    ) {
        let at = place.index(seconds.len());
        prop_assume!(seconds[at][2].good() > 0);
        let mut worse = seconds.clone();
        worse[at][2].bad += 1;
        prop_assert!(by_seconds(&worse) >= by_seconds(&seconds) - 1e-9);
    }

    #[test]
    fn what_two_proxies_saw_of_upstreams_added_up_is_judged_as_one_proxys(
        seconds in vec((upstreams(), upstreams()), 60..90),
    ) {
        let add = |[a, b]: [[Counts; 3]; 2]| {
            let mut sums = told(a);
            for (sum, more) in sums.iter_mut().zip(told(b)) {
                sum.attempts += more.attempts;
                sum.answers += more.answers;
                (0..3).for_each(|kind| sum.slow[kind] += more.slow[kind]);
            }
            sums
        };
        // The merged counts come in another order of upstreams, as a fleet's may.
        let judged = |is_turned: bool| {
            let mut judge = Judge::default();
            for (at, (one, other)) in seconds.iter().enumerate() {
                let [a, b, canary] = if is_turned { add([*other, *one]) } else { add([*one, *other]) };
                let side = |upstreams: Vec<ByUpstream>| {
                    let mut attempts = Counts::default();
                    upstreams.iter().for_each(|one| attempts += one.attempts);
                    Side { attempts, upstreams, ..Side::default() }
                };
                if at == 40 {
                    judge.begin_step(BasisPoints::new(1_000).expect("it is a share"));
                }
                let stable = side(if is_turned { vec![b, a] } else { vec![a, b] });
                judge.tick(&Reading { stable, canary: side(vec![canary]), ..Reading::default() });
            }
            let evidence = judge.evidence();
            (evidence.per_cause, evidence.metrics[1].worse.ln_e, evidence.metrics[0].worse.ln_e)
        };
        prop_assert_eq!(judged(true), judged(false));
    }
}

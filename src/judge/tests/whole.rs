//! A rollout judged from its start to its end, on simulated traffic.

use std::time::Duration;

use super::super::bursts::ByUpstream;
use super::super::{
    Evidence, Judge, JudgeSettings, Metric, OnBursts, Part, Reading, Ruling, Says, Side, Verdict,
};
use super::simulation::{Latencies, Traffic};
use super::{Bursts, Counts, Distribution, Draws};
use crate::split::BasisPoints;

const HOUR: Duration = Duration::from_secs(3_600);

fn share(basis_points: u16) -> BasisPoints {
    BasisPoints::new(basis_points).expect("it is a share")
}

/// Two versions under load.
struct Shop {
    rate: f64,
    bad: (f64, f64),
    stable: Latencies,
    canary: Latencies,
}

impl Shop {
    /// At 1,000 requests a second, both failing at this rate and as quick as each other.
    fn new(stable_bad: f64, canary_bad: f64) -> Shop {
        let latencies = || Latencies::new(&[(1.0, &|millis| millis)]);
        let bad = (stable_bad, canary_bad);
        Shop { rate: 1_000.0, bad, stable: latencies(), canary: latencies() }
    }

    fn traffic(&self, basis_points: u16) -> Traffic {
        Traffic::new(self.rate, share(basis_points).ratio(), self.bad.0, self.bad.1)
    }

    fn second(&self, traffic: &Traffic, draws: &mut Draws) -> Reading {
        let (stable, canary) = traffic.tick(draws);
        let mut side = |attempts: Counts, latencies: &Latencies| Side {
            attempts,
            latency: latencies.draw(attempts.good(), draws),
            cold: Distribution::default(),
            arrivals: attempts.total,
            upstreams: Vec::new(),
        };
        Reading {
            stable: side(stable, &self.stable),
            canary: side(canary, &self.canary),
            ..Reading::default()
        }
    }

    /// One that has watched the stable pool for two minutes.
    fn judge(&self, draws: &mut Draws) -> Judge {
        let past = self.stable.draw(120_000, draws);
        let bad = (60_000.0 * self.bad.0) as u64;
        let before = Counts { total: 60_000, bad };
        Judge::new(JudgeSettings::default(), Bursts::default(), past, HOUR)
            .with_attempts_before(before)
    }
}

/// Seconds until it is not inconclusive any more, at most so many.
fn decide(
    judge: &mut Judge,
    shop: &Shop,
    basis_points: u16,
    at_most: u64,
    draws: &mut Draws,
) -> (u64, Ruling) {
    let traffic = shop.traffic(basis_points);
    judge.begin_step(share(basis_points));
    for second in 1..=at_most {
        judge.tick(&shop.second(&traffic, draws));
        let ruling = judge.ruling();
        if matches!(ruling, Ruling::Fail(_) | Ruling::Invalid)
            || (ruling == Ruling::Pass && second >= 60)
        {
            return (second, ruling);
        }
    }
    (at_most, judge.ruling())
}

#[test]
fn a_canary_that_fails_fifty_times_as_often_is_back_in_ten_seconds() {
    let shop = Shop::new(0.001, 0.05);
    for seed in 0..40 {
        println!("seed {seed}");
        let mut draws = Draws::seeded(seed);
        let mut judge = shop.judge(&mut draws);
        let (seconds, ruling) = decide(&mut judge, &shop, 500, 60, &mut draws);
        assert!(matches!(ruling, Ruling::Fail(Metric::Errors | Metric::Guard)), "{ruling:?}");
        let failed = judge.evidence().step.expect("it has one").canary.bad;
        assert!(seconds <= 10 && failed < 30, "{seconds} s, {failed} failed");
    }
}

#[test]
fn a_p99_that_rises_by_half_is_found_within_a_minute() {
    let mut shop = Shop::new(0.001, 0.001);
    shop.canary = Latencies::new(&[(1.0, &|millis| 1.5 * millis)]);
    for seed in 0..20 {
        println!("seed {seed}");
        let mut draws = Draws::seeded(seed);
        let mut judge = shop.judge(&mut draws);
        let (seconds, ruling) = decide(&mut judge, &shop, 500, 60, &mut draws);
        let slow = [Metric::P50, Metric::P95, Metric::P99];
        assert!(matches!(&ruling, Ruling::Fail(metric) if slow.contains(metric)), "{ruling:?}");
        assert!(seconds < 60, "{seconds}");
    }
}

#[test]
fn an_identical_canary_passes_every_step_and_its_watch() {
    let shop = Shop::new(0.001, 0.001);
    for seed in 0..6 {
        println!("seed {seed}");
        let mut draws = Draws::seeded(seed);
        let mut judge = shop.judge(&mut draws);
        for basis_points in [100, 500, 1_000, 2_500, 5_000] {
            let (_, ruling) = decide(&mut judge, &shop, basis_points, 1_800, &mut draws);
            assert_eq!(ruling, Ruling::Pass, "{basis_points}: {:?}", judge.verdict());
        }
        let traffic = shop.traffic(10_000);
        judge.begin_step(BasisPoints::WHOLE);
        for _ in 0..600 {
            judge.tick(&shop.second(&traffic, &mut draws));
            assert!(!matches!(judge.ruling(), Ruling::Fail(_)), "{:?}", judge.verdict());
        }
        assert_eq!(judge.ruling(), Ruling::Pass, "{:?}", judge.verdict());
    }
}

#[test]
fn too_little_traffic_says_how_much_is_missing_and_that_much_is_enough() {
    println!("seed 3");
    let mut draws = Draws::seeded(3);
    let mut shop = Shop::new(0.001, 0.0);
    shop.rate = 5.0;
    let mut judge = shop.judge(&mut draws);
    let (_, ruling) = decide(&mut judge, &shop, 500, 1_800, &mut draws);
    assert_eq!(ruling, Ruling::Inconclusive);
    let missing = judge.evidence().gate.requests_missing.expect("it is within reach");
    let Verdict::Inconclusive { evidence } = judge.verdict() else { panic!("it said so") };
    assert!(evidence.contains("more requests without a failure would do"), "{evidence}");
    let mut reading = Reading::default();
    reading.canary.attempts.total = missing - 60;
    reading.stable.attempts.total = missing * 19;
    let mut less = judge.clone();
    less.tick(&reading);
    assert_eq!(less.ruling(), Ruling::Inconclusive, "{missing}");
    reading.canary.attempts.total = missing + 60;
    judge.tick(&reading);
    assert_eq!(judge.ruling(), Ruling::Pass, "{missing}");
}

#[test]
fn with_all_traffic_it_is_compared_with_the_past() {
    println!("seed 4");
    let mut draws = Draws::seeded(4);
    let shop = Shop::new(0.001, 0.01);
    let mut judge = shop.judge(&mut draws);
    let (seconds, ruling) = decide(&mut judge, &shop, 10_000, 600, &mut draws);
    assert_eq!(ruling, Ruling::Fail(Metric::Errors), "{:?}", judge.verdict());
    assert!(seconds < 20, "{seconds}");
    let evidence = judge.verdict().evidence().to_string();
    assert!(
        evidence.contains("which has all traffic") && evidence.contains("until then"),
        "{evidence}"
    );
    let quiet: Vec<Says> =
        judge.evidence().metrics.iter().skip(2).map(|found| found.says).collect();
    assert_eq!(quiet, [Says::NotJudged; 3]);
}

#[test]
fn a_restart_in_the_middle_changes_nothing() {
    println!("seed 5");
    let mut draws = Draws::seeded(5);
    let shop = Shop::new(0.001, 0.004);
    let mut judge = shop.judge(&mut draws).with_budget(Some(1e6 / 7.0));
    let part = Part { name: "GET /".into(), stable: counts(90, 1), canary: counts(10, 1) };
    for basis_points in [100, 1_000, 10_000] {
        judge.begin_step(share(basis_points));
        let traffic = shop.traffic(basis_points);
        for _ in 0..7 {
            let mut reading = shop.second(&traffic, &mut draws);
            reading.metrics.push(part.clone());
            reading.strata.push(part.clone());
            let text = serde_json::to_string(&judge).expect("it can be stored");
            let mut read: Judge = serde_json::from_str(&text).expect("it was ours");
            assert_eq!(read, judge);
            read.tick(&reading);
            judge.tick(&reading);
            assert_eq!(read, judge);
        }
    }
}

#[test]
fn what_an_older_version_stored_gets_the_defaults() {
    let read: Judge = serde_json::from_str("{}").expect("all fields have defaults");
    assert_eq!(read, Judge::default());
}

fn counts(total: u64, bad: u64) -> Counts {
    Counts { total, bad }
}

/// A second of 1,000 requests, a tenth of them the canary's.
fn plain(stable_bad: u64, canary_bad: u64) -> Reading {
    let side = |total, bad| Side { attempts: counts(total, bad), ..Side::default() };
    Reading { stable: side(900, stable_bad), canary: side(100, canary_bad), ..Reading::default() }
}

fn begun() -> Judge {
    let mut judge = Judge::default();
    judge.begin_step(share(1_000));
    judge
}

#[test]
fn evidence_is_complete_and_survives_storage() {
    let mut judge = begun().with_budget(Some(1_000.0));
    let mut reading = plain(1, 3);
    reading.strata.push(Part {
        name: "POST /pay".into(),
        stable: counts(90, 0),
        canary: counts(10, 3),
    });
    (0..4).for_each(|_| judge.tick(&reading));
    let evidence = judge.evidence();
    let text = serde_json::to_string(&evidence).expect("it is plain");
    assert_eq!(serde_json::from_str::<Evidence>(&text).expect("it was ours"), evidence);
    let words = "in the last 4 s the canary failed 12 of 400 requests (3 %), the stable pool 4 of 3,600 \
                 (0.11 %); evidence ";
    let Verdict::Fail { evidence: said, driver } = &evidence.verdict else {
        panic!("{evidence:?}")
    };
    assert!(
        said.starts_with(words) && said.ends_with("times as often (250 to 1 suffices)"),
        "{said}"
    );
    assert_eq!(driver, &Metric::Errors);
    let metrics: Vec<String> =
        evidence.metrics.iter().map(|found| found.metric.to_string()).collect();
    assert_eq!(metrics, ["guard", "errors", "p99", "p95", "p50"]);
    assert_eq!(
        (evidence.metrics[1].says, evidence.metrics[2].says),
        (Says::Fails, Says::NotJudged)
    );
    assert_eq!(&*evidence.regressed[0].name, "POST /pay");
    assert!(evidence.budget.is_some_and(|budget| (budget.excess - 11.55).abs() < 0.01));
}

#[test]
fn a_failure_shows_what_failed_and_not_the_good_hour_before() {
    let mut judge = begun();
    (0..1_000).for_each(|_| judge.tick(&plain(1, 0)));
    let seconds = (1..60).find(|_| {
        judge.tick(&plain(1, 2));
        judge.ruling() == Ruling::Fail(Metric::Errors)
    });
    let seconds = seconds.expect("it is much worse");
    let said = judge.verdict().evidence().to_string();
    assert!(said.contains("requests (2 %), the stable pool"), "after {seconds} s: {said}");
    let rise = judge.evidence().metrics[1].rise;
    assert!(rise.seconds <= seconds && rise.canary.bad == 2 * rise.seconds, "{rise:?}");
}

#[test]
fn evidence_before_the_first_second_can_be_stored_too() {
    for judge in [Judge::default(), begun()] {
        let evidence = judge.evidence();
        let text = serde_json::to_string(&evidence).expect("it is plain");
        assert_eq!(serde_json::from_str::<Evidence>(&text).expect("it was ours"), evidence);
        assert!(matches!(evidence.verdict, Verdict::Inconclusive { .. }));
    }
}

#[test]
fn the_guard_speaks_before_everything_else() {
    let mut judge = begun();
    (0..4).for_each(|_| judge.tick(&plain(90, 60)));
    assert_eq!(judge.ruling(), Ruling::Fail(Metric::Guard));
    assert!(judge.verdict().evidence().contains("the guard allows less than 5 %"));
}

#[test]
fn a_split_that_is_off_makes_the_comparison_invalid_until_it_is_set_again() {
    let mut judge = begun();
    let mut reading = plain(1, 0);
    (reading.stable.arrivals, reading.canary.arrivals) = (700, 300);
    (0..5).for_each(|_| judge.tick(&reading));
    assert_eq!(judge.ruling(), Ruling::Invalid);
    assert!(
        judge.verdict().evidence().contains("where the split says 10 %"),
        "{:?}",
        judge.verdict()
    );
    let mut failing = judge.clone();
    (0..9).for_each(|_| failing.tick(&plain(0, 60)));
    assert!(matches!(failing.ruling(), Ruling::Fail(_)), "failure comes first");
    judge.begin_step(share(1_000));
    assert_eq!(judge.ruling(), Ruling::Inconclusive);
}

#[test]
fn latencies_while_it_warms_up_are_not_judged_and_errors_are() {
    let slow = |is_warming: bool| {
        let mut past = Distribution::default();
        (1..=1_000).for_each(|millis| past.add(Duration::from_millis(millis)));
        let mut judge = Judge::new(JudgeSettings::default(), Bursts::default(), past.clone(), HOUR);
        judge.begin_step(share(1_000));
        let mut reading = plain(0, 0);
        reading.is_warming = is_warming;
        reading.stable.latency = past;
        (0..100).for_each(|_| reading.canary.latency.add(Duration::from_secs(3)));
        (0..10).for_each(|_| judge.tick(&reading));
        judge
    };
    assert!(
        matches!(slow(false).ruling(), Ruling::Fail(Metric::P99)),
        "{:?}",
        slow(false).verdict()
    );
    let said = slow(false).verdict().evidence().to_string();
    assert!(said.contains("100 % of the canary's 1,000 requests took"), "{said}");
    assert!(!matches!(slow(true).ruling(), Ruling::Fail(_)), "{:?}", slow(true).verdict());
    let mut failing = slow(true);
    (0..4).for_each(|_| failing.tick(&Reading { is_warming: true, ..plain(0, 5) }));
    assert_eq!(failing.ruling(), Ruling::Fail(Metric::Errors));
}

#[test]
fn latency_that_smoulders_holds_a_canary_whose_gate_is_open() {
    let mut past = Distribution::default();
    (0..99_000).for_each(|_| past.add(Duration::from_millis(10)));
    (0..1_000).for_each(|_| past.add(Duration::from_millis(200)));
    let mut judge = Judge::new(JudgeSettings::default(), Bursts::default(), past, HOUR);
    judge.begin_step(share(5_000));
    let side = |slow: u64| {
        let mut latency = Distribution::default();
        (0..1_000 - slow).for_each(|_| latency.add(Duration::from_millis(10)));
        (0..slow).for_each(|_| latency.add(Duration::from_millis(200)));
        Side { attempts: counts(1_000, 0), latency, ..Side::default() }
    };
    let reading = Reading { stable: side(10), canary: side(21), ..Reading::default() };
    let calm = Reading { stable: side(10), canary: side(10), ..Reading::default() };
    (0..3).for_each(|_| judge.tick(&calm));
    assert_eq!(judge.ruling(), Ruling::Pass);
    let smoulders = (0..9).any(|_| {
        judge.tick(&reading);
        judge.ruling() == Ruling::Inconclusive
    });
    let said = judge.verdict().evidence().to_string();
    assert!(smoulders && said.contains("as quick as the stable pool's would calm that"), "{said}");
    (0..60).for_each(|_| judge.tick(&calm));
    assert_eq!(judge.ruling(), Ruling::Pass, "{:?}", judge.verdict());
}

#[test]
fn a_custom_metric_can_take_it_back_and_is_named() {
    let mut judge = begun();
    (0..30).for_each(|_| judge.tick(&plain(1, 0)));
    let part =
        Part { name: "checkout_failed".into(), stable: counts(180, 2), canary: counts(20, 8) };
    (0..6).for_each(|_| judge.tick(&Reading { metrics: vec![part.clone()], ..plain(1, 0) }));
    assert_eq!(judge.ruling(), Ruling::Fail(Metric::Custom("checkout_failed".into())));
    let said = judge.verdict().evidence().to_string();
    assert!(
        said.starts_with("`checkout_failed`: in the last 6 s the canary had 48 of 120 (40 %)"),
        "{said}"
    );
}

#[test]
fn of_very_many_custom_metrics_the_first_are_judged() {
    let mut judge = begun();
    let part = |n: u64| Part {
        name: format!("m{n}").into(),
        stable: counts(9, 0),
        canary: counts(1, n / 16),
    };
    (0..20)
        .for_each(|_| judge.tick(&Reading { metrics: (0..20).map(part).collect(), ..plain(0, 0) }));
    assert_eq!(judge.evidence().metrics.len(), 5 + 16);
    assert!(!matches!(judge.ruling(), Ruling::Fail(_)));
}

#[test]
fn it_may_not_spend_more_of_the_error_budget_than_it_has() {
    // Worse than the stable pool, and not by more than is tolerated; nor by as much as the guard wants.
    let mut judge = begun().with_budget(Some(50.0));
    let seconds = (1..=600).find(|_| {
        judge.tick(&plain(90, 12));
        judge.ruling() == Ruling::Fail(Metric::Budget)
    });
    assert_eq!(seconds, Some(26), "{:?}", judge.verdict());
    assert!(judge.verdict().evidence().contains("about 52 requests more"), "{:?}", judge.verdict());
}

#[test]
fn what_fails_in_both_pools_is_no_fault_of_the_canary_and_what_fails_twice_as_often_is() {
    // A database that is away: a fifth of everything fails, then all of it for five seconds.
    let mut judge = begun();
    for second in 0..300 {
        let (stable, canary) = if second % 100 < 5 { (900, 100) } else { (180, 20) };
        judge.tick(&plain(stable, canary));
        assert!(!matches!(judge.ruling(), Ruling::Fail(_)), "{second}: {:?}", judge.verdict());
    }
    let guard = |stable: u64, canary: u64| {
        let mut judge = begun();
        (0..60).for_each(|_| judge.tick(&plain(stable, canary)));
        let finding = judge.evidence().metrics.into_iter().find(|f| f.metric == Metric::Guard);
        finding.unwrap().says == Says::Fails
    };
    // Of 900 and of 100.
    assert!(!guard(91, 20) && guard(90, 20), "twice as often and no less");
    assert!(!guard(0, 4) && guard(0, 5), "and its limit");
}

#[test]
fn where_the_stable_pool_has_no_requests_the_guard_stands_alone() {
    let mut judge = begun();
    judge.begin_step(BasisPoints::WHOLE);
    let alone = Reading {
        canary: Side { attempts: counts(100, 30), ..Side::default() },
        ..Reading::default()
    };
    (0..10).for_each(|_| judge.tick(&alone));
    assert_eq!(judge.ruling(), Ruling::Fail(Metric::Guard));
}

#[test]
fn what_still_comes_of_the_stable_pool_after_the_last_step_does_not_turn_the_guard_off() {
    let mut judge = begun();
    judge.begin_step(BasisPoints::WHOLE);
    let mut reading = plain(0, 0);
    // One that was sent to it before, and ends with a time-out.
    reading.stable.attempts = counts(1, 1);
    reading.canary.attempts = counts(100, 30);
    judge.tick(&reading);
    reading.stable = Side::default();
    (0..9).for_each(|_| judge.tick(&reading));
    assert_eq!(judge.ruling(), Ruling::Fail(Metric::Guard));
    let evidence = judge.evidence();
    let guard = evidence.metrics.iter().find(|finding| finding.metric == Metric::Guard).unwrap();
    assert_eq!((guard.says, guard.stable), (Says::Fails, counts(1, 1)));
}

#[test]
fn the_end_of_the_warm_up_is_no_cluster_of_slow_answers_and_a_pause_is_one() {
    // Every answer of the canary is slower than half of the stable pool's.
    let dist = |share: u64, times: u64| {
        let mut took = Distribution::default();
        for millis in 1..=100 {
            let millis = Duration::from_millis(millis.max(share));
            (0..times).for_each(|_| took.add(millis));
        }
        took
    };
    let second = |cold: u64, warm: u64| {
        let mut reading = plain(0, 0);
        reading.stable.latency = dist(0, 9);
        reading.canary.cold = dist(80, cold);
        reading.canary.latency = dist(80, warm);
        reading
    };
    let after = |before: &Reading| {
        let past = dist(0, 100);
        let mut judge = Judge::new(JudgeSettings::default(), Bursts::default(), past, HOUR);
        judge.begin_step(share(1_000));
        (0..20).for_each(|_| judge.tick(before));
        let mut seconds = 0;
        while judge.ruling() != Ruling::Fail(Metric::P50) && seconds < 60 {
            judge.tick(&second(0, 1));
            seconds += 1;
        }
        seconds
    };
    let warming = Reading { is_warming: true, ..second(0, 1) };
    let (known, cold, silent) = (after(&warming), after(&second(1, 0)), after(&second(0, 0)));
    assert_eq!(cold, known, "cold before or not looked at makes no difference");
    assert!(cold < 10 && silent > cold, "{cold} {silent}");
}

/// A second of so many upstreams of both pools, with 100 requests each to the stable ones and 20 to the
/// canary's, of which these fail.
fn by_upstream(stable: &[u64], canary: &[u64]) -> Reading {
    let side = |pool: &str, requests: u64, bad: &[u64]| {
        let upstream = |(place, &bad): (usize, &u64)| ByUpstream {
            name: format!("{pool}-{place}").into(),
            attempts: counts(requests, bad),
            ..ByUpstream::default()
        };
        let upstreams: Vec<ByUpstream> = bad.iter().enumerate().map(upstream).collect();
        let mut attempts = Counts::default();
        upstreams.iter().for_each(|one| attempts += one.attempts);
        Side { attempts, upstreams, ..Side::default() }
    };
    let (stable, canary) = (side("blue", 100, stable), side("green", 20, canary));
    Reading { stable, canary, ..Reading::default() }
}

/// A judge that has seen ten minutes of the stable pool, whose upstreams fail so many at a time.
fn after_ten_minutes(settings: JudgeSettings, fails: impl Fn(u64) -> [u64; 2]) -> Judge {
    let mut judge = Judge::new(settings, Bursts::default(), Distribution::default(), HOUR);
    (0..600).for_each(|at| judge.tick(&by_upstream(&fails(at), &[])));
    judge.begin_step(share(1_000));
    judge
}

/// A failure now and then, of one or the other.
fn quiet(at: u64) -> [u64; 2] {
    [u64::from(at.is_multiple_of(23)), u64::from(at % 31 == 5)]
}

#[test]
fn what_one_cause_made_counts_once_where_the_past_has_shown_it() {
    // Three seconds of each in two minutes.
    let stalling =
        |at: u64| [0, 60].map(|from| if (from..from + 3).contains(&(at % 120)) { 80 } else { 0 });
    let ends = |bursts: OnBursts| {
        let settings = JudgeSettings { bursts, ..JudgeSettings::default() };
        let mut judge = after_ten_minutes(settings, stalling);
        // The canary stalls as the others do.
        (0..600).find(|&at| {
            let canary = if (10..13).contains(&(at % 120)) { 16 } else { 0 };
            judge.tick(&by_upstream(&stalling(at + 40), &[canary]));
            matches!(judge.ruling(), Ruling::Fail(_))
        })
    };
    assert_eq!(ends(OnBursts::CountOnce), None);
    assert!(ends(OnBursts::Ignore).is_some(), "each for itself, they are far too many");
}

#[test]
fn one_restart_of_the_only_canary_upstream_shuts_the_gate_and_is_no_rollback_and_a_loop_is_one() {
    let restarting = |every: u64| {
        let mut judge = after_ten_minutes(JudgeSettings::default(), quiet);
        let mut said = Vec::new();
        for at in 0..400 {
            // Two seconds, which touch three ticks.
            let canary = match at % every {
                60 | 62 => 10,
                61 => 20,
                _ => 0,
            };
            judge.tick(&by_upstream(&quiet(at), &[canary]));
            said.push(judge.ruling());
        }
        said
    };
    let once = restarting(10_000);
    assert!(once.iter().all(|said| !matches!(said, Ruling::Fail(_))), "{once:?}");
    assert!(once[63..90].iter().all(|said| *said == Ruling::Inconclusive), "{once:?}");
    let fails = restarting(62).iter().position(|said| matches!(said, Ruling::Fail(_)));
    assert!(fails.is_some_and(|at| (100..330).contains(&at)), "{fails:?}");
}

#[test]
fn what_is_gone_for_five_seconds_is_a_rollback() {
    let mut judge = after_ten_minutes(JudgeSettings::default(), quiet);
    (0..60).for_each(|at| judge.tick(&by_upstream(&quiet(at), &[0])));
    let seconds = (1..30).find(|_| {
        judge.tick(&by_upstream(&[0, 0], &[20]));
        matches!(judge.ruling(), Ruling::Fail(_))
    });
    assert!(seconds.is_some_and(|seconds| (4..=9).contains(&seconds)), "{seconds:?}");
}

#[test]
fn a_service_that_stalls_is_told_how_many_failures_one_cause_makes() {
    let stalling =
        |at: u64| [if at % 60 == 7 { 30 } else { 0 }, if at % 60 == 40 { 30 } else { 0 }];
    let mut judge = after_ten_minutes(JudgeSettings::default(), stalling);
    let fails = (0..600).any(|at| {
        judge.tick(&by_upstream(&stalling(at), &[2]));
        judge.ruling() == Ruling::Fail(Metric::Errors)
    });
    let said = judge.verdict().evidence().to_string();
    assert!(fails && said.contains("; one cause makes "), "{said}");
    assert!(judge.evidence().per_cause > 2.0, "{}", judge.evidence().per_cause);
}

#[test]
fn one_bad_upstream_of_several_is_named() {
    let mut judge = after_ten_minutes(JudgeSettings::default(), quiet);
    let fails = (0..600).any(|at| {
        judge.tick(&by_upstream(&quiet(at), &[0, 2, 0]));
        matches!(judge.ruling(), Ruling::Fail(_))
    });
    let said = judge.verdict().evidence().to_string();
    assert!(fails && said.ends_with("; green-1 has 100 % of the excess"), "{said}");
}

#[test]
fn upstreams_that_differ_for_good_are_no_worse_version() {
    let differing = |[a, b, c]: [u64; 3]| {
        let mut judge =
            Judge::new(JudgeSettings::default(), Bursts::default(), Distribution::default(), HOUR);
        for at in 0..600u64 {
            let fails = [a, b, c].map(|often| u64::from((at * 7) % often == 0));
            judge.tick(&by_upstream(&fails, &[]));
        }
        judge.begin_step(share(1_000));
        judge.tick(&by_upstream(&[0, 0, 0], &[0]));
        judge.ratio
    };
    assert_eq!(differing([10, 10, 10]), 1.25);
    let tolerated = differing([5, 10, 20]);
    assert!((1.5..=2.0).contains(&tolerated), "{tolerated}");
}

#[test]
fn a_judge_that_is_off_lets_everything_pass() {
    let settings = JudgeSettings { enabled: false, ..JudgeSettings::default() };
    let mut judge = Judge::new(settings, Bursts::default(), Distribution::default(), HOUR);
    judge.begin_step(share(1_000));
    (0..60).for_each(|_| judge.tick(&plain(0, 100)));
    assert_eq!(judge.verdict(), Verdict::Pass { evidence: "the judge is off".into() });
}

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::*;
use crate::upstream::Probe;

use Finding::{Failure, Success};

/// Any moment will do: the tests only ever add to it.
fn start() -> Instant {
    Instant::now()
}

fn health() -> Health {
    Health::new(Probe::Tcp)
}

/// What is proved after each of these results.
fn proofs(probing: &mut Probing, findings: &[Finding]) -> Vec<Proof> {
    let (now, mut draws) = (start(), Draws::seeded(1));
    let after = |&finding: &Finding| {
        probing.on_result(finding, &health(), now, &mut draws);
        probing.proof()
    };
    findings.iter().map(after).collect()
}

/// The wait after the last of these results, in milliseconds.
fn wait(probing: &Probing, findings: &[Finding], health: &Health, seed: u64) -> u64 {
    let (now, mut draws, mut probing) = (start(), Draws::seeded(seed), probing.clone());
    let mut next = now;
    for &finding in findings {
        next = probing.on_result(finding, health, now, &mut draws);
    }
    next.duration_since(now).as_millis() as u64
}

/// A probing whose first wait is over.
fn spread(proof: Proof) -> Probing {
    Probing { is_spread: true, ..Probing::from_proof(proof) }
}

fn assert_waits(probing: &Probing, findings: &[Finding], expected: Range<u64>) {
    let waits: Vec<_> = (0..500).map(|seed| wait(probing, findings, &health(), seed)).collect();
    assert!(waits.iter().all(|wait| expected.contains(wait)), "{findings:?}: {waits:?}");
    let (min, max) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    let width = expected.end - expected.start;
    assert!(max - min > width * 9 / 10, "waits do not use their range: {min} to {max}");
}

#[test]
fn a_new_upstream_is_unproven_until_its_first_success() {
    use Proof::{Unproven, Up};
    assert_eq!(Probing::default().proof(), Unproven);
    let mut probing = Probing::default();
    assert_eq!(proofs(&mut probing, &[Failure, Failure, Success]), [Unproven, Unproven, Up]);
    assert_eq!(proofs(&mut probing, &[Failure, Failure]), [Up, Up], "old failures do not count");
}

#[test]
fn a_new_upstream_that_keeps_failing_is_down() {
    use Proof::{Down, Unproven};
    let mut probing = Probing::default();
    assert_eq!(proofs(&mut probing, &[Failure; 4]), [Unproven, Unproven, Down, Down]);
}

#[test]
fn only_failures_in_a_row_take_an_upstream_out() {
    use Proof::{Down, Up};
    let mut probing = Probing::from_proof(Up);
    let findings = [Failure, Failure, Success, Failure, Failure, Failure];
    assert_eq!(proofs(&mut probing, &findings), [Up, Up, Up, Up, Up, Down]);
}

#[test]
fn only_successes_in_a_row_bring_an_upstream_back() {
    use Proof::{Down, Up};
    let mut probing = Probing::from_proof(Down);
    let findings = [Success, Failure, Success, Success];
    assert_eq!(proofs(&mut probing, &findings), [Down, Down, Down, Up]);
}

#[test]
fn one_result_is_enough_where_the_config_says_so() {
    let health = Health { rise: 1, fall: 1, ..health() };
    let (now, mut draws) = (start(), Draws::seeded(1));
    let mut probing = Probing::from_proof(Proof::Up);
    probing.on_result(Failure, &health, now, &mut draws);
    assert_eq!(probing.proof(), Proof::Down);
    probing.on_result(Success, &health, now, &mut draws);
    assert_eq!(probing.proof(), Proof::Up);
}

#[test]
fn probes_hurry_while_the_state_is_changing() {
    let hurried = 800..1_200;
    assert_waits(&Probing::default(), &[Failure], hurried.clone());
    assert_waits(&spread(Proof::Up), &[Failure], hurried.clone());
    assert_waits(&spread(Proof::Up), &[Failure, Failure], hurried.clone());
    assert_waits(&spread(Proof::Down), &[Success], hurried);
}

#[test]
fn probes_take_their_time_while_nothing_changes() {
    let steady = 4_000..6_000;
    assert_waits(&spread(Proof::Up), &[Success], steady.clone());
    assert_waits(&spread(Proof::Up), &[Failure, Success], steady.clone());
    assert_waits(&spread(Proof::Up), &[Failure; 3], steady.clone());
    assert_waits(&spread(Proof::Down), &[Failure], steady.clone());
    assert_waits(&spread(Proof::Down), &[Success, Success], steady);
}

#[test]
fn an_interval_below_a_second_is_hurry_enough() {
    let health = Health { interval: Duration::from_millis(100), ..health() };
    let waits = (0..500).map(|seed| wait(&Probing::default(), &[Failure], &health, seed));
    assert!(waits.into_iter().all(|wait| (80..120).contains(&wait)));
}

#[test]
fn the_first_wait_once_settled_is_any_part_of_an_interval() {
    assert_waits(&Probing::default(), &[Success], 0..5_000);
    assert_waits(&Probing::default(), &[Failure; 3], 0..5_000);
    assert_waits(&Probing::default(), &[Success, Success], 4_000..6_000);
}

#[test]
fn live_traffic_spares_every_other_probe_and_two_are_two_intervals_apart_at_most() {
    let (now, mut draws, mut probing) = (start(), Draws::seeded(1), spread(Proof::Up));
    let mut spared = |probing: &mut Probing, live| {
        let next = probing.spare(&health(), live, now, &mut draws)?;
        // Behind a wait of six seconds at most.
        Some((2_000..4_000).contains(&next.duration_since(now).as_millis()))
    };
    for _ in 0..100 {
        assert_eq!(spared(&mut probing, Live::Succeeding), Some(true));
        assert_eq!(spared(&mut probing, Live::Succeeding), None);
        probing.on_result(Success, &health(), now, &mut Draws::seeded(2));
    }
    assert_eq!(spared(&mut probing, Live::Silent), None, "probes are back when the traffic ends");
}

#[test]
fn nothing_is_spared_but_of_a_settled_upstream_without_an_agent() {
    let (now, mut draws) = (start(), Draws::seeded(1));
    let mut doubted = spread(Proof::Up);
    doubted.on_result(Failure, &health(), now, &mut draws);
    let agent = Health { agent: true, ..health() };
    let cases = [
        (Probing::default(), health(), "unproven"),
        (Probing::from_proof(Proof::Up), health(), "never probed by this course"),
        (spread(Proof::Down), health(), "down"),
        (doubted, health(), "doubted"),
        (spread(Proof::Up), agent, "with an agent"),
    ];
    for (mut probing, health, what) in cases {
        assert_eq!(probing.spare(&health, Live::Succeeding, now, &mut draws), None, "{what}");
    }
}

/// Probes answered at once by a thousand upstreams that start together: how many fall into each
/// 100 ms of a minute.
fn storm(live: Live, seed: u64) -> Vec<f64> {
    let (start, mut draws, health) = (start(), Draws::seeded(seed), health());
    let mut courses = vec![Probing::default(); 1_000];
    let mut due: BinaryHeap<_> = (0..1_000).map(|upstream| Reverse((start, upstream))).collect();
    let mut counts = vec![0.0; 600];
    while let Some(Reverse((now, upstream))) = due.pop() {
        let Some(count) = counts.get_mut((now.duration_since(start).as_millis() / 100) as usize)
        else {
            return counts;
        };
        let probing: &mut Probing = &mut courses[upstream];
        let next = probing.spare(&health, live, now, &mut draws).unwrap_or_else(|| {
            *count += 1.0;
            probing.on_result(Success, &health, now, &mut draws)
        });
        due.push(Reverse((next, upstream)));
    }
    counts
}

/// Standard deviation by mean.
fn variation(counts: &[f64]) -> f64 {
    let mean = counts.iter().sum::<f64>() / counts.len() as f64;
    let squares = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>();
    (squares / counts.len() as f64).sqrt() / mean
}

#[test]
fn a_thousand_upstreams_that_start_together_spread_evenly() {
    for seed in 0..20 {
        let counts = storm(Live::Silent, seed);
        assert!(counts[0] >= 1_000.0, "all are probed at once");
        // The first cycle lasts five seconds.
        let variation = variation(&counts[50..]);
        assert!(variation < 0.5, "seed {seed}: {variation}");
        let mean = counts[50..].iter().sum::<f64>() / 550.0;
        assert!((19.0..21.0).contains(&mean), "seed {seed}: {mean} in 100 ms");
    }
}

#[test]
fn live_traffic_cuts_the_probes_of_a_thousand_upstreams_to_five_eighths() {
    let counts = storm(Live::Succeeding, 1);
    let mean = counts[300..].iter().sum::<f64>() / 300.0;
    assert!((12.0..13.0).contains(&mean), "{mean} in 100 ms");
}

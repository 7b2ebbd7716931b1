//! P1: seconds whose evidence is known to nine digits, of independent failures and of causes. P6: what an empty second adds.

use std::time::Duration;

use super::super::bad_seconds::BadSeconds;
use super::super::bursts::{ByUpstream, Own};
use super::super::more_errors::BothForms;
use super::{Bursts, Causes, Counts, ErrorTest, Spending, Tolerance, Weighing};

const TOLERANCE: Tolerance = Tolerance { ratio: 1.25, rate: 0.001 };

/// n_b, x_b, n_c, x_c, and ln E of both processes after them.
const TICKS: [([u64; 4], [f64; 2]); 9] = [
    ([990, 1, 10, 0], [-0.805701330692, -0.819761007526]),
    ([985, 0, 15, 1], [0.813068589657, 0.832138563108]),
    ([991, 2, 9, 0], [0.529676102626, 0.674145270894]),
    ([989, 1, 11, 2], [2.699209640485, 2.875761306686]),
    ([988, 0, 12, 1], [4.733265346455, 4.920732646867]),
    ([0, 0, 0, 0], [4.733266568357, 4.920733659892]),
    ([990, 1, 10, 3], [7.031658129348, 7.219981959177]),
    ([495, 0, 505, 6], [9.324061157656, 9.342748148542]),
    ([503, 1, 497, 5], [9.914597691880, 11.644899735573]),
];

#[test]
fn the_test_of_errors_meets_the_golden_vectors() {
    let mut spending = Spending::over(Duration::from_secs(3_600));
    let mut test = ErrorTest::default();
    for (tick, ([n_b, x_b, n_c, x_c], wanted)) in TICKS.into_iter().enumerate() {
        let weighing = Weighing::of(spending.tick(), Causes::OF_EACH);
        let stable = Counts { total: n_b, bad: x_b };
        test.tick(TOLERANCE, weighing, stable, Counts { total: n_c, bad: x_c });
        for (found, wanted) in [test.ln_e(), test.ln_e_floor()].into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-9, "tick {tick}: {found} instead of {wanted}");
        }
    }
}

#[test]
fn an_empty_second_adds_its_stake_and_nothing_else() {
    let (stable, canary) = (Counts { total: 990, bad: 1 }, Counts { total: 10, bad: 1 });
    let mut spending = Spending::over(Duration::from_secs(50));
    let mut test = ErrorTest::default();
    let first = Weighing::of(spending.tick(), Causes::OF_EACH);
    test.tick(TOLERANCE, first, stable, canary);
    for _ in 0..60 {
        let before = (test.ln_e().exp(), test.ln_e_floor().exp());
        let ln_stake = spending.tick();
        let nothing = Counts::default();
        test.tick(TOLERANCE, Weighing::of(ln_stake, Causes::OF_EACH), nothing, nothing);
        assert!((test.ln_e().exp() - before.0 - ln_stake.exp()).abs() < 1e-12);
        assert!((test.ln_e_floor().exp() - before.1 - ln_stake.exp()).abs() < 1e-12);
    }
}

/// A second of the stable upstreams a and b.
fn stable([n_a, x_a]: [u64; 2], [n_b, x_b]: [u64; 2]) -> Vec<ByUpstream> {
    vec![upstream("a", n_a, x_a), upstream("b", n_b, x_b)]
}

fn upstream(name: &str, total: u64, bad: u64) -> ByUpstream {
    let attempts = Counts { total, bad };
    ByUpstream { name: name.into(), attempts, ..ByUpstream::default() }
}

/// Four minutes: a stalls for three seconds each minute, b for two every other one.
fn history() -> Bursts {
    let mut bursts = Bursts::default();
    for second in 0..240u64 {
        let x_a = match second % 60 {
            7..=9 => 12,
            _ => u64::from(second % 20 == 0),
        };
        let x_b = match second % 120 {
            23..=24 => 9,
            _ => u64::from(second % 25 == 0),
        };
        bursts.tick(&stable([50, x_a], [50, x_b]));
    }
    bursts
}

fn assert_near(found: f64, wanted: f64, what: &str) {
    assert!((found - wanted).abs() < 1e-9, "{what}: {found} instead of {wanted}");
}

#[test]
fn what_upstreams_have_shown_is_measured_as_the_reference_does() {
    let bursts = history();
    let [short, long, longest] = bursts.failures().kappas();
    assert_near(short, 0.552926771990, "κ of 10 s");
    assert_near(long, 0.271024834651, "κ of 40 s");
    assert_eq!(longest, 0.0, "one block of 160 s has no neighbour");
    for (requests, wanted) in
        [(5.0, 2.006901515005), (10.0, 2.499347372570), (50.0, 2.481566766171)]
    {
        assert_near(bursts.seconds().per_cause(requests), wanted, "s'");
    }
}

/// n and x of a and b and of the canary; κ of its own and κ, how many failures a cause makes at the canary
/// and at the stable pool, ln E by causes, by seconds, of both, and of both floors after it.
#[allow(clippy::approx_constant, reason = "each number is as the reference has printed it")]
const CAUSES: [([u64; 6], [f64; 8]); 12] = [
    (
        [48, 0, 47, 0, 5, 0],
        [
            0.000000000,
            0.829390158,
            4.317560632,
            39.566642346,
            -0.693147181,
            -0.693147181,
            -0.693147181,
            -0.716987627,
        ],
    ),
    (
        [47, 1, 47, 0, 6, 0],
        [
            0.000000000,
            0.829390158,
            5.146950790,
            39.151947267,
            -0.722427463,
            -0.751849100,
            -0.737030082,
            -0.742481596,
        ],
    ),
    (
        [48, 0, 48, 0, 4, 1],
        [
            0.000000000,
            0.829390158,
            3.488170474,
            39.981337425,
            -0.545074357,
            -0.511699869,
            -0.528247887,
            -0.020022122,
        ],
    ),
    (
        [45, 12, 45, 0, 10, 0],
        [
            0.000000000,
            0.829390158,
            8.464511422,
            37.493166951,
            -0.889128935,
            -0.913716671,
            -0.901347235,
            -0.091849831,
        ],
    ),
    (
        [45, 0, 44, 0, 11, 4],
        [
            0.000000000,
            0.829390158,
            9.293901580,
            37.078471872,
            -0.647929144,
            -0.696059334,
            -0.671704703,
            0.981142758,
        ],
    ),
    (
        [0, 0, 0, 0, 0, 0],
        [
            0.051210256,
            0.829390158,
            1.000000000,
            1.000000000,
            -0.647663682,
            -0.695780785,
            -0.671432855,
            0.981194824,
        ],
    ),
    (
        [45, 0, 45, 0, 10, 3],
        [
            0.051210256,
            0.829390158,
            8.464511422,
            37.493166951,
            -0.438365761,
            -0.466496638,
            -0.452332285,
            2.160566327,
        ],
    ),
    (
        [46, 0, 44, 0, 10, 0],
        [
            0.085714286,
            0.829390158,
            8.464511422,
            37.493166951,
            -0.438150483,
            -0.466275218,
            -0.452113979,
            2.026219172,
        ],
    ),
    (
        [45, 1, 45, 0, 10, 2],
        [
            0.085714286,
            0.829390158,
            8.464511422,
            37.493166951,
            -0.324284617,
            -0.325421347,
            -0.324852821,
            3.144234444,
        ],
    ),
    (
        [45, 0, 46, 0, 9, 1],
        [
            0.083532834,
            0.829390158,
            7.635121264,
            37.907862030,
            -0.242970652,
            -0.081424424,
            -0.158938931,
            4.356612700,
        ],
    ),
    (
        [44, 0, 46, 0, 10, 1],
        [
            0.052020217,
            0.792451119,
            8.132060073,
            35.867849245,
            -0.165454352,
            0.172837675,
            0.017929152,
            5.768750522,
        ],
    ),
    (
        [45, 0, 45, 9, 10, 2],
        [
            0.033813964,
            0.792451119,
            8.132060073,
            35.867849245,
            -0.295393010,
            0.011191036,
            -0.130397494,
            7.300370079,
        ],
    ),
];

#[test]
fn failures_of_one_cause_are_weighed_as_the_reference_does() {
    let (mut bursts, mut own, mut test) = (history(), Own::default(), BothForms::both());
    let mut spending = Spending::over(Duration::from_secs(3_600));
    let per_cause = bursts.seconds().per_cause(10.0);
    for (tick, ([n_a, x_a, n_b, x_b, n_c, x_c], wanted)) in CAUSES.into_iter().enumerate() {
        let kappa = bursts.failures().kappa().max(own.kappa());
        let causes = Causes { kappa, stable: 2, canary: 1 };
        let (beside, canary) = (stable([n_a, x_a], [n_b, x_b]), upstream("c", n_c, x_c));
        let counts = (Counts { total: n_a + n_b, bad: x_a + x_b }, canary.attempts);
        let seconds = BadSeconds::of(&beside, std::slice::from_ref(&canary));
        let weighing = Weighing::of(spending.tick(), causes);
        test.tick(TOLERANCE, weighing, counts, (per_cause, seconds));
        let [by_causes, by_seconds] = test.forms();
        let found = [
            own.kappa(),
            kappa,
            causes.makes_at_canary(n_c as f64),
            causes.makes_at_stable((n_a + n_b) as f64),
            by_causes,
            by_seconds,
            test.ln_e(),
            test.ln_e_floor(),
        ];
        for (place, (found, wanted)) in found.into_iter().zip(wanted).enumerate() {
            assert_near(found, wanted, &format!("tick {tick}, number {place}"));
        }
        bursts.tick(&beside);
        own.tick(canary.attempts, 1);
    }
}

#[test]
fn a_clean_history_counts_each_failure() {
    let mut bursts = Bursts::default();
    (0..600u64).for_each(|at| bursts.tick(&stable([50, at % 2], [50, (at / 2) % 2])));
    assert_eq!(bursts.failures().kappa(), 0.0);
    let causes = Causes { kappa: bursts.failures().kappa(), stable: 2, canary: 1 };
    let (mut test, mut spending) = (BothForms::both(), Spending::default());
    for ([n_b, x_b, n_c, x_c], [wanted, _]) in TICKS {
        let weighing = Weighing::of(spending.tick(), causes);
        let counts = (Counts { total: n_b, bad: x_b }, Counts { total: n_c, bad: x_c });
        test.tick(TOLERANCE, weighing, counts, (1.0, BadSeconds::default()));
        assert_near(test.forms()[0], wanted, "by causes");
    }
}

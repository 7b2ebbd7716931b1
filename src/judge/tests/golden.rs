//! P1: nine seconds whose evidence is known to nine digits. P6: what an empty second adds.

use std::time::Duration;

use super::{Counts, ErrorTest, Spending, Tolerance, Weighing};

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
        let weighing = Weighing { ln_stake: spending.tick(), phi: 1.0 };
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
    let first = Weighing { ln_stake: spending.tick(), phi: 1.0 };
    test.tick(TOLERANCE, first, stable, canary);
    for _ in 0..60 {
        let before = (test.ln_e().exp(), test.ln_e_floor().exp());
        let ln_stake = spending.tick();
        let nothing = Counts::default();
        test.tick(TOLERANCE, Weighing { ln_stake, phi: 1.0 }, nothing, nothing);
        assert!((test.ln_e().exp() - before.0 - ln_stake.exp()).abs() < 1e-12);
        assert!((test.ln_e_floor().exp() - before.1 - ln_stake.exp()).abs() < 1e-12);
    }
}

//! May the canary have more? Counts of a step's ticks in, evidence that it is fine out.
//!
//! "No alarm yet" is no evidence of health. The gate bets against "the canary fails at least twice
//! as often as the stable pool, and at least 0.5 % of its requests", and opens when that is refuted:
//! after about 1,500 requests at 0.1 % failures. It begins anew with every step.

use serde::{Deserialize, Serialize};

use super::Counts;
use super::e_process::{EProcess, ln_add};
use super::more_errors::Tolerance;
use super::steps::{Tick, above_rate, thinned};

/// How much better than the margin it may be, beside the stable pool.
const RATIOS: [f64; 6] = [0.8, 0.65, 0.5, 0.35, 0.2, 0.08];

/// How much better than the margin, as a rate.
const MULTIPLES: [f64; 6] = [0.8, 0.6, 0.4, 0.2, 0.08, 0.02];

/// A forecast beyond this many requests is not worth a number.
const FURTHEST: f64 = 1e9;

/// Evidence that the canary is not worse than the margin. One half is laid on each form; both are
/// laid whole at the start, and nothing is capped: a step is short and has to end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gate {
    relative: EProcess<6>,
    absolute: EProcess<6>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { relative: EProcess::LAID, absolute: EProcess::LAID }
    }
}

impl Gate {
    /// Weighs a tick. `margin` is what the canary must be shown to stay below, in either way.
    pub fn tick(&mut self, margin: Tolerance, stable: Counts, canary: Counts) {
        let (stable, canary) = (Tick::from(stable), Tick::from(canary));
        self.relative.multiply(&thinned(&RATIOS, margin.ratio, stable, canary));
        self.absolute.multiply(&above_rate(&MULTIPLES, margin.rate, canary));
    }

    /// Weighs a tick in which nothing runs beside the canary.
    pub fn tick_alone(&mut self, rate: f64, canary: Counts) {
        self.absolute.multiply(&above_rate(&MULTIPLES, rate, Tick::from(canary)));
    }

    /// ln of the evidence.
    pub fn ln_e(&self) -> f64 {
        ln_add(self.relative.ln_e(), self.absolute.ln_e()) - 2f64.ln()
    }

    /// How many more requests without a failure would bring ln E to this limit, if the stable pool
    /// has `beside` requests for each of them, of which the share `fails` fails. None if that is out
    /// of reach.
    pub fn requests_to(
        &self,
        ln_e: f64,
        margin: Tolerance,
        beside: f64,
        fails: f64,
    ) -> Option<u64> {
        let stable = Tick { n: beside, x: beside * fails };
        let canary = Tick { n: 1.0, x: 0.0 };
        let relative = thinned(&RATIOS, margin.ratio, stable, canary);
        let absolute = above_rate(&MULTIPLES, margin.rate, canary);
        let after = |requests: f64| {
            let relative = self.relative.ln_e_after(&relative, requests);
            let absolute = self.absolute.ln_e_after(&absolute, requests);
            ln_add(relative, absolute) - 2f64.ln() >= ln_e
        };
        fewest(after)
    }
}

/// The fewest requests after which something holds that goes on holding.
pub(super) fn fewest(holds: impl Fn(f64) -> bool) -> Option<u64> {
    if holds(0.0) {
        return Some(0);
    }
    let (mut too_few, mut enough) = (0.0, 1.0);
    while !holds(enough) {
        too_few = enough;
        enough *= 2.0;
        if enough > FURTHEST {
            return None;
        }
    }
    while enough - too_few > 0.5 {
        let middle = (too_few + enough) / 2.0;
        if holds(middle) { enough = middle } else { too_few = middle }
    }
    Some(enough.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARGIN: Tolerance = Tolerance { ratio: 2.0, rate: 0.005 };

    #[test]
    fn what_it_asks_for_is_what_it_needs() {
        let twenty = 20f64.ln();
        let mut gate = Gate::default();
        gate.tick(MARGIN, Counts { total: 9_000, bad: 9 }, Counts { total: 1_000, bad: 2 });
        let wants = gate.requests_to(twenty, MARGIN, 9.0, 0.001).expect("it is near");
        assert!((500..3_000).contains(&wants), "{wants}");
        let after = |requests: u64| {
            let mut gate = gate;
            let stable = Counts { total: requests * 9, bad: requests * 9 / 1_000 };
            gate.tick(MARGIN, stable, Counts { total: requests, bad: 0 });
            gate.ln_e() >= twenty
        };
        // The stable pool's failures are whole here, so that it is not exact to a request.
        assert!(after(wants + 120) && !after(wants - 120), "{wants}");
    }

    #[test]
    fn a_gate_that_is_open_asks_for_nothing() {
        let mut gate = Gate::default();
        gate.tick(MARGIN, Counts { total: 9_000, bad: 9 }, Counts { total: 3_000, bad: 1 });
        assert!(gate.ln_e() > 20f64.ln());
        assert_eq!(gate.requests_to(20f64.ln(), MARGIN, 9.0, 0.001), Some(0));
    }
}

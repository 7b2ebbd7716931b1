//! Where it regressed: counts by route and method in, the ones whose errors rose out.
//!
//! Each stratum has an error test of its own. Of many tests some look bad by chance; e-BH (Wang and
//! Ramdas 2022) names only so many that the expected share of false names is at most a tenth, however
//! the strata depend on each other. Nothing is decided by it: it says where to look.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Counts;
use super::causes::Causes;
use super::e_process::{EProcess, Spending};
use super::more_errors::{RATIOS, Tolerance};
use super::steps::thinned;

/// Strata with a name of their own; what comes later is together in [`OTHER`].
pub const MOST_STRATA: usize = 64;

/// The name of all the rest.
pub const OTHER: &str = "other";

/// The expected share of false names.
const FALSE_NAMES: f64 = 0.1;

/// What two pools did in one part of a service's requests, or by one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Of the part, such as `GET /cart`.
    pub name: Arc<str>,
    /// The stable pool.
    pub stable: Counts,
    /// The canary.
    pub canary: Counts,
}

/// The parts of a service's requests, each judged by its errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Strata(Vec<Stratum>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stratum {
    name: Arc<str>,
    stable: Counts,
    canary: Counts,
    /// Ticks whose stake is laid. Ticks without a bad request multiply by 1, so that stakes wait
    /// until there is one: most strata have nothing to do in most ticks.
    laid: u64,
    process: EProcess<9>,
}

/// A part whose errors rose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regressed {
    /// Of the part.
    pub name: Arc<str>,
    /// The stable pool there, since the rollout began.
    pub stable: Counts,
    /// The canary there, since the rollout began.
    pub canary: Counts,
    /// ln of the evidence that the canary fails more often than is tolerated there.
    pub ln_e: f64,
}

impl Strata {
    /// Weighs a tick's parts, after `spending` has begun it; a part that is not named had nothing.
    pub fn tick(&mut self, tolerance: f64, causes: Causes, spending: &Spending, parts: &[Part]) {
        let mut rest = (Counts::default(), Counts::default());
        let mut has_rest = false;
        for part in parts {
            match self.place(&part.name) {
                Some(place) => {
                    self.0[place].tick(tolerance, causes, spending, part.stable, part.canary);
                }
                None => {
                    has_rest = true;
                    rest.0 += part.stable;
                    rest.1 += part.canary;
                }
            }
        }
        if has_rest {
            // Together, for what happens in one tick counts once.
            let other = OTHER.into();
            let place = self.find(&other).unwrap_or_else(|| self.push(other));
            self.0[place].tick(tolerance, causes, spending, rest.0, rest.1);
        }
    }

    /// The parts whose errors rose, the strongest evidence first; a tenth of them is named by chance
    /// at most. Only where the canary fails at a rate that matters.
    pub fn regressed(&self, tolerance: Tolerance) -> Vec<Regressed> {
        let mut strata: Vec<(f64, &Stratum)> =
            self.0.iter().map(|stratum| (stratum.process.ln_e(), stratum)).collect();
        strata.sort_by(|one, other| other.0.total_cmp(&one.0));
        let all = strata.len() as f64;
        let named = (1..=strata.len()).rev().find(|&k| {
            let (ln_e, _) = strata[k - 1];
            ln_e + (k as f64 / all).ln() >= -FALSE_NAMES.ln()
        });
        let named = strata.into_iter().take(named.unwrap_or(0));
        named
            .filter(|(_, stratum)| stratum.canary.ratio() > tolerance.rate)
            .map(|(ln_e, Stratum { name, stable, canary, .. })| Regressed {
                name: name.clone(),
                stable: *stable,
                canary: *canary,
                ln_e,
            })
            .collect()
    }

    /// Where a part of its own is, made if there is room.
    fn place(&mut self, name: &Arc<str>) -> Option<usize> {
        let place = self.find(name);
        place.or_else(|| (self.0.len() < MOST_STRATA).then(|| self.push(name.clone())))
    }

    fn find(&self, name: &Arc<str>) -> Option<usize> {
        self.0.iter().position(|stratum| stratum.name == *name)
    }

    fn push(&mut self, name: Arc<str>) -> usize {
        let (stable, canary) = (Counts::default(), Counts::default());
        self.0.push(Stratum { name, stable, canary, laid: 0, process: EProcess::EMPTY });
        self.0.len() - 1
    }
}

impl Stratum {
    fn tick(
        &mut self,
        tolerance: f64,
        causes: Causes,
        spending: &Spending,
        stable: Counts,
        canary: Counts,
    ) {
        let (stable, canary) = (stable.consistent(), canary.consistent());
        self.stable += stable;
        self.canary += canary;
        if stable.bad + canary.bad == 0 {
            return;
        }
        let ln_stake = spending.ln_between(self.laid, spending.ticks());
        self.laid = spending.ticks();
        let (stable, canary) = (causes.of_stable(stable), causes.of_canary(canary));
        self.process.tick(ln_stake, &thinned(&RATIOS, tolerance, stable, canary));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const TOLERANCE: Tolerance = Tolerance { ratio: 1.25, rate: 0.001 };

    fn part(name: &str, stable: (u64, u64), canary: (u64, u64)) -> Part {
        let counts = |(total, bad)| Counts { total, bad };
        Part { name: name.into(), stable: counts(stable), canary: counts(canary) }
    }

    fn after(ticks: usize, parts: &[Part]) -> Strata {
        let (mut strata, mut spending) =
            (Strata::default(), Spending::over(Duration::from_secs(600)));
        for _ in 0..ticks {
            spending.tick();
            strata.tick(1.25, Causes::OF_EACH, &spending, parts);
        }
        strata
    }

    fn names(strata: &Strata) -> Vec<String> {
        strata.regressed(TOLERANCE).iter().map(|found| found.name.to_string()).collect()
    }

    #[test]
    fn the_route_whose_errors_rose_is_named_and_the_others_are_not() {
        let parts = [
            part("GET /", (900, 1), (100, 0)),
            part("POST /cart", (90, 1), (10, 3)),
            part("GET /slow", (90, 20), (10, 2)),
            part("POST /pay", (90, 1), (10, 5)),
        ];
        let strata = after(8, &parts);
        assert_eq!(names(&strata), ["POST /pay", "POST /cart"]);
        let found = &strata.regressed(TOLERANCE)[0];
        assert_eq!((found.stable, found.canary.bad), (Counts { total: 720, bad: 8 }, 40));
        assert!(found.ln_e > 10f64.ln());
    }

    #[test]
    fn more_strata_want_more_evidence_for_each() {
        let bad = part("POST /pay", (90, 0), (10, 2));
        let alone = after(2, std::slice::from_ref(&bad));
        assert_eq!(names(&alone), ["POST /pay"]);
        let good = (0..63).map(|n| part(&format!("GET /{n}"), (90, 0), (10, 0)));
        let among: Vec<Part> = good.chain([bad]).collect();
        assert_eq!(names(&after(2, &among)), [""; 0]);
        assert_eq!(names(&after(6, &among)), ["POST /pay"]);
    }

    #[test]
    fn what_comes_after_the_last_name_is_other() {
        let parts: Vec<Part> = (0..100)
            .map(|n| part(&format!("GET /{n}"), (90, 0), (10, u64::from(n >= 64))))
            .collect();
        let strata = after(10, &parts);
        assert_eq!(strata.0.len(), MOST_STRATA + 1);
        let other = strata.0.last().expect("there are 65");
        assert_eq!((&*other.name, other.canary.total), (OTHER, 36 * 100));
        assert_eq!(names(&strata), [OTHER]);
    }

    #[test]
    fn a_stake_that_waited_is_laid_before_the_next_bad_request() {
        let quiet = part("GET /", (90, 0), (10, 0));
        let bad = part("GET /", (90, 1), (10, 2));
        let (mut strata, mut spending) =
            (Strata::default(), Spending::over(Duration::from_secs(600)));
        let mut whole = EProcess::<9>::EMPTY;
        for tick in 0..50 {
            let part = if tick % 20 == 19 { &bad } else { &quiet };
            let ln_stake = spending.tick();
            strata.tick(1.25, Causes::OF_EACH, &spending, std::slice::from_ref(part));
            let steps = thinned(&RATIOS, 1.25, part.stable.into(), part.canary.into());
            whole.tick(ln_stake, &steps);
            if tick % 20 == 19 {
                assert!((strata.0[0].process.ln_e() - whole.ln_e()).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_canary_that_fails_rarely_is_not_named_however_sure_it_is() {
        let strata = after(600, &[part("GET /", (100_000, 1), (100_000, 30))]);
        assert!(strata.0[0].process.ln_e() > 20.0);
        assert_eq!(names(&strata), [""; 0]);
    }
}

//! Is the new version worse? What both pools did comes in second by second, a verdict goes out.
//!
//! A [`Judge`] belongs to one rollout. It compares the canary with the stable pool beside it, by
//! tests that may be looked at at any time ([`e_process`]): a release that is as good as the old one
//! is taken back with a chance of at most α, however long and often it is judged. Four things may
//! fail it: the [`absolute`] guard, more failures ([`more_errors`]), slower answers
//! ([`slower`]), and the error budget. One thing lets it go on: evidence that it is fine
//! ([`gate`]). `docs/judge.md` explains it to operators and proves it.
//!
//! How long a step lasts, how many requests it wants and what an order does is the rollout's
//! business. The [`Guard`] is a hard limit for those who want no statistics.

pub mod buckets;
mod distribution;
mod histogram;

mod counts;
mod reading;
mod rise;
mod settings;
mod verdict;

pub mod bursts;
pub mod e_process;
pub mod steps;
pub mod causes;
pub mod bad_seconds;
pub mod more_errors;
pub mod slower;
pub mod absolute;
pub mod gate;
pub mod frozen;
pub mod sample_ratio;
mod strata;

mod in_common;
mod suspects;
mod absence;
mod evidence;
mod exact;
mod guard;

mod errors;
pub mod ledger;

mod words;

#[cfg(test)]
mod tests;

use std::f64::consts::LN_10;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::split::BasisPoints;
use absence::Absence;
use absolute::AbsoluteGuard;
use bursts::Bursts;
use causes::Causes;
use e_process::Spending;
use frozen::{Frozen, Together};
use gate::Gate;
use in_common::{InCommon, Weights};
use more_errors::{BothForms, ErrorTest, Tolerance, Weighing};
use sample_ratio::SampleRatio;
use settings::{ALPHA_FLOOR, SMOULDERING};
use slower::{LatencyTest, Threshold};
use suspects::Suspects;

pub use counts::Counts;
pub use distribution::Distribution;
pub use errors::{Ending, Errors, Fault};
pub use evidence::{
    Bar, BudgetFinding, Evidence, Finding, GateFinding, Says, SplitFinding, StepFinding,
};
pub use guard::Guard;
pub use histogram::Histogram;
pub use ledger::{Ledger, Watched};
pub use reading::{Reading, Side};
pub use rise::Rise;
pub use settings::{JudgeSettings, OnBursts};
pub use strata::{MOST_STRATA, OTHER, Part, Regressed, Strata};
pub use verdict::{Metric, Ruling, Verdict};

/// The judgement of one rollout, from its start on. Stored with the rollout, so that a restart of
/// the process forgets nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Judge {
    settings: JudgeSettings,
    /// How failures and slow answers come together.
    in_common: InCommon,
    /// Whether the canary is away for a moment.
    absence: Absence,
    /// How many failures of the canary one cause made, by the last tick.
    #[serde(with = "exact")]
    per_cause: f64,
    /// How many times as often as the stable pool it may fail, by the last tick.
    #[serde(with = "exact")]
    ratio: f64,
    /// How many requests it may fail beyond the stable pool's rate; infinite without a budget.
    #[serde(with = "exact")]
    budget: f64,
    spending: Spending,
    /// Latencies of the stable pool, before the rollout and in it.
    past: Distribution,
    /// Attempts at the stable pool before the first step.
    before: Counts,
    /// Attempts at both pools since the first step, while both had traffic.
    stable: Counts,
    canary: Counts,
    step: Option<Step>,
    errors: BothForms,
    /// Since failures of the canary, or of the frozen one, became evidence.
    rise: Rise,
    /// What each upstream of the canary did since then.
    suspects: Suspects,
    /// Of [`LATENCIES`], in its order.
    latency: [LatencyTest; 3],
    guard: AbsoluteGuard,
    gate: Gate,
    split: SampleRatio,
    /// Only while the canary has all traffic.
    frozen: Option<Frozen>,
    metrics: Vec<CustomMetric>,
    strata: Strata,
    /// Failures beyond the stable pool's rate.
    #[serde(with = "exact")]
    excess: f64,
}

/// What happened since the share was last set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    share: BasisPoints,
    stable: Counts,
    canary: Counts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct CustomMetric {
    name: Arc<str>,
    stable: Counts,
    canary: Counts,
    rise: Rise,
    test: ErrorTest,
}

/// The quantiles that are judged, in the order of `JudgeSettings::alphas_latency`.
static LATENCIES: [(f64, Metric); 3] =
    [(0.5, Metric::P50), (0.95, Metric::P95), (0.99, Metric::P99)];

/// Custom metrics that are judged; each has a share of α.
pub const MOST_METRICS: usize = 16;

impl Default for Judge {
    fn default() -> Self {
        let planned = Duration::from_secs(3_600);
        Judge::new(JudgeSettings::default(), Bursts::default(), Distribution::default(), planned)
    }
}

impl Judge {
    /// For a rollout that begins: what is known of how the stable pool's failures come together and of
    /// its latencies, as long as there are any, and how long the rollout is planned to take; generously,
    /// for changes that come later are found late.
    pub fn new(
        settings: JudgeSettings,
        bursts: Bursts,
        past: Distribution,
        planned: Duration,
    ) -> Judge {
        let counts_once = settings.bursts == OnBursts::CountOnce;
        Judge {
            in_common: InCommon::of(bursts),
            absence: Absence::default(),
            per_cause: 1.0,
            ratio: settings.tolerated_ratio,
            guard: if counts_once { AbsoluteGuard::both() } else { AbsoluteGuard::default() },
            errors: if counts_once { BothForms::both() } else { BothForms::default() },
            settings,
            budget: f64::INFINITY,
            spending: Spending::over(planned),
            past,
            before: Counts::default(),
            stable: Counts::default(),
            canary: Counts::default(),
            step: None,
            rise: Rise::default(),
            suspects: Suspects::default(),
            latency: Default::default(),
            gate: Gate::default(),
            split: SampleRatio::default(),
            frozen: None,
            metrics: Vec::new(),
            strata: Strata::default(),
            excess: 0.0,
        }
    }

    /// It may fail so many requests beyond the stable pool's rate; none for as many as it likes.
    pub fn with_budget(self, requests: Option<f64>) -> Judge {
        Judge { budget: requests.unwrap_or(f64::INFINITY), ..self }
    }

    /// What the stable pool did before the rollout, as far as that is known: it is what a canary is
    /// compared with once it has all traffic. Readings before the first step add to it.
    pub fn with_attempts_before(self, before: Counts) -> Judge {
        Judge { before, ..self }
    }

    /// The canary's share was set, or the rollout goes on after somebody looked: the gate closes and
    /// the split is checked anew. What is known of errors and latencies stays. From the whole on
    /// there is nothing beside the canary, and it is judged against the past.
    pub fn begin_step(&mut self, share: BasisPoints) {
        let (stable, canary) = (Counts::default(), Counts::default());
        self.step = Some(Step { share, stable, canary });
        self.gate = Gate::default();
        self.split = SampleRatio::of(share);
        self.in_common.begin_step();
        let is_alone = share == BasisPoints::WHOLE;
        if is_alone != self.frozen.is_some() {
            self.frozen = is_alone.then(|| self.freeze());
            self.rise = Rise::default();
        }
    }

    /// The process was away, and nobody heard what happened meanwhile: the next second does not follow
    /// the last one.
    pub fn interrupt(&mut self) {
        self.in_common.interrupt();
    }

    /// Hears what happened in a second.
    pub fn tick(&mut self, reading: &Reading) {
        if !self.settings.enabled {
            return;
        }
        let stable = reading.stable.attempts.consistent();
        let canary = reading.canary.attempts.consistent();
        let Some(step) = &mut self.step else {
            self.before += stable;
            self.past += &reading.stable.latency;
            self.in_common.hear_before(reading);
            return;
        };
        step.stable += stable;
        step.canary += canary;
        let ln_stake = self.spending.tick();
        let (on, ratio) = (self.settings.bursts, self.settings.tolerated_ratio);
        let weights = self.in_common.weights(on, ratio, step.share, reading);
        self.per_cause = weights.errors.makes_at_canary(canary.total as f64);
        self.ratio = weights.ratio;
        let (per_cause, _) = weights.seconds;
        let cap = match on {
            OnBursts::CountOnce => self.absence.tick(canary),
            OnBursts::Ignore => LN_10,
        };
        let weighing = Weighing { ln_stake, causes: weights.errors, cap };
        let guard = match &self.frozen {
            Some(_) => weights.guard_alone,
            None => weights.guard,
        };
        let guard = Weighing { causes: guard, ..weighing };
        self.guard.tick(self.settings.guard, guard, per_cause, canary);
        match &mut self.frozen {
            Some(frozen) => {
                let (_, past) = frozen.limit();
                let margin = frozen.margin(self.settings.gate_rate);
                self.rise.tick(frozen.ln_e(), stable, canary);
                self.suspects.tick(frozen.ln_e(), &reading.canary.upstreams);
                frozen.tick(cap, weights.errors.kappa, weights.errors.canary, canary);
                self.in_common.hear_alone(reading);
                self.gate.tick_alone(margin, canary);
                self.excess += canary.bad as f64 - canary.total as f64 * past.ratio();
            }
            None => self.tick_beside(weighing, weights, reading, (stable, canary)),
        }
    }

    /// What is to be done, without words.
    pub fn ruling(&self) -> Ruling {
        if !self.settings.enabled {
            return Ruling::Pass;
        }
        let Some(step) = &self.step else { return Ruling::Inconclusive };
        if let Some(metric) = self.failed(step) {
            return Ruling::Fail(metric);
        }
        if self.frozen.is_none() && self.split.is_off() {
            return Ruling::Invalid;
        }
        match self.gate.ln_e() >= self.gate_limit() && self.smouldering().is_none() {
            true => Ruling::Pass,
            false => Ruling::Inconclusive,
        }
    }

    /// The parts of the service whose errors rose, the strongest evidence first.
    pub fn regressed(&self) -> Vec<Regressed> {
        self.strata.regressed(self.tolerance())
    }

    /// A second in which both pools had traffic.
    fn tick_beside(
        &mut self,
        weighing: Weighing,
        weights: Weights,
        reading: &Reading,
        (stable, canary): (Counts, Counts),
    ) {
        let (tolerance, causes) = (self.tolerance(), weights.errors);
        let ln_e = self.errors.ln_e();
        self.rise.tick(ln_e, stable, canary);
        self.suspects.tick(ln_e, &reading.canary.upstreams);
        if reading.counts_users || reading.canary.upstreams.is_empty() {
            self.errors.count_causes_only();
        }
        self.errors.tick(tolerance, weighing, (stable, canary), weights.seconds);
        self.gate.tick(self.settings.gate_margin(), stable, canary);
        self.split.tick(reading.stable.arrivals, reading.canary.arrivals);
        self.tick_latency(weighing.ln_stake, weights.latency, reading);
        self.tick_metrics(weighing, &reading.metrics);
        self.strata.tick(tolerance.ratio, causes, &self.spending, &reading.strata);
        let beside = match stable.total {
            0 => self.all_stable().ratio(),
            _ => stable.ratio(),
        };
        self.excess += canary.bad as f64 - canary.total as f64 * beside;
        self.stable += stable;
        self.canary += canary;
    }

    fn tick_latency(&mut self, ln_stake: f64, causes: [Causes; 3], reading: &Reading) {
        let slack = self.settings.slack();
        let (stable, canary) = (&reading.stable.latency, &reading.canary.latency);
        // Of the past, for this tick's latencies are added below.
        let thresholds = LATENCIES.each_ref().map(|(quantile, _)| {
            Threshold::at(*quantile, &self.past, slack).filter(|_| !reading.is_warming)
        });
        for ((threshold, causes), test) in thresholds.iter().zip(causes).zip(&mut self.latency) {
            match threshold {
                Some(threshold) => test.tick(*threshold, ln_stake, stable, canary, causes),
                None => test.lay(ln_stake),
            }
        }
        self.past += stable;
        self.in_common.hear(reading, thresholds);
    }

    /// What a metric counts comes together as failures do, as far as is known.
    fn tick_metrics(&mut self, weighing: Weighing, parts: &[Part]) {
        for part in parts {
            let is_known = self.metrics.iter().any(|metric| metric.name == part.name);
            if !is_known && self.metrics.len() < MOST_METRICS {
                // As if it had been there from the start, for it may be here only because of what
                // it counts.
                let ln_laid = self.spending.ln_between(0, self.spending.ticks() - 1);
                let (stable, canary) = (Counts::default(), Counts::default());
                let (name, rise) = (part.name.clone(), Rise::default());
                let test = ErrorTest::idle(ln_laid);
                self.metrics.push(CustomMetric { name, stable, canary, rise, test });
            }
        }
        let (tolerance, ln_stake) = (self.settings.tolerance(), weighing.ln_stake);
        for metric in &mut self.metrics {
            match parts.iter().find(|part| part.name == metric.name) {
                Some(part) => {
                    let (stable, canary) = (part.stable.consistent(), part.canary.consistent());
                    metric.stable += stable;
                    metric.canary += canary;
                    metric.rise.tick(metric.test.ln_e(), stable, canary);
                    metric.test.tick(tolerance, weighing, stable, canary);
                }
                None => metric.test.lay(ln_stake),
            }
        }
    }

    /// What takes it back, if anything does; the gravest first.
    fn failed(&self, step: &Step) -> Option<Metric> {
        let settings = &self.settings;
        if self.guard_fires(step) {
            return Some(Metric::Guard);
        }
        let fails = match &self.frozen {
            Some(frozen) => frozen.fails(settings.alpha_more()),
            None => self.errors.fails(settings.alpha_errors(), ALPHA_FLOOR),
        };
        if fails {
            return Some(Metric::Errors);
        }
        if self.frozen.is_none() {
            let slow = self.latency_tests().rev().find(|(_, test, alpha)| test.fails(*alpha));
            let custom = || {
                let alpha = settings.alpha_more();
                self.metrics.iter().find(|metric| metric.test.fails(alpha, ALPHA_FLOOR))
            };
            let failed = slow.map(|(metric, ..)| metric.clone());
            let failed = failed.or_else(|| custom().map(|m| Metric::Custom(m.name.clone())));
            if failed.is_some() {
                return failed;
            }
        }
        (self.excess > self.budget).then_some(Metric::Budget)
    }

    /// Whether the guard fires. Where the canary has all traffic, nothing is beside it: what the stable
    /// pool still answered in such a step was sent to it before.
    fn guard_fires(&self, step: &Step) -> bool {
        let beside = match &self.frozen {
            Some(_) => Counts::default(),
            None => step.stable,
        };
        let (limit, alpha) = (self.settings.guard, self.settings.alpha_more());
        self.guard.fires(limit, alpha, step.canary, beside)
    }

    /// The latency test with the strongest evidence, if that keeps the canary from getting more.
    fn smouldering(&self) -> Option<(&Metric, &LatencyTest)> {
        if self.frozen.is_some() {
            return None;
        }
        let tests = self.latency_tests().map(|(metric, test, _)| (metric, test));
        let strongest = tests.max_by(|one, other| one.1.ln_e().total_cmp(&other.1.ln_e()));
        strongest.filter(|(_, test)| test.ln_e() >= SMOULDERING.ln())
    }

    fn latency_tests(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&'static Metric, &LatencyTest, f64)> + ExactSizeIterator
    {
        let alphas = self.settings.alphas_latency();
        (0..3).map(move |place| (&LATENCIES[place].1, &self.latency[place], alphas[place]))
    }

    /// What is tolerated of failures, where upstreams differ for good.
    fn tolerance(&self) -> Tolerance {
        Tolerance { ratio: self.ratio, ..self.settings.tolerance() }
    }

    fn gate_limit(&self) -> f64 {
        -self.settings.beta.ln()
    }

    /// Attempts at the stable pool, before and in the rollout.
    fn all_stable(&self) -> Counts {
        let mut all = self.before;
        all += self.stable;
        all
    }

    fn freeze(&self) -> Frozen {
        let (rate, alpha) = (self.settings.tolerated_rate, self.settings.alpha_more());
        let bursts = self.in_common.bursts();
        let together = match self.settings.bursts {
            OnBursts::CountOnce => Together {
                kappa: bursts.failures().kappa_alone(),
                requests: bursts.seconds().mean(),
            },
            OnBursts::Ignore => Together::default(),
        };
        Frozen::new(self.all_stable(), together, rate, alpha, self.spending.anew())
    }
}

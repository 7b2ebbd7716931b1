//! All that a judge knows, for status, API, events and the report after a rollback.

use serde::{Deserialize, Serialize};

use super::LATENCIES;
use super::settings::{ALPHA_FLOOR, SMOULDERING};
use super::slower::Threshold;
use super::{Counts, Judge, Metric, Regressed, Rise, Verdict};
use crate::split::BasisPoints;

/// A verdict and everything it rests on. Evidence is given as natural logarithms: ln 250 = 5.52
/// stands for "250 to 1".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What is said, with its sentence, and what drove it if it is a failure.
    pub verdict: Verdict,
    /// Seconds of traffic that were judged.
    pub seconds: u64,
    /// The step, once there is one.
    pub step: Option<StepFinding>,
    /// Each thing that may fail the canary.
    pub metrics: Vec<Finding>,
    /// What lets it go on.
    pub gate: GateFinding,
    /// Whether the split did what it should.
    pub split: SplitFinding,
    /// Failures against the error budget, if the rollout has a share of one.
    pub budget: Option<BudgetFinding>,
    /// How many failures of the canary one cause makes, as was measured; 1 if each has its own.
    pub per_cause: f64,
    /// The parts of the service whose errors rose.
    pub regressed: Vec<Regressed>,
}

/// Attempts since the share was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFinding {
    /// The canary's share.
    pub share: BasisPoints,
    /// The stable pool's.
    pub stable: Counts,
    /// The canary's.
    pub canary: Counts,
}

/// What one test says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What is tested.
    pub metric: Metric,
    /// In a word.
    pub says: Says,
    /// The evidence that the canary is worse.
    pub worse: Bar,
    /// The evidence that it fails at a rate that matters, where that is asked too.
    pub matters: Option<Bar>,
    /// The stable pool since the rollout began: of errors the failures, of latencies the slow ones.
    pub stable: Counts,
    /// The canary.
    pub canary: Counts,
    /// Both since there was last no evidence; not kept for the guard.
    pub rise: Rise,
    /// The stable pool's rate, 0 to 1.
    pub stable_rate: f64,
    /// The canary's.
    pub canary_rate: f64,
    /// From how many milliseconds on a request of the stable pool is slow.
    pub stable_ms: Option<f64>,
    /// From how many a request of the canary is.
    pub canary_ms: Option<f64>,
}

/// Evidence and what it must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// ln of the evidence.
    pub ln_e: f64,
    /// What it must reach.
    pub limit: f64,
}

/// What a test says, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// The canary is worse.
    Fails,
    /// It may be: it gets no more until that is gone.
    Smoulders,
    /// Nothing against it.
    Quiet,
    /// Nothing can be said: there is no stable traffic beside it, or no past.
    NotJudged,
}

/// How far the gate is open.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateFinding {
    /// The evidence that the canary is fine.
    pub fine: Bar,
    /// How many more requests without a failure would open it; none if that is out of reach.
    pub requests_missing: Option<u64>,
}

/// The split, as it was set and as it was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitFinding {
    /// The canary's share as set.
    pub share: BasisPoints,
    /// Arrivals at the stable pool since it was set.
    pub stable: u64,
    /// Arrivals at the canary.
    pub canary: u64,
    /// The evidence that they do not fit.
    pub off: Bar,
    /// Whether it was enough at any time in this step.
    pub is_off: bool,
}

/// What the rollout costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetFinding {
    /// Failures beyond the stable pool's rate; less than 0 if the canary is better.
    pub excess: f64,
    /// How many there may be.
    pub limit: f64,
}

impl Bar {
    /// JSON has no −∞, and nobody reads more than four decimals of a logarithm.
    pub(super) fn new(ln_e: f64, alpha: f64) -> Bar {
        Bar { ln_e: rounded(ln_e.max(-700.0), 4), limit: rounded(-alpha.ln(), 4) }
    }
}

impl Judge {
    /// All of it.
    pub fn evidence(&self) -> Evidence {
        let (share, stable, canary) = self.split.arrivals();
        let off =
            Bar { ln_e: rounded(self.split.ln_e(), 4), limit: rounded(self.split.limit(), 4) };
        let step = self.step.as_ref().map(|step| StepFinding {
            share: step.share,
            stable: step.stable,
            canary: step.canary,
        });
        let limit = self.budget;
        Evidence {
            verdict: self.verdict(),
            seconds: self.spending.ticks(),
            step,
            metrics: self.findings(),
            gate: GateFinding {
                fine: Bar::new(self.gate.ln_e(), self.settings.beta),
                requests_missing: self.requests_missing(),
            },
            split: SplitFinding { share, stable, canary, off, is_off: self.split.is_off() },
            budget: limit.is_finite().then_some(BudgetFinding {
                excess: rounded(self.excess, 2),
                limit: rounded(limit, 2),
            }),
            per_cause: rounded(self.per_cause, 4),
            regressed: self.regressed(),
        }
    }

    /// Each thing that may fail it, the gravest first.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.guard_finding(), self.error_finding()];
        findings.extend((0..LATENCIES.len()).rev().map(|place| self.latency_finding(place)));
        findings.extend(self.metrics.iter().map(|metric| {
            let alpha = self.settings.alpha_more();
            let (stable, canary) = (metric.stable, metric.canary);
            let worse = Bar::new(metric.test.ln_e(), alpha);
            let mut finding =
                Finding::new(Metric::Custom(metric.name.clone()), worse, stable, canary);
            finding.matters = Some(Bar::new(metric.test.ln_e_floor(), ALPHA_FLOOR));
            finding.rise = metric.rise;
            finding.says = match metric.test.fails(alpha, ALPHA_FLOOR) {
                _ if self.frozen.is_some() => Says::NotJudged,
                true => Says::Fails,
                false => Says::Quiet,
            };
            finding
        }));
        findings
    }

    fn guard_finding(&self) -> Finding {
        let alpha = self.settings.alpha_more();
        let (stable, canary) =
            self.step.as_ref().map(|step| (step.stable, step.canary)).unwrap_or_default();
        let worse = Bar::new(self.guard.ln_e(), alpha);
        let mut finding = Finding::new(Metric::Guard, worse, stable, canary);
        // However strong, evidence of more than half of the limit is no failure below the limit.
        if self.step.as_ref().is_some_and(|step| self.guard_fires(step)) {
            finding.says = Says::Fails;
        }
        finding
    }

    fn error_finding(&self) -> Finding {
        let settings = &self.settings;
        let (mut finding, fails) = match &self.frozen {
            Some(frozen) => {
                let alpha = settings.alpha_more();
                let (_, past) = frozen.limit();
                let canary = self.step.as_ref().map(|step| step.canary).unwrap_or_default();
                let worse = Bar::new(frozen.ln_e(), alpha / 2.0);
                (Finding::new(Metric::Errors, worse, past, canary), frozen.fails(alpha))
            }
            None => {
                let alpha = settings.alpha_errors();
                let worse = Bar::new(self.errors.ln_e(), alpha);
                let mut finding = Finding::new(Metric::Errors, worse, self.stable, self.canary);
                finding.matters = Some(Bar::new(self.errors.ln_e_floor(), ALPHA_FLOOR));
                (finding, self.errors.fails(alpha, ALPHA_FLOOR))
            }
        };
        finding.rise = self.rise;
        if fails {
            finding.says = Says::Fails;
        }
        finding
    }

    fn latency_finding(&self, place: usize) -> Finding {
        let (quantile, metric) = &LATENCIES[place];
        let (test, alpha) = (&self.latency[place], self.settings.alphas_latency()[place]);
        let (stable, canary) = test.counts();
        let threshold = Threshold::at(*quantile, &self.past, self.settings.slack());
        let worse = Bar::new(test.ln_e(), alpha);
        let mut finding = Finding::new(metric.clone(), worse, stable, canary);
        finding.rise = test.rise();
        finding.says = match threshold {
            Some(_) if self.frozen.is_none() && test.fails(alpha) => Says::Fails,
            Some(_) if self.frozen.is_none() && test.ln_e() >= SMOULDERING.ln() => Says::Smoulders,
            Some(_) if self.frozen.is_none() => Says::Quiet,
            _ => Says::NotJudged,
        };
        if let Some((stable, canary)) = threshold.map(|threshold| threshold.times()) {
            finding.stable_ms = Some(rounded(stable.as_secs_f64() * 1e3, 3));
            finding.canary_ms = Some(rounded(canary.as_secs_f64() * 1e3, 3));
        }
        finding
    }
}

impl Finding {
    fn new(metric: Metric, worse: Bar, stable: Counts, canary: Counts) -> Finding {
        Finding {
            metric,
            says: Says::Quiet,
            worse,
            matters: None,
            stable,
            canary,
            rise: Rise::default(),
            stable_rate: rounded(stable.ratio(), 8),
            canary_rate: rounded(canary.ratio(), 8),
            stable_ms: None,
            canary_ms: None,
        }
    }
}

/// Short enough that a JSON reader gives back what was written.
fn rounded(number: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (number * unit).round() / unit
}

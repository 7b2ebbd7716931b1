//! What an operator may turn: every number of the judge that has a default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::more_errors::Tolerance;
use super::slower::Slack;

/// How a rollout is judged. Fixed at its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredSettings", into = "StoredSettings")]
pub struct JudgeSettings {
    /// Whether it is judged at all; without it only the simple guard holds.
    pub enabled: bool,
    /// The chance, 0 to 1, that a rollout of a release that is as good as the old one is taken back
    /// by the error and latency tests. Four tenths of it are for errors, three for p99, two for p95,
    /// one for p50; the guard, each custom metric and the watch at 100 % may each take a tenth more.
    pub alpha: f64,
    /// How many times as often as the stable pool a canary may fail; at least 1.
    pub tolerated_ratio: f64,
    /// The rate, 0 to 1, up to which a canary may fail whatever the stable pool does.
    pub tolerated_rate: f64,
    /// How much slower a canary may be, as a share of the stable pool's time.
    pub latency_share: f64,
    /// How much slower a canary may be in any case.
    pub latency_time: Duration,
    /// A canary gets more when "it fails at least this many times as often" is refuted,
    pub gate_ratio: f64,
    /// or "it fails at least at this rate", 0 to 1.
    pub gate_rate: f64,
    /// The chance, 0 to 1, that a canary as bad as that gets more nevertheless, in each step.
    pub beta: f64,
    /// The share of failures, 0 to 1, that takes a canary back, if it is at least twice the stable pool's.
    pub guard: f64,
    /// What failures count that one cause made together.
    pub bursts: OnBursts,
    /// The share of the error budget, 0 to 1, that one rollout may spend.
    pub budget_share: f64,
    /// For so long after its first answer or its return latencies of an upstream do not count, in both
    /// pools alike; zero counts all.
    pub warm_up: Duration,
}

/// What failures count that one cause made together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBursts {
    /// As one: how many a cause makes is measured.
    #[default]
    CountOnce,
    /// Each for itself, as if failures were independent.
    Ignore,
}

impl OnBursts {
    /// All of them.
    pub const ALL: [OnBursts; 2] = [OnBursts::CountOnce, OnBursts::Ignore];

    /// Its word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            OnBursts::CountOnce => "count-once",
            OnBursts::Ignore => "ignore",
        }
    }
}

/// The one stored form of the settings: of a plan, and of what a judge has heard.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct StoredSettings {
    enabled: bool,
    alpha: f64,
    tolerated_ratio: f64,
    tolerated_rate: f64,
    latency_share: f64,
    latency_time: Duration,
    gate_ratio: f64,
    gate_rate: f64,
    beta: f64,
    guard: f64,
    bursts: OnBursts,
    budget_share: f64,
    warm_up: Duration,
}

impl Default for JudgeSettings {
    fn default() -> Self {
        JudgeSettings {
            enabled: true,
            alpha: 0.01,
            tolerated_ratio: 1.25,
            tolerated_rate: 0.001,
            latency_share: 0.1,
            latency_time: Duration::from_millis(5),
            gate_ratio: 2.0,
            gate_rate: 0.005,
            beta: 0.05,
            guard: 0.05,
            bursts: OnBursts::CountOnce,
            budget_share: 0.02,
            warm_up: Duration::from_secs(60),
        }
    }
}

impl From<JudgeSettings> for StoredSettings {
    fn from(
        JudgeSettings {
            enabled,
            alpha,
            tolerated_ratio,
            tolerated_rate,
            latency_share,
            latency_time,
            gate_ratio,
            gate_rate,
            beta,
            guard,
            bursts,
            budget_share,
            warm_up,
        }: JudgeSettings,
    ) -> StoredSettings {
        StoredSettings {
            enabled,
            alpha,
            tolerated_ratio,
            tolerated_rate,
            latency_share,
            latency_time,
            gate_ratio,
            gate_rate,
            beta,
            guard,
            bursts,
            budget_share,
            warm_up,
        }
    }
}

impl From<StoredSettings> for JudgeSettings {
    fn from(
        StoredSettings {
            enabled,
            alpha,
            tolerated_ratio,
            tolerated_rate,
            latency_share,
            latency_time,
            gate_ratio,
            gate_rate,
            beta,
            guard,
            bursts,
            budget_share,
            warm_up,
        }: StoredSettings,
    ) -> JudgeSettings {
        JudgeSettings {
            enabled,
            alpha,
            tolerated_ratio,
            tolerated_rate,
            latency_share,
            latency_time,
            gate_ratio,
            gate_rate,
            beta,
            guard,
            bursts,
            budget_share,
            warm_up,
        }
    }
}

impl Default for StoredSettings {
    fn default() -> StoredSettings {
        JudgeSettings::default().into()
    }
}

impl JudgeSettings {
    pub(super) fn tolerance(&self) -> Tolerance {
        Tolerance { ratio: self.tolerated_ratio, rate: self.tolerated_rate }
    }

    pub(super) fn slack(&self) -> Slack {
        Slack { share: self.latency_share, time: self.latency_time }
    }

    pub(super) fn gate_margin(&self) -> Tolerance {
        Tolerance { ratio: self.gate_ratio, rate: self.gate_rate }
    }

    /// For the error test; α is divided by weights (Bonferroni), the most for what fails most.
    pub(super) fn alpha_errors(&self) -> f64 {
        self.alpha * 0.4
    }

    /// For the latency tests of p50, p95 and p99.
    pub(super) fn alphas_latency(&self) -> [f64; 3] {
        [0.1, 0.2, 0.3].map(|weight| self.alpha * weight)
    }

    /// For the guard, for each custom metric and for the watch, beside α.
    pub(super) fn alpha_more(&self) -> f64 {
        self.alpha * 0.1
    }
}

/// How sure it must be that failures matter at all; it only has to hold back, so it may be weak.
pub(super) const ALPHA_FLOOR: f64 = 0.05;

/// Latency evidence that is as strong as this keeps a canary from getting more.
pub(super) const SMOULDERING: f64 = 10.0;

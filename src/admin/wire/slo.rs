//! What travels about objectives, error budgets and freezes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::slo;

/// What error budgets let rollouts do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SloState {
    /// All.
    Open,
    /// Go on; a new one needs an override.
    Caution,
    /// Stay where they are while the budget burns; a new one needs an override.
    Hold,
    /// Stay where they are until there is budget again; a new one needs an override.
    Frozen,
}

/// A service's error budget at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// What it lets rollouts do.
    pub state: SloState,
    /// Why, unless it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How much of the scarcest objective's budget is left, in percent; none without objectives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<f64>,
}

/// A service's objectives, their error budgets, and what was said above them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Slo {
    /// The service.
    pub service: String,
    /// What rollouts may do: the hardest state of its objectives, `frozen` if somebody said so.
    pub state: SloState,
    /// Why, unless it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Somebody wants no rollouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Decree>,
    /// Somebody lets rollouts go on whatever the budgets say.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub lifted: Option<Decree>,
    /// What it promises.
    pub objectives: Vec<Objective>,
}

/// One objective and its error budget.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Objective {
    /// `availability`, or a quantile such as `p99`.
    pub name: String,
    /// The share of requests that has to be good, in percent.
    pub target: f64,
    /// The time within which they have to be answered, in seconds, if it is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most_seconds: Option<f64>,
    /// The time that the budget is for, in days.
    pub window_days: u64,
    /// What its budget lets rollouts do.
    pub state: SloState,
    /// Why, unless it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How much of the budget is left, in percent; below 0 if more is spent than there was.
    pub remaining: f64,
    /// Requests within the budget's window.
    pub requests: u64,
    /// Those that were bad.
    pub bad: u64,
    /// Whether the history is shorter than the window; then only the two fast burn rates count.
    pub warming: bool,
    /// Unix time from which on there is history, in seconds.
    pub since: f64,
    /// Times the rate at which the budget would just last, by window; 0 where fewer than 100 requests
    /// or 5 bad ones came.
    pub burn: BTreeMap<String, f64>,
    /// The burn rates that are too much, and whether they are reached.
    pub rates: Vec<BurnRate>,
}

/// A burn rate that is too much.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BurnRate {
    /// Times the rate at which the budget would just last.
    pub rate: f64,
    /// The window that says that it matters.
    pub long: String,
    /// The window that says that it goes on.
    pub short: String,
    /// Whether it burns so fast.
    pub active: bool,
}

/// What somebody has said above the error budgets.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Decree {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Unix time, in seconds.
    pub at: f64,
    /// Unix time at which it ends, in seconds; none until it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
}

/// A freeze to be ordered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutFreeze {
    /// Why; required.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how long at most, such as `2h`; until it is lifted if left out.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A freeze to be lifted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteFreeze {
    /// Let rollouts go on whatever the error budgets say; without it a freeze by order ends.
    #[serde(default, rename = "override", skip_serializing_if = "Option::is_none")]
    pub lifted: Option<FreezeOverride>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// For how long error budgets are not heeded, and why.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FreezeOverride {
    /// Why; required.
    #[serde(default)]
    pub reason: Option<String>,
    /// For how long, such as `2h`; at most `24h`, and `1h` if left out.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub length: Option<String>,
}

impl From<slo::State> for SloState {
    fn from(state: slo::State) -> SloState {
        match state {
            slo::State::Open => SloState::Open,
            slo::State::Caution => SloState::Caution,
            slo::State::Hold => SloState::Hold,
            slo::State::Frozen => SloState::Frozen,
        }
    }
}

impl SloState {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            SloState::Open => "open",
            SloState::Caution => "caution",
            SloState::Hold => "hold",
            SloState::Frozen => "frozen",
        }
    }
}

impl Budget {
    /// That of a service; none if there is nothing to say.
    pub fn of(standing: &slo::Standing) -> Option<Budget> {
        let is_silent = standing.objectives.is_empty() && standing.freeze.is_none();
        (!is_silent).then(|| Budget {
            state: standing.state().into(),
            why: standing.why(),
            remaining: standing.scarcest().map(|shown| shown.reading.remaining * 100.0),
        })
    }
}

impl Slo {
    /// That of a service.
    pub fn of(service: &str, standing: &slo::Standing) -> Slo {
        Slo {
            service: service.to_string(),
            state: standing.state().into(),
            why: standing.why(),
            freeze: standing.freeze.as_ref().map(Into::into),
            lifted: standing.lifted.as_ref().map(Into::into),
            objectives: standing.objectives.iter().map(Into::into).collect(),
        }
    }
}

impl From<&slo::Decree> for Decree {
    fn from(decree: &slo::Decree) -> Decree {
        Decree {
            author: decree.by.clone(),
            reason: decree.why.clone(),
            at: decree.at.seconds(),
            until: decree.until.map(|until| until.seconds()),
        }
    }
}

impl From<&slo::Shown> for Objective {
    fn from(shown: &slo::Shown) -> Objective {
        let reading = &shown.reading;
        let burns = slo::Span::ALL.iter().zip(reading.burns);
        let rates = slo::TIERS.iter().zip(shown.burning).map(|(tier, active)| BurnRate {
            rate: tier.rate,
            long: tier.long.name().into(),
            short: tier.short.name().into(),
            active,
        });
        Objective {
            name: shown.objective.name().into(),
            target: shown.objective.goal().percent(),
            at_most_seconds: match shown.objective {
                slo::Objective::Availability(_) => None,
                slo::Objective::Latency { at_most, .. } => Some(at_most.as_secs_f64()),
            },
            window_days: shown.window.as_secs() / (24 * 60 * 60),
            state: shown.state.into(),
            why: shown.why(),
            remaining: reading.remaining * 100.0,
            requests: reading.seen.total,
            bad: reading.seen.bad,
            warming: reading.is_warming,
            since: reading.since.seconds(),
            burn: burns.map(|(span, burn)| (span.name().to_string(), burn)).collect(),
            rates: rates.collect(),
        }
    }
}

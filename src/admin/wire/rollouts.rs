//! What travels about rollouts, rollbacks and flags.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Judgement, Latency, Storing, VersionDeployed};
use crate::clock::WallTime;
use crate::judge::Counts;
use crate::orders::{self, Report};
use crate::rollout::Strategy;

/// A rollback to be made.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision to go back to; before the last change if left out.
    #[serde(default, deserialize_with = "super::whole_if_given")]
    pub to: Option<u64>,
    /// Even if nobody of the pool would take requests, or it cannot run on the schema.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A rollout to be started; what is left out is as the service's `rollout` table says.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRollout {
    /// The pool to go to; may be left out if there is only one other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `canary`, `blue-green`, `all-at-once` or `rolling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(canary|blue-green|all-at-once|rolling)$")]
    pub strategy: Option<String>,
    /// Shares of the target in percent, rising to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<f64>>)]
    pub steps: Option<Vec<serde_json::Number>>,
    /// How long a step lasts at least, such as `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Requests at the target that a step wants at least.
    #[serde(
        default,
        deserialize_with = "super::whole_if_given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(maximum = 1_000_000_000)]
    pub min_requests: Option<u64>,
    /// How long the old pool is kept warm after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<String>,
    /// Whether it is judged; without the judge only the guard holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<bool>,
    /// Start it, and let it go on, in spite of a freeze or of what error budgets say; needs a reason
    /// and holds for 24 hours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub override_freeze: bool,
    /// Start it though nobody of the pool accepts connections yet: it waits for one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

impl StartRollout {
    /// Whether it says why.
    pub(in crate::admin) fn has_reason(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty())
    }
}

/// An order to a rollout.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRollout {
    /// Go back even if nobody of the old pool would take requests; only `abort` heeds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A rollout.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// Counts from 1 within its service.
    pub id: u64,
    /// The service.
    pub service: String,
    /// How it goes.
    pub strategy: String,
    /// The pool that traffic leaves.
    pub from: String,
    /// The pool that traffic goes to.
    pub to: String,
    /// The version that it has put there, if it is a deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deploys: Option<VersionDeployed>,
    /// Shares of the target, in percent.
    pub steps: Vec<f64>,
    /// How many of them were taken.
    pub steps_taken: usize,
    /// `running`, `paused`, `promoted`, `rolled-back`, `aborted`, `failed` or `superseded`.
    pub state: String,
    /// What it does or waits for, or how it ended.
    pub status: String,
    /// Upstreams of a deploy that have yet to prove well, with why where nobody can be asked there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// The share of the target that it has set, in percent.
    pub share: f64,
    /// Attempts at the target in this step.
    pub step: Attempts,
    /// Attempts at the target since it got traffic.
    pub all: Attempts,
    /// Verbs that make sense now.
    pub verbs: Vec<String>,
    /// Who started it.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Unix time, in seconds.
    pub started: f64,
    /// Unix time, in seconds; none while it is under way.
    pub ended: Option<f64>,
    /// The newest revision of the service.
    pub revision: u64,
    /// What the judge says, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Judgement>,
    /// How long the two pools took since the share was last set, the one that traffic leaves first.
    #[serde(default)]
    pub latency: Vec<Latency>,
    /// Where it begins: what it may be too much for; it goes on all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether the disk has it, where it has not yet.
    #[serde(flatten)]
    pub storing: Storing,
}

impl Rollout {
    /// As it travels.
    pub fn of(report: Report, now: WallTime) -> Rollout {
        let Report { rollout, status, revision } = report;
        let stepped = rollout.stepped(now);
        Rollout {
            id: rollout.id,
            service: rollout.service.to_string(),
            strategy: match rollout.plan.strategy {
                Strategy::AllAtOnce => "all-at-once",
                Strategy::BlueGreen => "blue-green",
                Strategy::Canary => "canary",
                Strategy::Rolling => "rolling",
            }
            .into(),
            from: rollout.plan.from.to_string(),
            to: rollout.plan.to.to_string(),
            deploys: rollout.deploy.as_ref().map(VersionDeployed::from),
            steps: rollout.plan.steps.iter().map(|step| step.percent()).collect(),
            steps_taken: status.steps.0,
            state: status.state.into(),
            status: status.words,
            waits_for: Vec::new(),
            share: status.share.percent(),
            step: Attempts::of(status.counts.0),
            all: Attempts::of(status.counts.1),
            verbs: status.verbs.iter().map(ToString::to_string).collect(),
            author: rollout.author.clone(),
            reason: rollout.reason.clone(),
            started: rollout.started.seconds(),
            ended: rollout.ended.as_ref().map(|(_, at)| at.seconds()),
            revision,
            judgement: rollout.evidence().map(|evidence| Judgement {
                prometheus: rollout.measured(),
                ..Judgement::of(evidence)
            }),
            latency: super::took(&rollout, stepped.as_secs_f64()),
            warnings: Vec::new(),
            storing: Storing::default(),
        }
    }
}

/// Attempts at a pool.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempts {
    /// All whose end is known.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The share that failed, in percent.
    pub errors: f64,
}

impl Attempts {
    pub(in crate::admin) fn of(counts: Counts) -> Attempts {
        let Counts { total, bad } = counts;
        Attempts { requests: total, failed: bad, errors: counts.ratio() * 100.0 }
    }
}

/// A feature flag.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Flag {
    /// Its name.
    pub name: String,
    /// The share of clients that has it, in percent.
    pub percent: f64,
    /// Its services.
    pub services: Vec<String>,
    /// The number of its state; 0 if the file alone has said so far.
    pub revision: u64,
    /// Who made it so; none for the file.
    pub author: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether it was so already when it was ordered: nothing was changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
}

/// A share to be set.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutFlag {
    /// The share of clients in percent.
    #[serde(default)]
    #[schema(value_type = Option<f64>)]
    pub percent: Option<serde_json::Number>,
    /// As before the last order, instead of a share.
    #[serde(default)]
    pub back: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

impl From<orders::FlagReport> for Flag {
    fn from(report: orders::FlagReport) -> Flag {
        let orders::FlagReport { name, percent, services, state } = report;
        Flag {
            name: name.to_string(),
            percent: percent.percent(),
            services: services.iter().map(ToString::to_string).collect(),
            revision: state.as_ref().map_or(0, |state| state.revision),
            author: state.as_ref().map(|state| state.author.clone()),
            reason: state.and_then(|state| state.reason),
            unchanged: false,
        }
    }
}

//! What travels about deploys.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rollout, StartRollout, Storing};
use crate::rollout;

/// A version to be deployed; how it rolls out is as the service's `rollout` table says, where this does
/// not.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// Where it runs, each place once.
    pub to: Vec<DeployTo>,
    /// What people call it, such as `v42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The pool that it gets; the one without traffic and orders if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// `canary`, `blue-green` or `all-at-once`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(canary|blue-green|all-at-once)$")]
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
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// A place of a version: `host:port`, `ip:port`, `srv:NAME` or `unix:/path`, as in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected an address, or one with its weight")]
pub enum DeployTo {
    /// With the usual weight, which is 100.
    Address(String),
    /// With its own.
    Weighed(Weighed),
}

/// A place of a version with its weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Weighed {
    /// The address.
    pub address: String,
    /// Relative to the others of the pool.
    #[schema(minimum = 1, maximum = 10_000)]
    pub weight: u16,
}

impl DeployTo {
    /// The address without its weight.
    pub fn address(self) -> String {
        match self {
            DeployTo::Address(address) | DeployTo::Weighed(Weighed { address, .. }) => address,
        }
    }
}

impl Deploy {
    /// The rollout that it is, but for the version.
    pub(in crate::admin) fn start(&self) -> StartRollout {
        StartRollout {
            to: self.pool.clone(),
            strategy: self.strategy.clone(),
            steps: self.steps.clone(),
            hold: self.hold.clone(),
            min_requests: self.min_requests,
            watch: self.watch.clone(),
            judge: self.judge,
            override_freeze: self.override_freeze,
            force: false,
            reason: self.reason.clone(),
            author: self.author.clone(),
        }
    }
}

/// A version that is being deployed, or is there already.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The service.
    pub service: String,
    /// The pool that has it.
    pub pool: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where it runs.
    pub upstreams: Vec<String>,
    /// Whether it has all traffic already: nothing was changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// The newest revision of the service.
    pub revision: u64,
    /// The rollout that has begun; none if nothing was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What it may be too much for; it is done all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether the disk has it, where it has not yet.
    #[serde(flatten)]
    pub storing: Storing,
}

/// The version that a rollout has put into its target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionDeployed {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where it runs.
    pub upstreams: Vec<String>,
}

impl From<&rollout::Deploy> for VersionDeployed {
    fn from(deploy: &rollout::Deploy) -> VersionDeployed {
        VersionDeployed {
            tag: deploy.tag.as_ref().map(ToString::to_string),
            upstreams: deploy.upstreams.iter().map(ToString::to_string).collect(),
        }
    }
}

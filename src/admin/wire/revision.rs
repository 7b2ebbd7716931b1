//! What travels about traffic states: who made each, why, and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Storing, weights};
use crate::rollout::Version;
use crate::state;

/// A traffic state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// Its number within the service.
    pub revision: u64,
    /// The share of each pool in percent.
    pub weights: BTreeMap<String, f64>,
    /// What people call the versions that its pools ran, as far as deploys have said so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Who made it so.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Unix time, in seconds.
    pub at: f64,
    /// What became of it, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The rollout that it is a step of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u64>,
    /// Whether it was so already when it was ordered: nothing was changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    /// What it may be too much for; it is done all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Whether the disk has it, where it has not yet.
    #[serde(flatten)]
    pub storing: Storing,
}

impl From<&state::Revision> for Revision {
    fn from(revision: &state::Revision) -> Revision {
        Revision {
            revision: revision.number,
            weights: weights(&revision.split),
            tags: tags(&revision.versions),
            author: revision.author.clone(),
            reason: revision.reason.clone(),
            at: revision.at,
            outcome: revision.outcome.clone(),
            rollout: revision.rollout,
            unchanged: false,
            warnings: Vec::new(),
            storing: Storing::default(),
        }
    }
}

/// What versions are called, by pool.
fn tags(versions: &state::Versions) -> BTreeMap<String, String> {
    let tag = |(pool, version): (&Arc<str>, &Version)| {
        Some((pool.to_string(), version.tag.as_ref()?.to_string()))
    };
    versions.iter().filter_map(tag).collect()
}

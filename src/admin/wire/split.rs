//! What travels about splits: those to be set, and those in force.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::each_once;
use crate::split::{BasisPoints, PercentError, Split};

/// A split to be set.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSplit {
    /// The share of each pool in percent, with at most two decimals; they sum to 100.
    #[schema(value_type = BTreeMap<String, f64>)]
    #[serde(deserialize_with = "each_once")]
    pub weights: BTreeMap<String, serde_json::Number>,
    /// Even if nobody of a pool that gets more would take requests.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// A flip to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// The pool that is to get everything.
    pub to: String,
    /// Even if none of its upstreams takes requests.
    #[serde(default)]
    pub force: bool,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

/// The traffic state in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CurrentSplit {
    /// Its number.
    pub revision: u64,
    /// The share of each pool in percent.
    pub weights: BTreeMap<String, f64>,
}

/// A share in percent that came as a number.
pub(in crate::admin) fn share(number: &serde_json::Number) -> Result<BasisPoints, PercentError> {
    BasisPoints::from_number(number.as_f64().unwrap_or(f64::NAN))
}

/// A split in percent.
pub fn weights(split: &Split) -> BTreeMap<String, f64> {
    split.parts().iter().map(|(pool, weight)| (pool.to_string(), weight.percent())).collect()
}

//! What travels over the admin API: the types of its JSON, for both ends.
//!
//! Never the types that decide anything: those may change without a client noticing.

mod capacity;
mod config;
mod deploys;
mod doctor;
mod explain;
mod judge;
mod live;
mod mirror;
mod operations;
mod recording;
mod requests;
mod rollouts;
mod standing;
mod slo;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::judge::Distribution;
use crate::orders::Stored;
use crate::split::{BasisPoints, PercentError, Split};
use crate::state;

#[cfg(test)]
pub use capacity::Ceiling;
pub use capacity::{Capacity, CeilingBy, Highest, PoolCapacity, warnings};
pub use config::{Changes, Checked, ConfigChange, ConfigPart, ConfigProblem, ConfigText};
pub use deploys::{Deploy, DeployTo, Deployed, VersionDeployed, Weighed};
pub use doctor::{Diagnosis, Finding, FindingState, MendBy};
pub use explain::{Explain, ExplainField, ExplainWith, Explanation, Health, Instead};
pub(super) use judge::took;
pub use judge::{JudgeCheck, Judgement, RolloutReport};
pub use live::{
    Glance, GlancePool, GlanceRollout, LiveLine, LiveService, LiveStatus, Me, Points, Wrong,
};
pub use mirror::{Difference, Mirror};
pub use operations::{
    Breaker, BreakerOrder, BreakerSet, BreakerState, Event, LabelledStateSet, Mode, ModeSet,
    PostUpstream, PutBreaker, PutLabelledState, PutMode, PutUpstreamState, UpstreamState,
    UpstreamStateSet, UpstreamsChanged,
};

pub use recording::{RecordedPool, Recording};
pub use requests::{NotTaken, Request, RequestAttempt};
pub use rollouts::{Attempts, Flag, OrderRollout, PutFlag, Rollback, Rollout, StartRollout};
pub use slo::{Budget, Decree, DeleteFreeze, FreezeOverride, PutFreeze, Slo, SloState};
pub use standing::Standing;

/// The process, the config and every service at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Which Pointsman it is.
    #[serde(default)]
    pub name: String,
    /// What it is part of, such as `production`; empty if nobody has said so.
    #[serde(default)]
    pub environment: String,
    /// The version that runs.
    pub version: String,
    /// Whether what is ordered can be stored; while not, orders are refused.
    #[serde(default = "yes")]
    pub store_writable: bool,
    /// Seconds since the start.
    pub uptime_seconds: f64,
    /// Counts up with every change that took effect.
    pub generation: u64,
    /// Whether the process takes new connections.
    pub ready: bool,
    /// The config's state.
    pub config: ConfigStatus,
    /// Where requests come in.
    pub listeners: Vec<Listener>,
    /// What was ordered of what is not in the file any more: in force again if that comes back in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// All services.
    pub services: Vec<Service>,
}

/// What was ordered of something that is not in the file any more.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Kept {
    /// What is gone, such as `service shop`.
    pub what: String,
    /// What was ordered of it, in words.
    pub orders: Vec<String>,
    /// Since when it is gone, as Unix time in seconds.
    pub since: f64,
    /// Until when its orders are kept.
    pub until: f64,
}

/// The config's state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConfigStatus {
    /// The file it was read from.
    pub path: String,
    /// Whether the last reload took effect.
    pub last_reload_successful: bool,
    /// Whether a file that was saved takes away what is in use, and waits for `pointsman reload`.
    #[serde(default)]
    pub waits_for_reload: bool,
    /// Why the last reload was refused; none if it took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Unix time of the last that did, in seconds.
    pub last_reload_success: f64,
    /// Reloads that took effect.
    pub reloads: u64,
    /// Reloads that were refused.
    pub refused_reloads: u64,
}

/// An address where requests come in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// The address.
    pub address: String,
    /// Connections open now.
    pub connections: usize,
}

/// A service with its traffic.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The number of the traffic state in force.
    pub revision: u64,
    /// Whether it serves.
    pub mode: Mode,
    /// Requests that wait for a place or for the end of a hold.
    pub waiting: usize,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Its error budget, if it has any objective or its rollouts are frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// What came of the check whether the judge keeps what is as good as the rest, if that is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_check: Option<JudgeCheck>,
    /// Its pools.
    pub pools: Vec<Pool>,
    /// The rollout under way, if there is one.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// What was ordered above its config, and stands until it is taken back.
    #[serde(default)]
    pub orders: Vec<Standing>,
}

/// A pool with its share.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// What people call the version that a deploy has put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The rollout that has put it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_by: Option<u64>,
    /// The share it is set to get, in percent.
    pub weight: f64,
    /// The share it got over the last ten seconds of the split in force, in percent; none if that
    /// is too new or nothing came.
    pub measured: Option<f64>,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Share of requests that failed over the last ten seconds, in percent.
    pub errors: f64,
    /// Mean duration over the last ten seconds, in seconds.
    pub mean_seconds: f64,
    /// How long its upstreams took to the head of their answers, but for failures, over the last
    /// ten seconds, minute and five minutes.
    pub latency: Vec<Latency>,
    /// Requests it holds now.
    pub in_flight: u64,
    /// Whether it takes requests.
    pub available: bool,
    /// Whether no upstream is well: the fallback answers, or all are tried.
    pub panic: bool,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// Its upstreams.
    pub upstreams: Vec<Upstream>,
}

/// How long answers took over some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Latency {
    /// The pool, where it is not clear from the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The time it is taken over, in seconds.
    pub window_seconds: f64,
    /// Answers in it.
    pub count: u64,
    /// What half of them took at most, in seconds, at most 1.6 % off; none if there were none.
    pub p50: Option<f64>,
    /// What 90 % took at most.
    pub p90: Option<f64>,
    /// What 95 % took at most.
    pub p95: Option<f64>,
    /// What 99 % took at most.
    pub p99: Option<f64>,
    /// What 99.9 % took at most.
    #[serde(rename = "p99.9")]
    pub p999: Option<f64>,
}

impl Latency {
    pub(super) fn of(took: &Distribution, window_seconds: f64) -> Latency {
        let quantile = |share| took.quantile(share).map(|took| took.as_secs_f64());
        Latency {
            pool: None,
            window_seconds,
            count: took.total(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
        }
    }
}

/// An upstream with its state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upstream {
    /// Its address as configured.
    pub address: String,
    /// The configured name that resolved to it, if it was a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its labels, if it has any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it takes requests.
    pub state: UpstreamCondition,
    /// Its circuit breaker.
    pub breaker: Breaker,
    /// Seconds that its ejection still lasts, if it is ejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejected_for: Option<f64>,
    /// Why its last failed health check failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_failure: Option<String>,
    /// Since when it gets no requests for what it did or its health checks say, as Unix time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<f64>,
    /// What last went wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When that was, as Unix time in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<f64>,
    /// Attempts at it per second over the last ten seconds.
    #[serde(default)]
    pub requests_per_second: f64,
    /// Share of them that failed, in percent.
    #[serde(default)]
    pub errors_percent: f64,
    /// Average time to a response's head, in seconds; failures weigh five.
    pub latency_seconds: f64,
    /// Its weight within the pool.
    pub weight: u16,
    /// Requests it holds now.
    pub in_flight: u32,
    /// Attempts at it since the start.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
}

/// Whether an upstream takes requests, and if not why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamCondition {
    /// It does.
    Active,
    /// It does, but gets less than its share because it came in a short while ago.
    SlowStart,
    /// An operator has taken it out, or its health check asks for that.
    Draining,
    /// Its name has not resolved yet.
    Unresolved,
    /// No health check has succeeded yet.
    Unproven,
    /// Its health checks fail.
    Down,
    /// It refused its last connection, or could not be reached.
    Refusing,
    /// All its requests of a second failed.
    Failing,
    /// It failed too often in a row.
    Ejected,
    /// Its circuit breaker is open.
    BreakerOpen,
    /// Its circuit breaker's time is over, and trials find out whether it may close.
    BreakerHalfOpen,
}

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

fn yes() -> bool {
    true
}

/// A whole number, also where it is written with a point and zeros: to JSON, 7.0 is 7.
fn whole_if_given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let is_whole = |float: &f64| float.fract() == 0.0 && (0.0..EXACT).contains(float);
    let whole = number.as_u64().or_else(|| number.as_f64().filter(is_whole).map(|it| it as u64));
    let found = whole.and_then(|whole| T::try_from(whole).ok());
    let wrong = || D::Error::custom(format_args!("expected a whole number, not {number}"));
    found.map(Some).ok_or_else(wrong)
}

/// Up to here floats know each whole number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// As [`each_once`], or nothing at all.
fn each_once_if_given<'de, D>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error>
where
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "each_once")] BTreeMap<String, String>);

    let given: Option<Given> = Option::deserialize(deserializer)?;
    Ok(given.map(|Given(given)| given))
}

/// A map whose keys differ: of two with one name serde would take the last.
fn each_once<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Entries<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("names, each with what is said of it")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                if entries.contains_key(&name) {
                    return Err(A::Error::custom(format_args!("`{name}` is named twice")));
                }
                entries.insert(name, map.next_value()?);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(Entries(PhantomData))
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

/// That something is in force which the disk has not taken yet; empty where it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Storing {
    /// False while the disk has not taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<bool>,
    /// What that means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What is said of what the disk has not taken, but a note of it.
const NOTED: &str = "in force; not on the disk yet, but noted there: after a crash now the rollout would \
                     be paused, not taken back";

/// What is said of what the disk has not taken.
const UNSTORED: &str = "in force; not on the disk yet: a crash now would undo it";

impl Storing {
    /// Whether it is stored.
    pub fn of(stored: Stored) -> Storing {
        let note = match stored {
            Stored::Yes => return Storing::default(),
            Stored::Noted => NOTED,
            Stored::No => UNSTORED,
        };
        Storing { stored: Some(false), note: Some(note.into()) }
    }
}

/// The traffic state in force.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CurrentSplit {
    /// Its number.
    pub revision: u64,
    /// The share of each pool in percent.
    pub weights: BTreeMap<String, f64>,
}

/// What an upgrade has come to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Upgraded {
    /// The number of the process that serves from now on.
    pub process: u32,
}

/// How much the process's own log says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogLevels {
    /// Of whoever has no level of its own: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub default: String,
    /// By target.
    pub targets: BTreeMap<String, String>,
}

/// How much it is to say.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutLogLevels {
    /// By target; `default` is whoever has none of its own, and the level that takes a target's own away.
    #[serde(default)]
    pub levels: BTreeMap<String, String>,
    /// As it was when the process began, before that.
    #[serde(default)]
    pub reset: bool,
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

/// A share in percent that came as a number.
pub(super) fn share(number: &serde_json::Number) -> Result<BasisPoints, PercentError> {
    BasisPoints::from_number(number.as_f64().unwrap_or(f64::NAN))
}

/// What versions are called, by pool.
fn tags(versions: &state::Versions) -> BTreeMap<String, String> {
    let tag = |(pool, version): (&std::sync::Arc<str>, &crate::rollout::Version)| {
        Some((pool.to_string(), version.tag.as_ref()?.to_string()))
    };
    versions.iter().filter_map(tag).collect()
}

/// A split in percent.
pub fn weights(split: &Split) -> BTreeMap<String, f64> {
    split.parts().iter().map(|(pool, weight)| (pool.to_string(), weight.percent())).collect()
}

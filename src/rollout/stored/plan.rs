//! A plan as it is kept: what a rollout means to do in, the fields of its JSON out, and back.
//!
//! These are other types than the plan's own, so that a name that is changed there changes nothing
//! on a disk. Fields only grow, and a new one has a default: what it was before it could be said.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::judge::{Guard, JudgeSettings};
use crate::rollout::{Hook, Hooks, Judging, OnInconclusive, Plan, Query, Smoke, Strategy};
use crate::split::BasisPoints;

/// What a rollout means to do.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredPlan {
    strategy: StoredStrategy,
    from: Arc<str>,
    to: Arc<str>,
    steps: Vec<BasisPoints>,
    hold: Duration,
    min_requests: u64,
    longest_step: Duration,
    guard: StoredGuard,
    watch: Duration,
    ready_within: Duration,
    drain: Duration,
    at_once: usize,
    smoke: Vec<StoredSmoke>,
    hooks: StoredHooks,
    #[serde(default)]
    judging: Option<StoredJudging>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredStrategy {
    AllAtOnce,
    BlueGreen,
    Canary,
    Rolling,
}

/// When a canary is taken back whatever else is said of it.
#[derive(Serialize, Deserialize)]
struct StoredGuard {
    errors: BasisPoints,
    requests: u64,
    within: Duration,
}

/// A request that a target must answer.
#[derive(Serialize, Deserialize)]
struct StoredSmoke {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    status: Option<u16>,
    contains: Option<String>,
    timeout: Duration,
}

/// What is called, and when.
#[derive(Serialize, Deserialize)]
struct StoredHooks {
    before_start: Option<StoredHook>,
    expand: Option<StoredHook>,
    before_step: Option<StoredHook>,
    before_promote: Option<StoredHook>,
    after_promote: Option<StoredHook>,
    after_rollback: Option<StoredHook>,
    contract: Option<StoredHook>,
    deploy: Option<StoredHook>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredHook {
    Webhook { url: String, secret_file: Option<PathBuf>, timeout: Duration },
    Command { run: Vec<String>, timeout: Duration },
}

/// How it is judged. What an older version did not say is as it was by default.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct StoredJudging {
    settings: JudgeSettings,
    errors: Option<Vec<String>>,
    client_errors: bool,
    metrics: Vec<String>,
    by_user: Option<bool>,
    on_inconclusive: StoredOnInconclusive,
    prometheus: Option<StoredQuery>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredOnInconclusive {
    Pause,
    Promote,
    Rollback,
}

/// What a Prometheus server is asked.
#[derive(Serialize, Deserialize)]
struct StoredQuery {
    url: String,
    query: String,
    above: f64,
    interval: Duration,
}

impl From<Plan> for StoredPlan {
    fn from(
        Plan {
            strategy,
            from,
            to,
            steps,
            hold,
            min_requests,
            longest_step,
            guard,
            watch,
            ready_within,
            drain,
            at_once,
            smoke,
            hooks,
            judging,
        }: Plan,
    ) -> StoredPlan {
        StoredPlan {
            strategy: strategy.into(),
            from,
            to,
            steps,
            hold,
            min_requests,
            longest_step,
            guard: guard.into(),
            watch,
            ready_within,
            drain,
            at_once,
            smoke: smoke.into_iter().map(Into::into).collect(),
            hooks: hooks.into(),
            judging: Some(judging.into()),
        }
    }
}

impl From<StoredPlan> for Plan {
    fn from(
        StoredPlan {
            strategy,
            from,
            to,
            steps,
            hold,
            min_requests,
            longest_step,
            guard,
            watch,
            ready_within,
            drain,
            at_once,
            smoke,
            hooks,
            judging,
        }: StoredPlan,
    ) -> Plan {
        Plan {
            strategy: strategy.into(),
            from,
            to,
            steps,
            hold,
            min_requests,
            longest_step,
            guard: guard.into(),
            watch,
            ready_within,
            drain,
            at_once,
            smoke: smoke.into_iter().map(Into::into).collect(),
            hooks: hooks.into(),
            judging: judging.map(Into::into).unwrap_or_default(),
        }
    }
}

impl From<Guard> for StoredGuard {
    fn from(Guard { errors, requests, within }: Guard) -> StoredGuard {
        StoredGuard { errors, requests, within }
    }
}

impl From<StoredGuard> for Guard {
    fn from(StoredGuard { errors, requests, within }: StoredGuard) -> Guard {
        Guard { errors, requests, within }
    }
}

impl From<Smoke> for StoredSmoke {
    fn from(
        Smoke { method, path, headers, body, status, contains, timeout }: Smoke,
    ) -> StoredSmoke {
        StoredSmoke { method, path, headers, body, status, contains, timeout }
    }
}

impl From<StoredSmoke> for Smoke {
    fn from(
        StoredSmoke { method, path, headers, body, status, contains, timeout }: StoredSmoke,
    ) -> Smoke {
        Smoke { method, path, headers, body, status, contains, timeout }
    }
}

impl From<Hooks> for StoredHooks {
    fn from(
        Hooks {
            before_start,
            expand,
            before_step,
            before_promote,
            after_promote,
            after_rollback,
            contract,
            deploy,
        }: Hooks,
    ) -> StoredHooks {
        StoredHooks {
            before_start: before_start.map(Into::into),
            expand: expand.map(Into::into),
            before_step: before_step.map(Into::into),
            before_promote: before_promote.map(Into::into),
            after_promote: after_promote.map(Into::into),
            after_rollback: after_rollback.map(Into::into),
            contract: contract.map(Into::into),
            deploy: deploy.map(Into::into),
        }
    }
}

impl From<StoredHooks> for Hooks {
    fn from(
        StoredHooks {
            before_start,
            expand,
            before_step,
            before_promote,
            after_promote,
            after_rollback,
            contract,
            deploy,
        }: StoredHooks,
    ) -> Hooks {
        Hooks {
            before_start: before_start.map(Into::into),
            expand: expand.map(Into::into),
            before_step: before_step.map(Into::into),
            before_promote: before_promote.map(Into::into),
            after_promote: after_promote.map(Into::into),
            after_rollback: after_rollback.map(Into::into),
            contract: contract.map(Into::into),
            deploy: deploy.map(Into::into),
        }
    }
}

impl From<Judging> for StoredJudging {
    fn from(
        Judging { settings, errors, client_errors, metrics, by_user, on_inconclusive, prometheus }: Judging,
    ) -> StoredJudging {
        StoredJudging {
            settings,
            errors,
            client_errors,
            metrics,
            by_user,
            on_inconclusive: on_inconclusive.into(),
            prometheus: prometheus.map(Into::into),
        }
    }
}

impl From<StoredJudging> for Judging {
    fn from(
        StoredJudging {
            settings,
            errors,
            client_errors,
            metrics,
            by_user,
            on_inconclusive,
            prometheus,
        }: StoredJudging,
    ) -> Judging {
        Judging {
            settings,
            errors,
            client_errors,
            metrics,
            by_user,
            on_inconclusive: on_inconclusive.into(),
            prometheus: prometheus.map(Into::into),
        }
    }
}

impl From<Query> for StoredQuery {
    fn from(Query { url, query, above, interval }: Query) -> StoredQuery {
        StoredQuery { url, query, above, interval }
    }
}

impl From<StoredQuery> for Query {
    fn from(StoredQuery { url, query, above, interval }: StoredQuery) -> Query {
        Query { url, query, above, interval }
    }
}

impl From<Strategy> for StoredStrategy {
    fn from(own: Strategy) -> StoredStrategy {
        match own {
            Strategy::AllAtOnce => StoredStrategy::AllAtOnce,
            Strategy::BlueGreen => StoredStrategy::BlueGreen,
            Strategy::Canary => StoredStrategy::Canary,
            Strategy::Rolling => StoredStrategy::Rolling,
        }
    }
}

impl From<StoredStrategy> for Strategy {
    fn from(own: StoredStrategy) -> Strategy {
        match own {
            StoredStrategy::AllAtOnce => Strategy::AllAtOnce,
            StoredStrategy::BlueGreen => Strategy::BlueGreen,
            StoredStrategy::Canary => Strategy::Canary,
            StoredStrategy::Rolling => Strategy::Rolling,
        }
    }
}

impl From<OnInconclusive> for StoredOnInconclusive {
    fn from(own: OnInconclusive) -> StoredOnInconclusive {
        match own {
            OnInconclusive::Pause => StoredOnInconclusive::Pause,
            OnInconclusive::Promote => StoredOnInconclusive::Promote,
            OnInconclusive::Rollback => StoredOnInconclusive::Rollback,
        }
    }
}

impl From<StoredOnInconclusive> for OnInconclusive {
    fn from(own: StoredOnInconclusive) -> OnInconclusive {
        match own {
            StoredOnInconclusive::Pause => OnInconclusive::Pause,
            StoredOnInconclusive::Promote => OnInconclusive::Promote,
            StoredOnInconclusive::Rollback => OnInconclusive::Rollback,
        }
    }
}

impl From<Hook> for StoredHook {
    fn from(own: Hook) -> StoredHook {
        match own {
            Hook::Webhook { url, secret_file, timeout } => {
                StoredHook::Webhook { url, secret_file, timeout }
            }
            Hook::Command { run, timeout } => StoredHook::Command { run, timeout },
        }
    }
}

impl From<StoredHook> for Hook {
    fn from(own: StoredHook) -> Hook {
        match own {
            StoredHook::Webhook { url, secret_file, timeout } => {
                Hook::Webhook { url, secret_file, timeout }
            }
            StoredHook::Command { run, timeout } => Hook::Command { run, timeout },
        }
    }
}

impl Default for StoredJudging {
    fn default() -> StoredJudging {
        Judging::default().into()
    }
}

//! What a rehearsal has shown, for scripts: summaries in, JSON out.

use serde::Serialize;

use super::Rehearsed;
use crate::rehearsal::{Behaviour, Group, Lasts, Scenario, Spread, Stalls, Summary, World};

#[derive(Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    from: &'a str,
    to: &'a str,
    /// Shares of the canary, in percent.
    steps: Vec<f64>,
    asked: &'a Asked,
    first_seed: u64,
    /// None if the canary that was asked for is as good as the old version.
    canary: Option<Outcomes<'a>>,
    identical: Outcomes<'a>,
    false_rollback: Chance,
    virtual_hours: f64,
    took_seconds: f64,
    notes: &'a [String],
}

/// What was asked: shares from 0 to 1, times in seconds.
#[derive(Clone, Serialize)]
pub struct Asked {
    /// None with a recording.
    requests_per_second: Option<f64>,
    users: Option<u32>,
    broken_users: Option<f64>,
    stable: Version,
    canary: Version,
    after_seconds: f64,
    upstreams: [u32; 2],
    /// How much was recorded of it, in seconds, if it is played as it was.
    recorded_seconds: Option<u64>,
    stalls: Option<Stalled>,
    shared: Option<Stalled>,
    pauses: Option<Paused>,
    restarts: Option<Restarted>,
    cold: Option<Cooled>,
    hold_seconds: f64,
    min_requests: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Version {
    errors: f64,
    p50_seconds: f64,
    p99_seconds: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Stalled {
    every_seconds: f64,
    /// On average.
    share: f64,
    lasts_seconds: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Paused {
    every_seconds: f64,
    lasts_seconds: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Restarted {
    at_seconds: f64,
    lasts_seconds: f64,
    every_seconds: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
struct Cooled {
    factor: f64,
    lasts_seconds: f64,
}

impl Asked {
    /// Of this scenario; its rate unless that is recorded.
    pub fn of(scenario: &Scenario, requests_per_second: Option<f64>) -> Asked {
        let version = |of: Behaviour| {
            let (p50, p99) = of.latency.quantiles();
            Version {
                errors: of.errors,
                p50_seconds: p50.as_secs_f64(),
                p99_seconds: p99.as_secs_f64(),
            }
        };
        let lasts = |lasts: Lasts| lasts.mean().as_secs_f64();
        let stalled = |Stalls { every, share, lasts: time }: Stalls| Stalled {
            every_seconds: every.as_secs_f64(),
            share: (share[0] + share[1]) / 2.0,
            lasts_seconds: lasts(time),
        };
        let World { stalls, shared, pauses, restarts, cold, .. } = scenario.world;
        Asked {
            requests_per_second,
            users: scenario.crowd.map(|crowd| crowd.users),
            broken_users: scenario.crowd.map(|crowd| crowd.broken),
            stable: version(scenario.stable),
            canary: version(scenario.canary),
            after_seconds: scenario.after.as_secs_f64(),
            upstreams: scenario.upstreams,
            recorded_seconds: scenario.recorded.as_ref().map(|recorded| recorded.length() as u64),
            stalls: stalls.map(stalled),
            shared: shared.map(stalled),
            pauses: pauses.map(|pauses| Paused {
                every_seconds: pauses.every.as_secs_f64(),
                lasts_seconds: lasts(pauses.lasts),
            }),
            restarts: restarts.map(|restarts| Restarted {
                at_seconds: restarts.at.as_secs_f64(),
                lasts_seconds: restarts.lasts.as_secs_f64(),
                every_seconds: restarts.every.map(|every| every.as_secs_f64()),
            }),
            cold: cold.map(|cold| Cooled {
                factor: cold.factor,
                lasts_seconds: cold.lasts.as_secs_f64(),
            }),
            hold_seconds: scenario.plan.hold.as_secs_f64(),
            min_requests: scenario.plan.min_requests,
        }
    }
}

#[derive(Serialize)]
struct Outcomes<'a> {
    runs: u64,
    rolled_back: Outcome,
    promoted: Outcome,
    paused: Outcome,
    full_traffic_seconds: Values<f64>,
    canary_requests: Values<u64>,
    /// The mean over all runs.
    failed_beyond_stable: f64,
    users_hit: Option<Values<u64>>,
    rolled_back_by: Vec<Driver<'a>>,
}

#[derive(Serialize)]
struct Outcome {
    count: u64,
    share: f64,
    seconds: Values<f64>,
}

#[derive(Serialize)]
struct Values<T> {
    median: Option<T>,
    p95: Option<T>,
}

#[derive(Serialize)]
struct Driver<'a> {
    what: &'a str,
    count: u64,
}

#[derive(Serialize)]
struct Chance {
    share: f64,
    low: f64,
    high: f64,
    confidence: f64,
}

/// All of it.
pub fn told(rehearsed: &Rehearsed) -> serde_json::Result<String> {
    let (share, [low, high]) = rehearsed.identical.chance_of_rollback();
    serde_json::to_string_pretty(&Told {
        service: rehearsed.service.as_deref(),
        from: &rehearsed.from,
        to: &rehearsed.to,
        steps: rehearsed.steps.iter().map(|share| share.percent()).collect(),
        asked: &rehearsed.asked,
        first_seed: rehearsed.first_seed,
        canary: rehearsed.canary.as_ref().map(outcomes),
        identical: outcomes(&rehearsed.identical),
        false_rollback: Chance { share, low, high, confidence: 0.95 },
        virtual_hours: rehearsed.virtual_hours(),
        took_seconds: rehearsed.took.as_secs_f64(),
        notes: &rehearsed.notes,
    })
}

fn outcomes(summary: &Summary) -> Outcomes<'_> {
    let group = |Group { count, took }: &Group| Outcome {
        count: *count,
        share: *count as f64 / summary.runs.max(1) as f64,
        seconds: seconds(*took),
    };
    Outcomes {
        runs: summary.runs,
        rolled_back: group(&summary.rolled_back),
        promoted: group(&summary.promoted),
        paused: group(&summary.paused),
        full_traffic_seconds: seconds(summary.whole),
        canary_requests: numbers(summary.canary_requests),
        failed_beyond_stable: summary.excess,
        users_hit: summary.users_hit.map(numbers),
        rolled_back_by: summary
            .by
            .iter()
            .map(|(what, count)| Driver { what, count: *count })
            .collect(),
    }
}

fn seconds(Spread { median, p95 }: Spread<std::time::Duration>) -> Values<f64> {
    Values { median: median.map(|m| m.as_secs_f64()), p95: p95.map(|p| p.as_secs_f64()) }
}

fn numbers(Spread { median, p95 }: Spread<u64>) -> Values<u64> {
    Values { median, p95 }
}

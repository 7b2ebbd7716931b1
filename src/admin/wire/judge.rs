//! What travels about how a rollout is judged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Attempts, Latency, Rollout};
use crate::aa::Tally;
use crate::judge::ledger::Failing;
use crate::judge::{Bar, Evidence, Finding, Regressed, Says, Verdict};
use crate::rollout;

/// What the judge says of a rollout's target, and all that it rests on. Evidence is given as odds:
/// 250 stands for 250 to 1.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Judgement {
    /// `pass`, `fail`, `invalid` or `inconclusive`.
    pub says: String,
    /// What was compared, how strong the evidence is, what is missing.
    pub evidence: String,
    /// What drove it, if it fails: `guard`, `errors`, `p99`, `p95`, `p50`, `budget` or a metric.
    pub driver: Option<String>,
    /// Seconds of traffic that were judged.
    pub seconds: u64,
    /// What the Prometheus server said last, if it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<String>,
    /// Each thing that may fail the target.
    pub metrics: Vec<Judged>,
    /// Evidence that the target is fine.
    pub fine: Odds,
    /// Requests without a failure that would let it go on, if that is within reach.
    pub requests_missing: Option<u64>,
    /// What the split gave the old pool since the share was set: requests, or users.
    pub arrived_stable: u64,
    /// What it gave the target.
    pub arrived_target: u64,
    /// Evidence that this is not what the split was set to.
    pub split_off: Odds,
    /// How many failures of the target one cause makes, as was measured; 1 if each has its own.
    pub bursts: f64,
    /// Routes whose errors rose, the strongest evidence first.
    pub regressed: Vec<Where>,
}

/// What came of the A/A check: how often the judge would have taken back an upstream that runs what all run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JudgeCheck {
    /// Trials that count, five minutes each.
    pub trials: u64,
    /// Those that would have been taken back.
    pub taken_back: u64,
    /// Whether that is more than is promised, with a confidence of 95 %.
    pub is_broken: bool,
    /// What it comes to.
    pub says: String,
}

impl JudgeCheck {
    /// Of what came of a service's trials.
    pub fn of(tally: &Tally) -> JudgeCheck {
        let counts = tally.counts();
        JudgeCheck {
            trials: counts.total,
            taken_back: counts.bad,
            is_broken: tally.is_broken(),
            says: tally.words(),
        }
    }
}

/// Evidence and what is enough.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Odds {
    /// To one.
    pub odds: f64,
    /// To one.
    pub enough: f64,
}

/// One thing that may fail the target.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Judged {
    /// What is compared.
    pub metric: String,
    /// `fails`, `smoulders`, `quiet` or `not-judged`.
    pub says: String,
    /// Evidence that the target is worse.
    pub worse: Odds,
    /// The old pool: failures, or answers that were slow.
    pub stable: Attempts,
    /// The target.
    pub target: Attempts,
    /// From how many milliseconds on an answer of the old pool is slow.
    pub stable_slow_ms: Option<f64>,
    /// From how many one of the target is.
    pub target_slow_ms: Option<f64>,
}

/// A route whose errors rose.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Where {
    /// Method and route.
    pub route: String,
    /// The old pool there.
    pub stable: Attempts,
    /// The target there.
    pub target: Attempts,
    /// Evidence, to one.
    pub odds: f64,
}

/// A rollout with its evidence.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RolloutReport {
    /// The rollout.
    pub rollout: Rollout,
    /// All of it for people, as Markdown.
    pub markdown: String,
    /// What was said of it, the oldest first.
    pub log: Vec<Said>,
    /// The last seconds.
    pub trail: Vec<Second>,
    /// A few requests that failed on the target, if traffic was taken back.
    pub failing: Vec<FailingRequest>,
}

/// Something that was said.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Said {
    /// Unix time, in seconds.
    pub at: f64,
    /// What.
    pub what: String,
}

/// What both pools did in a second.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Second {
    /// Unix time of its end, in seconds.
    pub at: f64,
    /// The target's share, in percent.
    pub share: f64,
    /// The old pool.
    pub stable: Attempts,
    /// The target.
    pub target: Attempts,
}

/// A request that failed on the target; values of fields that could be secret are left out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailingRequest {
    /// Unix time, in seconds.
    pub at: f64,
    /// Its method.
    pub method: String,
    /// Its path, without a query.
    pub path: String,
    /// Its fields.
    pub headers: Vec<(String, String)>,
    /// The id that it is known by.
    pub request_id: String,
    /// The upstream that was asked.
    pub upstream: String,
    /// The status that came back, or why there was none.
    pub ended: String,
    /// Until then.
    pub took_ms: f64,
}

impl Judgement {
    pub(in crate::admin) fn of(evidence: Evidence) -> Judgement {
        let (says, driver) = match &evidence.verdict {
            Verdict::Pass { .. } => ("pass", None),
            Verdict::Fail { driver, .. } => ("fail", Some(driver.to_string())),
            Verdict::Invalid { .. } => ("invalid", None),
            Verdict::Inconclusive { .. } => ("inconclusive", None),
        };
        Judgement {
            says: says.into(),
            evidence: evidence.verdict.evidence().into(),
            driver,
            seconds: evidence.seconds,
            prometheus: None,
            metrics: evidence.metrics.into_iter().map(Judged::of).collect(),
            fine: Odds::of(evidence.gate.fine),
            requests_missing: evidence.gate.requests_missing,
            arrived_stable: evidence.split.stable,
            arrived_target: evidence.split.canary,
            split_off: Odds::of(evidence.split.off),
            bursts: evidence.per_cause,
            regressed: evidence.regressed.into_iter().map(Where::of).collect(),
        }
    }
}

impl Odds {
    fn of(bar: Bar) -> Odds {
        Odds { odds: odds(bar.ln_e), enough: odds(bar.limit) }
    }
}

/// As a number that JSON can hold.
fn odds(ln_e: f64) -> f64 {
    ln_e.exp().min(1e12)
}

impl Judged {
    fn of(finding: Finding) -> Judged {
        Judged {
            metric: finding.metric.to_string(),
            says: match finding.says {
                Says::Fails => "fails",
                Says::Smoulders => "smoulders",
                Says::Quiet => "quiet",
                Says::NotJudged => "not-judged",
            }
            .into(),
            worse: Odds::of(finding.worse),
            stable: Attempts::of(finding.stable),
            target: Attempts::of(finding.canary),
            stable_slow_ms: finding.stable_ms,
            target_slow_ms: finding.canary_ms,
        }
    }
}

impl Where {
    fn of(part: Regressed) -> Where {
        Where {
            route: part.name.to_string(),
            stable: Attempts::of(part.stable),
            target: Attempts::of(part.canary),
            odds: odds(part.ln_e),
        }
    }
}

impl RolloutReport {
    pub(in crate::admin) fn of(rollout: &rollout::Rollout, described: Rollout) -> RolloutReport {
        let second = |second: &rollout::Second| Second {
            at: second.at.seconds(),
            share: f64::from(second.share) / 100.0,
            stable: Attempts::of(second.stable),
            target: Attempts::of(second.canary),
        };
        let failing = |failing: &Failing| FailingRequest {
            at: failing.at.seconds(),
            method: failing.method.clone(),
            path: failing.path.clone(),
            headers: failing.headers.clone(),
            request_id: failing.request_id.clone(),
            upstream: failing.upstream.clone(),
            ended: failing.ending.clone(),
            took_ms: failing.took_ms,
        };
        let log = rollout.log().map(|(at, what)| Said { at: at.seconds(), what: what.clone() });
        RolloutReport {
            rollout: described,
            markdown: rollout.report(),
            log: log.collect(),
            trail: rollout.trail().map(second).collect(),
            failing: rollout.failing().iter().map(failing).collect(),
        }
    }
}

/// The two pools of a rollout, the one that traffic leaves first.
pub(in crate::admin) fn took(rollout: &rollout::Rollout, seconds: f64) -> Vec<Latency> {
    let (from, to) = (&rollout.plan.from, &rollout.plan.to);
    let pools = [from, to].into_iter().zip(rollout.took());
    let of = |(pool, took): (&Arc<str>, _)| {
        let pool = Some(pool.to_string());
        Latency { pool, ..Latency::of(took, seconds) }
    };
    pools.map(of).collect()
}

//! What was recorded of a service, from a running proxy or a file: that in, a plan and what is played out.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::super::Ending;
use super::super::api::{Api, Call, segment};
use super::values::CanaryLatency;
use super::{Planned, Rehearse, words};
use crate::admin::wire;
use crate::clock::in_words;
use crate::rehearsal::{NotPlayed, Recorded, Scenario};
use crate::rollout::{Plan, Wishes};
use crate::split::Split;

/// The largest file that is read: an answer has at most 16 MiB of seconds, and what stands around them.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What was recorded, and of which service.
pub(super) struct Heard {
    told: wire::Recording,
    from: Arc<str>,
    pub recorded: Arc<Recorded>,
}

impl Rehearse {
    /// What was recorded, if that is to be played; how it ends if it cannot be.
    pub(super) async fn heard(&self) -> anyhow::Result<Result<Option<Heard>, Ending>> {
        let told: wire::Recording = match (&self.from, &self.service, &self.config) {
            (Some(path), ..) => read(path)?,
            (None, Some(service), None) => {
                let path = format!("/v1/services/{}/recording", segment(service));
                Api(&self.reach).ask(Call::get(&path)).await?
            }
            _ => return Ok(Ok(None)),
        };
        if let Some(option) = self.said_twice() {
            eprintln!("pointsman: {option} says what the recording says: leave one of both out");
            return Ok(Err(Ending::Usage));
        }
        let recording =
            told.read().with_context(|| format!("the recording of {}", told.service))?;
        let from = recording.busiest().unwrap_or_default();
        let refused = |why: NotPlayed| {
            eprintln!("pointsman: no rollout of {} can be rehearsed: {why}", told.service);
            Ending::Refused
        };
        let recorded = match Recorded::of(&recording, &from) {
            Ok(recorded) => Arc::new(recorded),
            Err(NotPlayed::Silent(_)) => {
                return Ok(Err(refused(NotPlayed::Silent(told.service.clone()))));
            }
            Err(why) => return Ok(Err(refused(why))),
        };
        Ok(Ok(Some(Heard { told, from, recorded })))
    }

    /// What is said though the recording says it.
    fn said_twice(&self) -> Option<&'static str> {
        let said = [
            (self.rps.is_some(), "--rps"),
            (self.profile.is_some(), "--profile"),
            (self.users.is_some(), "--users"),
            (self.baseline_errors.is_some(), "--baseline-errors"),
            (self.baseline_latency.is_some(), "--baseline-latency"),
            (matches!(self.canary_latency, Some(CanaryLatency::Of(_))), "--canary-latency P50,P99"),
            (self.upstreams.is_some(), "--upstreams"),
            (self.stalls.is_some(), "--stalls"),
            (self.shared.is_some(), "--shared"),
            (self.pauses.is_some(), "--pauses"),
        ];
        said.into_iter().find(|(is_said, _)| *is_said).map(|(_, option)| option)
    }
}

impl Heard {
    /// The plan of the service that was recorded.
    pub fn planned(&self, wishes: &Wishes) -> anyhow::Result<Planned> {
        let settings = self.told.rollout.read().context("the plan that was recorded")?;
        let pools = self.told.pools.iter();
        let mut pools: Vec<(Arc<str>, usize)> =
            pools.map(|pool| (pool.pool.as_str().into(), pool.upstreams)).collect();
        if pools.iter().all(|(pool, _)| *pool == self.from) {
            pools.push(("canary".into(), 1));
        }
        let plan = Plan::new(&settings, wishes, &pools, &Split::all_to(self.from.clone()))
            .with_context(|| format!("no rollout of {} can be planned", self.told.service))?;
        let upstreams = |name: &Arc<str>| {
            let found = pools.iter().find(|(pool, _)| pool == name);
            found.map_or(1, |(_, upstreams)| (*upstreams).clamp(1, 1_000) as u32)
        };
        Ok(Planned {
            service: Some(self.told.service.clone()),
            upstreams: [upstreams(&plan.from), upstreams(&plan.to)],
            plan,
            is_sticky: self.told.rollout.is_sticky,
            slo: None,
        })
    }
}

/// How many of the recorded upstreams play each version, where the new one has so many.
pub(super) fn played(recorded: &Recorded, canaries: u32) -> [u32; 2] {
    let all = recorded.upstreams() as u32;
    match all {
        1 => [1, 1],
        _ => {
            let canaries = canaries.clamp(1, all - 1);
            [all - canaries, canaries]
        }
    }
}

/// How both versions behave, where that was recorded.
pub(super) fn recorded_words(scenario: &Scenario, recorded: &Recorded) -> String {
    let length = in_words(std::time::Duration::from_secs(recorded.length() as u64));
    let upstreams = match recorded.upstreams() {
        1 => "1 upstream, which plays both versions".to_string(),
        count => {
            let [_, canaries] = scenario.upstreams;
            format!("{count} upstreams, of which {canaries} play the new version")
        }
    };
    let errors = words::share_of((recorded.errors() * 1e6).round() / 1e6);
    let more = match scenario.canary.errors {
        0.0 => String::new(),
        more => format!("; the new version fails {} more", words::share_of(more)),
    };
    let [canary, stable] =
        [scenario.canary, scenario.stable].map(|of| of.latency.quantiles().0.as_secs_f64());
    let slower = match canary == stable {
        true => String::new(),
        false => format!("; the new version takes {:.2} times as long", canary / stable),
    };
    format!("{length} of {upstreams}; {errors} of the requests failed{more}{slower}")
}

fn read(path: &Path) -> anyhow::Result<wire::Recording> {
    let cannot = || format!("cannot read {}", path.display());
    let file = std::fs::File::open(path).with_context(cannot)?;
    let mut text = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut text).with_context(cannot)?;
    if text.len() as u64 > LARGEST {
        bail!("{} is larger than 64 MiB: it is no recording", path.display());
    }
    serde_json::from_slice(&text)
        .map_err(io::Error::from)
        .with_context(|| format!("{} is no recording of a service", path.display()))
}

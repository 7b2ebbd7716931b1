//! What was recorded of a service, from a running proxy or a file: that in, a plan and what is played out.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::super::Ending;
use super::super::api::{Api, Call, plain, segment};
use super::planned::Planned;
use super::values::CanaryLatency;
use super::{Rehearse, words};
use crate::admin::wire;
use crate::clock::in_words;
use crate::rehearsal::{NotPlayed, Recorded, Scenario};
use crate::rollout::{Plan, Wishes};
use crate::split::Split;

/// The largest file that is read: an answer has at most 16 MiB of seconds, and what stands around them.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What was recorded, and of which service.
pub(super) struct Recording {
    told: wire::Recording,
    from: Arc<str>,
    pub recorded: Arc<Recorded>,
}

impl Rehearse {
    /// What was recorded, if that is to be played; how it ends if it cannot be.
    pub(super) async fn recording(&self) -> anyhow::Result<Result<Option<Recording>, Ending>> {
        let told: wire::Recording = match (&self.from, &self.service, &self.config) {
            (Some(path), service, _) => {
                let told = read(path)?;
                if let Some(service) = service.as_ref().filter(|name| **name != told.service) {
                    eprintln!(
                        "pointsman: {} is of service `{}`, not of `{service}`: leave the name out, or say \
                         --from with what was recorded of that",
                        path.display(),
                        told.service
                    );
                    return Ok(Err(Ending::Usage));
                }
                told
            }
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
        let recording = told.read();
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
        if !told.pools.iter().any(|pool| *pool.pool == *from) {
            let now = told.pools.iter().map(|pool| format!("`{}`", pool.pool));
            eprintln!(
                "pointsman: no rollout of {} can be rehearsed: most requests that were recorded went to \
                 `{from}`, and its pools are {}; record anew, or mend `pools`",
                told.service,
                now.collect::<Vec<_>>().join(", ")
            );
            return Ok(Err(Ending::Refused));
        }
        Ok(Ok(Some(Recording { told, from, recorded })))
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

impl Recording {
    /// The service that was recorded.
    pub fn service(&self) -> &str {
        &self.told.service
    }

    /// The pool that had most requests, which a rollout would start from.
    pub fn from(&self) -> &Arc<str> {
        &self.from
    }

    /// The plan of the service that was recorded.
    pub fn planned(&self, wishes: &Wishes) -> anyhow::Result<Planned> {
        let settings = self.told.rollout.read();
        let pools = self.told.pools.iter();
        let mut pools: Vec<(Arc<str>, usize)> =
            pools.map(|pool| (pool.pool.as_str().into(), pool.upstreams)).collect();
        if pools.iter().all(|(pool, _)| *pool == self.from) {
            pools.push(("canary".into(), 1));
        }
        let plan = Plan::new(&settings, wishes, &pools, &Split::all_to(self.from.clone()))
            .with_context(|| format!("no rollout of {} can be planned", self.told.service))?;
        let is_sticky = self.told.rollout.is_sticky;
        Ok(Planned { is_sticky, ..Planned::of(&self.told.service, plan, &pools) })
    }
}

/// How many of the recorded upstreams play each version, where the new one has so many.
pub(super) fn upstreams_of_each(recorded: &Recorded, canaries: u32) -> [u32; 2] {
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
    let mut json = serde_json::Deserializer::from_slice(&text);
    let told: wire::Recording = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| refused(path, Some(&error.path().to_string()), error.inner()))?;
    json.end().map_err(|error| refused(path, None, &error))?;
    Ok(shown(told))
}

/// Where a file says what cannot be, and what to do.
fn refused(path: &Path, field: Option<&str>, error: &serde_json::Error) -> anyhow::Error {
    let (line, column) = (error.line(), error.column());
    let told = error.to_string();
    // It says the place behind, where nobody looks for it.
    let place = format!(" at line {line} column {column}");
    let told = told.strip_suffix(&place).unwrap_or(&told);
    let field = field.filter(|field| *field != ".").map(|field| format!(", `{field}`"));
    anyhow::anyhow!(
        "{} is no recording of a service: line {line}, column {column}{}: {}; mend it there, or save what \
         `GET /v1/services/SERVICE/recording` answers anew",
        path.display(),
        plain(&field.unwrap_or_default()),
        plain(told)
    )
}

/// Its names as they can be shown: what somebody has written into a file is for nobody's terminal to obey.
fn shown(mut told: wire::Recording) -> wire::Recording {
    let plain = |text: &mut String| {
        if text.contains(|c: char| c.is_control()) || *text != plain(text) {
            *text = plain(&text.replace(['\n', '\t'], "\u{fffd}"));
        }
    };
    plain(&mut told.service);
    told.pools.iter_mut().for_each(|pool| plain(&mut pool.pool));
    for pool in told.minutes.iter_mut().flat_map(|minute| &mut minute.pools) {
        plain(&mut pool.pool);
        pool.upstreams.iter_mut().for_each(|one| plain(&mut one.upstream));
    }
    told
}

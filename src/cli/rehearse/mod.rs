//! `rehearse`: a plan and how the new version might behave in, what a rollout would make of it out.

mod behaves;
mod curve;
mod json;
mod planned;
mod plot;
mod progress;
mod recording;
mod rehearsed;
mod scenario;
mod svg;
mod values;
mod words;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use self::planned::{Planned, read};
use self::recording::Recording;
use self::rehearsed::Rehearsed;
use self::values::CanaryLatency;
use super::{Ending, Reach, print, terminal};
use crate::config::{self, Config};
use crate::files::write_over;
use crate::rehearsal::{Cold, Latency, Pauses, Rehearsal, Restarts, Scenario, Stalls, Summary};
use crate::server::clock;
use crate::split::{BasisPoints, PercentError};

/// What a rollout would do: thousands of them on a virtual clock.
///
/// Runs the real rollout and the real judge against simulated traffic, for a canary that behaves as
/// you say and for one that is as good as the old version, and tells when they would be rolled back
/// or promoted, by what, and how often falsely. With a service of a running proxy, or `--from`, traffic is what
/// was recorded in the last hour; otherwise nothing needs to run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    pointsman rehearse --rps 500 --canary-errors 2%\n  \
    pointsman rehearse shop                        # as it was in the last hour, of a running proxy\n  \
    pointsman rehearse --from shop.json --canary-errors 1%\n  \
    pointsman rehearse shop --config pointsman.toml --canary-latency x1.5 --after 10m\n  \
    pointsman rehearse --rps 20 --baseline-errors 1% --canary-errors 3% --seeds 10000 --svg out.svg\n  \
    pointsman rehearse --profile day.csv --steps 5,25,100 --hold 5m --json | jq .false_rollback")]
pub struct Rehearse {
    /// The service: of the config if one is given, else of a running proxy, with what that has recorded.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Traffic as it was recorded: a file with what `GET /v1/services/SERVICE/recording` answers.
    #[arg(long, value_name = "FILE", help_heading = "The traffic")]
    from: Option<PathBuf>,
    /// Take plan and judge from this config file [default: those of the proxy, or the defaults of both]
    #[arg(long, value_name = "FILE", help_heading = "The plan")]
    config: Option<PathBuf>,
    /// The pool to go to; may be left out if there is only one other.
    #[arg(long, value_name = "POOL", help_heading = "The plan")]
    to: Option<String>,
    /// Shares of the canary in percent, rising to 100.
    #[arg(long, value_delimiter = ',', value_parser = percent, value_name = "PERCENT,…",
          help_heading = "The plan")]
    steps: Option<Vec<BasisPoints>>,
    /// How long a step lasts at least.
    #[arg(long, value_parser = config::duration_or_zero, value_name = "DURATION",
          help_heading = "The plan")]
    hold: Option<Duration>,
    /// Requests at the canary that a step wants at least.
    #[arg(long, value_name = "NUMBER", help_heading = "The plan")]
    min_requests: Option<u64>,
    /// Requests per second [default: 500]
    #[arg(long, value_parser = values::rate, value_name = "NUMBER", allow_hyphen_values = true,
          help_heading = "The traffic")]
    rps: Option<f64>,
    /// Requests per second as recorded: a CSV file of `seconds,requests_per_second`.
    #[arg(long, value_name = "FILE", conflicts_with = "rps", help_heading = "The traffic")]
    profile: Option<PathBuf>,
    /// Clients keep to their side, and there are so many of them.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000),
          help_heading = "The traffic")]
    users: Option<u32>,
    /// The share of the users whose client is broken: all of its requests fail, on either version.
    #[arg(long, value_parser = values::share, value_name = "PERCENT", requires = "users",
          help_heading = "The traffic")]
    broken_users: Option<f64>,
    /// The share of requests that the old version fails [default: 0.1%]
    #[arg(long, value_parser = values::share, value_name = "PERCENT", allow_hyphen_values = true,
          help_heading = "Both versions")]
    baseline_errors: Option<f64>,
    /// The share that the new one fails, or fails more than what was recorded [default: as the old one]
    #[arg(long, value_parser = values::share, value_name = "PERCENT", allow_hyphen_values = true,
          help_heading = "Both versions")]
    canary_errors: Option<f64>,
    /// How long the old version takes: median and 99th percentile [default: 50ms,200ms]
    #[arg(long, value_parser = values::latency, value_name = "P50,P99", help_heading = "Both versions")]
    baseline_latency: Option<Latency>,
    /// How long the new one takes, or how many times as long [default: as the old one]
    #[arg(long, value_name = "P50,P99|xFACTOR", help_heading = "Both versions")]
    canary_latency: Option<CanaryLatency>,
    /// The new version is as good as the old one for so long.
    #[arg(long, value_parser = config::duration_or_zero, value_name = "DURATION",
          help_heading = "Both versions")]
    after: Option<Duration>,
    /// Upstreams of the old version and of the new one [default: those of the config, or one each]
    #[arg(long, value_parser = values::upstreams, value_name = "OLD,NEW", help_heading = "Both versions")]
    upstreams: Option<[u32; 2]>,
    /// Each upstream fails so much of its requests so often, for a second or so long on average, such as
    /// 30s,30% or 60s,0%-60%,3s.
    #[arg(long, value_parser = values::stalls, value_name = "EVERY,PERCENT[,DURATION]",
          help_heading = "What goes wrong")]
    stalls: Option<Stalls>,
    /// All upstreams of both versions do so at the same time, as when a database is away.
    #[arg(long, value_parser = values::stalls, value_name = "EVERY,PERCENT[,DURATION]",
          help_heading = "What goes wrong")]
    shared: Option<Stalls>,
    /// Each upstream stands still so often and for so long on average, and requests wait, such as 60s,500ms.
    #[arg(long, value_parser = values::pauses, value_name = "EVERY,DURATION",
          help_heading = "What goes wrong")]
    pauses: Option<Pauses>,
    /// The new version's upstreams are away: when, for how long, and how often from then on, such as 5m,2s.
    #[arg(long, value_parser = values::restarts, value_name = "AT,DURATION[,EVERY]",
          help_heading = "What goes wrong")]
    restart_canary: Option<Restarts>,
    /// The new version's upstreams take so many times as long at first, falling to usual, such as x2,90s.
    #[arg(long, value_parser = values::cold, value_name = "xFACTOR,DURATION",
          help_heading = "What goes wrong")]
    cold: Option<Cold>,
    /// Rollouts of each canary.
    #[arg(long, default_value_t = 1_000, value_name = "NUMBER",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000), allow_hyphen_values = true)]
    seeds: u64,
    /// The seed of the first; the same seeds do the same.
    #[arg(long, default_value_t = 1, value_name = "NUMBER",
          value_parser = clap::value_parser!(u64).range(..=u64::MAX / 2), allow_hyphen_values = true)]
    seed: u64,
    /// Write a drawing to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

impl Rehearse {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let recording = match self.recording().await? {
            Ok(recording) => recording,
            Err(ending) => return Ok(ending),
        };
        let path = self.config.as_deref();
        let config = path.map(|path| read(path).map(|config| (path, config))).transpose()?;
        let (planned, scenario, notes) = match self
            .prepared(config.as_ref().map(|(path, config)| (*path, &**config)), recording.as_ref())
        {
            Ok(prepared) => prepared,
            Err(error) => {
                eprintln!("pointsman: {error:#}");
                return Ok(Ending::Usage);
            }
        };
        let rehearsed = self.rehearse(planned.service, scenario, notes)?;
        if let Some(path) = &self.svg {
            write_over(path, svg::draw(&rehearsed).as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        match self.reach.json {
            true => print(&json::told(&rehearsed)?),
            false => print(&rehearsed.told(terminal::is_coloured(&std::io::stdout()))),
        }
        Ok(Ending::Done)
    }

    /// The plan, what it meets, and what is not simulated.
    fn prepared(
        &self,
        config: Option<(&Path, &Config)>,
        recording: Option<&Recording>,
    ) -> anyhow::Result<(Planned, Scenario, Vec<String>)> {
        let planned = self.planned(config, recording)?;
        let mut notes = planned.notes();
        let scenario = self.scenario(&planned, recording, &mut notes)?;
        Ok((planned, scenario, notes))
    }

    /// Rehearses, on all processors.
    fn rehearse(
        &self,
        service: Option<String>,
        scenario: Scenario,
        notes: Vec<String>,
    ) -> anyhow::Result<Rehearsed> {
        let clock = clock::system();
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let seeds = self.seed..self.seed + self.seeds;
        let identical = Rehearsal::of(scenario.with_identical_canary())?;
        let is_identical = scenario.is_identical();
        let (from, to) = (scenario.plan.from.clone(), scenario.plan.to.clone());
        let (steps, hold) = (scenario.plan.steps.clone(), scenario.plan.hold);
        let steady = self.profile.is_none().then(|| scenario.traffic.at(Duration::ZERO));
        let asked = json::Asked::of(&scenario, steady);
        let (traffic, behaves) = (self.traffic_words(&scenario), self.behaviour_words(&scenario));
        let canary = Rehearsal::of(scenario)?;
        let total = self.seeds * if is_identical { 1 } else { 2 };
        let begun = clock.now();
        let (canary_runs, identical_runs) = progress::shown(total, |done: &AtomicU64| {
            let canary_runs = match is_identical {
                true => Vec::new(),
                false => canary.run_all(seeds.clone(), threads, done),
            };
            (canary_runs, identical.run_all(seeds, threads, done))
        });
        let took = clock.now().duration_since(begun);
        Ok(Rehearsed {
            service,
            from,
            to,
            steps,
            hold,
            traffic,
            behaves,
            asked,
            first_seed: self.seed,
            canary: (!is_identical).then(|| Summary::of(&canary_runs)),
            canary_runs,
            identical: Summary::of(&identical_runs),
            identical_runs,
            took,
            notes,
        })
    }
}

fn percent(text: &str) -> Result<BasisPoints, PercentError> {
    BasisPoints::from_percent(text)
}

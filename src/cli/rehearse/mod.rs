//! `rehearse`: a plan and how the new version might behave in, what a rollout would make of it out.

mod curve;
mod heard;
mod json;
mod plot;
mod progress;
mod svg;
mod values;
mod words;

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;

use self::heard::{Heard, played, recorded_words};
use self::values::CanaryLatency;
use super::input::Input;
use super::{Ending, Reach, print};
use crate::clock::in_words;
use crate::config::{self, Config};
use crate::files::{FileError, write_over};
use crate::rehearsal::{
    Behaviour, Cold, Crowd, Lasts, Latency, Pauses, Rehearsal, Restarts, Run, Scenario, Stalls,
    Summary, Traffic, World,
};
use crate::rollout::{Plan, RolloutSettings, Wishes};
use crate::server::clock;
use crate::slo::Slo;
use crate::split::{BasisPoints, PercentError, Split};

/// Requests a second, and the share of them that fails, if nobody says.
const RATE: f64 = 500.0;
const ERRORS: f64 = 0.001;

/// How often a user asks whom nobody has counted: once in so many seconds.
const USER_ASKS: f64 = 20.0;

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

/// What was rehearsed and what came of it.
pub struct Rehearsed {
    service: Option<String>,
    from: Arc<str>,
    to: Arc<str>,
    steps: Vec<BasisPoints>,
    hold: Duration,
    traffic: String,
    /// How both versions behave.
    behaves: String,
    /// What was asked, for scripts.
    asked: json::Asked,
    first_seed: u64,
    /// None if it is as good as the old version.
    canary: Option<Summary>,
    canary_runs: Vec<Run>,
    identical: Summary,
    identical_runs: Vec<Run>,
    /// Real time.
    took: Duration,
    notes: Vec<String>,
}

/// A plan and where it is from.
struct Planned {
    service: Option<String>,
    plan: Plan,
    /// Of the pool that traffic leaves, and of the other.
    upstreams: [u32; 2],
    is_sticky: bool,
    slo: Option<Arc<Slo>>,
}

impl Rehearse {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let heard = match self.heard().await? {
            Ok(heard) => heard,
            Err(ending) => return Ok(ending),
        };
        let path = self.config.as_deref();
        let config = path.map(|path| read(path).map(|config| (path, config))).transpose()?;
        let (planned, scenario, notes) = match self
            .prepared(config.as_ref().map(|(path, config)| (*path, &**config)), heard.as_ref())
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
            false => print(&rehearsed.told(is_coloured())),
        }
        Ok(Ending::Done)
    }

    /// The plan, what it meets, and what is not simulated.
    fn prepared(
        &self,
        config: Option<(&Path, &Config)>,
        heard: Option<&Heard>,
    ) -> anyhow::Result<(Planned, Scenario, Vec<String>)> {
        let planned = self.planned(config, heard)?;
        let mut notes = notes(&planned);
        let scenario = self.scenario(&planned, heard, &mut notes)?;
        Ok((planned, scenario, notes))
    }

    /// The plan of the file's service, of what was recorded, or the default one.
    fn planned(
        &self,
        config: Option<(&Path, &Config)>,
        heard: Option<&Heard>,
    ) -> anyhow::Result<Planned> {
        let wishes = Wishes {
            to: self.to.clone(),
            steps: self.steps.clone(),
            hold: self.hold,
            min_requests: self.min_requests,
            ..Wishes::default()
        };
        let Some((path, config)) = config else {
            if let Some(heard) = heard {
                return heard.planned(&wishes);
            }
            let pools = [("stable".into(), 1), ("canary".into(), 1)];
            let split = Split::all_to("stable".into());
            let plan = Plan::new(&RolloutSettings::default(), &wishes, &pools, &split)?;
            return Ok(Planned {
                service: None,
                plan,
                upstreams: [1, 1],
                is_sticky: false,
                slo: None,
            });
        };
        let heard_of = heard.map(Heard::service);
        let service = self.chosen(config, path, heard_of)?;
        let mut pools: Vec<(Arc<str>, usize)> =
            service.pools.iter().map(|pool| (pool.name.clone(), pool.upstreams.len())).collect();
        if let [(_, upstreams)] = pools[..] {
            pools.push(("canary".into(), upstreams));
        }
        // Whoever has most of the traffic now is who a rollout would start from.
        let busiest = service.split.parts().iter().max_by_key(|(_, share)| *share);
        let from = match heard.map(Heard::from) {
            Some(from) if service.pools.iter().all(|pool| pool.name != *from) => {
                let names = service.pools.iter().map(|pool| format!("`{}`", pool.name));
                bail!(
                    "most requests that were recorded went to pool `{from}`; in {} service `{}` has {}",
                    path.display(),
                    service.name,
                    names.collect::<Vec<_>>().join(", ")
                )
            }
            Some(from) => from.clone(),
            None => busiest.map(|(pool, _)| pool.clone()).context("no pool has traffic")?,
        };
        let plan = Plan::new(&service.rollout, &wishes, &pools, &Split::all_to(from))
            .with_context(|| format!("no rollout of {} can be planned", service.name))?;
        let upstreams = |name: &Arc<str>| {
            let found = pools.iter().find(|(pool, _)| pool == name);
            found.map_or(1, |(_, upstreams)| (*upstreams).clamp(1, 1_000) as u32)
        };
        let upstreams = [upstreams(&plan.from), upstreams(&plan.to)];
        let is_sticky = !service.sticky.keys.is_empty();
        let (name, slo) = (service.name.to_string(), service.slo.clone());
        Ok(Planned { service: Some(name), plan, upstreams, is_sticky, slo })
    }

    /// The service that is named, or was recorded, or the only one.
    fn chosen<'c>(
        &self,
        config: &'c Config,
        path: &Path,
        heard_of: Option<&str>,
    ) -> anyhow::Result<&'c config::Service> {
        let names = config.services.iter().map(|service| &*service.name);
        match (self.service.as_deref().or(heard_of), &config.services[..]) {
            (Some(name), _) => config.service(name).ok_or_else(|| {
                let known = config::suggest(name, names);
                anyhow!("{} has no service `{name}`{known}", path.display())
            }),
            (None, [only]) => Ok(only),
            (None, _) => {
                let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                bail!("say which service: {} has {}", path.display(), names.join(", "))
            }
        }
    }

    fn scenario(
        &self,
        planned: &Planned,
        heard: Option<&Heard>,
        notes: &mut Vec<String>,
    ) -> anyhow::Result<Scenario> {
        let recorded = heard.map(|heard| heard.recorded.clone());
        let traffic = match &self.profile {
            None => {
                let rate = recorded.as_ref().map(|recorded| recorded.rate());
                Traffic::steady(rate.or(self.rps).unwrap_or(RATE)).context("no such rate")?
            }
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Traffic::parse(&text).with_context(|| path.display().to_string())?
            }
        };
        let stable = Behaviour {
            // Of what was recorded, what a canary fails more is asked for.
            errors: if recorded.is_some() { 0.0 } else { self.baseline_errors.unwrap_or(ERRORS) },
            latency: self.baseline_latency.unwrap_or_default(),
        };
        let canary = Behaviour {
            errors: self.canary_errors.unwrap_or(stable.errors),
            latency: match self.canary_latency {
                None => stable.latency,
                Some(CanaryLatency::Of(latency)) => latency,
                Some(CanaryLatency::Times(factor)) => {
                    stable.latency.times(factor).context("the canary's latency is out of range")?
                }
            },
        };
        let crowd = match (self.users, planned.is_sticky) {
            (Some(users), _) => {
                let broken = self.broken_users.unwrap_or_default();
                Some(Crowd { broken, ..Crowd::of(users) })
            }
            (None, true) if recorded.is_some() => {
                notes.push(
                    "clients keep to their side, but requests are counted: nobody has \
                            recorded who asked"
                        .into(),
                );
                None
            }
            (None, true) => {
                let users = (traffic.peak() * USER_ASKS).clamp(100.0, 200_000.0) as u32;
                let users_told = words::grouped(u64::from(users));
                notes.push(format!(
                    "clients keep to their side: {users_told} users are supposed, --users says \
                     another number"
                ));
                Some(Crowd::of(users))
            }
            (None, false) => None,
        };
        let share = planned.plan.judging.settings.budget_share;
        let rate = traffic.at(Duration::ZERO);
        let budget = planned.slo.as_ref().and_then(|slo| slo.bears(share, rate));
        Ok(Scenario {
            plan: planned.plan.clone(),
            traffic,
            stable,
            canary,
            after: self.after.unwrap_or_default(),
            crowd,
            upstreams: match &recorded {
                Some(recorded) => played(recorded, planned.upstreams[1]),
                None => self.upstreams.unwrap_or(planned.upstreams),
            },
            budget,
            world: self.world(),
            recorded,
        })
    }

    fn world(&self) -> World {
        World {
            stalls: self.stalls,
            shared: self.shared,
            pauses: self.pauses,
            restarts: self.restart_canary,
            cold: self.cold,
            watched: None,
        }
    }

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

    fn traffic_words(&self, scenario: &Scenario) -> String {
        let rate = match &self.profile {
            Some(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("traffic as in {}", name.display())
            }
            None if scenario.recorded.is_some() => {
                format!("{:.1} requests/s as recorded", scenario.traffic.at(Duration::ZERO))
            }
            None => format!("{} requests/s", scenario.traffic.at(Duration::ZERO)),
        };
        match scenario.crowd {
            Some(crowd) => {
                let users = words::grouped(u64::from(crowd.users));
                let plural = if crowd.users == 1 { "" } else { "s" };
                let broken = match crowd.broken > 0.0 {
                    true => format!(", {} of them broken", words::share_of(crowd.broken)),
                    false => String::new(),
                };
                format!("{rate} of {users} user{plural}{broken}")
            }
            None => rate,
        }
    }

    fn behaviour_words(&self, scenario: &Scenario) -> String {
        let errors = |of: Behaviour| words::share_of(of.errors);
        let latency = |of: Behaviour| {
            let (p50, p99) = of.latency.quantiles();
            format!("p50 {} p99 {}", words::short(p50), words::short(p99))
        };
        if let Some(recorded) = &scenario.recorded {
            return recorded_words(scenario, recorded);
        }
        let Scenario { stable, canary, after, .. } = *scenario;
        let beside = |one: String, other: String| match one == other {
            true => one,
            false => format!("{one} → {other}"),
        };
        let errors = beside(errors(stable), errors(canary));
        let latency = beside(latency(stable), latency(canary));
        let later = match after.is_zero() {
            true => String::new(),
            false => format!(", from {} on", in_words(after)),
        };
        let wrong = world_words(scenario);
        format!("errors {errors}, latency {latency}{later}{wrong}")
    }
}

impl Rehearsed {
    /// What was rehearsed, in a line.
    fn title(&self) -> String {
        let name = self.service.as_ref().map_or_else(String::new, |name| format!("{name}: "));
        format!("{name}{} → {} at {}", self.from, self.to, self.traffic)
    }

    fn virtual_hours(&self) -> f64 {
        let canary = self.canary.as_ref().map_or(Duration::ZERO, |canary| canary.virtual_time);
        (canary + self.identical.virtual_time).as_secs_f64() / 3_600.0
    }

    /// All of it, for people.
    fn told(&self, is_coloured: bool) -> String {
        let rollouts = self.identical.runs + self.canary.as_ref().map_or(0, |canary| canary.runs);
        let steps: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        let runs = if self.canary.is_some() { &self.canary_runs } else { &self.identical_runs };
        let mut text = format!(
            "{}\n{}\nsteps {} %, each at least {}\n\n{}\n\n{}\n\n",
            self.title(),
            self.behaves,
            steps.join(", "),
            in_words(self.hold),
            words::told(self),
            plot::plot(runs, is_coloured),
        );
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text.push_str(&format!(
            "{} rollout{}, {} virtual hours, in {:.1} s.",
            words::grouped(rollouts),
            if rollouts == 1 { "" } else { "s" },
            match self.virtual_hours() {
                hours @ ..10.0 => format!("{hours:.1}"),
                hours => words::grouped(hours.round() as u64),
            },
            self.took.as_secs_f64(),
        ));
        text
    }
}

/// What goes wrong, a line each.
fn world_words(scenario: &Scenario) -> String {
    let World { stalls, shared, pauses, restarts, cold, .. } = scenario.world;
    let lasts = |lasts: Lasts| match lasts {
        Lasts::Exactly(time) => in_words(time),
        Lasts::About(time) => format!("about {}", in_words(time)),
    };
    let stalled = |who: &str, Stalls { every, share, lasts: time }: Stalls| {
        let share = match share {
            [least, most] if least == most => words::share_of(most),
            [least, most] => format!("{} to {}", words::share_of(least), words::share_of(most)),
        };
        format!(
            "{who} fails {share} of its requests for {} about every {}",
            lasts(time),
            in_words(every)
        )
    };
    let mut lines = Vec::new();
    if scenario.upstreams != [1, 1] {
        let [stable, canary] = scenario.upstreams;
        lines.push(format!("upstreams: {stable} of the old version, {canary} of the new one"));
    }
    lines.extend(stalls.map(|stalls| stalled("each upstream", stalls)));
    lines.extend(shared.map(|shared| stalled("everything together", shared)));
    lines.extend(pauses.map(|Pauses { every, lasts: time }| {
        format!("each upstream stands still for {} about every {}", lasts(time), in_words(every))
    }));
    lines.extend(restarts.map(|Restarts { at, lasts, every }| {
        let again = every.map(|every| format!(" and every {} from then on", in_words(every)));
        format!(
            "the new version is away for {} after {}{}",
            in_words(lasts),
            in_words(at),
            again.unwrap_or_default()
        )
    }));
    lines.extend(cold.map(|Cold { factor, lasts }| {
        format!("the new version takes {factor} times as long at first, for {}", in_words(lasts))
    }));
    lines.into_iter().map(|line| format!("\n{line}")).collect()
}

/// What of a plan a rehearsal does not do.
fn notes(planned: &Planned) -> Vec<String> {
    let plan = &planned.plan;
    let has_hooks = plan.hooks != Default::default();
    let left_out = [
        (has_hooks || !plan.smoke.is_empty(), "hooks and smoke requests are taken to pass at once"),
        (plan.judging.prometheus.is_some(), "Prometheus is not asked"),
        (planned.slo.is_some(), "freezes and burn rates of the error budget are not simulated"),
        (!plan.judging.metrics.is_empty(), "metrics that upstreams report are not simulated"),
        (!plan.judging.settings.enabled, "the judge is off in the config: only the guard judges"),
    ];
    let there = left_out.into_iter().filter(|(is_there, _)| *is_there);
    there.map(|(_, note)| note.to_string()).collect()
}

/// A config file, its mistakes shown the way `check` does.
fn read(path: &Path) -> anyhow::Result<Arc<Config>> {
    let shown = path.display().to_string();
    match Input::File(path.to_path_buf()).written()?.parse() {
        Ok((config, _)) => Ok(config),
        Err(FileError::Problems(rejected)) => {
            eprintln!("{}\n", rejected.render(super::check::is_coloured()));
            bail!("{shown} cannot be used")
        }
        Err(error) => Err(error.into()),
    }
}

fn percent(text: &str) -> Result<BasisPoints, PercentError> {
    BasisPoints::from_percent(text)
}

fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

//! `doctor`: a running proxy or a file in, what is missing for production and what mends it out.

mod here;
mod picture;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::api::{Api, Call};
use super::input::Input;
use super::{Ending, Reach, print};
use crate::admin::wire::{Diagnosis, Finding, FindingState};
use crate::doctor::{Facts, Good, Here, Seen, check, diagnose};
use crate::server::clock;

/// Say what is in place for production, what is missing, why it matters and the lines that mend it.
///
/// The running proxy is asked; what it cannot see (the clock, the service manager, runbooks) is looked at on
/// this machine, if the proxy runs here. With `--config` the file alone is looked at: what only a running proxy or
/// its machine knows is said to be left out. docs/doctor.md has all checks.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman doctor\n  pointsman doctor --config pointsman.toml\n  \
                        pointsman doctor --json | jq '.findings[] | select(.state == \"missing\") | .check'\n\n\
                        Exit codes: 0 all is well, 1 something is missing, 4 nothing is missing and \
                        something is not known yet, 69 the admin API cannot be reached."
)]
pub struct Doctor {
    /// Look at this file (- for standard input) instead of a running proxy.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show what is well too, each with what there is; without, how many.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let diagnosis = match &self.config {
            Some(file) => of_file(file.clone())?,
            None => self.of_proxy().await?,
        };
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&diagnosis)?,
            false => picture::picture(&diagnosis, self.all, picture::Screen::of_process()),
        });
        Ok(ending(&diagnosis.findings))
    }

    async fn of_proxy(&self) -> anyhow::Result<Diagnosis> {
        let clock = clock::system();
        let asked = clock.now();
        let mut told: Diagnosis = Api(&self.reach).ask(Call::get("/v1/doctor")).await?;
        // Before anything else here takes its time.
        let (heard, took) = (clock.unix_seconds(), clock.now().saturating_duration_since(asked));
        if !self.reach.admin.is_here() {
            return Ok(told);
        }
        let here = here::look().await;
        let here = Here { skew: Some(skew(told.at, heard, took)), ..here };
        let stop = told.stop_seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
        let facts = Facts { here: Some(here), stop, now: clock.wall_time(), ..Facts::default() };
        let own = Diagnosis::of(&facts, &diagnose(&facts)).findings;
        put_own(&mut told.findings, own);
        Ok(told)
    }
}

/// How far two clocks are apart at least, of which one told its time at some moment between asking and
/// hearing: Unix times in seconds, and how long that took.
fn skew(told: f64, heard: f64, took: Duration) -> Duration {
    let least = match told > heard {
        true => told - heard,
        false => heard - told - took.as_secs_f64(),
    };
    Duration::try_from_secs_f64(least.max(0.0)).unwrap_or(Duration::MAX)
}

/// Puts what only the command can see in the place of what the proxy says of the same; a proxy of another
/// version may have other checks, in another order.
fn put_own(findings: &mut [Finding], own: Vec<Finding>) {
    let is_own = |own: &Finding| check(&own.check).is_some_and(|check| check.seen == Seen::Here);
    for own in own.into_iter().filter(is_own) {
        if let Some(finding) = findings.iter_mut().find(|finding| finding.check == own.check) {
            *finding = own;
        }
    }
}

/// What a file shows by itself, wherever it is to be used.
fn of_file(file: PathBuf) -> anyhow::Result<Diagnosis> {
    let written = Input::of(Some(file))?.written()?;
    let clock = clock::system();
    let (config, problems) = written.check(clock.unix_seconds() as u64);
    let Some(config) = config else {
        eprintln!("{}\n", problems.render_of(&written.texts, super::check::is_coloured()));
        anyhow::bail!("{} cannot be used; `pointsman check` says the same", written.texts.main.path)
    };
    let certificates = config
        .certificates
        .pairs()
        .map(|(file, pair)| Good { name: file.display().to_string(), until: pair.about.until });
    let facts = Facts {
        now: clock.wall_time(),
        config: Some(&config),
        certificates: Some(certificates.collect()),
        ..Facts::default()
    };
    Ok(Diagnosis::of(&facts, &diagnose(&facts)))
}

fn ending(findings: &[Finding]) -> Ending {
    let any = |state| findings.iter().any(|finding| finding.state == state);
    match (any(FindingState::Missing), any(FindingState::Unknown)) {
        (true, _) => Ending::No,
        (false, true) => Ending::Open,
        (false, false) => Ending::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::doctor::{CHECKS, Remedy};

    #[test]
    fn commands_that_mend_something_are_commands() {
        for check in &CHECKS {
            if let Remedy::Commands(_) = check.remedy {
                for line in check.remedy.lines_for(Some("shop/blue")) {
                    let words = line.strip_prefix("pointsman ").expect("one of ours");
                    let understood = Cli::understand(words.split(' '));
                    assert!(understood.is_ok(), "{}: {line}: {understood:?}", check.id);
                }
            }
        }
    }

    #[test]
    fn clocks_are_apart_by_what_asking_cannot_explain() {
        let secs = Duration::from_secs;
        assert_eq!(skew(100.0, 103.0, secs(4)), secs(0), "told when it was asked");
        assert_eq!(skew(100.0, 110.0, secs(4)), secs(6));
        assert_eq!(skew(110.0, 100.0, secs(4)), secs(10), "told before it was heard");
        assert_eq!(skew(f64::INFINITY, 100.0, secs(4)), Duration::MAX);
    }

    #[test]
    fn what_only_the_command_sees_is_found_by_its_name() {
        let facts = Facts { here: Some(Here::default()), ..Facts::default() };
        let own = Diagnosis::of(&facts, &diagnose(&facts)).findings;
        let mut told = Diagnosis::of(&Facts::default(), &diagnose(&Facts::default())).findings;
        // Of another version: one is not known there, and the order is another.
        told.retain(|finding| finding.check != "clock");
        told.reverse();
        put_own(&mut told, own);
        let state = |id: &str| told.iter().find(|it| it.check == id).map(|finding| finding.state);
        assert_eq!(state("runbooks"), Some(FindingState::Missing));
        assert_eq!((state("clock"), state("limits")), (None, Some(FindingState::Skipped)));
    }
}

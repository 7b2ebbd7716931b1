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
use crate::doctor::{Facts, Good, Seen, check, diagnose};
use crate::server::clock;

/// Say what is in place for production, what is missing, why it matters and the lines that mend it.
///
/// The running proxy is asked; what it cannot see (the clock, the service manager, runbooks) is looked at on
/// this machine, if the proxy runs here. With `--config` no proxy is needed: what the file says is looked at,
/// and what only a running proxy knows is said to be left out. docs/doctor.md has all checks.
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
            Some(file) => of_file(file.clone()).await?,
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
        let took = clock.now().saturating_duration_since(asked);
        if !self.reach.admin.is_here() {
            return Ok(told);
        }
        let mut here = here::look().await;
        // It was made at some moment between asking and hearing.
        let off = (clock.unix_seconds() - told.at).abs() - took.as_secs_f64();
        here.skew = Some(Duration::try_from_secs_f64(off.max(0.0)).unwrap_or(Duration::MAX));
        let stop = told.stop_seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
        let facts = Facts { here: Some(here), stop, now: clock.wall_time(), ..Facts::default() };
        let own = Diagnosis::of(&facts, &diagnose(&facts)).findings;
        for (finding, own) in told.findings.iter_mut().zip(own) {
            let is_own = check(&own.check).is_some_and(|check| check.seen == Seen::Here);
            if is_own && own.check == finding.check {
                *finding = own;
            }
        }
        Ok(told)
    }
}

/// What a file shows without a proxy.
async fn of_file(file: PathBuf) -> anyhow::Result<Diagnosis> {
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
        here: Some(here::look().await),
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
}

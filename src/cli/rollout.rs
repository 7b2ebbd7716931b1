//! `rollout`: a service and what is wished in, a rollout started, shown or given an order out.

mod evidence;

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use http::Method;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use super::api::{Api, Call, segment};
use super::away::Away;
use super::table::{percent, shortened, table};
use super::{Ending, Reach, print};
use crate::admin::wire;

/// How often a rollout is looked at by `--wait` and `--watch`.
const LOOK: Duration = Duration::from_millis(500);

/// Move a service from one pool to another, in steps, and back when it fails.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  pointsman rollout start shop --to green --wait\n  \
                        pointsman rollout start shop --to green --steps 1,10,50,100 --hold 2m\n  \
                        pointsman rollout status shop --watch\n  pointsman rollout abort shop")]
pub struct Rollout {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start one.
    Start(Start),
    /// Show the one under way, else the last one.
    Status(Status),
    /// Show all that are remembered.
    List(Of),
    /// Print one with its evidence as Markdown, ready for a post-mortem.
    Report(Report),
    /// Stay at the step that it is at.
    Pause(Given),
    /// Go on after a pause; what failed is tried again.
    Resume(Given),
    /// Take the next step now.
    Step(Given),
    /// Go to the end now.
    Promote(Given),
    /// Go back to the old pool.
    Abort(Abort),
}

#[derive(Debug, Args)]
struct Start {
    /// The service.
    service: String,
    /// The pool to go to; may be left out if there is only one other.
    #[arg(long, value_name = "POOL")]
    to: Option<String>,
    /// `canary`, `blue-green`, `all-at-once` or `rolling`; what the config says if left out.
    #[arg(long, value_parser = ["canary", "blue-green", "all-at-once", "rolling"])]
    strategy: Option<String>,
    #[command(flatten)]
    pace: Pace,
    /// Even if nobody of the pool accepts connections yet: it waits for one.
    #[arg(long)]
    force: bool,
    /// Wait for the end: exit code 0 promoted, 3 rolled back or aborted, 4 paused. Where somebody moves the
    /// traffic meanwhile, 0 if all of it is at the target then, 4 if a part is, 3 if none. It waits for a
    /// proxy that is started again too. Ctrl-C ends the wait (130) and not the rollout.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    reach: Reach,
}

/// How a rollout goes, where the config does not say, and why.
#[derive(Debug, Args)]
pub(super) struct Pace {
    /// Shares of the target in percent, rising to 100.
    #[arg(long, value_delimiter = ',', value_name = "PERCENT,…", value_parser = super::flags::share)]
    pub(super) steps: Option<Vec<serde_json::Number>>,
    /// How long a step lasts at least.
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub(super) hold: Option<String>,
    /// Requests at the target that a step wants at least.
    #[arg(long, value_name = "NUMBER")]
    pub(super) min_requests: Option<u64>,
    /// How long the old pool is kept warm after the last step.
    #[arg(long, value_name = "DURATION", value_parser = length)]
    pub(super) watch: Option<String>,
    /// Without the judge: only the guard of the config takes it back.
    #[arg(long)]
    pub(super) no_judge: bool,
    /// Start it, and let it go on for 24 hours, in spite of a freeze or of what the error budget says.
    #[arg(long, requires = "reason")]
    pub(super) override_freeze: bool,
    /// Why; kept with the rollout.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Args)]
struct Status {
    /// The service.
    service: String,
    /// Show every change until it ends.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
struct Of {
    /// The service.
    service: String,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
struct Report {
    /// The service.
    service: String,
    /// The rollout's number; the one under way, else the last one, if left out.
    id: Option<u64>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
struct Given {
    /// The service.
    service: String,
    /// Why; kept with the rollout.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
struct Abort {
    /// Even if nobody of the old pool would take requests.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    given: Given,
}

/// A length of time, as it is sent.
fn length(text: &str) -> Result<String, crate::config::BadDuration> {
    crate::config::duration_or_zero(text).map(|_| text.to_string())
}

impl Rollout {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        match self.verb {
            Verb::Start(start) => start.run().await,
            Verb::Status(status) => status.run().await,
            Verb::List(of) => of.run().await,
            Verb::Report(report) => report.run().await,
            Verb::Pause(given) => given.run("pause", false).await,
            Verb::Resume(given) => given.run("resume", false).await,
            Verb::Step(given) => given.run("step", false).await,
            Verb::Promote(given) => given.run("promote", false).await,
            Verb::Abort(Abort { force, given }) => given.run("abort", force).await,
        }
    }
}

impl Start {
    async fn run(self) -> anyhow::Result<Ending> {
        let Pace { steps, hold, min_requests, watch, no_judge, override_freeze, reason } =
            self.pace;
        let body = wire::StartRollout {
            to: self.to,
            strategy: self.strategy,
            steps,
            hold,
            min_requests,
            watch,
            judge: no_judge.then_some(false),
            override_freeze,
            force: self.force,
            reason,
            author: Some(super::author()),
        };
        let path = format!("/v1/services/{}/rollout", segment(&self.service));
        let call = Call::json(Method::POST, &path, &body);
        let rollout: wire::Rollout = Api(&self.reach)
            .order(call, || format!("no rollout of {} was started", self.service))
            .await?;
        super::capacity::warn(&rollout.warnings);
        if self.wait {
            return follow(&self.reach, &self.service, rollout, true).await;
        }
        show(&rollout, self.reach.json)?;
        Ok(Ending::Done)
    }
}

impl Status {
    async fn run(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/services/{}/rollout", segment(&self.service));
        let rollout: wire::Rollout = Api(&self.reach).ask(Call::get(&path)).await?;
        if self.watch {
            return follow(&self.reach, &self.service, rollout, false).await;
        }
        show(&rollout, self.reach.json)?;
        Ok(Ending::Done)
    }
}

impl Of {
    async fn run(self) -> anyhow::Result<Ending> {
        let path = format!("/v1/services/{}/rollouts", segment(&self.service));
        let rollouts: Vec<wire::Rollout> = Api(&self.reach).ask(Call::get(&path)).await?;
        let row = |rollout: &wire::Rollout| {
            vec![
                rollout.id.to_string(),
                super::events::moment(rollout.started),
                rollout.strategy.clone(),
                match rollout.deploys.as_ref().and_then(|deploys| deploys.tag.as_ref()) {
                    Some(tag) => format!("{} → {} ({tag})", rollout.from, rollout.to),
                    None => format!("{} → {}", rollout.from, rollout.to),
                },
                rollout.state.clone(),
                rollout.author.clone(),
                shortened(&rollout.status),
            ]
        };
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&rollouts)?,
            false => {
                let headings = [">ID", "STARTED", "STRATEGY", "POOLS", "STATE", "BY", "STATUS"];
                table(&headings, rollouts.iter().map(row))
            }
        });
        Ok(Ending::Done)
    }
}

impl Report {
    async fn run(self) -> anyhow::Result<Ending> {
        let service = segment(&self.service);
        let id = match self.id {
            Some(id) => id,
            None => {
                let path = format!("/v1/services/{service}/rollout");
                let newest: wire::Rollout = Api(&self.reach).ask(Call::get(&path)).await?;
                newest.id
            }
        };
        let path = format!("/v1/services/{service}/rollouts/{id}/report");
        let report: wire::RolloutReport = Api(&self.reach).ask(Call::get(&path)).await?;
        match self.reach.json {
            true => print(&serde_json::to_string_pretty(&report)?),
            false => print(report.markdown.trim_end()),
        }
        Ok(Ending::Done)
    }
}

impl Given {
    async fn run(self, verb: &str, force: bool) -> anyhow::Result<Ending> {
        let path = format!("/v1/services/{}/rollout/{verb}", segment(&self.service));
        let (reason, author) = (self.reason, Some(super::author()));
        let body = wire::OrderRollout { force, reason, author };
        let rollout: wire::Rollout =
            Api(&self.reach).ask(Call::json(Method::POST, &path, &body)).await?;
        show(&rollout, self.reach.json)?;
        Ok(Ending::Done)
    }
}

/// Shows every change of a rollout until it ends, or pauses where somebody waits for it, or Ctrl-C is
/// pressed: then it goes on all the same.
pub(super) async fn follow(
    reach: &Reach,
    service: &str,
    first: wire::Rollout,
    ends_at_pause: bool,
) -> anyhow::Result<Ending> {
    let id = first.id;
    // From before the first line on: who reads that may press it.
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot hear Ctrl-C")?;
    tokio::select! {
        ended = follow_on(reach, service, first, ends_at_pause) => ended,
        _ = interrupts.recv() => {
            eprintln!(
                "rollout {id} goes on; `pointsman rollout abort {service}` takes its traffic back, \
                 `pointsman rollout status {service} --watch` follows it again"
            );
            Ok(Ending::Interrupted)
        }
    }
}

async fn follow_on(
    reach: &Reach,
    service: &str,
    first: wire::Rollout,
    ends_at_pause: bool,
) -> anyhow::Result<Ending> {
    // Of this one alone: what came before it does not change any more.
    let path = format!("/v1/services/{}/rollouts/{}", segment(service), first.id);
    let (mut rollout, mut away) = (first, Away::ordered(reach));
    let mut told = String::new();
    loop {
        let line = line(&rollout);
        // Seconds and requests that count down are not worth a line each.
        let stands = format!("{} {} {}", rollout.state, rollout.steps_taken, digits_out(&line));
        if stands != told {
            match reach.json {
                true => print(&serde_json::to_string(&rollout)?),
                false => print(&line),
            }
            told = stands;
        }
        match &*rollout.state {
            "running" => {}
            "paused" if !ends_at_pause => {}
            "paused" => return Ok(Ending::Open),
            "promoted" => return Ok(Ending::Done),
            "superseded" => return overtaken(reach, &rollout).await,
            _ => return Ok(Ending::Back),
        }
        sleep(LOOK).await;
        rollout = away.heard(&path).await?;
    }
}

/// What became of a version whose rollout somebody ended by moving the traffic: that may have brought it
/// all that it was to get.
async fn overtaken(reach: &Reach, rollout: &wire::Rollout) -> anyhow::Result<Ending> {
    let path = format!("/v1/services/{}", segment(&rollout.service));
    let service: wire::Service = Away::ordered(reach).heard(&path).await?;
    let pool = service.pools.iter().find(|pool| pool.name == rollout.to);
    // The pool may have back what it had.
    let is_it =
        |pool: &&wire::Pool| rollout.deploys.is_none() || pool.deployed_by == Some(rollout.id);
    let weight = pool.filter(is_it).map_or(0.0, |pool| pool.weight);
    if weight == 0.0 || rollout.strategy == "rolling" {
        return Ok(Ending::Back);
    }
    let (pool, revision, share) = (&rollout.to, service.revision, percent(weight));
    eprintln!("pool {pool} was given {share} of the traffic: revision {revision}");
    Ok(if weight == 100.0 { Ending::Done } else { Ending::Open })
}

fn digits_out(line: &str) -> String {
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Where a rollout is, in a line.
pub(super) fn line(rollout: &wire::Rollout) -> String {
    let wire::Rollout { id, service, .. } = rollout;
    let status = match &rollout.waits_for[..] {
        [] => rollout.status.clone(),
        waits_for => format!("{} (not yet: {})", rollout.status, waits_for.join(", ")),
    };
    let tag = rollout.deploys.as_ref().and_then(|deploys| deploys.tag.as_ref());
    let to = match tag {
        Some(tag) => format!("{} ({tag})", rollout.to),
        None => rollout.to.clone(),
    };
    let share = percent(rollout.share);
    let counts = match rollout.all.requests {
        0 => String::new(),
        requests => {
            let errors = percent(rollout.all.errors);
            format!(" ({requests} requests, {errors} failed)")
        }
    };
    match &*rollout.strategy {
        "rolling" => format!("{service} rollout {id}: {to}{counts}: {status}"),
        _ => format!("{service} rollout {id}: {to} at {share}{counts}: {status}"),
    }
}

fn show(rollout: &wire::Rollout, json: bool) -> anyhow::Result<()> {
    if json {
        print(&serde_json::to_string_pretty(rollout)?);
        return Ok(());
    }
    print(&line(rollout));
    if let Some(evidence) = evidence::tables(rollout) {
        print(&evidence);
    }
    if !rollout.verbs.is_empty() {
        let (service, verbs) = (&rollout.service, rollout.verbs.join("|"));
        print(&format!("next: pointsman rollout {verbs} {service}"));
    }
    Ok(())
}

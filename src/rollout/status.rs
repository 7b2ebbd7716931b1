//! A rollout for people: where it is, what it waits for, and what to type next.

use std::time::Duration;

use super::{Outcome, Rollout, Stage, Strategy};
use crate::clock::WallTime;
use crate::judge::Counts;
use crate::split::BasisPoints;

/// Where a rollout is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// `running`, `paused`, `promoted`, `rolled-back`, `aborted`, `failed` or `superseded`.
    pub state: &'static str,
    /// What it does or waits for, or how it ended.
    pub words: String,
    /// Steps taken, and steps in all.
    pub steps: (usize, usize),
    /// The share of the target that it has set.
    pub share: BasisPoints,
    /// Attempts at the target in this step, and since it got traffic.
    pub counts: (Counts, Counts),
    /// Verbs of `pointsman rollout` that make sense now.
    pub verbs: &'static [&'static str],
}

impl Rollout {
    /// Where it is.
    pub fn status(&self, now: WallTime) -> Status {
        let state = match (&self.ended, &self.paused) {
            (Some((outcome, _)), _) => outcome.name(),
            (None, Some(_)) => "paused",
            (None, None) => "running",
        };
        let words = match (&self.ended, &self.paused) {
            (Some((outcome, _)), _) => outcome.words(self),
            (None, Some(paused)) => format!("paused: {}", paused.why),
            (None, None) => match &self.held {
                Some(held) => format!("held: {}", held.why),
                None => self.words(now),
            },
        };
        let verbs: &[&str] = match (&self.ended, &self.paused, self.stage) {
            (Some(_), ..) => &[],
            (_, Some(_), Stage::Contracting) => &["resume"],
            (_, None, Stage::Contracting) => &["pause"],
            (_, Some(_), Stage::Holding) => &["resume", "step", "promote", "abort"],
            (_, None, Stage::Holding) => &["pause", "step", "promote", "abort"],
            (_, Some(_), Stage::Watching) => &["resume", "promote", "abort"],
            (_, None, Stage::Watching) => &["pause", "promote", "abort"],
            (_, Some(_), _) if self.rolling.is_stuck() => &["resume", "step", "abort"],
            (_, Some(_), _) => &["resume", "abort"],
            (_, None, _) => &["pause", "abort"],
        };
        Status {
            state,
            words,
            steps: (self.step.map_or(0, |step| step + 1), self.plan.steps.len()),
            share: self.share(),
            counts: (self.counts, self.whole),
            verbs,
        }
    }

    /// What it does or waits for.
    pub(super) fn words(&self, now: WallTime) -> String {
        let elapsed = now.elapsed_since(self.entered);
        let left = |whole: Duration| whole.saturating_sub(elapsed).as_secs();
        let (from, to, share) = (&self.plan.from, &self.plan.to, self.share());
        match self.stage {
            Stage::BeforeStart => "waits for hook before_start".into(),
            Stage::Expanding => "waits for hook expand".into(),
            Stage::Awaiting => {
                format!(
                    "waits for pool `{to}` to be healthy, {} s more",
                    left(self.plan.ready_within)
                )
            }
            Stage::Smoking => format!("makes smoke requests to pool `{to}`"),
            Stage::BeforeStep => format!("waits for hook before_step at {share} %"),
            Stage::BeforePromote => format!("waits for hook before_promote at {share} %"),
            Stage::Holding => self.hold_words(elapsed),
            Stage::Watching => format!(
                "all traffic is on `{to}`; `{from}` is kept warm for another {} s",
                left(self.plan.watch)
            ),
            Stage::Draining => format!("waits for requests of `{from}` to end"),
            Stage::Contracting => "waits for hook contract".into(),
            Stage::Rolling => self.rolling.words(),
        }
    }

    fn hold_words(&self, elapsed: Duration) -> String {
        let left = self.holds_for().saturating_sub(elapsed);
        let missing = self.plan.min_requests.saturating_sub(self.counts.total);
        let for_time = (!left.is_zero()).then(|| format!("another {} s", left.as_secs().max(1)));
        let for_requests = (missing > 0).then(|| format!("{missing} more requests"));
        let waits: Vec<String> = for_time.into_iter().chain(for_requests).collect();
        let verdict = self.evidence().map(|evidence| evidence.verdict);
        let says = verdict.map_or_else(String::new, |verdict| format!("; {}", verdict.evidence()));
        match waits.is_empty() {
            true => format!("holds {} %{says}", self.share()),
            false => format!("holds {} % for {}{says}", self.share(), waits.join(" and ")),
        }
    }
}

impl Outcome {
    /// All words for how one ends.
    pub const NAMES: [&'static str; 5] =
        ["promoted", "rolled-back", "aborted", "failed", "superseded"];

    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Promoted => "promoted",
            Outcome::RolledBack { .. } => "rolled-back",
            Outcome::Aborted { .. } => "aborted",
            Outcome::Failed { .. } => "failed",
            Outcome::Superseded { .. } => "superseded",
        }
    }

    pub(super) fn words(&self, rollout: &Rollout) -> String {
        match self {
            Outcome::Promoted if rollout.plan.strategy == Strategy::Rolling => {
                format!("pool `{}`: {}", rollout.plan.to, rollout.rolling.words())
            }
            Outcome::Promoted => format!("`{}` has all traffic", rollout.plan.to),
            Outcome::RolledBack { why } => format!("rolled back: {why}"),
            Outcome::Aborted { by, why: None } => format!("aborted by {by}"),
            Outcome::Aborted { by, why: Some(why) } => format!("aborted by {by}: {why}"),
            Outcome::Failed { why } => format!("ended before any traffic moved: {why}"),
            Outcome::Superseded { by } => format!("superseded by {by}"),
        }
    }
}

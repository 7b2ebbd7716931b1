//! What was rehearsed and what came of it: that in, all of it for people out.

use std::sync::Arc;
use std::time::Duration;

use super::{json, plot, words};
use crate::clock::in_words;
use crate::rehearsal::{Run, Summary};
use crate::split::BasisPoints;

/// What was rehearsed and what came of it.
pub struct Rehearsed {
    pub service: Option<String>,
    pub from: Arc<str>,
    pub to: Arc<str>,
    pub steps: Vec<BasisPoints>,
    pub hold: Duration,
    pub traffic: String,
    /// How both versions behave.
    pub behaves: String,
    /// What was asked, for scripts.
    pub asked: json::Asked,
    pub first_seed: u64,
    /// None if it is as good as the old version.
    pub canary: Option<Summary>,
    pub canary_runs: Vec<Run>,
    pub identical: Summary,
    pub identical_runs: Vec<Run>,
    /// Real time.
    pub took: Duration,
    pub notes: Vec<String>,
}

impl Rehearsed {
    /// What was rehearsed, in a line.
    pub fn title(&self) -> String {
        let name = self.service.as_ref().map_or_else(String::new, |name| format!("{name}: "));
        format!("{name}{} → {} at {}", self.from, self.to, self.traffic)
    }

    /// How long all of it took on the virtual clock.
    pub fn virtual_hours(&self) -> f64 {
        let canary = self.canary.as_ref().map_or(Duration::ZERO, |canary| canary.virtual_time);
        (canary + self.identical.virtual_time).as_secs_f64() / 3_600.0
    }

    /// All of it, for people.
    pub fn told(&self, is_coloured: bool) -> String {
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

//! The A/A check: does the judge keep what is as good as the rest? What was recorded in, how often it would
//! have taken an upstream back out.
//!
//! One upstream of the stable pool after the other plays a canary beside those that are left, for five minutes
//! and without consequence. All of them run the same version, so whatever is taken back was taken back by
//! mistake: the promise of `docs/judge.md`, measured on the service's own traffic. It reads what the history has
//! recorded already, so that nothing is new for requests.
//!
//! [`Trial`] is one such five minutes, [`Checks`] gives each service its turn and has a bound on work,
//! [`Tally`] is what came of it and outlasts the process.

mod checks;
mod trial;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::in_words;
use crate::judge::Counts;
use crate::rehearsal::wilson;
use crate::rollout::RolloutSettings;

pub use checks::{Checks, Concluded, Known, WORK};
pub use trial::{NoTrial, Trial};

/// Minutes of a trial.
pub const MINUTES: usize = 5;

/// What may be taken back by mistake.
const PROMISED: f64 = 0.01;

/// Trials without one that was taken back that show it with 95 % confidence: 0.99³⁰⁰ is 0.05.
pub const ENOUGH: u64 = 300;

/// Trials after which the older ones are let go of: three days and a half of them, or up to twice that, count.
const GENERATION: u64 = 1_000;

/// Rates above what was promised that the evidence is laid on.
const RATES: [f64; 5] = [0.02, 0.05, 0.1, 0.3, 0.9];

/// Odds that more than was promised is taken back, from which on it is told: 95 %, however often one looks.
const TELLING: f64 = 20.0;

/// Of one trial nobody says anything.
const FEWEST: u64 = 2;

/// Upstreams that are named at most.
const MOST_NAMES: usize = 32;

/// What came of the trials of one service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// How the judge was set, what counted as a failure, and the share of the first step, in words: other
    /// settings begin anew.
    set: String,
    /// The newest minute when that was set, if something else was before: what counts as a failure may have
    /// been another thing until then.
    since: Option<u64>,
    /// Trials, and those that were taken back; of this generation and the one before.
    now: Counts,
    before: Counts,
    /// How often each upstream was taken back.
    upstreams: BTreeMap<Arc<str>, u64>,
    /// The newest minute that was looked at.
    looked: Option<u64>,
    /// Counts up with each trial: whose turn it is.
    turn: u64,
    /// Why there was no trial when one was due last.
    why_not: Option<NoTrial>,
    /// Whether it is told that too much is taken back.
    is_told: bool,
}

impl Tally {
    /// Trials that count, and those of them that were taken back.
    pub fn counts(&self) -> Counts {
        let mut all = self.before;
        all += self.now;
        all
    }

    /// The upstream that was taken back most often, and how often; none if none was.
    pub fn worst(&self) -> Option<(&Arc<str>, u64)> {
        let worst = self.upstreams.iter().max_by_key(|(_, times)| **times);
        worst.map(|(name, times)| (name, *times))
    }

    /// Whether it is as good as sure (95 %) that more is taken back than was promised.
    pub fn is_broken(&self) -> bool {
        let Counts { total, bad } = self.counts();
        let (x, good) = (bad as f64, total.saturating_sub(bad) as f64);
        let ln_odds = |rate: f64| {
            x * (rate / PROMISED).ln() + good * ((1.0 - rate) / (1.0 - PROMISED)).ln()
                - (RATES.len() as f64).ln()
        };
        // One rate alone is less than all of them together.
        bad >= FEWEST && RATES.into_iter().any(|rate| ln_odds(rate) >= TELLING.ln())
    }

    /// What it comes to, for people.
    pub fn words(&self) -> String {
        let Counts { total, bad } = self.counts();
        let kept = total - bad;
        if total == 0 {
            return match &self.why_not {
                Some(why) => why.to_string(),
                None => NoTrial::TooShort.to_string(),
            };
        }
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        if self.is_broken() {
            let whose = self.worst().filter(|(_, times)| *times * 2 > bad);
            let whose = whose
                .map(|(name, times)| format!("; {name} was it {times} times"))
                .unwrap_or_default();
            let share = percent(bad as f64 / total as f64);
            return format!("{bad} of {total} taken back ({share}), 1 % is promised{whose}");
        }
        let told = format!("{kept} of {total} kept");
        match bad {
            0 if total < ENOUGH => {
                let rest = Duration::from_secs((ENOUGH - total) * MINUTES as u64 * 60);
                let hours = Duration::from_secs(rest.as_secs().div_ceil(3_600) * 3_600);
                let rest = match total {
                    // Said as people say it.
                    ..=24 => "about a day".to_string(),
                    _ => format!("about {}", in_words(hours)),
                };
                format!("{told}; {ENOUGH} are needed to say 1 %, {rest}")
            }
            0 => {
                let most = 1.0 - 0.05f64.powf(1.0 / total as f64);
                format!("{told}: at most {} are taken back by mistake (95 %)", percent(most))
            }
            bad => {
                let [least, most] = wilson(bad, total);
                format!("{told}: {} to {} are taken back (95 %)", percent(least), percent(most))
            }
        }
    }

    /// What the trials of a service with these settings go on from, whose newest minute this is.
    fn for_settings(mut self, settings: &RolloutSettings, newest: u64) -> Tally {
        let set = set(settings);
        if self.set != set {
            let since = (!self.set.is_empty()).then_some(newest);
            let (looked, turn) = (self.looked, self.turn);
            self = Tally { set, since, looked, turn, ..Tally::default() };
        }
        self
    }

    /// Takes in how a trial ended, of an upstream that was taken back or kept; whether it is to be told now
    /// that too much is.
    fn note(&mut self, upstream: &Arc<str>, is_taken_back: bool) -> bool {
        self.why_not = None;
        self.turn += 1;
        if self.now.total >= GENERATION {
            self.before = std::mem::take(&mut self.now);
            self.upstreams.values_mut().for_each(|times| *times /= 2);
            self.upstreams.retain(|_, times| *times > 0);
        }
        self.now += Counts { total: 1, bad: u64::from(is_taken_back) };
        if is_taken_back {
            let is_known = self.upstreams.contains_key(upstream);
            if is_known || self.upstreams.len() < MOST_NAMES {
                *self.upstreams.entry(upstream.clone()).or_default() += 1;
            }
        }
        let is_broken = self.is_broken();
        let was_told = std::mem::replace(&mut self.is_told, is_broken);
        is_broken && !was_told
    }
}

/// What bears on a trial, in words.
fn set(settings: &RolloutSettings) -> String {
    let judging = &settings.judging;
    let first = settings.steps.first();
    match &judging.errors {
        // As versions said it that counted nothing else.
        None => format!("{:?} of {first:?}", judging.settings),
        Some(errors) => format!("{:?} of {first:?}, failures {errors:?}", judging.settings),
    }
}

#[cfg(test)]
mod tests;

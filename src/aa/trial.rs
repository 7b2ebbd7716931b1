//! One trial: an hour of a service in, whether the judge would have taken one of its upstreams back out.
//!
//! The upstream's requests are thinned by a coin to the share of the first step and judged beside those of all
//! others of its pool for five minutes; what the others did before is the past that the judge knows. The coin is
//! fixed by the minute before, so that nothing of what is judged bears on it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::MINUTES;
use crate::clock::Draws;
use crate::judge::bursts::{Bursts, ByUpstream};
use crate::judge::{Counts, Distribution, Judge, Reading, Ruling, Side};
use crate::recording::{MINUTE, Minute, Playback, Recording, Second, busiest};
use crate::rollout::RolloutSettings;
use crate::sampling::binomial;
use crate::split::BasisPoints;

/// Minutes that the judge knows of before: as many as a rollout that begins early in a proxy's life.
const PAST: usize = 10;

/// What a second costs that is judged, beside one for each upstream, in units of about a microsecond.
const JUDGED: usize = 20;

/// What it costs for each upstream beside that: how causes come together is measured each half a minute, on
/// an hour of seconds of each.
const MEASURED: usize = 2;

/// What it costs to read a minute of an upstream.
const READ: usize = 3;

/// The share of a first step that is all traffic: nothing would run beside it.
const HALF: u16 = 5_000;

/// Why there is no trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NoTrial {
    /// Too little is recorded, or nothing new.
    #[error("no trial yet: it takes five minutes, after ten that are recorded")]
    TooShort,
    /// Nothing came.
    #[error("no trial: nothing was asked of it lately")]
    Silent,
    /// There is nobody beside the one that would play the canary.
    #[error("needs a second upstream")]
    Alone,
}

/// One trial under way.
#[derive(Debug)]
pub struct Trial {
    /// What it is made under, in words.
    set: String,
    judge: Judge,
    /// What is played, the oldest minute first; the last [`MINUTES`] are judged.
    minutes: Vec<Arc<Minute>>,
    pool: Arc<str>,
    /// Who plays the canary.
    canary: Arc<str>,
    share: BasisPoints,
    /// The chance that a request of it is the canary's.
    coin: f64,
    /// The minute that is being played.
    at: usize,
    second: usize,
    playing: Option<Playback>,
    draws: Draws,
}

impl Trial {
    /// Of the newest minutes, of the upstream whose turn it is; what it costs to begin as well.
    pub fn begin(
        recording: &Recording,
        settings: &RolloutSettings,
        turn: u64,
    ) -> (Result<Trial, NoTrial>, usize) {
        let minutes = &recording.minutes;
        let judged = minutes.len().saturating_sub(MINUTES);
        let newest = &minutes[judged..];
        let is_whole = judged >= PAST && newest[1..].iter().all(|minute| minute.follows);
        let of_pool = |minute: &Arc<Minute>| -> usize {
            minute.pools.iter().map(|pool| pool.upstreams.len()).sum()
        };
        let cost = 2 * READ * newest.iter().map(of_pool).sum::<usize>();
        let pool = busiest(newest);
        let asked = pool.as_deref().map(|pool| asked(newest, pool)).unwrap_or_default();
        // What does not come with time is said first.
        let pool = match pool {
            Some(_) if asked.len() < 2 => return (Err(NoTrial::Alone), cost),
            _ if !is_whole => return (Err(NoTrial::TooShort), cost),
            Some(pool) => pool,
            None => return (Err(NoTrial::Silent), cost),
        };
        let canary = asked[(turn % asked.len() as u64) as usize].clone();
        let first = settings.steps.first().copied().unwrap_or(BasisPoints::NONE);
        let half = BasisPoints::new(HALF).unwrap_or(BasisPoints::WHOLE);
        let share = first.min(half);
        let mut past = Distribution::default();
        for minute in &minutes[..judged] {
            minute.pool(&pool).into_iter().for_each(|pool| past += &pool.took);
        }
        let planned = std::time::Duration::from_secs((MINUTES * MINUTE) as u64);
        let judge = Judge::new(settings.judging.settings.clone(), Bursts::default(), past, planned);
        // Another in each trial, and the same for the same.
        let seed = turn ^ newest[0].ended.millis().rotate_left(20);
        let trial = Trial {
            set: super::set(settings),
            judge,
            coin: coin(minutes[judged - 1].pool(&pool), &canary, share),
            minutes: minutes.clone(),
            pool,
            canary,
            share,
            at: 0,
            second: 0,
            playing: None,
            draws: Draws::seeded(Draws::seeded(seed).bits()),
        };
        (Ok(trial), cost)
    }

    /// Whether it is made under these settings.
    pub fn is_of(&self, settings: &RolloutSettings) -> bool {
        self.set == super::set(settings)
    }

    /// Who plays the canary.
    pub fn canary(&self) -> &Arc<str> {
        &self.canary
    }

    /// Plays the next second. Whether it is over, and if so whether the canary is taken back; and what it cost.
    pub fn step(&mut self) -> (Option<bool>, usize) {
        let mut cost = 0;
        if self.second == MINUTE {
            (self.at, self.second, self.playing) = (self.at + 1, 0, None);
        }
        let Some(minute) = self.minutes.get(self.at) else { return (Some(false), 1) };
        let is_judged = self.at >= self.minutes.len() - MINUTES;
        if self.playing.is_none() {
            if !minute.follows {
                self.judge.interrupt();
            }
            if self.at == self.minutes.len() - MINUTES {
                self.judge.begin_step(self.share);
            }
            // What was recorded here can be read.
            let playback = minute.pool(&self.pool).and_then(|pool| Playback::of(pool).ok());
            let empty = || Playback { upstreams: Vec::new(), answers: None };
            let playing = self.playing.insert(playback.unwrap_or_else(empty));
            cost += READ * playing.upstreams.len();
        }
        let Some(playing) = &self.playing else { return (Some(false), cost + 1) };
        let reading = match is_judged {
            true => judged(playing, self.second, (&self.canary, self.coin), &mut self.draws),
            false => Reading {
                stable: others(playing, self.second, &self.canary).0,
                ..Reading::default()
            },
        };
        let upstreams = playing.upstreams.len();
        cost += 1 + upstreams + if is_judged { JUDGED + MEASURED * upstreams } else { 0 };
        self.judge.tick(&reading);
        self.second += 1;
        let is_taken_back = is_judged && matches!(self.judge.ruling(), Ruling::Fail(_));
        let is_last = self.at + 1 == self.minutes.len() && self.second == MINUTE;
        ((is_taken_back || is_last).then_some(is_taken_back), cost)
    }
}

/// The upstreams of a pool that had requests in these minutes, in the order of their names.
fn asked(minutes: &[Arc<Minute>], pool: &str) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let pools = minutes.iter().filter_map(|minute| minute.pool(pool));
    for (name, text) in pools.flat_map(|pool| &pool.upstreams) {
        let mut seconds = Second::read_all(text).flatten().flatten();
        if !names.contains(name) && seconds.any(|second| second.total > 0) {
            names.push(name.clone());
        }
    }
    names.sort_unstable();
    names
}

/// The chance that gives the canary its share of all, as requests came in a minute.
fn coin(minute: Option<&crate::recording::PoolMinute>, canary: &str, share: BasisPoints) -> f64 {
    let (mut own, mut others) = (0.0, 0.0);
    for (name, text) in minute.into_iter().flat_map(|minute| &minute.upstreams) {
        let seconds = Second::read_all(text).flatten().flatten();
        let requests: f64 = seconds.map(|second| f64::from(second.total)).sum();
        match **name == *canary {
            true => own += requests,
            false => others += requests,
        }
    }
    let share = share.ratio();
    if own > 0.0 { (share / (1.0 - share) * others / own).min(1.0) } else { share }
}

/// What all but the canary did in a second, and their good answers by how long they took.
fn others(playing: &Playback, second: usize, canary: &str) -> (Side, [u64; 4]) {
    let (mut side, mut parts) = (Side::default(), [0; 4]);
    for (name, seconds) in playing.upstreams.iter().filter(|(name, _)| **name != *canary) {
        // Who was not there is on no list.
        let Some(second) = seconds[second] else { continue };
        let own = second.answers();
        parts.iter_mut().zip(own).for_each(|(all, own)| *all += own);
        side.attempts += second.attempts();
        side.upstreams.push(by_upstream(name, second.attempts(), own));
    }
    side.arrivals = side.attempts.total;
    (side, parts)
}

/// A second in which the canary is judged.
fn judged(
    playing: &Playback,
    second: usize,
    (canary, coin): (&Arc<str>, f64),
    draws: &mut Draws,
) -> Reading {
    let (mut stable, stable_parts) = others(playing, second, canary);
    let own = playing.upstreams.iter().find(|(name, _)| name == canary);
    let own = own.and_then(|(_, seconds)| seconds[second]).unwrap_or_default();
    let mut thin = |count: u64| binomial(count, coin, draws);
    let Counts { total, bad } = own.attempts();
    let bad_thinned = thin(bad);
    // Answers whose time does not count are answers all the same.
    let parts = own.answers().map(&mut thin);
    let untimed = thin(total - bad - own.answers().iter().sum::<u64>());
    let good = parts.iter().sum::<u64>() + untimed;
    let attempts = Counts { total: bad_thinned + good, bad: bad_thinned };
    let upstreams = vec![by_upstream(canary, attempts, parts)];
    let arrivals = attempts.total;
    let mut side = Side { attempts, arrivals, upstreams, ..Side::default() };
    if let Some(answers) = &playing.answers {
        stable.latency = answers.draw(stable_parts, 1.0, draws);
        side.latency = answers.draw(parts, 1.0, draws);
    }
    Reading { stable, canary: side, ..Reading::default() }
}

fn by_upstream(name: &Arc<str>, attempts: Counts, parts: [u64; 4]) -> ByUpstream {
    let [_, most, late, tail] = parts;
    let slow = [most + late + tail, late + tail, tail];
    ByUpstream { name: name.clone(), attempts, answers: parts.iter().sum(), slow }
}

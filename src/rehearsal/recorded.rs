//! A recording made ready to be played again: an hour of a service in, what each second was like out.
//!
//! Seconds are played with more or fewer requests than they had, so what is kept of one is the chance that a
//! request fails. A second's own share would make a cluster of a single failure wherever it is played with
//! more requests. So only failures that are too many to be chance make a second its own, or ten, or a
//! minute; all others have the rate of the rest of the hour. The same for slow answers.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Draws;
use crate::recording::{Answers, MINUTE, Minute, NoSecond, Playback, Recording, Second};

/// What is played in one piece: causes that last for a minute stay whole, and what upstreams share stays
/// shared.
const BLOCK: usize = 120;

/// The least that says anything of what a service is like.
pub const SHORTEST: Duration = Duration::from_secs(600);

/// Stretches of time that may be worse than the rest, in seconds, the shortest first.
const STRETCHES: [usize; 3] = [1, 10, MINUTE];

/// Failures that a stretch has at least.
const FEWEST: f64 = 3.0;

/// How likely it may be that chance makes a stretch as bad: an hour has four thousand of them.
const CHANCE: f64 = 1e-6;

/// Above this many that are expected, how many there are is as good as normal.
const MANY: f64 = 50.0;

/// Standard deviations that lie above [`CHANCE`].
const DEVIATIONS: f64 = 4.753;

/// A recording that can be played.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    tracks: Vec<Track>,
    /// How long answers took, minute by minute; none where that is not known.
    answers: Vec<Option<Answers>>,
    /// Seconds at which a block may begin.
    begins: Vec<usize>,
    /// Whether anybody was looked at in a second; others are passed over.
    is_watched: Vec<bool>,
}

/// One upstream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Track {
    pub name: Arc<str>,
    seconds: Vec<Played>,
}

/// What a second of an upstream was like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Played {
    /// Whether it was there.
    pub is_there: bool,
    /// Requests.
    pub total: u32,
    /// The chance that one failed.
    pub fails: f64,
    /// The chances that a good answer was slower than the pool's p50, p95 and p99.
    pub slow: [f64; 3],
}

/// Why a recording cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPlayed {
    /// There is too little of it.
    #[error(
        "{} of it {} recorded, 10 minutes are needed: what is seldom has not been seen yet",
        minutes(*.0), if *.0 == 1 { "is" } else { "are" }
    )]
    TooShort(usize),
    /// Nothing came, or the pool is not in it.
    #[error("nothing was asked of {0} while it was recorded")]
    Silent(String),
    /// It is none.
    #[error("{0}")]
    Odd(#[from] NoSecond),
}

fn minutes(count: usize) -> String {
    match count {
        1 => "1 minute".into(),
        count => format!("{count} minutes"),
    }
}

impl Recorded {
    /// The upstreams of one pool that had requests.
    pub fn of(recording: &Recording, pool: &str) -> Result<Recorded, NotPlayed> {
        let minutes = &recording.minutes;
        if recording.length() < SHORTEST {
            return Err(NotPlayed::TooShort(minutes.len()));
        }
        let mut rows: Vec<(Arc<str>, Vec<Option<Second>>)> = Vec::new();
        let mut answers = Vec::with_capacity(minutes.len());
        for (at, minute) in minutes.iter().enumerate() {
            let playback = minute.pool(pool).map(Playback::of).transpose()?;
            let (upstreams, took) = playback
                .map_or((Vec::new(), None), |playback| (playback.upstreams, playback.answers));
            answers.push(took);
            for (name, seconds) in upstreams {
                let row = match rows.iter().position(|(known, _)| *known == name) {
                    Some(place) => &mut rows[place].1,
                    None => {
                        rows.push((name, Vec::new()));
                        let last = rows.len() - 1;
                        &mut rows[last].1
                    }
                };
                row.resize(at * MINUTE, None);
                row.extend(seconds);
            }
        }
        let length = minutes.len() * MINUTE;
        rows.iter_mut().for_each(|(_, row)| row.resize(length, None));
        rows.retain(|(_, row)| row.iter().flatten().any(|second| second.total > 0));
        if rows.is_empty() {
            return Err(NotPlayed::Silent(format!("`{pool}`")));
        }
        let tracks: Vec<Track> =
            rows.into_iter().map(|(name, row)| Track::of(name, &row)).collect();
        let is_there = |at: usize| tracks.iter().any(|track| track.at(at).is_there);
        let is_watched = (0..length).map(is_there).collect();
        Ok(Recorded { tracks, answers, begins: begins(minutes), is_watched })
    }

    /// How many seconds there are in which anybody was looked at.
    pub fn length(&self) -> usize {
        self.is_watched.iter().filter(|is_watched| **is_watched).count()
    }

    /// How many there are with those that are passed over.
    pub(super) fn whole_length(&self) -> usize {
        self.is_watched.len()
    }

    /// Its upstreams.
    pub(super) fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// How many upstreams had requests.
    pub fn upstreams(&self) -> usize {
        self.tracks.len()
    }

    /// Requests of all of them in a second, on average.
    pub fn rate(&self) -> f64 {
        let of_track = |track: &Track| -> u64 {
            track.seconds.iter().map(|second| u64::from(second.total)).sum()
        };
        self.tracks.iter().map(of_track).sum::<u64>() as f64 / self.length().max(1) as f64
    }

    /// The share of requests that failed, 0 to 1.
    pub fn errors(&self) -> f64 {
        let seconds = self.tracks.iter().flat_map(|track| &track.seconds);
        let (total, bad) = seconds.fold((0.0, 0.0), |(total, bad), second| {
            (total + f64::from(second.total), bad + f64::from(second.total) * second.fails)
        });
        if total > 0.0 { bad / total } else { 0.0 }
    }

    /// How long answers took in the minute of a second; none if that is not known.
    pub(super) fn answers(&self, second: usize) -> Option<&Answers> {
        self.answers[second / MINUTE].as_ref()
    }
}

/// Seconds at which a whole block begins whose minutes follow each other; where there is none, each minute is
/// as good as any.
fn begins(minutes: &[Arc<Minute>]) -> Vec<usize> {
    let follow = |two: &[Arc<Minute>]| two[1..].iter().all(|minute| minute.follows);
    let windows = minutes.windows(BLOCK / MINUTE).enumerate();
    windows.filter(|(_, window)| follow(window)).map(|(at, _)| at * MINUTE).collect()
}

impl Track {
    fn of(name: Arc<str>, row: &[Option<Second>]) -> Track {
        let column = |of: &dyn Fn(&Second) -> (u64, u64)| -> Vec<(f64, f64)> {
            let counts = row.iter().map(|second| second.as_ref().map_or((0, 0), of));
            counts.map(|(total, events)| (total as f64, events as f64)).collect()
        };
        let fails = chances(&column(&|second| (second.total.into(), second.bad.into())));
        let slow = [0, 1, 2].map(|kind| {
            chances(&column(&|second| {
                let good = second.answers().iter().sum();
                (good, if good > 0 { second.slow[kind].into() } else { 0 })
            }))
        });
        let second = |(at, second): (usize, &Option<Second>)| {
            let [median, most, tail] = [0, 1, 2].map(|kind: usize| slow[kind][at]);
            let most = most.min(median);
            Played {
                is_there: second.is_some(),
                total: second.map_or(0, |second| second.total),
                fails: fails[at],
                slow: [median, most, tail.min(most)],
            }
        };
        Track { name, seconds: row.iter().enumerate().map(second).collect() }
    }

    pub fn at(&self, second: usize) -> Played {
        self.seconds[second]
    }
}

/// The chance of an event in each second, of how many could have been and how many were.
fn chances(counts: &[(f64, f64)]) -> Vec<f64> {
    let mut found: Vec<Option<f64>> = vec![None; counts.len()];
    let sum = |found: &[Option<f64>], counts: &[(f64, f64)]| {
        let rest = counts.iter().zip(found).filter(|(_, found)| found.is_none());
        rest.fold((0.0, 0.0), |(n, x), ((total, events), _)| (n + total, x + events))
    };
    let rate = |(n, x): (f64, f64)| if n > 0.0 { x / n } else { 0.0 };
    for length in STRETCHES {
        // Twice, for what is found makes the rest better, and lets it be told from what is left.
        for _ in 0..2 {
            let usual = rate(sum(&found, counts));
            for (found, counts) in found.chunks_mut(length).zip(counts.chunks(length)) {
                let (n, x) = sum(found, counts);
                if x >= FEWEST && is_no_chance(x, n * usual) {
                    let worse = rate((n, x));
                    found.iter_mut().for_each(|found| *found = found.or(Some(worse)));
                }
            }
        }
    }
    let usual = rate(sum(&found, counts));
    found.into_iter().map(|found| found.unwrap_or(usual)).collect()
}

/// Whether so many events are next to impossible where so many are expected (Poisson).
fn is_no_chance(events: f64, expected: f64) -> bool {
    if events <= expected {
        return false;
    }
    if expected > MANY {
        return events > expected + DEVIATIONS * expected.sqrt();
    }
    let mut term = (-expected).exp();
    let mut below = 0.0;
    for k in 0..events as u64 {
        below += term;
        term *= expected / (k + 1) as f64;
    }
    // The rest of the series, which what lies below would swallow.
    let mut above = 0.0;
    let mut k = events;
    while term > 0.0 && (term > above * 1e-9) {
        above += term;
        k += 1.0;
        term *= expected / k;
    }
    above < CHANCE && below > 0.5
}

/// Where the playing is: in a block that was drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    second: usize,
    left: usize,
}

impl Cursor {
    /// The next second of a recording in which anybody was looked at: there is one.
    pub fn next(&mut self, recorded: &Recorded, draws: &mut Draws) -> usize {
        // By chance each block may be without one, but not so often.
        let mut second = self.pass(recorded, draws);
        for _ in 0..1_000_000 {
            if recorded.is_watched[second] {
                break;
            }
            second = self.pass(recorded, draws);
        }
        second
    }

    fn pass(&mut self, recorded: &Recorded, draws: &mut Draws) -> usize {
        if self.left == 0 {
            let begins = &recorded.begins;
            (self.second, self.left) = match begins.len() {
                // No two minutes follow each other.
                0 => (draws.below(recorded.answers.len() as u64) as usize * MINUTE, MINUTE),
                count => (begins[draws.below(count as u64) as usize], BLOCK),
            };
        }
        let second = self.second;
        (self.second, self.left) = (second + 1, self.left - 1);
        second
    }
}

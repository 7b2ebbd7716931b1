//! The service that is rehearsed with, as it was recorded: seconds in, what both pools did in them out.
//!
//! Blocks of two minutes are drawn from the recording, all upstreams together, so that what they share stays
//! shared. Some of the recorded upstreams play the new version, which of them is another draw in each run: it is
//! as good as they are, and whatever goes back did so falsely. Of a single upstream both pools are played by
//! it, each with blocks of its own; what its failures would share is not known then.

use std::time::Duration;

use super::recorded::{Cursor, Played, Recorded};
use super::service::{Second, Surroundings};
use super::{Scenario, World};
use crate::clock::Draws;
use crate::judge::bursts::{Bursts, ByUpstream};
use crate::judge::{Counts, Distribution, Reading, Side};
use crate::rollout::Past;
use crate::sampling::{binomial, evenly};
use crate::split::{BasisPoints, Split};

/// The service of one run.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    scenario: &'a Scenario,
    recorded: &'a Recorded,
    draws: Draws,
    share: BasisPoints,
    /// Places of tracks: who plays the stable pool, and who the canary.
    pools: [Vec<usize>; 2],
    cursor: Cursor,
    /// The canary's, if it plays the same upstream.
    own: Option<Cursor>,
    /// When the canary's upstreams started last, in seconds.
    started: f64,
}

/// What a pool did in a second.
#[derive(Debug, Default)]
struct Came {
    attempts: Counts,
    upstreams: Vec<ByUpstream>,
    /// Good answers by how long they took: up to p50, p95, p99, and longer.
    parts: [u64; 4],
}

impl<'a> Replay<'a> {
    pub fn new(scenario: &'a Scenario, recorded: &'a Recorded, seed: u64) -> Replay<'a> {
        // Seeds that are neighbours must not be sequences that are.
        let mut draws = Draws::seeded(Draws::seeded(seed).bits());
        let mut places: Vec<usize> = (0..recorded.tracks().len()).collect();
        let canaries = (scenario.upstreams[1] as usize).clamp(1, (places.len() - 1).max(1));
        let (pools, own) = match places.len() {
            1 => ([places.clone(), places], Some(Cursor::default())),
            count => {
                for at in 0..canaries {
                    places.swap(at, at + draws.below((count - at) as u64) as usize);
                }
                let stable = places.split_off(canaries);
                ([stable, places], None)
            }
        };
        let (share, cursor) = (BasisPoints::NONE, Cursor::default());
        Replay { scenario, recorded, draws, share, pools, cursor, own, started: 0.0 }
    }

    /// Where the stable pool is, and where the canary.
    fn advance(&mut self) -> [usize; 2] {
        let stable = self.cursor.next(self.recorded, &mut self.draws);
        let own = self.own.as_mut().map(|own| own.next(self.recorded, &mut self.draws));
        [stable, own.unwrap_or(stable)]
    }

    fn played(&self, place: usize, second: usize) -> Vec<Played> {
        let tracks = self.pools[place].iter().map(|track| &self.recorded.tracks()[*track]);
        tracks.map(|track| track.at(second)).collect()
    }

    /// Requests that came to the whole service in a second.
    fn requests(&self, stable: &[Played], canary: &[Played]) -> u64 {
        let sum = |played: &[Played]| played.iter().map(|one| u64::from(one.total)).sum::<u64>();
        sum(stable) + if self.own.is_some() { 0 } else { sum(canary) }
    }

    /// So many requests to each of these upstreams of a pool, which fail so much more than was recorded.
    fn ask(&mut self, place: usize, asked: &[u64], played: &[Played], more: f64) -> Came {
        let (draws, mut came) = (&mut self.draws, Came::default());
        let there = self.pools[place].iter().zip(asked).zip(played);
        for ((track, total), one) in there.filter(|((_, total), one)| one.is_there || **total > 0) {
            let fails = one.fails + (1.0 - one.fails) * more;
            let bad = binomial(*total, fails, draws);
            let (mut slower, mut before) = (total - bad, 1.0);
            let answers = slower;
            let slow = one.slow.map(|chance| {
                slower = binomial(slower, chance / before, draws);
                before = chance.max(f64::MIN_POSITIVE);
                slower
            });
            let attempts = Counts { total: *total, bad };
            came.attempts += attempts;
            let [median, most, tail] = slow;
            let parts = [answers - median, median - most, most - tail, tail];
            came.parts.iter_mut().zip(parts).for_each(|(all, part)| *all += part);
            let name = self.recorded.tracks()[*track].name.clone();
            came.upstreams.push(ByUpstream { name, attempts, answers, slow });
        }
        came
    }

    fn took(&mut self, second: usize, parts: [u64; 4], factor: f64) -> Distribution {
        let answers = self.recorded.answers(second);
        let drawn = answers.map(|answers| answers.draw(parts, factor, &mut self.draws));
        drawn.unwrap_or_default()
    }

    /// How many times as long the canary takes once it is itself, and what it fails more.
    fn differs(&self) -> (f64, f64) {
        let Scenario { stable, canary, .. } = self.scenario;
        let [median, other] = [canary, stable].map(|of| of.latency.quantiles().0.as_secs_f64());
        (median / other, canary.errors)
    }
}

impl Surroundings for Replay<'_> {
    fn past(&mut self) -> Past {
        let (mut attempts, mut bursts) = (Counts::default(), Bursts::default());
        let mut parts = vec![[0u64; 4]; self.recorded.whole_length()];
        for _ in 0..self.recorded.length() {
            let [at, _] = self.advance();
            let (stable, canary) = (self.played(0, at), self.played(1, at));
            let requests = self.requests(&stable, &canary);
            let asked = spread(requests, &stable, &mut self.draws);
            let came = self.ask(0, &asked, &stable, 0.0);
            attempts += came.attempts;
            bursts.tick(&came.upstreams);
            parts[at].iter_mut().zip(came.parts).for_each(|(all, part)| *all += part);
        }
        let mut latency = Distribution::default();
        for (at, parts) in parts.into_iter().enumerate().filter(|(_, parts)| *parts != [0; 4]) {
            latency += &self.took(at, parts, 1.0);
        }
        Past { attempts, latency, bursts, budget: self.scenario.budget }
    }

    fn on_shift(&mut self, split: &Split) {
        self.share = split.weight(&self.scenario.plan.to);
    }

    fn second(&mut self, ends: Duration, is_warming: bool) -> Second {
        let begins = ends.saturating_sub(Duration::from_secs(1));
        let from = begins.as_secs_f64();
        let Scenario { after, world, plan, .. } = self.scenario;
        let World { restarts, cold, .. } = *world;
        let [at, own] = self.advance();
        let (stable, canary) = (self.played(0, at), self.played(1, own));
        let requests = self.requests(&stable, &canary);
        let (mut factor, mut more) = if begins >= *after { self.differs() } else { (1.0, 0.0) };
        let away = restarts.map_or(0.0, |restarts| restarts.away(from));
        if away > 0.0 {
            self.started = from + 1.0;
            more += (1.0 - more) * away;
        }
        let since = from - self.started;
        factor *= cold.map_or(1.0, |cold| cold.factor_at(since));
        let to_canary = binomial(requests, self.share.ratio(), &mut self.draws);
        let asked = [
            spread(requests - to_canary, &stable, &mut self.draws),
            evenly_there(to_canary, &canary, &mut self.draws),
        ];
        let usual = usual(&canary);
        let stable = self.ask(0, &asked[0], &stable, 0.0);
        let mut canary = self.ask(1, &asked[1], &canary, more);
        let attempts = canary.attempts;
        let drawn = self.took(own, canary.parts, factor);
        let is_cold = since < plan.judging.settings.warm_up.as_secs_f64();
        let (latency, cold) = match is_cold {
            true => (Distribution::default(), drawn),
            false => (drawn, Distribution::default()),
        };
        if is_cold {
            canary.upstreams.iter_mut().for_each(|one| (one.answers, one.slow) = (0, [0; 3]));
        }
        let took = self.took(at, stable.parts, 1.0);
        let side = |came: Came, latency, cold| Side {
            attempts: came.attempts,
            latency,
            cold,
            arrivals: came.attempts.total,
            upstreams: came.upstreams,
        };
        let stable = side(stable, took, Distribution::default());
        let canary = side(canary, latency, cold);
        let reading = Reading { stable, canary, is_warming, ..Reading::default() };
        Second { reading, canary: attempts, expected: to_canary as f64 * usual }
    }

    fn users_hit(&self) -> Option<u64> {
        None
    }
}

/// The chance that a request fails which goes to any of those that were there, to any of all if nobody was: what
/// [`evenly_there`] asks. Who was away got none, and is no measure of what was to be expected.
fn usual(played: &[Played]) -> f64 {
    let is_anybody = played.iter().any(|one| one.is_there);
    let asked = played.iter().filter(|one| one.is_there || !is_anybody);
    let (count, fails) = asked.fold((0usize, 0.0), |(n, sum), one| (n + 1, sum + one.fails));
    fails / count.max(1) as f64
}

/// So many requests to each of those that were there; to each of all if nobody was.
fn evenly_there(requests: u64, played: &[Played], draws: &mut Draws) -> Vec<u64> {
    let there = played.iter().filter(|one| one.is_there).count();
    if there == 0 {
        return evenly(requests, played.len(), draws);
    }
    let mut shares = evenly(requests, there, draws).into_iter();
    played.iter().map(|one| if one.is_there { shares.next().unwrap_or(0) } else { 0 }).collect()
}

/// How many of these requests go to each upstream: as they were shared when it was recorded.
fn spread(requests: u64, played: &[Played], draws: &mut Draws) -> Vec<u64> {
    let mut rest: u64 = played.iter().map(|one| u64::from(one.total)).sum();
    if rest == 0 {
        return evenly_there(requests, played, draws);
    }
    let mut left = requests;
    let here = |one: &Played| {
        let here = match rest {
            0 => 0,
            rest => binomial(left, f64::from(one.total) / rest as f64, draws),
        };
        (left, rest) = (left - here, rest - u64::from(one.total));
        here
    };
    played.iter().map(here).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_away_is_no_measure_of_what_was_to_be_expected() {
        let one = |is_there, fails| Played { is_there, fails, ..Played::default() };
        assert_eq!(usual(&[one(true, 0.25), one(true, 0.5)]), 0.375);
        assert_eq!(usual(&[one(true, 0.25), one(false, 0.75)]), 0.25, "one is away");
        assert_eq!(usual(&[one(false, 0.25), one(false, 0.75)]), 0.5, "all are, and all are asked");
        let asked = evenly_there(100, &[one(true, 0.25), one(false, 0.75)], &mut Draws::seeded(1));
        assert_eq!(asked, [100, 0]);
    }
}

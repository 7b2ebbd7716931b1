//! What is known before a tick of how its events come together: readings in, what to divide by out.
//!
//! Always of the past: nothing of a tick bears on how that tick is weighed but how many requests and
//! upstreams it had. What the stable pool's upstreams did before the rollout and in it says how large a
//! cause is; what the canary itself did, that it has causes which nobody has seen before.

use serde::{Deserialize, Serialize};

use super::bad_seconds::BadSeconds;
use super::bursts::{Bursts, ByUpstream, Own};
use super::causes::Causes;
use super::settings::OnBursts;
use super::slower::Threshold;
use super::{Counts, Reading, exact};
use crate::split::BasisPoints;

/// Ticks after which it is measured anew how many bad seconds a cause makes.
const AGAIN: u64 = 30;

/// Standard errors of the difference of two pools' means that are tolerated where upstreams differ.
const TOLERATED: f64 = 3.0;

/// The most that is tolerated for that.
const MOST_TOLERATED: f64 = 2.0;

/// What events have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InCommon {
    /// The stable pool's.
    bursts: Bursts,
    /// The canary's failures.
    own: Own,
    /// Its answers slower than p50, p95 and p99.
    own_slow: [Own; 3],
    /// How much the stable upstreams differed for good when the rollout began.
    spread: Option<Spread>,
    /// Bad seconds that one cause makes.
    #[serde(with = "exact")]
    per_cause: f64,
    /// Ticks since that was measured; none if it is to be.
    measured: Option<u64>,
    /// Requests of both pools in a second, as they came lately; none before that is known.
    rate: Option<Rate>,
    /// Requests of both pools since then.
    requests: u64,
}

/// How much upstreams differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Spread {
    #[serde(with = "exact")]
    variance: f64,
    upstreams: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Rate(#[serde(with = "exact")] f64);

/// What a tick is weighed by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weights {
    /// Of failures.
    pub errors: Causes,
    /// Of failures, for the guard.
    pub guard: Causes,
    /// The same where nothing runs beside the canary: with what upstreams share.
    pub guard_alone: Causes,
    /// Of answers slower than p50, p95, p99.
    pub latency: [Causes; 3],
    /// Upstreams and their bad seconds, and how many of them one cause makes.
    pub seconds: (f64, BadSeconds),
    /// How many times as often as the stable pool the canary may fail.
    pub ratio: f64,
}

impl Default for InCommon {
    fn default() -> InCommon {
        InCommon::of(Bursts::default())
    }
}

impl InCommon {
    /// With what is known of the stable pool.
    pub fn of(bursts: Bursts) -> InCommon {
        InCommon {
            bursts,
            own: Own::default(),
            own_slow: Default::default(),
            spread: None,
            per_cause: 1.0,
            measured: None,
            rate: None,
            requests: 0,
        }
    }

    /// The share was set: seconds are measured for as many requests as that gives the canary.
    pub fn begin_step(&mut self) {
        if let Some(ticks) = self.measured.take().filter(|ticks| *ticks > 0) {
            self.rate = Some(Rate(self.requests as f64 / ticks as f64));
        }
        self.requests = 0;
    }

    /// What a tick is weighed by, in a step with this share; where failures may fail this many times as
    /// often as the stable pool's.
    pub(super) fn weights(
        &mut self,
        on: OnBursts,
        ratio: f64,
        share: BasisPoints,
        reading: &Reading,
    ) -> Weights {
        let sides = [&reading.stable.upstreams, &reading.canary.upstreams];
        let [stable, canary] = sides.map(|side| asked(side));
        let seconds = BadSeconds::of(&reading.stable.upstreams, &reading.canary.upstreams);
        if on == OnBursts::Ignore {
            return Weights {
                errors: Causes::OF_EACH,
                guard: Causes::OF_EACH,
                guard_alone: Causes::OF_EACH,
                latency: [Causes::OF_EACH; 3],
                seconds: (1.0, seconds),
                ratio,
            };
        }
        let upstreams = reading.canary.upstreams.len().max(1) as f64;
        if self.measured.is_none_or(|ticks| ticks >= AGAIN) {
            self.measure(share, upstreams);
        }
        let causes = |kappa: f64| Causes { kappa, stable, canary };
        let (failures, own) = (self.bursts.failures(), self.own.kappa());
        let latency = [0, 1, 2].map(|place: usize| {
            let own = self.own_slow[place].kappa();
            let [stable, canary] = sides.map(|side| answered(side));
            Causes { kappa: self.bursts.slow()[place].kappa().max(own), stable, canary }
        });
        Weights {
            errors: causes(failures.kappa().max(own)),
            guard: causes(failures.kappa_for_guard().max(own)),
            guard_alone: causes(failures.kappa_for_guard_alone().max(own)),
            latency,
            seconds: (self.per_cause, seconds),
            ratio: self.tolerated(ratio, upstreams),
        }
    }

    /// Hears a tick that is weighed; of answers from which on they were slow, at p50, p95 and p99.
    pub(super) fn hear(&mut self, reading: &Reading, thresholds: [Option<Threshold>; 3]) {
        let (stable, canary) = (&reading.stable, &reading.canary);
        let attempts = attempts(&canary.upstreams).unwrap_or(canary.attempts);
        self.own.tick(attempts.consistent(), asked(&canary.upstreams));
        for (own, threshold) in self.own_slow.iter_mut().zip(thresholds) {
            let slow = threshold.map(|threshold| threshold.slow(&stable.latency, &canary.latency));
            match slow {
                // Who is silent may stand still, but of who is cold nobody knows how slow it is: that the
                // next second has slow answers and this one had none does not make them a cluster.
                Some((_, slow)) if slow.total > 0 || canary.cold.total() == 0 => {
                    own.tick(slow, answered(&canary.upstreams));
                }
                _ => own.interrupt(),
            }
        }
        self.bursts.tick(&stable.upstreams);
        self.note_requests(reading);
    }

    /// Hears a tick in which nothing runs beside the canary.
    pub(super) fn hear_alone(&mut self, reading: &Reading) {
        let canary = &reading.canary;
        let attempts = attempts(&canary.upstreams).unwrap_or(canary.attempts);
        self.own.tick(attempts.consistent(), asked(&canary.upstreams));
        self.own_slow.iter_mut().for_each(Own::interrupt);
        self.note_requests(reading);
    }

    /// Hears a tick before the canary has traffic.
    pub(super) fn hear_before(&mut self, reading: &Reading) {
        self.bursts.tick(&reading.stable.upstreams);
    }

    /// The process was away: what comes next is no neighbour of what was last.
    pub(super) fn interrupt(&mut self) {
        self.bursts.interrupt();
        self.own.interrupt();
        self.own_slow.iter_mut().for_each(Own::interrupt);
    }

    /// What is known of the stable pool.
    pub fn bursts(&self) -> &Bursts {
        &self.bursts
    }

    fn note_requests(&mut self, reading: &Reading) {
        let sides = [&reading.stable, &reading.canary];
        let requests = sides.map(|side| attempts(&side.upstreams).unwrap_or(side.attempts).total);
        self.requests += requests[0] + requests[1];
        self.measured = Some(self.measured.unwrap_or_default() + 1);
    }

    /// Measures how many bad seconds a cause makes for an upstream of the canary.
    fn measure(&mut self, share: BasisPoints, upstreams: f64) {
        if let Some(ticks) = self.measured.filter(|ticks| *ticks > 0) {
            self.rate = Some(Rate(self.requests as f64 / ticks as f64));
        }
        (self.measured, self.requests) = (Some(0), 0);
        let seconds = self.bursts.seconds();
        let rate = self.rate.map_or_else(|| seconds.lately(), |Rate(rate)| rate);
        self.per_cause = seconds.per_cause(rate * share.ratio() / upstreams);
        if self.spread.is_none() {
            let variance = seconds.spread(self.bursts.failures().most());
            self.spread = Some(Spread { variance, upstreams: seconds.asked() as u64 });
        }
    }

    /// ρ': what is tolerated where upstreams differ for good, for then a canary of a few may be worse than
    /// the mean of many without being another version.
    fn tolerated(&self, ratio: f64, canary: f64) -> f64 {
        let Some(Spread { variance, upstreams: stable @ 1.. }) = self.spread else { return ratio };
        let differs = (variance * (1.0 / canary + 1.0 / stable as f64)).sqrt();
        ratio.max((1.0 + TOLERATED * differs).min(MOST_TOLERATED))
    }
}

/// Upstreams that had a request or were tried, at least one.
fn asked(upstreams: &[ByUpstream]) -> u64 {
    let asked = upstreams.iter().filter(|upstream| upstream.attempts.total > 0);
    (asked.count() as u64).max(1)
}

/// Upstreams that gave an answer whose time counts, at least one: of who is cold it does not.
fn answered(upstreams: &[ByUpstream]) -> u64 {
    let answered = upstreams.iter().filter(|upstream| upstream.answers > 0);
    (answered.count() as u64).max(1)
}

/// All attempts at them; none where no upstream is told of.
fn attempts(upstreams: &[ByUpstream]) -> Option<Counts> {
    let mut all = Counts::default();
    upstreams.iter().for_each(|upstream| all += upstream.attempts);
    (!upstreams.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Side;

    /// Upstreams that were asked a hundred times, of which so many gave answers whose time counts.
    fn side(asked: u64, answered: u64, bad: u64) -> Side {
        let upstream = |number: u64| ByUpstream {
            name: format!("10.0.0.{number}:80").into(),
            attempts: Counts { total: 100, bad },
            answers: if number < answered { 100 } else { 0 },
            ..ByUpstream::default()
        };
        Side { upstreams: (0..asked).map(upstream).collect(), ..Side::default() }
    }

    #[test]
    fn a_cause_of_slow_answers_is_one_of_those_that_are_warm() {
        let reading =
            Reading { stable: side(10, 1, 0), canary: side(3, 0, 0), ..Reading::default() };
        let share = BasisPoints::default();
        let weights = InCommon::default().weights(OnBursts::CountOnce, 1.25, share, &reading);
        assert_eq!((weights.errors.stable, weights.errors.canary), (10, 3));
        for causes in weights.latency {
            assert_eq!((causes.stable, causes.canary), (1, 1));
        }
    }

    #[test]
    fn what_comes_after_an_absence_of_the_process_does_not_follow_what_was_before_it() {
        let second = |bad| Reading { canary: side(1, 1, bad), ..Reading::default() };
        let mut heard = InCommon::default();
        heard.hear_alone(&second(0));
        let mut away = heard.clone();
        away.interrupt();
        for in_common in [&mut heard, &mut away] {
            in_common.hear_alone(&second(100));
        }
        assert!(heard.own.kappa() > 0.7 && away.own.kappa() == 0.0);
    }
}

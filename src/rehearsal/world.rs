//! What upstreams suffer: how often and how long in, each second's share of it out.
//!
//! Time is in seconds from the start of the rollout; what happens before it is what the stable pool has
//! shown. Nothing begins on a whole second, for nothing real does.

use std::time::Duration;

use crate::clock::Draws;
use crate::sampling::{binomial, exponential};

/// What may go wrong beside failures that have nothing to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct World {
    /// Each upstream fails a share of its requests now and then, whatever the others do.
    pub stalls: Option<Stalls>,
    /// All upstreams of both pools do at the same time.
    pub shared: Option<Stalls>,
    /// Each upstream stands still now and then: who is with it waits.
    pub pauses: Option<Pauses>,
    /// The canary's upstreams are away.
    pub restarts: Option<Restarts>,
    /// What has just started is slow.
    pub cold: Option<Cold>,
    /// How long the stable pool was watched before; none for ten minutes.
    pub watched: Option<Duration>,
}

/// A share of the requests fails for a while, as in a garbage collection with a time-out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalls {
    /// Mean time from the end of one to the next, at least a second.
    pub every: Duration,
    /// The share of the requests that fail meanwhile, 0 to 1: of each stall one between these two.
    pub share: [f64; 2],
    /// How long they last.
    pub lasts: Lasts,
}

/// Requests wait until it is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pauses {
    /// Mean time from the end of one to the next.
    pub every: Duration,
    /// How long they last.
    pub lasts: Lasts,
}

/// How long something lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Always so long.
    Exactly(Duration),
    /// So long on average, by chance (exponential).
    About(Duration),
}

/// The canary's upstreams are away, all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarts {
    /// How long after the start.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// From one begin to the next; none for once.
    pub every: Option<Duration>,
}

/// Upstreams that have just started take longer, which falls evenly until it is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cold {
    /// How many times as long at the first request.
    pub factor: f64,
    /// For how long.
    pub lasts: Duration,
}

impl Stalls {
    /// The share of the time that it is so.
    fn chance(&self) -> f64 {
        let lasts = self.lasts.mean().as_secs_f64();
        lasts / (self.every.as_secs_f64() + lasts)
    }

    /// The chance that a request fails, where `errors` do otherwise, of all time.
    pub(super) fn usual(&self, errors: f64) -> f64 {
        let [least, most] = self.share;
        errors + self.chance() * ((least + most) / 2.0).max(errors) - self.chance() * errors
    }
}

impl Lasts {
    /// On average.
    pub fn mean(self) -> Duration {
        match self {
            Lasts::Exactly(time) | Lasts::About(time) => time,
        }
    }

    fn draw(self, draws: &mut Draws) -> f64 {
        match self {
            Lasts::Exactly(time) => time.as_secs_f64(),
            Lasts::About(time) => exponential(time.as_secs_f64(), draws),
        }
    }
}

impl Restarts {
    /// The share of the second from here on in which they are away.
    pub(super) fn away(&self, from: f64) -> f64 {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        let overlap = |begins: f64| ((begins + lasts).min(from + 1.0) - begins.max(from)).max(0.0);
        match self.every.map(|every| every.as_secs_f64()) {
            None => overlap(at),
            Some(every) => {
                let nth = ((from - at) / every).floor().max(0.0);
                (overlap(at + nth * every) + overlap(at + (nth + 1.0) * every)).min(1.0)
            }
        }
    }
}

impl Cold {
    /// How many times as long answers take, so long after the start.
    pub(super) fn factor_at(&self, since: f64) -> f64 {
        let left = 1.0 - since / self.lasts.as_secs_f64().max(1e-9);
        1.0 + (self.factor - 1.0) * left.clamp(0.0, 1.0)
    }
}

/// Stretches of time that come by chance, one after the other.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    begins: f64,
    ends: f64,
    share: f64,
}

/// Stalls of one upstream, or of all.
#[derive(Clone, Debug)]
pub(super) struct Stalling {
    stalls: Stalls,
    next: Stretch,
}

impl Stalling {
    /// From this time on.
    pub fn from(stalls: Stalls, time: f64, draws: &mut Draws) -> Stalling {
        let next = Stretch { begins: time, ends: time, share: 0.0 };
        let mut stalling = Stalling { stalls, next };
        stalling.advance(draws);
        stalling
    }

    fn advance(&mut self, draws: &mut Draws) {
        let begins = self.next.ends + exponential(self.stalls.every.as_secs_f64(), draws);
        let ends = begins + self.stalls.lasts.draw(draws);
        let [least, most] = self.stalls.share;
        self.next = Stretch { begins, ends, share: least + (most - least) * draws.unit() };
    }

    /// The chance that a request of the second from here on fails, where `errors` do otherwise.
    pub fn errors(&mut self, errors: f64, from: f64, draws: &mut Draws) -> f64 {
        let mut all = errors;
        while self.next.begins < from + 1.0 {
            let Stretch { begins, ends, share } = self.next;
            let overlap = (ends.min(from + 1.0) - begins.max(from)).max(0.0);
            all += overlap * (share.max(errors) - errors);
            if ends > from + 1.0 {
                break;
            }
            self.advance(draws);
        }
        all
    }
}

/// Pauses of one upstream, and the requests that wait.
#[derive(Clone, Debug)]
pub(super) struct Pausing {
    pauses: Pauses,
    next: Stretch,
    /// When they came.
    waiting: Vec<f64>,
}

/// What a pause makes of a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Paused {
    /// Requests that came and do not end in this second.
    pub held: u64,
    /// Of those that end in it, how long each was held up.
    pub ended: Vec<Duration>,
}

impl Pausing {
    /// From this time on.
    pub fn from(pauses: Pauses, time: f64, draws: &mut Draws) -> Pausing {
        let next = Stretch { begins: time, ends: time, share: 0.0 };
        let mut pausing = Pausing { pauses, next, waiting: Vec::new() };
        pausing.advance(draws);
        pausing
    }

    fn advance(&mut self, draws: &mut Draws) {
        let begins = self.next.ends + exponential(self.pauses.every.as_secs_f64(), draws);
        let ends = begins + self.pauses.lasts.draw(draws);
        self.next = Stretch { begins, ends, share: 0.0 };
    }

    /// What becomes of so many requests that come in the second from here on.
    pub fn second(&mut self, requests: u64, from: f64, draws: &mut Draws) -> Paused {
        let mut paused = Paused::default();
        while self.next.begins < from + 1.0 {
            let Stretch { begins, ends, .. } = self.next;
            let (first, last) = (begins.max(from), ends.min(from + 1.0));
            let came =
                binomial(requests, (last - first).max(0.0), draws).min(requests - paused.held);
            paused.held += came;
            self.waiting.extend((0..came).map(|_| first + (last - first) * draws.unit()));
            if ends > from + 1.0 {
                break;
            }
            let held_up = |at: f64| Duration::from_secs_f64((ends - at).max(0.0));
            paused.ended.extend(self.waiting.drain(..).map(held_up));
            self.advance(draws);
        }
        paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn stalls_take_the_share_of_time_that_they_are_to() {
        println!("seed 3");
        let mut draws = Draws::seeded(3);
        for lasts in [Lasts::Exactly(secs(1)), Lasts::About(secs(3))] {
            let stalls = Stalls { every: secs(30), share: [0.0, 0.6], lasts };
            let mut stalling = Stalling::from(stalls, -100.0, &mut draws);
            let seconds = 200_000;
            let sum: f64 = (0..seconds)
                .map(|at| stalling.errors(0.001, f64::from(at) - 100.0, &mut draws))
                .sum();
            let mean = sum / f64::from(seconds);
            assert!((mean / stalls.usual(0.001) - 1.0).abs() < 0.05, "{lasts:?}: {mean}");
        }
    }

    #[test]
    fn who_waits_for_a_pause_ends_with_it_and_nobody_is_lost() {
        println!("seed 4");
        let mut draws = Draws::seeded(4);
        let lasts = Lasts::Exactly(Duration::from_millis(2_500));
        let mut pausing = Pausing::from(Pauses { every: secs(10), lasts }, 0.0, &mut draws);
        let (mut held, mut ended, mut longest) = (0, 0, Duration::ZERO);
        for second in 0..10_000 {
            let paused = pausing.second(20, f64::from(second), &mut draws);
            held += paused.held;
            ended += paused.ended.len() as u64;
            longest = paused.ended.into_iter().fold(longest, Duration::max);
        }
        assert_eq!(held, ended + pausing.waiting.len() as u64);
        assert!((0.18..0.22).contains(&(held as f64 / 200_000.0)), "{held}");
        assert!(longest <= lasts.mean() && longest > secs(2), "{longest:?}");
    }

    #[test]
    fn a_restart_takes_the_part_of_a_second_that_it_touches() {
        let once = Restarts { at: Duration::from_millis(5_500), lasts: secs(2), every: None };
        let away = |restarts: Restarts, from: u32| restarts.away(f64::from(from));
        let found: Vec<f64> = (4..9).map(|from| away(once, from)).collect();
        assert_eq!(found, [0.0, 0.5, 1.0, 0.5, 0.0]);
        let loops = Restarts { every: Some(secs(60)), ..once };
        assert_eq!([5, 6, 65, 66, 127].map(|from| away(loops, from)), [0.5, 1.0, 0.5, 1.0, 0.5]);
        let cold = Cold { factor: 3.0, lasts: secs(60) };
        assert_eq!(
            [0.0, 30.0, 60.0, 90.0].map(|since| cold.factor_at(since)),
            [3.0, 2.0, 1.0, 1.0]
        );
    }
}

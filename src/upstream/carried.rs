//! How an upstream stands, for the process that comes after this one: marks and counts in, a form of their
//! own out, and back.
//!
//! Times are told as how much of them is left: each process counts its moments from a start of its own.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Breaker, Conditions, Ejection, Proof, Upstream};
use crate::clock::Moment;

/// What a breaker knows. A field that another version does not write is as if nothing were known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedBreaker {
    /// How long it stays open, in milliseconds; none while it is closed.
    open: Option<u64>,
    streak: u64,
    opened: u64,
    /// All, failed and slow ones of the last ten seconds.
    window: [u64; 3],
}

/// How an upstream stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CarriedUpstream {
    /// [`Proof`], if it is probed; none if that is not known.
    proof: Option<bool>,
    breaker: CarriedBreaker,
    /// How long it is ejected, in milliseconds; none if it is not.
    ejected: Option<u64>,
    times: u32,
    ejections: u32,
    refuses: bool,
    /// How long it is left alone for failing, in milliseconds; none if it does not.
    fails: Option<u64>,
    failures: u32,
    weight: Option<u16>,
    drains: bool,
    /// Seconds to the head of its answers.
    latency: Option<f32>,
}

fn left(until: Moment, now: Moment) -> u64 {
    u64::try_from(until.elapsed_since(now).as_millis()).unwrap_or(u64::MAX)
}

/// No time that is told by another process lasts longer than anything here does.
fn until(left: u64, now: Moment) -> Moment {
    now + Duration::from_millis(left).min(Duration::from_secs(3_600))
}

impl Breaker {
    /// What it knows, for another process.
    pub fn carry(&self, now: Moment) -> CarriedBreaker {
        let closed = Moment::from_micros(self.closed.load(Ordering::Relaxed));
        CarriedBreaker {
            open: self.open_until().map(|until| left(until, now)),
            streak: self.streak.load(Ordering::Relaxed),
            opened: self.opened(),
            window: self.window.sums(closed, now),
        }
    }

    /// Goes on from what another process knew. It must be new.
    pub fn take_over(&self, carried: &CarriedBreaker, now: Moment) {
        self.streak.store(carried.streak, Ordering::Relaxed);
        self.opened.store(carried.opened, Ordering::Relaxed);
        self.window.add(carried.window, now);
        if let Some(open) = carried.open
            && self.turn(self.opening())
        {
            self.until.store(until(open, now).micros(), Ordering::Relaxed);
        }
    }
}

impl Ejection {
    fn take_over(&self, out: Moment, times: u32, total: u32) {
        self.until.store(out.micros(), Ordering::Relaxed);
        self.times.store(times, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }
}

impl Upstream {
    /// How it stands, for another process.
    pub fn carry(&self, now: Moment) -> CarriedUpstream {
        let conditions = self.conditions();
        let (weight, drains) = self.advice();
        CarriedUpstream {
            proof: match self.proof() {
                Proof::Unproven => None,
                Proof::Up => Some(true),
                Proof::Down => Some(false),
            },
            breaker: self.breaker.carry(now),
            ejected: conditions.any(Conditions::EJECTED).then(|| left(self.ejection.until(), now)),
            times: self.ejection.times.load(Ordering::Relaxed),
            ejections: self.ejection.total(),
            refuses: conditions.any(Conditions::REFUSING),
            fails: conditions.any(Conditions::FAILING).then(|| left(self.trials.until(), now)),
            failures: self.failures.load(Ordering::Relaxed),
            weight,
            drains,
            latency: self.latency.last(now).map(|(seconds, _)| seconds),
        }
    }

    /// Goes on from how it stood in another process. It must be new.
    pub fn take_over(&self, carried: &CarriedUpstream, now: Moment) {
        match carried.proof.filter(|_| self.proof() == Proof::Unproven) {
            Some(true) => self.set_proof(Proof::Up, now),
            Some(false) => self.set_proof(Proof::Down, now),
            None => {}
        }
        self.set_advice(carried.weight, carried.drains);
        self.breaker.take_over(&carried.breaker, now);
        self.note_breaker(now);
        let out = carried.ejected.map_or(Moment::default(), |left| until(left, now));
        self.ejection.take_over(out, carried.times, carried.ejections);
        if carried.ejected.is_some() {
            self.note_ejected(now);
        }
        if let Some(left) = carried.fails {
            self.trials.leave_alone(|_| until(left, now));
            self.put_out(Conditions::FAILING, now);
        }
        if carried.refuses {
            self.note_refused(now);
        }
        // What puts it out has begun to count anew.
        self.failures.store(carried.failures, Ordering::Relaxed);
        if let Some(seconds) = carried.latency.filter(|seconds| (0.0..3_600.0).contains(seconds)) {
            self.latency.observe(Duration::from_secs_f32(seconds), 0, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Draws;
    use crate::upstream::{Address, BreakerSettings, BreakerState, EjectionSettings, Fared};

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    fn new() -> Upstream {
        let address: Address = "127.0.0.1:9".parse().unwrap();
        Upstream::new(address, None)
    }

    fn over_the_wire(carried: &CarriedUpstream) -> CarriedUpstream {
        serde_json::from_str(&serde_json::to_string(carried).unwrap()).unwrap()
    }

    #[test]
    fn who_is_out_stays_out_for_as_long_in_the_next_process() {
        let (settings, mut draws) = (BreakerSettings::default(), Draws::seeded(1));
        let before = new();
        for _ in 0..settings.requests {
            let fared = Fared { failed: true, slow: false };
            before.breaker.note(fared, &settings, || true, at(1_000), &mut draws);
        }
        before.note_breaker(at(1_000));
        before.ejection.eject(&EjectionSettings::default(), at(1_000), &mut draws);
        before.note_ejected(at(1_000));
        before.note_refused(at(1_000));
        before.latency.observe(Duration::from_millis(250), 0, at(1_001));
        let carried = over_the_wire(&before.carry(at(1_001)));
        // Another clock, that began a moment ago.
        let after = new();
        after.take_over(&carried, at(3));
        assert_eq!(after.conditions(), before.conditions());
        assert_eq!(after.breaker.state(at(3)), BreakerState::Open);
        let left = |upstream: &Upstream, now| {
            let breaker = upstream.breaker.open_until().unwrap().elapsed_since(now);
            (breaker.as_millis(), upstream.ejection.until().elapsed_since(now).as_millis())
        };
        assert_eq!(left(&after, at(3)), left(&before, at(1_001)));
        assert_eq!(after.breaker.opened(), 1);
        assert_eq!(after.latency.seconds(0.0, at(3)), 0.25);
        assert_eq!(over_the_wire(&after.carry(at(3))).breaker.window, carried.breaker.window);
    }

    #[test]
    fn who_is_well_comes_as_well_and_what_is_not_known_is_as_new() {
        let before = new();
        let carried = over_the_wire(&before.carry(at(5)));
        let after = new();
        after.set_proof(Proof::Unproven, at(1));
        after.take_over(&carried, at(1));
        assert_eq!(after.proof(), Proof::Up);
        assert!(after.conditions().none());
        let other: CarriedUpstream = serde_json::from_str("{\"of_a_later_version\": 1}").unwrap();
        let unknown = new();
        unknown.set_proof(Proof::Unproven, at(1));
        unknown.take_over(&other, at(1));
        assert_eq!(unknown.proof(), Proof::Unproven);
    }
}

//! What comes together: what each upstream of a pool did in a second in, how many failures one cause
//! makes out.
//!
//! A pause, a restart or a lost connection makes many failures at once, and they say no more of a
//! version than one does. How many it makes is measured on every upstream of the pool, always: before
//! a rollout, in it and between two of them; an hour back, the older the less. `docs/judge.md` has the
//! formulas and what is proved of them; the reference is `bursts.md` 2.
//!
//! Integers come in and are summed over a fleet before they do; a second costs a few additions for each
//! upstream.

mod own;
mod scale;
mod seconds;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Counts;
use scale::Scale;

pub use own::Own;
pub use seconds::{Seconds, bad_second};

/// By how much the clustering that was measured is taken to be more: its estimate is a variance over a
/// mean, and the largest causes are larger.
const FACTOR: f64 = 1.5;

/// The same for the guard, which has a smaller α and no comparison.
const GUARDS_FACTOR: f64 = 3.0;

/// What one upstream did in one tick.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByUpstream {
    /// Its address.
    pub name: Arc<str>,
    /// Attempts at it that are judged. Where nobody of a pool could be asked, that is an attempt at its
    /// first upstream.
    pub attempts: Counts,
    /// Good answers whose time counts.
    pub answers: u64,
    /// Those of them that were slower than the pool's p50, p95 and p99.
    pub slow: [u64; 3],
}

/// What is known of how failures, and slow answers, of a pool's upstreams come together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bursts {
    failures: Clusters,
    /// Of p50, p95 and p99.
    slow: [Clusters; 3],
    seconds: Seconds,
}

/// How one kind of events comes together, in blocks of ten, of forty and of a hundred and sixty ticks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Scale>")]
pub struct Clusters([Scale; 3]);

impl Bursts {
    /// Hears what each upstream of the pool did in a tick; also those that had nothing to do.
    pub fn tick(&mut self, upstreams: &[ByUpstream]) {
        self.failures.tick(upstreams, |upstream| upstream.attempts.consistent());
        for (place, clusters) in self.slow.iter_mut().enumerate() {
            clusters.tick(upstreams, |upstream| {
                let (total, bad) = (upstream.answers, upstream.slow[place]);
                Counts { total, bad }.consistent()
            });
        }
        self.seconds.tick(upstreams);
    }

    /// How failures come together.
    pub fn failures(&self) -> &Clusters {
        &self.failures
    }

    /// How answers slower than the p50, the p95 and the p99 do.
    pub fn slow(&self) -> &[Clusters; 3] {
        &self.slow
    }

    /// The last hour, second by second.
    pub fn seconds(&self) -> &Seconds {
        &self.seconds
    }

    /// The process was away: what comes next is no neighbour of what was last.
    pub fn interrupt(&mut self) {
        self.failures.interrupt();
        self.slow.iter_mut().for_each(Clusters::interrupt);
        self.seconds.interrupt();
    }
}

impl Clusters {
    /// The lengths of blocks, in ticks.
    pub const LENGTHS: [u32; 3] = [10, 40, 160];

    fn tick(&mut self, upstreams: &[ByUpstream], of: impl Fn(&ByUpstream) -> Counts) {
        for scale in &mut self.0 {
            scale.tick(upstreams, &of);
        }
    }

    fn interrupt(&mut self) {
        self.0.iter_mut().for_each(Scale::interrupt);
    }

    /// κ at each length: how many more events one event brings along, for each other request that its
    /// upstream has in that second. What all upstreams share is not among them.
    pub fn kappas(&self) -> [f64; 3] {
        self.0.each_ref().map(Scale::kappa)
    }

    /// κ as evidence is divided by.
    pub fn kappa(&self) -> f64 {
        FACTOR * self.most()
    }

    /// The largest of them as they were measured.
    pub fn most(&self) -> f64 {
        self.kappas().into_iter().fold(0.0, f64::max)
    }

    /// κ as the guard divides by.
    pub fn kappa_for_guard(&self) -> f64 {
        GUARDS_FACTOR * self.most()
    }

    /// The same where nothing runs beside the canary: with what all upstreams share, for there is
    /// nobody to share it with.
    pub fn kappa_alone(&self) -> f64 {
        FACTOR * self.most_alone()
    }

    /// And as the guard divides by there.
    pub fn kappa_for_guard_alone(&self) -> f64 {
        GUARDS_FACTOR * self.most_alone()
    }

    fn most_alone(&self) -> f64 {
        self.0.each_ref().map(Scale::kappa_alone).into_iter().fold(0.0, f64::max)
    }
}

impl From<Vec<Scale>> for Clusters {
    /// A length that is not among them begins anew: an older version had two.
    fn from(stored: Vec<Scale>) -> Clusters {
        let mut clusters = Clusters::default();
        for scale in stored {
            let same = clusters.0.iter_mut().find(|known| known.length() == scale.length());
            same.into_iter().for_each(|known| known.clone_from(&scale));
        }
        clusters
    }
}

impl Default for Clusters {
    fn default() -> Clusters {
        Clusters(Clusters::LENGTHS.map(Scale::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_version_stored_of_two_lengths_goes_on() {
        let mut clusters = Clusters::default();
        let second = |at: u64| {
            let attempts = Counts { total: 50, bad: if at % 60 < 3 { 25 } else { 0 } };
            [ByUpstream { name: "a".into(), attempts, ..ByUpstream::default() }]
        };
        (0..600).for_each(|at| clusters.tick(&second(at), |one| one.attempts));
        let text = serde_json::to_string(&clusters).unwrap();
        assert_eq!(serde_json::from_str::<Clusters>(&text).unwrap(), clusters);
        let scales: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let two = serde_json::to_string(&scales[..2]).unwrap();
        let mut read: Clusters = serde_json::from_str(&two).unwrap();
        assert_eq!(read.kappas()[..2], clusters.kappas()[..2]);
        assert!(read.kappas()[0] > 0.0 && read.kappas()[2] == 0.0);
        (0..600).for_each(|at| read.tick(&second(at), |one| one.attempts));
        assert!(read.kappas()[2] > 0.0, "{:?}", read.kappas());
    }
}

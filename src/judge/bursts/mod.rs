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
#[serde(from = "Stored", into = "Stored")]
pub struct Bursts {
    failures: Clusters,
    /// Of p50, p95 and p99.
    slow: [Clusters; 3],
    seconds: Seconds,
}

/// How one kind of events comes together, in blocks of ten, of forty and of a hundred and sixty ticks.
#[derive(Clone, Debug, PartialEq)]
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

/// As it is kept. What an older version does not know stands in fields of its own, which that leaves alone: the
/// longest blocks, which it had none of, and for which its form has no place.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    failures: Vec<Scale>,
    slow: Vec<Vec<Scale>>,
    seconds: Seconds,
    /// Of failures, then of p50, p95 and p99.
    longest: Vec<Scale>,
}

impl From<Bursts> for Stored {
    fn from(Bursts { failures, slow, seconds }: Bursts) -> Stored {
        let (failures, longest) = failures.parted();
        let mut stored = Stored { failures, seconds, longest: vec![longest], ..Stored::default() };
        for (shorter, longest) in slow.map(Clusters::parted) {
            stored.slow.push(shorter);
            stored.longest.push(longest);
        }
        stored
    }
}

impl From<Stored> for Bursts {
    fn from(Stored { failures, slow, seconds, longest }: Stored) -> Bursts {
        let mut all = [failures].into_iter().chain(slow);
        let mut longest = longest.into_iter();
        // One version had all lengths in one list.
        let mut clusters = || Clusters::of(all.next().into_iter().flatten().chain(longest.next()));
        let failures = clusters();
        Bursts { failures, slow: [(); 3].map(|()| clusters()), seconds }
    }
}

impl Clusters {
    /// The two shorter lengths, and the longest.
    fn parted(self) -> (Vec<Scale>, Scale) {
        let [short, middle, longest] = self.0;
        (vec![short, middle], longest)
    }

    /// Of these; a length that is not among them begins anew.
    fn of(stored: impl Iterator<Item = Scale>) -> Clusters {
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

    /// What the version before the longest blocks wrote of 605 seconds, and what it knew by then.
    const OLDER: &str = include_str!("older.json");
    const KAPPAS: [f64; 2] = [1.3917414685816876, 0.6647963775368255];

    /// As that version reads it: lists of two lengths and no more.
    #[derive(Deserialize)]
    struct Older {
        failures: [Scale; 2],
        slow: [[Scale; 2]; 3],
    }

    fn second(at: u64) -> [ByUpstream; 2] {
        let bad = if at % 60 < 3 { 25 } else { 0 };
        [("10.0.0.1:80", bad), ("10.0.0.2:80", 0)].map(|(name, bad)| {
            let attempts = Counts { total: 50, bad };
            ByUpstream { name: name.into(), attempts, answers: 50 - bad, slow: [20, 3, 1] }
        })
    }

    #[test]
    fn what_an_older_version_stored_of_two_lengths_goes_on() {
        let mut read: Bursts = serde_json::from_str(OLDER).unwrap();
        let [short, middle, longest] = read.failures.kappas();
        assert_eq!(([short, middle], longest), (KAPPAS, 0.0));
        assert!((read.seconds.mean() - 44.48).abs() < 0.01, "{}", read.seconds.mean());
        (0..900).for_each(|at| read.tick(&second(at)));
        assert!(read.failures.kappas()[2] > 0.0, "{:?}", read.failures.kappas());
    }

    #[test]
    fn what_is_stored_is_read_by_an_older_version_and_by_this_one_to_the_last_bit() {
        let mut bursts: Bursts = serde_json::from_str(OLDER).unwrap();
        (0..900).for_each(|at| bursts.tick(&second(at)));
        let text = serde_json::to_string(&bursts).unwrap();
        assert!(serde_json::from_str::<Bursts>(&text).unwrap() == bursts, "{text}");
        let older: Older = serde_json::from_str(&text).unwrap();
        assert_eq!(older.failures, bursts.failures.clone().0[..2]);
        for (older, clusters) in older.slow.iter().zip(&bursts.slow) {
            assert_eq!(older[..], clusters.0[..2]);
        }
        // And what the version between them wrote, with three lengths in a list.
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let longest = value.as_object_mut().unwrap().remove("longest").unwrap();
        value["failures"].as_array_mut().unwrap().push(longest[0].clone());
        for (slow, longest) in (0..3).zip(&longest.as_array().unwrap()[1..]) {
            value["slow"][slow].as_array_mut().unwrap().push(longest.clone());
        }
        assert!(serde_json::from_value::<Bursts>(value).unwrap() == bursts);
    }
}

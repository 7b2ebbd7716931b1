//! Recordings of worlds that are made up, as a proxy would have made them; for tests.

use std::sync::Arc;
use std::time::Duration;

use super::{MINUTE, PoolSecond, Recording, Ring};
use crate::clock::{Draws, WallTime};
use crate::judge::bursts::ByUpstream;
use crate::judge::{Counts, Distribution};
use crate::sampling::{binomial, poisson};

/// Minutes of a pool whose upstreams get so many requests a second, each failing by these chances.
pub fn recording(
    minutes: usize,
    upstreams: usize,
    rate: f64,
    fails: impl FnMut(usize, usize, &mut Draws) -> f64,
) -> Recording {
    seeded(5, (minutes, upstreams, rate), fails)
}

/// The same by chance of another seed.
pub fn seeded(
    seed: u64,
    (minutes, upstreams, rate): (usize, usize, f64),
    mut fails: impl FnMut(usize, usize, &mut Draws) -> f64,
) -> Recording {
    let (mut ring, mut draws) = (Ring::default(), Draws::seeded(seed));
    let (pool, millis): (Arc<str>, _) = ("blue".into(), Duration::from_millis);
    let names: Vec<Arc<str>> =
        (0..upstreams).map(|number| format!("10.0.0.{number}:80").into()).collect();
    for at in 0..minutes * MINUTE {
        let mut took = Distribution::default();
        let mut one = |(place, name): (usize, &Arc<str>)| {
            let total = poisson(rate, &mut draws);
            let bad = binomial(total, fails(at, place, &mut draws), &mut draws);
            let median = binomial(total - bad, 0.5, &mut draws);
            let most = binomial(median, 0.1, &mut draws);
            let tail = binomial(most, 0.2, &mut draws);
            let slow = [median, most, tail];
            let parts = [total - bad - median, median - most, most - tail, tail];
            for (time, count) in [40, 80, 150, 300].into_iter().zip(parts) {
                took.add_many(millis(time), count);
            }
            let attempts = Counts { total, bad };
            ByUpstream { name: name.clone(), attempts, answers: total - bad, slow }
        };
        let came: Vec<ByUpstream> = names.iter().enumerate().map(&mut one).collect();
        let slow_from = Some([50, 120, 200].map(millis));
        let second = PoolSecond { pool: &pool, upstreams: &came, took: Some(&took), slow_from };
        ring.note([second].into_iter(), WallTime::from_millis(at as u64 * 1_000));
    }
    ring.recording()
}

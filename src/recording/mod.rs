//! What the upstreams of a service did in the last hour: seconds in, whole minutes out, the newest last.
//!
//! Of each upstream and second there are its requests, its failures and its slow answers; of each pool and
//! minute how long answers took. A minute never changes once it is whole, so that it is stored once, and
//! whoever looks at an hour shares it. A rollout can be rehearsed with that, and the judge be checked.
//!
//! [`Recording`] is what there is at one moment, [`Ring`] what it is taken from, [`Second`] one upstream in
//! one second, [`Playback`] what a minute was like for whoever plays it again.

mod playback;
mod ring;
mod second;
#[cfg(test)]
pub mod worlds;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::WallTime;
use crate::judge::Distribution;

pub use playback::{Answers, Playback};
pub use ring::{MOST_MINUTES, PoolSecond, Ring};
pub use second::{NoSecond, Second};

/// Seconds of a minute.
pub const MINUTE: usize = 60;

/// What a service did, in whole minutes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// The oldest first.
    pub minutes: Vec<Arc<Minute>>,
}

/// A whole minute of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    /// Counts from 0, and on after a restart.
    pub number: u64,
    /// When it ended.
    pub ended: WallTime,
    /// Whether it directly follows the one before.
    pub follows: bool,
    /// In the order of names.
    pub pools: Vec<PoolMinute>,
}

/// A whole minute of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolMinute {
    /// Its name.
    pub pool: Arc<str>,
    /// From how many microseconds on its answers were slow: its p50, p95 and p99 of the minutes before; all
    /// 0 if that was not known yet.
    pub slow_from: [u64; 3],
    /// How long its good answers took.
    pub took: Distribution,
    /// Its upstreams, each with its seconds as [`Second::read_all`] reads them.
    pub upstreams: Vec<(Arc<str>, Box<str>)>,
}

impl Recording {
    /// How long it is.
    pub fn length(&self) -> Duration {
        Duration::from_secs((self.minutes.len() * MINUTE) as u64)
    }

    /// The pool that had the most requests; none if nothing came.
    pub fn busiest(&self) -> Option<Arc<str>> {
        busiest(&self.minutes)
    }
}

/// The pool that had the most requests in these minutes; the first of those that had as many.
pub fn busiest(minutes: &[Arc<Minute>]) -> Option<Arc<str>> {
    let mut all: Vec<(&Arc<str>, u64)> = Vec::new();
    for pool in minutes.iter().flat_map(|minute| &minute.pools) {
        let requests = pool.requests();
        match all.iter_mut().find(|(name, _)| *name == &pool.pool) {
            Some((_, sum)) => *sum += requests,
            None => all.push((&pool.pool, requests)),
        }
    }
    let most = all.iter().map(|(_, sum)| *sum).max().filter(|most| *most > 0)?;
    all.iter().find(|(_, sum)| *sum == most).map(|(name, _)| (*name).clone())
}

impl Minute {
    /// What it takes to keep it, in bytes, near enough.
    pub fn bytes(&self) -> usize {
        let of_pool = |pool: &PoolMinute| {
            let upstreams = pool.upstreams.iter();
            let seconds: usize = upstreams.map(|(_, seconds)| seconds.len() + 48).sum();
            seconds + pool.took.bytes() + 160
        };
        self.pools.iter().map(of_pool).sum::<usize>() + 96
    }

    /// One of its pools.
    pub fn pool(&self, name: &str) -> Option<&PoolMinute> {
        self.pools.iter().find(|pool| *pool.pool == *name)
    }
}

impl PoolMinute {
    /// How many requests it had.
    pub fn requests(&self) -> u64 {
        let seconds = self.upstreams.iter().flat_map(|(_, text)| Second::read_all(text));
        seconds.flatten().flatten().map(|second| u64::from(second.total)).sum()
    }
}

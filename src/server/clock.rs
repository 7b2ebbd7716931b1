//! The machine's time and chance: nothing in, the one [`Clock`] of the process out.
//!
//! The only file that reads either, so that everything else can be run on other time and dice.

use std::time::{Instant, SystemTime};

use crate::clock::Clock;
use crate::split::Secret;

/// The machine's own clock, with a fast generator for draws that need not be secret.
pub fn system() -> Clock {
    Clock { now: Instant::now, wall: SystemTime::now, draw: || fastrand::u64(..) }
}

/// A fresh key for the cohort hash, from the system's random source.
pub fn secret() -> std::io::Result<Secret> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(std::io::Error::from)?;
    Ok(Secret(key))
}

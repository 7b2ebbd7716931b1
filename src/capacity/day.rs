//! One day of one pool, as it is stored: an hour's highest values, and windows by load.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bands::Bands;
use crate::clock::WallTime;

/// Hours of a day.
const HOURS: u32 = 24;

/// Milliseconds of an hour.
const HOUR: u64 = 60 * 60 * 1_000;

/// Days since the Unix epoch, by universal time.
pub type DayNumber = u32;

/// What was highest in one hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f32, u32, f32)", into = "(f32, u32, f32)")]
pub(super) struct Peak {
    /// Requests of the pool per second, over ten seconds.
    pub rate: f32,
    /// Requests that it held at once.
    pub in_flight: u32,
    /// Requests per second and 100 of weight that one upstream carried well, over ten seconds; 0 if none did.
    pub carried: f32,
}

/// What is kept of one day of a pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Day {
    hours: BTreeMap<u8, Peak>,
    pub(super) bands: Bands,
}

impl From<(f32, u32, f32)> for Peak {
    fn from((rate, in_flight, carried): (f32, u32, f32)) -> Peak {
        Peak { rate, in_flight, carried }
    }
}

impl From<Peak> for (f32, u32, f32) {
    fn from(peak: Peak) -> (f32, u32, f32) {
        (peak.rate, peak.in_flight, peak.carried)
    }
}

impl Peak {
    /// Each of the higher values of two.
    fn raise(&mut self, other: Peak) {
        self.rate = self.rate.max(other.rate);
        self.in_flight = self.in_flight.max(other.in_flight);
        self.carried = self.carried.max(other.carried);
    }

    /// Whether it is so much above another that it is worth storing before the hour is over.
    pub(super) fn is_news_after(&self, stored: Peak) -> bool {
        let above = |new: f32, old: f32| new > old * 1.05;
        above(self.rate, stored.rate)
            || above(self.in_flight as f32, stored.in_flight as f32)
            || above(self.carried, stored.carried)
    }
}

impl Day {
    /// Takes in a peak of one of its hours.
    pub(super) fn raise(&mut self, hour: u8, peak: Peak) {
        self.hours.entry(hour).or_default().raise(peak);
    }

    /// One of its hours.
    pub(super) fn hour(&self, hour: u8) -> Peak {
        self.hours.get(&hour).copied().unwrap_or_default()
    }

    /// Its hours in which anything came.
    pub(super) fn hours(&self) -> impl Iterator<Item = (u8, Peak)> {
        let real = self.hours.iter().filter(|(hour, _)| u32::from(**hour) < HOURS);
        real.map(|(hour, peak)| (*hour, *peak))
    }
}

/// The day and the hour of a moment.
pub(super) fn place_of(wall: WallTime) -> (DayNumber, u8) {
    let hours = wall.millis() / HOUR;
    let day = DayNumber::try_from(hours / u64::from(HOURS)).unwrap_or(DayNumber::MAX);
    (day, (hours % u64::from(HOURS)) as u8)
}

/// When an hour began.
pub(super) fn began(day: DayNumber, hour: u8) -> WallTime {
    WallTime::from_millis((u64::from(day) * u64::from(HOURS) + u64::from(hour)) * HOUR)
}

//! How long answers took by how much was in flight: windows in, the load at which p99 doubles out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bands in one doubling of the load: neighbours differ by 19 %.
const IN_A_DOUBLING: f64 = 4.0;

/// The band of a load of 1; the least is 1/256.
const OF_ONE: f64 = 32.0;

/// The last band; what is above is in it, from 16 million on.
const LAST: f64 = 127.0;

/// Windows that say anything: a minute of them.
const FEWEST: u32 = 6;

/// What is so many times as slow is overloaded.
const DOUBLED: f64 = 2.0;

/// The windows in which about so much was in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "(u32, f32, f32)", into = "(u32, f32, f32)")]
pub(super) struct Band {
    /// How many.
    windows: u32,
    /// The sum of the logarithms of their p99 in seconds, so that one that stalls does not stand for all.
    ln_p99: f32,
    /// The sum of their rates.
    rates: f32,
}

/// All of them, by how much was in flight for each 100 of weight that was well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bands(BTreeMap<u8, Band>);

impl From<(u32, f32, f32)> for Band {
    fn from((windows, ln_p99, rates): (u32, f32, f32)) -> Band {
        Band { windows, ln_p99, rates }
    }
}

impl From<Band> for (u32, f32, f32) {
    fn from(band: Band) -> (u32, f32, f32) {
        (band.windows, band.ln_p99, band.rates)
    }
}

impl Band {
    fn add(&mut self, other: &Band) {
        self.windows = self.windows.saturating_add(other.windows);
        self.ln_p99 += other.ln_p99;
        self.rates += other.rates;
    }

    /// What p99 usually was; none if too few windows say so.
    fn p99(&self) -> Option<f64> {
        let mean = f64::from(self.ln_p99) / f64::from(self.windows);
        (self.windows >= FEWEST && mean.is_finite()).then(|| mean.exp())
    }

    fn rate(&self) -> f64 {
        f64::from(self.rates) / f64::from(self.windows.max(1))
    }
}

impl Bands {
    /// Takes in a window.
    pub fn note(&mut self, load: f64, p99: f64, rate: f64) {
        // Of what took no time there is no logarithm.
        let ln_p99 = p99.max(1e-6).ln() as f32;
        self.0.entry(band(load)).or_default().add(&Band { windows: 1, ln_p99, rates: rate as f32 });
    }

    /// Takes in all of others.
    pub fn add(&mut self, others: &Bands) {
        others.0.iter().for_each(|(at, band)| self.0.entry(*at).or_default().add(band));
    }

    /// What p99 is while little is in flight: in the least loaded half of all windows.
    pub fn usual_p99(&self) -> Option<f64> {
        let all: u32 = self.0.values().map(|band| band.windows).sum();
        let mut calm = Band::default();
        for band in self.0.values() {
            if calm.windows >= all.div_ceil(2) {
                break;
            }
            calm.add(band);
        }
        calm.p99()
    }

    /// Whether a window with this p99 was overloaded; no where nobody knows what is usual.
    pub fn is_slow(&self, p99: f64) -> bool {
        self.usual_p99().is_some_and(|usual| p99 >= usual * DOUBLED)
    }

    /// The least load for each 100 of weight from which on p99 is twice what it is below, if more came there
    /// than below: where only answers are slower, so that more of them are under way, the load is not why.
    pub fn doubled(&self) -> Option<f64> {
        let mut all = Band::default();
        self.0.values().for_each(|band| all.add(band));
        let mut below = Band::default();
        for (at, band) in &self.0 {
            let above = Band {
                windows: all.windows - below.windows,
                ln_p99: all.ln_p99 - below.ln_p99,
                rates: all.rates - below.rates,
            };
            let own = (f64::from(band.ln_p99) / f64::from(band.windows)).exp();
            if let (Some(calm), Some(slow)) = (below.p99(), above.p99())
                && slow.min(own) >= calm * DOUBLED
                && above.rate() > below.rate()
            {
                return Some(least(*at));
            }
            below.add(band);
        }
        None
    }
}

/// The band of a load.
fn band(load: f64) -> u8 {
    (load.max(1e-9).log2() * IN_A_DOUBLING + OF_ONE).floor().clamp(0.0, LAST) as u8
}

/// The least load of a band.
fn least(band: u8) -> f64 {
    ((f64::from(band) - OF_ONE) / IN_A_DOUBLING).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_begins_where_the_one_before_ends() {
        for load in [0.01, 0.5, 1.0, 3.0, 7.9, 8.0, 1_000.0] {
            let at = band(load);
            assert!(least(at) <= load * 1.000_001 && load < least(at + 1), "{load} {at}");
        }
        assert_eq!((band(0.0), band(1e30)), (0, 127));
    }

    #[test]
    fn the_load_is_found_at_which_p99_doubles() {
        let mut bands = Bands::default();
        for load in 1..=40u32 {
            let p99 = if load < 20 { 0.05 } else { 0.05 * f64::from(load) / 8.0 };
            (0..6).for_each(|_| bands.note(load.into(), p99, f64::from(load) * 10.0));
        }
        let at = bands.doubled().unwrap();
        assert!((16.0..=20.0).contains(&at), "{at}");
        assert!(bands.is_slow(0.15) && !bands.is_slow(0.09));
    }

    #[test]
    fn what_is_slow_without_more_coming_is_not_the_load() {
        let mut bands = Bands::default();
        // A database stalls: more is under way because each takes longer, at the same rate.
        for _ in 0..60 {
            bands.note(4.0, 0.05, 100.0);
            bands.note(40.0, 0.5, 100.0);
        }
        assert_eq!(bands.doubled(), None);
    }

    #[test]
    fn a_minute_of_windows_says_something_and_less_does_not() {
        let mut bands = Bands::default();
        (0..5).for_each(|_| bands.note(2.0, 0.05, 10.0));
        assert_eq!((bands.usual_p99(), bands.is_slow(9.0)), (None, false));
        (0..5).for_each(|_| bands.note(20.0, 0.5, 90.0));
        assert_eq!(bands.doubled(), None);
        (0..2).for_each(|_| bands.note(2.0, 0.05, 10.0));
        assert_eq!(bands.doubled(), None, "five above");
        bands.note(20.0, 0.5, 90.0);
        assert!(bands.doubled().is_some());
    }

    #[test]
    fn one_that_stalls_does_not_stand_for_all() {
        let mut bands = Bands::default();
        (0..60).for_each(|_| bands.note(2.0, 0.05, 10.0));
        bands.note(2.1, 30.0, 11.0);
        assert!(bands.usual_p99().unwrap() < 0.06, "{bands:?}");
    }
}

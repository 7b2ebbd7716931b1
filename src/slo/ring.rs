//! Samples of counters that only grow, at three grains: moments and counts in, the counts of any
//! window out.
//!
//! What came in a window is the newest count less that of the newest sample that is at least as old
//! as the window. So a window is never shorter than asked for, and longer by less than a grain and
//! the time between two looks. A ring keeps one sample beyond its horizon, and all after it, in the
//! blocks in which they are stored.
//!
//! Samples carry wall time, because they outlast the process. While it is away nothing is sampled
//! and nothing counted: the gap is simply there. A clock that was set back takes the samples out
//! that lie in the future then; their counts stay in the totals.

use std::sync::Arc;
use std::time::Duration;

use super::Span;
use super::samples::Samples;
use crate::clock::WallTime;
use crate::judge::Counts;

/// Totals at a moment, which is a whole second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: WallTime,
    /// All until then.
    pub counts: Counts,
}

/// How far apart samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grain {
    /// Ten seconds, for windows up to six hours.
    Fine = 0,
    /// Five minutes, for windows up to three days.
    Middle = 1,
    /// An hour, for the budget's own window.
    Coarse = 2,
}

/// Samples of one stretch of time, as they are kept together. Its number is that of the stretch,
/// counted from the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// How far apart they are.
    pub grain: Grain,
    /// Which stretch.
    pub number: u64,
    /// The oldest first.
    pub samples: Vec<Sample>,
}

/// The samples of one objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Rings([Ring; Grain::ALL.len()]);

#[derive(Clone, Debug, PartialEq)]
struct Ring {
    grain: Grain,
    horizon: Duration,
    samples: Samples,
    /// All up to here are stored.
    saved: WallTime,
}

impl Grain {
    /// All of them, the finest first.
    pub const ALL: [Grain; 3] = [Grain::Fine, Grain::Middle, Grain::Coarse];

    /// Its word in keys.
    pub const fn name(self) -> &'static str {
        match self {
            Grain::Fine => "10s",
            Grain::Middle => "5m",
            Grain::Coarse => "1h",
        }
    }

    /// Seconds between two samples.
    const fn period(self) -> u64 {
        match self {
            Grain::Fine => 10,
            Grain::Middle => 5 * 60,
            Grain::Coarse => 60 * 60,
        }
    }

    /// Seconds that a block is for: 180, 288 and 240 samples. Of each only the last is written
    /// again, so the first is the one whose size matters.
    const fn block(self) -> u64 {
        match self {
            Grain::Fine => 30 * 60,
            Grain::Middle => 24 * 60 * 60,
            Grain::Coarse => 10 * 24 * 60 * 60,
        }
    }

    /// The block that a sample belongs to.
    pub(super) fn block_of(self, sample: &Sample) -> u64 {
        sample.at.millis() / 1_000 / self.block()
    }
}

impl Rings {
    /// Empty ones, for a budget of this window.
    pub fn new(window: Duration) -> Rings {
        Rings(Grain::ALL.map(|grain| {
            let horizon = match grain {
                Grain::Fine => Span::H6.length(),
                Grain::Middle => Span::D3.length(),
                Grain::Coarse => window,
            };
            Ring { grain, horizon, samples: Samples::new(grain), saved: WallTime::default() }
        }))
    }

    /// Those that were stored, in any order.
    pub fn recall(window: Duration, blocks: impl IntoIterator<Item = Arc<Block>>) -> Rings {
        let mut rings = Rings::new(window);
        let mut stored = Grain::ALL.map(|_| Vec::new());
        for block in blocks {
            stored[block.grain as usize].push(block);
        }
        for (ring, blocks) in rings.0.iter_mut().zip(stored) {
            ring.samples = Samples::recall(ring.grain, blocks);
            ring.saved = ring.samples.back().map_or(ring.saved, |newest| newest.at);
        }
        // What came between the last sample of a coarser grain and the end of the process came
        // before the gap, and must not look like what comes after it.
        let newest = rings.0[Grain::Fine as usize].samples.back().copied();
        for ring in &mut rings.0 {
            let is_behind = |newest: &Sample| ring.samples.back().is_some_and(|s| s.at < newest.at);
            if let Some(newest) = newest.filter(is_behind) {
                ring.samples.push(newest);
            }
        }
        rings
    }

    /// For a budget of another window: what is kept already is used, and what is missing comes.
    pub fn set_window(&mut self, window: Duration) {
        self.0[Grain::Coarse as usize].horizon = window;
    }

    /// Samples the totals of this moment where it is time for that.
    pub fn note(&mut self, now: WallTime, counts: Counts) {
        let at = WallTime::from_millis(now.millis() / 1_000 * 1_000);
        self.0.iter_mut().for_each(|ring| ring.note(Sample { at, counts }));
    }

    /// Samples the totals of this moment at the finest grain, whether it is time for that or not:
    /// before they are stored, so that what is stored is what is so.
    pub fn mark(&mut self, now: WallTime, counts: Counts) {
        self.note(now, counts);
        let at = WallTime::from_millis(now.millis() / 1_000 * 1_000);
        let Ring { samples, saved, .. } = &mut self.0[Grain::Fine as usize];
        if samples.back().is_some_and(|newest| newest.at == at && newest.counts != counts) {
            samples.pop_back();
            *saved = samples.back().map_or(WallTime::default(), |newest| newest.at).min(*saved);
        }
        if samples.back().is_none_or(|newest| newest.at < at) {
            samples.push(Sample { at, counts });
        }
    }

    /// What came within the last `window`, given the totals now; since the oldest sample if there
    /// is none as old as the window.
    pub fn within(&self, window: Duration, now: WallTime, totals: Counts) -> Counts {
        let fits = |ring: &&Ring| window <= ring.horizon;
        let ring = self.0.iter().find(fits).unwrap_or(&self.0[Grain::Coarse as usize]);
        let before = ring.at_least(window, now).map_or(totals, |sample| sample.counts);
        Counts {
            total: totals.total.saturating_sub(before.total),
            bad: totals.bad.saturating_sub(before.bad),
        }
    }

    /// The highest totals that were sampled.
    pub fn totals(&self) -> Counts {
        let samples = self.0.iter().flat_map(|ring| ring.samples.iter());
        samples.map(|sample| sample.counts).max_by_key(|counts| counts.total).unwrap_or_default()
    }

    /// The oldest sample's moment; none before the first.
    pub fn began(&self) -> Option<WallTime> {
        self.0.iter().filter_map(|ring| ring.samples.front()).map(|sample| sample.at).min()
    }

    /// The newest sample's moment; none before the first.
    pub fn newest(&self) -> Option<WallTime> {
        self.0.iter().filter_map(|ring| ring.samples.back()).map(|sample| sample.at).max()
    }

    /// The blocks that hold something which is not stored yet, whole.
    pub fn unsaved(&self) -> Vec<Arc<Block>> {
        self.0.iter().flat_map(Ring::unsaved).cloned().collect()
    }

    /// The oldest block of each grain that is still needed; none if there is nothing of it.
    pub fn oldest_blocks(&self) -> impl Iterator<Item = (Grain, u64)> {
        let oldest = |ring: &Ring| Some((ring.grain, ring.grain.block_of(ring.samples.front()?)));
        self.0.iter().filter_map(oldest)
    }

    /// All that there is now is stored.
    pub fn set_saved(&mut self) {
        for ring in &mut self.0 {
            ring.saved = ring.samples.back().map_or(ring.saved, |newest| newest.at);
        }
    }
}

impl Ring {
    fn note(&mut self, sample: Sample) {
        while self.samples.back().is_some_and(|newest| newest.at > sample.at) {
            self.samples.pop_back();
            // Whatever comes now is to be stored in their place.
            self.saved = self.samples.back().map_or(WallTime::default(), |newest| newest.at);
        }
        let slot = |at: WallTime| at.millis() / 1_000 / self.grain.period();
        if self.samples.back().is_some_and(|newest| slot(newest.at) == slot(sample.at)) {
            return;
        }
        self.samples.push(sample);
        let is_beyond = |next: &Sample| sample.at.elapsed_since(next.at) >= self.horizon;
        while self.samples.second().is_some_and(is_beyond) {
            self.samples.pop_front();
        }
    }

    /// The newest sample that is at least so old, else the oldest.
    fn at_least(&self, age: Duration, now: WallTime) -> Option<&Sample> {
        self.samples.newest_of(|sample| now.elapsed_since(sample.at) >= age)
    }

    fn unsaved(&self) -> impl Iterator<Item = &Arc<Block>> {
        let is_saved =
            |block: &&Arc<Block>| block.samples.last().is_none_or(|last| last.at <= self.saved);
        self.samples.blocks().skip_while(is_saved)
    }
}

#[cfg(test)]
mod tests;

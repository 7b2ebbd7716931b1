//! The samples of a ring in the blocks in which they are stored: shared with who keeps them, so that
//! there is one of each in memory, until the newest block is written on.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Block, Grain, Sample};

/// Samples in the order of their moments.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    grain: Grain,
    /// None is empty; each holds what its number stands for.
    blocks: VecDeque<Arc<Block>>,
    /// How many at the front of the first block count no more. Always fewer than it has.
    gone: usize,
}

impl Samples {
    /// None yet.
    pub fn new(grain: Grain) -> Samples {
        Samples { grain, blocks: VecDeque::new(), gone: 0 }
    }

    /// Those that were stored, in any order.
    pub fn recall(grain: Grain, mut blocks: Vec<Arc<Block>>) -> Samples {
        blocks.retain(|block| !block.samples.is_empty());
        blocks.sort_by_key(|block| block.number);
        let all = || blocks.iter().flat_map(|block| &block.samples);
        let fits = |block: &Arc<Block>| {
            block.samples.iter().all(|sample| grain.block_of(sample) == block.number)
        };
        if all().is_sorted_by_key(|sample| sample.at) && blocks.iter().all(fits) {
            return Samples { grain, blocks: blocks.into(), gone: 0 };
        }
        // Somebody has edited what was exported.
        let mut sorted: Vec<Sample> = all().copied().collect();
        sorted.sort_by_key(|sample| sample.at);
        let mut samples = Samples::new(grain);
        sorted.into_iter().for_each(|sample| samples.push(sample));
        samples
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.blocks.iter().flat_map(|block| &block.samples).skip(self.gone)
    }

    /// The oldest.
    pub fn front(&self) -> Option<&Sample> {
        self.iter().next()
    }

    /// The one after the oldest.
    pub fn second(&self) -> Option<&Sample> {
        self.iter().nth(1)
    }

    /// The newest.
    pub fn back(&self) -> Option<&Sample> {
        self.blocks.back()?.samples.last()
    }

    /// The newest that `is_old_enough`, else the oldest. All before one that is are so as well.
    pub fn newest_of(&self, is_old_enough: impl Fn(&Sample) -> bool) -> Option<&Sample> {
        let begins_old = |block: &Arc<Block>| block.samples.first().is_some_and(&is_old_enough);
        let place = self.blocks.partition_point(begins_old).saturating_sub(1);
        let block = self.blocks.get(place)?;
        let gone = if place == 0 { self.gone } else { 0 };
        let count = block.samples.partition_point(is_old_enough);
        block.samples.get(count.saturating_sub(1).max(gone))
    }

    /// Adds the newest one.
    pub fn push(&mut self, sample: Sample) {
        let number = self.grain.block_of(&sample);
        match self.blocks.back_mut().filter(|block| block.number == number) {
            Some(block) => Arc::make_mut(block).samples.push(sample),
            None => {
                let (grain, samples) = (self.grain, vec![sample]);
                self.blocks.push_back(Arc::new(Block { grain, number, samples }));
            }
        }
    }

    /// Takes the newest one out.
    pub fn pop_back(&mut self) {
        let gone = if self.blocks.len() == 1 { self.gone } else { 0 };
        let Some(block) = self.blocks.back_mut() else { return };
        if block.samples.len() <= gone + 1 {
            self.blocks.pop_back();
            self.gone -= gone;
            return;
        }
        Arc::make_mut(block).samples.pop();
    }

    /// Takes the oldest one out.
    pub fn pop_front(&mut self) {
        let Some(block) = self.blocks.front() else { return };
        self.gone += 1;
        if self.gone == block.samples.len() {
            self.blocks.pop_front();
            self.gone = 0;
        }
    }

    /// The blocks, the oldest first.
    pub fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.iter()
    }
}

impl PartialEq for Samples {
    /// Whatever else lies in their blocks.
    fn eq(&self, other: &Samples) -> bool {
        self.grain == other.grain && self.iter().eq(other.iter())
    }
}

//! What connect checks found of an upstream: when the last one began and whether a connection was made
//! in, and out for whoever is about to give it traffic.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;

/// The last connect check.
#[derive(Debug, Default)]
pub struct Checked {
    /// One more than when it began, in microseconds, and whether a connection was made (the lowest
    /// bit); 0 before the first. One word, so that nobody reads the result of one with the time of another.
    word: AtomicU64,
}

impl Checked {
    /// A check that began then has ended.
    pub fn note(&self, began: Moment, accepts: bool) {
        let word = (began.micros() + 1) << 1 | u64::from(accepts);
        self.word.store(word, Ordering::Relaxed);
    }

    /// When the last check that has ended began, and whether a connection was made; none before the
    /// first.
    pub fn last(&self) -> Option<(Moment, bool)> {
        match self.word.load(Ordering::Relaxed) {
            0 => None,
            word => Some((Moment::from_micros((word >> 1) - 1), word & 1 == 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts() {
        let checked = Checked::default();
        assert_eq!(checked.last(), None);
        checked.note(Moment::default(), false);
        assert_eq!(checked.last(), Some((Moment::default(), false)));
        checked.note(Moment::from_micros(7), true);
        assert_eq!(checked.last(), Some((Moment::from_micros(7), true)));
        checked.note(Moment::from_micros(9), false);
        assert_eq!(checked.last(), Some((Moment::from_micros(9), false)));
    }
}

//! The conditions of one upstream as many threads set and clear them at once: what is put or taken in,
//! what holds out, in one load.
//!
//! Who clears has judged something first, and what was judged may be different by now: while one finds
//! that an ejection is over, another ejects again. So whatever is put is counted in the same word, and
//! who clears says what it has [seen](Seen) before it judged: if anything was put since, nothing is
//! cleared. A set and a cleared bit alone would not tell a mark from the one that was put again.

use super::sync::{AtomicU64, Ordering};
use super::{Conditions, changes};

/// Conditions (the lower 32 bits), and how often some were put (the upper 32).
#[derive(Debug, Default)]
pub(super) struct Marks(AtomicU64);

/// The marks at one moment, and what was put until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen(u64);

/// One that was put. It may wrap round: nobody judges for as long as four billion of them take.
const PUT: u64 = 1 << 32;

impl Marks {
    /// What holds. What was written before a mark was put, its time say, is seen with it.
    pub fn read(&self) -> Conditions {
        Conditions(self.0.load(Ordering::Acquire) as u32)
    }

    /// What holds, before something is judged by which marks are taken away. A write, so that it is in
    /// one order with those who put: they see what the looker has done before, or it sees what they have.
    pub fn look(&self) -> Seen {
        Seen(self.0.fetch_or(0, Ordering::AcqRel))
    }

    /// Puts marks that others take away. Answers with what held before.
    pub fn put(&self, marks: Conditions) -> Conditions {
        let next = |word: u64| Some((word | u64::from(marks.0)).wrapping_add(PUT));
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        changes::note();
        // The closure always answers, so both are the word before.
        Conditions(before.unwrap_or_else(|word| word) as u32)
    }

    /// Takes marks away for which it was judged that they are over, and puts others `instead`, in one
    /// step. Does nothing, and answers `false`, if anything was put since it was `seen`.
    pub fn take(&self, seen: Seen, over: Conditions, instead: Conditions) -> bool {
        let put = if instead.none() { 0 } else { PUT };
        let next = |word: u64| {
            let is_as_seen = word / PUT == seen.0 / PUT;
            let next = word & !u64::from(over.0) | u64::from(instead.0);
            is_as_seen.then_some(next.wrapping_add(put))
        };
        let is_taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok();
        changes::note();
        is_taken
    }

    /// Makes a mark agree with what it stands for. Whoever changes that calls this afterwards, with how
    /// to `put` the mark (always, so that who is about to take it away finds out) and how to `take` it.
    pub fn agree(
        &self,
        mark: Conditions,
        holds: impl Fn() -> bool,
        put: impl Fn(),
        take: impl Fn(Seen) -> bool,
    ) {
        loop {
            let seen = self.look();
            if holds() {
                put();
                // It may have ended before the mark was there for whoever ended it to see.
                if holds() {
                    return;
                }
            } else if !seen.conditions().any(mark) || take(seen) {
                return;
            }
        }
    }

    /// Sets or clears marks that one writer alone decides on.
    pub fn set(&self, marks: Conditions, holds: bool) {
        let marks = u64::from(marks.0);
        let before = match holds {
            true => self.0.fetch_or(marks, Ordering::AcqRel),
            false => self.0.fetch_and(!marks, Ordering::AcqRel),
        };
        // A probe says the same nearly always.
        if before & marks != if holds { marks } else { 0 } {
            changes::note();
        }
    }
}

impl Seen {
    /// What held.
    pub fn conditions(self) -> Conditions {
        Conditions(self.0 as u32)
    }
}

//! Whether all of an upstream's last requests failed: failures and successes in, a yes out.
//!
//! At least three within a second, of at least two clients and without a success among them: then
//! it is no accident and no one client's doing. One atomic word, so that a success costs a load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// Failures in a row: when the first came (38 bits of milliseconds, which are eight years), how many
/// (2), whether of more than one client (1), and the first one's key (23).
#[derive(Debug, Default)]
pub(super) struct Run(AtomicU64);

/// How long ago its first failure may be.
const WITHIN: Duration = Duration::from_secs(1);

/// How many failures make it.
const LEAST: u64 = 3;

const KEY: u64 = (1 << 23) - 1;
const MANY: u64 = 1 << 23;
const COUNT: u32 = 24;
const COUNTED: u64 = 3;
const STAMP: u32 = 26;

impl Run {
    /// A request went well.
    pub fn end(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// A request of this client failed; whether all of the last second's did. Of two at once one may
    /// be lost, which the next makes good.
    pub fn note(&self, client: u32, now: Moment) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        let (stamp, key) = (now.micros() / 1_000, u64::from(client) & KEY);
        let first = word >> STAMP;
        let is_old = u128::from(stamp.saturating_sub(first)) > WITHIN.as_millis();
        let next = match word == 0 || is_old {
            true => stamp << STAMP | 1 << COUNT | key,
            false => {
                let count = ((word >> COUNT & COUNTED) + 1).min(COUNTED);
                let many = word & MANY | if word & KEY == key { 0 } else { MANY };
                first << STAMP | count << COUNT | many | word & KEY
            }
        };
        self.0.store(next, Ordering::Relaxed);
        next >> COUNT & COUNTED >= LEAST && next & MANY != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn three_of_two_clients_within_a_second() {
        let run = Run::default();
        assert!(!run.note(1, at(0)) && !run.note(1, at(1)) && !run.note(1, at(2)), "one client");
        assert!(run.note(2, at(3)));
        run.end();
        assert!(!run.note(1, at(4)) && !run.note(2, at(5)) && run.note(1, at(6)));
        run.end();
        assert!(!run.note(1, at(10)) && !run.note(2, at(500)) && !run.note(3, at(1_100)));
        assert!(!run.note(4, at(1_200)) && run.note(4, at(1_300)));
    }

    #[test]
    fn what_failed_long_ago_is_no_part_of_it_however_long() {
        // A quarter, a half, three quarters and all of 32 bits of milliseconds.
        for quarters in 1..=4 {
            let run = Run::default();
            run.note(1, at(0));
            run.note(2, at(1));
            assert!(!run.note(3, at((quarters << 30) + 2)), "{quarters}");
        }
    }
}

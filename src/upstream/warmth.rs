//! Since when an upstream warms up: its first answer, refused connections and answers in; a moment out.
//!
//! What has just started answers slowly for a while: caches are cold, code is not compiled yet. That
//! says nothing of a version, so a judge leaves its latencies out. It has just started when it gives its
//! first answer, and when it answers again after its connections were refused for a second at least:
//! then its process was gone. An ejection for bad answers, a time-out or a drain starts nothing anew.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// For so long connections must have been refused; a restart takes longer, a full queue does not.
const GONE: Duration = Duration::from_secs(1);

/// Since when an upstream warms up.
#[derive(Debug, Default)]
pub struct Warmth {
    /// When its first answer began, in microseconds; 0 before it.
    first: AtomicU64,
    /// When it last came back, in microseconds; 0 if it never was gone.
    returned: AtomicU64,
    /// Since when its connections are refused, in microseconds; 0 while they are not.
    refused: AtomicU64,
    /// Whether its latencies are left out now.
    is_cold: AtomicBool,
}

/// Since when an upstream warms up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// It has answered nothing yet.
    Never,
    /// Its first answer as far as this process knows.
    First(Moment),
    /// Its return.
    Return(Moment),
}

impl Warmth {
    /// An answer begins; its connections were accepted again at that time, if that is known.
    pub(super) fn note_answer(&self, accepted: Moment, now: Moment) {
        if self.first.load(Ordering::Relaxed) == 0 {
            self.first.store(now.micros(), Ordering::Relaxed);
        }
        // Of each answer this is all, nearly always.
        if self.refused.load(Ordering::Relaxed) == 0 {
            return;
        }
        let refused = Moment::from_micros(self.refused.swap(0, Ordering::Relaxed));
        let end = if accepted > refused { accepted } else { now };
        if refused != Moment::default() && end.elapsed_since(refused) >= GONE {
            self.returned.store(now.micros(), Ordering::Relaxed);
        }
    }

    /// A connection is refused.
    pub(super) fn note_refused(&self, now: Moment) {
        let first = (0, now.micros());
        // It is refused already.
        let _ =
            self.refused.compare_exchange(first.0, first.1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Since when it warms up.
    pub fn since(&self) -> Since {
        let moment = |of: &AtomicU64| match of.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Moment::from_micros(micros)),
        };
        match (moment(&self.returned), moment(&self.first)) {
            (Some(at), _) => Since::Return(at),
            (None, Some(at)) => Since::First(at),
            (None, None) => Since::Never,
        }
    }

    /// Whether its latencies are left out now, as a rollout under way has said.
    pub fn is_cold(&self) -> bool {
        self.is_cold.load(Ordering::Relaxed)
    }

    /// Leaves its latencies out from now, or no more.
    pub fn set_cold(&self, is_cold: bool) {
        self.is_cold.store(is_cold, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn it_warms_up_from_its_first_answer_and_from_its_return() {
        let (warmth, never) = (Warmth::default(), Moment::default());
        assert_eq!(warmth.since(), Since::Never);
        warmth.note_answer(never, at(5_000));
        warmth.note_answer(never, at(6_000));
        assert_eq!(warmth.since(), Since::First(at(5_000)));
        warmth.note_refused(at(7_000));
        warmth.note_answer(never, at(7_900));
        assert_eq!(warmth.since(), Since::First(at(5_000)), "a moment is no restart");
        warmth.note_refused(at(8_000));
        warmth.note_refused(at(8_900));
        warmth.note_answer(never, at(9_000));
        assert_eq!(warmth.since(), Since::Return(at(9_000)));
        // It accepted again at once, and was asked a minute later.
        warmth.note_refused(at(20_000));
        warmth.note_answer(at(20_300), at(80_000));
        assert_eq!(warmth.since(), Since::Return(at(9_000)));
        warmth.note_refused(at(90_000));
        warmth.note_answer(at(91_000), at(99_000));
        assert_eq!(warmth.since(), Since::Return(at(99_000)));
    }
}

//! How an upstream that was put out comes back: what befell it in; whether a trial of it is due, and
//! when it is back, out.
//!
//! What put it out says what brings it back. One that refused connections is tried as soon as a
//! connect check finds that it accepts; one that answered badly, when a probe of it succeeds or its
//! own time is over, and while nobody else is well, once a second. A trial is one request at a
//! time; a few good answers in a row end it all (see the table in `docs/architecture.md`). One that
//! has shown nothing for two seconds holds up no other, or whoever sends a request slowly would keep
//! all of them away; what becomes of it counts all the same.
//!
//! Who was asked while it was out carries the number of that time: what ends late decides nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// Between two trials of one while nobody is well.
pub const APART: Duration = Duration::from_secs(1);

/// So long a trial under way keeps others from being made.
const SETTLES: Duration = Duration::from_secs(2);

/// What an upstream that is out has shown.
#[derive(Debug, Default)]
pub struct Trials {
    /// Number of its time out (32 bits), of the last trial in it (11), whether that is under way (1),
    /// good answers (20).
    word: AtomicU64,
    /// When the last trial began, or it was put out, in microseconds.
    tried: AtomicU64,
    /// When a connect check or a probe of it last succeeded.
    accepted: AtomicU64,
    /// How many did in a row since it was last asked.
    checks: AtomicU32,
    /// When it last refused a connection or could not be reached; 0 for never.
    refused: AtomicU64,
    /// Until when it is left alone for failing at everything.
    until: AtomicU64,
    /// How often it was, in a row.
    streak: AtomicU64,
}

/// Which time out a request was let through in, and whether as its trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    turn: u32,
    nth: u64,
    /// Whether it is the one that holds the place of the trial.
    pub is_due: bool,
}

/// What came of a request that was let through while its upstream was out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It decides nothing, or not yet.
    Nothing,
    /// It still fails.
    Fails,
    /// It has answered well often enough: it is back.
    Works,
}

/// Why an upstream is out, as far as it matters to when it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// It could not be reached.
    Refused,
    /// It answered badly or not at all: its own time ends then.
    Failed(Moment),
    /// Its probes say so alone.
    Probes,
}

/// When a trial is due. Of several the least one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Whether nothing has shown yet that it may work again.
    pub is_blind: bool,
    /// Whether nothing but its probes speaks against it.
    pub is_by_probes: bool,
    /// From when on.
    pub at: Moment,
}

const UNDER_WAY: u64 = 1 << 20;
const GOOD: u64 = UNDER_WAY - 1;
const NTH: u64 = 0x7FF << 21;
const ONE: u64 = 1 << 21;

impl Trials {
    /// It is put out now, or was in vain tried for another reason: what was good before is forgotten.
    pub(super) fn begin(&self, now: Moment) {
        self.tried.store(now.micros(), Ordering::Relaxed);
        self.checks.store(0, Ordering::Relaxed);
        let next = |word: u64| Some(((word >> 32) + 1) << 32);
        // The closure always answers, so this cannot fail.
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Lets a request through as the trial; none if one is under way that may still show something
    /// soon.
    pub fn enter(&self, now: Moment) -> Option<Trial> {
        let word = self.word.load(Ordering::Acquire);
        if self.keeps_others(word, now) {
            return None;
        }
        let nth = (word & NTH).wrapping_add(ONE) & NTH;
        let next = word & !NTH | nth | UNDER_WAY;
        // Before the word: who sees that this one is under way sees since when.
        self.tried.store(now.micros(), Ordering::Relaxed);
        let taken = self.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Relaxed);
        taken.ok().map(|_| {
            self.checks.store(0, Ordering::Relaxed);
            Trial { turn: (word >> 32) as u32, nth, is_due: true }
        })
    }

    /// Lets a request through beside any trial, because nobody is well.
    pub fn pass(&self) -> Trial {
        let turn = (self.word.load(Ordering::Acquire) >> 32) as u32;
        Trial { turn, nth: 0, is_due: false }
    }

    /// Whether a trial under way keeps others from being made.
    fn keeps_others(&self, word: u64, now: Moment) -> bool {
        word & UNDER_WAY != 0 && now < self.tried() + SETTLES
    }

    fn tried(&self) -> Moment {
        Moment::from_micros(self.tried.load(Ordering::Relaxed))
    }

    /// Hears how it went; `None` if nobody knows. It is back after this many good answers in a row.
    pub fn leave(&self, trial: Trial, is_good: Option<bool>, needed: u32) -> Shown {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if (word >> 32) as u32 != trial.turn {
                return Shown::Nothing;
            }
            // What was replaced gives nobody's place back.
            let is_the_one = trial.is_due && word & NTH == trial.nth;
            let rest = if is_the_one { word & !UNDER_WAY } else { word };
            let (next, shown) = match is_good {
                None => (rest, Shown::Nothing),
                Some(false) => (rest & !GOOD, Shown::Fails),
                Some(true) if (word & GOOD) + 1 >= u64::from(needed) => {
                    (((word >> 32) + 1) << 32, Shown::Works)
                }
                Some(true) => (rest + 1, Shown::Nothing),
            };
            let swapped =
                self.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire);
            match swapped {
                Ok(_) => return shown,
                Err(now) => word = now,
            }
        }
    }

    /// A connect check or a probe of it has succeeded; how many have in a row since it was last asked.
    pub(super) fn note_accepted(&self, now: Moment) -> u32 {
        self.accepted.store(now.micros(), Ordering::Relaxed);
        self.checks.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Nobody can tell whether it accepts: it is tried as if it did, which shows nothing by itself.
    pub(super) fn note_unknown(&self, now: Moment) {
        self.accepted.store(now.micros(), Ordering::Relaxed);
    }

    /// Whether a trial is under way that may still show something soon.
    pub(super) fn is_under_way(&self, now: Moment) -> bool {
        self.keeps_others(self.word.load(Ordering::Acquire), now)
    }

    /// It refused a connection, or could not be reached.
    pub(super) fn note_refused(&self, now: Moment) {
        self.refused.store(now.micros(), Ordering::Relaxed);
        self.checks.store(0, Ordering::Relaxed);
    }

    /// When it last refused a connection; none if it never did.
    pub fn refused(&self) -> Option<Moment> {
        match self.refused.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Moment::from_micros(micros)),
        }
    }

    /// When a connect check or a probe of it last succeeded while it was out, or could not be made.
    pub fn accepted(&self) -> Moment {
        Moment::from_micros(self.accepted.load(Ordering::Relaxed))
    }

    /// Whether it has accepted a connection since it last refused one, as far as could be checked.
    pub fn accepts(&self) -> bool {
        self.accepted.load(Ordering::Relaxed) > self.refused.load(Ordering::Relaxed)
    }

    /// It is to be left alone until then, and for how many times in a row it was so before.
    pub(super) fn leave_alone(&self, until: impl FnOnce(u64) -> Moment) {
        let streak = self.streak.fetch_add(1, Ordering::Relaxed);
        self.until.store(until(streak).micros(), Ordering::Relaxed);
    }

    /// Until when it is or was left alone for failing at everything.
    pub fn until(&self) -> Moment {
        Moment::from_micros(self.until.load(Ordering::Relaxed))
    }

    /// It is in again.
    pub(super) fn end(&self) {
        // Its time stays as it is: nobody asks for it while it is in, and it may be that of the next.
        self.streak.store(0, Ordering::Relaxed);
    }

    /// When it is to be tried; not while a trial is under way and may show something soon, and none
    /// until something else happens.
    pub(super) fn due(&self, because: Because, is_another_well: bool) -> Option<Due> {
        let is_by_probes = because == Because::Probes;
        let word = self.word.load(Ordering::Acquire);
        let tried = self.tried();
        let free = if word & UNDER_WAY != 0 { tried + SETTLES } else { Moment::default() };
        let due = |is_blind, at: Moment| Due { is_blind, is_by_probes, at: at.max(free) };
        if word & GOOD != 0 {
            // It has begun to work: whatever comes next may see whether it goes on.
            return Some(due(false, Moment::default()));
        }
        let accepted = Moment::from_micros(self.accepted.load(Ordering::Relaxed));
        match because {
            Because::Refused => self.accepts().then_some(due(false, accepted)),
            _ if accepted > tried => Some(due(false, accepted)),
            Because::Failed(until) => {
                let at = if is_another_well { until } else { until.min(tried + APART) };
                Some(due(true, at))
            }
            Because::Probes => (!is_another_well).then_some(due(true, tried + APART)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn one_at_a_time_and_three_good_ones_in_a_row_bring_it_back() {
        let trials = Trials::default();
        trials.begin(at(1));
        let good = |trial| trials.leave(trial, Some(true), 3);
        let first = trials.enter(at(2)).unwrap();
        assert_eq!(trials.enter(at(2)), None, "one is under way");
        assert_eq!(good(first), Shown::Nothing);
        let second = trials.enter(at(2)).unwrap();
        assert_eq!(trials.leave(second, Some(false), 3), Shown::Fails);
        for _ in 0..2 {
            assert_eq!(good(trials.enter(at(3)).unwrap()), Shown::Nothing);
        }
        assert_eq!(trials.leave(trials.enter(at(3)).unwrap(), None, 3), Shown::Nothing);
        assert_eq!(good(trials.pass()), Shown::Works, "what is asked beside trials counts too");
    }

    #[test]
    fn what_ends_late_decides_nothing() {
        let trials = Trials::default();
        trials.begin(at(1));
        let late = trials.enter(at(2)).unwrap();
        trials.begin(at(3));
        let trial = trials.enter(at(4)).unwrap();
        assert_eq!(trials.leave(late, Some(true), 1), Shown::Nothing);
        assert_eq!(trials.enter(at(4)), None, "nor does it give another's place back");
        assert_eq!(trials.leave(trial, Some(true), 1), Shown::Works);
    }

    #[test]
    fn one_of_which_nothing_can_be_learnt_is_tried_and_not_brought_back() {
        let trials = Trials::default();
        trials.begin(at(10));
        trials.note_refused(at(10));
        trials.note_unknown(at(11));
        assert!(trials.due(Because::Refused, true).is_some());
        assert_eq!(trials.note_accepted(at(12)), 1, "what showed nothing is not counted");
        trials.note_refused(at(13));
        assert_eq!(trials.due(Because::Refused, true), None);
    }

    #[test]
    fn a_trial_that_shows_nothing_holds_up_no_other_and_counts_all_the_same() {
        let trials = Trials::default();
        trials.begin(at(1));
        let slow = trials.enter(at(2)).unwrap();
        let just_before = Moment::from_micros((at(2) + SETTLES).micros() - 1);
        assert_eq!(trials.enter(just_before), None);
        assert!(trials.is_under_way(just_before) && !trials.is_under_way(at(2) + SETTLES));
        let next = trials.enter(at(2) + SETTLES).unwrap();
        assert_eq!(trials.leave(slow, Some(true), 2), Shown::Nothing);
        assert_eq!(trials.enter(at(5)), None, "it gave no other's place back");
        assert_eq!(trials.leave(next, Some(true), 2), Shown::Works, "the slow one's answer counts");
    }

    #[test]
    fn of_many_at_once_one_is_the_trial_though_the_one_before_shows_nothing() {
        for round in 0..200 {
            let trials = Trials::default();
            trials.begin(at(1));
            let _slow = trials.enter(at(2)).unwrap();
            let entered = std::thread::scope(|scope| {
                let each = [(); 4].map(|()| scope.spawn(|| trials.enter(at(9)).is_some()));
                each.into_iter().filter_map(|one| one.join().ok()).filter(|is_in| *is_in).count()
            });
            assert_eq!(entered, 1, "in round {round}");
        }
    }

    #[test]
    fn what_put_it_out_says_when_it_is_tried() {
        let trials = Trials::default();
        let due = |because, is_another_well| {
            trials.due(because, is_another_well).map(|due| (due.is_blind, due.at))
        };
        trials.begin(at(10));
        trials.note_refused(at(10));
        assert_eq!(due(Because::Refused, true), None);
        assert_eq!(due(Because::Refused, false), None, "the connect checks find out");
        let failed = Because::Failed(at(40));
        assert_eq!(due(failed, true), Some((true, at(40))));
        assert_eq!(due(failed, false), Some((true, at(11))));
        assert_eq!(due(Because::Probes, true), None);
        assert_eq!(due(Because::Probes, false), Some((true, at(11))));
        trials.note_accepted(at(12));
        for because in [Because::Refused, failed, Because::Probes] {
            assert_eq!(due(because, true), Some((false, at(12))), "{because:?}");
        }
        let trial = trials.enter(at(13)).unwrap();
        let free = at(13) + SETTLES;
        assert_eq!(due(Because::Refused, true), Some((false, free)), "one at a time");
        trials.leave(trial, Some(true), 3);
        assert_eq!(due(failed, true), Some((false, at(0))), "then whatever comes next");
        let trial = trials.enter(at(14)).unwrap();
        trials.leave(trial, Some(false), 3);
        assert_eq!(due(failed, true), Some((true, at(40))), "it failed after it had accepted");
    }
}

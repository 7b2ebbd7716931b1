//! How an upstream gets out and back: what it did and what trials have shown in, its marks out.
//!
//! Whoever judges looks first ([`Upstream::look`]): what puts it out meanwhile is not ended by what was
//! judged before (`marks.rs`).

use std::sync::atomic::Ordering;

use super::marks;
use super::trials::{Because, Due};
use super::{BreakerSettings, BreakerState, Conditions, EjectionSettings, Opening, Upstream};
use crate::clock::{Draws, Moment};
/// How an upstream stood at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    marks: marks::Seen,
    opening: Opening,
}

impl Seen {
    /// Whether it was out for what it did.
    fn is_out(self) -> bool {
        self.marks.conditions().any(Conditions::OUT)
    }
}

impl Upstream {
    /// How it stands, before something is judged that may bring it back: what puts it out from now on
    /// is not ended by that.
    pub fn look(&self) -> Seen {
        Seen { opening: self.breaker.opening(), marks: self.marks.look() }
    }

    /// Whether it is out for what it did.
    pub fn is_out(&self) -> bool {
        self.conditions().any(Conditions::OUT)
    }

    /// It has been taken out for failing in a row.
    pub fn note_ejected(&self, now: Moment) {
        self.put_out(Conditions::EJECTED, now);
    }

    /// All of the last second's requests failed: it is left alone for the time of a breaker.
    pub fn note_failing(&self, settings: &BreakerSettings, now: Moment, draws: &mut Draws) {
        self.trials.leave_alone(|nth| now + settings.time(nth, draws));
        self.put_out(Conditions::FAILING, now);
    }

    /// It refused a connection, or could not be reached.
    pub fn note_refused(&self, now: Moment) {
        self.trials.note_refused(now);
        self.warmth.note_refused(now);
        self.put_out(Conditions::REFUSING, now);
    }

    /// A connect check or a probe of it has succeeded: one that is out may be tried. Where nobody
    /// comes to try it, as many in a row as trials are `needed` bring it back.
    pub fn note_accepted(&self, needed: u32, now: Moment) {
        let seen = self.look();
        if seen.is_out() && self.trials.note_accepted(now) >= needed {
            self.come_back(seen, now);
        }
    }

    /// A connect check of it could not be made, for lack of what is ours: whether it still refuses is not
    /// known, and the next request that may is to find out.
    pub fn note_unchecked(&self, now: Moment) {
        if self.conditions().any(Conditions::REFUSING) {
            self.trials.note_unknown(now);
        }
    }

    /// Whether its connections are to be checked: nothing else would show that it accepts them again,
    /// and without requests goes on doing so.
    pub fn wants_check(&self, now: Moment) -> bool {
        self.conditions().any(Conditions::REFUSING) && !self.trials.is_under_way(now)
    }

    pub(super) fn put_out(&self, why: Conditions, now: Moment) {
        let was_out = self.is_out();
        if !was_out {
            // Before the mark: who finds it out finds since when.
            self.begin_out(now);
        }
        self.failures.store(0, Ordering::Relaxed);
        self.run.end();
        let before = self.marks.put(why);
        if was_out && !before.any(Conditions::OUT) {
            // It came back meanwhile.
            self.begin_out(now);
        }
    }

    fn begin_out(&self, now: Moment) {
        if !self.conditions().any(Conditions::DOWN) {
            self.unwell.store(now.micros(), Ordering::Relaxed);
        }
        self.trials.begin(now);
    }

    /// When a trial of it is due.
    pub fn trial_due(&self, is_another_well: bool) -> Option<Due> {
        let conditions = self.conditions();
        self.trials.due(self.because(conditions), is_another_well)
    }

    fn because(&self, conditions: Conditions) -> Because {
        if conditions.any(Conditions::REFUSING) {
            return Because::Refused;
        }
        if !conditions.any(Conditions::OUT) {
            return Because::Probes;
        }
        let broken = conditions.any(Conditions::BREAKER).then(|| self.breaker.open_until());
        let ejected = conditions.any(Conditions::EJECTED).then(|| self.ejection.until());
        let failing = conditions.any(Conditions::FAILING).then(|| self.trials.until());
        let own = [broken.flatten(), ejected, failing].into_iter().flatten().max();
        Because::Failed(own.unwrap_or_default())
    }

    /// It was asked while it was out, and failed again; it is left alone for longer if its time was
    /// over. What was `seen` is how it stood before that was known.
    pub fn stay_out(
        &self,
        seen: Seen,
        refused: bool,
        ejection: Option<&EjectionSettings>,
        breaker: &BreakerSettings,
        now: Moment,
        draws: &mut Draws,
    ) {
        if refused {
            return self.note_refused(now);
        }
        let conditions = seen.marks.conditions();
        if !conditions.without(Conditions::REFUSING).any(Conditions::OUT) {
            return self.answer_badly(seen, breaker, now, draws);
        }
        self.marks.take(seen.marks, Conditions::REFUSING, Conditions::default());
        if conditions.any(Conditions::BREAKER) {
            self.breaker.reopen(breaker, now, draws);
        }
        // Put again, though it stands: whoever is about to take it away has to know.
        if let Some(ejection) = ejection
            && conditions.any(Conditions::EJECTED)
            && !self.ejection.is_out(now)
        {
            self.ejection.eject(ejection, now, draws);
            self.put_out(Conditions::EJECTED, now);
        }
        if conditions.any(Conditions::FAILING) && now >= self.trials.until() {
            self.note_failing(breaker, now, draws);
        }
    }

    /// It was out for refusing connections at most, and now has answered, but badly. It goes from one
    /// to the other in one step, so that no request finds it in between.
    fn answer_badly(&self, seen: Seen, breaker: &BreakerSettings, now: Moment, draws: &mut Draws) {
        self.trials.leave_alone(|nth| now + breaker.time(nth, draws));
        if seen.is_out() {
            self.trials.begin(now);
            if self.marks.take(seen.marks, Conditions::REFUSING, Conditions::FAILING) {
                return;
            }
        }
        self.put_out(Conditions::FAILING, now);
    }

    /// Trials have shown that it works: whatever was `seen` to put it out is over, and it starts slowly.
    /// What put it out since stands.
    pub fn come_back(&self, seen: Seen, now: Moment) {
        self.failures.store(0, Ordering::Relaxed);
        self.run.end();
        self.breaker.close_as(seen.opening, now);
        let over = Conditions::EJECTED.with(Conditions::REFUSING).with(Conditions::FAILING);
        if seen.is_out() && self.come_in_from(seen.marks, over, now) {
            self.trials.end();
            self.ejection.end(now);
        }
        self.note_breaker(now);
    }

    /// Its breaker has changed, or an order of it; `now` to find out how.
    pub fn note_breaker(&self, now: Moment) {
        let keeps_out = || self.breaker.state(now) != BreakerState::Closed;
        let put = || self.put_out(Conditions::BREAKER, now);
        let take = |seen| self.come_in_from(seen, Conditions::BREAKER, now);
        self.marks.agree(Conditions::BREAKER, keeps_out, put, take);
    }

    /// It comes in, unless it was put out since that was seen. In one step: nobody finds it in and not
    /// starting slowly.
    fn come_in_from(&self, seen: marks::Seen, over: Conditions, now: Moment) -> bool {
        self.came_in.store(now.micros(), Ordering::Relaxed);
        self.marks.take(seen, over, Conditions::SLOW_START)
    }

    pub(super) fn begin_unwell(&self, now: Moment) {
        if !self.conditions().any(Conditions::OUT.with(Conditions::DOWN)) {
            self.unwell.store(now.micros(), Ordering::Relaxed);
        }
    }
}

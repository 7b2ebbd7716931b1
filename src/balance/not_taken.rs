//! May a member of a pool be asked, and if not, why: a member and what a choice is made by in, an
//! answer out.
//!
//! The one place for a new reason not to choose an upstream: a variant of [`NotTaken`], and what
//! it follows from in [`Member::left_out`] (an operator, its probe or the config wants it left
//! alone), [`Member::not_well`] (it may be asked only as a trial, or when nobody is well) or
//! [`Member::bar`] (not for this request). Only what a policy finds by comparing members is found
//! there.

use super::{Admit, Member, Picking};
use crate::clock::Moment;
use crate::upstream::{BreakerOrder, Conditions, Due};

/// Members of one pool that a request's record tells of when they were not taken: whoever asks why sees the
/// trouble in these, and a request that is refused costs no more in a pool of thousands.
pub const MOST_PASSED_OVER: usize = 16;

/// Whether a member may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayBeAsked {
    /// It is well.
    Yes,
    /// Not while another one is well, but for a trial, if one is ever due by itself.
    ForTrial(NotTaken, Option<Due>),
    /// Somebody has taken it out.
    No(NotTaken),
}

/// Why an upstream was not taken for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NotTaken {
    /// Its weight is 0.
    Weightless,
    /// Its name has not resolved.
    Unresolved,
    /// An operator drains it.
    Drained,
    /// Its probe asks for no new requests.
    AdvisedDrain,
    /// An operator keeps its breaker open.
    HeldOpen,
    /// No probe of it has succeeded yet.
    Unproven,
    /// Its probes fail.
    Down,
    /// It refused its last connection, or could not be reached.
    Refusing,
    /// All of a second's requests failed.
    Failing,
    /// It failed in a row and is out for a while.
    Ejected,
    /// Its breaker is open.
    BreakerOpen,
    /// It holds as many requests as it may.
    Full,
    /// It has been tried for this request.
    Tried,
    /// It starts slowly or its probe advises a lower weight, and this request is not in its part.
    PartShare,
    /// Another was less loaded or faster.
    Beaten,
    /// It holds more than its part of the pool's requests, and the client goes to the next.
    OverPart,
    /// Another was drawn.
    NotDrawn,
    /// It was another's turn.
    NotItsTurn,
    /// The client is another's.
    NotItsClient,
    /// The pool's breaker is open.
    PoolOpen,
    /// The pool refuses so much that it is spared.
    PoolThrottled,
    /// The pool holds as many requests as it may, or others wait for it.
    PoolFull,
    /// The service takes none: it is held, in maintenance or full.
    ServiceClosed,
    /// It is not near, and enough that are take requests.
    Elsewhere,
}

impl NotTaken {
    const ALL: [NotTaken; 24] = [
        NotTaken::Weightless,
        NotTaken::Unresolved,
        NotTaken::Drained,
        NotTaken::AdvisedDrain,
        NotTaken::HeldOpen,
        NotTaken::Unproven,
        NotTaken::Down,
        NotTaken::Refusing,
        NotTaken::Failing,
        NotTaken::Ejected,
        NotTaken::BreakerOpen,
        NotTaken::Full,
        NotTaken::Tried,
        NotTaken::PartShare,
        NotTaken::Beaten,
        NotTaken::OverPart,
        NotTaken::NotDrawn,
        NotTaken::NotItsTurn,
        NotTaken::NotItsClient,
        NotTaken::PoolOpen,
        NotTaken::PoolThrottled,
        NotTaken::PoolFull,
        NotTaken::ServiceClosed,
        NotTaken::Elsewhere,
    ];

    /// The reason of this code, which is its number.
    pub fn of_code(code: u8) -> Option<NotTaken> {
        NotTaken::ALL.get(usize::from(code)).copied()
    }

    /// Its word for people and answers.
    pub const fn name(self) -> &'static str {
        match self {
            NotTaken::Weightless => "weight 0",
            NotTaken::Unresolved => "name not resolved",
            NotTaken::Drained => "drained",
            NotTaken::AdvisedDrain => "drained by its probe",
            NotTaken::HeldOpen => "breaker held open",
            NotTaken::Unproven => "unproven",
            NotTaken::Down => "down",
            NotTaken::Refusing => "refuses connections",
            NotTaken::Failing => "all its last requests failed",
            NotTaken::Ejected => "ejected",
            NotTaken::BreakerOpen => "breaker open",
            NotTaken::Full => "full",
            NotTaken::Tried => "tried already",
            NotTaken::PartShare => "takes only a part of its share",
            NotTaken::Beaten => "another was faster or less loaded",
            NotTaken::OverPart => "holds more than its part",
            NotTaken::NotDrawn => "not drawn",
            NotTaken::NotItsTurn => "another's turn",
            NotTaken::NotItsClient => "another's client",
            NotTaken::PoolOpen => "pool breaker open",
            NotTaken::PoolThrottled => "pool throttled",
            NotTaken::PoolFull => "pool full",
            NotTaken::ServiceClosed => "service closed",
            NotTaken::Elsewhere => "not near",
        }
    }
}

/// Hears what a policy finds by comparing members. What bars a member can be asked for afterwards.
pub trait Heard {
    /// The member at this place was looked at and passed over.
    fn passed_over(&mut self, place: usize, why: NotTaken);
}

/// The usual way: nobody wants to know.
impl Heard for () {
    fn passed_over(&mut self, _: usize, _: NotTaken) {}
}

/// The last word on each member counts.
impl Heard for Vec<(usize, NotTaken)> {
    fn passed_over(&mut self, place: usize, why: NotTaken) {
        match self.iter_mut().find(|(at, _)| *at == place) {
            Some(heard) => heard.1 = why,
            None => self.push((place, why)),
        }
    }
}

impl Member {
    /// Why nothing is asked of it even when nobody is well; none if something may be.
    pub(super) fn left_out(&self) -> Option<NotTaken> {
        if self.weight == 0 {
            return Some(NotTaken::Weightless);
        }
        if self.target.is_none() {
            return Some(NotTaken::Unresolved);
        }
        let conditions = self.upstream.conditions();
        if conditions.any(Conditions::DRAINING) {
            return Some(NotTaken::Drained);
        }
        if conditions.any(Conditions::ADVISED_DRAIN) {
            return Some(NotTaken::AdvisedDrain);
        }
        let is_held_open = self.upstream.breaker.order() == BreakerOrder::Open;
        is_held_open.then_some(NotTaken::HeldOpen)
    }

    /// Why it is not well enough for a new request; none if it is, but for limits. Time alone makes
    /// nobody well: probes and trials do.
    pub fn not_well(&self) -> Option<NotTaken> {
        let conditions = self.upstream.conditions();
        if self.weight > 0 && self.target.is_some() && !conditions.any(Conditions::NOT_WELL) {
            // The usual case, by one load.
            return None;
        }
        self.left_out().or_else(|| of_conditions(conditions))
    }

    /// Whether it may be asked, if another one `is_well` or nobody else.
    pub fn may_be_asked(&self, is_another_well: bool) -> MayBeAsked {
        match (self.not_well(), self.left_out()) {
            (None, _) => MayBeAsked::Yes,
            (_, Some(why)) => MayBeAsked::No(why),
            (Some(why), _) => MayBeAsked::ForTrial(why, self.upstream.trial_due(is_another_well)),
        }
    }

    /// Why it is no candidate for this request; none if it is.
    pub(super) fn bar(&self, place: usize, by: &Picking<'_>, admit: Admit) -> Option<NotTaken> {
        let bar = match admit {
            Admit::Near => self.not_well().or_else(|| self.elsewhere()),
            Admit::Available => self.not_well(),
            Admit::Anyone => self.left_out(),
            Admit::NotRefusing => self.left_out().or_else(|| self.refused_lately(by.now)),
        };
        if bar.is_some() {
            return bar;
        }
        if !self.is_free(by) {
            return Some(NotTaken::Full);
        }
        by.tried.contains(&place).then_some(NotTaken::Tried)
    }

    fn elsewhere(&self) -> Option<NotTaken> {
        (!self.is_near).then_some(NotTaken::Elsewhere)
    }

    fn refused_lately(&self, now: Moment) -> Option<NotTaken> {
        self.upstream.refused_lately(now).then_some(NotTaken::Refusing)
    }

    /// Whether it may hold one more request.
    pub(super) fn is_free(&self, by: &Picking<'_>) -> bool {
        by.limit.is_none_or(|limit| self.upstream.load().has_room(by.upload, limit))
    }
}

/// The reason that says most, of what does not come from somebody's order.
fn of_conditions(conditions: Conditions) -> Option<NotTaken> {
    let reasons = [
        (Conditions::UNPROVEN, NotTaken::Unproven),
        (Conditions::DOWN, NotTaken::Down),
        (Conditions::REFUSING, NotTaken::Refusing),
        (Conditions::EJECTED, NotTaken::Ejected),
        (Conditions::BREAKER, NotTaken::BreakerOpen),
        (Conditions::FAILING, NotTaken::Failing),
    ];
    reasons.iter().find(|(of, _)| conditions.any(*of)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_code_and_its_word() {
        for (code, why) in NotTaken::ALL.into_iter().enumerate() {
            assert_eq!((why as usize, NotTaken::of_code(code as u8)), (code, Some(why)));
        }
        let names: std::collections::BTreeSet<_> = NotTaken::ALL.map(NotTaken::name).into();
        assert_eq!(names.len(), NotTaken::ALL.len());
        assert_eq!(NotTaken::of_code(NotTaken::Elsewhere as u8 + 1), None);
    }
}

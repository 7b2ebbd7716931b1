//! Whether there is anything for a rule to do at a place, and whether a person has ordered otherwise: a
//! rule never undoes what a person ordered.

use super::*;
use crate::automation::{Each, When};

/// What becomes of a rule that would act.
pub(super) enum Aim {
    /// It may; on this rollout, if on one.
    At(Option<u64>),
    /// It is so already, or there is nothing to act on.
    Nothing,
    /// A person has ordered otherwise, in words.
    Withheld(String),
}

impl Orders {
    /// What becomes of a rule that would act at a place.
    pub(super) fn aim(&self, rule: &Rule, place: &At, ledger: &Ledger, now: Now) -> Aim {
        if rule.then == Then::Notify {
            return Aim::At(None);
        }
        if let Some(why) = self.ordered_otherwise(rule, place, now) {
            return Aim::Withheld(why);
        }
        match rule.then {
            Then::Drain | Then::OpenBreaker | Then::Maintenance { .. } => {
                let about = about(rule, place);
                let stands = about.is_some_and(|about| self.state.order(&about).is_some());
                if stands { Aim::Nothing } else { Aim::At(None) }
            }
            Then::PauseRollout | Then::AbortRollout => {
                let Some(rollout) = self.state.rollout(&place.service) else { return Aim::Nothing };
                let is_paused = rollout.status(now.wall).state == "paused";
                let is_so = rule.then == Then::PauseRollout && is_paused;
                match is_so || ledger.has_acted_on(&rule.name, &place.service, rollout.id) {
                    true => Aim::Nothing,
                    false => Aim::At(Some(rollout.id)),
                }
            }
            Then::Call(_) | Then::Notify => Aim::At(None),
        }
    }

    /// What a person has ordered of a place that a rule must leave as it is, in words.
    fn ordered_otherwise(&self, rule: &Rule, place: &At, now: Now) -> Option<String> {
        let service = &*place.service;
        let is_of_rollout = matches!(rule.then, Then::PauseRollout | Then::AbortRollout);
        let counts = |standing: &&Override| match &standing.what {
            What::Hold { .. } | What::Maintenance { .. } => true,
            What::Freeze { .. } => is_of_rollout,
            What::Lifted { .. } => is_of_rollout && matches!(rule.when, When::Burn(_)),
            What::Drain { pool, upstream, .. } => {
                *place.pool == **pool && *place.upstream == **upstream
            }
            What::Breaker { pool, upstream, .. } => {
                let is_here = *place.upstream == *upstream.as_deref().unwrap_or_default();
                let is_whole = upstream.is_none() && rule.each == Each::Upstream;
                *place.pool == **pool && (is_here || is_whole)
            }
            What::Upstreams { .. } | What::Contracted { .. } => false,
        };
        let mut persons = self.state.orders_of(service).filter(|standing| {
            is_persons(standing, now.wall) && !self.state.is_dormant(&standing.what)
        });
        let first = persons.find(counts)?;
        Some(format!("{} {}", first.author, first.what.noun()))
    }
}

/// What a rule orders at a place, as the key of orders that stand; none if it orders nothing that stands.
pub(super) fn about(rule: &Rule, place: &At) -> Option<About> {
    let At { service, pool, upstream } = place;
    match rule.then {
        Then::Drain => Some(About::drain(service, pool, upstream)),
        Then::OpenBreaker => {
            let upstream = Some(&**upstream).filter(|upstream| !upstream.is_empty());
            Some(About::breaker(service, pool, upstream))
        }
        Then::Maintenance { .. } => Some(About::mode(service)),
        _ => None,
    }
}

/// Whether an order that stands is a person's, or made for one.
pub(super) fn is_persons(standing: &Override, now: WallTime) -> bool {
    !is_rule(&standing.author) && !standing.is_over(now)
}

impl What {
    /// What it is, for who is told that it stands.
    fn noun(&self) -> &'static str {
        match self {
            What::Drain { .. } => "drains it",
            What::Breaker { .. } => "has ordered its breaker",
            What::Hold { .. } => "holds the service",
            What::Maintenance { .. } => "has put the service into maintenance",
            What::Upstreams { .. } => "has ordered its upstreams",
            What::Contracted { .. } => "has narrowed the schema",
            What::Freeze { .. } => "has frozen its rollouts",
            What::Lifted { .. } => "lets its rollouts go on whatever the error budget says",
        }
    }
}

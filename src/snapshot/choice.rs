//! Where a request goes: its facts and draws in, a choice out, and what takes it in force.
//!
//! To choose only reads, so that `explain`, a record and the tests ask the same code as a request
//! does and disturb nothing: a thousand questions change neither whose turn it is nor what a pool
//! is spared. What changes (turns, counts, trials of breakers, places in flight) changes in
//! [`Snapshot::commit`] alone.

use std::sync::Arc;

use http::Method;

use super::service::{Assigned, Named};
use super::{Ask, Pick, Seat, Service, Snapshot, Taken, Tries};
use crate::balance::{Heard, MOST_PASSED_OVER, NotTaken, Queue, Waiting};
use crate::clock::{Draws, Moment};
use crate::http::admission::Upload;
use crate::judge::ledger::STRATA;
use crate::route::{Facts, Found};
use crate::split::{Cohort, CookieId};
use crate::upstream::DialAddress;

/// Where a request is to go, as places in the snapshot that chose it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// A place in [`Snapshot::services`].
    pub service: usize,
    /// A place in [`Service::pools`].
    pub pool: usize,
    /// A place in [`Members::list`](crate::balance::Members::list).
    pub member: usize,
    /// Why this pool.
    pub by: By,
    /// What the client is known by to the pool's balancing.
    pub key: Option<u64>,
    /// What the client is to be recognised by from now on, if nothing did.
    pub made: Option<CookieId>,
    /// The number that tells the client from others where users are counted, if it is known.
    pub user: Option<u32>,
    /// Its route and method (see [`Stratum`]).
    pub stratum: Stratum,
    /// Which of the routes to its service it came by, counted from 0 in the file's order.
    pub route: usize,
    /// That route's place in the config's list.
    pub route_place: usize,
    /// The turn of the pool by which the member was picked.
    turn: usize,
    /// Whether it was picked to find out whether it works again.
    is_trial: bool,
    /// Whether somebody else answers if nobody of the pool is well.
    spares: bool,
    /// Whether it may be a trial.
    tries: Tries,
    /// Whether the request's body has yet to come.
    upload: Upload,
}

/// What a choice came to. A refusal is committed too: it may have to be counted.
pub type Chosen = Result<Choice, Refusal>;

/// A choice with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What was chosen.
    pub chosen: Chosen,
    /// Why each other upstream of the pool was not, by its place in
    /// [`Members::list`](crate::balance::Members::list).
    pub not_taken: Vec<(usize, NotTaken)>,
}

/// Which of a service's routes a request came by, and its method: what failures are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stratum(u8);

impl Stratum {
    /// Methods that are told apart; the others share the last place.
    const METHODS: [&'static str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

    /// Routes of a service that are told apart; the others share the last place.
    const ROUTES: usize = STRATA / 8;

    /// Of a request whose route nobody has noted.
    pub const OTHER: Stratum = Stratum(STRATA as u8 - 1);

    /// Of the `nth` route to its service.
    pub fn of(nth: usize, method: &Method) -> Stratum {
        let methods = Stratum::METHODS.iter();
        let method = methods.take_while(|name| **name != method.as_str()).count();
        Stratum((nth.min(Stratum::ROUTES - 1) * 8 + method) as u8)
    }

    /// Its place among [`STRATA`].
    pub fn place(self) -> u8 {
        self.0
    }

    /// The route, counted from 0, if it has a place of its own, and the method, likewise.
    pub fn names(place: usize) -> (Option<usize>, Option<&'static str>) {
        let (nth, method) = (place / 8, place % 8);
        let nth = Some(nth).filter(|nth| *nth + 1 < Stratum::ROUTES);
        (nth, Stratum::METHODS.get(method).copied())
    }
}

/// How a decision is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asks<'w> {
    /// The lines in which the request stands or has stood for it.
    pub lines: &'w [Waiting],
    /// Nobody else would answer it. It has been let in already.
    pub doubtful: bool,
    /// Whether it may try out an upstream that is not well.
    pub tries: Tries,
    /// Whether its body has yet to come.
    pub upload: Upload,
    /// Its route, if that is known already.
    pub found: Option<Found>,
}

impl Asks<'_> {
    /// Whether the request would overtake somebody who waits in this line.
    pub(super) fn overtakes(&self, queue: &Arc<Queue>) -> bool {
        queue.would_be_overtaken(self.upload)
            && !self.doubtful
            && !self.lines.iter().any(|line| line.has_turn_in(queue))
    }
}

/// What chose the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The request named it.
    OptIn,
    /// The client's cohort.
    Cohort(Cohort),
    /// A draw: the client gave nothing to be recognised by.
    #[default]
    Draw,
    /// It stands in for a pool that is open, has nobody or failed.
    StandIn,
    /// It is the stable pool, which shields a canary that is open or has nobody.
    Shield,
}

impl By {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            By::OptIn => "override",
            By::Cohort(_) => "cohort",
            By::Draw => "draw",
            By::StandIn => "stand-in",
            By::Shield => "shield",
        }
    }

    /// The client's cohort, if that chose.
    pub fn cohort(self) -> Option<Cohort> {
        match self {
            By::Cohort(cohort) => Some(cohort),
            By::OptIn | By::Draw | By::StandIn | By::Shield => None,
        }
    }
}

/// Why a request goes nowhere, and where it would have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// Why.
    pub why: Why,
    /// Places of service and pool, if it had come so far.
    pub at: Option<(usize, usize)>,
    /// What chose that pool, if it was chosen.
    pub by: Option<By>,
    /// Which of the routes to its service it came by, counted from 0 in the file's order.
    pub route: usize,
    /// That route's place in the config's list.
    pub route_place: usize,
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No route matches.
    #[error("no route matches the request")]
    NoRoute,
    /// A tester names a pool that there is not.
    #[error("no pool is named so")]
    NoPool,
    /// The pool it belongs to has no upstream that takes requests.
    #[error("no upstream is available")]
    NoUpstream,
    /// The pool's breaker is open.
    #[error("the pool's circuit breaker is open")]
    Open,
    /// The pool refuses so much that it is spared.
    #[error("the pool is overloaded")]
    Throttled,
    /// As many requests of the service are under way as may be, or others wait for that to change.
    #[error("too many requests are under way")]
    Full,
    /// As many requests of the pool or of its upstreams are under way as may be, or others wait for
    /// that to change.
    #[error("too many requests of the pool are under way")]
    PoolFull,
    /// The service is held.
    #[error("the service is held")]
    Held,
    /// The service is in maintenance.
    #[error("the service is in maintenance")]
    Maintenance,
}

/// What a request has that was committed to: where it goes and its place there.
#[derive(Debug)]
pub struct Committed {
    /// Where it goes. The upstream may be another than was chosen, if somebody was faster.
    pub choice: Choice,
    /// Its place there.
    pub seat: Seat,
    /// Where to dial.
    pub target: DialAddress,
}

impl Snapshot {
    /// Where a request with these facts goes. If its service has a fallback, an upstream that is not
    /// well is asked only if `doubtful`.
    pub fn choose(
        &self,
        facts: &Facts<'_>,
        asks: Asks<'_>,
        now: Moment,
        draws: &mut Draws,
    ) -> Chosen {
        self.choose_heard(facts, asks, now, draws, &mut ())
    }

    /// The same with its reasons: where a request with these facts would go, and why to no other
    /// upstream of the pool.
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        asks: Asks<'_>,
        now: Moment,
        draws: &mut Draws,
    ) -> Explained {
        let mut heard = Vec::new();
        let chosen = self.choose_heard(facts, asks, now, draws, &mut heard);
        // Whoever asks wants to know it of each, however many there are.
        let not_taken = self.left_out(&chosen, &[], now, (&heard, usize::MAX));
        Explained { chosen, not_taken }
    }

    fn choose_heard(
        &self,
        facts: &Facts<'_>,
        asks: Asks<'_>,
        now: Moment,
        draws: &mut Draws,
        heard: &mut impl Heard,
    ) -> Chosen {
        let found = asks.found.or_else(|| self.routes.find(facts)).ok_or(Refusal::NO_ROUTE)?;
        // Who asks for more than a service has asked for that before.
        let Found { service: Some(place), nth: route, place: route_place, .. } = found else {
            return Err(Refusal::NO_ROUTE);
        };
        let service = &self.services[place];
        let at = Some((place, service.stable));
        let unknown = Refusal { why: Why::NoPool, at, by: None, route, route_place };
        let Assigned { pool, by, made, user } = service.assign(facts, draws).ok_or(unknown)?;
        let at = Some((place, pool));
        let refused = |why| Refusal { why, at, by: Some(by), route, route_place };
        service.admit(facts, by, asks, now).map_err(refused)?;
        let choice = Choice {
            service: place,
            pool,
            by,
            key: service.key(facts),
            made,
            user,
            stratum: Stratum::of(route, facts.method),
            route,
            route_place,
            spares: !asks.doubtful && service.stability.fallback.is_any(),
            tries: asks.tries,
            upload: asks.upload,
            ..Choice::default()
        };
        let chosen = self.of_pool(choice, &[], now, draws, heard)?;
        // Asked last: who can go nowhere is told so at once, whoever waits.
        match service.overtakes_in(pool, asks) {
            true => Err(refused(Why::PoolFull)),
            false => Ok(chosen),
        }
    }

    /// Where a request goes that belongs to a canary which is open or has nobody: to the stable pool,
    /// unless it asked for the canary. A client's pool yields to its being served.
    pub fn choose_shield(
        &self,
        from: Choice,
        facts: &Facts<'_>,
        now: Moment,
        draws: &mut Draws,
    ) -> Option<Chosen> {
        let service = &self.services[from.service];
        let is_shielded = service.stability.retries.shield && service.is_canary(from.pool);
        if !is_shielded || service.named(facts) != Named::Nobody {
            return None;
        }
        let choice = Choice {
            pool: service.stable,
            by: By::Shield,
            key: service.key(facts),
            spares: service.stability.fallback.is_any(),
            ..from.anew()
        };
        Some(self.of_pool(choice, &[], now, draws, &mut ()))
    }

    /// Where a request goes whose pool is open, has nobody or failed: to the pool that stands in, if
    /// there is one and nobody waits for it.
    pub fn choose_stand_in(&self, from: Choice, now: Moment, draws: &mut Draws) -> Option<Chosen> {
        let service = &self.services[from.service];
        let pool = service.stand_in.filter(|&pool| pool != from.pool)?;
        if service.overtakes_in(pool, Asks { upload: from.upload, ..Asks::default() }) {
            return None;
        }
        let choice = Choice { pool, by: By::StandIn, spares: true, ..from.anew() };
        Some(self.of_pool(choice, &[], now, draws, &mut ()))
    }

    /// Where a request goes that went `from` there and failed: to somebody of this pool who has not
    /// been `tried`, if need be one who is not well.
    pub fn choose_again(
        &self,
        from: Choice,
        pool: usize,
        tried: &[usize],
        now: Moment,
        draws: &mut Draws,
    ) -> Chosen {
        let choice = Choice { pool, spares: false, tries: Tries::Never, ..from };
        self.of_pool(choice, tried, now, draws, &mut ())
    }

    /// The same, but nobody who is not well.
    pub fn choose_well(
        &self,
        from: Choice,
        tried: &[usize],
        now: Moment,
        draws: &mut Draws,
    ) -> Chosen {
        let choice = Choice { spares: true, tries: Tries::Never, ..from };
        self.of_pool(choice, tried, now, draws, &mut ())
    }

    /// Takes what was chosen, or counts that it was refused. `tried` is what it was chosen with. Of
    /// two who are given the same at once one is given another or refused.
    pub fn commit(
        &self,
        chosen: Chosen,
        tried: &[usize],
        now: Moment,
        draws: &mut Draws,
    ) -> Result<Committed, Refusal> {
        if let Err(Refusal { why, at: Some((service, pool)), .. }) = chosen {
            self.services[service].pools[pool].on_refusal(why, now);
        }
        let choice = chosen?;
        let service = &self.services[choice.service];
        let Choice { member, turn, is_trial, .. } = choice;
        let pick = Pick { member, turn, is_trial };
        let pool = &service.pools[choice.pool];
        let taken = pool.commit(pick, &ask(service, &choice, tried, now), draws);
        let Taken { member, seat, target } = taken.map_err(|why| choice.refused(why))?;
        Ok(Committed { choice: Choice { member, ..choice }, seat, target })
    }

    /// Why upstreams of the pool but the one chosen were not taken, as far as a record tells of them
    /// ([`MOST_PASSED_OVER`]); empty if there was no pool.
    pub fn not_taken(
        &self,
        chosen: &Chosen,
        tried: &[usize],
        now: Moment,
    ) -> Vec<(usize, NotTaken)> {
        self.left_out(chosen, tried, now, (&[], MOST_PASSED_OVER))
    }

    /// The same of so many at most. What only the policy can know is what was `heard` of it.
    fn left_out(
        &self,
        chosen: &Chosen,
        tried: &[usize],
        now: Moment,
        (heard, most): (&[(usize, NotTaken)], usize),
    ) -> Vec<(usize, NotTaken)> {
        let (place, chosen) = match chosen {
            Ok(choice) => (Some((choice.service, choice.pool)), Ok(choice.member)),
            Err(refusal) => (refusal.at, Err(refusal.why)),
        };
        let Some((service, pool)) = place else { return Vec::new() };
        let service = &self.services[service];
        let ask = ask(service, &Choice::default(), tried, now);
        service.pools[pool].not_taken(&ask, chosen.map_err(NotTaken::from), heard, most)
    }

    /// The choice with somebody of its pool.
    fn of_pool(
        &self,
        choice: Choice,
        tried: &[usize],
        now: Moment,
        draws: &mut Draws,
        heard: &mut impl Heard,
    ) -> Chosen {
        let service = &self.services[choice.service];
        let ask = ask(service, &choice, tried, now);
        let picked = service.pools[choice.pool].choose(&ask, draws, heard);
        let Pick { member, turn, is_trial } = picked.map_err(|why| choice.refused(why))?;
        Ok(Choice { member, turn, is_trial, ..choice })
    }
}

impl Choice {
    /// The same for a request of whose body so much has yet to come by now.
    pub fn with(self, upload: Upload) -> Choice {
        Choice { upload, ..self }
    }

    /// The same way to the service, with nothing of what chose its pool.
    fn anew(self) -> Choice {
        let Choice { service, stratum, route, route_place, upload, .. } = self;
        Choice { service, stratum, route, route_place, upload, ..Choice::default() }
    }

    /// It comes to nothing for this reason.
    pub fn refused(&self, why: Why) -> Refusal {
        let Choice { service, pool, by, route, route_place, .. } = *self;
        Refusal { why, at: Some((service, pool)), by: Some(by), route, route_place }
    }
}

impl Refusal {
    /// No route matches.
    pub const NO_ROUTE: Refusal =
        Refusal { why: Why::NoRoute, at: None, by: None, route: 0, route_place: 0 };

    /// The choice that it would have been, had there been an upstream: what other pools are chosen from.
    pub fn unmade(&self, method: &Method, upload: Upload) -> Option<Choice> {
        let Refusal { route, route_place, .. } = *self;
        let (service, pool) = self.at?;
        let stratum = Stratum::of(route, method);
        let by = self.by.unwrap_or_default();
        Some(Choice { service, pool, by, route, route_place, stratum, upload, ..Choice::default() })
    }
}

fn ask<'a>(service: &'a Service, choice: &Choice, tried: &'a [usize], now: Moment) -> Ask<'a> {
    let Choice { key, spares, tries, upload, .. } = *choice;
    Ask { stability: &service.stability, tried, key, spares, tries, upload, now }
}

impl From<Why> for NotTaken {
    fn from(why: Why) -> NotTaken {
        match why {
            Why::Open => NotTaken::PoolOpen,
            Why::Throttled => NotTaken::PoolThrottled,
            Why::PoolFull => NotTaken::PoolFull,
            // Each of them has a reason of its own.
            Why::NoUpstream | Why::NoRoute => NotTaken::NotDrawn,
            Why::Full | Why::Held | Why::Maintenance | Why::NoPool => NotTaken::ServiceClosed,
        }
    }
}

#[cfg(test)]
mod tests;

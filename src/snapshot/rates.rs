//! The rate limits of a service and of the routes to it: request facts and the time in, pass or a
//! refusal out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::Blueprint;
use super::{Service, Snapshot};
use crate::clock::Moment;
use crate::config;
use crate::rate::{CarriedLimit, Grant, Limiter, RateSettings, Told};
use crate::route::{Facts, Found, Route};

/// The rate limits of a service.
#[derive(Clone, Debug, Default)]
pub struct RateLimits {
    /// Of all its requests.
    pub service: Option<Limiter>,
    /// Of a route to it, which is a place among the routes to it and what it is known by from one
    /// config to the next.
    pub routes: Vec<(usize, Arc<Route>, Limiter)>,
}

/// How a limit stands for a request's client.
#[derive(Clone, Copy, Debug)]
pub struct RateStand<'s> {
    /// The place of its service.
    pub service: usize,
    /// The route that it came by.
    pub found: Found,
    /// The limit.
    pub limiter: &'s Limiter,
    /// Whether that is a route's.
    pub is_of_route: bool,
    /// How it stands.
    pub grant: Grant,
}

impl RateLimits {
    /// The limits of a service. What those of before hold lives on in those of the same route.
    pub(super) fn build(
        service: &config::Service,
        blueprint: &Blueprint<'_>,
        before: Option<&RateLimits>,
    ) -> RateLimits {
        let config = &blueprint.config;
        let limiter = |settings: &Arc<RateSettings>, before: Option<&Limiter>| {
            Limiter::new(settings.clone(), blueprint.secret, before)
        };
        let of_service = before.and_then(|before| before.service.as_ref());
        let is_ours = |route: &Route| {
            route.service.is_some_and(|place| config.services[place].name == service.name)
        };
        let ours = config.routes.iter().zip(&config.route_limits);
        let ours = ours.filter(|(route, _)| is_ours(route)).enumerate();
        let limited = ours.filter_map(|(nth, (route, limit))| Some((nth, route, limit.as_ref()?)));
        let of_route = |(nth, route, limit): (usize, &Route, &Arc<RateSettings>)| {
            let known = before.iter().flat_map(|before| &before.routes);
            let same = known.into_iter().find(|(_, known, _)| is_same(known, route));
            let limiter = limiter(limit, same.map(|(.., limiter)| limiter));
            (nth, Arc::new(route.clone()), limiter)
        };
        RateLimits {
            service: service.rate_limit.as_ref().map(|settings| limiter(settings, of_service)),
            routes: limited.map(of_route).collect(),
        }
    }

    /// Whether there is one.
    pub fn are_any(&self) -> bool {
        self.service.is_some() || !self.routes.is_empty()
    }

    /// Each of them, with what its route is called.
    pub fn all(&self) -> impl Iterator<Item = (Option<&Route>, &Limiter)> {
        let routes = self.routes.iter().map(|(_, route, limiter)| (Some(&**route), limiter));
        self.service.iter().map(|limiter| (None, limiter)).chain(routes)
    }
}

impl RateLimits {
    /// What clients have used up, by what a limit is of; `left` is how many may still be told of.
    pub(super) fn carry(&self, left: &mut usize, now: Moment) -> BTreeMap<String, CarriedLimit> {
        let mut carry = |(route, limiter): (Option<&Route>, &Limiter)| {
            let carried = limiter.carry(*left, now);
            *left -= carried.owed.len();
            (name_of(route), carried)
        };
        self.all().map(&mut carry).filter(|(_, carried)| !carried.owed.is_empty()).collect()
    }

    /// Goes on from that.
    pub(super) fn take_over(&self, carried: &BTreeMap<String, CarriedLimit>, now: Moment) {
        for (route, limiter) in self.all() {
            carried.get(&name_of(route)).iter().for_each(|known| limiter.take_over(known, now));
        }
    }
}

/// What a limit is of: a service, or what a route matches.
fn name_of(route: Option<&Route>) -> String {
    route.map_or_else(String::new, |route| {
        format!("{:?} {:?} {:?} {:?}", route.hosts, route.path, route.methods, route.headers)
    })
}

/// Whether two routes match the same.
fn is_same(a: &Route, b: &Route) -> bool {
    (&a.hosts, &a.path, &a.methods, &a.headers) == (&b.hosts, &b.path, &b.methods, &b.headers)
}

impl Snapshot {
    /// Whether any service or route has a limit.
    pub fn has_rate_limits(&self) -> bool {
        self.has_rate_limits
    }

    /// Takes a token for a request of its route's limit and of its service's; how the one stands that
    /// has none. Which route that is may be known already. `tell` hears of those that have one, and say
    /// so.
    pub fn refuse_by_rate<'s>(
        &'s self,
        facts: &Facts<'_>,
        known: Option<Found>,
        now: Moment,
        mut tell: impl FnMut(RateStand<'s>),
    ) -> Option<RateStand<'s>> {
        if !self.has_rate_limits {
            return None;
        }
        let found = known.or_else(|| self.routes.find(facts))?;
        let place = found.service?;
        let service: &Service = &self.services[place];
        let of_route = service.limits.routes.iter().find(|(nth, ..)| *nth == found.nth);
        let of_route = of_route.map(|(.., limiter)| (limiter, true));
        let of_service = service.limits.service.as_ref().map(|limiter| (limiter, false));
        of_route.into_iter().chain(of_service).find_map(|(limiter, is_of_route)| {
            let grant = limiter.take(facts, &service.signer, now)?;
            let stand = RateStand { service: place, found, limiter, is_of_route, grant };
            if grant.is_granted && limiter.settings.told == Told::All {
                tell(stand);
            }
            (!grant.is_granted).then_some(stand)
        })
    }
}

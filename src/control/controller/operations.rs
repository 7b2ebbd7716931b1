//! Orders that change no split: an upstream drained, added or removed, a breaker opened, a service
//! held or put into maintenance.

use std::sync::Arc;

use super::Controller;
use crate::balance::{DEFAULT_WEIGHT, Member};
use crate::control::{InForce, ModeName, ModeOrder, Order, Place, Refused, Subject, UpstreamOrder};
use crate::proxy::listen::Serve;
use crate::snapshot::{Mode, Pool, Service, Snapshot};
use crate::upstream::{Address, BreakerOrder, Upstream};

impl<S: Serve> Controller<S> {
    pub(super) fn set_upstream(
        &mut self,
        place: &Place,
        what: UpstreamOrder,
        order: &Order,
    ) -> Result<u64, Refused> {
        let snapshot = self.wiring.published.load();
        let (service, pool) = find(&snapshot, place)?;
        let Some(address) = &place.upstream else { return Err(no_upstream(place)) };
        let said = match what {
            UpstreamOrder::Activate | UpstreamOrder::Drain => {
                let upstream = upstream(pool, address).ok_or_else(|| no_upstream(place))?;
                upstream.set_draining(what == UpstreamOrder::Drain);
                match what {
                    UpstreamOrder::Drain => "drained".to_string(),
                    _ => "active again".to_string(),
                }
            }
            UpstreamOrder::Add { weight } => self.add(place, address, weight)?,
            UpstreamOrder::Remove => {
                self.remove(place, address, service, pool)?;
                "removed".to_string()
            }
        };
        let generation = self.publish();
        self.tell("upstream", place, &said, order);
        Ok(generation)
    }

    /// The upstreams of a pool as they are at run time.
    fn upstreams(&self, place: &Place) -> Vec<(Address, u16)> {
        let key = key(place);
        let from_file = || {
            let service = self.config.service(&place.service);
            let pool = service.and_then(|service| service.pool(&place.pool));
            pool.map(|pool| pool.upstreams.clone()).unwrap_or_default()
        };
        self.run_time.changed.get(&key).cloned().unwrap_or_else(from_file)
    }

    /// Answers with what was done, in words.
    fn add(
        &mut self,
        place: &Place,
        address: &Address,
        weight: Option<u16>,
    ) -> Result<String, Refused> {
        let mut list = self.upstreams(place);
        let known = list.iter_mut().find(|(known, _)| known == address).map(|(_, weight)| weight);
        let said = match (known, weight) {
            (Some(known), Some(weight)) if *known != weight => {
                let said = format!("weight {known} → {weight}");
                *known = weight;
                said
            }
            (Some(_), _) => {
                let (pool, address) = (place.pool.clone(), address.to_string());
                return Err(Refused::Known { pool, address });
            }
            (None, weight) => {
                let weight = weight.unwrap_or(DEFAULT_WEIGHT);
                list.push((address.clone(), weight));
                format!("added with weight {weight}")
            }
        };
        self.run_time.changed.insert(key(place), list);
        self.tell_names();
        Ok(said)
    }

    fn remove(
        &mut self,
        place: &Place,
        address: &Address,
        service: &Service,
        pool: &Pool,
    ) -> Result<(), Refused> {
        let mut list = self.upstreams(place);
        let before = list.len();
        list.retain(|(known, _)| known != address);
        if list.len() == before {
            let name = upstream(pool, address).and_then(|upstream| upstream.of.as_deref());
            return Err(match name {
                Some(name) => Refused::Named { address: address.to_string(), name: name.into() },
                None => no_upstream(place),
            });
        }
        let is_used = service.split.weight(&pool.name).get() > 0
            || service.stand_in.is_some_and(|place| service.pools[place].name == pool.name);
        let named = address.to_string();
        let goes = |upstream: &Upstream| {
            upstream.address == *address || upstream.of.as_deref() == Some(&*named)
        };
        let mut others = pool.members.list().iter().filter(|member| !goes(&member.upstream));
        if is_used && !others.any(Member::is_left_in) {
            let (pool, address) = (place.pool.clone(), address.to_string());
            return Err(Refused::Last { pool, address });
        }
        self.run_time.changed.insert(key(place), list);
        self.tell_names();
        Ok(())
    }

    pub(super) fn set_breaker(
        &mut self,
        place: &Place,
        what: BreakerOrder,
        order: &Order,
    ) -> Result<u64, Refused> {
        let snapshot = self.wiring.published.load();
        let (_, pool) = find(&snapshot, place)?;
        let now = snapshot.moment(self.wiring.clock.now());
        match &place.upstream {
            Some(address) => {
                let upstream = upstream(pool, address).ok_or_else(|| no_upstream(place))?;
                upstream.breaker.set_order(what, now);
                upstream.note_breaker(now);
            }
            None => pool.state.breaker.set_order(what, now),
        }
        let said = match what {
            BreakerOrder::Auto => "breaker back to automatic",
            BreakerOrder::Open => "breaker opened by order",
            BreakerOrder::Closed => "breaker closed by order",
        };
        let generation = self.publish();
        self.tell("breaker", place, said, order);
        Ok(generation)
    }

    pub(super) fn set_mode(
        &mut self,
        service: &str,
        what: ModeOrder,
        order: &Order,
    ) -> Result<u64, Refused> {
        let snapshot = self.wiring.published.load();
        let of = snapshot.service(service).ok_or_else(|| Refused::NoService(service.into()))?;
        let now = snapshot.moment(self.wiring.clock.now());
        // Each ends only what it began: a hold that ends must not end a maintenance.
        let is = ModeName::of(&of.mode);
        let fits = match &what {
            ModeOrder::Serve { from } => from.is_none_or(|from| from == is),
            ModeOrder::Hold { .. } => is != ModeName::Maintenance,
            ModeOrder::Maintenance { .. } => true,
        };
        if !fits {
            return Err(Refused::OtherMode { service: service.into(), is });
        }
        let (mode, said) = match what {
            ModeOrder::Serve { .. } => (Mode::Serve, "serves again".to_string()),
            ModeOrder::Hold { length, most } => {
                (Mode::Hold { most, until: now + length }, format!("held for {length:?} at most"))
            }
            ModeOrder::Maintenance { message } => {
                let message: Option<Arc<str>> = message.map(Into::into);
                (Mode::Maintenance { message }, "in maintenance".to_string())
            }
        };
        self.run_time.modes.insert(of.name.clone(), mode);
        let generation = self.publish();
        let place = Place { service: service.into(), pool: String::new(), upstream: None };
        self.tell("mode", &place, &said, order);
        Ok(generation)
    }

    /// Tells the resolver, which may have a name to look up.
    fn tell_names(&self) {
        self.wiring.in_force.send_modify(|in_force| {
            let (config, text) = (in_force.config.clone(), in_force.text.clone());
            *in_force = Arc::new(InForce { config, text, changed: self.run_time.changed.clone() });
        });
    }

    fn tell(&self, kind: &'static str, place: &Place, what: &str, order: &Order) {
        let upstream = place.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
        let subject = Subject::new(&place.service, &place.pool, &upstream);
        self.wiring.events.note_order(kind, subject, what, &order.author, order.reason.as_deref());
    }
}

fn key(place: &Place) -> (Arc<str>, Arc<str>) {
    (place.service.as_str().into(), place.pool.as_str().into())
}

fn find<'s>(snapshot: &'s Snapshot, place: &Place) -> Result<(&'s Service, &'s Pool), Refused> {
    let service = snapshot.service(&place.service);
    let service = service.ok_or_else(|| Refused::NoService(place.service.clone()))?;
    let (name, pool) = (place.service.clone(), place.pool.clone());
    let found = service.pool(&place.pool);
    Ok((service, found.ok_or(Refused::NoPool { service: name, pool })?))
}

fn upstream<'p>(pool: &'p Pool, address: &Address) -> Option<&'p Upstream> {
    let upstreams = pool.members.list().iter().map(|member| &*member.upstream);
    upstreams.into_iter().find(|upstream| upstream.address == *address)
}

fn no_upstream(place: &Place) -> Refused {
    let address = place.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
    Refused::NoUpstream { pool: place.pool.clone(), address }
}

//! Orders that change no split: an upstream drained, added or removed, a breaker opened, a service
//! held or put into maintenance. Each stands in the store until somebody takes it back.

use std::sync::Arc;

use super::{Desk, Now};
use crate::balance::{DEFAULT_WEIGHT, Member};
use crate::event::{Kind, Subject};
use crate::orders::{ModeName, ModeOrder, Order, Place, Refused, UpstreamOrder};
use crate::snapshot::{Mode, Pool, Service, Snapshot};
use crate::store::{Batch, OverrideKey, What};
use crate::upstream::{Address, BreakerOrder, Upstream};

impl Desk {
    /// Drains an upstream, lets it back in, adds it or removes it.
    pub fn set_upstream(
        &mut self,
        place: &Place,
        what: UpstreamOrder,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        let (service, pool) = find(snapshot, place)?;
        let Some(address) = &place.upstream else { return Err(no_upstream(place)) };
        let said = match what {
            UpstreamOrder::Activate | UpstreamOrder::Drain => {
                let upstream = upstream(pool, address).ok_or_else(|| no_upstream(place))?;
                let drains = what == UpstreamOrder::Drain;
                let standing = What::Drain {
                    service: place.service.clone(),
                    pool: place.pool.clone(),
                    upstream: upstream.name.to_string(),
                };
                if drains && !order.force && is_last(service, pool, address) {
                    let (pool, address) = (place.pool.clone(), address.to_string());
                    return Err(Refused::LastDrained { pool, address });
                }
                if let (false, Some(under_way)) = (drains, self.rollouts.get(&*place.service))
                    && under_way.rollout.takes_out(&place.pool, &upstream.name)
                {
                    let (service, id) = (place.service.clone(), under_way.rollout.id);
                    return Err(Refused::RolloutUnderWay { service, id, to: place.pool.clone() });
                }
                match drains {
                    true => self.put(standing, order, now)?,
                    false => self.take_back(&standing.key())?,
                }
                upstream.set_draining(drains);
                if drains { Kind::Drained } else { Kind::Activated }
            }
            UpstreamOrder::Add { weight } => {
                let (list, said) = self.with(place, address, weight)?;
                self.put_upstreams(place, list, order, now)?;
                said
            }
            UpstreamOrder::Remove => {
                let list = self.without(place, address, service, pool)?;
                self.put_upstreams(place, list, order, now)?;
                Kind::Removed
            }
        };
        self.is_changed = true;
        self.say(said, subject(place), order);
        Ok(())
    }

    /// Commits an override, and believes it.
    fn put(&mut self, what: What, order: &Order, now: Now) -> Result<(), Refused> {
        self.put_until(what, order, now, None)
    }

    fn put_until(
        &mut self,
        what: What,
        order: &Order,
        now: Now,
        until: Option<crate::clock::WallTime>,
    ) -> Result<(), Refused> {
        let standing = Desk::override_of(what, order, now, until);
        let mut batch = Batch::new();
        batch.set(standing.clone());
        self.commit(batch)?;
        self.overrides.insert(standing.what.key(), standing);
        Ok(())
    }

    /// Commits that an override is gone.
    fn take_back(&mut self, key: &OverrideKey) -> Result<(), Refused> {
        if self.overrides.contains_key(key) {
            let mut batch = Batch::new();
            batch.clear(key.clone());
            self.commit(batch)?;
            self.overrides.remove(key);
        }
        Ok(())
    }

    fn put_upstreams(
        &mut self,
        place: &Place,
        list: Vec<(Address, u16)>,
        order: &Order,
        now: Now,
    ) -> Result<(), Refused> {
        let what = What::Upstreams {
            service: place.service.clone(),
            pool: place.pool.clone(),
            list: list.iter().map(|(address, weight)| (address.to_string(), *weight)).collect(),
        };
        self.put(what, order, now)?;
        self.run_time.changed.insert(key(place), list);
        Ok(())
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

    /// A pool's upstreams with one more or another weight, and what that is.
    fn with(
        &self,
        place: &Place,
        address: &Address,
        weight: Option<u16>,
    ) -> Result<(Vec<(Address, u16)>, Kind), Refused> {
        let mut list = self.upstreams(place);
        let known = list.iter_mut().find(|(known, _)| known == address).map(|(_, weight)| weight);
        let said = match (known, weight) {
            (Some(known), Some(weight)) if *known != weight => {
                let from = std::mem::replace(known, weight);
                Kind::Reweighted { from, to: weight }
            }
            (Some(_), _) => {
                let (pool, address) = (place.pool.clone(), address.to_string());
                return Err(Refused::Known { pool, address });
            }
            (None, weight) => {
                let weight = weight.unwrap_or(DEFAULT_WEIGHT);
                list.push((address.clone(), weight));
                Kind::Added { weight }
            }
        };
        Ok((list, said))
    }

    /// A pool's upstreams without one.
    fn without(
        &self,
        place: &Place,
        address: &Address,
        service: &Service,
        pool: &Pool,
    ) -> Result<Vec<(Address, u16)>, Refused> {
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
        if is_last(service, pool, address) {
            let (pool, address) = (place.pool.clone(), address.to_string());
            return Err(Refused::Last { pool, address });
        }
        Ok(list)
    }

    /// Opens or closes a breaker, or lets it decide by itself again.
    pub fn set_breaker(
        &mut self,
        place: &Place,
        what: BreakerOrder,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        let (_, pool) = find(snapshot, place)?;
        let found = match &place.upstream {
            Some(address) => Some(upstream(pool, address).ok_or_else(|| no_upstream(place))?),
            None => None,
        };
        let standing = What::Breaker {
            service: place.service.clone(),
            pool: place.pool.clone(),
            upstream: found.map(|upstream| upstream.name.to_string()),
            order: what,
        };
        match what {
            BreakerOrder::Auto => self.take_back(&standing.key())?,
            BreakerOrder::Open | BreakerOrder::Closed => self.put(standing, order, now)?,
        }
        let moment = snapshot.moment(now.instant);
        match found {
            Some(upstream) => {
                upstream.breaker.set_order(what, moment);
                upstream.note_breaker(moment);
            }
            None => pool.state.breaker.set_order(what, moment),
        }
        self.is_changed = true;
        self.say(Kind::BreakerOrdered(what), subject(place), order);
        Ok(())
    }

    /// Holds a service, puts it into maintenance, or lets it serve.
    pub fn set_mode(
        &mut self,
        service: &str,
        what: ModeOrder,
        order: &Order,
        snapshot: &Snapshot,
        now: Now,
    ) -> Result<(), Refused> {
        let of = snapshot.service(service).ok_or_else(|| Refused::NoService(service.into()))?;
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
        let name = service.to_string();
        let (mode, said) = match what {
            ModeOrder::Serve { .. } => {
                self.take_back(&OverrideKey::Mode { service: name })?;
                (Mode::Serve, Kind::Serves)
            }
            ModeOrder::Hold { length, most } => {
                let what = What::Hold { service: name, most };
                self.put_until(what, order, now, Some(now.wall + length))?;
                let until = snapshot.moment(now.instant) + length;
                (Mode::Hold { most, until }, Kind::Held { length })
            }
            ModeOrder::Maintenance { message } => {
                self.put(
                    What::Maintenance { service: name, message: message.clone() },
                    order,
                    now,
                )?;
                let message: Option<Arc<str>> = message.map(Into::into);
                (Mode::Maintenance { message }, Kind::InMaintenance)
            }
        };
        self.run_time.modes.insert(of.name.clone(), mode);
        self.is_changed = true;
        self.say(said, Subject::service(service), order);
        Ok(())
    }
}

/// Whether a pool that gets traffic would have nobody left without this.
fn is_last(service: &Service, pool: &Pool, address: &Address) -> bool {
    let is_used = service.split.weight(&pool.name).get() > 0
        || service.stand_in.is_some_and(|place| service.pools[place].name == pool.name);
    let named = address.to_string();
    let goes = |upstream: &Upstream| {
        upstream.address == *address || upstream.of.as_deref() == Some(&*named)
    };
    let mut others = pool.members.list().iter().filter(|member| !goes(&member.upstream));
    is_used && !others.any(Member::is_left_in)
}

fn subject(place: &Place) -> Subject {
    let upstream = place.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
    Subject::new(&place.service, &place.pool, &upstream)
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

//! Orders that change no split: an upstream drained, added or removed, a breaker opened, a service
//! held or put into maintenance. Each stands until somebody takes it back.

use super::draft::Draft;
use super::{
    Haste, Made, ModeName, ModeOrder, Place, Refused, UpstreamOrder, labels_in, upstreams_in,
    written,
};
use crate::balance::{DEFAULT_WEIGHT, Member};
use crate::event::{Kind, Subject};
use crate::snapshot::{Pool, Service, Snapshot};
use crate::state::{About, Change, What};
use crate::upstream::{Address, BreakerOrder, Label, Labels, Upstream};

impl Draft<'_> {
    /// Drains an upstream, lets it back in, adds it or removes it.
    pub fn set_upstream(&mut self, place: &Place, what: UpstreamOrder) -> Result<Made, Refused> {
        let (service, pool) = find(self.view.snapshot, place)?;
        let Some(address) = &place.upstream else { return Err(no_upstream(place)) };
        let kind = match what {
            UpstreamOrder::Activate | UpstreamOrder::Drain => {
                let member = member(pool, address).ok_or_else(|| no_upstream(place))?;
                let drains = what == UpstreamOrder::Drain;
                let standing = What::Drain {
                    service: place.service.clone(),
                    pool: place.pool.clone(),
                    upstream: member.upstream.name.to_string(),
                };
                if drains && !self.by.force && is_last(service, pool, address) {
                    let (pool, address) = (place.pool.clone(), address.to_string());
                    return Err(Refused::LastDrained { pool, address });
                }
                if let (false, Some(rollout)) = (drains, self.state.rollout(&place.service))
                    && rollout.takes_out(&place.pool, &member.upstream.name)
                {
                    let (service, id) = (place.service.clone(), rollout.id);
                    return Err(Refused::RolloutUnderWay { service, id, to: place.pool.clone() });
                }
                if drains {
                    if !member.is_well() {
                        self.haste = Haste::Drain;
                    }
                    self.put(standing, None);
                    Kind::Drained { is_last: is_last(service, pool, address) }
                } else {
                    self.clear(&standing);
                    Kind::Activated
                }
            }
            UpstreamOrder::Add { weight, labels } => {
                self.check_not_ours(address)?;
                self.add(place, weight, labels)?
            }
            UpstreamOrder::Remove => {
                let list = self.without(place, address, service, pool)?;
                self.put_upstreams(place, list, None);
                self.forget_orders(place, address, pool);
                Kind::Removed
            }
        };
        self.say(kind, subject(place));
        Ok(Made::Done)
    }

    /// Drains all upstreams of a service that have a label, or lets them back in.
    pub fn set_labelled(
        &mut self,
        name: &str,
        pool: Option<&str>,
        label: &Label,
        drains: bool,
    ) -> Result<Made, Refused> {
        let service =
            self.view.snapshot.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        if let Some(pool) = pool.filter(|pool| service.pool(pool).is_none()) {
            let (service, pool) = (name.to_string(), pool.to_string());
            return Err(Refused::NoPool { service, pool });
        }
        let pools =
            service.pools.iter().filter(|known| pool.is_none_or(|pool| *known.name == *pool));
        let (mut found, mut are_well, mut is_news) = (0, false, false);
        for pool in pools {
            let has = |member: &&Member| member.labels.has(label);
            let (meant, others): (Vec<&Member>, Vec<&Member>) =
                pool.members.list().iter().partition(has);
            let is_emptied =
                is_used(service, pool) && !others.iter().any(|member| member.is_left_in());
            if let (true, true, Some(last)) = (drains, is_emptied && !self.by.force, meant.first())
            {
                let (pool, address) = (pool.name.to_string(), last.upstream.name.to_string());
                return Err(Refused::LastDrained { pool, address });
            }
            for (place, member) in meant.iter().enumerate() {
                found += 1;
                let upstream = member.upstream.name.to_string();
                let subject = Subject::new(name, &pool.name, &upstream);
                let standing =
                    What::Drain { service: name.into(), pool: pool.name.to_string(), upstream };
                let stands = self.state.order(&standing.about()).is_some();
                match (drains, stands) {
                    (true, false) => {
                        are_well |= member.is_well();
                        is_news = true;
                        self.put(standing, None);
                        let is_last = is_emptied && place + 1 == meant.len();
                        self.say(Kind::Drained { is_last }, subject);
                    }
                    (false, true) => {
                        let rollout = self
                            .state
                            .rollout(name)
                            .filter(|rollout| rollout.takes_out(&pool.name, &member.upstream.name));
                        if let Some(rollout) = rollout {
                            let (service, id) = (name.into(), rollout.id);
                            let to = pool.name.to_string();
                            return Err(Refused::RolloutUnderWay { service, id, to });
                        }
                        self.clear(&standing);
                        self.say(Kind::Activated, subject);
                    }
                    _ => {}
                }
            }
        }
        if found == 0 {
            return Err(Refused::NoLabel { service: name.into(), label: label.to_string() });
        }
        // Said twice it is nothing to hurry for.
        if is_news && !are_well {
            self.haste = Haste::Drain;
        }
        Ok(Made::Done)
    }

    /// Adds an upstream, or gives it another weight or other labels; answers with what that is.
    fn add(
        &mut self,
        place: &Place,
        weight: Option<u16>,
        labels: Option<Labels>,
    ) -> Result<Kind, Refused> {
        let Some(address) = &place.upstream else { return Err(no_upstream(place)) };
        let has = self.labels(place, address);
        let labels = labels.filter(|labels| *labels != has);
        let (list, said) = self.with(place, address, weight);
        let relabelled = labels.clone().map(|labels| Kind::Relabelled { labels });
        let (kind, more) = match (said, relabelled) {
            // One that is new has its labels from the start.
            (Some(added @ Kind::Added { .. }), _) => (added, None),
            (Some(said), more) => (said, more),
            (None, Some(relabelled)) => (relabelled, None),
            (None, None) => {
                let (pool, address) = (place.pool.clone(), address.to_string());
                return Err(Refused::Known { pool, address });
            }
        };
        self.put_upstreams(place, list, labels.map(|labels| (address, labels)));
        if let Some(more) = more {
            self.say(more, subject(place));
        }
        Ok(kind)
    }

    fn put_upstreams(
        &mut self,
        place: &Place,
        list: Vec<(Address, u16)>,
        labelled: Option<(&Address, Labels)>,
    ) {
        let known = self.view.config.service(&place.service);
        let known = known.and_then(|service| service.pool(&place.pool));
        let in_file = known.map(|pool| written(&pool.upstreams));
        let (service, pool, list) = (place.service.clone(), place.pool.clone(), written(&list));
        let mut labels = labels_in(&self.state, &service, &pool);
        labels.extend(labelled.map(|(address, labels)| (address.to_string(), labels)));
        labels.retain(|address, _| list.iter().any(|(listed, _)| listed == address));
        // One more or less of a version that was deployed is that version still.
        let about = About::upstreams(&service, &pool);
        let deploy =
            self.state.order(&about).and_then(|standing| standing.what.deployed().cloned());
        self.put(What::Upstreams { service, pool, list, in_file, labels, deploy }, None);
    }

    /// The labels of an upstream as they are at run time; none for one that is not there.
    fn labels(&self, place: &Place, address: &Address) -> Labels {
        let ordered = labels_in(&self.state, &place.service, &place.pool);
        let from_file = || {
            let service = self.view.config.service(&place.service);
            let pool = service.and_then(|service| service.pool(&place.pool));
            pool.and_then(|pool| pool.labels.get(address)).cloned()
        };
        ordered.get(&address.to_string()).cloned().or_else(from_file).unwrap_or_default()
    }

    /// The upstreams of a pool as they are at run time.
    fn upstreams(&self, place: &Place) -> Vec<(Address, u16)> {
        let from_file = || {
            let service = self.view.config.service(&place.service);
            let pool = service.and_then(|service| service.pool(&place.pool));
            pool.map(|pool| pool.upstreams.clone()).unwrap_or_default()
        };
        upstreams_in(&self.state, &place.service, &place.pool).unwrap_or_else(from_file)
    }

    /// A pool's upstreams with one more or another weight, and what that is; nothing if it is there
    /// and keeps its weight.
    fn with(
        &self,
        place: &Place,
        address: &Address,
        weight: Option<u16>,
    ) -> (Vec<(Address, u16)>, Option<Kind>) {
        let mut list = self.upstreams(place);
        let known = list.iter_mut().find(|(known, _)| known == address).map(|(_, weight)| weight);
        let said = match (known, weight) {
            (Some(known), Some(weight)) if *known != weight => {
                let from = std::mem::replace(known, weight);
                Some(Kind::Reweighted { from, to: weight })
            }
            (Some(_), _) => None,
            (None, weight) => {
                let weight = weight.unwrap_or(DEFAULT_WEIGHT);
                list.push((address.clone(), weight));
                Some(Kind::Added { weight })
            }
        };
        (list, said)
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

    /// Takes back what was ordered of an upstream that is removed: who brings it back later means one that
    /// takes requests.
    fn forget_orders(&mut self, place: &Place, address: &Address, pool: &Pool) {
        for member in pool.members.list().iter().filter(|member| is_of(&member.upstream, address)) {
            let (service, pool) = (place.service.clone(), place.pool.clone());
            let upstream = member.upstream.name.to_string();
            let breaker = About::breaker(&service, &pool, Some(&upstream));
            let drain = About::drain(&service, &pool, &upstream);
            for about in [drain, breaker] {
                if self.state.order(&about).is_some() {
                    self.change(Change::Clear(about));
                }
            }
        }
    }

    /// Opens or closes a breaker, or lets it decide by itself again.
    pub fn set_breaker(&mut self, place: &Place, what: BreakerOrder) -> Result<Made, Refused> {
        let (_, pool) = find(self.view.snapshot, place)?;
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
            BreakerOrder::Auto => self.clear(&standing),
            BreakerOrder::Open | BreakerOrder::Closed => self.put(standing, None),
        }
        self.say(Kind::BreakerOrdered(what), subject(place));
        Ok(Made::Done)
    }

    /// Holds a service, puts it into maintenance, or lets it serve.
    pub fn set_mode(&mut self, name: &str, what: ModeOrder) -> Result<Made, Refused> {
        let of = self.view.snapshot.service(name).ok_or_else(|| Refused::NoService(name.into()))?;
        // Each ends only what it began: a hold that ends must not end a maintenance.
        let moment = self.view.snapshot.moment(self.view.now.instant);
        let is = ModeName::of(of.mode.at(moment));
        let fits = match &what {
            ModeOrder::Serve { from } => from.is_none_or(|from| from == is),
            ModeOrder::Hold { .. } => is != ModeName::Maintenance,
            ModeOrder::Maintenance { .. } => true,
        };
        let service = name.to_string();
        if !fits {
            return Err(Refused::OtherMode { service, is });
        }
        let kind = match what {
            ModeOrder::Serve { .. } => {
                self.clear(&What::Maintenance { service, message: None });
                Kind::Serves
            }
            ModeOrder::Hold { length, most } => {
                let until = self.view.now.wall + length;
                self.put(What::Hold { service, most }, Some(until));
                Kind::Held { length }
            }
            ModeOrder::Maintenance { message } => {
                self.put(What::Maintenance { service, message }, None);
                Kind::InMaintenance
            }
        };
        self.say(kind, Subject::service(name));
        Ok(Made::Done)
    }
}

/// Whether a pool that gets traffic would have nobody left without this.
fn is_last(service: &Service, pool: &Pool, address: &Address) -> bool {
    let mut others = pool.members.list().iter().filter(|member| !is_of(&member.upstream, address));
    is_used(service, pool) && !others.any(Member::is_left_in)
}

/// Whether an upstream is the one of this address, or one that it stands for as a name.
fn is_of(upstream: &Upstream, address: &Address) -> bool {
    upstream.address == *address || upstream.of.as_deref() == Some(&*address.to_string())
}

/// Whether a pool gets traffic, or stands in for one that does.
fn is_used(service: &Service, pool: &Pool) -> bool {
    service.split.weight(&pool.name).get() > 0
        || service.stand_in.is_some_and(|place| service.pools[place].name == pool.name)
}

fn subject(place: &Place) -> Subject {
    let upstream = place.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
    Subject::new(&place.service, &place.pool, &upstream)
}

fn find<'s>(snapshot: &'s Snapshot, place: &Place) -> Result<(&'s Service, &'s Pool), Refused> {
    let service = snapshot.service(&place.service);
    let service = service.ok_or_else(|| Refused::NoService(place.service.clone()))?;
    let (name, pool) = (place.service.clone(), place.pool.clone());
    let found = service.pool(&place.pool);
    Ok((service, found.ok_or(Refused::NoPool { service: name, pool })?))
}

fn member<'p>(pool: &'p Pool, address: &Address) -> Option<&'p Member> {
    pool.members.list().iter().find(|member| member.upstream.address == *address)
}

fn upstream<'p>(pool: &'p Pool, address: &Address) -> Option<&'p Upstream> {
    member(pool, address).map(|member| &*member.upstream)
}

fn no_upstream(place: &Place) -> Refused {
    let address = place.upstream.as_ref().map(ToString::to_string).unwrap_or_default();
    Refused::NoUpstream { pool: place.pool.clone(), address }
}

//! How much pools carried: what is to be stored of it, what was, and what is told of a service.

use std::sync::Arc;

use super::History;
use crate::capacity::{Day, DayNumber, Known, Now, Overload, Report, Target};
use crate::clock::WallTime;
use crate::snapshot::{Pool, Service};

/// What is known of how much the pools of a service carry.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    /// In the order of the service.
    pub pools: Vec<(Arc<str>, Report)>,
    /// The most that one upstream of each pool carried well, in requests per second and 100 of weight.
    pub carried: Vec<(Arc<str>, f64)>,
    /// Hours in which anything came.
    pub hours: usize,
    /// Requests per second over the last ten seconds.
    pub rate: f64,
}

impl Capacity {
    /// What would be too much, if this pool gets its share.
    pub fn overload(&self, target: &Target<'_>) -> Option<Overload> {
        Overload::of(self.rate, target, &self.carried, self.hours)
    }
}

impl History {
    /// How much the pools of a service carry, and how much more they could.
    pub fn capacity(&self, service: &Service, wall: WallTime) -> Capacity {
        let rates = self.rates(&service.name, service.revision);
        let known: Vec<Known> = {
            let minutes = self.minutes();
            let of_service = minutes.services.get(&service.name);
            let pool = |pool: &Pool| of_service.and_then(|it| it.pool(&pool.name));
            let pools = service.pools.iter().map(pool);
            pools.map(|it| it.map(|it| it.weeks.known(wall)).unwrap_or_default()).collect()
        };
        let names = service.pools.iter().map(|pool| &pool.name);
        let carried: Vec<(Arc<str>, f64)> =
            names.zip(&known).filter_map(|(name, it)| Some((name.clone(), it.carried?))).collect();
        let most = carried.iter().map(|(_, carried)| *carried).reduce(f64::max);
        let mut hours: Vec<WallTime> = known.iter().flat_map(|it| &it.hours).copied().collect();
        hours.sort_unstable();
        hours.dedup();
        let pools = service.pools.iter().zip(known).map(|(pool, known)| {
            let rate = rates.get(&pool.name).map_or(0.0, |rate| rate.requests);
            (pool.name.clone(), Report::of(now(service, pool, rate), known, most))
        });
        Capacity {
            pools: pools.collect(),
            carried,
            hours: hours.len(),
            rate: rates.values().map(|rate| rate.requests).sum(),
        }
    }

    /// Days that are to be stored, by `SERVICE/POOL/DAY`; none of those that are remembered no longer. `all`: also
    /// those of which next to nothing is new.
    pub fn unsaved_days(&self, wall: WallTime, all: bool) -> Vec<(Arc<str>, Option<Arc<Day>>)> {
        let mut minutes = self.minutes();
        let mut found = Vec::new();
        for (name, service) in &mut minutes.services {
            for (pool, known) in service.pools_mut() {
                let days = known.weeks.take_unsaved(wall, all).into_iter();
                found.extend(days.map(|(day, kept)| (format!("{name}/{pool}/{day}").into(), kept)));
            }
        }
        found
    }

    /// Goes on from what another process has seen.
    pub fn restore_days<'s>(&self, all: impl Iterator<Item = (&'s Arc<str>, &'s Arc<Day>)>) {
        let mut minutes = self.minutes();
        for (of, day) in all {
            let Some((service, pool, number)) = parts(of) else { continue };
            let service = minutes.services.entry(service.into()).or_default();
            service.restore_day(pool, number, day.clone());
        }
    }
}

/// Service, pool and day of what is stored.
pub fn parts(of: &str) -> Option<(&str, &str, DayNumber)> {
    let (service, rest) = of.split_once('/')?;
    let (pool, day) = rest.rsplit_once('/')?;
    Some((service, pool, day.parse().ok()?))
}

/// What a pool does, and what bounds it.
fn now(service: &Service, pool: &Pool, rate: f64) -> Now {
    let limits = &service.stability.limits;
    let others = service.state.in_flight().saturating_sub(pool.state.in_flight());
    let of_service = limits.in_flight.map(|limit| limit.saturating_sub(others));
    let own = limits.adaptive.then(|| pool.state.gradient.limit());
    let well = pool.members.list().iter().filter(|member| member.is_well());
    Now {
        rate,
        in_flight: pool.state.in_flight(),
        well: well.map(|member| member.weight).collect(),
        upstream_limit: limits.upstream_in_flight,
        pool_limit: of_service.into_iter().chain(own).min(),
    }
}

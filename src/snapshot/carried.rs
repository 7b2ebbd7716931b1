//! What services, pools and upstreams know that no store keeps, for the process that comes after this one:
//! a snapshot in, a form of its own out, and back.
//!
//! How they stand goes over once ([`Carried`]); what they count goes over again and again ([`Counted`]), as
//! long as the one before still serves somebody: it is counted where somebody looks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Service, Snapshot};
use crate::clock::Moment;
use crate::rate::CarriedLimit;
use crate::slo;
use crate::upstream::{CarriedBreaker, CarriedUpstream, TallyReading};

/// How all that a snapshot names stands. What another version does not tell is as if it were new.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    services: BTreeMap<String, BTreeMap<String, CarriedPool>>,
    /// By service, and by what of it is limited.
    limits: BTreeMap<String, BTreeMap<String, CarriedLimit>>,
}

/// Of how many clients is told what they have used up of a rate limit, in all: some megabytes.
const MOST_LIMITED: usize = 131_072;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct CarriedPool {
    breaker: CarriedBreaker,
    upstreams: BTreeMap<String, CarriedUpstream>,
}

/// What was counted, or what of it is new.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    services: BTreeMap<String, CountedService>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct CountedService {
    slo: slo::Totals,
    /// From clients, and to clients.
    bytes: (u64, u64),
    pools: BTreeMap<String, CountedPool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct CountedPool {
    requests: TallyReading,
    upstreams: BTreeMap<String, TallyReading>,
}

impl Snapshot {
    /// How all of it stands.
    pub fn carry(&self, now: Moment) -> Carried {
        let pools = |service: &Service| {
            let pools = service.pools.iter().map(|pool| {
                let members = pool.members.list().iter();
                let upstreams = members
                    .map(|member| (member.upstream.name.to_string(), member.upstream.carry(now)));
                let breaker = pool.state.breaker.carry(now);
                (pool.name.to_string(), CarriedPool { breaker, upstreams: upstreams.collect() })
            });
            pools.collect()
        };
        let services =
            self.services.iter().map(|service| (service.name.to_string(), pools(service)));
        let (services, mut left) = (services.collect(), MOST_LIMITED);
        let limited = self.services.iter().filter(|service| service.limits.are_any());
        let limits = limited
            .map(|service| (service.name.to_string(), service.limits.carry(&mut left, now)))
            .collect();
        Carried { services, limits }
    }

    /// Goes on from how it stood in another process. It must be the first of this one.
    pub fn take_over(&self, carried: &Carried, now: Moment) {
        for service in &self.services {
            let limits = carried.limits.get(&*service.name);
            limits.iter().for_each(|known| service.limits.take_over(known, now));
            let Some(pools) = carried.services.get(&*service.name) else { continue };
            for pool in &service.pools {
                let Some(known) = pools.get(&*pool.name) else { continue };
                pool.state.breaker.take_over(&known.breaker, now);
                for member in pool.members.list() {
                    if let Some(known) = known.upstreams.get(&*member.upstream.name) {
                        member.upstream.take_over(known, now);
                    }
                }
            }
        }
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        let of = |service: &Service| {
            let pools = service.pools.iter().map(|pool| {
                let upstreams =
                    pool.members.list().iter().map(|member| {
                        (member.upstream.name.to_string(), member.upstream.tally.read())
                    });
                let requests = pool.state.tally.read();
                (pool.name.to_string(), CountedPool { requests, upstreams: upstreams.collect() })
            });
            let (slo, bytes) = (service.state.slo.all(), service.state.bytes.read());
            CountedService { slo, bytes, pools: pools.collect() }
        };
        let services = self.services.iter().map(|service| (service.name.to_string(), of(service)));
        Counted { services: services.collect() }
    }

    /// Counts what another process has.
    pub fn count(&self, counted: &Counted) {
        for service in &self.services {
            let Some(more) = counted.services.get(&*service.name) else { continue };
            service.state.slo.add(&more.slo);
            service.state.bytes.count(more.bytes);
            for pool in &service.pools {
                let Some(more) = more.pools.get(&*pool.name) else { continue };
                pool.state.tally.add(&more.requests);
                for member in pool.members.list() {
                    if let Some(more) = more.upstreams.get(&*member.upstream.name) {
                        member.upstream.tally.add(more);
                    }
                }
            }
        }
    }
}

impl Counted {
    /// What is new since then, and nothing of what is not.
    pub fn since(&self, before: &Counted) -> Counted {
        let mut new = Counted::default();
        for (name, service) in &self.services {
            let of = before.services.get(name).cloned().unwrap_or_default();
            let (from, to) = service.bytes;
            let bytes = (from.saturating_sub(of.bytes.0), to.saturating_sub(of.bytes.1));
            let mut more =
                CountedService { slo: service.slo.since(&of.slo), bytes, pools: BTreeMap::new() };
            for (name, pool) in &service.pools {
                let of = of.pools.get(name).cloned().unwrap_or_default();
                let requests = pool.requests.since(&of.requests);
                let upstreams = pool.upstreams.iter().map(|(name, tally)| {
                    let before = of.upstreams.get(name).cloned().unwrap_or_default();
                    (name.clone(), tally.since(&before))
                });
                let upstreams = upstreams.filter(|(_, tally)| tally.total() > 0);
                let pool = CountedPool { requests, upstreams: upstreams.collect() };
                if pool != CountedPool::default() {
                    more.pools.insert(name.clone(), pool);
                }
            }
            if more != CountedService::default() {
                new.services.insert(name.clone(), more);
            }
        }
        new
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The same but for what objectives go by: that is kept in the store up to when it was given up.
    pub fn without_objectives(mut self) -> Counted {
        self.services.values_mut().for_each(|service| service.slo = slo::Totals::default());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::build;
    use crate::upstream::{Outcome, StatusClass};
    use std::time::Duration;

    const TEXT: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop]\n\
                        slo = { availability = \"99%\" }\n\
                        [services.shop.pools.blue]\nupstreams = [\"127.0.0.1:9\", \"127.0.0.1:10\"]\n";

    fn built() -> Snapshot {
        build(TEXT, &[("blue", 100)], None)
    }

    #[test]
    fn what_is_counted_after_the_change_is_counted_once_and_in_the_next_process() {
        let (before, after) = (built(), built());
        let count = |snapshot: &Snapshot, times| {
            let service = &snapshot.services[0];
            for _ in 0..times {
                let outcome = Outcome::Status(StatusClass::ServerError);
                let took = Duration::from_millis(3);
                service.pools[0].state.tally.record(outcome, took);
                service.pools[0].members.list()[1].upstream.tally.record(outcome, took);
                service.state.slo.count(service.slo.as_ref().unwrap(), outcome, took);
                service.state.bytes.count((10, 1_000));
            }
        };
        let over = |counted: &Counted| {
            let text = serde_json::to_string(counted).unwrap();
            after.count(&serde_json::from_str(&text).unwrap());
        };
        count(&before, 5);
        let at_first = before.counted();
        over(&at_first.clone().without_objectives());
        count(&before, 2);
        let then = before.counted();
        over(&then.since(&at_first));
        assert!(before.counted().since(&then).is_empty());
        count(&after, 1);
        let pool = &after.services[0].pools[0];
        let upstreams: Vec<u64> =
            pool.members.list().iter().map(|member| member.upstream.tally.read().total()).collect();
        assert_eq!((pool.state.tally.read().errors(), upstreams), (8, vec![0, 8]));
        assert_eq!(after.services[0].state.bytes.read(), (80, 8_000));
        assert_eq!(
            after.services[0].state.slo.causes(),
            (0, 3),
            "what is stored counts no second time"
        );
    }
}

//! What is to be in place for each service.

use super::facts::{Judged, PoolLoad, Running, ServiceFacts};
use super::{Facts, Found, names};
use crate::config::{Config, Service};
use crate::split::BasisPoints;

/// The most percent of requests that may be retries before an overload grows by itself.
const MOST_RETRIES: u8 = 30;

/// How often a request may be tried again.
const MOST_ATTEMPTS: u32 = 2;

/// The file, or that nobody has it.
pub(super) fn config<'f>(facts: &Facts<'f>) -> Result<&'f Config, Found> {
    facts.config.ok_or_else(|| Found::Skipped("the file is not known here".into()))
}

/// What the running proxy knows, or that there is none.
pub(super) fn running<'f>(facts: &'f Facts<'_>) -> Result<&'f Running, Found> {
    facts.running.as_ref().ok_or_else(|| Found::Skipped("only a running proxy knows".into()))
}

/// Well if nobody lacks something, else who does.
fn lacking(of: Vec<String>, well: String, what: impl Fn(&str) -> String) -> Found {
    match of.is_empty() {
        true => Found::Well(well),
        false => Found::Missing { what: what(&names(&of)), of },
    }
}

/// The services of which this is not so.
fn without(config: &Config, is_so: impl Fn(&Service) -> bool) -> Vec<String> {
    let lacking = config.services.iter().filter(|service| !is_so(service));
    lacking.map(|service| service.name.to_string()).collect()
}

pub(super) fn limits(config: &Config) -> Found {
    let of = without(config, |service| {
        let limits = &service.stability.limits;
        limits.in_flight.is_some() || limits.upstream_in_flight.is_some() || limits.adaptive
    });
    let well = format!("each of {} bounds its requests at once", services(config));
    lacking(of, well, |who| format!("no limit on requests at once: {who}"))
}

pub(super) fn body_limit(config: &Config) -> Found {
    let of_all = config.server.client.body_limit;
    let of = without(config, |service| service.body_limit.unwrap_or(of_all) > 0);
    let what = |who: &str| format!("bodies of any length are taken: {who}");
    match lacking(of, "bodies have a limit everywhere".into(), what) {
        // It is mended for all of them at once.
        Found::Missing { what, .. } => Found::missing(what),
        found => found,
    }
}

pub(super) fn health(config: &Config) -> Found {
    let of = without(config, |service| service.stability.health.is_some());
    let well = format!("upstreams of {} are probed", services(config));
    lacking(of, well, |who| format!("no health check: {who}"))
}

pub(super) fn two_upstreams(facts: &Facts<'_>) -> Found {
    let few: Vec<String> = match (&facts.running, config(facts)) {
        (Some(running), _) => {
            of_pools(running, |pool| pool.upstreams < 2).into_iter().map(|(name, _)| name).collect()
        }
        (None, Ok(config)) => {
            let pools = config.services.iter().flat_map(|service| {
                let with_traffic = service
                    .pools
                    .iter()
                    .filter(move |pool| service.split.weight(&pool.name) > BasisPoints::NONE);
                // A name may stand for many.
                let few = with_traffic.filter(|pool| match &pool.upstreams[..] {
                    [(only, _)] => only.target().is_some(),
                    list => list.is_empty(),
                });
                few.map(move |pool| format!("{}/{}", service.name, pool.name))
            });
            pools.collect()
        }
        (None, Err(found)) => return found,
    };
    let well = "each pool with traffic has two upstreams or more".to_string();
    lacking(few, well, |who| format!("fewer than two upstreams: {who}"))
}

pub(super) fn retries(config: &Config) -> Found {
    let of = without(config, |service| {
        let retries = &service.stability.retries;
        retries.attempts == 0 || retries.attempts <= MOST_ATTEMPTS && retries.budget <= MOST_RETRIES
    });
    let well = format!("at most {MOST_ATTEMPTS} a request, and {MOST_RETRIES} % of all requests");
    lacking(of, well, |who| {
        format!("more than {MOST_ATTEMPTS} retries a request or {MOST_RETRIES} % of all: {who}")
    })
}

pub(super) fn slo(config: &Config) -> Found {
    let of = without(config, |service| service.slo.is_some());
    let well = format!("each of {} promises something", services(config));
    lacking(of, well, |who| format!("nothing is promised: {who}"))
}

pub(super) fn capacity(running: &Running) -> Found {
    let crowded = of_pools(running, |pool| pool.room_at_peak.is_some_and(|room| room < 0.0));
    let unknown = of_pools(running, |pool| pool.room_at_peak.is_none());
    let of = |pools: &[(String, &PoolLoad)]| -> Vec<String> {
        pools.iter().map(|(name, _)| name.clone()).collect()
    };
    if !crowded.is_empty() {
        let told: Vec<String> = crowded
            .iter()
            .map(|(name, pool)| {
                let used = (1.0 - pool.room_at_peak.unwrap_or_default()) * 100.0;
                format!("{name} {used:.0} %")
            })
            .collect();
        let what = format!(
            "with the largest upstream lost, the peak of 28 days is more than the rest can carry: {}",
            names(&told)
        );
        return Found::Missing { what, of: of(&crowded) };
    }
    if !unknown.is_empty() {
        let of = of(&unknown);
        let why = format!("nothing shows yet how much is too much: {}", names(&of));
        return Found::Unknown { why, of };
    }
    Found::well("at the peak of 28 days each pool could lose its largest upstream")
}

pub(super) fn rollback(facts: &Facts<'_>) -> Found {
    let (running, config) = match (running(facts), config(facts)) {
        (Ok(running), Ok(config)) => (running, config),
        (Err(found), _) | (_, Err(found)) => return found,
    };
    let has_two = |name: &str| config.service(name).is_some_and(|it| it.pools.len() > 1);
    let with_two: Vec<&ServiceFacts> =
        running.services.iter().filter(|service| has_two(&service.name)).collect();
    if with_two.is_empty() {
        return Found::well("no service has a second pool to go back to");
    }
    let never = with_two.iter().filter(|service| service.taken_back.is_none());
    let of: Vec<String> = never.map(|service| service.name.clone()).collect();
    let well = "traffic of each service was taken back once".to_string();
    lacking(of, well, |who| format!("traffic was never taken back, as far as is remembered: {who}"))
}

pub(super) fn judge(running: &Running) -> Found {
    let (mut broken, mut few, mut keeps) = (Vec::new(), Vec::new(), Vec::new());
    for service in &running.services {
        match &service.judged {
            Judged::Not => {}
            Judged::TooFew(why) => few.push((service.name.clone(), why)),
            Judged::Keeps(words) => keeps.push(format!("{}: {words}", service.name)),
            Judged::Broken(what) => broken.push((service.name.clone(), what)),
        }
    }
    match (broken.first(), few.first(), keeps.first()) {
        (Some((name, what)), ..) => {
            let what = format!("{name}: {what}");
            Found::Missing { what, of: broken.into_iter().map(|(name, _)| name).collect() }
        }
        (None, Some(_), _) => {
            let told: Vec<String> =
                few.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            let of = few.into_iter().map(|(name, _)| name).collect();
            Found::Unknown { why: names(&told), of }
        }
        (None, None, None) => Found::well("no service has a judge that could be checked"),
        (None, None, Some(_)) => Found::Well(names(&keeps)),
    }
}

/// Pools with traffic of which something is so, as `SERVICE/POOL`.
fn of_pools(running: &Running, is_so: impl Fn(&PoolLoad) -> bool) -> Vec<(String, &PoolLoad)> {
    let named = running.services.iter().flat_map(|service| {
        service.pools.iter().map(move |pool| (format!("{}/{}", service.name, pool.name), pool))
    });
    named.filter(|(_, pool)| is_so(pool)).collect()
}

fn services(config: &Config) -> String {
    match config.services.len() {
        1 => "1 service".into(),
        count => format!("{count} services"),
    }
}

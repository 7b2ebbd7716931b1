//! What a rule sees: what is known of services anyway in, a reading for each place that it looks at out.
//! Nothing is measured for it, and nothing here touches the way of a request.

use std::time::Instant;

use super::*;
use crate::automation::{Each, Reading, When};
use crate::balance::Member;
use crate::capacity;
use crate::judge::Distribution;
use crate::slo::Span;
use crate::snapshot::{Pool, Service};

/// How often it is found out how much room pools have, which takes weeks to be looked through.
const ROOMS: Duration = Duration::from_secs(10);

/// How long what another rule did last counts as its failure.
const FAILED_LATELY: Duration = Duration::from_secs(60 * 60);

/// The window of rates, in seconds.
const WINDOW: f64 = 10.0;

/// How much of what they can carry is free in pools, in percent, as it was found last; by service.
#[derive(Debug, Default)]
pub(super) struct Rooms(BTreeMap<Arc<str>, (Instant, Vec<Room>)>);

/// How much is free in a pool.
type Room = (Arc<str>, f64);

impl Rooms {
    /// Lets go of services that are there no more.
    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.0.retain(|service, _| snapshot.service(service).is_some());
    }
}

impl Orders {
    /// What a rule sees now, place by place; nothing where its service is not there.
    pub(super) fn readings(
        &mut self,
        rule: &Rule,
        ledger: &Ledger,
        snapshot: &Snapshot,
        now: Now,
    ) -> Vec<Reading> {
        match &rule.when {
            When::Failed(other) => return failed(rule, other, ledger, now).into_iter().collect(),
            When::Certificate(left) => {
                return self.certificate(rule, *left, now).into_iter().collect();
            }
            _ => {}
        }
        let service = rule.service.as_ref().and_then(|service| snapshot.service(service));
        let Some(service) = service else { return Vec::new() };
        match rule.each {
            Each::Whole => vec![self.whole(rule, service, now)],
            Each::Upstream => self.upstreams(rule, service),
        }
    }

    /// The service, or the pool that the rule names.
    fn whole(&mut self, rule: &Rule, service: &Service, now: Now) -> Reading {
        let pool = rule.pool.clone().unwrap_or_default();
        let place = At { pool, ..At::service(&service.name) };
        let pools = pools_of(rule, service);
        let (holds, told) = match &rule.when {
            When::Saturation(percent) => {
                let used = saturation(service, &pools, rule.pool.is_none());
                (used >= *percent, format!("{used:.0} % of a limit on requests at once is used"))
            }
            When::ErrorRate { percent, requests } => {
                let rates = self.history.rates(&service.name, service.revision);
                let rates = pools.iter().filter_map(|pool| rates.get(&pool.name));
                let (mut all, mut bad) = (0.0, 0.0);
                rates.for_each(|rate| {
                    all += rate.requests * WINDOW;
                    bad += rate.requests * WINDOW * rate.errors;
                });
                errors(all, bad, *percent, *requests)
            }
            When::Latency { p99, requests } => {
                let took = match &rule.pool {
                    Some(pool) => {
                        let [lately, ..] = self.history.latencies(&service.name, pool);
                        lately
                    }
                    None => self.history.lately(&service.name),
                };
                latency(&took, *p99, *requests)
            }
            When::Burn(rate) => {
                let standing = self.budgets.standing_at(&self.state, &service.name, now);
                let burn = |shown: &crate::slo::Shown| {
                    let burns = &shown.reading.burns;
                    burns[Span::H1 as usize].min(burns[Span::M5 as usize])
                };
                let most = standing.objectives.iter().map(burn).fold(0.0, f64::max);
                (most >= *rate, format!("the error budget burns {most:.1} times too fast"))
            }
            When::HeadRoom(percent) => match self.room(rule, service, now) {
                Some(free) => {
                    (free < *percent, format!("{free:.0} % of what it can carry is free"))
                }
                None => (false, "nobody knows yet how much it can carry".into()),
            },
            When::Down { .. } | When::Failed(_) | When::Certificate(_) => (false, String::new()),
        };
        Reading { place, holds, told }
    }

    /// Each upstream, but those that a person or the config has taken out.
    fn upstreams(&self, rule: &Rule, service: &Service) -> Vec<Reading> {
        let mut readings = Vec::new();
        for pool in pools_of(rule, service) {
            let rates = match rule.when {
                When::ErrorRate { .. } => self.history.upstream_rates(&service.name, &pool.name),
                _ => Default::default(),
            };
            for member in pool.members.list() {
                let upstream = &member.upstream;
                let is_held = upstream.breaker.order() != BreakerOrder::Auto;
                let is_known = member.is_left_in() && !is_held && member.weight > 0;
                if !is_known || upstream.is_draining() {
                    continue;
                }
                let (holds, told) = match &rule.when {
                    When::Down { .. } => down(member),
                    When::Saturation(percent) => {
                        let limit = service.stability.limits.upstream_in_flight;
                        let held = f64::from(upstream.in_flight());
                        let used =
                            limit.map_or(0.0, |limit| 100.0 * held / f64::from(limit.max(1)));
                        (used >= *percent, format!("{used:.0} % of its limit is used"))
                    }
                    When::ErrorRate { percent, requests } => {
                        let rate = rates.get(&upstream.name).copied().unwrap_or_default();
                        let all = rate.requests * WINDOW;
                        errors(all, all * rate.errors, *percent, *requests)
                    }
                    _ => continue,
                };
                let (pool, upstream) = (pool.name.clone(), upstream.name.clone());
                let place = At { service: service.name.clone(), pool, upstream };
                readings.push(Reading { place, holds, told });
            }
        }
        readings
    }

    /// How much of what it can carry is free in the pool, or in the pool with the least; in percent.
    fn room(&mut self, rule: &Rule, service: &Service, now: Now) -> Option<f64> {
        let known = self.automation.rooms.0.get(&service.name);
        let is_old = |at: Instant| now.instant.saturating_duration_since(at) >= ROOMS;
        if known.is_none_or(|(at, _)| is_old(*at)) {
            let capacity = self.history.capacity(service, now.wall);
            let free = |(pool, report): &(Arc<str>, capacity::Report)| {
                // What was carried well is no ceiling: it may carry more.
                let ceiling = report.ceiling.filter(|it| it.by != capacity::By::Carried)?;
                Some((pool.clone(), 100.0 * ceiling.head_room()))
            };
            let rooms = capacity.pools.iter().filter_map(free).collect();
            self.automation.rooms.0.insert(service.name.clone(), (now.instant, rooms));
        }
        let (_, rooms) = self.automation.rooms.0.get(&service.name)?;
        let meant = rooms.iter().filter(|(pool, _)| rule.pool.as_ref().is_none_or(|it| it == pool));
        meant.map(|(_, free)| *free).reduce(f64::min)
    }

    /// The certificate of the file that ends first.
    fn certificate(&self, rule: &Rule, left: Duration, now: Now) -> Option<Reading> {
        let seconds = now.wall.millis() / 1_000;
        let pairs = self.config.certificates.pairs();
        let (file, pair) = pairs.min_by_key(|(_, pair)| pair.about.until)?;
        let good = Duration::from_secs(pair.about.until.saturating_sub(seconds));
        let (file, good_for) = (file.display(), in_words(Duration::from_secs(good.as_secs())));
        let told = match good.is_zero() {
            true => format!("the certificate of {file} has expired"),
            false => format!("the certificate of {file} is good for {good_for}"),
        };
        let place = rule.service.as_ref().map(|service| At::service(service)).unwrap_or_default();
        Some(Reading { place, holds: good <= left, told })
    }
}

/// What another rule did last, if that has come to nothing.
fn failed(rule: &Rule, other: &str, ledger: &Ledger, now: Now) -> Option<Reading> {
    let last = ledger.last(other)?;
    let since = last.ended.unwrap_or(last.at);
    let holds = last.is_bad() && now.wall.elapsed_since(since) < FAILED_LATELY;
    let told = match &last.end {
        Some(End::Failed(why)) => format!("what rule {other} did has come to nothing: {why}"),
        _ => format!("nobody knows what has come of what rule {other} did"),
    };
    let place = match rule.each {
        Each::Upstream => last.place.clone(),
        Each::Whole => At {
            service: rule.service.clone().unwrap_or_else(|| last.place.service.clone()),
            pool: rule.pool.clone().unwrap_or_default(),
            upstream: "".into(),
        },
    };
    Some(Reading { place, holds, told })
}

fn pools_of<'s>(rule: &Rule, service: &'s Service) -> Vec<&'s Pool> {
    let is_meant = |pool: &&Pool| rule.pool.as_ref().is_none_or(|name| *name == pool.name);
    service.pools.iter().filter(is_meant).collect()
}

fn down(member: &Member) -> (bool, String) {
    let upstream = &member.upstream;
    match upstream.unwell_since() {
        None => (false, "it is well".into()),
        Some(_) => {
            let why = upstream.last_trouble().map(|(trouble, _)| format!(": {trouble}"));
            (true, format!("it gets no requests{}", why.unwrap_or_default()))
        }
    }
}

fn errors(all: f64, bad: f64, percent: f64, requests: u32) -> (bool, String) {
    let share = if all > 0.0 { 100.0 * bad / all } else { 0.0 };
    // Rates are of about ten seconds; half a request is none.
    let holds = all + 0.5 >= f64::from(requests) && share >= percent;
    (holds, format!("{share:.1} % of {all:.0} requests of the last ten seconds failed"))
}

fn latency(took: &Distribution, most: Duration, requests: u32) -> (bool, String) {
    let (all, p99) = (took.total(), took.quantile(0.99).unwrap_or_default());
    let told = format!("p99 of the last ten seconds is {}", in_words(rounded(p99)));
    (all >= u64::from(requests) && p99 > most, told)
}

/// As people say it.
fn rounded(length: Duration) -> Duration {
    Duration::from_millis(length.as_millis().max(1) as u64)
}

/// The most that is used of any limit on requests at once, and of any line, in percent.
fn saturation(service: &Service, pools: &[&Pool], is_whole: bool) -> f64 {
    let limits = &service.stability.limits;
    let of = |used: f64, limit: f64| if limit > 0.0 { 100.0 * used / limit } else { 0.0 };
    let mut most: f64 = 0.0;
    if let Some(limit) = limits.in_flight {
        most = most.max(of(service.state.in_flight().into(), limit.into()));
    }
    let line = |waiting: usize| of(waiting as f64, limits.queue as f64);
    if is_whole && limits.queue > 0 {
        most = most.max(line(service.state.queue.waiting()));
    }
    for pool in pools {
        let held = f64::from(pool.state.in_flight());
        if limits.adaptive {
            most = most.max(of(held, pool.state.gradient.limit().into()));
        }
        if let Some(limit) = limits.upstream_in_flight {
            let well = pool.members.list().iter().filter(|member| member.is_well()).count();
            most = most.max(of(held, f64::from(limit) * well as f64));
        }
        if limits.queue > 0 {
            most = most.max(line(pool.state.queue.waiting()));
        }
    }
    most
}

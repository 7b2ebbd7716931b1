//! What travels about how much pools carry.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::capacity::{self, By, Overload, Report};
use crate::clock::WallTime;
use crate::history;
use crate::snapshot::{Pool, Service};

/// How much the pools of a service carry.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Capacity {
    /// The service.
    pub service: String,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Hours of the last 28 days in which anything came.
    pub hours: u64,
    /// Hours from which on changes are warned of.
    pub hours_needed: u64,
    /// The most that one upstream of any of its pools has carried well in 28 days, in requests per second and
    /// 100 of weight; none if nothing shows it yet.
    pub carried: Option<f64>,
    /// The pool in which that was.
    pub carried_in: Option<String>,
    /// Its pools.
    pub pools: Vec<PoolCapacity>,
}

/// How much one pool carries.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PoolCapacity {
    /// Its name.
    pub pool: String,
    /// The share that it is set to get, in percent.
    pub share: f64,
    /// Its upstreams.
    pub upstreams: u64,
    /// Those that are well.
    pub well: u64,
    /// Requests per second over the last ten seconds.
    pub requests_per_second: f64,
    /// Requests that it holds now.
    pub in_flight: u32,
    /// The highest rate of 28 days: requests per second over ten seconds.
    pub highest_rate: Option<Highest>,
    /// The most requests at once of 28 days.
    pub highest_in_flight: Option<Highest>,
    /// The most that one of its upstreams has carried well in 28 days, in requests per second and 100 of weight.
    pub carried: Option<f64>,
    /// How much it can carry; none if nobody knows yet, or none of its upstreams is well.
    pub ceiling: Option<Ceiling>,
}

/// What was highest, and when.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Highest {
    /// How much.
    pub value: f64,
    /// When the hour began that it was in: Unix time in seconds.
    pub hour: f64,
}

/// How much a pool can carry.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Ceiling {
    /// By what it is known.
    pub by: CeilingBy,
    /// Requests at once; by `carried` requests per second.
    pub most: f64,
    /// The same with its largest upstream lost.
    pub most_without_largest: f64,
    /// What of that there is now.
    pub now: f64,
    /// How much of it is free, in percent; below zero if there is more than it can carry.
    pub head_room: f64,
    /// The same with its largest upstream lost.
    pub head_room_without_largest: f64,
}

/// By what a ceiling is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CeilingBy {
    /// A limit of the config on requests at once.
    Limit,
    /// The requests at once that double the pool's p99.
    Doubled,
    /// The most that one upstream of the service has carried well: it may be able to carry more.
    Carried,
}

impl Capacity {
    /// Of a service.
    pub fn of(service: &Service, known: &history::Capacity) -> Capacity {
        let most = known.carried.iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let pools = service.pools.iter().zip(&known.pools);
        Capacity {
            service: service.name.to_string(),
            requests_per_second: known.rate,
            hours: known.hours as u64,
            hours_needed: capacity::FEWEST_HOURS as u64,
            carried: most.map(|(_, carried)| *carried),
            carried_in: most.map(|(pool, _)| pool.to_string()),
            pools: pools.map(|(pool, it)| PoolCapacity::of(service, pool, it)).collect(),
        }
    }
}

impl PoolCapacity {
    fn of(service: &Service, pool: &Pool, (_, report): &(Arc<str>, Report)) -> PoolCapacity {
        let Report { now, known, ceiling } = report;
        let highest = |(value, at): (f64, WallTime)| Highest { value, hour: at.seconds() };
        PoolCapacity {
            pool: pool.name.to_string(),
            share: service.split.weight(&pool.name).percent(),
            upstreams: pool.members.list().len() as u64,
            well: now.well.len() as u64,
            requests_per_second: now.rate,
            in_flight: now.in_flight,
            highest_rate: known.rate.map(highest),
            highest_in_flight: known.in_flight.map(|(most, at)| highest((most.into(), at))),
            carried: known.carried,
            ceiling: ceiling.map(Ceiling::of),
        }
    }
}

impl Ceiling {
    fn of(ceiling: capacity::Ceiling) -> Ceiling {
        Ceiling {
            by: match ceiling.by {
                By::Limit => CeilingBy::Limit,
                By::Doubled => CeilingBy::Doubled,
                By::Carried => CeilingBy::Carried,
            },
            most: ceiling.most,
            most_without_largest: ceiling.most_without_largest,
            now: ceiling.now,
            head_room: ceiling.head_room() * 100.0,
            head_room_without_largest: ceiling.head_room_without_largest() * 100.0,
        }
    }
}

/// What a change may be too much for, in words.
pub fn warnings(found: &[Overload]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}

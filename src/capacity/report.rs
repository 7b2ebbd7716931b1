//! What is told of a pool: what it does now and what is known of four weeks in; its ceiling and its head-room out.

use super::weeks::Known;

/// What a pool does now, and what bounds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Now {
    /// Requests per second over the last ten seconds.
    pub rate: f64,
    /// Requests that it holds.
    pub in_flight: u32,
    /// The weights of those of its upstreams that are well.
    pub well: Vec<u16>,
    /// How many requests one upstream may have at once.
    pub upstream_limit: Option<u32>,
    /// How many the pool may have, whoever of it is well: what the service's limit leaves it, or its own.
    pub pool_limit: Option<u32>,
}

/// By what it is known how much a pool can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The config's limit on requests at once.
    Limit,
    /// The requests at once that double its p99.
    Doubled,
    /// No more than what one upstream has carried well: it may carry more.
    Carried,
}

/// How much a pool can carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// By what it is known.
    pub by: By,
    /// Requests at once; of [`By::Carried`], requests per second.
    pub most: f64,
    /// The same with its largest upstream lost.
    pub most_without_largest: f64,
    /// Of that, what it does now.
    pub now: f64,
}

/// What is told of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it does.
    pub now: Now,
    /// What is known of four weeks.
    pub known: Known,
    /// How much it can carry; none if nobody knows yet, or nobody of it is well.
    pub ceiling: Option<Ceiling>,
}

impl Ceiling {
    /// The share of it that is free, 0 to 1; less than nothing if it has more than it can carry.
    pub fn head_room(&self) -> f64 {
        free(self.now, self.most)
    }

    /// The same with the largest upstream lost.
    pub fn head_room_without_largest(&self) -> f64 {
        free(self.now, self.most_without_largest)
    }
}

/// What is left where there is nothing is nothing, and less where something is there all the same.
fn free(used: f64, of: f64) -> f64 {
    match of > 0.0 {
        true => 1.0 - used / of,
        false if used > 0.0 => -1.0,
        false => 0.0,
    }
}

impl Report {
    /// Of a pool; `carried` is the most that one upstream of any pool of its service has carried well.
    pub fn of(now: Now, known: Known, carried: Option<f64>) -> Report {
        let ceiling = ceiling(&now, &known, carried);
        Report { now, known, ceiling }
    }

    /// How much of what it can carry would be free with its largest upstream lost, with as many requests at
    /// once as there were at most in four weeks; none if nobody knows how much is too much.
    pub fn room_at_peak(&self) -> Option<f64> {
        let ceiling = self.ceiling.filter(|ceiling| ceiling.by != By::Carried)?;
        let (peak, _) = self.known.in_flight?;
        Some(free(peak.into(), ceiling.most_without_largest))
    }
}

/// The lowest of what bounds it; what has been carried only where nothing does.
fn ceiling(now: &Now, known: &Known, carried: Option<f64>) -> Option<Ceiling> {
    let all: f64 = now.well.iter().map(|weight| f64::from(*weight)).sum();
    let largest = f64::from(now.well.iter().copied().max()?);
    let held = f64::from(now.in_flight);
    let by_weight = |by, each: f64, now| Ceiling {
        by,
        most: each * all / 100.0,
        most_without_largest: each * (all - largest) / 100.0,
        now,
    };
    let of_upstreams = now.upstream_limit.map(|limit| {
        let (each, count) = (f64::from(limit), now.well.len() as f64);
        let (most, most_without_largest) = (each * count, each * (count - 1.0));
        Ceiling { by: By::Limit, most, most_without_largest, now: held }
    });
    let of_pool = now.pool_limit.map(|limit| {
        let most = f64::from(limit);
        let most_without_largest = if now.well.len() > 1 { most } else { 0.0 };
        Ceiling { by: By::Limit, most, most_without_largest, now: held }
    });
    let doubled = known.doubled.map(|each| by_weight(By::Doubled, each, held));
    let known = [of_upstreams, of_pool, doubled].into_iter().flatten();
    let lowest = known.reduce(|one, other| Ceiling {
        most_without_largest: one.most_without_largest.min(other.most_without_largest),
        ..if other.most < one.most { other } else { one }
    });
    lowest.or_else(|| carried.map(|each| by_weight(By::Carried, each, now.rate)))
}

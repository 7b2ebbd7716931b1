//! Whether a change gives upstreams more than one has ever carried well: rates and weights in, a warning out.
//!
//! It never keeps anybody from anything. Weights of all pools of a service are on one scale here: an upstream of
//! weight 200 is taken for twice one of weight 100, in whichever pool.

use std::fmt::{Display, Formatter};
use std::sync::Arc;

/// The share of the most that one upstream has carried well from which on a change is warned of.
pub const WARNS_FROM: f64 = 0.8;

/// Hours in which anything came, without which nothing is said: a day.
pub const FEWEST_HOURS: usize = 24;

/// A pool that is to get more.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// Its name.
    pub pool: &'a Arc<str>,
    /// The share of its service's requests that it is to get, 0 to 1.
    pub share: f64,
    /// The weights of the upstreams that would take them.
    pub weights: Vec<u16>,
}

/// What would be too much.
#[derive(Clone, Debug, PartialEq)]
pub struct Overload {
    /// The pool.
    pub pool: Arc<str>,
    /// How many upstreams it has.
    pub upstreams: usize,
    /// Requests per second that each of them would get, or the heaviest of them.
    pub each: f64,
    /// Whether they would all get as many.
    pub is_even: bool,
    /// The most that one of that weight has carried well.
    pub most: f64,
    /// The pool in which that was.
    pub most_in: Arc<str>,
}

impl Overload {
    /// Of a service whose requests come at this rate, with what one upstream of each pool has carried well for
    /// each 100 of weight, and the hours in which anything came.
    pub fn of(
        rate: f64,
        target: &Target<'_>,
        carried: &[(Arc<str>, f64)],
        hours: usize,
    ) -> Option<Overload> {
        let (most_in, most) = carried.iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
        let all: f64 = target.weights.iter().map(|weight| f64::from(*weight)).sum();
        let heaviest = f64::from(target.weights.iter().copied().max()?);
        let each = rate * target.share / all;
        (hours >= FEWEST_HOURS && each * 100.0 > most * WARNS_FROM).then(|| Overload {
            pool: target.pool.clone(),
            upstreams: target.weights.len(),
            each: each * heaviest,
            is_even: target.weights.iter().all(|weight| f64::from(*weight) == heaviest),
            most: most * heaviest / 100.0,
            most_in: most_in.clone(),
        })
    }
}

impl Display for Overload {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Overload { pool, upstreams, each, is_even, most, most_in } = self;
        match (upstreams, is_even) {
            (1, _) => write!(f, "the only upstream of pool `{pool}` would get ")?,
            (all, true) => write!(f, "each of the {all} upstreams of pool `{pool}` would get ")?,
            (all, false) => {
                write!(f, "the heaviest of the {all} upstreams of pool `{pool}` would get ")?;
            }
        }
        let share = each / most * 100.0;
        write!(
            f,
            "{} requests a second, {share:.0} % of the most that one has carried well in 28 days ({}, in \
             `{most_in}`)",
            rate(*each),
            rate(*most),
        )
    }
}

/// A rate with as many digits as matter.
fn rate(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

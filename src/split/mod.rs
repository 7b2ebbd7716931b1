//! How a service's traffic divides among its pools: weights in, a pool for a cohort out.
//!
//! A [`Split`] is what people set and read; a [`Layout`] says where it lies on the cohort range
//! 0..10,000, so that a shift moves as few clients as it can; a [`Cut`] is the layout for one lookup
//! per request.

mod cohort;
mod flags;
mod layout;
mod own_cookie;
mod percent;
mod sticky;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use cohort::{ClientHash, Cohort, Secret};
pub use flags::{FlagSet, Flags, MOST_FLAGS};
pub use layout::{Layout, NotALayout};
pub use own_cookie::{COOKIE_NAME, CookieId, Signer};
pub use percent::{BasisPoints, PercentError};
pub use sticky::{ClientKey, Recognised, Sticky, StickyKey};

/// The whole, in basis points.
pub const WHOLE: u16 = 10_000;

/// The shares of a service's pools; they sum to the whole, and every pool is named once.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "BTreeMap<Arc<str>, BasisPoints>", into = "BTreeMap<Arc<str>, BasisPoints>")]
pub struct Split {
    parts: Vec<(Arc<str>, BasisPoints)>,
}

/// Why weights are not a split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The weights add up to something else than 100 %.
    #[error("the weights sum to {} %, not to 100 %", percent::display(*.sum))]
    Sum {
        /// What they add up to, in basis points.
        sum: u32,
    },
    /// A pool is named twice.
    #[error("pool `{0}` is named twice")]
    Twice(Arc<str>),
    /// A named pool does not exist in the service.
    #[error("no pool is named `{name}`; the service has {}", quoted(.known))]
    UnknownPool {
        /// The name given.
        name: Arc<str>,
        /// The names there are.
        known: Vec<Arc<str>>,
    },
}

impl Split {
    /// A split of these weights; they must sum to 100 %. Pools left out get nothing.
    pub fn new(
        weights: impl IntoIterator<Item = (Arc<str>, BasisPoints)>,
    ) -> Result<Split, SplitError> {
        let mut parts: Vec<_> = weights.into_iter().collect();
        parts.sort();
        if let Some(pair) = parts.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(SplitError::Twice(pair[0].0.clone()));
        }
        let sum: u32 = parts.iter().map(|(_, weight)| u32::from(weight.get())).sum();
        if sum != u32::from(WHOLE) {
            return Err(SplitError::Sum { sum });
        }
        parts.retain(|(_, weight)| weight.get() > 0);
        Ok(Split { parts })
    }

    /// Everything to one pool.
    pub fn all_to(pool: Arc<str>) -> Split {
        Split { parts: vec![(pool, BasisPoints::WHOLE)] }
    }

    /// This share to `to`, the rest to `from`.
    pub fn between(from: &Arc<str>, to: &Arc<str>, share: BasisPoints) -> Split {
        let rest = BasisPoints::new(WHOLE - share.get()).unwrap_or_default();
        let mut parts = vec![(from.clone(), rest), (to.clone(), share)];
        parts.sort();
        parts.retain(|(_, weight)| weight.get() > 0);
        Split { parts }
    }

    /// The share of a pool; nothing for one that is not named.
    pub fn weight(&self, pool: &str) -> BasisPoints {
        let part = self.parts.iter().find(|(name, _)| &**name == pool);
        part.map_or(BasisPoints::NONE, |(_, weight)| *weight)
    }

    /// The pools that get something, in name order.
    pub fn parts(&self) -> &[(Arc<str>, BasisPoints)] {
        &self.parts
    }

    /// Whether one pool gets everything.
    pub fn is_one_sided(&self) -> bool {
        self.parts.len() == 1
    }

    /// Checks that every pool named here is one of `known`.
    pub fn check_pools(&self, known: &[Arc<str>]) -> Result<(), SplitError> {
        match self.parts.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                Err(SplitError::UnknownPool { name: name.clone(), known: known.to_vec() })
            }
        }
    }
}

impl TryFrom<BTreeMap<Arc<str>, BasisPoints>> for Split {
    type Error = SplitError;

    fn try_from(parts: BTreeMap<Arc<str>, BasisPoints>) -> Result<Split, SplitError> {
        Split::new(parts)
    }
}

impl From<Split> for BTreeMap<Arc<str>, BasisPoints> {
    fn from(split: Split) -> Self {
        split.parts.into_iter().collect()
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (pool, weight)) in self.parts.iter().enumerate() {
            write!(f, "{}{pool}={weight}", if i > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

/// A layout for lookups: upper boundaries, rising, each with the position of its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    upper: Vec<(u16, usize)>,
}

impl Cut {
    /// The cut of a layout over `pools`, which name every pool of it and come in the order that
    /// [`Cut::pool`] will answer with.
    pub fn of(layout: &Layout, pools: impl IntoIterator<Item = impl AsRef<str>>) -> Cut {
        let pools: Vec<_> = pools.into_iter().collect();
        let place = |name: &str| pools.iter().position(|pool| pool.as_ref() == name);
        let upper = layout.runs().into_iter();
        let upper = upper.filter_map(|(_, high, pool)| Some((high + 1, place(pool)?)));
        Cut { upper: upper.collect() }
    }

    /// The position of the pool that this cohort belongs to.
    pub fn pool(&self, cohort: Cohort) -> usize {
        let at = self.upper.iter().find(|(upper, _)| cohort.get() < *upper);
        // The last boundary is the whole, and a cohort is below it.
        at.or(self.upper.last()).map_or(0, |(_, pool)| *pool)
    }
}

fn quoted(names: &[Arc<str>]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(weights: &[(&str, u16)]) -> Result<Split, SplitError> {
        Split::new(weights.iter().map(|&(name, bp)| {
            (Arc::from(name), BasisPoints::new(bp).expect("tests use weights up to the whole"))
        }))
    }

    fn cut(split: &Split, pools: &[&str]) -> Cut {
        Cut::of(&Layout::of(split), pools)
    }

    #[test]
    fn weights_must_sum_to_the_whole() {
        let error = split(&[("blue", 9_000), ("green", 999)]);
        assert_eq!(error, Err(SplitError::Sum { sum: 9_999 }));
        assert_eq!(error.unwrap_err().to_string(), "the weights sum to 99.99 %, not to 100 %");
    }

    #[test]
    fn a_pool_named_twice_is_refused() {
        let error = split(&[("blue", 5_000), ("blue", 5_000)]);
        assert_eq!(error, Err(SplitError::Twice("blue".into())));
    }

    #[test]
    fn a_pool_at_zero_receives_nothing() {
        let cut = cut(&split(&[("blue", 10_000), ("green", 0)]).unwrap(), &["blue", "green"]);
        assert!((0..WHOLE).all(|c| cut.pool(Cohort::new(c)) == 0));
    }

    proptest! {
        /// Growing a pool of two only ever adds clients to it.
        #[test]
        fn growing_is_monotone(a in 0u16..=10_000, b in 0u16..=10_000) {
            let (small, large) = (a.min(b), a.max(b));
            let of = |green| {
                let split = split(&[("blue", WHOLE - green), ("green", green)]).unwrap();
                cut(&split, &["blue", "green"])
            };
            let (before, after) = (of(small), of(large));
            for cohort in (0..WHOLE).map(Cohort::new) {
                prop_assert!(before.pool(cohort) == 0 || after.pool(cohort) == 1);
            }
        }

        /// Each pool holds exactly as many cohorts as its weight says.
        #[test]
        fn shares_are_exact(a in 0u16..=10_000, b in 0u16..=10_000) {
            let (x, y) = (a.min(b), a.max(b));
            let weights = [("a", x), ("b", y - x), ("c", WHOLE - y)];
            let cut = cut(&split(&weights).unwrap(), &["a", "b", "c"]);
            let mut held = [0u16; 3];
            for cohort in (0..WHOLE).map(Cohort::new) {
                held[cut.pool(cohort)] += 1;
            }
            prop_assert_eq!(held, weights.map(|(_, weight)| weight));
        }
    }
}

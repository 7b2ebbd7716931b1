//! What stands until somebody takes it back: orders, and the states of flags. An order is kept as
//! it is written here, so its fields only grow: a new one has a default.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{About, FilePart};
use crate::clock::WallTime;
use crate::rollout::Version;
use crate::split::BasisPoints;
use crate::upstream::{BreakerOrder, Labels};

/// Something an operator (or a rollout) put above what config and probes say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Override {
    /// What is so, and where.
    pub what: What,
    /// Who made it so.
    pub author: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub at: WallTime,
    /// Until when, if it ends by itself. It is kept until it is cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<WallTime>,
}

impl Override {
    /// Whether its time is over: then it is as if it were not there.
    pub fn is_over(&self, now: WallTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The same from now on, for its whole length, if by this clock it was given in the future: the clock
    /// was set back, and it would last longer than it was to by as much.
    pub fn bounded(&self, now: WallTime) -> Option<Override> {
        let until = self.until.filter(|_| self.at > now)?;
        let length = until.elapsed_since(self.at);
        Some(Override { at: now, until: Some(now + length), ..self.clone() })
    }
}

/// What an override says. Addresses are as people write them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An upstream gets no new requests.
    Drain {
        /// Its service.
        service: String,
        /// Its pool.
        pool: String,
        /// Its address.
        upstream: String,
    },
    /// A breaker does not decide by itself.
    Breaker {
        /// Its service.
        service: String,
        /// Its pool.
        pool: String,
        /// The upstream; none for the pool's own breaker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<String>,
        /// What it does instead.
        #[serde(with = "Ordered")]
        order: BreakerOrder,
    },
    /// New requests of a service wait.
    Hold {
        /// The service.
        service: String,
        /// How many at most.
        most: usize,
    },
    /// New requests of a service are told to come back later.
    Maintenance {
        /// The service.
        service: String,
        /// What they are told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A pool has other upstreams than the file says.
    Upstreams {
        /// Its service.
        service: String,
        /// The pool.
        pool: String,
        /// Address and weight of each.
        list: Vec<(String, u16)>,
        /// Those that the file had when it was ordered: one that is edited there is as the file has
        /// it. None if an older version has noted it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        in_file: Option<Vec<(String, u16)>>,
        /// Labels by address, of those that were given any with such an order; the others have what
        /// the file says.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, Labels>,
        /// The deploy that put them there, even if somebody has added or removed some since; none if no
        /// deploy did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deploy: Option<Deployed>,
    },
    /// A pool's version cannot run any more: the schema was narrowed.
    Contracted {
        /// Its service.
        service: String,
        /// The pool.
        pool: String,
        /// The rollout that did it.
        by_rollout: u64,
    },
    /// Nobody may start a rollout of a service, and those under way stay where they are.
    Freeze {
        /// The service.
        service: String,
    },
    /// Rollouts of a service go on whatever its error budgets say.
    Lifted {
        /// The service.
        service: String,
        /// Only this rollout, which was started so; none for all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollout: Option<u64>,
    },
}

impl What {
    /// What it is about.
    pub fn about(&self) -> About {
        match self {
            What::Drain { service, pool, upstream } => About::drain(service, pool, upstream),
            What::Breaker { service, pool, upstream, .. } => {
                About::breaker(service, pool, upstream.as_deref())
            }
            What::Hold { service, .. } | What::Maintenance { service, .. } => About::mode(service),
            What::Upstreams { service, pool, .. } => About::upstreams(service, pool),
            What::Contracted { service, pool, .. } => About::contracted(service, pool),
            What::Freeze { service } => About::freeze(service),
            What::Lifted { service, rollout } => About::lifted(service, *rollout),
        }
    }

    /// The part of the file that it is about: with that it comes and goes.
    pub fn part(&self) -> FilePart {
        match self {
            What::Drain { service, pool, .. }
            | What::Breaker { service, pool, .. }
            | What::Upstreams { service, pool, .. }
            | What::Contracted { service, pool, .. } => {
                FilePart::Pool { service: service.as_str().into(), pool: pool.as_str().into() }
            }
            What::Hold { service, .. }
            | What::Maintenance { service, .. }
            | What::Freeze { service }
            | What::Lifted { service, .. } => FilePart::Service(service.as_str().into()),
        }
    }

    /// The deploy that has put a pool's upstreams there, if one has.
    pub fn deployed(&self) -> Option<&Deployed> {
        match self {
            What::Upstreams { deploy, .. } => deploy.as_ref(),
            _ => None,
        }
    }

    /// The service that it is about.
    pub fn service(&self) -> &str {
        match self {
            What::Drain { service, .. }
            | What::Breaker { service, .. }
            | What::Hold { service, .. }
            | What::Maintenance { service, .. }
            | What::Upstreams { service, .. }
            | What::Contracted { service, .. }
            | What::Freeze { service }
            | What::Lifted { service, .. } => service,
        }
    }
}

/// That a deploy has put a version's upstreams into a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deployed {
    /// Which version.
    #[serde(flatten)]
    pub version: Version,
    /// What the pool gets back should the version come to nothing before its first request; none
    /// once it has had traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_back: Option<GivesBack>,
}

/// What a pool had before a deploy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GivesBack {
    /// The order that stood; none if it had the file's upstreams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Box<Override>>,
}

/// The one stored form of what a breaker is ordered to do.
#[derive(Serialize, Deserialize)]
#[serde(remote = "BreakerOrder", rename_all = "snake_case")]
enum Ordered {
    Auto,
    Open,
    Closed,
}

/// An order against a rollout that is in force and that the disk has not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unstored {
    /// The rollout's service.
    pub service: Arc<str>,
    /// The rollout's number.
    pub rollout: u64,
    /// What is in force, in words.
    pub what: String,
}

/// One numbered state of a feature flag.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagState {
    /// The share of cohorts that has it.
    pub percent: BasisPoints,
    /// Counts from 1 within its flag.
    pub revision: u64,
    /// Who made it so.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: WallTime,
    /// Whether it was made by going back: then there is nothing more to take back.
    pub is_back: bool,
}

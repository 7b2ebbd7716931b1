//! What both pools of a rollout did since it began: arrivals and ends of attempts in, totals out.
//!
//! The request path writes here while a rollout lasts, with a few relaxed atomics an attempt; the
//! controller reads once a second and takes the difference. Only what the split has sent to a pool
//! is noted, and only what that pool's own upstreams made of it: testers, stand-ins and what the
//! stable pool does for a canary say nothing of either version, or would blame one for the other.

mod sample;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counts, Errors};

pub use sample::{Failing, Sample};
pub use users::{Known, UserCounts, Users};

/// Strata that are told apart; the rest share the last place.
pub const STRATA: usize = 64;

/// Own metrics of a service that are counted.
pub const METRICS: usize = 8;

/// What is noted of a rollout's two pools.
#[derive(Debug)]
pub struct Ledger {
    /// What counts as bad.
    pub errors: Errors,
    /// What is bad in an account of its own beside the errors, such as `4xx`.
    pub extra: Option<Errors>,
    /// Names of own metrics, as upstreams report them; at most [`METRICS`].
    pub metrics: Vec<Box<str>>,
    /// Of the pool that traffic leaves.
    pub stable: Account,
    /// Of the pool that traffic goes to.
    pub target: Account,
    /// Requests that failed on the target.
    pub sample: Sample,
}

/// What is noted of one pool.
#[derive(Debug)]
pub struct Account {
    attempts: Tally,
    extra: Tally,
    arrivals: AtomicU64,
    strata: Box<[Tally]>,
    metrics: [AtomicU64; METRICS],
    users: Option<Users>,
}

#[derive(Debug, Default)]
struct Tally {
    total: AtomicU64,
    bad: AtomicU64,
}

/// One attempt that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The user it was made for, if the service knows users.
    pub user: Option<u32>,
    /// Its route and method, as a place among the strata.
    pub stratum: u8,
    /// Whether it was bad.
    pub is_bad: bool,
    /// Whether it was bad in the account beside.
    pub is_extra: bool,
    /// A bit for each own metric that its upstream reported.
    pub metrics: u8,
}

/// The totals of one account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountReading {
    /// Attempts.
    pub attempts: Counts,
    /// Attempts, by the account beside.
    pub extra: Counts,
    /// Requests that the split sent here, or users that the rollout had not seen before, where users
    /// are known.
    pub arrivals: u64,
    /// Attempts by stratum.
    pub strata: Vec<Counts>,
    /// Attempts for which each metric was reported.
    pub metrics: [u64; METRICS],
    /// Users, where they are known.
    pub users: Option<UserCounts>,
}

impl Ledger {
    /// An empty one. `knows_users`: whether clients keep to their side of the split.
    pub fn new(
        errors: Errors,
        extra: Option<Errors>,
        metrics: Vec<Box<str>>,
        knows_users: bool,
    ) -> Ledger {
        let known = knows_users.then(Arc::<Known>::default);
        let account = || Account::new(known.clone());
        let (stable, target) = (account(), account());
        Ledger { errors, extra, metrics, stable, target, sample: Sample::default() }
    }
}

impl Account {
    fn new(known: Option<Arc<Known>>) -> Account {
        Account {
            attempts: Tally::default(),
            extra: Tally::default(),
            arrivals: AtomicU64::new(0),
            strata: (0..STRATA).map(|_| Tally::default()).collect(),
            metrics: Default::default(),
            users: known.map(Users::new),
        }
    }

    /// The split has sent a request here, of this user if users are known.
    pub fn arrive(&self, user: Option<u32>) {
        let is_new = match (&self.users, user) {
            (Some(users), Some(user)) => users.arrive(user),
            _ => true,
        };
        if is_new {
            self.arrivals.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An attempt is over.
    pub fn note(&self, noted: Noted) {
        self.attempts.count(noted.is_bad);
        let stratum = usize::from(noted.stratum).min(STRATA - 1);
        self.strata[stratum].count(noted.is_bad);
        self.extra.count(noted.is_extra);
        if let Some(users) = &self.users {
            users.note(noted.user, noted.is_bad);
        }
        let mut bits = noted.metrics;
        while bits != 0 {
            self.metrics[bits.trailing_zeros() as usize].fetch_add(1, Ordering::Relaxed);
            bits &= bits - 1;
        }
    }

    /// Users for whom an attempt has failed in this step; none where users are not told apart.
    pub fn failed_users(&self) -> Option<u64> {
        self.users.as_ref().map(Users::failed)
    }

    /// The totals; users that were active begin a new second with it.
    pub fn read(&self) -> AccountReading {
        AccountReading {
            attempts: self.attempts.read(),
            extra: self.extra.read(),
            arrivals: self.arrivals.load(Ordering::Relaxed),
            strata: self.strata.iter().map(Tally::read).collect(),
            metrics: std::array::from_fn(|at| self.metrics[at].load(Ordering::Relaxed)),
            users: self.users.as_ref().map(Users::read),
        }
    }

    /// A step begins: every user is one who has not failed in it.
    pub fn begin_step(&self) {
        self.users.iter().for_each(Users::begin_step);
    }
}

impl AccountReading {
    /// What came since an earlier reading of the same account.
    pub fn since(&self, earlier: &AccountReading) -> AccountReading {
        let strata = self.strata.iter().enumerate();
        AccountReading {
            attempts: self.attempts.since(earlier.attempts),
            extra: self.extra.since(earlier.extra),
            arrivals: self.arrivals.saturating_sub(earlier.arrivals),
            strata: strata
                .map(|(at, now)| now.since(earlier.strata.get(at).copied().unwrap_or_default()))
                .collect(),
            metrics: std::array::from_fn(|at| self.metrics[at].saturating_sub(earlier.metrics[at])),
            users: match (self.users, earlier.users) {
                (Some(now), Some(before)) => Some(now.since(before)),
                (now, _) => now,
            },
        }
    }
}

impl Tally {
    fn count(&self, is_bad: bool) {
        self.total.fetch_add(1, Ordering::Relaxed);
        if is_bad {
            self.bad.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Counts {
        let bad = self.bad.load(Ordering::Relaxed);
        // Read without a lock, between the two steps of a count.
        Counts { total: self.total.load(Ordering::Relaxed).max(bad), bad }
    }
}

/// The ledger as a snapshot holds it: with the places of its pools.
#[derive(Clone, Debug)]
pub struct Watched {
    /// What is noted.
    pub ledger: Arc<Ledger>,
    /// The place of the pool that traffic leaves.
    pub stable: usize,
    /// The place of the pool that traffic goes to.
    pub target: usize,
}

impl Watched {
    /// The account of the pool in this place.
    pub fn account(&self, pool: usize) -> Option<&Account> {
        match pool {
            _ if pool == self.target => Some(&self.ledger.target),
            _ if pool == self.stable => Some(&self.ledger.stable),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_what_came_between() {
        let metrics = vec!["checkout_failed".into()];
        let ledger = Ledger::new(Errors::default(), None, metrics, false);
        let account = &ledger.target;
        account.arrive(None);
        account.note(Noted { stratum: 3, is_bad: true, metrics: 1, ..Noted::default() });
        let before = account.read();
        account.arrive(None);
        account.note(Noted { stratum: 200, ..Noted::default() });
        let since = account.read().since(&before);
        assert_eq!((since.attempts, since.arrivals), (Counts { total: 1, bad: 0 }, 1));
        assert_eq!(since.strata[STRATA - 1], Counts { total: 1, bad: 0 });
        assert_eq!((before.strata[3], before.metrics[0]), (Counts { total: 1, bad: 1 }, 1));
        assert_eq!((since.metrics[0], since.users), (0, None));
    }

    #[test]
    fn users_arrive_once_a_rollout_whichever_pool_they_get() {
        let ledger = Ledger::new(Errors::default(), None, Vec::new(), true);
        let arrivals = || [&ledger.stable, &ledger.target].map(|account| account.read().arrivals);
        for user in [1, 2, 1] {
            ledger.stable.arrive(Some(user));
        }
        assert_eq!(arrivals(), [2, 0]);
        for account in [&ledger.stable, &ledger.target] {
            account.begin_step();
            // Known ones, as many as somebody remembers, at the start of a step.
            (1..=2).for_each(|user| account.arrive(Some(user)));
        }
        assert_eq!(arrivals(), [2, 0]);
        ledger.target.arrive(Some(3));
        assert_eq!(arrivals(), [2, 1]);
    }
}

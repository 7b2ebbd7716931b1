//! One service as requests see it: request facts in, its pool out.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HeaderName, HeaderValue};

use super::rates::RateLimits;
use super::{Asks, By, OptIn, Pool, Why};
use crate::aa;
use crate::balance::{Budget, Policy, Queue};
use crate::clock::{Draws, Moment};
use crate::config::{Stability, Timeouts};
use crate::fallback::StaleStore;
use crate::http::admission::Upload;
use crate::http::compression::Compression;
use crate::http::view::View;
use crate::judge::{Errors, Watched};
use crate::mirror::{MirrorSettings, MirrorState};
use crate::rollout::RolloutSettings;
use crate::route::{Facts, Tester};
use crate::slo::{Slo, Standing, Tally};
use crate::split::{
    ClientHash, ClientKey, Cohort, CookieId, Cut, FlagSet, Flags, Recognised, Signer, Split,
    Sticky, StickyKey,
};
use crate::upstream::{Limit, Load, LoadCount};

/// One service as requests see it.
#[derive(Debug)]
pub struct Service {
    /// Unique.
    pub name: Arc<str>,
    /// The number of the traffic state in force.
    pub revision: u64,
    /// The traffic state in force.
    pub split: Split,
    /// What its cohorts are salted with.
    pub salt: u64,
    /// Whether its upstreams are asked for paths in the normal form, rather than as they came.
    pub has_normal_paths: bool,
    /// Bounds on its upstreams.
    pub timeouts: Timeouts,
    /// What it does when upstreams fail.
    pub stability: Arc<Stability>,
    /// Whether it serves.
    pub mode: Mode,
    /// In name order.
    pub pools: Vec<Pool>,
    /// What lives on from snapshot to snapshot.
    pub state: Arc<ServiceState>,
    /// Responses kept for a time when nobody can be asked, if they are to be.
    pub stale: Option<Arc<StaleStore>>,
    /// The pool with the largest share: what canaries are measured against and shielded by.
    pub stable: usize,
    /// The pool that stands in for one that is open or has nobody.
    pub stand_in: Option<usize>,
    /// How many requests it takes of one client.
    pub limits: RateLimits,
    /// What it copies to another pool, if anything.
    pub mirror: Option<Mirror>,
    /// What it promises, if anything.
    pub slo: Option<Arc<Slo>>,
    /// What is on for some of its clients.
    pub flags: Flags,
    /// Whether everybody is told which pool answers.
    pub tells_pool: bool,
    /// What it makes smaller for clients, if anything.
    pub compression: Option<Arc<Compression>>,
    /// Bytes of a request's body, 0 for any number; none for what is said of all clients.
    pub body_limit: Option<u64>,
    /// How it moves from one version to the next, if the file says anything of that.
    pub rollout: Option<Arc<RolloutSettings>>,
    /// What counts as bad while no rollout is under way, where that is not a 5xx and no answer.
    pub counted: Option<Errors>,
    /// What is noted of the pools of the rollout under way, if one is.
    pub watched: Option<Watched>,
    pub(super) cut: Cut,
    pub(super) sticky: Sticky,
    pub(super) signer: Signer,
    pub(super) cohorts: ClientHash,
    pub(super) balance: ClientHash,
    pub(super) opt_in: Option<OptIn>,
}

impl ServiceState {
    /// How often the judge would have taken back what is as good as the rest; none if that is not checked.
    pub fn checked(&self) -> Option<Arc<aa::Tally>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets that.
    pub fn set_checked(&self, tally: Option<Arc<aa::Tally>>) {
        *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = tally;
    }
}

impl Service {
    /// Whether its clients keep to their side of the split.
    pub fn is_sticky(&self) -> bool {
        !self.sticky.keys.is_empty()
    }
}

/// Which pool a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// None, or it may not ask.
    Nobody,
    /// This one.
    Pool(usize),
    /// One that there is not.
    Unknown,
}

/// What a service copies to another pool.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// What, and how.
    pub settings: Arc<MirrorSettings>,
    /// What came of it; lives on while the copies go to the same pool.
    pub state: Arc<MirrorState>,
    /// That pool's place in [`Service::pools`].
    pub pool: usize,
}

/// What we know of one service, by its name.
#[derive(Debug, Default)]
pub struct ServiceState {
    /// What it may spend on retries.
    pub budget: Budget,
    /// Requests that wait for one of the service's places or for the end of a hold. Those that wait
    /// for a pool stand in its own line.
    pub queue: Arc<Queue>,
    /// Requests that found a line full, the service's or a pool's.
    pub turned_away: AtomicU64,
    /// Requests answered from elsewhere because their pool was open or had nobody.
    pub fallbacks: Fallbacks,
    /// Requests refused because too many were under way.
    pub shed: AtomicU64,
    /// Requests that none of its pools was to have: it was held for too long, or in maintenance.
    pub closed: crate::upstream::Tally,
    /// Bytes of bodies that its clients sent and got, of requests that are over.
    pub bytes: Bytes,
    /// Which of its metrics have been shown, a bit each: what exists once goes on existing.
    pub shown: AtomicU32,
    /// What its requests came to for its objectives; counts only while it has any.
    pub slo: Tally,
    standing: Mutex<Arc<Standing>>,
    checked: Mutex<Option<Arc<aa::Tally>>>,
    load: LoadCount,
}

/// Bytes of bodies, both ways.
#[derive(Debug, Default)]
pub struct Bytes {
    from_clients: AtomicU64,
    to_clients: AtomicU64,
}

impl Bytes {
    /// Counts those of a request: from its client, and to it.
    pub fn count(&self, (from_client, to_client): (u64, u64)) {
        self.from_clients.fetch_add(from_client, Ordering::Relaxed);
        self.to_clients.fetch_add(to_client, Ordering::Relaxed);
    }

    /// From clients and to clients, so far.
    pub fn read(&self) -> (u64, u64) {
        (self.from_clients.load(Ordering::Relaxed), self.to_clients.load(Ordering::Relaxed))
    }
}

/// Requests answered from elsewhere, by where.
#[derive(Debug, Default)]
pub struct Fallbacks {
    /// With the last good response.
    pub stale: AtomicU64,
    /// By the fallback pool.
    pub pool: AtomicU64,
    /// With the static answer.
    pub answer: AtomicU64,
}

/// Whether a service serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    #[default]
    Serve,
    /// New requests wait.
    Hold {
        /// How many at most; more are refused.
        most: usize,
        /// Until when at most; then it is as if it were not there.
        until: Moment,
    },
    /// New requests are told to come back later.
    Maintenance {
        /// What they are told.
        message: Option<Arc<str>>,
    },
}

/// What a hold is once it is over.
static SERVES: Mode = Mode::Serve;

impl Mode {
    /// What it is now: a hold that is over holds nobody, whether it was taken back yet or not.
    pub fn at(&self, now: Moment) -> &Mode {
        match self {
            Mode::Hold { until, .. } if now >= *until => &SERVES,
            mode => mode,
        }
    }

    /// When it ends by itself, if it does.
    pub fn until(&self) -> Option<Moment> {
        match self {
            Mode::Hold { until, .. } => Some(*until),
            Mode::Serve | Mode::Maintenance { .. } => None,
        }
    }
}

/// The pool for a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assigned {
    /// A place in [`Service::pools`].
    pub pool: usize,
    /// Why this one.
    pub by: By,
    /// What a client that was not recognised is to be recognised by from now on.
    pub made: Option<CookieId>,
    /// The number that tells the client from others.
    pub user: Option<u32>,
}

/// One request in flight on a service; gives its place back on drop and calls who waits.
#[derive(Debug)]
pub struct ServiceHold {
    state: Arc<ServiceState>,
    upload: Upload,
}

impl ServiceHold {
    /// The request counts towards the limit from now on, if it did not before.
    pub fn settle(&mut self) {
        if self.upload == Upload::ToCome {
            self.upload = Upload::Done;
            self.state.load.settle();
            self.state.queue.call_upload();
        }
    }
}

impl Drop for ServiceHold {
    fn drop(&mut self) {
        // In one order with the look at the line: whoever joined it saw this place taken.
        self.state.load.leave(self.upload);
        self.state.queue.call_for(self.upload);
    }
}

impl ServiceState {
    /// What its error budgets let rollouts do, as the controller found last.
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells what its error budgets let rollouts do.
    pub fn set_standing(&self, standing: Standing) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(standing);
    }

    /// Tells that nothing is promised of it, and nothing was said of its rollouts.
    pub fn set_no_standing(&self) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if **standing != Standing::default() {
            *standing = Arc::default();
        }
    }

    /// Requests that the service holds now.
    pub fn in_flight(&self) -> u32 {
        self.load().all
    }

    /// The same, and how many of them are still being sent, where the service has limits.
    pub fn load(&self) -> Load {
        self.load.read()
    }

    /// Takes a place; none if the limit is reached.
    pub fn take(self: &Arc<Self>, upload: Upload, limit: Option<Limit>) -> Option<ServiceHold> {
        match limit {
            None => self.load.enter(upload),
            Some(limit) => self.load.try_enter(upload, limit).then_some(())?,
        }
        Some(ServiceHold { state: self.clone(), upload })
    }
}

impl Service {
    /// The pool for a request: what it asks for, else its cohort's, else a drawn one.
    /// None if it asks for one that there is not.
    pub(super) fn assign(&self, facts: &Facts<'_>, draws: &mut Draws) -> Option<Assigned> {
        match self.named(facts) {
            Named::Nobody => Some(self.assign_usual(facts, draws)),
            Named::Pool(pool) => Some(Assigned { pool, by: By::OptIn, made: None, user: None }),
            Named::Unknown => None,
        }
    }

    fn assign_usual(&self, facts: &Facts<'_>, draws: &mut Draws) -> Assigned {
        let (client, made) = match self.sticky.recognise(facts, &self.signer) {
            Recognised::By(client) => (client, None),
            Recognised::New => {
                let id = CookieId::draw(draws);
                (ClientKey::OwnCookie(id), Some(id))
            }
            Recognised::Not => {
                let pool = self.cut.pool(Cohort::from_bits(draws.bits()));
                return Assigned { pool, by: By::Draw, made: None, user: None };
            }
        };
        let hash = self.cohorts.of(&client);
        let cohort = Cohort::from_bits(hash);
        // The cohort is in the upper bits: those of one pool differ in the lower.
        let user = Some(hash as u32);
        Assigned { pool: self.cut.pool(cohort), by: By::Cohort(cohort), made, user }
    }

    /// The field in which testers show a secret, which is for nobody behind us.
    pub fn hidden_field(&self) -> Option<&HeaderName> {
        self.opt_in.as_ref()?.hidden()
    }

    /// The pool that a request asks for by name, as testers do.
    pub fn named(&self, facts: &Facts<'_>) -> Named {
        let Some(wanted) = self.tester(facts).pool else { return Named::Nobody };
        let place = self.pools.iter().position(|pool| pool.name.as_bytes() == wanted);
        place.map_or(Named::Unknown, Named::Pool)
    }

    /// Which pool a request asks for and may ask for, by its route or else by the service.
    pub fn tester<'r>(&self, facts: &Facts<'r>) -> Tester<'r> {
        let by_service = || self.opt_in.as_ref().map(|opt_in| opt_in.tester(facts));
        facts.tester.or_else(by_service).unwrap_or_default()
    }

    /// The flags that are on for a request's client, which is known by `made` from now on if that
    /// was made for it; drawn if nothing recognises it.
    pub fn flags_on(
        &self,
        facts: &Facts<'_>,
        made: Option<CookieId>,
        draws: &mut Draws,
    ) -> FlagSet {
        if self.flags.is_empty() {
            return FlagSet::default();
        }
        let known = || self.sticky.recognise(facts, &self.signer).client();
        let client = made.map(ClientKey::OwnCookie).or_else(known);
        self.flags.on(&client.unwrap_or_else(|| ClientKey::Draw(draws.bits())))
    }

    /// The `Set-Cookie` by which a client is recognised as `id` from now on.
    pub fn set_cookie(&self, id: &CookieId, is_secure: bool) -> Option<HeaderValue> {
        self.signer.set_cookie(self.sticky.own_cookie()?, id, is_secure)
    }

    /// Whether a request may go on to its pool.
    pub(super) fn admit(
        &self,
        facts: &Facts<'_>,
        by: By,
        asks: Asks<'_>,
        now: Moment,
    ) -> Result<(), Why> {
        match self.mode.at(now) {
            Mode::Serve => {}
            Mode::Hold { .. } => return Err(Why::Held),
            Mode::Maintenance { .. } if self.passes(facts, by) => {}
            Mode::Maintenance { .. } => return Err(Why::Maintenance),
        }
        let limits = &self.stability.limits;
        let has_room = |limit| self.state.load().has_room(asks.upload, limit);
        let is_full = !limits.of_service().is_none_or(has_room);
        let overtakes = limits.queue > 0 && asks.overtakes(&self.state.queue);
        if is_full || overtakes { Err(Why::Full) } else { Ok(()) }
    }

    /// Whether a request would overtake somebody who waits for this pool.
    pub(super) fn overtakes_in(&self, pool: usize, asks: Asks<'_>) -> bool {
        self.stability.limits.queue > 0 && asks.overtakes(&self.pools[pool].state.queue)
    }

    /// How many wait, in all its lines.
    pub fn waiting(&self) -> usize {
        self.queues().map(|queue| queue.waiting()).sum()
    }

    /// All its lines.
    pub fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        let of_pools = self.pools.iter().map(|pool| &pool.state.queue);
        std::iter::once(&self.state.queue).chain(of_pools)
    }

    /// Whether a request passes in spite of maintenance: testers that are known and health checks do.
    fn passes(&self, facts: &Facts<'_>, by: By) -> bool {
        let settings = &self.stability.maintenance;
        (by == By::OptIn && self.tester(facts).is_known)
            || facts.client.is_some_and(|client| {
                settings.allow.iter().any(|net| net.contains(&client.to_canonical()))
            })
            || settings.paths.iter().any(|path| path == facts.path)
    }

    /// Whether a request carries a field by which clients are told apart here.
    pub fn tells_apart(&self, fields: View<'_>) -> bool {
        let keys = self.sticky.keys.iter().chain(&self.stability.balance.hash.keys);
        keys.into_iter().any(|key| match key {
            StickyKey::Header(name) => fields.has(name),
            // No cookie is harmless.
            StickyKey::Cookie(_) | StickyKey::OwnCookie(_) | StickyKey::ClientIp => false,
        })
    }

    /// What consistent hashing knows the client by, where the policy wants it.
    pub(super) fn key(&self, facts: &Facts<'_>) -> Option<u64> {
        let balance = &self.stability.balance;
        match balance.by {
            Policy::ConsistentHash => {
                let client = balance.hash.recognise(facts, &self.signer).client();
                client.map(|client| self.balance.of(&client))
            }
            _ => None,
        }
    }

    /// Whether a pool is one that the stable pool shields.
    pub fn is_canary(&self, pool: usize) -> bool {
        pool != self.stable && self.split.weight(&self.pools[self.stable].name).get() > 0
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| &*pool.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn one_that_is_refused_never_looks_like_a_place_taken() {
        let state = Arc::new(ServiceState::default());
        let limit = Some(Limit { sent: 1, sending: 1 });
        let take = |limit| state.take(Upload::Done, limit);
        let held = take(limit);
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..300_000).for_each(|_| assert!(take(limit).is_none()));
                is_over.store(true, Ordering::Relaxed);
            });
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(state.in_flight(), 1);
            }
        });
        drop(held);
        assert!(take(limit).is_some());
    }

    #[test]
    fn without_a_limit_all_are_taken_and_counted() {
        let state = Arc::new(ServiceState::default());
        let held: Vec<_> = (0..5).map(|_| state.take(Upload::Done, None)).collect();
        assert_eq!(state.in_flight(), 5);
        let limit = Limit { sent: 5, sending: 5 };
        assert!(state.take(Upload::Done, Some(limit)).is_none());
        drop(held);
        assert_eq!(state.in_flight(), 0);
    }
}

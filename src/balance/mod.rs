//! Which upstream of a pool takes a request, and what to do when it cannot: members, settings,
//! time and draws in, a member's place out.
//!
//! Whatever the policy, it chooses among *candidates*: members that may take requests now. When
//! too few of a pool may (panic), or none, all that no operator has taken out are candidates: a
//! doubtful upstream is better than a certain refusal.

mod latency;
mod limits;
mod not_taken;
mod policy;
mod queue;
mod retry;
mod ring;
mod round_robin;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Draws, Moment};
use crate::split::Sticky;
use crate::upstream::{BreakerSettings, Conditions, DialAddress, Upstream};

pub use limits::{Gradient, LimitSettings};
pub use not_taken::{Heard, NotTaken};
pub use queue::{Queue, Waiting};
pub use retry::{Budget, Failed, Retry, RetrySettings};
pub use throttle::Throttle;

use policy::Order;

/// The weight of an upstream whose config names none. Relative to the others of its pool.
pub const DEFAULT_WEIGHT: u16 = 100;

/// How a pool's requests are spread over its upstreams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The faster and less loaded of two drawn ones.
    #[default]
    Latency,
    /// The least loaded.
    LeastRequests,
    /// Each in turn, smoothly.
    RoundRobin,
    /// The same one for the same client, unless it has more than its share.
    ConsistentHash,
}

/// A service's settings of balancing.
#[derive(Clone, Debug, PartialEq)]
pub struct BalanceSettings {
    /// How upstreams are chosen.
    pub by: Policy,
    /// What [`Policy::ConsistentHash`] knows a client by.
    pub hash: Sticky,
    /// How long an upstream that came back gets less than its share.
    pub slow_start: Duration,
    /// Share of a pool that must be available, in percent; with less all are tried. 0 for never.
    pub panic: u8,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        BalanceSettings {
            by: Policy::default(),
            hash: Sticky::default(),
            slow_start: Duration::from_secs(30),
            panic: 50,
        }
    }
}

/// An upstream as one pool of one snapshot holds it.
#[derive(Clone, Debug)]
pub struct Member {
    /// The upstream itself, shared with every other snapshot.
    pub upstream: Arc<Upstream>,
    /// Relative to the others of the pool; 0 takes nothing.
    pub weight: u16,
    /// Where to dial; none while its name has not resolved.
    pub target: Option<DialAddress>,
}

/// The members of a pool, prepared for choosing.
#[derive(Clone, Debug)]
pub struct Members {
    list: Vec<Member>,
    /// For each member the sum of weights up to and with it.
    reach: Vec<u32>,
    order: Order,
}

/// What a choice is made by.
#[derive(Clone, Copy, Debug)]
pub struct Picking<'a> {
    /// The service's settings.
    pub settings: &'a BalanceSettings,
    /// The settings of the upstreams' breakers, if they have any.
    pub breaker: Option<&'a BreakerSettings>,
    /// Requests that one upstream may hold.
    pub limit: Option<u32>,
    /// Whether too few are available, as [`Members::assess`] last found.
    pub panics: bool,
    /// The pool's turn, for round robin. To choose does not take it.
    pub turn: usize,
    /// Requests that the pool holds, for bounded load.
    pub load: u32,
    /// Whether somebody else answers if nobody is well: then a doubtful one is not asked.
    pub spares: bool,
    /// Places that have been tried already for this request.
    pub tried: &'a [usize],
    /// What the client is known by, for consistent hashing.
    pub key: Option<u64>,
    /// Now.
    pub now: Moment,
}

/// Why no member was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoMember {
    /// None may take requests.
    None,
    /// Those that may hold as many as they may.
    Full,
}

/// How many members can take requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// May take requests now.
    pub available: usize,
    /// Would, were they well: neither taken out by an operator nor unproven nor unresolved.
    pub known: usize,
}

impl Standing {
    /// Whether fewer than this share are available, in percent.
    pub fn panics(&self, share: u8) -> bool {
        self.available * 100 < self.known * usize::from(share)
    }
}

/// Who is a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admit {
    /// Whoever is well.
    Available,
    /// Whoever has not been taken out.
    Anyone,
}

impl Member {
    /// Whether it may take a new request, but for limits.
    pub fn is_available(
        &self,
        slow_start: Duration,
        breaker: Option<&BreakerSettings>,
        now: Moment,
    ) -> bool {
        self.not_well(slow_start, breaker, now).is_none()
    }

    /// Whether it may be asked when nobody is well: nobody has taken it out.
    pub fn is_left_in(&self) -> bool {
        self.left_out().is_none()
    }
}

impl Members {
    /// The members in this order, to be chosen by this policy.
    pub fn new(list: Vec<Member>, policy: Policy) -> Members {
        let mut sum = 0;
        let reach = list.iter().map(|member| {
            sum += u32::from(member.weight);
            sum
        });
        Members { reach: reach.collect(), order: Order::build(policy, &list), list }
    }

    /// All of them.
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// How many can take requests now.
    pub fn assess(
        &self,
        settings: &BalanceSettings,
        breaker: Option<&BreakerSettings>,
        now: Moment,
    ) -> Standing {
        let mut standing = Standing::default();
        for member in &self.list {
            let available = member.is_available(settings.slow_start, breaker, now);
            let unproven = member.upstream.conditions().any(Conditions::UNPROVEN);
            standing.available += usize::from(available);
            standing.known += usize::from(member.is_left_in() && !unproven);
        }
        standing
    }

    /// Whether any could be asked, if need be one that is not well.
    pub fn any_left_in(&self) -> bool {
        self.list.iter().any(Member::is_left_in)
    }

    /// Whether a choice depends on whose turn it is.
    pub fn go_by_turns(&self) -> bool {
        matches!(self.order, Order::RoundRobin(_))
    }

    /// The place of the member to ask. Nothing that can be seen changes by it.
    pub fn pick(
        &self,
        by: &Picking<'_>,
        draws: &mut Draws,
        heard: &mut impl Heard,
    ) -> Result<usize, NoMember> {
        // With somebody in reserve panic means nothing as long as one of the pool is well.
        if (!by.panics || by.spares)
            && let Some(place) = self.order.pick(self, by, Admit::Available, draws, heard)
        {
            return Ok(place);
        }
        let is_doubtful_last = by.spares || !by.panics && by.settings.panic == 0;
        if is_doubtful_last && by.tried.is_empty() && !self.all_unproven() {
            return Err(if self.is_full(by) { NoMember::Full } else { NoMember::None });
        }
        // Nobody is well, or only who has been tried: then a doubtful one.
        let picked = self.order.pick(self, by, Admit::Anyone, draws, heard);
        picked.ok_or_else(|| {
            match self.list.iter().any(|member| member.is_left_in() && !member.is_free(by)) {
                true => NoMember::Full,
                false => NoMember::None,
            }
        })
    }

    /// Why each member but the one `picked` was not taken. What the policy found by comparing them
    /// is what was `heard` of it; `else_why` if nothing bars a member and nothing was heard.
    pub fn not_taken(
        &self,
        by: &Picking<'_>,
        picked: Option<usize>,
        heard: &[(usize, NotTaken)],
        else_why: Option<NotTaken>,
    ) -> Vec<(usize, NotTaken)> {
        let rest = else_why.unwrap_or_else(|| self.order.rest());
        // Whoever was taken in spite of a bar was taken because all were asked.
        let are_all_asked =
            picked.is_some_and(|place| self.list[place].bar(place, by, Admit::Available).is_some());
        let admit = if are_all_asked { Admit::Anyone } else { Admit::Available };
        let why = |(place, member): (usize, &Member)| {
            let heard = || heard.iter().find(|(at, _)| *at == place).map(|(_, why)| *why);
            let why = member.bar(place, by, admit).or_else(heard).unwrap_or(rest);
            (place, why)
        };
        self.list.iter().enumerate().filter(|(place, _)| Some(*place) != picked).map(why).collect()
    }

    /// Whether who is well holds as many as it may.
    fn is_full(&self, by: &Picking<'_>) -> bool {
        let (slow_start, breaker) = (by.settings.slow_start, by.breaker);
        self.list
            .iter()
            .any(|member| member.is_available(slow_start, breaker, by.now) && !member.is_free(by))
    }

    fn all_unproven(&self) -> bool {
        self.list.iter().all(|member| member.upstream.conditions().any(Conditions::UNPROVEN))
    }

    fn admits(&self, place: usize, by: &Picking<'_>, admit: Admit) -> bool {
        self.list[place].bar(place, by, admit).is_none()
    }
}

#[cfg(test)]
mod tests;

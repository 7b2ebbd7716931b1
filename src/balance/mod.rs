//! Which upstream of a pool takes a request, and what to do when it cannot: members, settings,
//! time and draws in, a member's place out.
//!
//! Whatever the policy, it chooses among *candidates*: members that are well. When none of a pool
//! is, all that no person has taken out are candidates: a doubtful upstream is better than a
//! certain refusal. [`Members::due_trial`] says who of those that are not well is to be tried.

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
use crate::http::admission::Upload;
use crate::split::Sticky;
use crate::upstream::{Address, Conditions, DialAddress, Due, Label, Labels, Limit, Upstream};

pub use limits::{Gradient, LimitSettings};
pub use not_taken::{Heard, MOST_PASSED_OVER, MayBeAsked, NotTaken};
pub use queue::{Queue, Waiting};
pub use retry::{Budget, Failed, Retry, RetrySettings, offering};
pub use throttle::Throttle;

use policy::Order;

/// For so long a trial waits for a request that may be repeated.
const PATIENCE: Duration = Duration::from_secs(2);

/// The weight of an upstream whose config names none. Relative to the others of its pool.
pub const DEFAULT_WEIGHT: u16 = 100;

/// The least and the greatest weight that an upstream may have.
pub const WEIGHT_RANGE: (u16, u16) = (1, 10_000);

/// Why an upstream may not have this weight, if it may not.
pub fn check_weight(weight: u16) -> Result<u16, String> {
    let (least, most) = WEIGHT_RANGE;
    match (least..=most).contains(&weight) {
        true => Ok(weight),
        false => Err(format!("weight: from {least} to {most}")),
    }
}

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
    /// The label that makes an upstream near: our own; none if all are alike.
    pub prefer: Option<Label>,
}

impl Default for BalanceSettings {
    fn default() -> Self {
        BalanceSettings {
            by: Policy::default(),
            hash: Sticky::default(),
            slow_start: Duration::from_secs(30),
            prefer: None,
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
    /// As the config says.
    pub labels: Labels,
    /// Whether it has the label that its service prefers.
    pub is_near: bool,
}

#[cfg(test)]
impl Member {
    /// The nth of a pool, counted from 0, with nothing special about it.
    pub(crate) fn nth(nth: usize, weight: u16) -> Member {
        let address: crate::upstream::Address = format!("192.0.2.1:{}", nth + 1).parse().unwrap();
        let target = address.target();
        let upstream = Arc::new(Upstream::new(address, None));
        Member { upstream, weight, target, labels: Labels::default(), is_near: false }
    }
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
    /// Requests that one upstream may hold.
    pub limit: Option<Limit>,
    /// Whether the request's body has yet to come.
    pub upload: Upload,
    /// How fast the pool answers, in seconds, as [`Members::assess`] last found.
    pub usual: f32,
    /// The pool's turn, for round robin. To choose does not take it.
    pub turn: usize,
    /// Requests that the pool holds, for bounded load.
    pub load: u32,
    /// Whether who is near is asked before others.
    pub stays_near: bool,
    /// Whether somebody else answers if nobody is well: then a doubtful one is not asked.
    pub spares: bool,
    /// Places that have been tried already for this request.
    pub tried: &'a [usize],
    /// What the client is known by, for consistent hashing.
    pub key: Option<u64>,
    /// Whether it may be sent twice: a trial that fails is then made good elsewhere.
    pub is_repeatable: bool,
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
    /// Are well.
    pub available: usize,
    /// Would, were they well: neither taken out by an operator nor unproven nor unresolved.
    pub known: usize,
}

impl Standing {
    /// Whether nobody is well.
    pub fn has_nobody(&self) -> bool {
        self.available == 0 && self.known > 0
    }
}

/// Who is a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admit {
    /// Whoever is well and near.
    Near,
    /// Whoever is well.
    Available,
    /// Whoever has not been taken out and has not refused a connection within the last second.
    NotRefusing,
    /// Whoever has not been taken out.
    Anyone,
}

impl Member {
    /// Whether it may take a new request, but for limits.
    pub fn is_well(&self) -> bool {
        self.not_well().is_none()
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

    /// Has names of which this holds, and which lead nowhere, lead to this place.
    pub fn lead_names_to(&mut self, place: &DialAddress, which: impl Fn(&Address) -> bool) {
        let is_name = |address: &Address| address.target().is_none();
        for member in self.list.iter_mut().filter(|member| member.target.is_none()) {
            let address = &member.upstream.address;
            member.target = (is_name(address) && which(address)).then(|| place.clone());
        }
    }

    /// How many are well.
    pub fn assess(&self) -> Standing {
        let mut standing = Standing::default();
        for member in &self.list {
            let unproven = member.upstream.conditions().any(Conditions::UNPROVEN);
            standing.available += usize::from(member.is_well());
            standing.known += usize::from(member.is_left_in() && !unproven);
        }
        standing
    }

    /// Whether at least half of those that are near are well, so that requests stay with them.
    pub fn stay_near(&self) -> bool {
        let near = self.list.iter().filter(|member| member.is_near && member.weight > 0);
        let (all, well) = near
            .fold((0, 0), |(all, well), member| (all + 1, well + usize::from(member.is_well())));
        all > 0 && 2 * well >= all
    }

    /// Whether anybody is well.
    pub fn any_well(&self) -> bool {
        self.list.iter().any(Member::is_well)
    }

    /// The mean of what those that are well take to answer, in seconds; 0 if nothing is known. Who has
    /// not been asked for a while counts for less, or it would move towards itself.
    pub fn usual_latency(&self, now: Moment) -> f32 {
        let known = self.list.iter().filter(|member| member.is_well());
        let known = known.filter_map(|member| member.upstream.latency.last(now));
        let add = |(sum, weights), (last, weight)| (sum + last * weight, weights + weight);
        let (sum, weights) = known.fold((0.0, 0.0), add);
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// Who is to be tried next, and from when on: who has shown something first, then who has been
    /// left alone for longest. While nobody is well those that have not are `apart`.
    pub fn next_trial(&self, apart: Moment) -> Option<(usize, Due)> {
        let is_well = self.any_well();
        let due = |(place, member): (usize, &Member)| match member.may_be_asked(is_well) {
            MayBeAsked::ForTrial(_, Some(due)) if due.is_blind && !is_well => {
                Some((place, Due { at: due.at.max(apart), ..due }))
            }
            MayBeAsked::ForTrial(_, Some(due)) => Some((place, due)),
            _ => None,
        };
        self.list.iter().enumerate().filter_map(due).min_by_key(|(_, due)| due.at)
    }

    /// The place of the member to be tried with this request, if one is due. Another than what may be
    /// repeated is taken only if nothing else has come for a while.
    pub fn due_trial(&self, by: &Picking<'_>, apart: Moment) -> Option<usize> {
        let is_well = self.any_well();
        let patience = if by.is_repeatable { Duration::ZERO } else { PATIENCE };
        let due = |(place, member): (usize, &Member)| {
            let MayBeAsked::ForTrial(_, Some(due)) = member.may_be_asked(is_well) else {
                return None;
            };
            // Probes go on by themselves; somebody else answers better meanwhile.
            if due.is_blind && due.is_by_probes && by.spares {
                return None;
            }
            let at = if due.is_blind && !is_well { due.at.max(apart) } else { due.at };
            (at + patience <= by.now && member.is_free(by)).then_some((due, place))
        };
        self.list.iter().enumerate().filter_map(due).min().map(|(_, place)| place)
    }

    /// Whether there is one alone that anything may be asked of.
    pub fn is_one(&self) -> bool {
        self.list.iter().filter(|member| member.is_left_in()).count() == 1
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
        if by.stays_near
            && let Some(place) = self.order.pick(self, by, Admit::Near, draws, heard)
        {
            return Ok(place);
        }
        if let Some(place) = self.order.pick(self, by, Admit::Available, draws, heard) {
            return Ok(place);
        }
        if by.spares && !(by.tried.is_empty() && self.all_unproven()) {
            return Err(if self.is_full(by) { NoMember::Full } else { NoMember::None });
        }
        // Nobody is well, or only who has been tried: then a doubtful one.
        let picked = self.order.pick(self, by, Admit::NotRefusing, draws, heard);
        let picked = picked.or_else(|| self.order.pick(self, by, Admit::Anyone, draws, heard));
        picked.ok_or_else(|| {
            match self.list.iter().any(|member| member.is_left_in() && !member.is_free(by)) {
                true => NoMember::Full,
                false => NoMember::None,
            }
        })
    }

    /// Why each member but the one `picked` was not taken, of `most` of them at most, the first in the
    /// list: no more are looked at. What the policy found by comparing them is what was `heard` of it;
    /// the error of `picked`, or the policy's word, if nothing bars a member and nothing was heard.
    pub fn not_taken(
        &self,
        by: &Picking<'_>,
        picked: Result<usize, NotTaken>,
        heard: &[(usize, NotTaken)],
        most: usize,
    ) -> Vec<(usize, NotTaken)> {
        let rest = picked.err().unwrap_or_else(|| self.order.rest());
        let picked = picked.ok();
        // Whoever was taken in spite of a bar was taken because all were asked, or as a trial.
        let is_barred = |place: usize| self.list[place].bar(place, by, Admit::Available).is_some();
        let are_all_asked = picked.is_some_and(is_barred) && !self.any_well();
        let is_near = picked.is_some_and(|place| self.list[place].is_near);
        let admit = match (are_all_asked, by.stays_near && is_near) {
            (true, _) => Admit::Anyone,
            (false, true) => Admit::Near,
            (false, false) => Admit::Available,
        };
        let why = |(place, member): (usize, &Member)| {
            let heard = || heard.iter().find(|(at, _)| *at == place).map(|(_, why)| *why);
            let why = member.bar(place, by, admit).or_else(heard).unwrap_or(rest);
            (place, why)
        };
        let others = self.list.iter().enumerate().filter(|(place, _)| Some(*place) != picked);
        others.take(most).map(why).collect()
    }

    /// Whether who is well holds as many as it may.
    fn is_full(&self, by: &Picking<'_>) -> bool {
        self.list.iter().any(|member| member.is_well() && !member.is_free(by))
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

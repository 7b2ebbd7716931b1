//! What a rollout means to do: a service's settings and an order's wishes in, a plan out.

use std::sync::Arc;
use std::time::Duration;

use super::{Hooks, Judging, Smoke};
use crate::clock::LONGEST;
use crate::judge::Guard;
use crate::split::{BasisPoints, Split};

/// How a service moves from one pool to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One switch, once the target is healthy.
    AllAtOnce,
    /// One switch after smoke requests, with the old pool kept warm for a while.
    BlueGreen,
    /// In steps, each judged.
    #[default]
    Canary,
    /// Inside one pool, upstream by upstream.
    Rolling,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 4] =
        [Strategy::AllAtOnce, Strategy::BlueGreen, Strategy::Canary, Strategy::Rolling];

    /// Its word in the file and in orders.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::AllAtOnce => "all-at-once",
            Strategy::BlueGreen => "blue-green",
            Strategy::Canary => "canary",
            Strategy::Rolling => "rolling",
        }
    }
}

/// Attempts that a step may want at most: no step is meant to last until more have come.
pub const MOST_REQUESTS: u64 = 1_000_000_000;

/// What a service says of its rollouts.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutSettings {
    /// Unless the order says otherwise.
    pub strategy: Strategy,
    /// Shares of the target, rising, the last of them the whole.
    pub steps: Vec<BasisPoints>,
    /// How long a step lasts at least.
    pub hold: Duration,
    /// Attempts at the target that a step wants at least; at most [`MOST_REQUESTS`].
    pub min_requests: u64,
    /// How long a step waits for them; then the rollout pauses.
    pub longest_step: Duration,
    /// When it is taken back.
    pub guard: Guard,
    /// How long the old pool is kept warm after the last step.
    pub watch: Duration,
    /// How long the target may take to become healthy, and a renewed upstream.
    pub ready_within: Duration,
    /// How long requests of the old pool, or of an upstream, may take to end.
    pub drain: Duration,
    /// Upstreams that are renewed at once, in a rolling rollout.
    pub at_once: usize,
    /// Requests that the target must answer first.
    pub smoke: Vec<Smoke>,
    /// What is called.
    pub hooks: Hooks,
    /// How it is judged.
    pub judging: Judging,
}

/// A rollout's settings, fixed at its start: what is edited later is for the next one. But whom it
/// calls is asked of the config in force each time; the plan says only at which points.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How.
    pub strategy: Strategy,
    /// The pool that traffic leaves; in a rolling rollout the one that is renewed.
    pub from: Arc<str>,
    /// The pool that traffic goes to.
    pub to: Arc<str>,
    /// Shares of the target in percent steps of basis points, the last of them the whole.
    pub steps: Vec<BasisPoints>,
    /// See [`RolloutSettings`], as everything below.
    pub hold: Duration,
    /// Attempts.
    pub min_requests: u64,
    /// At most.
    pub longest_step: Duration,
    /// When it is taken back.
    pub guard: Guard,
    /// Warm.
    pub watch: Duration,
    /// Healthy.
    pub ready_within: Duration,
    /// Drained.
    pub drain: Duration,
    /// Upstreams.
    pub at_once: usize,
    /// Requests.
    pub smoke: Vec<Smoke>,
    /// Calls.
    pub hooks: Hooks,
    /// How it is judged.
    pub judging: Judging,
}

/// What an order to start a rollout wishes; what is left out is as the service's settings say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// The pool that traffic is to go to; may be left out if there is only one other.
    pub to: Option<String>,
    /// How.
    pub strategy: Option<Strategy>,
    /// Shares of the target.
    pub steps: Option<Vec<BasisPoints>>,
    /// How long a step lasts.
    pub hold: Option<Duration>,
    /// Attempts that a step wants.
    pub min_requests: Option<u64>,
    /// How long the old pool is kept warm.
    pub watch: Option<Duration>,
    /// Whether it is judged; without the judge only the guard holds.
    pub judge: Option<bool>,
    /// Whether it starts, and goes on, in spite of a freeze or of what error budgets say.
    pub despite_freeze: bool,
}

/// Why a rollout cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefused {
    /// No such pool.
    #[error("no pool is named `{name}`; the service has {}", .known.join(", "))]
    NoPool {
        /// The name given.
        name: String,
        /// The names there are, in quotes.
        known: Vec<String>,
    },
    /// The order names no target, and there is not one other pool.
    #[error("name the pool to go to: {}", .0.join(", "))]
    WhichPool(Vec<String>),
    /// The target has everything already.
    #[error("pool `{0}` has all traffic already")]
    Already(Arc<str>),
    /// More than one pool has traffic.
    #[error("pools {} share the traffic: shift all of it to one first", .0.join(" and "))]
    Shared(Vec<String>),
    /// The steps do not rise to the whole.
    #[error("steps must rise from above 0 to 100 %, for example 1,10,50,100")]
    Steps,
    /// More attempts are wanted than a step may want.
    #[error("min_requests: from 0 to {MOST_REQUESTS}")]
    Requests,
    /// It is to wait for longer than anything waits.
    #[error("{0}: a wait lies within a day")]
    Wait(&'static str),
    /// Nothing puts the new version on an upstream.
    #[error(
        "a rolling rollout needs `hooks.deploy` in the service's [rollout]: it puts the new \
         version on an upstream"
    )]
    NoDeploy,
    /// Nobody would serve.
    #[error("pool `{0}` has one upstream: nobody would serve while it is renewed")]
    OneUpstream(Arc<str>),
}

impl Plan {
    /// A plan for a service that has these pools, with their numbers of upstreams, and this split.
    pub fn new(
        settings: &RolloutSettings,
        wishes: &Wishes,
        pools: &[(Arc<str>, usize)],
        split: &Split,
    ) -> Result<Plan, PlanRefused> {
        let strategy = wishes.strategy.unwrap_or(settings.strategy);
        let rolls = strategy == Strategy::Rolling;
        let busy: Vec<&Arc<str>> = split.parts().iter().map(|(pool, _)| pool).collect();
        let quoted = |name: &Arc<str>| format!("`{name}`");
        let known = || pools.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>();
        let to: Arc<str> = match &wishes.to {
            Some(name) => {
                let found = pools.iter().find(|(pool, _)| **pool == **name);
                let refused = || PlanRefused::NoPool { name: name.clone(), known: known() };
                found.ok_or_else(refused)?.0.clone()
            }
            None => {
                let fits = |pool: &Arc<str>| (split.weight(pool) == BasisPoints::WHOLE) == rolls;
                let mut fitting = pools.iter().map(|(pool, _)| pool).filter(|pool| fits(pool));
                match (fitting.next(), fitting.next()) {
                    (Some(only), None) => only.clone(),
                    _ => return Err(PlanRefused::WhichPool(known())),
                }
            }
        };
        let others: Vec<_> = busy.iter().filter(|&&pool| *pool != to).collect();
        let from = match (&others[..], rolls) {
            (_, true) => to.clone(),
            ([], false) => return Err(PlanRefused::Already(to)),
            ([only], false) if busy.len() == 1 => (**only).clone(),
            _ => return Err(PlanRefused::Shared(busy.into_iter().map(quoted).collect())),
        };
        if rolls && settings.hooks.deploy.is_none() {
            return Err(PlanRefused::NoDeploy);
        }
        if rolls && pools.iter().any(|(pool, upstreams)| *pool == to && *upstreams < 2) {
            return Err(PlanRefused::OneUpstream(to));
        }
        let steps = match strategy {
            Strategy::Canary => wishes.steps.clone().unwrap_or_else(|| settings.steps.clone()),
            Strategy::AllAtOnce | Strategy::BlueGreen => vec![BasisPoints::WHOLE],
            Strategy::Rolling => Vec::new(),
        };
        if !rolls && !rise(&steps) {
            return Err(PlanRefused::Steps);
        }
        wishes.check()?;
        let mut judging = settings.judging.clone();
        judging.settings.enabled = wishes.judge.unwrap_or(judging.settings.enabled);
        let hold = wishes.hold.unwrap_or(settings.hold);
        if hold.is_zero() {
            // Whoever waits for nothing does not wait for that either.
            judging.settings.warm_up = Duration::ZERO;
        }
        let watch = wishes.watch.unwrap_or(settings.watch);
        let at_once = strategy == Strategy::AllAtOnce;
        Ok(Plan {
            strategy,
            from,
            to,
            steps,
            hold,
            min_requests: wishes.min_requests.unwrap_or(settings.min_requests),
            longest_step: settings.longest_step,
            guard: settings.guard,
            watch: if at_once { Duration::ZERO } else { watch },
            ready_within: settings.ready_within,
            drain: settings.drain,
            at_once: settings.at_once,
            smoke: if at_once { Vec::new() } else { settings.smoke.clone() },
            hooks: settings.hooks.clone(),
            judging,
        })
    }
}

impl Wishes {
    /// Holds them to what a config may say. Shares are held against the strategy, by whoever plans.
    fn check(&self) -> Result<(), PlanRefused> {
        if self.min_requests.is_some_and(|requests| requests > MOST_REQUESTS) {
            return Err(PlanRefused::Requests);
        }
        let waits = [("hold", self.hold), ("watch", self.watch)];
        let too_long = waits.into_iter().find(|(_, wait)| wait.is_some_and(|wait| wait > LONGEST));
        too_long.map_or(Ok(()), |(name, _)| Err(PlanRefused::Wait(name)))
    }
}

/// Whether shares rise from above nothing to the whole.
pub fn rise(steps: &[BasisPoints]) -> bool {
    steps.first().is_some_and(|first| first.get() > 0)
        && steps.last() == Some(&BasisPoints::WHOLE)
        && steps.is_sorted_by(|a, b| a < b)
}

impl Default for RolloutSettings {
    fn default() -> Self {
        let steps = [100, 500, 1_000, 2_500, 5_000, 10_000].into_iter();
        RolloutSettings {
            strategy: Strategy::Canary,
            steps: steps.filter_map(BasisPoints::new).collect(),
            hold: Duration::from_secs(60),
            min_requests: 500,
            longest_step: Duration::from_secs(30 * 60),
            guard: Guard::default(),
            watch: Duration::from_secs(600),
            ready_within: Duration::from_secs(120),
            drain: Duration::from_secs(30),
            at_once: 1,
            smoke: Vec::new(),
            hooks: Hooks::default(),
            judging: Judging::default(),
        }
    }
}

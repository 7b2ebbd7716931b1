//! One rule of the file, checked: when it acts, what it does, and how often at most.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::in_words;
use crate::rollout::Hook;

/// Rules that a file may have: each is looked at once a second.
pub const MOST_RULES: usize = 64;

/// What is done by itself, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique.
    pub name: Arc<str>,
    /// The service that it is about; none for one about certificates or about another rule.
    pub service: Option<Arc<str>>,
    /// The pool of it that is meant; none for the service as a whole, or for each of its pools.
    pub pool: Option<Arc<str>>,
    /// What is looked at: the service or pool, or each of its upstreams.
    pub each: Each,
    /// When it acts.
    pub when: When,
    /// For how long that must be so without a break.
    pub lasts: Duration,
    /// What it does.
    pub then: Then,
    /// What it adds by the answers of whom it calls, if it does.
    pub adds: Option<Adds>,
    /// After how long it takes back what it has ordered; none for never.
    pub back: Option<Duration>,
    /// How often it acts within `per` at most.
    pub at_most: u32,
    /// See `at_most`.
    pub per: Duration,
    /// How long it leaves a place alone after it has acted there.
    pub cooldown: Duration,
    /// The target of notices that is told when it can do no more; none for all of them.
    pub escalate_to: Option<Arc<str>>,
    /// Whether it only says what it would do.
    pub dry_run: bool,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// The service or the pool that it names.
    Whole,
    /// Each upstream of it.
    Upstream,
}

/// When a rule acts.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// An upstream gets no requests for what it did or its probes say, and has so often come to that
    /// within an hour, this time among them.
    Down {
        /// How often; at least 1.
        times: u32,
    },
    /// So much of a limit on requests at once, or of a line, is used, in percent.
    Saturation(f64),
    /// So many of the requests of the last ten seconds failed, in percent.
    ErrorRate {
        /// In percent.
        percent: f64,
        /// Of at least so many.
        requests: u32,
    },
    /// The 99th percentile of the last ten seconds is longer than this.
    Latency {
        /// Seconds.
        p99: Duration,
        /// Of at least so many answers.
        requests: u32,
    },
    /// An error budget burns so many times as fast as it may, over an hour and five minutes.
    Burn(f64),
    /// What another rule did last has come to nothing, or nobody knows what it came to.
    Failed(Arc<str>),
    /// A certificate of the file is good for no more than so long.
    Certificate(Duration),
    /// Less than this of what a pool can carry is free, in percent.
    HeadRoom(f64),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// Somebody outside is called: a web request, or a command of this machine.
    Call(Hook),
    /// The upstream gets no new requests.
    Drain,
    /// The breaker of the upstream, or of the pool, is opened.
    OpenBreaker,
    /// The rollout under way stays where it is.
    PauseRollout,
    /// The rollout under way is taken back.
    AbortRollout,
    /// New requests are told to come back later.
    Maintenance {
        /// What they are told.
        message: Option<String>,
    },
    /// People are told, and nothing else is done.
    Notify,
}

/// What a rule adds by the answers of whom it calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Adds {
    /// How many at most, of all that it has added and not taken out again.
    pub instances: usize,
    /// Where they may be; at least one.
    pub networks: Vec<IpNet>,
    /// How long its condition must not hold until one is taken out again.
    pub quiet: Duration,
}

impl Rule {
    /// What is known of one that the file has no more: nothing but its name.
    pub fn gone(name: &str) -> Rule {
        Rule {
            name: name.into(),
            service: None,
            pool: None,
            each: Each::Whole,
            when: When::Failed(name.into()),
            lasts: Duration::ZERO,
            then: Then::Notify,
            adds: None,
            back: None,
            at_most: 1,
            per: Duration::from_secs(60 * 60),
            cooldown: Duration::ZERO,
            escalate_to: None,
            dry_run: false,
        }
    }

    /// Whether it puts an order that stands until it is taken back.
    pub fn orders(&self) -> bool {
        matches!(self.then, Then::Drain | Then::OpenBreaker | Then::Maintenance { .. })
    }

    /// Whether doing it again while its condition goes on makes sense: a call may, an order that
    /// stands does not.
    pub fn repeats(&self) -> bool {
        matches!(self.then, Then::Call(_))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Down { times: 1 } => f.write_str("an upstream is down"),
            When::Down { times } => write!(f, "an upstream is down for the {times}. time in 1h"),
            When::Saturation(percent) => write!(f, "{percent} % of a limit is used"),
            When::ErrorRate { percent, .. } => write!(f, "{percent} % of requests fail"),
            When::Latency { p99, .. } => write!(f, "p99 is above {}", in_words(*p99)),
            When::Burn(rate) => write!(f, "the error budget burns {rate} times too fast"),
            When::Failed(rule) => write!(f, "rule {rule} has failed"),
            When::Certificate(left) => {
                write!(f, "a certificate is good for {} d or less", left.as_secs() / 86_400)
            }
            When::HeadRoom(percent) => write!(f, "less than {percent} % of its capacity is free"),
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Then::Call(Hook::Webhook { .. }) => "calls its webhook",
            Then::Call(Hook::Command { .. }) => "runs its command",
            Then::Drain => "drains the upstream",
            Then::OpenBreaker => "opens the breaker",
            Then::PauseRollout => "pauses the rollout",
            Then::AbortRollout => "takes the rollout back",
            Then::Maintenance { .. } => "puts the service into maintenance",
            Then::Notify => "tells people",
        })
    }
}

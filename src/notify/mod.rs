//! Words to the outside: notices to people's tools, and the hooks and smoke requests of rollouts.
//!
//! A [`Notice`] goes to every target of the config that wants its severity: [`Notifier::send`]
//! never waits, a worker for each target does (`target.rs`), by the rules of a queue of its own
//! (`queue.rs`). [`call_hook`], [`call_rule`], [`smoke()`] and [`measure()`] answer to whoever asks, and say no when in doubt. All
//! of them call by `call.rs`: within a time, a bounded answer, no redirects, signed if there is a
//! key.
//!
//! Whoever is on call has alerts: a notice opens or closes one by its [`key`](Notice::key), as `event` declares it.

mod call;
mod command;
mod hook;
mod measure;
mod message;
mod notifier;
mod queue;
mod rule;
mod signature;
mod recipient;
mod smoke;
mod standing;
mod tried;

pub use call::Caller;
pub use hook::{Occasion, call_hook};
pub use measure::measure;
pub use notifier::Notifier;
pub use rule::call_rule;
pub use smoke::smoke;
pub use tried::{Tried, tried};

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::clock::WallTime;
pub use crate::config::Severity;
use crate::event::{Alert, Turn};
use crate::upstream::Labels;

/// Something that people should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Tells it from every other one of the same moment.
    pub id: u64,
    /// Which Pointsman tells it.
    pub pointsman: Arc<str>,
    /// What that is part of, such as `production`; empty if nobody has said so.
    pub environment: Arc<str>,
    /// When it happened.
    pub at: WallTime,
    /// How much it matters.
    pub severity: Severity,
    /// What kind, such as `rollout`.
    pub kind: String,
    /// Whose; empty if it is of no service.
    pub service: String,
    /// Empty if it is of no pool.
    pub pool: String,
    /// Empty if it is of no upstream.
    pub upstream: String,
    /// Those of the upstream.
    pub labels: Labels,
    /// What happened, by whom, and the cause.
    pub what: String,
    /// Who did it; empty if it happened by itself.
    pub author: String,
    /// How things stand now.
    pub state: String,
    /// The command to run next, if there is one.
    pub next: Option<String>,
    /// The runbook, as a file of the repository, if somebody is wanted.
    pub runbook: Option<String>,
    /// The trace of a request that failed there a short while ago.
    pub trace: Option<String>,
    /// What it tells the state of: the last notice of a topic says how that is now.
    pub topic: String,
    /// What is told, without figures: the same as what was told last of its topic within five
    /// minutes is not told again, unless it is more severe. Without a key each is told.
    pub dedup: String,
    /// The one target that is told of it, whatever else that wants to hear of; none for all.
    pub only_for: Option<Arc<str>>,
    /// Whether it says that trouble is over: whoever was told of the trouble is told of this too.
    pub is_relief: bool,
    /// The alert that it opens or closes; without one it is news, and an alert of its own if it matters.
    pub alert: Option<Alert>,
}

/// The longest key that PagerDuty takes, in bytes.
const LONGEST_KEY: usize = 255;

impl Notice {
    /// Where it happened: `shop/green/10.0.0.1:80`; empty for the process as a whole.
    fn place(&self) -> String {
        let parts = [&*self.service, &*self.pool, &*self.upstream];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    /// What tells its alert from all others, of other Pointsmen too: the same for what opens it and for
    /// what closes it, and after a restart. At most 255 bytes.
    pub fn key(&self) -> String {
        let Notice { environment, pointsman, topic, .. } = self;
        let key = format!("pointsman/{environment}/{pointsman}/{topic}");
        if key.len() <= LONGEST_KEY {
            return key;
        }
        let hash: String =
            Sha256::digest(&key).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let most = LONGEST_KEY - hash.len() - 1;
        let mut begin: String = key.chars().take(most).collect();
        while begin.len() > most {
            begin.pop();
        }
        format!("{begin} {hash}")
    }

    /// What becomes of its alert.
    fn turn(&self) -> Turn {
        self.alert.map_or(Turn::Stays, |alert| alert.turn)
    }

    /// What its alert is called.
    fn alert_name(&self) -> String {
        self.alert.map_or_else(|| format!("pointsman-{}", self.kind), |alert| alert.name.into())
    }
}

#[cfg(test)]
mod tests;

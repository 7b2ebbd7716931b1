//! What an incident costs: totals that only grow in, what came since it began out.
//!
//! Nothing is measured for this: the totals are those of metrics and of the judge. A process counts
//! from nothing, so an incident that outlives one keeps what it had come to before, and from which
//! totals on the process at hand counts. Both are in the incident itself; so an impact may be
//! worked out as often as one likes, and always comes to the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What came to a service's clients since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Requests that ended, but those whose clients left.
    pub requests: u64,
    /// Those of them that got a 5xx or no answer.
    pub failed: u64,
    /// Clients whose requests an upstream failed, where clients keep to their side of the split and a
    /// rollout is under way: each once for each of its steps.
    pub users: u64,
}

impl Reading {
    /// What came since an earlier one.
    pub fn since(self, before: Reading) -> Reading {
        Reading {
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
            users: self.users.saturating_sub(before.users),
        }
    }

    /// Both together.
    pub fn and(self, more: Reading) -> Reading {
        Reading {
            requests: self.requests.saturating_add(more.requests),
            failed: self.failed.saturating_add(more.failed),
            users: self.users.saturating_add(more.users),
        }
    }
}

/// What an incident has cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// What came to clients of all services concerned.
    pub came: Reading,
    /// Whether clients were told apart at all: else there is nothing to be said of users.
    #[serde(default)]
    pub tells_users: bool,
    /// The share of its scarcest error budget that it has spent, by service, 0 to 1 and more.
    #[serde(default)]
    pub budget: BTreeMap<String, f64>,
}

/// How an impact is counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counting {
    /// The process that counts, by when it began, in milliseconds since the epoch.
    pub process: u64,
    /// Its totals when the incident began, by service; none for nothing.
    #[serde(default)]
    pub from: BTreeMap<String, Reading>,
    /// What had come in processes before this one.
    #[serde(default)]
    pub before: Reading,
    /// What was left of the scarcest budget when it began, by service.
    #[serde(default)]
    pub remaining: BTreeMap<String, f64>,
}

impl Counting {
    /// The impact now. `process` is the one that counts, `now` what came to a service in it, and `left`
    /// what is left of its scarcest budget.
    pub fn impact(
        &mut self,
        impact: &Impact,
        process: u64,
        services: &[String],
        now: impl Fn(&str) -> Option<Reading>,
        left: impl Fn(&str) -> Option<f64>,
    ) -> Impact {
        if self.process != process {
            // That process has ended with what it had counted.
            (self.process, self.before) = (process, impact.came);
            self.from.clear();
        }
        let mut came = self.before;
        for service in services {
            let from = self.from.get(service).copied().unwrap_or_default();
            came = came.and(now(service).map(|now| now.since(from)).unwrap_or_default());
        }
        let mut budget = impact.budget.clone();
        for service in services {
            let Some(left) = left(service) else { continue };
            let began = *self.remaining.entry(service.clone()).or_insert(left);
            // What grew back since is no less spent.
            let spent = (began - left).max(budget.get(service).copied().unwrap_or_default());
            if spent > 0.0 {
                budget.insert(service.clone(), spent);
            }
        }
        Impact { came, tells_users: impact.tells_users || came.users > 0, budget }
    }
}

impl Impact {
    /// In words, such as `123 of 4,567 requests failed (2.7 %), 41 users, 3.1 % of the error budget`.
    pub fn words(&self) -> String {
        let Reading { requests, failed, users } = self.came;
        let mut words = match requests {
            0 => "no requests came".to_string(),
            _ => {
                let share = 100.0 * failed as f64 / requests as f64;
                format!("{failed} of {requests} requests failed ({share:.1} %)")
            }
        };
        if self.tells_users {
            words.push_str(&format!(", for at least {users} users"));
        }
        let spent = self.budget.values().copied().fold(0.0, f64::max);
        if spent > 0.0 {
            words.push_str(&format!(", {:.1} % of the error budget spent", 100.0 * spent));
        }
        words
    }
}

//! An alert of somebody else, such as Alertmanager's: what it says in, what is kept of it out.
//!
//! Its texts are data. They are tamed and bounded when they come in, so that nothing that shows them
//! has to know where they come from.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words::clipped;
use crate::clock::WallTime;

/// Alerts that are kept; further ones are refused until some have gone.
pub const ALERTS_KEPT: usize = 1_000;

/// How long one is kept after it was resolved.
pub const RESOLVED_KEPT: Duration = Duration::from_secs(15 * 60);

/// How long one that fires is kept of which nothing is heard any more: whoever sends it repeats it
/// every few hours.
const UNHEARD_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// How often it is stored that one was heard of again without any other change.
const HEARD_AGAIN: Duration = Duration::from_secs(10 * 60);

/// Labels and annotations of one that are kept.
const MOST_TEXTS: usize = 32;

/// The longest name of a label, in characters.
const LONGEST_NAME: usize = 100;

/// The longest value, in characters.
const LONGEST_VALUE: usize = 500;

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What tells it from others; of those that share it the last word counts.
    pub fingerprint: String,
    /// What it is called: its label `alertname`.
    pub name: String,
    /// The service that it is tied to by a label; empty for none.
    #[serde(default)]
    pub service: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What it says for people.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub since: WallTime,
    /// When it was resolved; none while it fires.
    #[serde(default)]
    pub resolved: Option<WallTime>,
    /// When it was last heard of.
    pub heard: WallTime,
}

impl Alert {
    /// One with its texts tamed and bounded.
    pub fn tamed(self, service_label: &str) -> Alert {
        let texts = |texts: BTreeMap<String, String>| -> BTreeMap<String, String> {
            let kept = texts.into_iter().take(MOST_TEXTS);
            kept.map(|(name, value)| (clipped(&name, LONGEST_NAME), clipped(&value, LONGEST_VALUE)))
                .collect()
        };
        let named =
            |name: &str| clipped(self.labels.get(name).map_or("", String::as_str), LONGEST_VALUE);
        let (name, service) = (named("alertname"), named(service_label));
        let name = if name.is_empty() { "alert".into() } else { name };
        Alert {
            fingerprint: clipped(&self.fingerprint, LONGEST_NAME),
            name,
            service,
            labels: texts(self.labels),
            annotations: texts(self.annotations),
            ..self
        }
    }

    /// Whether it goes on.
    pub fn is_firing(&self) -> bool {
        self.resolved.is_none()
    }

    /// Whether it need not be kept any more.
    pub fn is_gone(&self, now: WallTime) -> bool {
        match self.resolved {
            Some(resolved) => now.elapsed_since(resolved.max(self.heard)) >= RESOLVED_KEPT,
            None => now.elapsed_since(self.heard) >= UNHEARD_KEPT,
        }
    }

    /// Whether it says something else than the one before with the same fingerprint; that it was heard
    /// of again counts now and then.
    pub fn is_news(&self, before: &Alert) -> bool {
        let heard = self.heard.elapsed_since(before.heard) >= HEARD_AGAIN;
        heard || Alert { heard: before.heard, ..self.clone() } != *before
    }

    /// Whether it began to fire or was resolved with this word of it.
    pub fn has_turned(&self, before: Option<&Alert>) -> bool {
        match before {
            Some(before) => before.is_firing() != self.is_firing(),
            None => self.is_firing(),
        }
    }

    /// Whether it has all of these labels; with none of them it has not.
    pub fn has_all(&self, labels: &[(String, String)]) -> bool {
        let has = |(name, value): &(String, String)| self.labels.get(name) == Some(value);
        !labels.is_empty() && labels.iter().all(has)
    }

    /// What it says in a line.
    pub fn words(&self) -> String {
        let said = ["summary", "description"].iter().find_map(|name| self.annotations.get(*name));
        match said {
            Some(said) => format!("{}: {said}", self.name),
            None => self.name.clone(),
        }
    }
}

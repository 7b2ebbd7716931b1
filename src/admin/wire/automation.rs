//! What travels over the admin API of the automation: rules, what they did, and whether they are stopped.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::automation::{self, Ledger, NotNow};
use crate::clock::{WallTime, in_words};
use crate::config::Config;
use crate::state::State;

/// Acts that are told, the newest first.
const TOLD: usize = 50;

/// All rules, and what they did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Automation {
    /// That all of them are stopped, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<AutomationStopped>,
    /// What all of them together may do in an hour.
    pub an_hour: usize,
    /// What they did in the last hour.
    pub in_the_last_hour: usize,
    /// Each of them, in name order.
    pub rules: Vec<Rule>,
    /// What was done last by whichever, the newest first; at most 50.
    pub acts: Vec<Act>,
}

/// That all rules are stopped.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AutomationStopped {
    /// By whom.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Unix time in seconds since when.
    pub at: f64,
}

/// A rule, and how it is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// The service that it is about, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The pool of it, if one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// When it acts, in words.
    pub when: String,
    /// How long that must be so.
    #[serde(rename = "for")]
    pub lasts: String,
    /// What it does, in words.
    pub then: String,
    /// How often it acts within `per` at most.
    pub at_most: u32,
    /// See `at_most`.
    pub per: String,
    /// How often it has acted within `per`.
    pub done: usize,
    /// Who is told when it can do no more, if one target is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_to: Option<String>,
    /// Whether it only says what it would do.
    pub dry_run: bool,
    /// How it is.
    pub state: RuleState,
    /// What it did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Act>,
    /// The upstreams that it has added and not taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
}

/// How a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleState {
    /// It looks, and may act.
    Ready,
    /// Something that it did is under way.
    Acting,
    /// It has acted as often as it may.
    Spent,
    /// All rules are stopped.
    Stopped,
}

/// Something that a rule did.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Act {
    /// Its number, among all acts of all rules.
    pub id: u64,
    /// By which rule.
    pub rule: String,
    /// Where: `SERVICE/POOL/UPSTREAM`, or less of it; empty for the process as a whole.
    pub place: String,
    /// What: `webhook`, `command`, `drain`, `open-breaker`, `pause-rollout`, `abort-rollout`, `maintenance`,
    /// `notify` or `escalate`.
    pub action: String,
    /// What was seen, in words.
    pub why: String,
    /// Unix time in seconds when it was decided.
    pub at: f64,
    /// `under-way`, `done`, `failed`, `unknown` or `dry-run`.
    pub outcome: String,
    /// What was answered, or why it has come to nothing; empty if there is nothing to say.
    pub said: String,
    /// When it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<f64>,
    /// Whether a person has taken back what it ordered.
    pub undone: bool,
}

/// An order to all rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderAutomation {
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who; `api` if left out.
    #[serde(default)]
    pub author: Option<String>,
}

impl Automation {
    /// What the rules of this config did by this state.
    pub fn of(config: &Config, state: &State, now: WallTime) -> Automation {
        let kept = state.automation();
        let ledger = Ledger::of(kept.acts(), now);
        let an_hour = config.server.automation_an_hour;
        let rule = |rule: &std::sync::Arc<automation::Rule>| {
            let grown = kept.grown(&rule.name);
            let instances = grown.iter().flat_map(|grown| &grown.instances);
            let at = automation::Place::default();
            let state = match ledger.may(rule, &at, an_hour) {
                _ if kept.stopped().is_some() => RuleState::Stopped,
                Err(NotNow::Busy) => RuleState::Acting,
                Err(NotNow::Spent | NotNow::Bound) => RuleState::Spent,
                _ => RuleState::Ready,
            };
            Rule {
                name: rule.name.to_string(),
                service: rule.service.as_ref().map(ToString::to_string),
                pool: rule.pool.as_ref().map(ToString::to_string),
                when: rule.when.to_string(),
                lasts: in_words(rule.lasts),
                then: rule.then.to_string(),
                at_most: rule.at_most,
                per: in_words(rule.per),
                done: ledger.done(rule),
                escalate_to: rule.escalate_to.as_ref().map(ToString::to_string),
                dry_run: rule.dry_run,
                state,
                last: ledger.last(&rule.name).map(|act| Act::of(act)),
                instances: instances.map(|it| it.place.upstream.to_string()).collect(),
            }
        };
        Automation {
            stopped: kept.stopped().map(|stopped| AutomationStopped {
                by: stopped.by.clone(),
                reason: stopped.reason.clone(),
                at: stopped.at.seconds(),
            }),
            an_hour,
            in_the_last_hour: ledger.in_an_hour(),
            rules: config.automation.iter().map(rule).collect(),
            acts: kept.acts().take(TOLD).map(|act| Act::of(act)).collect(),
        }
    }
}

impl Act {
    fn of(act: &automation::Act) -> Act {
        let said = match &act.end {
            Some(automation::End::Done(said) | automation::End::Failed(said)) => said.clone(),
            _ => String::new(),
        };
        Act {
            id: act.id,
            rule: act.rule.to_string(),
            place: act.place.to_string(),
            action: act.deed.name().to_string(),
            why: act.why.clone(),
            at: act.at.seconds(),
            outcome: act.end.as_ref().map_or("under-way", automation::End::name).to_string(),
            said,
            ended: act.ended.map(WallTime::seconds),
            undone: act.undone.is_some(),
        }
    }
}

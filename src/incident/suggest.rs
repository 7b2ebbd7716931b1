//! What may mend it: what is seen of the services concerned in, commands that fit out, the most likely
//! first.
//!
//! The last change comes first, for most incidents are somebody's change; then what takes traffic off
//! what is sick; then what spares clients the worst while somebody looks. Nothing is done here: each is
//! a whole command that somebody runs or does not.

use std::time::Duration;

use super::Incident;
use super::words::length;
use crate::clock::WallTime;

/// How long before the first failure a change is suspected at most.
const SUSPECTED: Duration = Duration::from_secs(2 * 60 * 60);

/// How long after it one still is: failures that were there before have another cause, but clocks and
/// counts are looked at once a second.
const AFTER: Duration = Duration::from_secs(5);

/// Commands of each kind for one service.
const EACH: usize = 3;

/// What is seen when it is asked what may mend it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The services concerned.
    pub services: Vec<ServiceFacts>,
}

/// What is seen of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceFacts {
    /// Its name.
    pub name: String,
    /// What was changed lately, in any order.
    pub changes: Vec<Suspect>,
    /// The rollout under way: its number and its target.
    pub rollout: Option<(u64, String)>,
    /// Whether the state in force was made by going back: then there is nothing to roll back.
    pub is_back: bool,
    /// Whether its rollouts are kept from going on.
    pub is_frozen: bool,
    /// Whether it serves, and is not held or in maintenance.
    pub serves: bool,
    /// Upstreams that get requests and are not well, of pools in which others are: pool, address, why.
    pub sick: Vec<(String, String, String)>,
    /// Pools that get traffic and in which nobody is well.
    pub dead: Vec<String>,
    /// Pools that get no traffic and in which everybody is well.
    pub spare: Vec<String>,
    /// Whether something else answers while a pool's breaker is open.
    pub has_fallback: bool,
}

/// A change that may be the cause.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    /// What changed.
    pub change: Changed,
    /// Who changed it.
    pub author: String,
    /// When.
    pub at: WallTime,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// The traffic: a revision by its number, and the version that it brought, if it did.
    Traffic(u64, Option<String>),
    /// A flag, to a share in percent.
    Flag(String, String),
}

/// Something to do, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The service; empty for the whole.
    pub service: String,
    /// What it does and why it fits.
    pub why: String,
    /// The whole command.
    pub command: String,
}

impl Suspect {
    /// Whether it came shortly enough before the first failure.
    fn is_near(&self, failure: WallTime) -> bool {
        self.at <= failure + AFTER && failure.elapsed_since(self.at) <= SUSPECTED
    }

    /// As `revision 41 by ci, 4m before the first failure`.
    pub fn words(&self, failure: WallTime) -> String {
        let what = match &self.change {
            Changed::Traffic(number, None) => format!("revision {number}"),
            Changed::Traffic(number, Some(version)) => format!("revision {number} ({version})"),
            Changed::Flag(flag, percent) => format!("flag {flag} to {percent} %"),
        };
        let when = match failure.elapsed_since(self.at) {
            before if before.as_secs() == 0 => "right before the first failure".into(),
            before => format!("{} before the first failure", length(before)),
        };
        format!("{what} by {}, {when}", self.author)
    }
}

impl ServiceFacts {
    /// The changes that may be the cause, the newest first.
    pub fn suspects(&self, incident: &Incident) -> Vec<&Suspect> {
        let failure = incident.first_failure.unwrap_or(incident.opened);
        let mut near: Vec<&Suspect> =
            self.changes.iter().filter(|change| change.is_near(failure)).collect();
        near.sort_by_key(|change| std::cmp::Reverse(change.at));
        near
    }
}

/// What may mend an incident, the most likely first.
pub fn suggest(incident: &Incident, facts: &Facts) -> Vec<Suggestion> {
    let kinds = [changes, sick, elsewhere, spared, kept];
    let of = |kind: &fn(&Incident, &ServiceFacts) -> Vec<Suggestion>| {
        let found = facts.services.iter().flat_map(|service| kind(incident, service));
        found.collect::<Vec<_>>()
    };
    kinds.iter().flat_map(of).collect()
}

fn one(service: &ServiceFacts, why: String, command: String) -> Suggestion {
    Suggestion { service: service.name.clone(), why, command }
}

/// Takes back what was changed last.
fn changes(incident: &Incident, service: &ServiceFacts) -> Vec<Suggestion> {
    let (name, failure) = (&service.name, incident.first_failure.unwrap_or(incident.opened));
    let shell = argument(name);
    let suspects = service.suspects(incident);
    let traffic = suspects.iter().find(|suspect| matches!(suspect.change, Changed::Traffic(..)));
    let mut all = Vec::new();
    match (&service.rollout, traffic) {
        (Some((id, to)), _) => {
            let why = format!("take back {name}: rollout {id} to {to} is under way");
            all.push(one(service, why, format!("pointsman rollout abort {shell}")));
        }
        (None, Some(suspect)) if !service.is_back => {
            let why = format!("roll back {name}: {}", suspect.words(failure));
            let command =
                format!("pointsman rollback {shell} --reason \"incident {}\"", incident.id);
            all.push(one(service, why, command));
        }
        _ => {}
    }
    for suspect in suspects {
        if let Changed::Flag(flag, _) = &suspect.change {
            let why = format!("take back a flag of {name}: {}", suspect.words(failure));
            all.push(one(service, why, format!("pointsman flags {} --back", argument(flag))));
        }
    }
    all.truncate(EACH);
    all
}

/// Takes traffic off who is not well while others are.
fn sick(_: &Incident, service: &ServiceFacts) -> Vec<Suggestion> {
    let drains = service.sick.iter().take(EACH).map(|(pool, address, why)| {
        let why = format!("drain {address} of {}/{pool}: {why}", service.name);
        let place = argument(&format!("{}/{pool}", service.name));
        one(service, why, format!("pointsman drain {place} {}", argument(address)))
    });
    drains.collect()
}

/// Sends everything to a pool that is well.
fn elsewhere(_: &Incident, service: &ServiceFacts) -> Vec<Suggestion> {
    let Some(dead) = service.dead.first() else { return Vec::new() };
    let flips = service.spare.iter().take(EACH).map(|spare| {
        let why = format!("flip {} to {spare}: nobody of {dead} is well", service.name);
        let command = format!("pointsman flip {} {}", argument(&service.name), argument(spare));
        one(service, why, command)
    });
    flips.collect()
}

/// Spares clients the wait for what cannot be had.
fn spared(incident: &Incident, service: &ServiceFacts) -> Vec<Suggestion> {
    let (name, id) = (&service.name, incident.id);
    let mut all = Vec::new();
    for dead in service.dead.iter().take(EACH).filter(|_| service.has_fallback) {
        let why = format!("open the breaker of {name}/{dead}: the fallback answers at once");
        let place = argument(&format!("{name}/{dead}"));
        let command = format!("pointsman breaker {place} open --reason \"incident {id}\"");
        all.push(one(service, why, command));
    }
    if !service.dead.is_empty() && service.serves {
        let shell = argument(name);
        let why = format!("hold {name} for a moment: if it is back soon, nobody sees an error");
        let command = format!("pointsman hold {shell} --for 20s --reason \"incident {id}\"");
        all.push(one(service, why, command));
        let why = format!("put {name} into maintenance: clients are told to come back later");
        let command = format!("pointsman maintenance {shell} --reason \"incident {id}\"");
        all.push(one(service, why, command));
    }
    all
}

/// Keeps rollouts from going on until it is understood.
fn kept(incident: &Incident, service: &ServiceFacts) -> Vec<Suggestion> {
    if service.is_frozen {
        return Vec::new();
    }
    let why = format!("freeze rollouts of {} until it is understood", service.name);
    let shell = argument(&service.name);
    vec![one(
        service,
        why,
        format!("pointsman freeze {shell} --reason \"incident {}\"", incident.id),
    )]
}

/// A text as one word of a shell. Names of flags, services and pools are plain; what is not is quoted,
/// for the command is to be copied.
fn argument(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:[]".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

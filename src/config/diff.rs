//! What a reload would change, in terms of traffic: two configs and what is in force beside the first
//! in, lines for people out.

mod routes;
mod traffic;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use self::routes::changed_routes;
use self::traffic::percent;
use super::automation::RULE;
use super::incidents::INCIDENTS;
use super::key::Table;
use super::listener::LISTENER;
use super::notify::NOTIFY;
use super::read::{ADMIN, TOP};
use super::server::SERVER;
use super::service::SERVICE;
use super::settings::Difference;
use super::traces::TRACES;
use super::{Config, Flag, ListenAddress, Settings, Taken};
use crate::certificate::time_of;
use crate::rollout::Rollout;
use crate::split::{BasisPoints, Split};
use crate::upstream::Address;

/// One difference between two configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it concerns, such as `service shop`.
    pub subject: String,
    /// What becomes of it.
    pub what: String,
    /// Whether it waits for the next start of the process.
    pub needs_restart: bool,
}

impl Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.subject, self.what)?;
        if self.needs_restart { f.write_str(" (after a restart)") } else { Ok(()) }
    }
}

/// Lists of upstreams with their weights, by service and pool.
type Upstreams = HashMap<(Arc<str>, Arc<str>), Vec<(Address, u16)>>;

/// What is in force beside the config: what was ordered since it was read.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// Splits, by service; one without an entry is as the config says.
    pub splits: HashMap<Arc<str>, Split>,
    /// Shares of flags, by flag; likewise.
    pub flags: HashMap<Arc<str>, BasisPoints>,
    /// Upstreams, by service and pool; likewise.
    pub upstreams: Upstreams,
    /// What deploys have put into pools, in words, by service and pool.
    pub deployed: HashMap<(Arc<str>, Arc<str>), String>,
    /// Upstreams that get no new requests, by service, pool and address.
    pub drained: HashSet<[String; 3]>,
    /// Rollouts under way.
    pub rollouts: Vec<Rollout>,
}

/// All differences, in the order of the file's parts; none if a reload would change nothing.
pub fn diff(old: &Config, new: &Config, live: &Live) -> Vec<Change> {
    let (was, is) = (old.taken.clone(), new.taken.clone());
    let mut changes = Changes { list: Vec::new(), was, is };
    changes.settings("file", &old.top, &new.top, &TOP);
    let tables =
        [("server", &SERVER), ("admin", &ADMIN), ("traces", &TRACES), ("incidents", &INCIDENTS)];
    for (subject, declared) in tables {
        let (old, new) = (old.settings.table(subject), new.settings.table(subject));
        changes.settings(subject, old, new, declared);
    }
    changes.listeners(old, new);
    for (subject, what) in changed_routes(old, new) {
        changes.add(subject, what);
    }
    let by_name = |config: &Config| -> BTreeMap<_, _> {
        config.services.iter().map(|service| (service.name.clone(), service.clone())).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        let subject = format!("service {name}");
        changes.add(&subject, "removed");
        let rollout = live.rollouts.iter().find(|rollout| rollout.service == *name);
        rollout.into_iter().for_each(|rollout| changes.superseded(&subject, rollout));
    }
    for (name, service) in &after {
        match before.get(name) {
            None => changes.add(format!("service {name}"), format!("added, {}", service.split)),
            Some(before) => {
                let split = changes.split(before, service, live);
                changes.recognition(before, service, &split);
                let of = |config: &Config| config.settings.table("services").table(name).clone();
                changes.settings(format!("service {name}"), &of(old), &of(new), &SERVICE);
                changes.pools(before, service, live, &split);
            }
        }
    }
    changes.certificates(old, new);
    changes.notify(old, new);
    changes.automation(old, new);
    changes.flags(&old.flags, &new.flags, live);
    changes.list.extend(given_up(old, new, live));
    changes.list
}

/// What a reload gives up of the upstreams that were changed at run time: a pool that is edited in
/// the file is as the file has it.
fn given_up(old: &Config, new: &Config, live: &Live) -> Vec<Change> {
    let pools = |key: &(Arc<str>, Arc<str>)| {
        let (service, pool) = key;
        let of = |config: &Config| config.service(service).and_then(|it| it.pool(pool)).cloned();
        Some((of(old)?, of(new)?))
    };
    let edited = live.upstreams.keys().filter(|key| {
        pools(key).is_some_and(|(before, after)| live.gives_way(&key.0, &before, &after))
    });
    let change = |key: &(Arc<str>, Arc<str>)| {
        let (service, pool) = key;
        let what = match live.deployed.get(key) {
            Some(version) => {
                format!("{version}, which was deployed there, gives way to the file's upstreams")
            }
            None => "upstreams added or removed at run time give way to the file's".into(),
        };
        Change { subject: format!("pool {service}/{pool}"), what, needs_restart: false }
    };
    let mut changes: Vec<Change> = edited.map(change).collect();
    changes.sort_by(|a, b| a.subject.cmp(&b.subject));
    changes
}

struct Changes {
    list: Vec<Change>,
    /// What the file took from outside, and takes now: it is told as it is written.
    was: Taken,
    is: Taken,
}

impl Changes {
    fn add(&mut self, subject: impl Into<String>, what: impl Into<String>) {
        let (subject, what) = (subject.into(), what.into());
        self.list.push(Change { subject, what, needs_restart: false });
    }

    /// Keys that differ, with both values.
    fn settings(
        &mut self,
        subject: impl Into<String>,
        old: &Settings,
        new: &Settings,
        declared: &Table,
    ) {
        let subject = subject.into();
        let change = |difference: Difference| Change {
            subject: subject.clone(),
            what: difference.to_string(),
            needs_restart: difference.needs_restart,
        };
        self.list.extend(old.differences(new, declared).into_iter().map(change));
    }

    /// A share that is edited in the file takes effect; one that is not stays as it was ordered.
    fn flags(&mut self, old: &[Flag], new: &[Flag], live: &Live) {
        let find =
            |list: &[Flag], name: &str| list.iter().find(|flag| &*flag.name == name).cloned();
        let share = |flag: &Flag| live.flags.get(&flag.name).copied().unwrap_or(flag.percent);
        for flag in old.iter().filter(|flag| find(new, &flag.name).is_none()) {
            let (lost, of) = (share(flag), named(&flag.services));
            let had_nobody = lost == BasisPoints::NONE || flag.services.is_empty();
            let lose = format!("removed; {lost} % of clients of {of} lose it");
            let what = if had_nobody { "removed; nobody had it".into() } else { lose };
            self.add(format!("flag {}", flag.name), what);
        }
        for flag in new {
            let subject = format!("flag {}", flag.name);
            let Some(before) = find(old, &flag.name) else {
                let (percent, of) = (flag.percent, named(&flag.services));
                self.add(subject, format!("added, on for {percent} % of clients of {of}"));
                continue;
            };
            let (had, now) = (share(&before), flag.percent);
            if before.percent != now && had != now {
                let verb = if now > had { "get" } else { "lose" };
                let differ = percent((now.ratio() - had.ratio()).abs());
                let what = format!("{had} % → {now} % of clients; {differ} {verb} it");
                self.add(&subject, what);
            }
            if before.services != flag.services {
                let (before, now) = (named(&before.services), named(&flag.services));
                self.add(&subject, format!("services {before} → {now}"));
            }
        }
    }

    fn listeners(&mut self, old: &Config, new: &Config) {
        let find = |config: &Config, address: &ListenAddress| {
            config.listeners.iter().position(|listener| listener.address == *address)
        };
        let gone = old.listeners.iter().filter(|listener| find(new, &listener.address).is_none());
        for gone in gone {
            self.add(format!("listener {}", old.taken.within(&gone.address)), "removed");
        }
        for (place, listener) in new.listeners.iter().enumerate() {
            let subject = format!("listener {}", new.taken.within(&listener.address));
            match find(old, &listener.address) {
                None => self.add(subject, "added"),
                Some(before) => {
                    let before = old.settings.at("listeners", before);
                    let after = new.settings.at("listeners", place);
                    self.settings(subject, before, after, &LISTENER);
                }
            }
        }
    }

    /// What is in a file has another content; which files are named is told elsewhere.
    fn certificates(&mut self, old: &Config, new: &Config) {
        let before = |file: &Path| old.certificates.pairs().find(|(known, _)| *known == file);
        for (file, pair) in new.certificates.pairs() {
            if before(file).is_some_and(|(_, before)| before != pair) {
                let subject = format!("certificate {}", new.taken.within(file.display()));
                let until = time_of(pair.about.until);
                self.add(subject, format!("is another, good until {until}"));
            }
        }
        for (file, authorities) in new.certificates.all_authorities() {
            // Other clients are let in, or other upstreams believed.
            let before = old.certificates.authorities(file);
            if before.is_some_and(|before| before != authorities) {
                let file = new.taken.within(file.display());
                self.add(format!("authorities {file}"), "are others");
            }
        }
    }

    fn automation(&mut self, old: &Config, new: &Config) {
        let has =
            |config: &Config, name: &str| config.automation.iter().any(|rule| *rule.name == *name);
        let of =
            |config: &Config, name: &str| config.settings.table("automation").table(name).clone();
        for rule in old.automation.iter().filter(|rule| !has(new, &rule.name)) {
            self.add(format!("rule {}", rule.name), "removed");
        }
        for rule in &new.automation {
            let subject = format!("rule {}", rule.name);
            match has(old, &rule.name) {
                false => self.add(subject, format!("added: when {}, it {}", rule.when, rule.then)),
                true => {
                    self.settings(subject, &of(old, &rule.name), &of(new, &rule.name), &RULE);
                }
            }
        }
    }

    fn notify(&mut self, old: &Config, new: &Config) {
        let find = |config: &Config, name: &str| {
            config.notify.iter().position(|target| &*target.name == name)
        };
        for target in old.notify.iter().filter(|target| find(new, &target.name).is_none()) {
            self.add(format!("notify {}", old.taken.within(&target.name)), "removed");
        }
        for (place, target) in new.notify.iter().enumerate() {
            let subject = format!("notify {}", new.taken.within(&target.name));
            match find(old, &target.name) {
                None => self.add(subject, "added"),
                Some(before) => {
                    let before = old.settings.at("notify", before);
                    self.settings(subject, before, new.settings.at("notify", place), &NOTIFY);
                }
            }
        }
    }
}

fn named(services: &[std::sync::Arc<str>]) -> String {
    if services.is_empty() { "none".to_string() } else { services.join(", ") }
}

#[cfg(test)]
mod every_key;
#[cfg(test)]
mod tests;

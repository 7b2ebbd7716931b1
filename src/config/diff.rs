//! What a reload would change, in terms of traffic: two configs and what is in force beside the first
//! in, lines for people out.

mod routes;
mod settings;
mod traffic;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use self::routes::changed_routes;
use self::settings::changed_settings;
use self::traffic::percent;
use super::{Config, Flag, Service};
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
    /// Upstreams that get no new requests, by service, pool and address.
    pub drained: HashSet<[String; 3]>,
    /// Rollouts under way.
    pub rollouts: Vec<Rollout>,
}

/// All differences, in the order of the file's parts; none if a reload would change nothing.
pub fn diff(old: &Config, new: &Config, live: &Live) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.server(old, new);
    changes.set("listener", &old.listeners, &new.listeners);
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
            Some(before) => changes.service(before, service, live),
        }
    }
    changes.notify(old, new);
    changes.flags(&old.flags, &new.flags, live);
    changes.0.extend(given_up(old, new, live));
    changes.0
}

/// What a reload gives up of the upstreams that were changed at run time: a pool that is edited in
/// the file is as the file has it.
fn given_up(old: &Config, new: &Config, live: &Live) -> Vec<Change> {
    let changed = live.upstreams.keys().map(|(service, pool)| (&**service, &**pool));
    let pool = |config: &Config, service: &str, pool: &str| {
        config.service(service).and_then(|service| service.pool(pool)).cloned()
    };
    let edited = changed.filter(|(service, name)| {
        let after = pool(new, service, name);
        after.is_some() && after != pool(old, service, name)
    });
    let change = |(service, name): (&str, &str)| Change {
        subject: format!("pool {service}/{name}"),
        what: "upstreams added or removed at run time give way to the file's".into(),
        needs_restart: false,
    };
    let mut changes: Vec<Change> = edited.map(change).collect();
    changes.sort_by(|a, b| a.subject.cmp(&b.subject));
    changes
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(&mut self, subject: impl Into<String>, what: impl Into<String>) {
        let (subject, what) = (subject.into(), what.into());
        self.0.push(Change { subject, what, needs_restart: false });
    }

    fn server(&mut self, old: &Config, new: &Config) {
        let restart = [
            ("workers", old.server.workers != new.server.workers),
            ("state folder", old.server.state_dir != new.server.state_dir),
            ("admin", old.admin != new.admin),
        ];
        for (subject, _) in restart.iter().filter(|(_, changed)| *changed) {
            let what = "changed".to_string();
            self.0.push(Change { subject: subject.to_string(), what, needs_restart: true });
        }
        let at_once = [
            ("trusted proxies", old.server.trusted_proxies != new.server.trusted_proxies),
            ("resolvers", old.server.resolvers != new.server.resolvers),
            ("client limits", old.server.client != new.server.client),
            ("commands of hooks", old.server.allow_commands != new.server.allow_commands),
            ("drain time", old.server.drain != new.server.drain),
        ];
        for (subject, _) in at_once.iter().filter(|(_, changed)| *changed) {
            self.add(*subject, "changed");
        }
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

    fn set<T: Display + PartialEq>(&mut self, kind: &str, old: &[T], new: &[T]) {
        for item in old.iter().filter(|item| !new.contains(item)) {
            self.add(format!("{kind} {item}"), "removed");
        }
        for item in new.iter().filter(|item| !old.contains(item)) {
            self.add(format!("{kind} {item}"), "added");
        }
    }

    fn notify(&mut self, old: &Config, new: &Config) {
        let find = |config: &Config, name: &str| {
            config.notify.iter().find(|target| &*target.name == name).cloned()
        };
        for target in old.notify.iter().filter(|target| find(new, &target.name).is_none()) {
            self.add(format!("notify {}", target.name), "removed");
        }
        for target in &new.notify {
            match find(old, &target.name) {
                None => self.add(format!("notify {}", target.name), "added"),
                Some(before) if before != *target => {
                    self.add(format!("notify {}", target.name), "changed");
                }
                Some(_) => {}
            }
        }
    }

    fn service(&mut self, old: &Service, new: &Service, live: &Live) {
        let subject = format!("service {}", new.name);
        let split = self.split(old, new, live);
        self.recognition(old, new, &split);
        let settings = [
            ("fallback", old.stability.fallback != new.stability.fallback),
            ("maintenance", old.stability.maintenance != new.stability.maintenance),
            ("mirror", old.mirror != new.mirror),
            ("rollout hooks", old.rollout.hooks != new.rollout.hooks),
            ("smoke requests", old.rollout.smoke != new.rollout.smoke),
        ];
        for (what, _) in settings.iter().filter(|(_, changed)| *changed) {
            self.add(&subject, format!("{what} changed"));
        }
        for what in changed_settings(old, new) {
            self.add(&subject, what);
        }
        self.pools(old, new, live, &split);
    }
}

fn named(services: &[std::sync::Arc<str>]) -> String {
    if services.is_empty() { "none".to_string() } else { services.join(", ") }
}

#[cfg(test)]
mod tests;

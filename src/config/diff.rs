//! What a reload would change: two configs and the splits in force in, lines for people out.

mod settings;

use std::collections::BTreeMap;
use std::fmt::Display;

use self::settings::changed_settings;
use super::{Config, Flag, Service};
use crate::route::Route;
use crate::split::Split;

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

/// All differences, in the order of the file's parts; none if a reload would change nothing.
/// `live` tells the split in force of a service, which may have been shifted since it was read.
pub fn diff(old: &Config, new: &Config, live: impl Fn(&str) -> Option<Split>) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.server(old, new);
    changes.set("listener", &old.listeners, &new.listeners);
    let routes = |config: &Config| -> Vec<String> {
        config.routes.iter().map(|route| describe(route, config)).collect()
    };
    changes.set("route", &routes(old), &routes(new));
    let by_name = |config: &Config| -> BTreeMap<_, _> {
        config.services.iter().map(|service| (service.name.clone(), service.clone())).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        changes.add(format!("service {name}"), "removed");
    }
    for (name, service) in &after {
        match before.get(name) {
            None => changes.add(format!("service {name}"), format!("added, {}", service.split)),
            Some(before) => {
                let live = live(name).unwrap_or_else(|| before.split.clone());
                changes.service(before, service, &live);
            }
        }
    }
    changes.notify(old, new);
    changes.flags(&old.flags, &new.flags);
    changes.0
}

/// What a reload gives up of the upstreams that were changed at run time: a pool that is edited in
/// the file is as the file has it.
pub fn given_up<'c>(
    old: &Config,
    new: &Config,
    changed: impl Iterator<Item = (&'c str, &'c str)>,
) -> Vec<Change> {
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

    fn flags(&mut self, old: &[Flag], new: &[Flag]) {
        let find =
            |list: &[Flag], name: &str| list.iter().find(|flag| &*flag.name == name).cloned();
        for flag in old.iter().filter(|flag| find(new, &flag.name).is_none()) {
            self.add(format!("flag {}", flag.name), "removed");
        }
        for flag in new {
            let subject = format!("flag {}", flag.name);
            let Some(before) = find(old, &flag.name) else {
                let of = named(&flag.services);
                self.add(subject, format!("added, {} % of {of}", flag.percent));
                continue;
            };
            if before.percent != flag.percent {
                self.add(&subject, format!("{} % → {} %", before.percent, flag.percent));
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

    fn service(&mut self, old: &Service, new: &Service, live: &Split) {
        let subject = format!("service {}", new.name);
        // An unedited split keeps what was set at run time, as long as its pools are there.
        let takes_effect = old.split != new.split || live.check_pools(&new.pool_names()).is_err();
        if takes_effect && *live != new.split {
            self.add(&subject, format!("split {live} → {}", new.split));
        }
        let settings = [
            ("stickiness", old.sticky != new.sticky),
            ("override", old.opt_in != new.opt_in),
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
        for pool in old.pools.iter().filter(|pool| new.pool(&pool.name).is_none()) {
            self.add(format!("pool {}/{}", new.name, pool.name), "removed");
        }
        for pool in &new.pools {
            let of = format!("pool {}/{}", new.name, pool.name);
            let Some(before) = old.pool(&pool.name) else {
                self.add(of, format!("added with {} upstreams", pool.upstreams.len()));
                continue;
            };
            let find = |list: &[(_, u16)], wanted: &_| {
                list.iter().find(|(address, _)| address == wanted).map(|(_, weight)| *weight)
            };
            for (address, _) in &before.upstreams {
                if find(&pool.upstreams, address).is_none() {
                    self.add(&of, format!("upstream {address} removed"));
                }
            }
            for (address, weight) in &pool.upstreams {
                match find(&before.upstreams, address) {
                    None => self.add(&of, format!("upstream {address} added")),
                    Some(old) if old != *weight => {
                        self.add(&of, format!("upstream {address} weight {old} → {weight}"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

fn named(services: &[std::sync::Arc<str>]) -> String {
    if services.is_empty() { "none".to_string() } else { services.join(", ") }
}

fn describe(route: &Route, config: &Config) -> String {
    let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
    let hosts = if hosts.is_empty() { "any host".to_string() } else { hosts.join(",") };
    let mut text = format!("{hosts} {}", route.path);
    for method in &route.methods {
        text.push_str(&format!(" {method}"));
    }
    for condition in &route.headers {
        text.push_str(&format!(
            " {}={}",
            condition.name,
            condition.value.as_deref().unwrap_or("*")
        ));
    }
    text + &format!(" → {}", config.services[route.service].name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_changed_are_told_with_both_values() {
        let parse = |text: &str| Config::parse(text).unwrap().0;
        let between = |old: &str, new: &str| -> Vec<String> {
            let of = |lines| parse(&OLD.replace("[services.shop.pools]", lines));
            let pools = "\n[services.shop.pools]";
            let (old, new) = (of(&format!("{old}{pools}")), of(&format!("{new}{pools}")));
            let lines = diff(&old, &new, |_| None);
            lines.iter().map(|line| line.to_string().replace("service shop: ", "")).collect()
        };
        let lines = between(
            "health = { http = { path = \"/a\" } }\nbreaker = false",
            "health = { tcp = true, fall = 5 }\ntimeouts.connect = \"250ms\"\nejection = false\n\
             retries = { attempts = 2, statuses = [503], try = \"1s\" }\n\
             balance.by = \"round-robin\"\nlimits.in_flight = 10",
        );
        assert_eq!(
            lines,
            [
                "maintenance changed",
                "timeouts.connect 1s → 250ms",
                "health.probe http GET /a → tcp",
                "health.fall 3 → 5",
                "ejection on → off",
                "breaker off → on",
                "retries.attempts 1 → 2",
                "retries.statuses none → 503",
                "retries.try none → 1s",
                "balance.by latency → round-robin",
                "limits.in_flight none → 10",
            ]
        );
        let lines = between(
            "health = { http = { path = \"/a\" } }",
            "health = { http = { path = \"/a\", statuses = [204] } }",
        );
        assert_eq!(lines, ["health changed"]);
        assert_eq!(between("breaker.open = \"5s\"", ""), [""; 0]);
    }

    const OLD: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"
[services.shop]
split = { blue = 100 }
[services.shop.pools]
blue.upstreams = ["a:1", "b:1"]
green.upstreams = ["c:1"]
"#;

    #[test]
    fn each_difference_is_a_line() {
        let new = OLD
            .replace("8080", "8081")
            .replace("blue = 100", "blue = 90, green = 10")
            .replace("\"b:1\"", "{ address = \"a2:1\", weight = 5 }")
            .replace("green.upstreams", "black.upstreams = []\ngreen.upstreams");
        let parse = |text: &str| Config::parse(text).unwrap().0;
        let lines: Vec<String> =
            diff(&parse(OLD), &parse(&new), |_| None).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "listener 127.0.0.1:8080: removed",
                "listener 127.0.0.1:8081: added",
                "service shop: split blue=100 → blue=90 green=10",
                "pool shop/black: added with 0 upstreams",
                "pool shop/blue: upstream b:1 removed",
                "pool shop/blue: upstream a2:1 added",
            ]
        );
        assert_eq!(diff(&parse(OLD), &parse(OLD), |_| None), []);
    }

    #[test]
    fn a_split_is_compared_with_the_one_in_force() {
        let parse = |text: &str| Config::parse(text).unwrap().0;
        let shifted = |_: &str| Some(Split::all_to("green".into()));
        let of = |new: &str| -> Vec<String> {
            diff(&parse(OLD), &parse(new), shifted).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(OLD), [""; 0]);
        let edited = OLD.replace("blue = 100", "blue = 90, green = 10");
        assert_eq!(of(&edited), ["service shop: split green=100 → blue=90 green=10"]);
        let gone = OLD.replace("green.upstreams = [\"c:1\"]\n", "");
        assert_eq!(
            of(&gone),
            ["service shop: split green=100 → blue=100", "pool shop/green: removed"]
        );
    }
}

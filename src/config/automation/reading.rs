//! One table of `[automation]` while it is read: each key in, the [`Rule`] out.

use std::ops::Range;
use std::sync::Arc;

use super::super::rollout::run;
use super::super::section::{Found, Section, section_of, wrong_kind};
use super::super::server::network;
use super::super::suggestion::nearest;
use super::super::values::path;
use super::super::{Problem, Problems, Service, web_address};
use super::{Beside, DAY, DEEDS};
use crate::automation::{Adds, Each, Rule, Then, When};
use crate::rollout::Hook;

/// A rule while it is read.
pub(super) struct Reading<'r> {
    pub name: &'r Found<&'r str>,
    pub names: &'r [&'r str],
    pub beside: &'r Beside<'r>,
    pub problems: &'r mut Problems,
}

/// What a rule looks at and the places of the words that say so.
pub(super) struct Of<'s> {
    pub service: Option<&'s Service>,
    /// The name, also where its service could not be read.
    pub named: Option<Arc<str>>,
    pub pool: Option<Arc<str>>,
}

impl<'r> Reading<'r> {
    pub fn rule(mut self, mut section: Section<'_>, name: Option<Arc<str>>) -> Option<Rule> {
        let of = self.of(&mut section);
        let each_place = section.place("each");
        let each = section.word(self.problems, "each", |word| match word {
            "pool" => Some(Each::Whole),
            "upstream" => Some(Each::Upstream),
            _ => None,
        });
        let (when, when_place) = self.when(&mut section, &of);
        let lasts = section.time(self.problems, "for");
        let then_place = section.place("then");
        let then = self.then(&mut section);
        let adds_place = section.place("adds");
        let adds = section.table_if_given(self.problems, "adds").map(|section| self.adds(section));
        let back_place = section.place("back");
        let back = section.time_if_given(self.problems, "back");
        let at_most = section.number(self.problems, "at_most");
        let per = section.time(self.problems, "per");
        let cooldown = section.time(self.problems, "cooldown");
        let escalate_to = self.target(&mut section);
        let dry_run = section.boolean(self.problems, "dry_run");
        section.close(self.problems);
        let (when, then) = (when?, then?);
        let by_itself = match when {
            When::Down { .. } => Each::Upstream,
            _ => Each::Whole,
        };
        let each = each.unwrap_or(by_itself);
        let rule = Rule {
            name: name?,
            service: of.named.clone(),
            pool: of.pool.clone(),
            each,
            when,
            lasts,
            then,
            adds,
            back,
            at_most,
            per,
            cooldown,
            escalate_to,
            dry_run,
        };
        let places = Places {
            each: each_place,
            when: when_place,
            then: then_place,
            adds: adds_place,
            back: back_place,
        };
        self.check(&rule, &of, &places);
        Some(rule)
    }

    pub fn error(&mut self, place: Range<usize>, message: impl Into<String>, help: &str) {
        self.problems.0.push(Problem::error(place, message).help(help));
    }

    /// The service and the pool that it names.
    fn of(&mut self, section: &mut Section<'_>) -> Of<'r> {
        let services = self.beside.services;
        let find = |text: &str| {
            let place = services.binary_search_by(|known| (*known.name).cmp(text)).ok();
            place.ok_or_else(|| unknown("service", text, services.iter().map(|it| &*it.name)))
        };
        let found = section.text(self.problems, "service", find);
        let found = found.map(|found| &services[found.value]);
        let service = found.and_then(|found| found.value.as_ref());
        let named = found.map(|found| Arc::from(&*found.name));
        let pool_place = section.place("pool");
        let pool = section.text(self.problems, "pool", |text| match service {
            None => Ok(Arc::from(text)),
            Some(service) => match service.pool(text) {
                Some(pool) => Ok(pool.name.clone()),
                None => Err(unknown("pool", text, service.pools.iter().map(|pool| &*pool.name))),
            },
        });
        if pool.is_some() && !section.has("service") {
            self.error(pool_place, "a `pool` of no service", "name its `service` beside it");
        }
        Of { service, named, pool: pool.map(|pool| pool.value) }
    }

    fn target(&mut self, section: &mut Section<'_>) -> Option<Arc<str>> {
        let targets = self.beside.targets;
        let find = |text: &str| match targets.iter().find(|target| *target.name == *text) {
            Some(target) => Ok(target.name.clone()),
            None => Err(unknown("target of [[notify]]", text, targets.iter().map(|it| &*it.name))),
        };
        section.text(self.problems, "escalate_to", find).map(|found| found.value)
    }

    /// What it waits for; exactly one thing.
    fn when(&mut self, rule: &mut Section<'_>, of: &Of<'_>) -> (Option<When>, Range<usize>) {
        let place = rule.place("when");
        let Some(mut section) = rule.table_if_given(self.problems, "when") else {
            if !rule.has("when") {
                let message = format!("rule `{}` does not say `when`", self.name.value);
                self.error(self.name.span.clone(), message, "for example: when = { down = 1 }");
            }
            return (None, place);
        };
        let problems = &mut *self.problems;
        let down = section.number_if_given(problems, "down").map(|times| When::Down { times });
        let saturation = section.decimal(problems, "saturation").map(When::Saturation);
        let requests = section.number(problems, "requests");
        let percent = section.decimal(problems, "error_rate");
        let errors = percent.map(|percent| When::ErrorRate { percent, requests });
        let p99 = section.time_if_given(problems, "latency");
        let latency = p99.map(|p99| When::Latency { p99, requests });
        let burn = section.decimal(problems, "burn").map(When::Burn);
        let (own, names) = (self.name.value, self.names);
        let failed = section.text(problems, "failed", |text| match names.contains(&text) {
            _ if text == own => Err("a rule cannot wait for itself".to_string()),
            true => Ok(When::Failed(text.into())),
            false => Err(unknown("rule", text, names.iter().copied())),
        });
        let days: Option<u64> = section.number_if_given(problems, "certificate_days");
        let certificate = days.map(|days| When::Certificate(DAY * days as u32));
        let head_room = section.decimal(problems, "head_room").map(When::HeadRoom);
        const CONDITIONS: [&str; 8] = [
            "down",
            "saturation",
            "error_rate",
            "latency",
            "burn",
            "failed",
            "certificate_days",
            "head_room",
        ];
        let given = CONDITIONS.iter().filter(|key| section.has(key)).count();
        let counts = section.has("error_rate") || section.has("latency");
        let requests_place = section.place("requests");
        let has_requests = section.has("requests");
        section.close(problems);
        let failed = failed.map(|found| found.value);
        let all = [down, saturation, errors, latency, burn, failed, certificate, head_room];
        if given != 1 {
            let message = match given {
                0 => "`when` says nothing to wait for",
                _ => "`when` says several things to wait for",
            };
            let known = CONDITIONS.map(|key| format!("`{key}`")).join(", ");
            self.error(place.clone(), message, &format!("one of {known}"));
            return (None, place);
        }
        if has_requests && !counts {
            let message = "`requests` goes with `error_rate` and `latency`";
            self.error(requests_place, message, "leave it out");
        }
        let when = all.into_iter().flatten().next();
        let needs_service = !matches!(when, Some(When::Failed(_) | When::Certificate(_)) | None);
        if needs_service && of.named.is_none() && !rule.has("service") {
            let message = format!("rule `{}` names no `service`", self.name.value);
            self.error(self.name.span.clone(), message, "for example: service = \"shop\"");
        }
        (when, place)
    }

    /// What it does.
    fn then(&mut self, rule: &mut Section<'_>) -> Option<Then> {
        let declared = rule.table_of("then");
        let Some(value) = rule.value("then") else {
            let message = format!("rule `{}` does not say what to do `then`", self.name.value);
            self.error(self.name.span.clone(), message, "for example: then = \"notify\"");
            return None;
        };
        if let Some(word) = value.get_ref().as_str() {
            let deed = deed(word, None);
            if deed.is_none() {
                let label = match nearest(word, DEEDS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known are {}", DEEDS.join(", ")),
                };
                let problem = Problem::error(value.span(), "bad value for `then`").label(label);
                self.problems.0.push(problem);
            }
            return deed;
        }
        if value.get_ref().as_table().is_none() {
            let wanted = "a word, or a table with `do`, `url` or `run`";
            self.problems.0.push(wrong_kind("then", value, wanted));
            return None;
        }
        let mut section = section_of(self.problems, "then", "then".into(), declared, value)?;
        let given = ["do", "url", "run"].iter().filter(|key| section.has(key)).count();
        if given != 1 {
            let help = "one of `do`, `url` and `run`";
            self.error(value.span(), "`then` says one thing to do", help);
        }
        let is_web = section.has("url");
        let problems = &mut *self.problems;
        let word = section.word(problems, "do", |word| deed(word, None).map(|_| word.to_string()));
        let message_place = section.place("message");
        let message = section.text(problems, "message", |text| match text.trim().is_empty() {
            true => Err("expected some words"),
            false => Ok(text.to_string()),
        });
        let url =
            section.text(problems, "url", |text: &str| web_address(text).map(|_| text.to_string()));
        let secret_place = section.place("secret_file");
        let secret_file = section.text(problems, "secret_file", path);
        let run = run(&mut section, problems, self.beside.allows_commands);
        let timeout = section.time(problems, "timeout");
        section.close(problems);
        if message.is_some() && word.as_deref() != Some("maintenance") {
            let help = "leave it out, or do = \"maintenance\"";
            self.error(message_place, "`message` goes with `maintenance`", help);
        }
        if secret_file.is_some() && !is_web {
            let message = "`secret_file` signs calls of a `url`: nothing else is signed";
            self.error(secret_place, message, "leave it out");
        }
        if given != 1 {
            return None;
        }
        let secret_file = secret_file.map(|found| found.value);
        match (word, url, run) {
            (Some(word), ..) => deed(&word, message.map(|found| found.value)),
            (_, Some(url), _) => {
                Some(Then::Call(Hook::Webhook { url: url.value, secret_file, timeout }))
            }
            (.., Some(run)) => Some(Then::Call(Hook::Command { run, timeout })),
            _ => None,
        }
    }

    fn adds(&mut self, mut section: Section<'_>) -> Adds {
        let place = section.span.clone();
        let instances = section.number(self.problems, "instances");
        let before = self.problems.0.len();
        let networks = section.texts(self.problems, "networks", network);
        if networks.is_empty() && self.problems.0.len() == before {
            let help = "for example: networks = [\"10.0.0.0/8\"]";
            self.error(place, "`adds` names no `networks` that instances may be in", help);
        }
        let quiet = section.time(self.problems, "quiet");
        section.close(self.problems);
        Adds { instances, networks: networks.into_iter().map(|found| found.value).collect(), quiet }
    }

    pub fn warn(&mut self, place: Range<usize>, message: impl Into<String>, help: &str) {
        self.problems.0.push(Problem::error(place, message).help(help).warning());
    }
}

/// Where in the file a rule says what.
pub(super) struct Places {
    pub each: Range<usize>,
    pub when: Range<usize>,
    pub then: Range<usize>,
    pub adds: Range<usize>,
    pub back: Range<usize>,
}

fn deed(word: &str, message: Option<String>) -> Option<Then> {
    Some(match word {
        "drain" => Then::Drain,
        "open-breaker" => Then::OpenBreaker,
        "pause-rollout" => Then::PauseRollout,
        "abort-rollout" => Then::AbortRollout,
        "maintenance" => Then::Maintenance { message },
        "notify" => Then::Notify,
        _ => return None,
    })
}

fn unknown<'k>(what: &str, given: &str, known: impl Iterator<Item = &'k str>) -> String {
    match nearest(given, known) {
        Some(near) => format!("no {what} is named `{given}`; did you mean `{near}`?"),
        None => format!("no {what} is named `{given}`"),
    }
}

//! How a service moves from one version to the next: its table in, checked settings out.
//!
//! Whether a rollout can be started with them depends on the split of that moment, and is said by
//! [`Plan::new`](crate::rollout::Plan::new).

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use http::header::HeaderValue;
use toml::Spanned;
use toml::de::DeValue;

use super::section::{Section, nearest, section_of, text_of, wrong_kind};
use super::values::{header_name, percent, warn_if_above};
use super::{Problem, Problems, web_address};
use crate::judge::Guard;
use crate::rollout::{Hook, Hooks, RolloutSettings, Smoke, Strategy};
use crate::split::BasisPoints;

/// For a hook or a smoke request that says nothing else.
const TIMEOUT: Duration = Duration::from_secs(10);

/// For a deploy hook that says nothing else: a version is put on a machine in minutes.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(600);

/// Fields of a smoke request that follow from whom it goes to and what it holds.
const OURS: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];

/// Reads a service's table on rollouts. `allows_commands`: whether hooks may run commands.
pub(super) fn rollout(
    service: &mut Section<'_>,
    problems: &mut Problems,
    allows_commands: bool,
) -> RolloutSettings {
    let default = RolloutSettings::default();
    let Some(mut section) = service.section(problems, "rollout") else { return default };
    let guard = section.section(problems, "guard").map(|section| guard(section, problems));
    let smoke = section.sections(problems, "smoke");
    let hooks = section.section(problems, "hooks");
    // One that is there and wrong has been told of already.
    let has_deploy = hooks.as_ref().is_some_and(|hooks| hooks.has("deploy"));
    let hooks = hooks.map(|section| hooks_of(section, problems, allows_commands));
    let settings = RolloutSettings {
        strategy: strategy(&mut section, problems).unwrap_or_default(),
        steps: steps(&mut section, problems).unwrap_or(default.steps),
        hold: section.wait(problems, "hold").unwrap_or(default.hold),
        min_requests: section
            .number(problems, "min_requests", 0..=1_000_000_000)
            .unwrap_or(default.min_requests),
        longest_step: section.duration(problems, "longest_step").unwrap_or(default.longest_step),
        guard: guard.unwrap_or_default(),
        watch: section.wait(problems, "watch").unwrap_or(default.watch),
        ready_within: section.duration(problems, "ready_within").unwrap_or(default.ready_within),
        drain: section.duration(problems, "drain").unwrap_or(default.drain),
        at_once: section
            .number(problems, "at_once", 1..=1_000)
            .map_or(default.at_once, |number| number as usize),
        smoke: smoke.into_iter().filter_map(|section| smoke_of(section, problems)).collect(),
        hooks: hooks.unwrap_or_default(),
        judging: default.judging,
    };
    let (hold, longest) = (settings.hold, settings.longest_step);
    warn_if_above(&section, problems, ("hold", hold), ("longest_step", longest));
    if settings.strategy == Strategy::Rolling && !has_deploy {
        let message = "a rolling rollout cannot be started without a `deploy` hook";
        let problem = Problem::error(section.place("strategy"), message).warning();
        let help = "it puts the new version on an upstream, for example \
                    `hooks.deploy = \"https://deploy.internal/shop\"`";
        problems.0.push(problem.help(help));
    }
    section.close(problems);
    settings
}

fn strategy(section: &mut Section<'_>, problems: &mut Problems) -> Option<Strategy> {
    let known = Strategy::ALL.map(Strategy::name);
    let read = |text: &str| {
        let found = Strategy::ALL.into_iter().find(|strategy| strategy.name() == text);
        found.ok_or_else(|| match nearest(text, known.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        })
    };
    section.text(problems, "strategy", read).map(|found| found.value)
}

/// Shares of the target, rising from above nothing to the whole.
fn steps(section: &mut Section<'_>, problems: &mut Problems) -> Option<Vec<BasisPoints>> {
    let value = section.value("steps")?;
    let Some(list) = value.get_ref().as_array() else {
        let problem = wrong_kind("steps", value, "a list of percentages");
        problems.0.push(problem.help("for example `steps = [1, 10, 50, 100]`"));
        return None;
    };
    let before = problems.0.len();
    let mut steps: Vec<BasisPoints> = Vec::new();
    for item in list.iter() {
        let mistake = match percent(item) {
            Ok(share) if share == BasisPoints::NONE => "a step gives the target something".into(),
            Ok(share) if steps.last().is_some_and(|last| *last >= share) => {
                "each step is larger than the one before".into()
            }
            Ok(share) => {
                steps.push(share);
                continue;
            }
            Err(error) => error,
        };
        problems.0.push(Problem::error(item.span(), "bad step").label(mistake));
    }
    if problems.0.len() > before {
        return None;
    }
    if steps.last() != Some(&BasisPoints::WHOLE) {
        let problem = Problem::error(value.span(), "the steps do not end with 100").warning();
        problems.0.push(problem.label("a last step of 100 is added"));
        steps.push(BasisPoints::WHOLE);
    }
    Some(steps)
}

fn guard(mut section: Section<'_>, problems: &mut Problems) -> Guard {
    let default = Guard::default();
    let errors = section.value("errors").and_then(|value| {
        let mistake = match percent(value) {
            Ok(share) if share > BasisPoints::NONE => return Some(share),
            Ok(_) => "at 0 a single failure would end every rollout".into(),
            Err(error) => error,
        };
        let problem = Problem::error(value.span(), "bad value for `errors`");
        problems.0.push(problem.label(mistake));
        None
    });
    let guard = Guard {
        errors: errors.unwrap_or(default.errors),
        requests: section
            .number(problems, "requests", 1..=1_000_000_000)
            .unwrap_or(default.requests),
        within: section.duration(problems, "within").unwrap_or(default.within),
    };
    section.close(problems);
    guard
}

fn smoke_of(mut section: Section<'_>, problems: &mut Problems) -> Option<Smoke> {
    let path = section.text(problems, "path", |text| match text.starts_with('/') {
        true => text.parse::<http::uri::PathAndQuery>().map_err(|error| error.to_string()),
        false => Err("a path begins with `/`".to_string()),
    });
    if !section.has("path") {
        let problem = Problem::error(section.span.clone(), "a smoke request needs a `path`");
        problems.0.push(problem.help("for example `path = \"/healthz\"`"));
    }
    let method = section.text(problems, "method", |text| match text.parse::<Method>() {
        Ok(method) if method != Method::CONNECT => Ok(method.to_string()),
        _ => Err("not a method that can be sent, such as `GET`"),
    });
    let text = |text: &str| Ok::<_, &str>(text.to_string());
    let headers = section.section(problems, "headers").map(|section| fields(section, problems));
    let smoke = Smoke {
        method: method.map_or_else(|| "GET".to_string(), |found| found.value),
        path: path.as_ref().map(|found| found.value.to_string()).unwrap_or_default(),
        headers: headers.unwrap_or_default(),
        body: section.text(problems, "body", text).map(|found| found.value),
        status: section.number(problems, "status", 200..=599).map(|number| number as u16),
        contains: section.text(problems, "contains", text).map(|found| found.value),
        timeout: section.duration(problems, "timeout").unwrap_or(TIMEOUT),
    };
    section.close(problems);
    path.map(|_| smoke)
}

/// Header fields, in name order.
fn fields(section: Section<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (key, value) in section.entries() {
        match header_name(key.value) {
            Ok(name) if OURS.contains(&name.as_str()) => {
                let message = format!("`{name}` cannot be set: Pointsman writes it itself");
                problems.0.push(Problem::error(key.span, message));
            }
            Ok(name) => {
                let read = |text: &str| {
                    let fits = text.is_ascii() && HeaderValue::from_str(text).is_ok();
                    fits.then(|| text.to_string())
                        .ok_or("expected visible ASCII characters and spaces")
                };
                let found = text_of(problems, key.value, value, read);
                fields.extend(found.map(|found| (name.to_string(), found.value)));
            }
            Err(error) => {
                problems.0.push(Problem::error(key.span, "bad header").label(error));
            }
        }
    }
    fields.sort();
    fields
}

fn hooks_of(mut section: Section<'_>, problems: &mut Problems, allows_commands: bool) -> Hooks {
    let mut read = |key| {
        let value = section.value(key)?;
        hook(key, value, problems, allows_commands)
    };
    let hooks = Hooks {
        before_start: read("before_start"),
        expand: read("expand"),
        before_step: read("before_step"),
        before_promote: read("before_promote"),
        after_promote: read("after_promote"),
        after_rollback: read("after_rollback"),
        contract: read("contract"),
        deploy: read("deploy"),
    };
    section.close(problems);
    hooks
}

/// `"https://…"`, `{ url, secret_file, timeout }` or `{ run, timeout }`.
fn hook(
    key: &'static str,
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems,
    allows_commands: bool,
) -> Option<Hook> {
    let address = |text: &str| web_address(text).map(|_| text.to_string());
    let default = if key == "deploy" { DEPLOY_TIMEOUT } else { TIMEOUT };
    if value.get_ref().as_str().is_some() {
        let url = text_of(problems, key, value, address)?.value;
        return Some(Hook::Webhook { url, secret_file: None, timeout: default });
    }
    if value.get_ref().as_table().is_none() {
        problems.0.push(wrong_kind(key, value, "an address, or a table with `url` or `run`"));
        return None;
    }
    let mut section = section_of(problems, key, format!("hooks.{key}"), value)?;
    let (is_web, is_command) = (section.has("url"), section.has("run"));
    if is_web == is_command {
        let message = format!("the hook `{key}` has either a `url` or a command to `run`");
        problems.0.push(Problem::error(value.span(), message));
    }
    let url = section.text(problems, "url", address);
    let run = run(&mut section, problems, allows_commands);
    let secret_file = section.text(problems, "secret_file", |text| match text.is_empty() {
        true => Err("expected a path"),
        false => Ok(PathBuf::from(text)),
    });
    if let (Some(found), true, false) = (&secret_file, is_command, is_web) {
        let message = "`secret_file` signs calls of a `url`: a command is not signed";
        problems.0.push(Problem::error(found.span.clone(), message));
    }
    let timeout = section.duration(problems, "timeout").unwrap_or(default);
    section.close(problems);
    let secret_file = secret_file.map(|found| found.value);
    match (url, run) {
        (Some(url), None) => Some(Hook::Webhook { url: url.value, secret_file, timeout }),
        (None, Some(run)) => Some(Hook::Command { run, timeout }),
        _ => None,
    }
}

/// Program and arguments, if commands are allowed.
fn run(
    section: &mut Section<'_>,
    problems: &mut Problems,
    allows_commands: bool,
) -> Option<Vec<String>> {
    let value = section.value("run")?;
    if value.get_ref().as_array().is_none() {
        let problem = wrong_kind("run", value, "a list of a program and its arguments");
        problems.0.push(problem.help("there is no shell: `run = [\"/usr/bin/deploy\", \"shop\"]`"));
        return None;
    }
    let words = section.texts(problems, "run", |text| Ok::<_, &str>(text.to_string()));
    let words: Vec<String> = words.into_iter().map(|found| found.value).collect();
    if words.first().is_none_or(|program| program.is_empty()) {
        problems.0.push(Problem::error(value.span(), "`run` names no program"));
        return None;
    }
    if !allows_commands {
        let problem = Problem::error(value.span(), "this file does not allow commands");
        let help = "commands run as the user that Pointsman runs as; if that is meant, set \
                    `allow_commands = true` in `[server]`";
        problems.0.push(problem.help(help));
        return None;
    }
    Some(words)
}

#[cfg(test)]
mod tests;

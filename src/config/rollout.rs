//! How a service moves from one version to the next: its table in, checked settings out.
//!
//! Whether a rollout can be started with them depends on the split of that moment, and is said by
//! [`Plan::new`](crate::rollout::Plan::new).

use std::time::Duration;

use http::Method;
use http::header::HeaderName;

use super::judge::judge;
use super::key::{
    Key, Kind, Shape, Table, Without, free, mins, number, number_option, secs, share, table, text,
    text_option, texts, time, wait, word,
};
use super::section::{Section, section_of, text_of, wrong_kind};
use super::values::{headers, path, percent, warn_if_above};
use super::{Problem, Problems, web_address};
use crate::judge::Guard;
use crate::rollout::{Hook, Hooks, MOST_REQUESTS, RolloutSettings, Smoke, Strategy};
use crate::split::BasisPoints;

/// For a hook or a smoke request that says nothing else.
const TIMEOUT: Duration = Duration::from_secs(10);

/// For a deploy hook that says nothing else: a version is put on a machine in minutes.
const DEPLOY_TIMEOUT: Duration = Duration::from_secs(600);

/// Fields of a smoke request that follow from whom it goes to and what it holds.
const OURS: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];

pub(super) static ROLLOUT: Table = Table::new(
    "How the service moves from one pool to another: `pointsman rollout start shop --to green`. What \
     is edited here counts for the next rollout; one under way keeps what it began with, except whom its \
     hooks and its Prometheus question call: that is taken from the config in force.",
    &[
        word("strategy", &["canary", "blue-green", "all-at-once", "rolling"]).about(
            "in steps; \"blue-green\": one switch, the old pool kept warm; \"all-at-once\": one \
             switch, without smoke requests and watch; \"rolling\": inside one pool, upstream by \
             upstream",
        ),
        free("steps", "[1, 5, 10, 25, 50, 100]")
            .shape(Shape::Steps)
            .about("canary: percent of the target, rising, up to two decimals"),
        wait("hold", mins(1)).about("canary: how long a step lasts at least; may be \"0s\""),
        number("min_requests", (0, MOST_REQUESTS), 500)
            .about("canary: requests at the target that each step wants; may be 0"),
        time("longest_step", mins(30))
            .about("canary: how long a step waits for them; then it pauses"),
        wait("watch", mins(10))
            .about("how long the old pool stays warm after the last step; may be \"0s\""),
        time("ready_within", mins(2))
            .about("for the target to become healthy, and for a renewed upstream"),
        time("drain", secs(30)).about("for requests of the old pool, or of an upstream, to end"),
        number("at_once", (1, 1_000), 1)
            .about("rolling: upstreams that may be out at the same time"),
        table("guard", &GUARD, Without::Defaults),
        Key::of("smoke", Kind::Tables(&SMOKE)),
        table("hooks", &HOOKS, Without::Defaults),
    ],
);

static GUARD: Table = Table::new(
    "When traffic is taken back where there is no judge: `judge.enabled = false`, `--no-judge`, or a \
     rolling rollout, which pauses instead.",
    &[
        share("errors", (0.0, 100.0), 5.0)
            .example("\"5%\"")
            .about("more than this share of the target's requests failed, and twice the old one's"),
        number("requests", (1, 1_000_000_000), 50).about("of at least so many"),
        time("within", mins(10)).about("since it got traffic"),
    ],
);

static SMOKE: Table = Table::new(
    "What every upstream of the target must answer before any user sees it; none by default. One \
     after the other; the first that is not answered as expected ends the rollout. Canary and \
     blue-green.",
    &[
        text_option("path", "\"/healthz\"")
            .example("\"/healthz\"")
            .about("required; with its query"),
        text("method", "GET"),
        Key::of("headers", Kind::Fields)
            .example("{ accept = \"application/json\" }")
            .about("default: none"),
        time("timeout", TIMEOUT),
        text_option("body", "\"{}\"").about("sent with it"),
        number_option("status", (200, 599), "200").about("default: any 2xx").absent("any 2xx"),
        text_option("contains", "\"ok\"").about("a text that the answer's body holds"),
    ],
);

static HOOKS: Table = Table::new(
    "What is called at points of a rollout; none by default. An address alone, or a table: { url, \
     secret_file, timeout } or { run, timeout }. A webhook gets a POST with JSON, and any 2xx lets the \
     rollout go on; a command gets the same on its input, and exit code 0 does: `run` needs \
     allow_commands, and there is no shell. secret_file, beside this file, signs as that of [[notify]] \
     does. Each may be called again after a crash.",
    &[
        hook("before_start", "", "a failure ends the rollout")
            .example("\"https://gate.example.com/start\""),
        hook(
            "expand",
            "\"https://gate.example.com/expand\"",
            "widens the schema; a failure ends it",
        ),
        hook("before_step", "", "before each further step; a failure pauses").example(
            "{ url = \"https://gate.example.com/step\", secret_file = \"gate.key\", timeout = \"10s\" }",
        ),
        hook(
            "before_promote",
            "\"https://gate.example.com/promote\"",
            "before the last step; a failure pauses",
        ),
        hook(
            "after_promote",
            "\"https://gate.example.com/done\"",
            "once all traffic is there, before the watch, which may still take it back; a failure is \
             told",
        ),
        hook("after_rollback", "\"https://gate.example.com/back\"", "a failure is told"),
        hook(
            "contract",
            "\"https://gate.example.com/contract\"",
            "narrows the schema after the watch; the old version cannot run from then on",
        ),
        Key::of("deploy", Kind::Short(&DEPLOY, "url"))
            .option("{ run = [\"/usr/local/bin/deploy\", \"shop\"], timeout = \"10m\" }")
            .about(
                "rolling: puts the new version on an upstream; its timeout is 10m by default, that \
                 of the others 10s",
            ),
    ],
);

const fn hook(name: &'static str, example: &'static str, about: &'static str) -> Key {
    Key::of(name, Kind::Short(&HOOK, "url")).option(example).about(about)
}

static HOOK: Table = Table::new("", &[URL, SECRET_FILE, RUN, time("timeout", TIMEOUT)]);

static DEPLOY: Table = Table::new("", &[URL, SECRET_FILE, RUN, time("timeout", DEPLOY_TIMEOUT)]);

const URL: Key = Key::of("url", Kind::Web);
const SECRET_FILE: Key = text_option("secret_file", "\"gate.key\"");
const RUN: Key = texts("run", &[]);

/// Reads a service's table on rollouts. `allows_commands`: whether hooks may run commands.
pub(super) fn rollout(
    service: &mut Section<'_>,
    problems: &mut Problems,
    allows_commands: bool,
) -> RolloutSettings {
    let mut section = service.table(problems, "rollout");
    let smoke = section.tables(problems, "smoke");
    let hooks = section.table(problems, "hooks");
    // One that is there and wrong has been told of already.
    let has_deploy = hooks.has("deploy");
    let of = |word: &str| Strategy::ALL.into_iter().find(|strategy| strategy.name() == word);
    let settings = RolloutSettings {
        strategy: section.word(problems, "strategy", of).unwrap_or_default(),
        steps: steps(&mut section, problems).unwrap_or_else(|| RolloutSettings::default().steps),
        hold: section.time(problems, "hold"),
        min_requests: section.number(problems, "min_requests"),
        longest_step: section.time(problems, "longest_step"),
        guard: guard(section.table(problems, "guard"), problems),
        watch: section.time(problems, "watch"),
        ready_within: section.time(problems, "ready_within"),
        drain: section.time(problems, "drain"),
        at_once: section.number(problems, "at_once"),
        smoke: smoke.into_iter().filter_map(|section| smoke_of(section, problems)).collect(),
        hooks: hooks_of(hooks, problems, allows_commands),
        judging: judge(service, problems),
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
    let guard = Guard {
        errors: section.share(problems, "errors"),
        requests: section.number(problems, "requests"),
        within: section.time(problems, "within"),
    };
    if guard.errors == BasisPoints::NONE {
        let problem = Problem::error(section.place("errors"), "bad value for `errors`");
        problems.0.push(problem.label("at 0 a single failure would end every rollout"));
    }
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
    let headers = section.table_if_given(problems, "headers");
    let smoke = Smoke {
        method: method.map(|found| found.value).unwrap_or_default(),
        path: path.as_ref().map(|found| found.value.to_string()).unwrap_or_default(),
        headers: headers.map(|section| fields(section, problems)).unwrap_or_default(),
        body: section.text(problems, "body", text).map(|found| found.value),
        status: section.number_if_given(problems, "status"),
        contains: section.text(problems, "contains", text).map(|found| found.value),
        timeout: section.time(problems, "timeout"),
    };
    section.close(problems);
    path.map(|_| smoke)
}

/// Header fields, in name order.
fn fields(section: Section<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let ours = |name: &HeaderName| OURS.contains(&name.as_str());
    let fields = headers(section, problems, ours).into_iter();
    // They are ASCII, so none is lost.
    fields
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
        .collect()
}

fn hooks_of(mut section: Section<'_>, problems: &mut Problems, allows_commands: bool) -> Hooks {
    let mut read = |key| hook_of(&mut section, key, problems, allows_commands);
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
fn hook_of(
    hooks: &mut Section<'_>,
    key: &'static str,
    problems: &mut Problems,
    allows_commands: bool,
) -> Option<Hook> {
    let address = |text: &str| web_address(text).map(|_| text.to_string());
    let declared = hooks.table_of(key);
    let value = hooks.value(key)?;
    if value.get_ref().as_str().is_some() {
        let url = text_of(problems, key, value, address)?.value;
        let timeout = Section::new(key, declared, None, value.span()).time(problems, "timeout");
        return Some(Hook::Webhook { url, secret_file: None, timeout });
    }
    if value.get_ref().as_table().is_none() {
        problems.0.push(wrong_kind(key, value, "an address, or a table with `url` or `run`"));
        return None;
    }
    let mut section = section_of(problems, key, format!("hooks.{key}"), declared, value)?;
    let (is_web, is_command) = (section.has("url"), section.has("run"));
    if is_web == is_command {
        let message = format!("the hook `{key}` has either a `url` or a command to `run`");
        problems.0.push(Problem::error(value.span(), message));
    }
    let url = section.text(problems, "url", address);
    let run = run(&mut section, problems, allows_commands);
    let secret_file = section.text(problems, "secret_file", path);
    if let (Some(found), true, false) = (&secret_file, is_command, is_web) {
        let message = "`secret_file` signs calls of a `url`: a command is not signed";
        problems.0.push(Problem::error(found.span.clone(), message));
    }
    let timeout = section.time(problems, "timeout");
    section.close(problems);
    let secret_file = secret_file.map(|found| found.value);
    match (url, run) {
        (Some(url), None) => Some(Hook::Webhook { url: url.value, secret_file, timeout }),
        (None, Some(run)) => Some(Hook::Command { run, timeout }),
        _ => None,
    }
}

/// Program and arguments, if commands are allowed.
pub(super) fn run(
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

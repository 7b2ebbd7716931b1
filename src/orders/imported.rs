//! What an import brings along: the state that it makes in, what somebody should know before it is
//! there, and what a config would be refused for, out.
//!
//! A plan out of an export is held against what a config may say by the one who knows: it is written
//! as the lines of a file that mean the same, and those are read.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Config, Level};
use crate::rollout::{Hook, HookPoint, Plan, Rollout, Smoke, Strategy, rise};
use crate::state::State;

/// What is said of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// What it holds, a line each.
    pub brings: Vec<String>,
    /// Commands that hooks of its rollouts mean to run, a line each.
    pub commands: Vec<String>,
    /// What a config would be refused for, a line each.
    pub problems: Vec<String>,
}

impl Imported {
    /// Looks at a state that is to be used with this config.
    pub fn of(state: &State, config: &Config) -> Imported {
        let mut imported = Imported::default();
        for name in state.services() {
            let revision = state.newest(name).map_or(0, |newest| newest.number);
            let known = if config.service(name).is_some() { "" } else { ", not in the config" };
            imported.brings.push(format!("service `{name}` at revision {revision}{known}"));
        }
        for (name, flag) in state.flags() {
            imported.brings.push(format!("flag `{name}` at {} %", flag.percent));
        }
        let orders = state.orders().count();
        if orders > 0 {
            imported.brings.push(format!("{orders} orders that stand, such as drains and freezes"));
        }
        for rollout in state.rollouts() {
            let Plan { from, to, .. } = &rollout.plan;
            let line = format!("{}, under way: `{from}` to `{to}`", named(rollout));
            imported.brings.push(line);
            imported.look_at(rollout);
        }
        // One that is over does nothing more, but for a hook whose end nobody has told.
        state.lingering().for_each(|rollout| imported.look_at(rollout));
        imported
    }

    fn look_at(&mut self, rollout: &Rollout) {
        let name = named(rollout);
        for (point, hook) in hooks(&rollout.plan) {
            let point = point.name();
            match hook {
                Hook::Command { run, .. } => {
                    self.commands.push(format!("{name}: {point} runs {run:?}"));
                }
                // What follows the host may be a secret.
                Hook::Webhook { url, .. } => {
                    let host = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
                    self.brings.push(format!("{name}: {point} calls {host}/…"));
                }
            }
        }
        let problems = problems(rollout).into_iter();
        self.problems.extend(problems.map(|problem| format!("{name}: {problem}")));
    }
}

fn named(rollout: &Rollout) -> String {
    format!("rollout {} of `{}`", rollout.id, rollout.service)
}

fn hooks(plan: &Plan) -> impl Iterator<Item = (HookPoint, &Hook)> {
    let points = [
        HookPoint::BeforeStart,
        HookPoint::Expand,
        HookPoint::BeforeStep,
        HookPoint::BeforePromote,
        HookPoint::AfterPromote,
        HookPoint::AfterRollback,
        HookPoint::Contract,
        HookPoint::Deploy { upstream: "".into() },
    ];
    points.into_iter().filter_map(|point| Some((point.clone(), plan.hooks.at(&point)?)))
}

/// What is wrong with a plan.
fn problems(rollout: &Rollout) -> Vec<String> {
    let plan = &rollout.plan;
    let rolls = plan.strategy == Strategy::Rolling;
    let mut problems = Vec::new();
    if (plan.from == plan.to) != rolls {
        problems.push("only a rolling rollout stays in one pool".to_string());
    }
    if !rolls && !rise(&plan.steps) {
        problems.push("its steps do not rise to 100 %".to_string());
    }
    if rolls && plan.hooks.deploy.is_none() {
        problems.push("it is a rolling one without a `deploy` hook".to_string());
    }
    if let Err(refused) = Config::parse(&as_file(rollout)) {
        let errors = refused.0.into_iter().filter(|problem| problem.level == Level::Error);
        problems.extend(errors.map(|problem| match problem.label.as_str() {
            "" => problem.message,
            label => format!("{}: {label}", problem.message),
        }));
    }
    problems
}

/// The lines of a file that say what the plan does.
fn as_file(rollout: &Rollout) -> String {
    let plan = &rollout.plan;
    let service = text(&rollout.service);
    let split = match plan.from == plan.to {
        true => String::new(),
        false => format!("split = {{ {} = 100, {} = 0 }}\n", text(&plan.from), text(&plan.to)),
    };
    let mut file = format!(
        "[server]\nallow_commands = true\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         [services.{service}]\n{split}[services.{service}.rollout]\nstrategy = {}\nhold = {}\nmin_requests = {}\n\
         longest_step = {}\nwatch = {}\nready_within = {}\ndrain = {}\nat_once = {}\n\
         guard = {{ errors = {}, requests = {}, within = {} }}\n",
        text(plan.strategy.name()),
        time(plan.hold),
        plan.min_requests,
        time(plan.longest_step),
        time(plan.watch),
        time(plan.ready_within),
        time(plan.drain),
        plan.at_once,
        text(&format!("{}%", plan.guard.errors)),
        plan.guard.requests,
        time(plan.guard.within),
    );
    // Writing to a text does not fail.
    for Smoke { method, path, headers, body, status, contains, timeout } in &plan.smoke {
        let headers =
            headers.iter().map(|(name, value)| format!("{} = {}", text(name), text(value)));
        let headers = headers.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            file,
            "[[services.{service}.rollout.smoke]]\npath = {}\nmethod = {}\ntimeout = {}\n\
             headers = {{ {headers} }}",
            text(path),
            text(method),
            time(*timeout)
        );
        let texts = [("body", body), ("contains", contains)];
        for (key, value) in
            texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
        {
            let _ = writeln!(file, "{key} = {}", text(value));
        }
        if let Some(status) = status {
            let _ = writeln!(file, "status = {status}");
        }
    }
    let _ = writeln!(file, "[services.{service}.rollout.hooks]");
    for (point, hook) in hooks(plan) {
        let what = match hook {
            Hook::Webhook { url, secret_file, .. } => {
                let file = secret_file.as_ref().map(|file| file.to_string_lossy());
                let file = file.map(|file| format!(", secret_file = {}", text(&file)));
                format!("url = {}{}", text(url), file.unwrap_or_default())
            }
            Hook::Command { run, .. } => {
                let words: Vec<_> = run.iter().map(|word| text(word)).collect();
                format!("run = [{}]", words.join(", "))
            }
        };
        let timeout = time(hook.timeout());
        let _ = writeln!(file, "{} = {{ {what}, timeout = {timeout} }}", point.name());
    }
    if let Some(query) = &plan.judging.prometheus {
        let _ = writeln!(
            file,
            "[services.{service}.judge.prometheus]\nurl = {}\nquery = {}\nabove = {:?}\n\
             interval = {}",
            text(&query.url),
            text(&query.query),
            query.above,
            time(query.interval)
        );
    }
    let mut pools = vec![&plan.from, &plan.to];
    pools.dedup();
    for pool in pools {
        let upstreams = "[\"127.0.0.1:1\", \"127.0.0.1:2\"]";
        let _ =
            writeln!(file, "[services.{service}.pools.{}]\nupstreams = {upstreams}", text(pool));
    }
    file
}

/// As JSON writes it, which is a text of the file's format too, also as a key.
fn text(text: &str) -> String {
    Value::String(text.to_string()).to_string()
}

fn time(length: Duration) -> String {
    format!("\"{}ms\"", length.as_millis())
}

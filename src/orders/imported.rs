//! What an import brings along: the state that it makes in, what somebody should know before it is
//! there, and what a config would be refused for, out.
//!
//! A plan out of an export is held against what a config may say by the one who knows: it is written
//! as the lines of a file that mean the same, and those are read.

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Config, Level};
use crate::judge::JudgeSettings;
use crate::rollout::{Hook, HookPoint, Judging, Plan, Rollout, Smoke, Strategy, rise};
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
    if let Err(refused) = Config::parse(&as_file(&rollout.service, plan)) {
        let errors = refused.0.into_iter().filter(|problem| problem.level == Level::Error);
        problems.extend(errors.map(|problem| match problem.label.as_str() {
            "" => problem.message,
            label => format!("{}: {label}", problem.message),
        }));
    }
    problems
}

/// The lines of a file that say what the plan does.
fn as_file(service: &str, plan: &Plan) -> String {
    let service = text(service);
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
            Hook::Command { run, .. } => format!("run = {}", texts(run)),
        };
        let timeout = time(hook.timeout());
        let _ = writeln!(file, "{} = {{ {what}, timeout = {timeout} }}", point.name());
    }
    file.push_str(&judge(&service, &plan.judging));
    let mut pools = vec![&plan.from, &plan.to];
    pools.dedup();
    for pool in pools {
        let upstreams = "[\"127.0.0.1:1\", \"127.0.0.1:2\"]";
        let _ =
            writeln!(file, "[services.{service}.pools.{}]\nupstreams = {upstreams}", text(pool));
    }
    file
}

/// The lines of the table on judging.
fn judge(service: &str, judging: &Judging) -> String {
    // Nothing is left out: what is new has to say where it is written.
    let Judging { settings, errors, client_errors, metrics, by_user, on_inconclusive, prometheus } =
        judging;
    let JudgeSettings {
        enabled,
        alpha,
        tolerated_ratio,
        tolerated_rate,
        latency_share,
        latency_time,
        gate_ratio,
        gate_rate,
        beta,
        guard,
        bursts,
        budget_share,
        warm_up,
    } = settings;
    let mut lines = format!(
        "[services.{service}.judge]\nenabled = {enabled}\nclient_errors = {client_errors}\n\
         metrics = {}\nrisk = {}\nratio = {tolerated_ratio:?}\nrate = {}\nguard = {}\n\
         bursts = {}\nwarm_up = {}\nbudget = {}\non_inconclusive = {}\n\
         latency = {{ share = {}, time = {} }}\n\
         gate = {{ ratio = {gate_ratio:?}, rate = {}, risk = {} }}\n",
        texts(metrics),
        share(*alpha),
        share(*tolerated_rate),
        share(*guard),
        text(bursts.name()),
        time(*warm_up),
        share(*budget_share),
        text(on_inconclusive.name()),
        share(*latency_share),
        time(*latency_time),
        share(*gate_rate),
        share(*beta),
    );
    if let Some(errors) = errors {
        let _ = writeln!(lines, "errors = {}", texts(errors));
    }
    if let Some(by_user) = by_user {
        let _ = writeln!(lines, "by = {}", text(if *by_user { "users" } else { "requests" }));
    }
    if let Some(query) = prometheus {
        let _ = writeln!(
            lines,
            "[services.{service}.judge.prometheus]\nurl = {}\nquery = {}\nabove = {:?}\n\
             interval = {}",
            text(&query.url),
            text(&query.query),
            query.above,
            time(query.interval)
        );
    }
    lines
}

/// In percent. A share that was read from a file is as many basis points again, which its fraction
/// hits but for what a binary number cannot say.
fn share(fraction: f64) -> String {
    format!("{:?}", (fraction * 1e8).round() / 1e6)
}

fn texts(list: &[String]) -> String {
    let list: Vec<_> = list.iter().map(|one| text(one)).collect();
    format!("[{}]", list.join(", "))
}

/// As JSON writes it, which is a text of the file's format too, also as a key.
fn text(text: &str) -> String {
    Value::String(text.to_string()).to_string()
}

fn time(length: Duration) -> String {
    format!("\"{}s {}ns\"", length.as_secs(), length.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::Wishes;
    use crate::split::Split;

    const FILE: &str = r#"
[server]
allow_commands = true

[[listeners]]
address = "127.0.0.1:0"

[services.shop]
split = { blue = 100, green = 0 }

[services.shop.pools]
blue.upstreams = ["192.0.2.1:80"]
green.upstreams = ["192.0.2.2:80"]

[services.shop.rollout]
steps = [0.01, 7, 100]
hold = "1500us"
min_requests = 1000000000
longest_step = "23h 1ns"
guard = { errors = "0.29%", requests = 7, within = "7m" }
watch = "0s"
ready_within = "3m"
drain = "1us"
at_once = 2
hooks.before_step = { url = "https://a.test/b", secret_file = "c.key", timeout = "1ms" }
hooks.deploy = { run = ["a b", "c"], timeout = "1h" }

[[services.shop.rollout.smoke]]
method = "PUT"
path = "/a?b"
headers = { x-a = "b" }
body = "{}"
status = 204
contains = "c"
timeout = "1s"

[services.shop.judge]
enabled = false
errors = ["5xx", "429"]
client_errors = true
metrics = ["checkout_failed"]
by = "requests"
risk = 0.29
ratio = 1.1
rate = 0.57
guard = 1.13
bursts = "ignore"
warm_up = "59s"
budget = 0.07
on_inconclusive = "rollback"
latency = { share = 8.29, time = "1ms 1us" }
gate = { ratio = 1.7, rate = 0.58, risk = 4.35 }
prometheus = { url = "http://127.0.0.1:9090/a", query = "up", above = -0.1, interval = "1s 1ns" }
"#;

    #[test]
    fn a_plan_that_a_config_made_is_the_same_config_again() {
        let settings = |text: &str| {
            let (config, _) = Config::parse(text).map_err(|problems| problems.0).unwrap();
            config.services[0].rollout.as_ref().clone()
        };
        let made = settings(FILE);
        let pools = [("blue".into(), 1), ("green".into(), 1)];
        let split = Split::all_to("blue".into());
        let plan = Plan::new(&made, &Wishes::default(), &pools, &split).unwrap();
        let mut again = settings(&as_file("shop", &plan));
        // What is left of a plan's steps is held against each other without a file.
        again.steps.clone_from(&made.steps);
        assert_eq!(again, made);
    }
}

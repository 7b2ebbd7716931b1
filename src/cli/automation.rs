//! `automation`: nothing in, what is done by itself and what was out; or a word that stops all of it.

use clap::{Args, ValueEnum};
use http::Method;

use super::api::{Api, Call};
use super::events::moment;
use super::table::fitted;
use super::terminal;
use super::{Ending, Reach, print};
use crate::admin::wire;

/// How many of the last acts are shown.
const SHOWN: usize = 10;

/// Show what is done by itself, or stop all of it.
///
/// Rules stand in `[automation]` of the file (docs/automation.md). `stop` stops all of them at once, until
/// `start`, and over restarts: what they have begun ends, what they have ordered stands.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pointsman automation\n  pointsman automation stop --reason \"it \
                        restarts the wrong thing\"\n  pointsman automation start\n  \
                        pointsman automation --json | jq '.acts[] | select(.outcome != \"done\")'"
)]
pub struct Automation {
    /// What to do; all rules and what they did last are shown if left out.
    #[arg(value_enum)]
    what: Option<What>,
    /// Why; kept, and told to whoever looks.
    #[arg(long, value_name = "TEXT", requires = "what")]
    reason: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

/// What is done with all rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// None of them acts any more.
    Stop,
    /// They may act again.
    Start,
}

impl Automation {
    pub(super) async fn run(self) -> anyhow::Result<Ending> {
        let api = Api(&self.reach);
        let order = |path| {
            let (reason, author) = (self.reason.clone(), Some(super::author()));
            Call::json(Method::POST, path, &wire::OrderAutomation { reason, author })
        };
        let told: wire::Automation = match self.what {
            None => api.ask(Call::get("/v1/automation")).await?,
            Some(What::Stop) => {
                let call = order("/v1/automation/stop");
                api.order(call, || "the rules were not stopped".into()).await?
            }
            Some(What::Start) => {
                let call = order("/v1/automation/start");
                api.order(call, || "the rules were not started".into()).await?
            }
        };
        let columns = terminal::size().map(|(columns, _)| columns);
        print(&match self.reach.json {
            true => serde_json::to_string_pretty(&told)?,
            false => picture(&told, columns),
        });
        Ok(Ending::Done)
    }
}

fn picture(told: &wire::Automation, columns: Option<usize>) -> String {
    let mut lines = Vec::new();
    if let Some(stopped) = &told.stopped {
        let why = stopped.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        lines.push(format!(
            "All rules are stopped since {}, by {}{why}. `pointsman automation start` lets them act again.",
            moment(stopped.at),
            stopped.by
        ));
    }
    if told.rules.is_empty() {
        lines.push("The file has no rules: nothing is done by itself (docs/automation.md).".into());
    } else {
        let headings = ["RULE", "PLACE", "WHEN", "??FOR", "THEN", "STATE", ">DONE", "?LAST"];
        lines.push(fitted(&headings, told.rules.iter().map(row).collect(), columns));
        lines.push(format!(
            "All of them together have acted {} times in the last hour, of {} that they may.",
            told.in_the_last_hour, told.an_hour
        ));
    }
    for rule in told.rules.iter().filter(|rule| !rule.instances.is_empty()) {
        lines.push(format!("{} has added {}.", rule.name, rule.instances.join(", ")));
    }
    lines.extend(told.acts.iter().take(SHOWN).map(act));
    lines.join("\n")
}

fn row(rule: &wire::Rule) -> Vec<String> {
    let parts = [&rule.service, &rule.pool];
    let place: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    let state = match rule.state {
        wire::RuleState::Ready => "ready",
        wire::RuleState::Acting => "acting",
        wire::RuleState::Spent => "spent",
        wire::RuleState::Stopped => "stopped",
    };
    let dry = if rule.dry_run { ", dry run" } else { "" };
    vec![
        rule.name.clone(),
        if place.is_empty() { "-".into() } else { place.join("/") },
        rule.when.clone(),
        rule.lasts.clone(),
        rule.then.clone(),
        format!("{state}{dry}"),
        format!("{}/{} in {}", rule.done, rule.at_most, rule.per),
        rule.last.as_ref().map_or_else(|| "-".into(), |last| moment(last.at)),
    ]
}

fn act(act: &wire::Act) -> String {
    let wire::Act { id, rule, place, action, why, at, outcome, said, undone, .. } = act;
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let undone = if *undone { ", taken back by a person" } else { "" };
    let place = if place.is_empty() { String::new() } else { format!(" {place}") };
    format!("{}  act {id} of {rule}: {action}{place} ({why}), {outcome}{said}{undone}", moment(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_what_they_did_are_told() {
        let last = wire::Act {
            id: 7,
            rule: "restart".into(),
            place: "shop/blue/10.0.0.5:80".into(),
            action: "command".into(),
            why: "it gets no requests".into(),
            at: 0.0,
            outcome: "failed".into(),
            said: "it ended with 1".into(),
            ended: Some(1.0),
            undone: false,
        };
        let rule = wire::Rule {
            name: "restart".into(),
            service: Some("shop".into()),
            pool: None,
            when: "an upstream is down".into(),
            lasts: "30s".into(),
            then: "runs its command".into(),
            at_most: 3,
            per: "1h".into(),
            done: 1,
            escalate_to: None,
            dry_run: true,
            state: wire::RuleState::Stopped,
            last: Some(last.clone()),
            instances: vec!["10.0.0.9:80".into()],
        };
        let stopped =
            wire::AutomationStopped { by: "ann".into(), reason: Some("night".into()), at: 0.0 };
        let told = wire::Automation {
            stopped: Some(stopped),
            an_hour: 20,
            in_the_last_hour: 1,
            rules: vec![rule],
            acts: vec![last],
        };
        let text = picture(&told, None);
        for part in [
            "by ann: night. `pointsman automation start`",
            "an upstream is down",
            "stopped, dry run",
            "1/3 in 1h",
            "restart has added 10.0.0.9:80.",
            "act 7 of restart: command shop/blue/10.0.0.5:80 (it gets no requests), failed: it ended with 1",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let none = wire::Automation { stopped: None, rules: Vec::new(), acts: Vec::new(), ..told };
        assert!(picture(&none, Some(80)).starts_with("The file has no rules"));
    }
}

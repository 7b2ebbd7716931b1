//! What is done by itself: the tables of `[automation]` in, [`Rule`]s out; a rule that could never do
//! anything is told here rather than when it is needed.

mod checking;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use super::key::{
    Key, Kind, Table, Without, boolean, mins, number, number_option, secs, table, text_option,
    texts, time, time_option, wait, word_option,
};
use super::read::NamedService;
use super::section::Section;
use super::values::checked_name;
use super::{NotifyTarget, Problem, Problems};
use crate::automation::{MOST_RULES, Rule};
use reading::Reading;

/// How long a call may take unless the file says: who adds a server takes minutes.
const TIMEOUT: Duration = mins(2);

const DAY: Duration = secs(24 * 60 * 60);

pub(super) static RULE: Table = Table::new(
    "Rules: what is done by itself when something is wrong (docs/automation.md); none by default. A rule \
     looks once a second at what is known anyway, acts in the name of `rule NAME`, never undoes what a \
     person has ordered, and says so when it can do no more. `pointsman automation stop` stops all of \
     them. At most 64.",
    &[
        text_option("service", "\"shop\"").example("\"shop\"").about("what it looks at, and acts on"),
        text_option("pool", "\"blue\"").about("this pool of it alone").absent("all of it"),
        word_option("each", &["pool", "upstream"], "\"upstream\"").about(
            "\"upstream\" looks at each upstream by itself; default: at each for `down`, else at the \
             service or the pool",
        ),
        table("when", &WHEN, Without::Off),
        wait("for", secs(30)).about("how long that must be so without a break"),
        Key::of("then", Kind::Short(&THEN, "do")).example("\"notify\"").about(
            "\"drain\", \"open-breaker\", \"pause-rollout\", \"abort-rollout\", \"maintenance\" or \
             \"notify\"; { do = \"maintenance\", message }; { url, secret_file, timeout } gets a POST \
             with JSON; { run, timeout } is a command that gets the same on its input, needs \
             allow_commands, and there is no shell",
        ),
        table("adds", &ADDS, Without::Off).option(""),
        time_option("back", "\"10m\"")
            .about("after how long it takes back the drain, breaker or maintenance that it ordered")
            .absent("never"),
        number("at_most", (1, 100), 3).about("how often it acts within `per`; then people are told"),
        time("per", mins(60)),
        wait("cooldown", mins(5)).about("how long it leaves a place alone after it has acted there"),
        text_option("escalate_to", "\"alerts.example.com\"")
            .about("the target of [[notify]] that is told when it has failed or can do no more")
            .absent("all of them"),
        boolean("dry_run", false).about("only says what it would do"),
    ],
);

static WHEN: Table = Table::new(
    "When it acts: one of these.",
    &[
        number_option("down", (1, 100), "1").about(
            "an upstream gets no requests for what it did or its checks say, so often within an hour",
        ),
        percent("saturation", 1.0, "80").about("of a limit on requests at once, or of a line"),
        percent("error_rate", 0.01, "5").example("5").about("of the requests of the last ten seconds"),
        time_option("latency", "\"500ms\"").about("p99 of the last ten seconds is above this"),
        Key::of("burn", Kind::Decimal { least: 1.0, most: 1_000.0, default: None })
            .option("14.4")
            .about("an error budget burns so many times too fast, over an hour and five minutes"),
        text_option("failed", "\"grow\"").about("what this other rule did last has come to nothing"),
        number_option("certificate_days", (1, 90), "7")
            .about("a certificate is good for no more than so many days"),
        percent("head_room", 1.0, "20")
            .about("less than this of what a pool can carry is free (docs/capacity.md)"),
        number("requests", (1, 1_000_000), 20).option("50")
            .about("how many there must be in ten seconds, for `error_rate` and `latency`; default: 20"),
    ],
);

const fn percent(name: &'static str, least: f64, example: &'static str) -> Key {
    Key::of(name, Kind::Decimal { least, most: 100.0, default: None }).option(example)
}

static THEN: Table = Table::new(
    "",
    &[
        word_option("do", &DEEDS, "\"drain\""),
        text_option("message", "\"back in ten minutes\""),
        Key::of("url", Kind::Web),
        text_option("secret_file", "\"hook.key\""),
        texts("run", &[]),
        time("timeout", TIMEOUT),
    ],
);

const DEEDS: [&str; 6] =
    ["drain", "open-breaker", "pause-rollout", "abort-rollout", "maintenance", "notify"];

static ADDS: Table = Table::new(
    "What whoever is called answers with is added to the pool: {\"upstreams\": [\"10.0.0.5:8080\"]}, or \
     lines with an address each.",
    &[
        number("instances", (1, 64), 2).about("how many at a time, at most"),
        texts("networks", &[]).example("[\"10.0.0.0/8\"]").about(
            "where they may be, and nowhere else",
        ),
        time("quiet", mins(10)).about(
            "how long it must be quiet until the newest is drained, taken out, and whoever is called \
             is told to end it",
        ),
    ],
);

/// What of the rest of the file matters to a rule.
pub(super) struct Beside<'a> {
    /// In name order.
    pub services: &'a [NamedService],
    pub targets: &'a [NotifyTarget],
    pub allows_commands: bool,
    /// Whether the file has certificates of its own.
    pub has_certificates: bool,
}

/// All rules in name order.
pub(super) fn rules(
    file: &mut Section<'_>,
    problems: &mut Problems,
    beside: &Beside<'_>,
) -> Vec<Arc<Rule>> {
    let named = file.named(problems, "automation").unwrap_or_default();
    if let Some((name, _)) = named.get(MOST_RULES) {
        let message = format!("more than the {MOST_RULES} rules that there may be");
        problems.0.push(Problem::error(name.span.clone(), message).label("one too many"));
    }
    let names: Vec<&str> = named.iter().map(|(name, _)| name.value).collect();
    let mut rules = Vec::new();
    for (name, section) in named {
        let checked = checked_name(problems, &name, "rule");
        let Some(section) = section else { continue };
        let reading = Reading { name: &name, names: &names, beside, problems };
        rules.extend(reading.rule(section, checked).map(Arc::new));
    }
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    rules
}

#[cfg(test)]
mod tests;

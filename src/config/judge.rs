//! How a service's rollouts are judged: its table in, checked settings out.

use std::time::Duration;

use super::key::{
    Gone, Instead, Key, Kind, Shape, Table, Without, boolean, decimal, free, millis, mins, secs,
    share, table, text_option, texts, time, wait, word, word_option,
};
use super::section::Section;
use super::values::checked_name;
use super::{Problem, Problems, web_address};
use crate::judge::ledger::METRICS;
use crate::judge::{Errors, JudgeSettings, OnBursts};
use crate::rollout::{Judging, OnInconclusive, Query};

/// How often at most a Prometheus server is asked: rollouts are looked at once a second.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What the judge calls its own.
const TAKEN: [&str; 8] = ["guard", "errors", "4xx", "p99", "p95", "p50", "budget", "prometheus"];

pub(super) static JUDGE: Table = Table {
    about: "How each second of a rollout is judged, beside the old pool: docs/judge.md. Shares are in \
            percent.",
    gone: &[Gone {
        name: "tempering",
        since: (0, 1),
        instead: Instead::Nothing(
            "how many failures one cause makes is measured now, and they count as one; \
             `bursts = \"ignore\"` counts each",
        ),
    }],
    keys: &[
        boolean("enabled", true),
        free("errors", r#"["5xx", "connect", "timeout", "reset", "bad-response", "no-upstream"]"#)
            .shape(Shape::Texts)
            .about(
                "what counts as bad; also \"4xx\", a status such as \"429\", \"grpc\", \
                 \"grpc:unavailable\"",
            ),
        boolean("client_errors", false).about("judge 4xx too, by themselves"),
        texts("metrics", &[]).about(
            "at most 8 names that upstreams report with their answers, as in `x-pointsman-metric: \
             checkout_failed=1`",
        ),
        word_option("by", &["users", "requests"], "\"users\"")
            .about("or \"requests\"; default: \"users\" where clients keep to their side (sticky)")
            .absent("users where clients keep to their side"),
        share("risk", (0.01, 50.0), 1.0)
            .about("of taking back a release that is as good as the old one"),
        decimal("ratio", (1.0, 100.0), 1.25)
            .about("how many times as often as the old version it may fail"),
        share("rate", (0.0, 99.0), 0.1)
            .about("and the rate up to which it may fail whatever the old one does"),
        share("guard", (0.01, 99.0), 5.0)
            .about("failures that take it back, unless the old version fails more than half as often"),
        word("bursts", &["count-once", "ignore"])
            .about("failures that one cause made together count as one; or \"ignore\": each counts"),
        wait("warm_up", mins(1)).about(
            "for so long after its first answer, or its return, latencies of an upstream do not count; \
             the first step lasts longer by it; \"0s\" counts all",
        ),
        share("budget", (0.01, 100.0), 2.0)
            .about("the share of the error budget that one rollout may spend"),
        word("on_inconclusive", &["pause", "promote", "rollback"])
            .about("or \"promote\", \"rollback\": after `longest_step` without a verdict"),
        table("latency", &LATENCY, Without::Defaults).about("how much slower it may be"),
        table("gate", &GATE, Without::Defaults)
            .about("it goes on when it is known to be better than this"),
        table("prometheus", &PROMETHEUS, Without::Off),
    ],
};

static LATENCY: Table = Table::new(
    "",
    &[
        share("share", (0.0, 100.0), 10.0).about("of the old version's latency, and"),
        wait("time", millis(5)).about("more; may be \"0s\""),
    ],
);

static GATE: Table = Table::new(
    "",
    &[
        decimal("ratio", (1.01, 100.0), 2.0),
        share("rate", (0.01, 99.0), 0.5),
        share("risk", (0.01, 50.0), 5.0),
    ],
);

static PROMETHEUS: Table = Table::new(
    "A question to a Prometheus server: above the limit twice in a row the rollout goes back, and \
     without an answer it does not go on. None by default.",
    &[
        Key::of("url", Kind::Web).example("\"http://127.0.0.1:9090\""),
        text_option("query", r#""up""#)
            .example(r#""sum(rate(checkout_failed_total{version=\"green\"}[1m]))""#),
        Key::of("above", Kind::Decimal { least: f64::MIN, most: f64::MAX, default: None })
            .example("0.5"),
        time("interval", secs(15)).about("a second or longer"),
    ],
);

/// Reads a service's table on judging.
pub(super) fn judge(service: &mut Section<'_>, problems: &mut Problems) -> Judging {
    let mut section = service.table(problems, "judge");
    let (latency_share, latency_time) = latency(section.table(problems, "latency"), problems);
    let (gate_ratio, gate_rate, beta) = gate(section.table(problems, "gate"), problems);
    let mut ratio_of = |key| section.share(problems, key).ratio();
    let (alpha, tolerated_rate) = (ratio_of("risk"), ratio_of("rate"));
    let (guard, budget_share) = (ratio_of("guard"), ratio_of("budget"));
    let settings = JudgeSettings {
        enabled: section.boolean(problems, "enabled"),
        alpha,
        tolerated_ratio: section.decimal(problems, "ratio").unwrap_or_default(),
        tolerated_rate,
        latency_share,
        latency_time,
        gate_ratio,
        gate_rate,
        beta,
        guard,
        bursts: bursts(&mut section, problems),
        budget_share,
        warm_up: section.time(problems, "warm_up"),
    };
    let judging = Judging {
        settings,
        errors: errors(&mut section, problems),
        client_errors: section.boolean(problems, "client_errors"),
        metrics: metrics(&mut section, problems),
        by_user: by_user(&mut section, problems),
        on_inconclusive: on_inconclusive(&mut section, problems),
        prometheus: prometheus(&mut section, problems),
    };
    section.close(problems);
    judging
}

fn latency(mut section: Section<'_>, problems: &mut Problems) -> (f64, Duration) {
    let share = section.share(problems, "share").ratio();
    let time = section.time(problems, "time");
    section.close(problems);
    (share, time)
}

fn gate(mut section: Section<'_>, problems: &mut Problems) -> (f64, f64, f64) {
    let ratio = section.decimal(problems, "ratio").unwrap_or_default();
    let rate = section.share(problems, "rate").ratio();
    let risk = section.share(problems, "risk").ratio();
    section.close(problems);
    (ratio, rate, risk)
}

fn errors(section: &mut Section<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let value = section.value("errors")?;
    let words = section.texts(problems, "errors", |text| Errors::of([text]).map(|_| text.into()));
    if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
        let problem = Problem::error(value.span(), "nothing counts as an error");
        problems.0.push(problem.help("leave `errors` out for 5xx and whatever is no whole answer"));
    }
    Some(words.into_iter().map(|found| found.value).collect())
}

fn metrics(section: &mut Section<'_>, problems: &mut Problems) -> Vec<String> {
    let Some(value) = section.value("metrics") else { return Vec::new() };
    let names = section.texts(problems, "metrics", |text| Ok::<_, &str>(text.to_string()));
    if names.len() > METRICS {
        let message = format!("more than the {METRICS} metrics that are counted");
        problems.0.push(Problem::error(value.span(), message));
    }
    let mut known: Vec<String> = Vec::new();
    for name in names {
        let found = super::section::Found { value: name.value.as_str(), span: name.span.clone() };
        if TAKEN.contains(&name.value.as_str()) {
            let problem =
                Problem::error(name.span, format!("`{}` is a metric of the judge", name.value));
            problems.0.push(problem.label("another name"));
        } else if known.contains(&name.value) {
            problems.0.push(Problem::error(name.span, "this metric is named twice"));
        } else if checked_name(problems, &found, "metric").is_some() {
            known.push(name.value);
        }
    }
    known
}

fn by_user(section: &mut Section<'_>, problems: &mut Problems) -> Option<bool> {
    section.word(problems, "by", |word| Some(word == "users"))
}

fn bursts(section: &mut Section<'_>, problems: &mut Problems) -> OnBursts {
    let of = |word: &str| OnBursts::ALL.into_iter().find(|what| what.name() == word);
    section.word(problems, "bursts", of).unwrap_or_default()
}

fn on_inconclusive(section: &mut Section<'_>, problems: &mut Problems) -> OnInconclusive {
    let of = |word: &str| OnInconclusive::ALL.into_iter().find(|what| what.name() == word);
    section.word(problems, "on_inconclusive", of).unwrap_or_default()
}

fn prometheus(section: &mut Section<'_>, problems: &mut Problems) -> Option<Query> {
    let mut section = section.table_if_given(problems, "prometheus")?;
    for (key, example) in [
        ("url", "url = \"http://127.0.0.1:9090\""),
        ("query", "query = \"sum(rate(checkout_failed_total[1m]))\""),
        ("above", "above = 0.5"),
    ] {
        if !section.has(key) {
            let article = if key == "above" { "an" } else { "a" };
            let message = format!("a question to Prometheus needs {article} `{key}`");
            let problem = Problem::error(section.span.clone(), message);
            problems.0.push(problem.help(format!("for example `{example}`")));
        }
    }
    let url = section.text(problems, "url", |text| web_address(text).map(|_| text.to_string()));
    let query = section.text(problems, "query", |text| match text.trim().is_empty() {
        true => Err("expected PromQL"),
        false => Ok(text.to_string()),
    });
    let above = section.decimal(problems, "above");
    let interval = section.time(problems, "interval");
    if interval < SHORTEST_INTERVAL {
        let problem = Problem::error(section.place("interval"), "`interval` is too short");
        problems.0.push(problem.label("a second or longer"));
    }
    section.close(problems);
    Some(Query { url: url?.value, query: query?.value, above: above?, interval })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Level};
    use super::*;

    fn read(lines: &str) -> Result<Judging, String> {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.shop.pools]\n\
             blue.upstreams = [\"a:1\"]\n[services.shop.judge]\n{lines}"
        );
        match Config::parse(&text) {
            Ok((config, _)) => Ok(config.services[0].rollout.judging.clone()),
            Err(problems) => {
                assert!(problems.count(Level::Error) > 0);
                Err(problems.render(&text, "f", false))
            }
        }
    }

    #[test]
    fn without_a_table_the_judge_is_on() {
        assert_eq!(read("").unwrap(), Judging::default());
        assert!(Judging::default().settings.enabled);
    }

    #[test]
    fn every_key_is_read() {
        let judging = read(
            "enabled = false\nerrors = [\"5xx\", \"429\", \"timeout\"]\nclient_errors = true\n\
             metrics = [\"checkout_failed\"]\nby = \"requests\"\nrisk = 2\nratio = 1.5\nrate = 0.2\n\
             latency = { share = 20, time = \"10ms\" }\ngate = { ratio = 3, rate = 1, risk = 10 }\n\
             guard = 10\nbursts = \"ignore\"\nwarm_up = \"5m\"\nbudget = 5\non_inconclusive = \"rollback\"\n\
             prometheus = { url = \"http://127.0.0.1:9090\", query = \"up\", above = 0.5, \
             interval = \"5s\" }\n",
        )
        .unwrap();
        let settings = JudgeSettings {
            enabled: false,
            alpha: 0.02,
            tolerated_ratio: 1.5,
            tolerated_rate: 0.002,
            latency_share: 0.2,
            latency_time: Duration::from_millis(10),
            gate_ratio: 3.0,
            gate_rate: 0.01,
            beta: 0.1,
            guard: 0.1,
            bursts: OnBursts::Ignore,
            warm_up: Duration::from_secs(300),
            budget_share: 0.05,
        };
        assert_eq!(judging.settings, settings);
        assert_eq!(judging.errors.unwrap(), ["5xx", "429", "timeout"]);
        assert_eq!((judging.client_errors, judging.by_user), (true, Some(false)));
        assert_eq!(judging.metrics, ["checkout_failed"]);
        assert_eq!(judging.on_inconclusive, OnInconclusive::Rollback);
        assert_eq!(judging.prometheus.unwrap().interval, Duration::from_secs(5));
    }

    #[test]
    fn mistakes_are_told_with_what_would_do() {
        for (line, wanted) in [
            ("errors = [\"sloth\"]", "`sloth` is none of 5xx, 4xx"),
            ("errors = []", "nothing counts as an error"),
            ("ratio = 0.5", "from 1 to 100"),
            ("risk = 60", "from 0.01 to 50 %"),
            ("guard = 100", "from 0.01 to 99 %"),
            ("gate = { rate = 100 }", "from 0.01 to 99 %"),
            ("by = \"user\"", "did you mean `users`?"),
            ("on_inconclusive = \"rolback\"", "did you mean `rollback`?"),
            ("metrics = [\"a b\"]", "bad metric name"),
            ("metrics = [\"a\", \"a\"]", "this metric is named twice"),
            ("metrics = [\"errors\"]", "`errors` is a metric of the judge"),
            ("prometheus = { url = \"http://a\", query = \"up\", above = nan }", "a finite number"),
            (
                "prometheus = { url = \"http://a\", query = \"up\", above = 1, interval = \"9ms\" }",
                "a second or longer",
            ),
            ("prometheus = { query = \"up\" }", "needs a `url`"),
            ("alpha = 1", "unknown key `alpha`"),
        ] {
            let told = read(line).unwrap_err();
            assert!(told.contains(wanted), "{line}: {told}");
        }
    }
}

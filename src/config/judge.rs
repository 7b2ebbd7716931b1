//! How a service's rollouts are judged: its table in, checked settings out.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::section::{Section, nearest, wrong_kind};
use super::values::{checked_name, percent};
use super::{Problem, Problems, web_address};
use crate::judge::ledger::METRICS;
use crate::judge::{Errors, JudgeSettings};
use crate::rollout::{Judging, OnInconclusive, Query};

/// How often a Prometheus server is asked unless the file says otherwise.
const INTERVAL: Duration = Duration::from_secs(15);

/// How often at most: rollouts are looked at once a second.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// What the judge calls its own.
const TAKEN: [&str; 8] = ["guard", "errors", "4xx", "p99", "p95", "p50", "budget", "prometheus"];

/// Reads a service's table on judging.
pub(super) fn judge(service: &mut Section<'_>, problems: &mut Problems) -> Judging {
    let Some(mut section) = service.section(problems, "judge") else { return Judging::default() };
    let default = JudgeSettings::default();
    let latency = section.section(problems, "latency");
    let (latency_share, latency_time) = latency.map_or_else(Default::default, |mut section| {
        let share = share(&mut section, problems, "share", 0.0..=10.0);
        let time = section.wait(problems, "time");
        section.close(problems);
        (share, time)
    });
    let gate = section.section(problems, "gate");
    let (gate_ratio, gate_rate, beta) = gate.map_or_else(Default::default, |mut section| {
        let ratio = decimal(&mut section, problems, "ratio", 1.01..=100.0);
        let rate = share(&mut section, problems, "rate", 0.0001..=0.99);
        let risk = share(&mut section, problems, "risk", 0.0001..=0.5);
        section.close(problems);
        (ratio, rate, risk)
    });
    let settings = JudgeSettings {
        enabled: section.boolean(problems, "enabled").unwrap_or(default.enabled),
        alpha: share(&mut section, problems, "risk", 0.0001..=0.5).unwrap_or(default.alpha),
        tolerated_ratio: decimal(&mut section, problems, "ratio", 1.0..=100.0)
            .unwrap_or(default.tolerated_ratio),
        tolerated_rate: share(&mut section, problems, "rate", 0.0..=0.99)
            .unwrap_or(default.tolerated_rate),
        latency_share: latency_share.unwrap_or(default.latency_share),
        latency_time: latency_time.unwrap_or(default.latency_time),
        gate_ratio: gate_ratio.unwrap_or(default.gate_ratio),
        gate_rate: gate_rate.unwrap_or(default.gate_rate),
        beta: beta.unwrap_or(default.beta),
        guard: share(&mut section, problems, "guard", 0.0001..=0.99).unwrap_or(default.guard),
        tempering_limit: decimal(&mut section, problems, "tempering", 1.0..=100.0)
            .unwrap_or(default.tempering_limit),
        budget_share: share(&mut section, problems, "budget", 0.0001..=1.0)
            .unwrap_or(default.budget_share),
    };
    let judging = Judging {
        settings,
        errors: errors(&mut section, problems),
        client_errors: section.boolean(problems, "client_errors").unwrap_or(false),
        metrics: metrics(&mut section, problems),
        by_user: by_user(&mut section, problems),
        on_inconclusive: on_inconclusive(&mut section, problems),
        prometheus: prometheus(&mut section, problems),
    };
    section.close(problems);
    judging
}

/// A share in percent, as a number from 0 to 1.
fn share(
    section: &mut Section<'_>,
    problems: &mut Problems,
    key: &'static str,
    range: RangeInclusive<f64>,
) -> Option<f64> {
    let value = section.value(key)?;
    let mistake = match percent(value) {
        Ok(share) if range.contains(&share.ratio()) => return Some(share.ratio()),
        Ok(_) => {
            format!("from {} to {} %", range.start() * 100.0, (range.end() * 100.0).min(100.0))
        }
        Err(error) => error,
    };
    problems.0.push(Problem::error(value.span(), format!("bad value for `{key}`")).label(mistake));
    None
}

/// A number with a fraction.
fn decimal(
    section: &mut Section<'_>,
    problems: &mut Problems,
    key: &'static str,
    range: RangeInclusive<f64>,
) -> Option<f64> {
    let value = section.value(key)?;
    let text = match value.get_ref() {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        _ => {
            problems.0.push(wrong_kind(key, value, "a number"));
            return None;
        }
    };
    match text.replace('_', "").parse() {
        Ok(number) if range.contains(&number) => Some(number),
        _ => {
            let bounds = match *range.start() == f64::MIN {
                true => "expected a finite number".to_string(),
                false => format!("from {} to {}", range.start(), range.end()),
            };
            let message = format!("`{key}` is out of range");
            problems.0.push(Problem::error(value.span(), message).label(bounds));
            None
        }
    }
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

/// One of these words.
fn word<T: Copy>(
    section: &mut Section<'_>,
    problems: &mut Problems,
    key: &'static str,
    known: &[(&'static str, T)],
) -> Option<T> {
    let names = || known.iter().map(|(name, _)| *name);
    let read = |text: &str| {
        let found = known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.ok_or_else(|| match nearest(text, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", names().collect::<Vec<_>>().join(", ")),
        })
    };
    section.text(problems, key, read).map(|found| found.value)
}

fn by_user(section: &mut Section<'_>, problems: &mut Problems) -> Option<bool> {
    word(section, problems, "by", &[("users", true), ("requests", false)])
}

fn on_inconclusive(section: &mut Section<'_>, problems: &mut Problems) -> OnInconclusive {
    let known = OnInconclusive::ALL.map(|what| (what.name(), what));
    word(section, problems, "on_inconclusive", &known).unwrap_or_default()
}

fn prometheus(section: &mut Section<'_>, problems: &mut Problems) -> Option<Query> {
    let mut section = section.section(problems, "prometheus")?;
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
    let above = decimal(&mut section, problems, "above", f64::MIN..=f64::MAX);
    let interval = section.duration(problems, "interval").unwrap_or(INTERVAL);
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
             guard = 10\ntempering = 1\nbudget = 5\non_inconclusive = \"rollback\"\n\
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
            tempering_limit: 1.0,
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

use std::time::Duration;

use super::*;
use crate::config::Config;

const FILE: &str =
    "[[listeners]]\naddress = \":0\"\n[services.shop]\npools.blue.upstreams = [\"a:1\"]\n";

fn stability(lines: &str) -> Stability {
    match Config::parse(&format!("{FILE}{lines}")) {
        Ok((config, _)) => (*config.services[0].stability).clone(),
        Err(problems) => panic!("{problems:?}"),
    }
}

/// What is wrong with these lines, each with the label beneath its caret.
fn problems(lines: &str) -> Vec<String> {
    let text = format!("{FILE}{lines}");
    let problems = Config::parse(&text).map_or_else(|problems| problems, |(_, warnings)| warnings);
    let one = |problem: &Problem| match problem.label.as_str() {
        "" => problem.message.clone(),
        label => format!("{}: {label}", problem.message),
    };
    problems.0.iter().map(one).collect()
}

#[test]
fn without_any_table_the_defaults_hold() {
    let read = stability("");
    assert_eq!(read, Stability::default());
    assert!(read.health.is_none() && read.ejection.is_some() && read.breaker.is_some());
}

#[test]
fn each_table_is_read() {
    let read = stability(
        r#"
health = { tcp = true, interval = "1s", rise = 1, agent = true }
ejection = { failures = 3, share = 50 }
breaker = false
retries = { attempts = 2, statuses = [502, "503-504"], attempt_timeout = "2s", shield = false }
balance = { by = "consistent-hash", hash = { client_ip = true } }
limits = { in_flight = 10, uploads = 7, queue = 5, adaptive = true, throttle = false }
maintenance = { allow = ["10.0.0.0/8"] }
"#,
    );
    let health = read.health.unwrap();
    assert_eq!((&health.probe, health.interval), (&Probe::Tcp, Duration::from_secs(1)));
    assert_eq!((health.rise, health.fall, health.agent), (1, 3, true));
    let ejection = EjectionSettings { failures: 3, share: 50, ..EjectionSettings::default() };
    assert_eq!((read.ejection, read.breaker), (Some(ejection), None));
    assert_eq!(read.retries.statuses, [502, 503, 504]);
    assert_eq!((read.retries.per_try, read.retries.shield), (Some(Duration::from_secs(2)), false));
    assert_eq!(read.balance.by, Policy::ConsistentHash);
    assert_eq!(
        (read.limits.in_flight, read.limits.uploads, read.limits.queue, read.limits.throttle),
        (Some(10), Some(7), 5, false)
    );
    assert_eq!(read.maintenance.allow.len(), 1);
}

#[test]
fn the_path_of_a_health_check_passes_during_maintenance() {
    let read =
        stability("health.http = { path = \"/healthz?deep\", statuses = [204, \"200-299\"] }\n");
    assert_eq!(read.maintenance.paths, ["/healthz"]);
    let Some(Probe::Http(probe)) = read.health.map(|health| health.probe.clone()) else { panic!() };
    assert_eq!(probe.statuses, [204..=204, 200..=299]);
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("health = {}", "a health check needs one of `http`, `tcp` or `grpc`"),
        ("health = { tcp = true, grpc = {} }", "a health check is one of `http`, `tcp` or `grpc`"),
        ("health.http.path = \"x\"", "bad value for `path`: a path begins with `/`"),
        (
            "health = { http = { statuses = [99] } }",
            "bad value for `statuses`: expected a status such as 204, or a range such as \"200-399\"",
        ),
        ("health.http.headers = { a = \"x\", A = \"y\" }", "`a` is given twice: the second"),
        (
            "health.http.headers = { a = \"ü\" }",
            "bad value for `a`: expected visible ASCII characters and spaces",
        ),
        ("ejection = 5", "`ejection` must be a table, or `false`: this is an integer"),
        ("breaker = { failures = 101 }", "`failures` is out of range: from 1 to 100"),
        ("balance.by = \"latencyy\"", "bad value for `by`: did you mean `latency`?"),
        ("balance.by = \"consistent-hash\"", "`consistent-hash` needs a `hash`"),
        (
            "balance.hash.client_ip = true",
            "`hash` is not used: only `by = \"consistent-hash\"` hashes",
        ),
        (
            "retries.statuses = [200]",
            "`statuses` names a success: only 4xx and 5xx can be tried again",
        ),
        (
            "retries = { attempt_timeout = \"3s\", total = \"2s\" }",
            "`attempt_timeout` is longer than `total`: only a first attempt may take so long",
        ),
        (
            "retries.attempt_timeout = \"31s\"",
            "`attempt_timeout` is longer than `total`: only a first attempt may take so long",
        ),
        (
            "health = { tcp = true, interval = \"1s\" }",
            "`timeout` is 2s, longer than `interval`, which is 1s",
        ),
        (
            "breaker = { open = \"10s\", longest = \"5s\" }",
            "`open` is 10s, longer than `longest`, which is 5s",
        ),
        ("ejection.time = \"10m\"", "`time` is 10m, longer than `longest`, which is 5m"),
        ("health = { tcp = true, agent = true }", "`agent` does nothing with `tcp`"),
        ("balance.panic = 0", "`panic` is gone: since 0.1"),
        ("breaker.trials = 5", "`trials` is gone: since 0.1"),
        ("retries.try = \"2s\"", "`try` is called `attempt_timeout` now: since 0.1"),
        ("fallback = {}", "an empty `fallback` does nothing"),
        ("limits.queue = 4", "nothing ever waits in this queue"),
        ("fallback.pool = \"bleu\"", "no pool is named `bleu`: did you mean `blue`?"),
        (
            "retries.atempts = 1",
            "unknown key `atempts` in `services.shop.retries`: did you mean `attempts`?",
        ),
    ];
    for (lines, problem) in cases {
        assert_eq!(problems(lines), [problem], "{lines}");
    }
}

#[test]
fn a_warning_points_at_the_key_that_was_written() {
    let warned = |lines: &str| {
        let text = format!("{FILE}{lines}");
        let (_, warnings) = Config::parse(&text).unwrap();
        let at = |span: &std::ops::Range<usize>| text[span.clone()].to_string();
        let of = |problem: &Problem| {
            let other = problem.other.as_ref().map(|(span, _)| at(span));
            (at(problem.span.as_ref().unwrap()), other)
        };
        warnings.0.iter().map(of).collect::<Vec<_>>()
    };
    let five = "\"5s\"".to_string();
    assert_eq!(
        warned("breaker = { open = \"10s\", longest = \"5s\" }"),
        [("\"10s\"".into(), Some(five.clone()))]
    );
    assert_eq!(warned("ejection.longest = \"5s\""), [(five, None)]);
    assert_eq!(warned("health = { grpc = {}, agent = true }"), []);
}

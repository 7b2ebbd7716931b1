use std::path::PathBuf;

use super::super::{Config, Live, diff};
use super::*;
use crate::judge::Errors;
use crate::rollout::Judging;

const FILE: &str = "[[listeners]]\naddress = \":0\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";

fn parse(lines: &str) -> Result<RolloutSettings, Vec<String>> {
    let text = format!("{FILE}{lines}");
    match Config::parse(&text) {
        Ok((config, warnings)) => {
            assert_eq!(warnings, Problems::default());
            Ok((*config.services[0].rollout).clone())
        }
        Err(problems) => Err(problems.lines(&text, "t")),
    }
}

fn shares(basis_points: &[u16]) -> Vec<BasisPoints> {
    basis_points.iter().filter_map(|&share| BasisPoints::new(share)).collect()
}

#[test]
fn without_the_table_the_defaults_hold() {
    let defaults = parse("").unwrap();
    assert_eq!(defaults, RolloutSettings::default());
    assert_eq!(parse("[services.a.rollout]\n").unwrap(), defaults);
    assert_eq!(defaults.steps, shares(&[100, 500, 1_000, 2_500, 5_000, 10_000]));
    let times = [defaults.hold, defaults.longest_step, defaults.watch].map(|time| time.as_secs());
    assert_eq!(times, [60, 1_800, 600]);
    let times = [defaults.ready_within, defaults.drain].map(|time| time.as_secs());
    assert_eq!((times, defaults.min_requests, defaults.at_once), ([120, 30], 500, 1));
}

#[test]
fn every_key_is_read() {
    let lines = r#"
[server]
allow_commands = true
[services.a.rollout]
strategy = "blue-green"
steps = [0.25, "12.5%", 100]
hold = "2s"
min_requests = 3
longest_step = "4s"
guard = { errors = "2.5%", requests = 5, within = "6s" }
watch = "7s"
ready_within = "8s"
drain = "9s"
at_once = 10
[[services.a.rollout.smoke]]
method = "POST"
path = "/a?b=c"
headers = { X-b = "1", Accept = "x" }
body = "hi"
status = 201
contains = "ok"
timeout = "11s"
[[services.a.rollout.smoke]]
path = "/"
[services.a.rollout.hooks]
before_start = "https://a.test/"
before_step = { url = "http://b.test/x", secret_file = "key", timeout = "12s" }
deploy = { run = ["deploy", "now"] }
"#;
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    let order = Smoke {
        method: "POST".into(),
        path: "/a?b=c".into(),
        headers: vec![pair("accept", "x"), pair("x-b", "1")],
        body: Some("hi".into()),
        status: Some(201),
        contains: Some("ok".into()),
        timeout: Duration::from_secs(11),
    };
    let page = Smoke {
        method: "GET".into(),
        path: "/".into(),
        headers: vec![],
        body: None,
        status: None,
        contains: None,
        timeout: Duration::from_secs(10),
    };
    let web = |url: &str, secret_file: Option<&str>, seconds| Hook::Webhook {
        url: url.into(),
        secret_file: secret_file.map(PathBuf::from),
        timeout: Duration::from_secs(seconds),
    };
    let command = Hook::Command {
        run: vec!["deploy".into(), "now".into()],
        timeout: Duration::from_secs(600),
    };
    let expected = RolloutSettings {
        strategy: Strategy::BlueGreen,
        steps: shares(&[25, 1_250, 10_000]),
        hold: Duration::from_secs(2),
        min_requests: 3,
        longest_step: Duration::from_secs(4),
        guard: Guard { errors: shares(&[250])[0], requests: 5, within: Duration::from_secs(6) },
        watch: Duration::from_secs(7),
        ready_within: Duration::from_secs(8),
        drain: Duration::from_secs(9),
        at_once: 10,
        smoke: vec![order, page],
        hooks: Hooks {
            before_start: Some(web("https://a.test/", None, 10)),
            before_step: Some(web("http://b.test/x", Some("key"), 12)),
            deploy: Some(command),
            ..Hooks::default()
        },
        judging: Judging::default(),
    };
    assert_eq!(parse(lines), Ok(expected));
}

#[test]
fn a_hold_a_watch_and_the_requests_may_be_none() {
    let none = parse("[services.a.rollout]\nhold = \"0s\"\nwatch = \"0s\"\nmin_requests = 0\n");
    let expected = RolloutSettings {
        hold: Duration::ZERO,
        watch: Duration::ZERO,
        min_requests: 0,
        ..RolloutSettings::default()
    };
    assert_eq!(none, Ok(expected));
}

#[test]
fn every_mistake_is_placed() {
    let cases = [
        ("hold = \"-1s\"", "t:6:8: bad value for `hold`"),
        ("watch = \"25h\"", "t:6:9: bad value for `watch`"),
        ("longest_step = \"0s\"", "t:6:16: bad value for `longest_step`"),
        ("ready_within = \"0s\"", "t:6:16: bad value for `ready_within`"),
        ("drain = \"0s\"", "t:6:9: bad value for `drain`"),
        ("stratgy = \"canary\"", "t:6:1: unknown key `stratgy` in `services.a.rollout`"),
        ("strategy = \"canry\"", "t:6:12: bad value for `strategy`"),
        ("steps = 5", "t:6:9: `steps` must be a list of percentages"),
        ("steps = [5, 5, 100]", "t:6:13: bad step"),
        ("steps = [0, 100]", "t:6:10: bad step"),
        ("steps = [1.125, 100]", "t:6:10: bad step"),
        ("steps = [100, 101]", "t:6:15: bad step"),
        ("hold = 5", "t:6:8: `hold` must be a text in quotes"),
        ("at_once = 0", "t:6:11: `at_once` is out of range"),
        ("guard = { errors = 0 }", "t:6:20: bad value for `errors`"),
        ("guard = { requests = 0 }", "t:6:22: `requests` is out of range"),
        ("smoke = [{ status = 200 }]", "t:6:10: a smoke request needs a `path`"),
        ("smoke = [{ path = \"x\" }]", "t:6:19: bad value for `path`"),
        ("smoke = [{ path = \"/\", method = \"A B\" }]", "t:6:33: bad value for `method`"),
        (
            "smoke = [{ path = \"/\", headers = { Host = \"a\" } }]",
            "t:6:36: `host` cannot be set: Pointsman writes it itself",
        ),
        (
            "hooks = { expand = 5 }",
            "t:6:20: `expand` must be an address, or a table with `url` or `run`",
        ),
        ("hooks = { expand = \"ftp://a/\" }", "t:6:20: bad value for `expand`"),
        (
            "hooks = { expnd = \"http://a/\" }",
            "t:6:11: unknown key `expnd` in `services.a.rollout.hooks`",
        ),
        (
            "hooks = { expand = {} }",
            "t:6:20: the hook `expand` has either a `url` or a command to `run`",
        ),
        (
            "hooks = { expand = { url = \"http://a/\", retries = 5 } }",
            "t:6:41: unknown key `retries` in `hooks.expand`",
        ),
        (
            "hooks = { expand = { run = \"ls\" } }",
            "t:6:28: `run` must be a list of a program and its arguments",
        ),
        ("hooks = { expand = { run = [] } }", "t:6:28: `run` names no program"),
        ("hooks = { expand = { run = [\"ls\"] } }", "t:6:28: this file does not allow commands"),
    ];
    for (line, wanted) in cases {
        let found = parse(&format!("[services.a.rollout]\n{line}\n"));
        assert_eq!(found, Err(vec![wanted.to_string()]), "{line}");
    }
}

#[test]
fn what_is_odd_is_warned_of_and_works() {
    let cases = [
        ("steps = [5, 50]", "t:6:9: the steps do not end with 100"),
        (
            "strategy = \"rolling\"",
            "t:6:12: a rolling rollout cannot be started without a `deploy` hook",
        ),
        ("hold = \"1h\"", "t:6:8: `hold` is 1h, longer than `longest_step`, which is 30m"),
    ];
    for (line, wanted) in cases {
        let text = format!("{FILE}[services.a.rollout]\n{line}\n");
        let (_, warnings) = Config::parse(&text).unwrap();
        assert_eq!(warnings.lines(&text, "t"), [wanted]);
    }
    let text = format!("{FILE}[services.a.rollout]\nsteps = [5, 50]\n");
    let (config, _) = Config::parse(&text).unwrap();
    assert_eq!(config.services[0].rollout.steps, shares(&[500, 5_000, 10_000]));
}

#[test]
fn a_change_is_named_with_its_values() {
    let read = |lines: &str| Config::parse(&format!("{FILE}{lines}")).unwrap().0;
    let old = read("");
    let new = read(
        "[server]\nallow_commands = true\n[services.a.rollout]\nsteps = [10, 100]\nhold = \"5s\"\n\
         hooks.expand = { run = [\"x\"] }\nsmoke = [{ path = \"/\" }]\n",
    );
    let lines: Vec<String> =
        diff(&old, &new, &Live::default()).iter().map(ToString::to_string).collect();
    let wanted = [
        "server: allow_commands false → true",
        "service a: rollout.steps 1,5,10,25,50,100 → 10,100",
        "service a: rollout.hold 1m → 5s",
        "service a: rollout.smoke[1] none → path /",
        "service a: rollout.hooks.expand none → run x",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn the_worked_examples_are_configs() {
    let examples = [
        (include_str!("../../../conf/canary.toml"), Strategy::Canary),
        (include_str!("../../../conf/blue-green.toml"), Strategy::BlueGreen),
        (include_str!("../../../conf/rolling.toml"), Strategy::Rolling),
    ];
    for (text, strategy) in examples {
        let (config, warnings) =
            Config::parse(text).map_err(|problems| problems.render(text, "t", false)).unwrap();
        assert_eq!(warnings, Problems::default());
        assert_eq!(config.services[0].rollout.strategy, strategy);
    }
}

#[test]
fn the_reference_shows_the_defaults() {
    let text = include_str!("../../../conf/reference.toml");
    let (config, _) =
        Config::parse(text).map_err(|problems| problems.render(text, "t", false)).unwrap();
    assert!(!config.server.allow_commands);
    let shown = (*config.service("shop").unwrap().rollout).clone();
    assert_eq!((shown.smoke.len(), shown.smoke[0].timeout), (1, TIMEOUT));
    let before_step = shown.hooks.before_step.clone();
    assert_eq!(before_step.map(|hook| hook.timeout()), Some(TIMEOUT));
    let errors = shown.judging.errors.clone().unwrap();
    let errors = Errors::of(errors.iter().map(String::as_str));
    assert_eq!(errors, Ok(Errors::default()));
    let judging = Judging { errors: None, prometheus: None, ..shown.judging };
    let shown = RolloutSettings { smoke: vec![], hooks: Hooks::default(), judging, ..shown };
    assert_eq!(shown, RolloutSettings::default());
}

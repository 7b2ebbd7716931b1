use std::time::Duration;

use super::super::{Config, Live, diff};
use super::*;
use crate::automation::{Adds, Each, Then, When};
use crate::rollout::Hook;

const REST: &str = "[server]\nallow_commands = true\n[[listeners]]\naddress = \":80\"\n\
                    [[notify]]\nurl = \"http://a/\"\nname = \"pager\"\n\
                    [services.shop]\nsplit = { blue = 100 }\nlimits = { upstream_in_flight = 10 }\n\
                    [services.shop.slo]\navailability = \"99.9%\"\n\
                    [services.shop.pools]\nblue.upstreams = [\"a:1\"]\ngreen.upstreams = [\"a:2\"]\n\
                    [[routes]]\nservice = \"shop\"\n[services.bare.pools.only]\nupstreams = [\"a:3\"]\n";

fn parse(rules: &str) -> Result<Config, Vec<String>> {
    let text = format!("{rules}\n{REST}");
    let parsed = Config::parse(&text);
    parsed.map(|(config, _)| config).map_err(|problems| problems.lines(&text, "t"))
}

/// What is odd about a file that is read, or wrong with one that is not.
fn lines_of(rules: &str) -> Result<Vec<String>, Vec<String>> {
    let text = format!("{rules}\n{REST}");
    match Config::parse(&text) {
        Ok((_, odd)) => Ok(odd.lines(&text, "t")),
        Err(problems) => Err(problems.lines(&text, "t")),
    }
}

#[test]
fn every_key_is_read() {
    let config = parse(
        "[automation.grow]\nservice = \"shop\"\npool = \"blue\"\nwhen = { saturation = 80 }\n\
         for = \"1m\"\nthen = { run = [\"/bin/grow\", \"x\"], timeout = \"3m\" }\n\
         adds = { instances = 3, networks = [\"10.0.0.0/8\"], quiet = \"5m\" }\nat_most = 6\n\
         per = \"2h\"\ncooldown = \"2m\"\nescalate_to = \"pager\"\ndry_run = true\n\
         [automation.restart]\nservice = \"shop\"\nwhen = { down = 2 }\n\
         then = { url = \"http://h/x\", secret_file = \"k\" }\n\
         [automation.shut]\nservice = \"shop\"\neach = \"pool\"\nwhen = { error_rate = 50, requests = 9 }\n\
         then = { do = \"maintenance\", message = \"soon\" }\nback = \"10m\"\n\
         [automation.back]\nservice = \"shop\"\nwhen = { burn = 14.4 }\nthen = \"abort-rollout\"\n\
         [automation.tell]\nwhen = { failed = \"restart\" }\nthen = \"notify\"\n",
    )
    .unwrap();
    let [back, grow, restart, shut, tell] = &config.automation[..] else { panic!() };
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let run = vec!["/bin/grow".to_string(), "x".to_string()];
    let expected = Rule {
        name: "grow".into(),
        service: Some("shop".into()),
        pool: Some("blue".into()),
        each: Each::Whole,
        when: When::Saturation(80.0),
        lasts: minutes(1),
        then: Then::Call(Hook::Command { run, timeout: minutes(3) }),
        adds: Some(Adds {
            instances: 3,
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            quiet: minutes(5),
        }),
        back: None,
        at_most: 6,
        per: minutes(120),
        cooldown: minutes(2),
        escalate_to: Some("pager".into()),
        dry_run: true,
    };
    assert_eq!(**grow, expected);
    let hook = Hook::Webhook {
        url: "http://h/x".into(),
        secret_file: Some("k".into()),
        timeout: minutes(2),
    };
    assert_eq!(restart.then, Then::Call(hook));
    assert_eq!((restart.each, &restart.when), (Each::Upstream, &When::Down { times: 2 }));
    assert_eq!((restart.at_most, restart.per, restart.cooldown), (3, minutes(60), minutes(5)));
    assert_eq!(shut.then, Then::Maintenance { message: Some("soon".into()) });
    assert_eq!(shut.when, When::ErrorRate { percent: 50.0, requests: 9 });
    assert_eq!((shut.back, back.then.clone()), (Some(minutes(10)), Then::AbortRollout));
    assert_eq!((&tell.when, &tell.service), (&When::Failed("restart".into()), &None));
}

#[test]
fn each_mistake_has_its_place() {
    let rest = "then = \"notify\"";
    let cases = [
        (
            "service = \"shp\"\nwhen = { down = 1 }\nthen = \"notify\"",
            "t:2:11: bad value for `service`",
        ),
        (
            "service = \"shop\"\npool = \"blu\"\nwhen = { down = 1 }\nthen = \"notify\"",
            "t:3:8: bad value for `pool`",
        ),
        (
            "pool = \"blue\"\nwhen = { failed = \"b\" }\nthen = \"notify\"",
            "t:2:8: a `pool` of no service",
        ),
        ("when = { failed = \"a\" }\nthen = \"notify\"", "t:2:19: bad value for `failed`"),
        ("when = { failed = \"c\" }\nthen = \"notify\"", "t:2:19: bad value for `failed`"),
        ("service = \"shop\"\nthen = \"notify\"", "t:1:13: rule `a` does not say `when`"),
        (
            "service = \"shop\"\nwhen = {}\nthen = \"notify\"",
            "t:3:8: `when` says nothing to wait for",
        ),
        (
            "service = \"shop\"\nwhen = { down = 1, burn = 2 }\nthen = \"notify\"",
            "t:3:8: `when` says several things to wait for",
        ),
        (
            "service = \"shop\"\nwhen = { down = 1, requests = 5 }\nthen = \"notify\"",
            "t:3:31: `requests` goes with `error_rate` and `latency`",
        ),
        ("when = { down = 1 }\nthen = \"notify\"", "t:1:13: rule `a` names no `service`"),
        (
            "service = \"shop\"\nwhen = { down = 0 }\nthen = \"notify\"",
            "t:3:17: `down` is out of range",
        ),
        (
            "service = \"shop\"\nwhen = { error_rate = 101 }\nthen = \"notify\"",
            "t:3:23: `error_rate` is out of range",
        ),
        (
            "service = \"shop\"\nwhen = { down = 1 }",
            "t:1:13: rule `a` does not say what to do `then`",
        ),
        (
            "service = \"shop\"\nwhen = { down = 1 }\nthen = \"drian\"",
            "t:4:8: bad value for `then`",
        ),
        (
            "service = \"shop\"\nwhen = { down = 1 }\nthen = { do = \"drain\", run = [\"x\"] }",
            "t:4:8: `then` says one thing to do",
        ),
        (
            "service = \"shop\"\nwhen = { burn = 2 }\nthen = \"drain\"",
            "t:4:8: `drain` is for one upstream",
        ),
        (
            "service = \"shop\"\nwhen = { error_rate = 5 }\nthen = \"open-breaker\"",
            "t:4:8: `open-breaker` is for a pool or an upstream",
        ),
        (
            "service = \"shop\"\neach = \"pool\"\nwhen = { down = 1 }\nthen = \"notify\"",
            "t:3:8: an upstream is down, never a service or a pool",
        ),
        (
            "service = \"shop\"\neach = \"upstream\"\nwhen = { burn = 2 }\nthen = \"notify\"",
            "t:3:8: this is not known of each upstream",
        ),
        (
            "service = \"bare\"\nwhen = { burn = 2 }\nthen = \"notify\"",
            "t:3:8: `bare` has no objectives: the rule can never act",
        ),
        (
            "service = \"bare\"\nwhen = { saturation = 80 }\nthen = \"notify\"",
            "t:3:8: `bare` has no limits: the rule can never act",
        ),
        (
            "service = \"shop\"\nwhen = { burn = 2 }\nthen = \"notify\"\nback = \"5m\"",
            "t:5:8: there is nothing to take `back`",
        ),
        (
            "service = \"shop\"\npool = \"blue\"\nwhen = { saturation = 2 }\nthen = \"notify\"\n\
             adds = { networks = [\"10.0.0.0/8\"] }",
            "t:6:8: nobody is called who could add anything",
        ),
        (
            "service = \"shop\"\nwhen = { saturation = 2 }\nthen = { url = \"http://h/\" }\n\
             adds = { networks = [\"10.0.0.0/8\"] }",
            "t:5:8: instances are added to one pool",
        ),
        (
            "service = \"shop\"\npool = \"blue\"\nwhen = { saturation = 2 }\n\
             then = { url = \"http://h/\" }\nadds = { instances = 2 }",
            "t:6:8: `adds` names no `networks` that instances may be in",
        ),
        (
            "service = \"shop\"\nwhen = { down = 1 }\nthen = \"notify\"\nescalate_to = \"pagr\"",
            "t:5:15: bad value for `escalate_to`",
        ),
        (
            "service = \"shop\"\nwhen = { down = 1 }\nthen = \"notify\"\noften = 1",
            "t:5:1: unknown key `often` in `automation.a`",
        ),
        (
            "when = { failed = \"b\" }\nthen = \"drain\"",
            "t:3:8: rule `a` names no `service` to act on",
        ),
    ];
    for (lines, expected) in cases {
        let found = lines_of(&format!(
            "[automation.a]\n{lines}\n[automation.b]\nservice = \"shop\"\nwhen = {{ down = 1 }}\n{rest}"
        ));
        let found = found.unwrap_or_else(|lines| lines);
        assert_eq!(found.first().map(String::as_str), Some(expected), "{lines}");
    }
}

#[test]
fn commands_need_to_be_allowed_and_rules_that_can_never_act_are_told() {
    let rule =
        "[automation.a]\nservice = \"shop\"\nwhen = { down = 1 }\nthen = { run = [\"x\"] }\n";
    let text = format!("{rule}{}", REST.replace("allow_commands = true", ""));
    let lines = Config::parse(&text).unwrap_err().lines(&text, "t");
    assert_eq!(lines[0], "t:4:16: this file does not allow commands");
    for (when, expected) in [
        ("certificate_days = 7", "t:3:8: this file has no certificates: the rule can never act"),
        (
            "latency = \"20s\"",
            "t:3:8: answers are given up before they are as slow: the rule can never act",
        ),
    ] {
        let rule =
            format!("[automation.a]\nservice = \"shop\"\nwhen = {{ {when} }}\nthen = \"notify\"\n");
        let text = format!("{rule}{REST}");
        let (_, warnings) = Config::parse(&text).unwrap();
        let lines = warnings.lines(&text, "t");
        assert!(lines.iter().any(|line| line.contains(expected)), "{lines:?}");
    }
}

#[test]
fn a_reload_names_the_rules_that_change() {
    let rule = |name: &str, times: u32| {
        format!(
            "[automation.{name}]\nservice = \"shop\"\nwhen = {{ down = {times} }}\nthen = \"drain\"\n"
        )
    };
    let old = parse(&[rule("a", 1), rule("b", 1)].concat()).unwrap();
    let new = parse(&[rule("b", 2), rule("c", 1)].concat()).unwrap();
    let lines: Vec<String> =
        diff(&old, &new, &Live::default()).iter().map(ToString::to_string).collect();
    let wanted = [
        "rule a: removed",
        "rule b: when.down 1 → 2",
        "rule c: added: when an upstream is down, it drains the upstream",
    ];
    assert_eq!(lines, wanted);
}

use super::*;
use crate::config::{Config, Live, diff};

const REST: &str =
    "[[listeners]]\naddress = \":80\"\n[services.a.pools.b]\nupstreams = [\"a:1\"]\n";

fn parse(notify: &str) -> Result<Config, Vec<String>> {
    let text = format!("{notify}\n{REST}");
    Config::parse(&text).map(|(config, _)| config).map_err(|p| p.lines(&text, "t"))
}

#[test]
fn a_target_needs_an_address_and_has_defaults_for_the_rest() {
    let config = parse("[[notify]]\nurl = \"https://alerts.example.com/in?x=1\"").unwrap();
    let expected = NotifyTarget {
        name: "alerts.example.com".into(),
        url: Uri::from_static("https://alerts.example.com/in?x=1"),
        form: Form::Json,
        routing_key: None,
        headers: Vec::new(),
        severity: Severity::Medium,
        secret_file: None,
        timeout: Duration::from_secs(5),
    };
    assert_eq!(config.notify, [expected]);
    assert_eq!(parse("").unwrap().notify, []);
}

#[test]
fn every_key_is_read() {
    let text = "[[notify]]\nurl = \"http://[::1]:8065/hooks/x\"\nname = \"chat\"\nform = \"slack\"\n\
                severity = \"critical\"\nsecret_file = \"k\"\ntimeout = \"1s\"";
    let expected = NotifyTarget {
        name: "chat".into(),
        url: Uri::from_static("http://[::1]:8065/hooks/x"),
        form: Form::Slack,
        routing_key: None,
        headers: Vec::new(),
        severity: Severity::Critical,
        secret_file: Some("k".into()),
        timeout: Duration::from_secs(1),
    };
    assert_eq!(parse(text).unwrap().notify, [expected]);
}

#[test]
fn each_form_is_read_by_its_word_and_has_its_path() {
    let key = "routing_key = \"R0UTING\"\nheaders = { authorization = \"Basic eA==\" }";
    let of = |form: Form, url: &str| {
        let key = if form == Form::PagerDuty { key } else { "" };
        let text = format!("[[notify]]\nurl = \"{url}\"\nform = \"{}\"\n{key}", form.name());
        parse(&text).unwrap().notify.remove(0)
    };
    for form in Form::ALL {
        assert_eq!(of(form, "http://a/").form, form);
        assert_eq!(of(form, "http://a/in?x").url, "http://a/in?x");
    }
    assert_eq!(of(Form::Alertmanager, "http://a:9093").url, "http://a:9093/api/v2/alerts");
    assert_eq!(of(Form::AlertmanagerWebhook, "http://a").url, "http://a/");
    let pager = of(Form::PagerDuty, "https://events.pagerduty.com/");
    assert_eq!(pager.url, "https://events.pagerduty.com/v2/enqueue");
    assert_eq!(pager.routing_key.as_ref().unwrap().text(), "R0UTING");
    let shown = format!("{pager:?}");
    assert!(!shown.contains("R0UTING") && !shown.contains("eA=="), "{shown}");
}

#[test]
fn a_routing_key_of_another_form_is_passed_over_with_a_word() {
    let text = format!("[[notify]]\nurl = \"http://a/\"\nrouting_key = \"k\"\n{REST}");
    let (_, problems) = Config::parse(&text).unwrap();
    let expected = "t:3:15: a `routing_key` is for `form = \"pagerduty\"` alone";
    assert_eq!(problems.lines(&text, "t"), [expected]);
}

#[test]
fn the_reference_is_a_config() {
    let text = include_str!("../../../conf/reference.toml");
    let (config, _) = Config::parse(text).map_err(|p| p.render(text, "t", false)).unwrap();
    assert_eq!(config.notify.len(), 1);
    assert_eq!(config.notify[0].severity, Severity::default());
}

#[test]
fn each_mistake_has_its_place() {
    let cases = [
        ("name = \"x\"", "t:1:1: a target of notifications needs a `url`"),
        ("url = \"alerts.example.com\"", "t:2:7: bad value for `url`"),
        ("url = \"ftp://alerts.example.com\"", "t:2:7: bad value for `url`"),
        ("url = \"https://me:secret@example.com/\"", "t:2:7: bad value for `url`"),
        ("url = \"https://example.com:99999/\"", "t:2:7: bad value for `url`"),
        ("url = \"https://example.com:0/\"", "t:2:7: bad value for `url`"),
        ("url = \"https://example.com:/\"", "t:2:7: bad value for `url`"),
        ("url = \"https:///x\"", "t:2:7: bad value for `url`"),
        ("url = \"https://example.com/#a\"", "t:2:7: bad value for `url`"),
        ("url = \"http://a/\"\nform = \"xml\"", "t:3:8: bad value for `form`"),
        ("url = \"http://a/\"\nseverity = \"bad\"", "t:3:12: bad value for `severity`"),
        ("url = \"http://a/\"\nsecret_file = \"\"", "t:3:15: bad value for `secret_file`"),
        ("url = \"http://a/\"\nname = \" \"", "t:3:8: bad value for `name`"),
        (
            "url = \"http://a/\"\nform = \"pagerduty\"",
            "t:1:1: `form = \"pagerduty\"` needs a `routing_key`",
        ),
        (
            "url = \"http://a/\"\nform = \"pagerduty\"\nrouting_key = \"\"",
            "t:4:15: bad value for `routing_key`",
        ),
        (
            "url = \"http://a/\"\nheaders = { host = \"b\" }",
            "t:3:13: `host` cannot be set: Pointsman writes it itself",
        ),
        ("url = \"http://a/\"\nretries = 5", "t:3:1: unknown key `retries` in `notify`"),
        (
            "url = \"http://a/\"\n[[notify]]\nurl = \"http://a/b\"",
            "t:4:7: two targets of notifications named `a`",
        ),
    ];
    for (lines, expected) in cases {
        let found = parse(&format!("[[notify]]\n{lines}"));
        assert_eq!(found, Err(vec![expected.to_string()]), "{lines}");
    }
}

#[test]
fn a_reload_names_the_targets_that_change() {
    let old = "[[notify]]\nurl = \"http://a/\"\n[[notify]]\nurl = \"http://b/\"\ntimeout = \"9s\"";
    let new = "[[notify]]\nurl = \"http://b/x\"\n[[notify]]\nurl = \"http://c/\"";
    let changes = diff(&parse(old).unwrap(), &parse(new).unwrap(), &Live::default());
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let wanted = [
        "notify a: removed",
        // What comes after the host may be a secret.
        "notify b: url is another address at http://b",
        "notify b: timeout 9s → 5s",
        "notify c: added",
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn severities_are_ordered_and_read_as_they_are_written() {
    let all = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    assert!(all.is_sorted());
    for severity in all {
        assert_eq!(severity.to_string().parse(), Ok(severity));
        assert_eq!(serde_json::to_value(severity).unwrap(), severity.name());
    }
    assert_eq!("Critical".parse::<Severity>(), Err(SeverityError));
}

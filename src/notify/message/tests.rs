use super::*;
use crate::event::{Alert, Turn};

const ROLLOUT: Alert = Alert {
    name: "RolloutNeedsSomebody",
    turn: Turn::Opens,
    severities: &[Severity::High, Severity::Critical],
};

fn notice() -> Notice {
    Notice {
        id: 7,
        pointsman: "edge-1".into(),
        environment: "production".into(),
        at: WallTime::from_millis(1_700_000_000_500),
        severity: Severity::Critical,
        kind: "rollout".into(),
        service: "shop".into(),
        pool: "green".into(),
        upstream: String::new(),
        labels: Default::default(),
        what: "rolled back: 8.1 % of 120 requests failed, > 5 %".into(),
        author: "judge".into(),
        state: "blue has 100 %".into(),
        next: Some("pointsman history shop".into()),
        runbook: Some("docs/runbooks/rollout-taken-back.md".into()),
        trace: Some("0af7".into()),
        topic: "shop///rollout 7".into(),
        dedup: "rollout/shop".into(),
        only_for: None,
        is_relief: false,
        alert: Some(ROLLOUT),
    }
}

fn written(form: Form, notice: &Notice, suppressed: u64) -> Value {
    let key = RoutingKey::of("R0UTING").unwrap();
    serde_json::from_slice(&write(form, Some(&key), notice, suppressed)).unwrap()
}

#[test]
fn programs_get_every_field() {
    let expected = json!({
        "id": "notice_1700000000500_7", "type": "notice", "at": 1_700_000_000.5,
        "pointsman": "edge-1", "environment": "production", "author": "judge",
        "topic": "shop///rollout 7", "labels": {},
        "severity": "critical", "kind": "rollout", "service": "shop", "pool": "green",
        "upstream": "", "what": "rolled back: 8.1 % of 120 requests failed, > 5 %",
        "state": "blue has 100 %", "next": "pointsman history shop",
        "runbook": "docs/runbooks/rollout-taken-back.md", "dedup": "rollout/shop",
        "key": "pointsman/production/edge-1/shop///rollout 7", "alert": "RolloutNeedsSomebody",
        "status": "open",
        "trace_id": "0af7", "suppressed": 3,
    });
    assert_eq!(written(Form::Json, &notice(), 3), expected);
}

#[test]
fn people_get_cause_state_and_the_next_command() {
    let expected = json!({
        "text": "*CRITICAL* shop/green: rolled back: 8.1 % of 120 requests failed, &gt; 5 %",
        "attachments": [{
            "color": "#c92a2a",
            "fallback": "blue has 100 %; next: pointsman history shop",
            "fields": [
                {"title": "State", "value": "blue has 100 %", "short": false},
                {"title": "Next", "value": "`pointsman history shop`", "short": false},
                {
                    "title": "Runbook", "value": "docs/runbooks/rollout-taken-back.md",
                    "short": false,
                },
                {"title": "Trace", "value": "`0af7`", "short": false},
                {"title": "Suppressed", "value": "3 more like this before", "short": false},
                {"title": "Pointsman", "value": "edge-1 (production)", "short": false},
            ],
        }],
    });
    assert_eq!(written(Form::Slack, &notice(), 3), expected);
    let (service, pool) = (String::new(), String::new());
    let (next, runbook, trace) = (None, None, None);
    let whole = Notice { service, pool, next, runbook, trace, ..notice() };
    let short = written(Form::Slack, &whole, 0);
    assert!(short["text"].as_str().unwrap().starts_with("*CRITICAL* pointsman: "), "{short}");
    assert_eq!(short["attachments"][0]["fields"].as_array().unwrap().len(), 2);
}

#[test]
fn nothing_in_a_text_marks_or_calls_anybody() {
    assert_eq!(escape("<!channel> & co"), "&lt;!channel&gt; &amp; co");
    assert_eq!(escape("a*b_c~d`e\n"), "a\u{2060}*b\u{2060}_c\u{2060}~d\u{2060}`e ");
    assert_eq!(escape_command("x `y` <z>"), "x y &lt;z&gt;");
}

fn of(turn: Turn, severity: Severity) -> Notice {
    Notice { severity, alert: Some(Alert { turn, ..ROLLOUT }), ..notice() }
}

#[test]
fn alertmanager_gets_an_alert_that_is_opened_and_closed_by_the_same_labels() {
    let labels = |severity: &str| {
        json!({
            "alertname": "RolloutNeedsSomebody", "severity": severity, "instance": "edge-1",
            "environment": "production", "service": "shop", "pool": "green", "kind": "rollout",
            "key": "pointsman/production/edge-1/shop///rollout 7",
        })
    };
    let annotations = json!({
        "summary": "shop/green: rolled back: 8.1 % of 120 requests failed, > 5 %",
        "state": "blue has 100 %", "next": "pointsman history shop",
        "runbook": "docs/runbooks/rollout-taken-back.md", "author": "judge", "trace_id": "0af7",
        "suppressed": "3",
    });
    let (at, week, hours) =
        ("2023-11-14T22:13:20.5Z", "2023-11-21T22:13:20.5Z", "2023-11-15T02:13:20.5Z");
    let ended =
        |severity| json!({"labels": labels(severity), "annotations": annotations, "endsAt": at});
    let open = |until| {
        json!({
            "labels": labels("critical"), "annotations": annotations, "startsAt": at, "endsAt": until,
        })
    };
    let told = |turn| written(Form::Alertmanager, &of(turn, Severity::Critical), 3);
    assert_eq!(told(Turn::Opens), json!([ended("high"), open(week)]));
    assert_eq!(told(Turn::Stays), json!([ended("high"), open(hours)]));
    assert_eq!(told(Turn::Closes), json!([ended("high"), ended("critical")]));
}

#[test]
fn receivers_of_alertmanager_know_an_alert_by_its_fingerprint() {
    let open = written(Form::AlertmanagerWebhook, &of(Turn::Opens, Severity::Critical), 0);
    let over = written(Form::AlertmanagerWebhook, &of(Turn::Closes, Severity::Low), 0);
    assert_eq!(
        (&open["version"], &open["status"], &over["status"]),
        (&json!("4"), &json!("firing"), &json!("resolved"),)
    );
    let (open, over) = (&open["alerts"][0], &over["alerts"][0]);
    assert_eq!(open["fingerprint"], over["fingerprint"]);
    assert_eq!(open["fingerprint"].as_str().unwrap().len(), 16);
    assert_eq!(
        (&open["endsAt"], &over["endsAt"]),
        (&json!("0001-01-01T00:00:00Z"), &json!("2023-11-14T22:13:20.5Z"),)
    );
    assert_eq!(open["labels"]["severity"], "critical");
}

#[test]
fn pagerduty_gets_an_event_that_triggers_and_one_that_resolves_by_the_same_key() {
    let key = "pointsman/production/edge-1/shop///rollout 7";
    let open = written(Form::PagerDuty, &of(Turn::Opens, Severity::High), 3);
    let expected = json!({
        "routing_key": "R0UTING", "event_action": "trigger", "dedup_key": key, "client": "Pointsman",
        "payload": {
            "summary": "shop/green: rolled back: 8.1 % of 120 requests failed, > 5 %",
            "source": "edge-1", "severity": "error", "timestamp": "2023-11-14T22:13:20.5Z",
            "component": "shop/green", "group": "production", "class": "RolloutNeedsSomebody",
            "custom_details": {
                "id": "notice_1700000000500_7", "severity": "high", "service": "shop",
                "pool": "green", "upstream": "", "labels": {}, "instance": "edge-1",
                "environment": "production", "state": "blue has 100 %",
                "next": "pointsman history shop",
                "runbook": "docs/runbooks/rollout-taken-back.md", "author": "judge",
                "trace_id": "0af7", "suppressed": 3,
            },
        },
    });
    assert_eq!(open, expected);
    let over = written(Form::PagerDuty, &of(Turn::Closes, Severity::Low), 0);
    assert_eq!(
        over,
        json!({"routing_key": "R0UTING", "event_action": "resolve", "dedup_key": key})
    );
}

#[test]
fn a_key_is_short_enough_and_still_of_one_topic() {
    let of = |topic: String| Notice { topic, ..notice() }.key();
    let (long, other) = (of("x".repeat(999)), of(format!("{}y", "x".repeat(998))));
    assert!(long.len() <= 255 && other.len() <= 255 && long != other, "{long}");
    let wide = of("é".repeat(300));
    assert!(wide.len() <= 255 && wide != of("é".repeat(301)), "{wide}");
}

#[test]
fn what_others_have_written_calls_and_marks_nobody_in_any_form() {
    let what = "<!channel> <@U1> \u{1b}[2J\u{202e}txt {{ .Alerts }}\nend".to_string();
    let notice = Notice { what: what.clone(), author: what, ..notice() };
    for form in Form::ALL {
        let text = written(form, &notice, 0).to_string();
        // Programs get it as it is, in JSON, where all of it is data.
        if form == Form::Json {
            continue;
        }
        assert!(!text.contains("\u{202e}") && !text.contains("\\u001b"), "{form:?}: {text}");
        assert!(!text.contains("\\n"), "{form:?}: {text}");
        if form != Form::PagerDuty {
            assert!(!text.contains("<!") && !text.contains("<@"), "{form:?}: {text}");
        }
    }
    assert!(plain(&"x".repeat(9_000)).chars().count() == LONGEST);
}

#[test]
fn a_text_is_cut_where_characters_end() {
    assert_eq!(["", "abc", "abcd", "äöüß"].map(|text| cut(text, 3)), ["", "abc", "ab…", "äö…"]);
}

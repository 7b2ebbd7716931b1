//! A notice as it is written: the notice and how many like it were kept back in, JSON out.

use serde_json::{Value, json};

use super::{Notice, Severity};
use crate::config::Form;

/// The same for every attempt to tell it, so that receivers can tell. Without a full stop, which
/// parts the id from the time in what is signed.
pub fn id(notice: &Notice) -> String {
    format!("notice_{}_{}", notice.at.millis(), notice.id)
}

/// The body of a call. `suppressed`: notices of the same key that were not told since the last.
pub fn write(form: Form, notice: &Notice, suppressed: u64) -> Vec<u8> {
    let value = match form {
        Form::Json => plain(notice, suppressed),
        Form::Slack => slack(notice, suppressed),
    };
    value.to_string().into_bytes()
}

fn plain(notice: &Notice, suppressed: u64) -> Value {
    json!({
        "id": id(notice),
        "type": "notice",
        "at": notice.at.seconds(),
        "pointsman": notice.pointsman,
        "environment": notice.environment,
        "severity": notice.severity,
        "kind": notice.kind,
        "service": notice.service,
        "pool": notice.pool,
        "upstream": notice.upstream,
        "labels": notice.labels.to_map(),
        "what": notice.what,
        "author": notice.author,
        "state": notice.state,
        "next": notice.next,
        "runbook": notice.runbook,
        "trace_id": notice.trace,
        "topic": notice.topic,
        "dedup": notice.dedup,
        "suppressed": suppressed,
    })
}

/// Text, and one attachment with a colour, a fallback and fields: what Mattermost, Rocket.Chat and
/// Discord take of Slack's form as well; they know no blocks.
fn slack(notice: &Notice, suppressed: u64) -> Value {
    let place = notice.place();
    let place = if place.is_empty() { "pointsman".into() } else { escape(&place) };
    let severity = notice.severity.name().to_uppercase();
    let text = format!("*{severity}* {place}: {}", escape(&notice.what));
    let field =
        |title: &str, value: String| json!({"title": title, "value": value, "short": false});
    let mut fields = Vec::new();
    if !notice.state.is_empty() {
        fields.push(field("State", escape(&notice.state)));
    }
    if let Some(next) = &notice.next {
        fields.push(field("Next", format!("`{}`", escape_command(next))));
    }
    if let Some(runbook) = &notice.runbook {
        fields.push(field("Runbook", escape(runbook)));
    }
    if let Some(trace) = &notice.trace {
        fields.push(field("Trace", format!("`{}`", escape_command(trace))));
    }
    if suppressed > 0 {
        fields.push(field("Suppressed", format!("{suppressed} more like this before")));
    }
    let whose = match &*notice.environment {
        "" => notice.pointsman.to_string(),
        environment => format!("{} ({environment})", notice.pointsman),
    };
    fields.push(field("Pointsman", escape(&whose)));
    let fallback = match &notice.next {
        Some(next) => format!("{}; next: {next}", notice.state),
        None => notice.state.clone(),
    };
    let colour = match notice.severity {
        Severity::Low => "#2eb886",
        Severity::Medium => "#daa038",
        Severity::High => "#e8590c",
        Severity::Critical => "#c92a2a",
    };
    let attachment = json!({"color": colour, "fallback": escape(&fallback), "fields": fields});
    json!({"text": text, "attachments": [attachment]})
}

/// A text that Slack shows as it is: the three characters that it reads as its own are written as it
/// wants them, and the marks of bold, italic, struck and fixed text are kept from marking anything by
/// a character without width.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '*' | '_' | '~' | '`' => escaped.extend(['\u{2060}', character]),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

/// A command, to be copied: nothing without width in it, and nothing that ends its fixed text.
fn escape_command(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '`' && !c.is_control()).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;

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
            is_relief: false,
        }
    }

    fn written(form: Form, notice: &Notice, suppressed: u64) -> Value {
        serde_json::from_slice(&write(form, notice, suppressed)).unwrap()
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
}

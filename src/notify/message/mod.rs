//! A notice as it is written: the notice and how many like it were kept back in, JSON out.

//!
//! What others have written (names, reasons, answers) is data in each form: it neither marks nor calls anybody.

mod alertmanager;
mod pagerduty;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Notice, Severity};
use crate::clock::WallTime;
use crate::config::{Form, RoutingKey};

pub use alertmanager::lasts;

/// The same for every attempt to tell it, so that receivers can tell. Without a full stop, which
/// parts the id from the time in what is signed.
pub fn id(notice: &Notice) -> String {
    format!("notice_{}_{}", notice.at.millis(), notice.id)
}

/// The body of a call. `suppressed`: notices of the same key that were not told since the last.
pub fn write(form: Form, key: Option<&RoutingKey>, notice: &Notice, suppressed: u64) -> Vec<u8> {
    let value = match form {
        Form::Json => fields(notice, suppressed),
        Form::Slack => slack(notice, suppressed),
        Form::Alertmanager => alertmanager::posted(notice, suppressed),
        Form::AlertmanagerWebhook => alertmanager::received(notice, suppressed),
        Form::PagerDuty => pagerduty::event(key, notice, suppressed),
    };
    value.to_string().into_bytes()
}

/// The body of a call that reminds Alertmanager of what is open.
pub fn again(notices: &[Arc<Notice>]) -> Vec<u8> {
    alertmanager::again(notices).to_string().into_bytes()
}

fn fields(notice: &Notice, suppressed: u64) -> Value {
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
        "key": notice.key(),
        "alert": notice.alert.map(|alert| alert.name),
        "status": notice.alert.map(|alert| alert.turn.name()),
        "suppressed": suppressed,
    })
}

/// Where and what, in one line.
fn summary(notice: &Notice) -> String {
    match notice.place() {
        place if place.is_empty() => notice.what.clone(),
        place => format!("{place}: {}", notice.what),
    }
}

/// As RFC 3339 has it, in UTC.
fn time(at: WallTime) -> String {
    let at =
        i64::try_from(at.millis()).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    // A time that no calendar has is none of ours.
    at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// The longest text that is told of one thing, in characters: what others have written may be long.
const LONGEST: usize = 4_000;

/// A text for whoever shows it as it is: nothing in it that a terminal obeys or that turns the direction of
/// writing.
fn plain(text: &str) -> String {
    cut(&text.chars().map(|c| if is_obeyed(c) { ' ' } else { c }).collect::<String>(), LONGEST)
}

/// Whether whoever shows it does something for it: controls, and what turns the direction of writing.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest.saturating_sub(1)) {
        Some((end, _)) if text[end..].chars().nth(1).is_some() => format!("{}…", &text[..end]),
        _ => text.to_string(),
    }
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
            character if is_obeyed(character) => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

/// A command, to be copied: nothing without width in it, and nothing that ends its fixed text.
fn escape_command(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != '`' && !is_obeyed(*c)).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;

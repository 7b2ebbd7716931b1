//! Alerts as Alertmanager has them: a notice in; what is posted to its API, and what it posts to its receivers,
//! out.
//!
//! An alert is what its labels are: severity among them, by which routes go. So whatever an alert may be
//! open with besides is closed with each word of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{Notice, Severity};
use super::{plain, summary, time};
use crate::clock::WallTime;
use crate::event::Turn;

/// How long an alert lasts that is not closed: longer than trouble does that somebody is called for.
/// Alertmanager would end it after five minutes.
const LASTS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long one lasts that nothing closes.
const STAYS: Duration = Duration::from_secs(4 * 60 * 60);

/// What a receiver takes for an alert that has not ended.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The body of `POST /api/v2/alerts`: the alert, and the same with other severities that has ended.
pub fn posted(notice: &Notice, suppressed: u64) -> Value {
    alerts(notice).into_iter().map(|said| alert(notice, said, suppressed)).collect()
}

/// Each severity that the alert is said of, and when it ends with that.
fn alerts(notice: &Notice) -> Vec<(Severity, WallTime)> {
    let turn = notice.turn();
    let others = notice.alert.map_or(&[][..], |alert| alert.severities).iter();
    let over = others.filter(|severity| turn == Turn::Closes || **severity != notice.severity);
    let mut alerts: Vec<_> = over.map(|severity| (*severity, notice.at)).collect();
    if turn != Turn::Closes {
        alerts.push((notice.severity, notice.at + lasts(notice)));
    }
    alerts
}

/// How long an alert lasts that is not closed.
pub fn lasts(notice: &Notice) -> Duration {
    match notice.turn() {
        Turn::Opens => LASTS,
        Turn::Stays => STAYS,
        Turn::Closes => Duration::ZERO,
    }
}

/// What is still open of these, once more.
pub fn again(notices: &[Arc<Notice>]) -> Value {
    let all =
        notices.iter().map(|notice| alert(notice, (notice.severity, notice.at + lasts(notice)), 0));
    all.collect()
}

fn alert(notice: &Notice, (severity, ends): (Severity, WallTime), suppressed: u64) -> Value {
    let mut alert = json!({
        "labels": labels(notice, severity),
        "annotations": annotations(notice, suppressed),
        "endsAt": time(ends),
    });
    // Without a start Alertmanager takes the end for it.
    if ends > notice.at {
        alert["startsAt"] = time(notice.at).into();
    }
    alert
}

/// What Alertmanager posts to a receiver: one alert, which a receiver knows by its fingerprint.
pub fn received(notice: &Notice, suppressed: u64) -> Value {
    let is_over = notice.turn() == Turn::Closes;
    let status = if is_over { "resolved" } else { "firing" };
    // Here the fingerprint says which alert it is, whatever its labels.
    let (labels, annotations) = (labels(notice, notice.severity), annotations(notice, suppressed));
    let key = notice.key();
    json!({
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "pointsman",
        "groupLabels": {"alertname": labels["alertname"]},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": time(notice.at),
            "endsAt": if is_over { time(notice.at) } else { NEVER.into() },
            "generatorURL": "",
            "fingerprint": fingerprint(&key),
        }],
    })
}

/// Sixteen digits, as Alertmanager's are.
fn fingerprint(key: &str) -> String {
    Sha256::digest(key).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What makes it this alert. An empty label is none.
fn labels(notice: &Notice, severity: Severity) -> BTreeMap<&'static str, String> {
    let all = [
        ("alertname", notice.alert_name()),
        ("severity", severity.name().into()),
        ("instance", notice.pointsman.to_string()),
        ("environment", notice.environment.to_string()),
        ("service", notice.service.clone()),
        ("pool", notice.pool.clone()),
        ("upstream", notice.upstream.clone()),
        ("kind", notice.kind.clone()),
        ("key", notice.key()),
    ];
    all.into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name, plain(&text)))
        .collect()
}

fn annotations(notice: &Notice, suppressed: u64) -> BTreeMap<&'static str, String> {
    let all = [
        ("summary", summary(notice)),
        ("state", notice.state.clone()),
        ("next", notice.next.clone().unwrap_or_default()),
        ("runbook", notice.runbook.clone().unwrap_or_default()),
        ("author", notice.author.clone()),
        ("trace_id", notice.trace.clone().unwrap_or_default()),
        ("labels", notice.labels.to_string()),
        ("suppressed", if suppressed > 0 { suppressed.to_string() } else { String::new() }),
    ];
    let quiet = |text: &str| unmarked(&plain(text));
    all.into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name, quiet(&text)))
        .collect()
}

/// A text that calls nobody where Alertmanager passes it on as it is: Slack's `<!channel>` and `<@U1>`
/// are taken apart by a character without width.
fn unmarked(text: &str) -> String {
    text.replace("<!", "<\u{2060}!").replace("<@", "<\u{2060}@")
}

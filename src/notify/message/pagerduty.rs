//! Events as PagerDuty takes them (Events API, version 2): a notice and the key of a service in, what is posted
//! out.

use serde_json::{Value, json};

use super::super::{Notice, Severity};
use super::{cut, plain, summary, time};
use crate::config::RoutingKey;
use crate::event::Turn;

/// The longest summary that it takes, in characters.
const LONGEST_SUMMARY: usize = 1024;

/// The body of `POST /v2/enqueue`.
pub fn event(key: Option<&RoutingKey>, notice: &Notice, suppressed: u64) -> Value {
    let mut event = json!({
        "routing_key": key.map_or("", RoutingKey::text),
        "event_action": if notice.turn() == Turn::Closes { "resolve" } else { "trigger" },
        "dedup_key": notice.key(),
    });
    if notice.turn() == Turn::Closes {
        return event;
    }
    let details = json!({
        "id": super::id(notice),
        "severity": notice.severity,
        "service": plain(&notice.service),
        "pool": plain(&notice.pool),
        "upstream": plain(&notice.upstream),
        "labels": notice.labels.to_map(),
        "instance": notice.pointsman,
        "environment": notice.environment,
        "state": plain(&notice.state),
        "next": notice.next.as_deref().map(plain),
        "runbook": notice.runbook,
        "author": plain(&notice.author),
        "trace_id": notice.trace,
        "suppressed": suppressed,
    });
    event["client"] = "Pointsman".into();
    event["payload"] = json!({
        "summary": cut(&plain(&summary(notice)), LONGEST_SUMMARY),
        "source": notice.pointsman,
        "severity": severity(notice.severity),
        "timestamp": time(notice.at),
        "component": plain(&notice.place()),
        "group": notice.environment,
        "class": notice.alert_name(),
        "custom_details": details,
    });
    event
}

/// Its four words for ours.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "info",
    }
}

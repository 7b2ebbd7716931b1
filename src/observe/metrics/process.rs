//! What is said of what belongs to no service: connections, certificates, config, store, and who is told.

use std::sync::atomic::Ordering;

use super::super::commits::COMMIT_BOUNDS;
use super::super::families::{Buckets, Families};
use super::super::{Process, declared};
use super::{one_if, read};
use crate::config::Severity;
use crate::snapshot::Snapshot;
use crate::traces::Dropped;
use crate::wire::limited::Limited;
use crate::wire::tls::handshake::Handshake;

pub(super) fn of_certificates(families: &mut Families, snapshot: &Snapshot, process: &Process) {
    let mut expires = |certificate: &str, name: &str, until: u64| {
        families.put(&declared::CERTIFICATE_EXPIRY, &[certificate, name], until as f64);
    };
    for (file, pair) in snapshot.config.certificates.pairs() {
        let name = pair.about.names.first().map_or("", |name| name);
        expires(&file.to_string_lossy(), name, pair.about.until);
    }
    let Some(ordered) = process.ordered() else { return };
    for ordered in ordered.list() {
        // By the name that its orders are counted by, whatever the authority has put first.
        expires(&ordered.name(), &ordered.holder.to_string(), ordered.pair.about.until);
    }
    for (name, counts) in ordered.counts() {
        for (result, count) in [("issued", counts.issued), ("failed", counts.failed)] {
            families.put(&declared::CERTIFICATE_ORDERS, &[&*name, result], count as f64);
        }
    }
}

pub(super) fn of_connections(families: &mut Families, snapshot: &Snapshot, process: &Process) {
    let most = snapshot.config.server.client.connections.min(process.client_room());
    families.put(&declared::CONNECTIONS_LIMIT, &[], most as f64);
    for listener in process.listeners() {
        let of = [listener.address.as_str()];
        let open = listener.open.load(Ordering::Relaxed) as f64;
        families.put(&declared::CONNECTIONS_OPEN, &of, open);
        families.put(&declared::CONNECTIONS_ACCEPTED, &of, read(&listener.accepted));
        families.put(&declared::CONNECTIONS_REFUSED, &of, read(&listener.refused));
        families.put(&declared::ACCEPTS_FAILED, &of, read(&listener.lacked));
        // Of one that speaks no TLS there is nothing to tell.
        let ended = Handshake::ALL.map(|how| (how, listener.handshakes.count(how)));
        if ended.iter().any(|(_, count)| *count > 0) {
            for (how, count) in ended {
                families.put(&declared::HANDSHAKES, &[of[0], how.name()], count as f64);
            }
        }
    }
    for (reason, count) in process.limited().into_iter().flat_map(Limited::counts) {
        families.put(&declared::CONNECTIONS_LIMITED, &[reason], count as f64);
    }
}

pub(super) fn of_process(families: &mut Families, process: &Process) {
    for (name, resolves) in process.names() {
        families.put(&declared::NAME_RESOLVES, &[&*name.to_string()], one_if(resolves));
    }
    let gauges = process.gauges();
    for (result, count) in [("success", gauges.reloads), ("refused", gauges.refused_reloads)] {
        families.put(&declared::RELOADS, &[result], count as f64);
    }
    families.put(&declared::COMMANDS, &[], gauges.commands as f64);
    if let Some((last, refusals)) = process.requests() {
        for (reason, count) in refusals.counts() {
            families.put(&declared::REFUSED, &[reason], count as f64);
        }
        for (did, count) in refusals.odd_names() {
            families.put(&declared::ODD_FIELD_NAMES, &[did], count as f64);
        }
        families.put(&declared::NOT_REMEMBERED, &[], last.left_out() as f64);
        families.put(&declared::REMEMBERED, &[], last.bytes() as f64);
    }
    let reloaded = one_if(gauges.last_reload_successful);
    families.put(&declared::LAST_RELOAD_SUCCESSFUL, &[], reloaded);
    families.put(&declared::WAITS_FOR_RELOAD, &[], one_if(gauges.waits_for_reload));
    families.put(&declared::LAST_RELOAD_SUCCESS, &[], gauges.last_reload_success);
    families.put(&declared::STORE_WRITABLE, &[], one_if(gauges.is_store_writable));
    families.put(&declared::STORE_QUEUE, &[], gauges.store_queue as f64);
    let severities = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    for (severity, count) in severities.iter().zip(gauges.open_incidents) {
        families.put(&declared::INCIDENTS, &[severity.name()], count as f64);
    }
    families.put(&declared::ALERTS_FIRING, &[], gauges.alerts_firing as f64);
    let commits = process.commits().read();
    for (result, count) in [("success", commits.kept), ("failure", commits.failed)] {
        families.put(&declared::STORE_COMMITS, &[result], count as f64);
    }
    let (counts, sum) = (&commits.durations, commits.sum.as_secs_f64());
    let buckets = Buckets { bounds: &COMMIT_BOUNDS, counts, sum, exemplars: &[] };
    families.histogram(&declared::STORE_COMMIT_DURATION, &[], buckets);
    families.put(&declared::START_TIME, &[], gauges.started);
    families.put(&declared::BUILD_INFO, &[env!("CARGO_PKG_VERSION")], 1.0);
}

pub(super) fn of_what_is_told(
    families: &mut Families,
    process: &Process,
    events: &[(String, Severity, u64)],
) {
    for (code, severity, count) in events {
        families.put(&declared::EVENTS, &[code, severity.name()], *count as f64);
    }
    for target in process.notify_targets() {
        let waiting = target.waiting.load(Ordering::Relaxed) as f64;
        families.put(&declared::NOTIFICATIONS_WAITING, &[&*target.name], waiting);
        for (result, count) in [
            ("sent", &target.sent),
            ("failed", &target.failed),
            ("dropped", &target.dropped),
            ("suppressed", &target.suppressed),
        ] {
            families.put(&declared::NOTIFICATIONS, &[&*target.name, result], read(count));
        }
    }
    let automation = process.automation();
    for ((rule, action, outcome), count) in automation.acts {
        families.put(&declared::AUTOMATION_ACTS, &[&*rule, action, outcome], count as f64);
    }
    if let Some(is_stopped) = automation.is_stopped {
        families.put(&declared::AUTOMATION_STOPPED, &[], f64::from(u8::from(is_stopped)));
    }
    if let Some(log) = process.access_log() {
        families.put(&declared::ACCESS_LOG_LINES, &[], log.written() as f64);
        families.put(&declared::ACCESS_LOG_DROPPED, &[], log.dropped() as f64);
    }
    if let Some(traces) = process.traces() {
        families.put(&declared::SPANS_SENT, &[], traces.sent() as f64);
        for why in Dropped::ALL {
            families.put(&declared::SPANS_DROPPED, &[why.name()], traces.dropped(why) as f64);
        }
    }
}

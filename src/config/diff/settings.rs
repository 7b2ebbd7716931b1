//! A service's settings, key by key: two services in, `old → new` for each that changed out.

use std::time::Duration;

use super::Service;
use crate::balance::Policy;
use crate::clock::in_words;
use crate::upstream::Probe;

/// One table as pairs of a key and its value in words; none if it is off.
type Table = Option<Vec<(&'static str, String)>>;

/// What changed among the settings that can be said in a word.
pub(super) fn changed_settings(old: &Service, new: &Service) -> Vec<String> {
    let mut lines = Vec::new();
    let (a, b) = (&*old.stability, &*new.stability);
    let tables = [
        ("timeouts", old.timeouts != new.timeouts, timeouts(old), timeouts(new)),
        ("health", a.health != b.health, health(old), health(new)),
        ("ejection", a.ejection != b.ejection, ejection(old), ejection(new)),
        ("breaker", a.breaker != b.breaker, breaker(old), breaker(new)),
        ("retries", a.retries != b.retries, retries(old), retries(new)),
        ("balance", a.balance != b.balance, balance(old), balance(new)),
        ("limits", a.limits != b.limits, limits(old), limits(new)),
        ("slo", old.slo != new.slo, slo(old), slo(new)),
        ("rollout", rollout(old) != rollout(new), rollout(old), rollout(new)),
    ];
    for (table, _, old, new) in tables.into_iter().filter(|(_, changed, ..)| *changed) {
        let before = lines.len();
        match (old, new) {
            (Some(old), Some(new)) => {
                let pairs = old.into_iter().zip(new).filter(|(old, new)| old != new);
                let line = |((key, old), (_, new))| format!("{table}.{key} {old} → {new}");
                lines.extend(pairs.map(line));
            }
            (old, new) => lines.push(format!("{table} {} → {}", switch(&old), switch(&new))),
        }
        // What has no word of its own, such as the fields of a probe.
        if lines.len() == before {
            lines.push(format!("{table} changed"));
        }
    }
    lines
}

fn switch(table: &Table) -> &'static str {
    if table.is_some() { "on" } else { "off" }
}

fn timeouts(of: &Service) -> Table {
    let of = &of.timeouts;
    Some(vec![
        ("connect", time(of.connect)),
        ("response", time(of.response)),
        ("idle", time(of.idle)),
        ("pool_idle", time(of.pool_idle)),
    ])
}

/// Hooks and smoke requests are no words, and said by the one who asks.
fn rollout(of: &Service) -> Table {
    let of = &*of.rollout;
    let steps: Vec<String> = of.steps.iter().map(ToString::to_string).collect();
    Some(vec![
        ("strategy", of.strategy.name().into()),
        ("steps", steps.join(",")),
        ("hold", time(of.hold)),
        ("min_requests", of.min_requests.to_string()),
        ("longest_step", time(of.longest_step)),
        ("guard.errors", of.guard.errors.to_string()),
        ("guard.requests", of.guard.requests.to_string()),
        ("guard.within", time(of.guard.within)),
        ("watch", time(of.watch)),
        ("ready_within", time(of.ready_within)),
        ("drain", time(of.drain)),
        ("at_once", of.at_once.to_string()),
    ])
}

fn slo(of: &Service) -> Table {
    let of = of.slo.as_ref()?;
    let availability = of.objectives.iter().find(|objective| objective.name() == "availability");
    let latencies: Vec<String> = of
        .latencies()
        .map(|(quantile, at_most)| format!("{} {}", quantile.name(), time(at_most)))
        .collect();
    let latencies = (!latencies.is_empty()).then(|| latencies.join(","));
    let days = of.window.as_secs() / (24 * 60 * 60);
    Some(vec![
        ("availability", or_none(availability.map(|objective| objective.target()))),
        ("latency", or_none(latencies)),
        ("window", format!("{days}d")),
    ])
}

fn health(of: &Service) -> Table {
    let of = of.stability.health.as_ref()?;
    let probe = match &of.probe {
        Probe::Http(http) => {
            let scheme = if http.tls { "https" } else { "http" };
            format!("{scheme} {} {}", http.method, http.path)
        }
        Probe::Tcp => "tcp".into(),
        Probe::Grpc(grpc) => format!("grpc {}", grpc.service).trim_end().into(),
    };
    Some(vec![
        ("probe", probe),
        ("interval", time(of.interval)),
        ("timeout", time(of.timeout)),
        ("rise", of.rise.to_string()),
        ("fall", of.fall.to_string()),
        ("agent", of.agent.to_string()),
    ])
}

fn ejection(of: &Service) -> Table {
    let of = of.stability.ejection.as_ref()?;
    Some(vec![
        ("failures", of.failures.to_string()),
        ("time", time(of.time)),
        ("longest", time(of.longest)),
        ("share", of.share.to_string()),
    ])
}

fn breaker(of: &Service) -> Table {
    let of = of.stability.breaker.as_ref()?;
    Some(vec![
        ("failures", of.failures.to_string()),
        ("requests", of.requests.to_string()),
        ("open", time(of.open)),
        ("longest", time(of.longest)),
        ("trials", of.trials.to_string()),
        ("successes", of.successes.to_string()),
        ("slow", or_none(of.slow.map(time))),
        ("slow_share", of.slow_share.to_string()),
    ])
}

fn retries(of: &Service) -> Table {
    let of = &of.stability.retries;
    let statuses: Vec<String> = of.statuses.iter().map(u16::to_string).collect();
    let statuses = (!statuses.is_empty()).then(|| statuses.join(","));
    Some(vec![
        ("attempts", of.attempts.to_string()),
        ("statuses", or_none(statuses)),
        ("try", or_none(of.per_try.map(time))),
        ("total", time(of.total)),
        ("budget", of.budget.to_string()),
        ("backoff", time(of.backoff)),
        ("shield", of.shield.to_string()),
    ])
}

fn balance(of: &Service) -> Table {
    let of = &of.stability.balance;
    let by = match of.by {
        Policy::Latency => "latency",
        Policy::LeastRequests => "least-requests",
        Policy::RoundRobin => "round-robin",
        Policy::ConsistentHash => "consistent-hash",
    };
    Some(vec![
        ("by", by.into()),
        ("slow_start", time(of.slow_start)),
        ("panic", of.panic.to_string()),
    ])
}

fn limits(of: &Service) -> Table {
    let of = &of.stability.limits;
    Some(vec![
        ("in_flight", or_none(of.in_flight)),
        ("upstream_in_flight", or_none(of.upstream_in_flight)),
        ("queue", of.queue.to_string()),
        ("queue_timeout", time(of.queue_timeout)),
        ("adaptive", of.adaptive.to_string()),
        ("throttle", of.throttle.to_string()),
    ])
}

fn time(length: Duration) -> String {
    in_words(length)
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string())
}

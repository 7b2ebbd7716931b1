//! What a service does when upstreams fail: its tables in, checked settings out.

use std::ops::RangeInclusive;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use toml::de::DeValue;

use super::fallback::fallback;
use super::section::{Section, nearest, wrong_kind};
use super::server::network;
use super::sticky::hash;
use super::values::{header_name, warn_if_above};
use super::{Maintenance, Pool, Problem, Problems, Stability};
use crate::balance::{BalanceSettings, LimitSettings, Policy, RetrySettings};
use crate::fallback::Fallback;
use crate::upstream::{BreakerSettings, EjectionSettings, GrpcProbe, Health, HttpProbe, Probe};

/// Reads all of a service's tables on failures; `pools` if they could be read.
pub(super) fn stability(
    service: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
) -> Stability {
    let default = Stability::default();
    let health = service.section(problems, "health");
    let health = health.and_then(|section| health_of(section, problems));
    let retries = service.section(problems, "retries").map(|section| retries(section, problems));
    let balance = service.section(problems, "balance").map(|section| balance(section, problems));
    let limits = service.section(problems, "limits").map(|section| limits(section, problems));
    let maintenance = service.section(problems, "maintenance");
    let mut maintenance =
        maintenance.map(|section| maintenance_of(section, problems)).unwrap_or_default();
    if maintenance.paths.is_empty()
        && let Some(Probe::Http(probe)) = health.as_ref().map(|health| &health.probe)
    {
        // Whoever asks for health asks for it during maintenance too.
        maintenance.paths.push(probe.path.path().to_string());
    }
    Stability {
        health: health.map(Arc::new),
        ejection: or_off(service, problems, "ejection", ejection),
        breaker: or_off(service, problems, "breaker", breaker),
        retries: retries.unwrap_or(default.retries),
        balance: balance.unwrap_or(default.balance),
        limits: limits.unwrap_or(default.limits),
        fallback: fallback_of(service, problems, pools),
        maintenance,
    }
}

/// A table, or `false` for none; the defaults if the key is not there.
fn or_off<T: Default>(
    service: &mut Section<'_>,
    problems: &mut Problems,
    key: &'static str,
    read: impl Fn(Section<'_>, &mut Problems) -> T,
) -> Option<T> {
    let Some(value) = service.value(key) else { return Some(T::default()) };
    match value.get_ref() {
        DeValue::Boolean(false) => None,
        DeValue::Table(_) => service.section(problems, key).map(|section| read(section, problems)),
        _ => {
            problems.0.push(wrong_kind(key, value, "a table, or `false`"));
            None
        }
    }
}

fn health_of(mut section: Section<'_>, problems: &mut Problems) -> Option<Health> {
    let http = section.section(problems, "http").map(|section| http(section, problems));
    let tcp = section.boolean(problems, "tcp") == Some(true);
    let grpc = section.section(problems, "grpc").map(|section| grpc(section, problems));
    let kinds = [http.map(Probe::Http), tcp.then_some(Probe::Tcp), grpc.map(Probe::Grpc)];
    let mut kinds = kinds.into_iter().flatten();
    let (probe, another) = (kinds.next(), kinds.next());
    let mistake = match (&probe, &another) {
        (None, _) => Some("a health check needs one of `http`, `tcp` or `grpc`"),
        (_, Some(_)) => Some("a health check is one of `http`, `tcp` or `grpc`"),
        _ => None,
    };
    if let Some(mistake) = mistake {
        let problem = Problem::error(section.span.clone(), mistake);
        problems.0.push(problem.help("for example `health.http = { path = \"/healthz\" }`"));
    }
    let default = Health::new(probe.clone().unwrap_or(Probe::Tcp));
    let health = Health {
        interval: section.duration(problems, "interval").unwrap_or(default.interval),
        timeout: section.duration(problems, "timeout").unwrap_or(default.timeout),
        rise: section.number(problems, "rise", 1..=100).map_or(default.rise, |n| n as u32),
        fall: section.number(problems, "fall", 1..=100).map_or(default.fall, |n| n as u32),
        agent: section.boolean(problems, "agent").unwrap_or(default.agent),
        ..default
    };
    warn_if_above(&section, problems, ("timeout", health.timeout), ("interval", health.interval));
    if health.agent && probe == Some(Probe::Tcp) {
        let problem = Problem::error(section.place("agent"), "`agent` does nothing with `tcp`");
        let help = "only the answer to an `http` or `grpc` probe can set a weight or ask to drain";
        problems.0.push(problem.warning().help(help));
    }
    section.close(problems);
    probe.map(|_| health)
}

fn http(mut section: Section<'_>, problems: &mut Problems) -> HttpProbe {
    let path = section.text(problems, "path", |text| match text.starts_with('/') {
        true => text.parse::<PathAndQuery>().map_err(|error| error.to_string()),
        false => Err("a path begins with `/`".to_string()),
    });
    let method = section.text(problems, "method", |text| text.parse().map_err(|_| "not a method"));
    let host = section.text(problems, "host", |text| text.parse::<Authority>());
    let body = section.text(problems, "body", |text| Ok::<_, &str>(text.to_string()));
    let statuses = statuses(&mut section, problems);
    let headers = section.section(problems, "headers").map(|section| headers(section, problems));
    let default = HttpProbe::get(path.map_or(PathAndQuery::from_static("/"), |found| found.value));
    let probe = HttpProbe {
        tls: section.boolean(problems, "tls").unwrap_or(default.tls),
        path: default.path,
        method: method.map_or(default.method, |found| found.value),
        host: host.map(|found| found.value),
        headers: headers.unwrap_or_default(),
        statuses: if statuses.is_empty() { default.statuses } else { statuses },
        body: body.map(|found| found.value),
    };
    section.close(problems);
    probe
}

fn grpc(mut section: Section<'_>, problems: &mut Problems) -> GrpcProbe {
    let service = section.text(problems, "service", |text| Ok::<_, &str>(text.to_string()));
    let tls = section.boolean(problems, "tls").unwrap_or(false);
    section.close(problems);
    GrpcProbe { service: service.map(|found| found.value).unwrap_or_default(), tls }
}

/// Numbers such as `204` or texts such as `"200-399"`.
fn statuses(section: &mut Section<'_>, problems: &mut Problems) -> Vec<RangeInclusive<u16>> {
    let Some(value) = section.value("statuses") else { return Vec::new() };
    let list = match value.get_ref().as_array() {
        Some(list) => list.iter().collect(),
        None => vec![value],
    };
    let mut ranges = Vec::new();
    for item in list {
        let text = match item.get_ref() {
            DeValue::Integer(number) => number.as_str(),
            DeValue::String(text) => text,
            _ => "",
        };
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        match (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
            (Ok(from), Ok(to)) if (100..=599).contains(&from) && (from..=599).contains(&to) => {
                ranges.push(from..=to);
            }
            _ => {
                let problem = Problem::error(item.span(), "bad value for `statuses`");
                problems.0.push(
                    problem.label("expected a status such as 204, or a range such as \"200-399\""),
                );
            }
        }
    }
    ranges
}

fn headers(section: Section<'_>, problems: &mut Problems) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, value) in section.entries() {
        let text = value.get_ref().as_str().and_then(|text| HeaderValue::from_str(text).ok());
        match (header_name(name.value), text) {
            (Ok(name), Some(value)) => headers.push((name, value)),
            (Err(error), _) => {
                problems.0.push(Problem::error(name.span, "bad header").label(error))
            }
            (_, None) => {
                problems
                    .0
                    .push(Problem::error(value.span(), "bad header").label("not a field value"));
            }
        }
    }
    headers
}

fn ejection(mut section: Section<'_>, problems: &mut Problems) -> EjectionSettings {
    let default = EjectionSettings::default();
    let settings = EjectionSettings {
        failures: number(&mut section, problems, "failures", 1..=1_000, default.failures),
        time: section.duration(problems, "time").unwrap_or(default.time),
        longest: section.duration(problems, "longest").unwrap_or(default.longest),
        share: percent(&mut section, problems, "share", 1, default.share),
    };
    warn_if_above(&section, problems, ("time", settings.time), ("longest", settings.longest));
    section.close(problems);
    settings
}

fn breaker(mut section: Section<'_>, problems: &mut Problems) -> BreakerSettings {
    let default = BreakerSettings::default();
    let settings = BreakerSettings {
        failures: percent(&mut section, problems, "failures", 1, default.failures),
        requests: number(&mut section, problems, "requests", 1..=1_000_000, default.requests),
        open: section.duration(problems, "open").unwrap_or(default.open),
        longest: section.duration(problems, "longest").unwrap_or(default.longest),
        trials: number(&mut section, problems, "trials", 1..=1_000, default.trials),
        successes: number(&mut section, problems, "successes", 1..=1_000, default.successes),
        slow: section.duration(problems, "slow"),
        slow_share: percent(&mut section, problems, "slow_share", 1, default.slow_share),
    };
    warn_if_above(&section, problems, ("open", settings.open), ("longest", settings.longest));
    section.close(problems);
    settings
}

fn retries(mut section: Section<'_>, problems: &mut Problems) -> RetrySettings {
    let default = RetrySettings::default();
    let settings = RetrySettings {
        attempts: number(&mut section, problems, "attempts", 0..=7, default.attempts),
        statuses: retry_statuses(&mut section, problems),
        per_try: section.duration(problems, "try"),
        total: section.duration(problems, "total").unwrap_or(default.total),
        budget: percent(&mut section, problems, "budget", 0, default.budget),
        backoff: section.duration(problems, "backoff").unwrap_or(default.backoff),
        shield: section.boolean(problems, "shield").unwrap_or(default.shield),
    };
    if settings.per_try.is_some_and(|per_try| per_try > settings.total) {
        let problem =
            Problem::error(section.place("try"), "`try` is longer than `total`").warning();
        let problem = problem.label("only a first try may take so long");
        problems.0.push(problem.help("make `total` at least as long as the tries that it is for"));
    }
    section.close(problems);
    settings
}

fn retry_statuses(section: &mut Section<'_>, problems: &mut Problems) -> Vec<u16> {
    let ranges = statuses(section, problems);
    if ranges.iter().any(|range| *range.start() < 400) {
        let problem = Problem::error(section.place("statuses"), "`statuses` names a success");
        problems.0.push(problem.label("only 4xx and 5xx can be tried again"));
    }
    ranges.into_iter().flatten().collect()
}

fn balance(mut section: Section<'_>, problems: &mut Problems) -> BalanceSettings {
    const KNOWN: [(&str, Policy); 4] = [
        ("latency", Policy::Latency),
        ("least-requests", Policy::LeastRequests),
        ("round-robin", Policy::RoundRobin),
        ("consistent-hash", Policy::ConsistentHash),
    ];
    let default = BalanceSettings::default();
    let by = section.text(problems, "by", |text| {
        let known = KNOWN.iter().find(|(name, _)| *name == text);
        known.map(|(_, policy)| *policy).ok_or_else(|| {
            match nearest(text, KNOWN.iter().map(|(name, _)| *name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", KNOWN.map(|(name, _)| name).join(", ")),
            }
        })
    });
    let has_hash = section.value("hash").is_some();
    let hash = section.section(problems, "hash").map(|section| hash(section, problems));
    let by = by.map_or(default.by, |found| found.value);
    match (by, has_hash) {
        (Policy::ConsistentHash, false) => {
            let problem = Problem::error(section.place("by"), "`consistent-hash` needs a `hash`");
            problems.0.push(problem.help("for example `hash = { client_ip = true }`"));
        }
        (Policy::ConsistentHash, true) | (_, false) => {}
        (_, true) => {
            let problem = Problem::error(section.place("hash"), "`hash` is not used").warning();
            problems.0.push(problem.label("only `by = \"consistent-hash\"` hashes"));
        }
    }
    let settings = BalanceSettings {
        by,
        hash: hash.unwrap_or(default.hash),
        slow_start: section.duration(problems, "slow_start").unwrap_or(default.slow_start),
        panic: percent(&mut section, problems, "panic", 0, default.panic),
    };
    section.close(problems);
    settings
}

fn limits(mut section: Section<'_>, problems: &mut Problems) -> LimitSettings {
    let default = LimitSettings::default();
    let settings = LimitSettings {
        in_flight: section.number(problems, "in_flight", 1..=1_000_000).map(|n| n as u32),
        upstream_in_flight: section
            .number(problems, "upstream_in_flight", 1..=1_000_000)
            .map(|n| n as u32),
        queue: section.number(problems, "queue", 0..=100_000).map_or(default.queue, |n| n as usize),
        queue_timeout: section.duration(problems, "queue_timeout").unwrap_or(default.queue_timeout),
        adaptive: section.boolean(problems, "adaptive").unwrap_or(default.adaptive),
        throttle: section.boolean(problems, "throttle").unwrap_or(default.throttle),
    };
    let is_limited =
        settings.in_flight.is_some() || settings.upstream_in_flight.is_some() || settings.adaptive;
    if settings.queue > 0 && !is_limited {
        let problem =
            Problem::error(section.place("queue"), "nothing ever waits in this queue").warning();
        problems.0.push(problem.help("set `in_flight`, `upstream_in_flight` or `adaptive`"));
    }
    section.close(problems);
    settings
}

fn maintenance_of(mut section: Section<'_>, problems: &mut Problems) -> Maintenance {
    let allow = section.texts(problems, "allow", network);
    let paths = section.texts(problems, "paths", |text| match text.starts_with('/') {
        true => Ok(text.to_string()),
        false => Err("a path begins with `/`"),
    });
    section.close(problems);
    Maintenance {
        allow: allow.into_iter().map(|found| found.value).collect(),
        paths: paths.into_iter().map(|found| found.value).collect(),
    }
}

fn fallback_of(
    service: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
) -> Fallback {
    let Some(section) = service.section(problems, "fallback") else { return Fallback::default() };
    let (place, table, before) = (section.place("pool"), section.span.clone(), problems.0.len());
    let read = fallback(section, problems);
    if !read.is_any() && problems.0.len() == before {
        let problem = Problem::error(table, "an empty `fallback` does nothing").warning();
        problems.0.push(problem.help("set `stale`, `pool` or `answer`"));
    }
    if let (Some(wanted), Some(pools)) = (&read.pool, pools)
        && !pools.iter().any(|pool| pool.name == *wanted)
    {
        let problem = Problem::error(place, format!("no pool is named `{wanted}`"));
        problems.0.push(match nearest(wanted, pools.iter().map(|pool| &*pool.name)) {
            Some(near) => problem.label(format!("did you mean `{near}`?")),
            None => problem.label("unknown pool"),
        });
    }
    read
}

fn number(
    section: &mut Section<'_>,
    problems: &mut Problems,
    key: &'static str,
    range: RangeInclusive<u64>,
    default: u32,
) -> u32 {
    section.number(problems, key, range).map_or(default, |number| number as u32)
}

fn percent(
    section: &mut Section<'_>,
    problems: &mut Problems,
    key: &'static str,
    least: u64,
    default: u8,
) -> u8 {
    section.number(problems, key, least..=100).map_or(default, |number| number as u8)
}

#[cfg(test)]
mod tests;

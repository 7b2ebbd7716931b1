//! One service of the file: its table in, its pools, split and settings out.

use std::sync::Arc;

use http::header::HeaderName;
use toml::Spanned;
use toml::de::DeValue;

use super::judge::judge;
use super::mirror::mirror;
use super::rollout::rollout;
use super::section::{Found, Section, nearest, section_of, text_of, wrong_kind};
use super::slo::slo;
use super::stability::stability;
use super::{Pool, Problem, Problems, Service, Timeouts};
use crate::balance::DEFAULT_WEIGHT;
use crate::rollout::RolloutSettings;
use crate::split::{BasisPoints, COOKIE_NAME, Split, SplitError, Sticky, StickyKey};
use crate::upstream::Address;

/// A name that can stand in a path, a label and a shell command.
pub(super) fn checked_name(
    problems: &mut Problems,
    name: &Found<&str>,
    what: &str,
) -> Option<Arc<str>> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=63).contains(&name.value.len()) && name.value.bytes().all(fits) {
        return Some(name.value.into());
    }
    let problem = Problem::error(name.span.clone(), format!("bad {what} name"));
    problems.0.push(problem.label("1 to 63 letters, digits, `-` and `_`"));
    None
}

pub(super) fn service(
    name: Arc<str>,
    mut section: Section<'_>,
    problems: &mut Problems,
    allows_commands: bool,
) -> Option<Service> {
    let (pools, empty) = pools(&mut section, problems);
    let split = split(&mut section, problems, pools.as_deref(), &empty);
    let sticky = section.section(problems, "sticky").map(|section| sticky(section, problems));
    let opt_in = section.section(problems, "override").and_then(|mut section| {
        let header = section.text(problems, "header", header_name);
        section.close(problems);
        header.map(|found| found.value)
    });
    let timeouts = section.section(problems, "timeouts").map(|section| timeouts(section, problems));
    let stability = stability(&mut section, problems, pools.as_deref());
    let mirror = mirror(&mut section, problems, pools.as_deref());
    let rollout = rollout(&mut section, problems, allows_commands);
    let judging = judge(&mut section, problems);
    let slo = section.section(problems, "slo").map(|section| slo(section, problems));
    section.close(problems);
    Some(Service {
        name,
        pools: pools?,
        split: split?,
        sticky: sticky.unwrap_or_default(),
        opt_in,
        timeouts: timeouts.unwrap_or_default(),
        stability: Arc::new(stability),
        mirror,
        rollout: Arc::new(RolloutSettings { judging, ..rollout }),
        slo: slo.map(Arc::new),
    })
}

/// The pools, if all could be read, and the names of those that are empty on purpose: one whose
/// upstreams are mistyped is not.
fn pools(service: &mut Section<'_>, problems: &mut Problems) -> (Option<Vec<Pool>>, Vec<String>) {
    let Some(section) = service.section(problems, "pools") else {
        if service.value("pools").is_none() {
            let problem = Problem::error(service.span.clone(), "a service needs at least one pool");
            problems
                .0
                .push(problem.help("for example `pools.blue.upstreams = [\"127.0.0.1:9001\"]`"));
        }
        return (None, Vec::new());
    };
    let (mut pools, mut empty) = (Vec::new(), Vec::new());
    for (name, value) in section.entries() {
        let checked = checked_name(problems, &name, "pool");
        let full = format!("pools.{}", name.value);
        let Some(mut section) = section_of(problems, name.value, full, value) else { continue };
        if section.value("upstreams").is_none() {
            let problem = Problem::error(
                name.span.clone(),
                format!("pool `{}` has no `upstreams`", name.value),
            );
            problems.0.push(
                problem.help(
                    "an empty list, `upstreams = []`, is fine for a pool that is yet to come",
                ),
            );
        }
        let before = problems.0.len();
        let upstreams = upstreams(&mut section, problems);
        if upstreams.is_empty() && problems.0.len() == before {
            empty.push(name.value.to_string());
        }
        section.close(problems);
        pools.push((checked, upstreams));
    }
    if pools.is_empty() {
        problems.0.push(Problem::error(section.span.clone(), "a service needs at least one pool"));
        return (None, empty);
    }
    let whole = |(name, upstreams): (Option<_>, _)| Some(Pool { name: name?, upstreams });
    let mut pools: Option<Vec<_>> = pools.into_iter().map(whole).collect();
    pools.iter_mut().for_each(|pools| pools.sort_by(|a, b| a.name.cmp(&b.name)));
    (pools, empty)
}

fn upstreams(section: &mut Section<'_>, problems: &mut Problems) -> Vec<(Address, u16)> {
    let Some(value) = section.value("upstreams") else { return Vec::new() };
    let Some(list) = value.get_ref().as_array() else {
        problems.0.push(wrong_kind("upstreams", value, "a list"));
        return Vec::new();
    };
    let mut seen: Vec<(Found<Address>, u16)> = Vec::new();
    for item in list.iter() {
        let Some((found, weight)) = upstream(item, problems) else { continue };
        match seen.iter().find(|(other, _)| other.value == found.value) {
            Some((first, _)) => {
                let message = format!("upstream `{}` is listed twice in its pool", found.value);
                let problem = Problem::error(found.span, message).label("the second");
                problems.0.push(problem.other(first.span.clone(), "the first"));
            }
            None => seen.push((found, weight)),
        }
    }
    seen.into_iter().map(|(found, weight)| (found.value, weight)).collect()
}

/// `"10.0.0.1:9000"` or `{ address = "10.0.0.1:9000", weight = 200 }`.
fn upstream(
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems,
) -> Option<(Found<Address>, u16)> {
    let Some(table) = value.get_ref().as_table() else {
        let found = text_of(problems, "upstreams", value, str::parse::<Address>)?;
        return Some((found, DEFAULT_WEIGHT));
    };
    let mut section = Section::new("upstreams", table, value.span());
    let address = section.text(problems, "address", str::parse::<Address>);
    if section.value("address").is_none() {
        problems.0.push(Problem::error(value.span(), "an upstream needs an `address`"));
    }
    let weight = section.number(problems, "weight", 1..=10_000);
    section.close(problems);
    Some((address?, weight.map_or(DEFAULT_WEIGHT, |n| n as u16)))
}

fn split(
    service: &mut Section<'_>,
    problems: &mut Problems,
    pools: Option<&[Pool]>,
    empty: &[String],
) -> Option<Split> {
    let given = service.value("split").is_some();
    let Some(section) = service.section(problems, "split") else {
        return match pools? {
            _ if given => None,
            [only] => Some(Split::all_to(only.name.clone())),
            pools => {
                let names = pools.iter().map(|p| format!("{} = 0", p.name)).collect::<Vec<_>>();
                let all = names.join(", ").replacen("= 0", "= 100", 1);
                let message = "a service with several pools needs a `split`";
                let problem = Problem::error(service.span.clone(), message);
                problems.0.push(problem.help(format!("for example `split = {{ {all} }}`")));
                None
            }
        };
    };
    let mut weights = Vec::new();
    let mut whole = true;
    for (name, value) in section.entries() {
        let known = |pool: &&Pool| &*pool.name == name.value;
        match pools.map(|pools| pools.iter().find(known)) {
            Some(None) => {
                whole = false;
                let names = pools.unwrap_or_default().iter().map(|pool| &*pool.name);
                let problem =
                    Problem::error(name.span, format!("no pool is named `{}`", name.value));
                problems.0.push(match nearest(name.value, names) {
                    Some(near) => problem.label(format!("did you mean `{near}`?")),
                    None => problem.label("unknown pool"),
                });
                continue;
            }
            _ if empty.iter().any(|empty| empty == name.value) && !is_zero(value) => {
                let message = format!("pool `{}` gets traffic but has no upstreams", name.value);
                problems.0.push(Problem::error(value.span(), message));
            }
            _ => {}
        }
        match percent(value) {
            Ok(weight) => weights.push((Arc::from(name.value), weight)),
            Err(error) => {
                whole = false;
                let message = format!("bad share for pool `{}`", name.value);
                problems.0.push(Problem::error(value.span(), message).label(error));
            }
        }
    }
    match Split::new(weights) {
        _ if !whole => None,
        Ok(split) => Some(split),
        Err(error) => {
            let problem = Problem::error(section.span, "the split does not add up");
            let help = matches!(error, SplitError::Sum { .. }).then_some("shares are percentages");
            let problem = problem.label(error.to_string());
            problems.0.push(match help {
                Some(help) => problem.help(help),
                None => problem,
            });
            None
        }
    }
}

fn is_zero(value: &Spanned<DeValue<'_>>) -> bool {
    percent(value) == Ok(BasisPoints::NONE)
}

/// A share as a number or a text.
pub(super) fn percent(value: &Spanned<DeValue<'_>>) -> Result<BasisPoints, String> {
    let text = match value.get_ref() {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        DeValue::String(text) => text,
        other => {
            return Err(format!("expected a percentage, this is of type {}", other.type_str()));
        }
    };
    BasisPoints::from_percent(text).map_err(|error| error.to_string())
}

/// What a service recognises its clients by.
pub(super) fn sticky(mut section: Section<'_>, problems: &mut Problems) -> Sticky {
    let own = own_cookie(&mut section, problems);
    let mut keys = keys(&mut section, problems);
    if let Some(name) = own {
        if keys.contains(&StickyKey::Cookie(name.clone())) {
            let place = section.place("own_cookie");
            let problem = Problem::error(place, "`own_cookie` has the name of `cookie`");
            problems.0.push(problem.label("the application's cookie needs another name"));
        }
        if keys.last() == Some(&StickyKey::ClientIp) {
            let place = section.place("client_ip");
            let problem = Problem::error(place, "`client_ip` is never reached").warning();
            problems.0.push(problem.label("whoever brings no cookie is given our own"));
        }
        let address = keys.iter().position(|key| *key == StickyKey::ClientIp);
        keys.insert(address.unwrap_or(keys.len()), StickyKey::OwnCookie(name));
    }
    section.close(problems);
    Sticky { keys }
}

/// What consistent hashing knows clients by.
pub(super) fn hash(mut section: Section<'_>, problems: &mut Problems) -> Sticky {
    let keys = keys(&mut section, problems);
    section.close(problems);
    Sticky { keys }
}

/// The keys that a request brings, in the order in which they are tried.
fn keys(section: &mut Section<'_>, problems: &mut Problems) -> Vec<StickyKey> {
    let header = section.text(problems, "header", header_name);
    let cookie = section.text(problems, "cookie", cookie_name);
    let client_ip = section.boolean(problems, "client_ip").unwrap_or(false);
    let header = header.map(|found| StickyKey::Header(found.value));
    let cookie = cookie.map(|found| StickyKey::Cookie(found.value));
    let client_ip = client_ip.then_some(StickyKey::ClientIp);
    header.into_iter().chain(cookie).chain(client_ip).collect()
}

/// `own_cookie = true`, or the name that it is to have.
fn own_cookie(section: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    let value = section.value("own_cookie")?;
    match value.get_ref() {
        DeValue::Boolean(wanted) => wanted.then(|| COOKIE_NAME.to_string()),
        DeValue::String(_) => {
            text_of(problems, "own_cookie", value, cookie_name).map(|found| found.value)
        }
        _ => {
            problems.0.push(wrong_kind("own_cookie", value, "`true`, `false` or a cookie's name"));
            None
        }
    }
}

fn cookie_name(text: &str) -> Result<String, &'static str> {
    let fits = |b: u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&b);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.to_string()),
        false => Err("not a cookie name"),
    }
}

pub(super) fn header_name(text: &str) -> Result<HeaderName, &'static str> {
    text.parse().map_err(|_| "not a header field name")
}

fn timeouts(mut section: Section<'_>, problems: &mut Problems) -> Timeouts {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        connect: section.duration(problems, "connect").unwrap_or(default.connect),
        response: section.duration(problems, "response").unwrap_or(default.response),
        idle: section.duration(problems, "idle").unwrap_or(default.idle),
        pool_idle: section.duration(problems, "pool_idle").unwrap_or(default.pool_idle),
    };
    section.close(problems);
    timeouts
}

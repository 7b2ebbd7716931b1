//! One service of the file: its table in, its pools, split and settings out.

use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;

use super::judge::judge;
use super::mirror::mirror;
use super::rollout::rollout;
use super::section::{Found, Section, nearest, section_of, text_of, wrong_kind};
use super::slo::slo;
use super::stability::stability;
use super::sticky::sticky;
use super::values::{checked_name, header_name, percent};
use super::{Pool, Problem, Problems, Service, Timeouts};
use crate::balance::DEFAULT_WEIGHT;
use crate::rollout::RolloutSettings;
use crate::split::{BasisPoints, Split, SplitError};
use crate::upstream::Address;

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

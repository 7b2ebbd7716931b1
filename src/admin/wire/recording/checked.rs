//! What a recording may say: values as somebody wrote them in, the same in their ranges or what would do out.
//!
//! Each is refused while it is read, so that whoever reads a file knows its line and column as well.

use std::collections::HashSet;

use serde::de::{Deserialize, Deserializer, Error};

use super::{RecordedMinute, RecordedPool, RecordedPoolMinute, RecordedUpstream};
use crate::clock::LONGEST;
use crate::judge::{Distribution, JudgeSettings, buckets};
use crate::recording::{MINUTE, Second};
use crate::rollout::MOST_REQUESTS;
use crate::split::BasisPoints;

/// Answers of a minute and microseconds that all of them took, at most: an hour of them is still a number.
const MOST_ANSWERS: u64 = 1_000_000_000_000;
const MOST_MICROS: u64 = 100_000_000_000_000_000;

/// The end of time: the year 9999.
const LATEST: f64 = 253_402_300_800.0;

/// A share of a step; none of what is no percentage.
pub(super) fn step(percent: f64) -> Option<BasisPoints> {
    BasisPoints::from_percent(&percent.to_string()).ok()
}

pub(super) fn steps<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let steps = Vec::<f64>::deserialize(from)?;
    let shares: Vec<_> = steps.iter().map(|percent| step(*percent)).collect();
    let rise = shares.iter().all(|share| share.is_some_and(|share| share > BasisPoints::NONE))
        && shares.is_sorted_by(|one, next| one < next)
        && shares.last().is_some_and(|last| *last == Some(BasisPoints::WHOLE));
    match rise {
        true => Ok(steps),
        false => Err(D::Error::custom(
            "steps are percentages that rise from above 0 to 100, such as [1, 10, 50, 100]",
        )),
    }
}

pub(super) fn wait<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let longest = LONGEST.as_secs_f64();
    within(f64::deserialize(from)?, 0.0, longest, "a wait in seconds lies within a day")
}

pub(super) fn requests<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let requests = u64::deserialize(from)?;
    match requests <= MOST_REQUESTS {
        true => Ok(requests),
        false => Err(D::Error::custom(format_args!("{MOST_REQUESTS} requests are the most"))),
    }
}

pub(super) fn unix_time<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    within(f64::deserialize(from)?, 0.0, LATEST, "Unix time in seconds is wanted")
}

pub(super) fn judge<'de, D: Deserializer<'de>>(from: D) -> Result<JudgeSettings, D::Error> {
    let judge = JudgeSettings::deserialize(from)?;
    // As the config has them.
    for (name, value, [least, most]) in [
        ("alpha", judge.alpha, [0.000_1, 0.5]),
        ("tolerated_ratio", judge.tolerated_ratio, [1.0, 100.0]),
        ("tolerated_rate", judge.tolerated_rate, [0.0, 0.99]),
        ("latency_share", judge.latency_share, [0.0, 1.0]),
        ("gate_ratio", judge.gate_ratio, [1.01, 100.0]),
        ("gate_rate", judge.gate_rate, [0.000_1, 0.99]),
        ("beta", judge.beta, [0.000_1, 0.5]),
        ("guard", judge.guard, [0.000_1, 0.99]),
        ("budget_share", judge.budget_share, [0.000_1, 1.0]),
        (
            "latency_time, in seconds,",
            judge.latency_time.as_secs_f64(),
            [0.0, LONGEST.as_secs_f64()],
        ),
        ("warm_up, in seconds,", judge.warm_up.as_secs_f64(), [0.0, LONGEST.as_secs_f64()]),
    ] {
        // What was a percentage may be off by its last digit.
        if !(least * (1.0 - 1e-9)..=most * (1.0 + 1e-9)).contains(&value) {
            return Err(D::Error::custom(format_args!(
                "{name} is {value}; from {least} to {most} would do"
            )));
        }
    }
    Ok(judge)
}

pub(super) fn slow_from<'de, D: Deserializer<'de>>(from: D) -> Result<[u64; 3], D::Error> {
    let micros = <[u64; 3]>::deserialize(from)?;
    match micros.is_sorted() {
        true => Ok(micros),
        false => Err(D::Error::custom("of p50, p95 and p99 none is less than the one before")),
    }
}

pub(super) fn took<'de, D: Deserializer<'de>>(from: D) -> Result<Distribution, D::Error> {
    /// As it is told, with what does not fit.
    #[derive(serde::Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Told {
        first: usize,
        counts: Vec<u64>,
        micros: u64,
    }
    let Told { first, counts, micros } = Told::deserialize(from)?;
    let fits = first.checked_add(counts.len()).is_some_and(|end| end <= buckets::BUCKETS);
    let total = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
    if !fits {
        let most = buckets::BUCKETS;
        return Err(D::Error::custom(format_args!(
            "`first` and `counts`: there are {most} buckets"
        )));
    }
    match total {
        Some(..=MOST_ANSWERS) if micros <= MOST_MICROS => {
            Ok(Distribution::new(first, counts, micros))
        }
        _ => Err(D::Error::custom("so many answers do not come in a minute")),
    }
}

pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let mut found = 0;
    for second in Second::read_all(&text) {
        second.map_err(D::Error::custom)?;
        found += 1;
        if found > MINUTE {
            break;
        }
    }
    match found {
        MINUTE => Ok(text),
        found if found > MINUTE => {
            Err(D::Error::custom("these are more than 60 seconds; write `-` where nobody looked"))
        }
        found => Err(D::Error::custom(format_args!(
            "these are {found} seconds of 60; write `-*{}` where nobody looked",
            MINUTE - found
        ))),
    }
}

pub(super) fn pools<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RecordedPool>, D::Error> {
    let pools = Vec::<RecordedPool>::deserialize(from)?;
    once(pools, |pool| &pool.pool)
}

pub(super) fn each_pool_once<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<RecordedPoolMinute>, D::Error> {
    once(Vec::<RecordedPoolMinute>::deserialize(from)?, |pool| &pool.pool)
}

pub(super) fn each_upstream_once<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<RecordedUpstream>, D::Error> {
    once(Vec::<RecordedUpstream>::deserialize(from)?, |one| &one.upstream)
}

pub(super) fn minutes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RecordedMinute>, D::Error> {
    let minutes = Vec::<RecordedMinute>::deserialize(from)?;
    for two in minutes.windows(2) {
        let (before, number) = (two[0].number, two[1].number);
        if number <= before {
            return Err(D::Error::custom(format_args!(
                "minute {number} comes after minute {before}: the oldest comes first, each once"
            )));
        }
        if two[1].follows && number != before + 1 {
            return Err(D::Error::custom(format_args!(
                "minute {number} says that it `follows`, and comes after minute {before}: say false"
            )));
        }
    }
    Ok(minutes)
}

fn within<E: Error>(number: f64, least: f64, most: f64, wanted: &str) -> Result<f64, E> {
    match (least..=most).contains(&number) {
        true => Ok(number),
        false => Err(E::custom(format_args!("{wanted}, not {number}"))),
    }
}

/// The list, if no two of it have one name.
fn once<T, E: Error>(list: Vec<T>, name: impl Fn(&T) -> &String) -> Result<Vec<T>, E> {
    let mut known = HashSet::with_capacity(list.len());
    match list.iter().map(&name).find(|name| !known.insert(*name)) {
        Some(twice) => Err(E::custom(format_args!("{twice:?} is there twice"))),
        None => Ok(list),
    }
}

//! What is to be in place for the process and its machine.

use std::time::Duration;

use super::facts::{Disk, Good, Running, Sandbox, StopTimeout};
use super::services::config;
use super::{Facts, Found, names};
use crate::clock::in_words;
use crate::config::Config;

/// How long a certificate is to be good yet: time to be told, and to act.
const GOOD_FOR: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What is to be free on a disk at least, in bytes, and percent.
const LEAST_FREE: u64 = 256 << 20;
const LEAST_PERCENT: u64 = 5;

/// How far the proxy's clock may be from the command's.
const MOST_SKEW: Duration = Duration::from_secs(2);

const NOT_HERE: &str = "only a command on the proxy's machine sees it";

pub(super) fn reload(running: &Running) -> Found {
    match &running.refused {
        Some(why) => Found::missing(format!("the last reload was refused: {why}")),
        None if running.waits_for_reload => {
            Found::missing("a saved file waits for somebody's word: it takes away what is in use")
        }
        None => Found::well("what was read last is in force"),
    }
}

pub(super) fn certificates(facts: &Facts<'_>) -> Found {
    let Some(all) = &facts.certificates else {
        return Found::Skipped("the certificates were not read".into());
    };
    let now = facts.now.millis() / 1_000;
    let left = |good: &Good| Duration::from_secs(good.until.saturating_sub(now));
    let Some(next) = all.iter().min_by_key(|good| good.until) else {
        return Found::well("there are none");
    };
    let short: Vec<String> = all
        .iter()
        .filter(|good| left(good) < GOOD_FOR)
        .map(|good| match left(good).is_zero() {
            true => format!("{} has expired", good.name),
            false => format!("{} for {} more days", good.name, left(good).as_secs() / 86_400),
        })
        .collect();
    match short.is_empty() {
        false => Found::missing(format!("good for less than 14 days: {}", names(&short))),
        true => Found::well(format!("the next ends in {} days", left(next).as_secs() / 86_400)),
    }
}

pub(super) fn drain(config: &Config) -> Found {
    let drain = config.server.drain;
    let slow = config.services.iter().max_by_key(|service| service.timeouts.response);
    match slow.filter(|service| service.timeouts.response > drain) {
        Some(service) => Found::missing(format!(
            "a stop waits {} for requests, an answer of {} may take {}",
            in_words(drain),
            service.name,
            in_words(service.timeouts.response)
        )),
        None => Found::well(format!("a stop waits {} for requests", in_words(drain))),
    }
}

pub(super) fn stop_timeout(facts: &Facts<'_>) -> Found {
    let (Some(here), Some(needed)) = (&facts.here, facts.stop_takes()) else {
        return Found::Skipped(NOT_HERE.into());
    };
    match here.stop_timeout {
        None => Found::Skipped("no service manager is known to run it".into()),
        Some(StopTimeout::Never) => Found::well("it is waited for without an end"),
        Some(StopTimeout::After(waits)) if waits < needed => Found::missing(format!(
            "it is killed after {}, its stop may take {}",
            in_words(waits),
            in_words(needed)
        )),
        Some(StopTimeout::After(waits)) => {
            Found::well(format!("it is killed after {} at the earliest", in_words(waits)))
        }
    }
}

pub(super) fn store(running: &Running) -> Found {
    match (running.has_store, running.is_store_writable) {
        (false, _) => Found::missing("there is no store that outlives the process"),
        (true, false) => Found::missing("the store takes nothing"),
        (true, true) => Found::well("the store takes what is to be kept"),
    }
}

pub(super) fn disk(facts: &Facts<'_>) -> Found {
    let disks = facts.process.as_ref().map(|process| &process.disks[..]).unwrap_or_default();
    let Some(fullest) = disks.iter().min_by_key(|disk| percent(disk)) else {
        return Found::Skipped("only a running proxy sees its disks".into());
    };
    let told = |disk: &Disk| {
        let (holds, folder, mib) = (disk.holds, &disk.folder, disk.free >> 20);
        format!("{} % ({mib} MiB) free for {holds} in {folder}", percent(disk))
    };
    let is_full = |disk: &&Disk| disk.free < LEAST_FREE || percent(disk) < LEAST_PERCENT;
    match disks.iter().find(is_full) {
        Some(disk) => Found::missing(told(disk)),
        None => Found::Well(told(fullest)),
    }
}

fn percent(disk: &Disk) -> u64 {
    (u128::from(disk.free) * 100 / u128::from(disk.whole.max(1))) as u64
}

pub(super) fn descriptors(facts: &Facts<'_>) -> Found {
    let config = match config(facts) {
        Ok(config) => config,
        Err(found) => return found,
    };
    let Some(limit) = facts.process.as_ref().and_then(|process| process.descriptors) else {
        return Found::Skipped("only a running proxy knows".into());
    };
    let connections = config.server.client.connections as u64;
    match limit < 2 * connections {
        true => Found::missing(format!(
            "it may have {limit}, and {connections} clients (server.client.connections) need twice as many"
        )),
        false => Found::well(format!("it may have {limit}, for {connections} clients")),
    }
}

pub(super) fn clock(facts: &Facts<'_>) -> Found {
    let Some(here) = &facts.here else { return Found::Skipped(NOT_HERE.into()) };
    match (here.skew, here.is_clock_synchronised) {
        (Some(skew), _) if skew > MOST_SKEW => {
            Found::missing(format!("it is {} off this command's", in_words(whole(skew))))
        }
        (_, Some(false)) => Found::missing("nothing keeps it right"),
        (_, Some(true)) => Found::well("it is kept right"),
        (_, None) => Found::Skipped("nothing here says whether it is kept right".into()),
    }
}

/// Without what is below a second.
fn whole(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs())
}

pub(super) fn hardening(facts: &Facts<'_>) -> Found {
    let Some(sandbox) = facts.process.as_ref().and_then(|process| process.sandbox) else {
        return Found::Skipped("only a running proxy knows".into());
    };
    let Sandbox { is_root, no_new_privileges, is_filtered, has_more_capabilities } = sandbox;
    let lacks = [
        (is_root, "it is root's"),
        (!no_new_privileges, "it may get new privileges"),
        (!is_filtered, "it may make any system call"),
        (has_more_capabilities, "it has more capabilities than ports need"),
    ];
    let lacks: Vec<String> =
        lacks.iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what.to_string()).collect();
    match lacks.is_empty() {
        true => Found::well("a user of its own, no new privileges, system calls filtered"),
        false => Found::missing(lacks.join(", ")),
    }
}

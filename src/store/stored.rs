//! The format: values in, the JSON they are kept as out, and back.
//!
//! This is what is on disks, so its fields only grow: a new one has a default, and none is renamed,
//! removed or given another meaning without a step in `migrate.rs`. Times are milliseconds since
//! the Unix epoch, shares are basis points. Rollouts and events are kept as their own types say.

use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Trouble;
use super::tables;
use super::{FlagState, Override, OverrideKey, Revision, What};
use crate::clock::WallTime;
use crate::judge::Counts;
use crate::slo::{Block, Grain, Sample};
use crate::split::{BasisPoints, Layout, Split};
use crate::upstream::BreakerOrder;

/// A key behind that of every event.
pub(super) const LAST: &str = "~";

/// The number is in the key: `SERVICE/NUMBER`.
#[derive(Serialize, Deserialize)]
struct StoredRevision {
    split: Split,
    salt: u64,
    /// None where it is that of a split that follows no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layout: Option<Layout>,
    author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollout: Option<u64>,
}

/// The number is in the key: `FLAG/NUMBER`.
#[derive(Serialize, Deserialize)]
struct StoredFlag {
    percent: BasisPoints,
    author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    at: WallTime,
}

#[derive(Serialize, Deserialize)]
struct StoredOverride {
    what: StoredWhat,
    author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    at: WallTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<WallTime>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredWhat {
    Drain {
        service: String,
        pool: String,
        upstream: String,
    },
    Breaker {
        service: String,
        pool: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upstream: Option<String>,
        order: StoredBreaker,
    },
    Hold {
        service: String,
        most: usize,
    },
    Maintenance {
        service: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    Upstreams {
        service: String,
        pool: String,
        list: Vec<(String, u16)>,
    },
    Contracted {
        service: String,
        pool: String,
        by_rollout: u64,
    },
    Freeze {
        service: String,
    },
    Lifted {
        service: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollout: Option<u64>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredBreaker {
    Auto,
    Open,
    Closed,
}

/// The JSON of a value.
pub(super) fn json(value: &impl Serialize) -> Result<String, Trouble> {
    // Only maps with other keys than texts and values that refuse can fail, and ours are neither.
    serde_json::to_string(value).map_err(|error| Trouble::Damaged(error.to_string()))
}

/// A value that is kept as its own type says.
pub(super) fn parse<T: DeserializeOwned>(key: &str, json: &str) -> Result<T, Trouble> {
    serde_json::from_str(json).map_err(|error| Trouble::Damaged(format!("`{key}`: {error}")))
}

/// The name and number of a key.
pub(super) fn numbered(key: &str) -> Result<(String, u64), Trouble> {
    let parts = key.rsplit_once('/').and_then(|(name, number)| Some((name, number.parse().ok()?)));
    let (name, number) = parts.ok_or_else(|| Trouble::Damaged(format!("`{key}` is no key")))?;
    Ok((name.to_string(), number))
}

pub(super) fn event_key(number: u64) -> String {
    format!("{number:020}")
}

pub(super) fn revision(key: &str, json: &str) -> Result<Revision, Trouble> {
    let (_, number) = numbered(key)?;
    let StoredRevision { split, salt, layout, author, reason, at, outcome, rollout } =
        parse(key, json)?;
    let layout = layout.unwrap_or_else(|| Layout::of(&split));
    if !layout.is_of(&split) {
        return Err(Trouble::Damaged(format!("`{key}`: its layout is not that of its split")));
    }
    let at = WallTime::from_millis(at).seconds();
    Ok(Revision { number, split, salt, layout, author, reason, at, outcome, rollout })
}

pub(super) fn revision_json(revision: &Revision) -> Result<String, Trouble> {
    let Revision { split, salt, layout, author, reason, at, outcome, rollout, .. } =
        revision.clone();
    let at = (at * 1e3).round() as u64;
    let layout = Some(layout).filter(|layout| *layout != Layout::of(&split));
    json(&StoredRevision { split, salt, layout, author, reason, at, outcome, rollout })
}

pub(super) fn flag(key: &str, json: &str) -> Result<FlagState, Trouble> {
    let (_, revision) = numbered(key)?;
    let StoredFlag { percent, author, reason, at } = parse(key, json)?;
    Ok(FlagState { percent, revision, author, reason, at })
}

pub(super) fn flag_json(state: &FlagState) -> Result<String, Trouble> {
    let FlagState { percent, author, reason, at, .. } = state.clone();
    json(&StoredFlag { percent, author, reason, at })
}

/// What an override is about as a key: kind and place, as in `drain shop blue 192.0.2.1:80`.
pub(super) fn override_key(about: &OverrideKey) -> Result<String, Trouble> {
    // Only an address can hold a space, and it comes last.
    Ok(match about {
        OverrideKey::Drain { service, pool, upstream } => {
            format!("drain {service} {pool} {upstream}")
        }
        OverrideKey::Breaker { service, pool, upstream: Some(upstream) } => {
            format!("breaker {service} {pool} {upstream}")
        }
        OverrideKey::Breaker { service, pool, upstream: None } => {
            format!("breaker {service} {pool}")
        }
        OverrideKey::Mode { service } => format!("mode {service}"),
        OverrideKey::Upstreams { service, pool } => format!("upstreams {service} {pool}"),
        OverrideKey::Contracted { service, pool } => format!("contracted {service} {pool}"),
        OverrideKey::Freeze { service } => format!("freeze {service}"),
        OverrideKey::Lifted { service, rollout: None } => format!("lifted {service}"),
        OverrideKey::Lifted { service, rollout: Some(id) } => format!("lifted {service} {id}"),
    })
}

pub(super) fn standing(key: &str, json: &str) -> Result<Override, Trouble> {
    let StoredOverride { what, author, reason, at, until } = parse(key, json)?;
    Ok(Override { what: what.into(), author, reason, at, until })
}

pub(super) fn override_json(standing: Override) -> Result<String, Trouble> {
    let Override { what, author, reason, at, until } = standing;
    json(&StoredOverride { what: what.into(), author, reason, at, until })
}

/// The key of what was counted for an error budget in one stretch of time.
pub(super) fn block_key(of: &str, grain: Grain, number: u64) -> String {
    tables::key(&format!("{of}/{}", grain.name()), number)
}

/// The keys of all that was counted for an error budget at one grain.
pub(super) fn blocks_of(of: &str, grain: Grain) -> RangeInclusive<String> {
    tables::keys_of(&format!("{of}/{}", grain.name()))
}

/// Seconds, requests and bad ones of each sample, as differences to the one before: a list such as
/// `[1700000000,5230,4,10,52,0,10,49,1]` takes a third of what the numbers themselves would.
pub(super) fn block_json(block: &Block) -> Result<String, Trouble> {
    let mut before = [0; 3];
    let mut list: Vec<u64> = Vec::with_capacity(3 * block.samples.len());
    for Sample { at, counts } in &block.samples {
        let now = [at.millis() / 1_000, counts.total, counts.bad];
        list.extend(now.iter().zip(before).map(|(now, before)| now.saturating_sub(before)));
        before = now;
    }
    json(&list)
}

pub(super) fn block(key: &str, json: &str) -> Result<Block, Trouble> {
    let no_block = || Trouble::Damaged(format!("`{key}` is no list of samples"));
    let (name, number) = numbered(key)?;
    let word = name.rsplit_once('/').map(|(_, word)| word);
    let grain = Grain::ALL.into_iter().find(|grain| Some(grain.name()) == word);
    let list: Vec<u64> = parse(key, json)?;
    let mut now = [0u64; 3];
    let mut samples = Vec::with_capacity(list.len() / 3);
    for differences in list.chunks(3) {
        let [seconds, total, bad] = *differences else { return Err(no_block()) };
        for (now, more) in now.iter_mut().zip([seconds, total, bad]) {
            *now = now.checked_add(more).ok_or_else(no_block)?;
        }
        let at = now[0].checked_mul(1_000).ok_or_else(no_block)?;
        let counts = Counts { total: now[1], bad: now[2] };
        samples.push(Sample { at: WallTime::from_millis(at), counts });
    }
    Ok(Block { grain: grain.ok_or_else(no_block)?, number, samples })
}

pub(super) fn secret(key: &str, json: &str) -> Result<[u8; 16], Trouble> {
    let text: String = parse(key, json)?;
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    let secret = bytes.and_then(|bytes| bytes.try_into().ok());
    secret.ok_or_else(|| Trouble::Damaged("the secret is not 32 hexadecimal digits".into()))
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<What> for StoredWhat {
    fn from(what: What) -> StoredWhat {
        match what {
            What::Drain { service, pool, upstream } => {
                StoredWhat::Drain { service, pool, upstream }
            }
            What::Breaker { service, pool, upstream, order } => {
                let order = match order {
                    BreakerOrder::Auto => StoredBreaker::Auto,
                    BreakerOrder::Open => StoredBreaker::Open,
                    BreakerOrder::Closed => StoredBreaker::Closed,
                };
                StoredWhat::Breaker { service, pool, upstream, order }
            }
            What::Hold { service, most } => StoredWhat::Hold { service, most },
            What::Maintenance { service, message } => StoredWhat::Maintenance { service, message },
            What::Upstreams { service, pool, list } => {
                StoredWhat::Upstreams { service, pool, list }
            }
            What::Contracted { service, pool, by_rollout } => {
                StoredWhat::Contracted { service, pool, by_rollout }
            }
            What::Freeze { service } => StoredWhat::Freeze { service },
            What::Lifted { service, rollout } => StoredWhat::Lifted { service, rollout },
        }
    }
}

impl From<StoredWhat> for What {
    fn from(what: StoredWhat) -> What {
        match what {
            StoredWhat::Drain { service, pool, upstream } => {
                What::Drain { service, pool, upstream }
            }
            StoredWhat::Breaker { service, pool, upstream, order } => {
                let order = match order {
                    StoredBreaker::Auto => BreakerOrder::Auto,
                    StoredBreaker::Open => BreakerOrder::Open,
                    StoredBreaker::Closed => BreakerOrder::Closed,
                };
                What::Breaker { service, pool, upstream, order }
            }
            StoredWhat::Hold { service, most } => What::Hold { service, most },
            StoredWhat::Maintenance { service, message } => What::Maintenance { service, message },
            StoredWhat::Upstreams { service, pool, list } => {
                What::Upstreams { service, pool, list }
            }
            StoredWhat::Contracted { service, pool, by_rollout } => {
                What::Contracted { service, pool, by_rollout }
            }
            StoredWhat::Freeze { service } => What::Freeze { service },
            StoredWhat::Lifted { service, rollout } => What::Lifted { service, rollout },
        }
    }
}

//! The forms of values: revisions, flags and samples in, the JSON they are kept as out, and back.
//! What a rollout is kept as stands beside its own type, whose parts nobody else sees.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Trouble;
use super::tables;
use crate::clock::WallTime;
use crate::judge::Counts;
use crate::slo::{Alarms, Block, Fire, Grain, Sample, TIERS};
use crate::split::{BasisPoints, Layout, Split};
use crate::state::{FlagState, Revision, Versions};

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
    #[serde(default, skip_serializing_if = "is_no")]
    back: bool,
    #[serde(default, skip_serializing_if = "Versions::is_empty")]
    versions: Versions,
}

/// The number is in the key: `FLAG/NUMBER`.
#[derive(Serialize, Deserialize)]
struct StoredFlag {
    percent: BasisPoints,
    author: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    at: WallTime,
    #[serde(default, skip_serializing_if = "is_no")]
    back: bool,
}

/// What is usual is not written.
fn is_no(said: &bool) -> bool {
    !said
}

/// What of an error budget alarms.
#[derive(Serialize, Deserialize)]
struct StoredAlarms {
    tiers: [StoredFire; TIERS.len()],
    is_held: bool,
    clear_since: Option<WallTime>,
    is_cautious: bool,
    is_frozen: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredFire {
    burns: bool,
    quiet_since: Option<WallTime>,
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

/// The highest number that is read of a revision, a rollout or a state of a flag. The next one counts on from it,
/// and an import may hold any.
pub(super) const HIGHEST: u64 = u64::MAX >> 1;

/// The name and number of a key.
pub(super) fn numbered(key: &str) -> Result<(String, u64), Trouble> {
    let parts =
        key.rsplit_once('/').and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?)));
    let parts = parts.filter(|(_, number)| *number <= HIGHEST);
    let (name, number) = parts.ok_or_else(|| Trouble::Damaged(format!("`{key}` is no key")))?;
    Ok((name.to_string(), number))
}

pub(super) fn event_key(number: u64) -> String {
    format!("{number:020}")
}

pub(super) fn revision(key: &str, json: &str) -> Result<Revision, Trouble> {
    let (_, number) = numbered(key)?;
    let StoredRevision {
        split,
        salt,
        layout,
        author,
        reason,
        at,
        outcome,
        rollout,
        back: is_back,
        versions,
    } = parse(key, json)?;
    let layout = layout.unwrap_or_else(|| Layout::of(&split));
    if !layout.is_of(&split) {
        return Err(Trouble::Damaged(format!("`{key}`: its layout is not that of its split")));
    }
    let at = WallTime::from_millis(at).seconds();
    Ok(Revision {
        number,
        split,
        salt,
        layout,
        author,
        reason,
        at,
        outcome,
        rollout,
        is_back,
        versions,
    })
}

pub(super) fn revision_json(revision: &Revision) -> Result<String, Trouble> {
    let Revision {
        number: _,
        split,
        salt,
        layout,
        author,
        reason,
        at,
        outcome,
        rollout,
        is_back: back,
        versions,
    } = revision.clone();
    let at = (at * 1e3).round() as u64;
    let layout = Some(layout).filter(|layout| *layout != Layout::of(&split));
    json(&StoredRevision {
        split,
        salt,
        layout,
        author,
        reason,
        at,
        outcome,
        rollout,
        back,
        versions,
    })
}

pub(super) fn flag(key: &str, json: &str) -> Result<FlagState, Trouble> {
    let (_, revision) = numbered(key)?;
    let StoredFlag { percent, author, reason, at, back } = parse(key, json)?;
    Ok(FlagState { percent, revision, author, reason, at, is_back: back })
}

pub(super) fn flag_json(state: &FlagState) -> Result<String, Trouble> {
    let FlagState { percent, author, reason, at, is_back: back, .. } = state.clone();
    json(&StoredFlag { percent, author, reason, at, back })
}

pub(super) fn alarms(key: &str, json: &str) -> Result<Alarms, Trouble> {
    let StoredAlarms { tiers, is_held, clear_since, is_cautious, is_frozen } = parse(key, json)?;
    let tiers = tiers.map(|StoredFire { burns, quiet_since }| Fire { burns, quiet_since });
    Ok(Alarms { tiers, is_held, clear_since, is_cautious, is_frozen })
}

pub(super) fn alarms_json(alarms: &Alarms) -> Result<String, Trouble> {
    let Alarms { tiers, is_held, clear_since, is_cautious, is_frozen } = alarms.clone();
    let tiers = tiers.map(|Fire { burns, quiet_since }| StoredFire { burns, quiet_since });
    json(&StoredAlarms { tiers, is_held, clear_since, is_cautious, is_frozen })
}

/// The key of what was counted for an error budget in one stretch of time.
pub(super) fn block_key(of: &str, grain: Grain, number: u64) -> String {
    tables::key(&format!("{of}/{}", grain.name()), number)
}

/// The key of the error budget that this is a key of a stretch of time of.
pub(super) fn budget_of(key: &str) -> Result<String, Trouble> {
    let (name, _) = numbered(key)?;
    let of = name.rsplit_once('/').map(|(of, _)| of.to_string());
    of.ok_or_else(|| Trouble::Damaged(format!("`{key}` is no key")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_none_could_follow_is_none() {
        let read = |number: &str| numbered(&format!("shop/{number}")).ok();
        assert_eq!(read("00000000000000000007"), Some(("shop".to_string(), 7)));
        assert_eq!(read(&HIGHEST.to_string()), Some(("shop".to_string(), HIGHEST)));
        for number in [u64::MAX.to_string(), "-1".to_string(), String::new()] {
            assert_eq!(read(&number), None, "{number}");
        }
    }
}

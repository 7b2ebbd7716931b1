//! What a process needs at its start: the tables in, one picture of them out.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::error::Trouble;
use super::tables::{
    BUDGETS, EVENTS, FLAGS, IN_FILE, META, OVERRIDES, PAST_ROLLOUTS, REVISIONS, ROLLOUTS, SAMPLES,
};
use super::transaction::Reading;
use super::{EVENTS_KEPT, FlagState, Override, Revision, StoredEvent, stored};
use crate::clock::WallTime;
use crate::rollout::Rollout;
use crate::slo::{Course, Grain, Kept};

/// Where the key of the cohort hash is, in the table of what there is one of.
pub(super) const SECRET: &str = "secret";

/// Everything that a process needs at its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The newest revision of each service, of those that are not configured any more too.
    pub newest: BTreeMap<Arc<str>, Revision>,
    /// The rollouts under way, one for each service at most.
    pub rollouts: Vec<Rollout>,
    /// Ended rollouts that had begun a hook which nobody has told the end of.
    pub lingering: Vec<Rollout>,
    /// The highest id that each service has given to a rollout.
    pub last_rollouts: BTreeMap<Arc<str>, u64>,
    /// The overrides that stand, those whose end has come among them.
    pub overrides: Vec<Override>,
    /// The newest state of each flag.
    pub flags: BTreeMap<Arc<str>, FlagState>,
    /// What the config file said when it was read last, by what it said it of.
    pub in_file: BTreeMap<Arc<str>, String>,
    /// The key of the cohort hash, if it was made yet.
    pub secret: Option<[u8; 16]>,
    /// The last events, the oldest first.
    pub events: Vec<StoredEvent>,
}

pub(super) fn recall(reading: &Reading) -> Result<Memory, Trouble> {
    let newest = reading.newest_of_each(REVISIONS, stored::revision)?;
    let rollouts = reading.all(ROLLOUTS, .., usize::MAX, stored::parse::<Rollout>)?;
    let past = reading.newest_of_each(PAST_ROLLOUTS, |key, _| Ok(stored::numbered(key)?.1))?;
    let mut last_rollouts = by_name(past);
    for rollout in &rollouts {
        let last = last_rollouts.entry(rollout.service.clone()).or_default();
        *last = rollout.id.max(*last);
    }
    let mut lingering = reading.all(PAST_ROLLOUTS, .., usize::MAX, stored::parse::<Rollout>)?;
    lingering.retain(Rollout::is_pending);
    Ok(Memory {
        newest: by_name(newest),
        rollouts,
        lingering,
        last_rollouts,
        overrides: reading.all(OVERRIDES, .., usize::MAX, stored::standing)?,
        flags: by_name(reading.newest_of_each(FLAGS, stored::flag)?),
        in_file: by_name(reading.all(IN_FILE, .., usize::MAX, |key, value| {
            Ok((key.to_string(), stored::parse::<String>(key, value)?))
        })?),
        secret: secret(reading)?,
        events: reading.all(EVENTS, .., usize::MAX, stored::parse)?,
    })
}

/// Reads every value of every table once.
pub(super) fn check(reading: &Reading) -> Result<(), Trouble> {
    let all = usize::MAX;
    reading.all(REVISIONS, .., all, stored::revision)?;
    reading.all(PAST_ROLLOUTS, .., all, stored::parse::<Rollout>)?;
    reading.all(FLAGS, .., all, stored::flag)?;
    reading.all(BUDGETS, .., all, stored::parse::<Course>)?;
    reading.all(SAMPLES, .., all, stored::block)?;
    recall(reading).map(drop)
}

pub(super) fn secret(reading: &Reading) -> Result<Option<[u8; 16]>, Trouble> {
    reading.one(META, SECRET, stored::secret)
}

pub(super) fn events_after(
    reading: &Reading,
    number: u64,
    most: usize,
) -> Result<Vec<StoredEvent>, Trouble> {
    let after = (Bound::Excluded(stored::event_key(number)), Bound::Unbounded);
    reading.all(EVENTS, after, most.min(EVENTS_KEPT), stored::parse)
}

/// What is kept of an error budget; nothing if there is nothing.
pub(super) fn budget(reading: &Reading, of: &str) -> Result<Kept, Trouble> {
    let course = reading.one(BUDGETS, of, stored::parse::<Course>)?;
    let mut blocks = Vec::new();
    for grain in Grain::ALL {
        let keys = stored::blocks_of(of, grain);
        blocks.extend(reading.all(SAMPLES, keys, usize::MAX, stored::block)?);
    }
    Ok(Kept { blocks, course: course.unwrap_or_default() })
}

/// The keys of all error budgets, each with the moment of its newest sample.
pub(super) fn budgets(reading: &Reading) -> Result<Vec<(String, WallTime)>, Trouble> {
    let keys = reading.all(BUDGETS, .., usize::MAX, |key, _| Ok(key.to_string()))?;
    let with_moment = |of: String| {
        let keys = stored::blocks_of(&of, Grain::Fine);
        let newest = reading.newest(SAMPLES, &keys, 1, stored::block)?.pop();
        let at = newest.and_then(|block| Some(block.samples.last()?.at));
        Ok((of, at.unwrap_or_default()))
    };
    keys.into_iter().map(with_moment).collect()
}

fn by_name<T>(list: Vec<(String, T)>) -> BTreeMap<Arc<str>, T> {
    list.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

//! One change, one entry: a change of the state in, what is written for it out, and back.
//!
//! This is what is on disks, so its fields only grow: a new one has a default, and none is renamed,
//! removed or given another meaning without a step in `migrate.rs`. Times are milliseconds since
//! the Unix epoch, shares are basis points.

use std::sync::Arc;

use super::error::Trouble;
use super::stored;
use super::tables::{
    ABSENT, ALERTS, AUTOMATION, BUDGETS, BURSTS, CARRIED, CHECKED, FLAGS, HEARINGS, IN_FILE,
    INCIDENTS, META, OVERRIDES, PAST_ROLLOUTS, RECORDED, REVISIONS, ROLLOUTS, SAMPLES, Texts, key,
};
use crate::automation;
use crate::rollout::{Rollout, StoredHearing, StoredRollout};
use crate::state::{About, Change, FilePart, Override, State};

/// Where the key of the cohort hash is, in the table of what there is one of.
pub(super) const SECRET: &str = "secret";

/// The tables that a state is read from, in the order in which their changes make sense.
pub(super) const OF_STATE: [Texts; 18] = [
    META,
    REVISIONS,
    ROLLOUTS,
    HEARINGS,
    PAST_ROLLOUTS,
    OVERRIDES,
    FLAGS,
    IN_FILE,
    ABSENT,
    BUDGETS,
    SAMPLES,
    BURSTS,
    RECORDED,
    CHECKED,
    CARRIED,
    AUTOMATION,
    INCIDENTS,
    ALERTS,
];

/// A value under a key, or that there is none any more.
pub(super) struct Entry {
    pub table: Texts,
    pub key: String,
    /// None takes it away.
    pub value: Option<String>,
}

impl Entry {
    /// What is written for a change.
    pub fn of(change: &Change) -> Result<Entry, Trouble> {
        let put = |table, key, value| Ok(Entry { table, key, value: Some(value) });
        let gone = |table, key| Ok(Entry { table, key, value: None });
        match change {
            Change::Secret(secret) => {
                put(META, SECRET.into(), stored::json(&stored::to_hex(secret))?)
            }
            Change::Revision { service, revision } => {
                let value = stored::revision_json(revision)?;
                put(REVISIONS, key(service, revision.number), value)
            }
            Change::ForgetRevision { service, number } => gone(REVISIONS, key(service, *number)),
            Change::Rollout(rollout) => {
                let value = stored::json(&StoredRollout::of(rollout))?;
                put(ROLLOUTS, rollout.service.to_string(), value)
            }
            Change::EndRollout { service } => gone(ROLLOUTS, service.to_string()),
            Change::Heard { service, id, heard } => {
                let value = StoredHearing::of(*id, heard).map_err(unwritable)?;
                put(HEARINGS, service.to_string(), stored::json(&value)?)
            }
            Change::ForgetHeard { service } => gone(HEARINGS, service.to_string()),
            Change::Past(rollout) => {
                let value = StoredRollout::whole(rollout).map_err(unwritable)?;
                put(PAST_ROLLOUTS, key(&rollout.service, rollout.id), stored::json(&value)?)
            }
            Change::ForgetPast { service, id } => gone(PAST_ROLLOUTS, key(service, *id)),
            Change::Order(standing) => {
                let about = standing.what.about();
                put(OVERRIDES, about.as_str().into(), stored::json(standing)?)
            }
            Change::Clear(about) => gone(OVERRIDES, about.as_str().into()),
            Change::Flag { name, state } => {
                put(FLAGS, key(name, state.revision), stored::flag_json(state)?)
            }
            Change::ForgetFlag { name, revision } => gone(FLAGS, key(name, *revision)),
            Change::InFile { of, said: Some(said) } => {
                put(IN_FILE, of.to_string(), stored::json(said)?)
            }
            Change::InFile { of, said: None } => gone(IN_FILE, of.to_string()),
            Change::Absent { part, since: Some(since) } => {
                put(ABSENT, part.to_string(), stored::json(since)?)
            }
            Change::Absent { part, since: None } => gone(ABSENT, part.to_string()),
            Change::Alarms { of, alarms } => {
                put(BUDGETS, of.to_string(), stored::alarms_json(alarms)?)
            }
            Change::Bursts { of, bursts: Some(bursts) } => {
                put(BURSTS, of.to_string(), stored::json(bursts)?)
            }
            Change::Bursts { of, bursts: None } => gone(BURSTS, of.to_string()),
            Change::Recorded { of, minute: Some(minute) } => {
                put(RECORDED, of.to_string(), stored::json(minute)?)
            }
            Change::Recorded { of, minute: None } => gone(RECORDED, of.to_string()),
            Change::Checked { service, tally: Some(tally) } => {
                put(CHECKED, service.to_string(), stored::json(tally)?)
            }
            Change::Checked { service, tally: None } => gone(CHECKED, service.to_string()),
            Change::Carried { of, day: Some(day) } => {
                put(CARRIED, of.to_string(), stored::json(day)?)
            }
            Change::Carried { of, day: None } => gone(CARRIED, of.to_string()),
            Change::Automation(change) => match change.json() {
                Some(json) => put(AUTOMATION, change.key(), json.map_err(unwritable)?),
                None => gone(AUTOMATION, change.key()),
            },
            Change::Incident(incident) => {
                put(INCIDENTS, stored::event_key(incident.id), stored::json(incident)?)
            }
            Change::ForgetIncident { id } => gone(INCIDENTS, stored::event_key(*id)),
            Change::Alert(alert) => put(ALERTS, alert.fingerprint.clone(), stored::json(alert)?),
            Change::ForgetAlert { fingerprint } => gone(ALERTS, fingerprint.to_string()),
            Change::ForgetAlarms { of } => gone(BUDGETS, of.to_string()),
            Change::Block { of, block } => {
                let key = stored::block_key(of, block.grain, block.number);
                put(SAMPLES, key, stored::block_json(block)?)
            }
            Change::ForgetBlock { of, grain, number } => {
                gone(SAMPLES, stored::block_key(of, *grain, *number))
            }
        }
    }
}

/// The change that an entry was written for; none for what is no part of the state, and for what a
/// judge of another version has heard.
pub(super) fn read(table: Texts, key: &str, json: &str) -> Result<Option<Change>, Trouble> {
    use redb::TableHandle;
    let unreadable = |error: serde_json::Error| Trouble::Damaged(format!("`{key}`: {error}"));
    let name = table.name();
    Ok(Some(if name == META.name() {
        match key {
            SECRET => Change::Secret(stored::secret(key, json)?),
            _ => return Ok(None),
        }
    } else if name == REVISIONS.name() {
        let (service, _) = stored::numbered(key)?;
        let revision = Arc::new(stored::revision(key, json)?);
        Change::Revision { service: service.into(), revision }
    } else if name == ROLLOUTS.name() {
        Change::Rollout(Arc::new(rollout(key, json)?))
    } else if name == HEARINGS.name() {
        let heard = stored::parse::<StoredHearing>(key, json)?.read().map_err(unreadable)?;
        let Some((id, heard)) = heard else { return Ok(None) };
        Change::Heard { service: key.into(), id, heard }
    } else if name == PAST_ROLLOUTS.name() {
        stored::numbered(key)?;
        Change::Past(Arc::new(rollout(key, json)?))
    } else if name == OVERRIDES.name() {
        let standing: Override = stored::parse(key, json)?;
        if About::read(key).as_ref() != Some(&standing.what.about()) {
            return Err(Trouble::Damaged(format!("`{key}` is about something else")));
        }
        Change::Order(standing)
    } else if name == FLAGS.name() {
        let (flag, _) = stored::numbered(key)?;
        Change::Flag { name: flag.into(), state: Arc::new(stored::flag(key, json)?) }
    } else if name == IN_FILE.name() {
        Change::InFile { of: key.into(), said: Some(stored::parse(key, json)?) }
    } else if name == ABSENT.name() {
        let part = FilePart::read(key);
        let part = part.ok_or_else(|| Trouble::Damaged(format!("`{key}` is no part of a file")))?;
        Change::Absent { part, since: Some(stored::parse(key, json)?) }
    } else if name == BUDGETS.name() {
        Change::Alarms { of: key.into(), alarms: stored::alarms(key, json)? }
    } else if name == SAMPLES.name() {
        let of = stored::budget_of(key)?;
        Change::Block { of: of.into(), block: Arc::new(stored::block(key, json)?) }
    } else if name == BURSTS.name() {
        Change::Bursts { of: key.into(), bursts: Some(Arc::new(stored::parse(key, json)?)) }
    } else if name == RECORDED.name() {
        Change::Recorded { of: key.into(), minute: Some(Arc::new(stored::parse(key, json)?)) }
    } else if name == CHECKED.name() {
        Change::Checked { service: key.into(), tally: Some(Arc::new(stored::parse(key, json)?)) }
    } else if name == CARRIED.name() {
        Change::Carried { of: key.into(), day: Some(Arc::new(stored::parse(key, json)?)) }
    } else if name == AUTOMATION.name() {
        match automation::Change::read(key, json).map_err(unreadable)? {
            Some(change) => Change::Automation(change),
            None => return Ok(None),
        }
    } else if name == INCIDENTS.name() {
        Change::Incident(Arc::new(stored::parse(key, json)?))
    } else if name == ALERTS.name() {
        Change::Alert(Arc::new(stored::parse(key, json)?))
    } else {
        return Ok(None);
    }))
}

fn rollout(key: &str, json: &str) -> Result<Rollout, Trouble> {
    let read = stored::parse::<StoredRollout>(key, json)?.read();
    let rollout = read.map_err(|error| Trouble::Damaged(format!("`{key}`: {error}")))?;
    match rollout.id <= stored::HIGHEST {
        true => Ok(rollout),
        false => Err(Trouble::Damaged(format!("`{key}`: none can follow number {}", rollout.id))),
    }
}

fn unwritable(error: serde_json::Error) -> Trouble {
    Trouble::Damaged(error.to_string())
}

/// Folds entries into a state.
pub(super) fn fold(state: &mut State, table: Texts, key: &str, json: &str) -> Result<(), Trouble> {
    read(table, key, json)?.iter().for_each(|change| state.apply(change));
    Ok(())
}

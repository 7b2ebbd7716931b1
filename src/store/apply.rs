//! A batch onto the tables: changes in, the revisions they made out.

use std::sync::Arc;

use super::batch::{Batch, BudgetChange, Change};
use super::error::{CommitError, Trouble};
use super::tables::{
    BUDGETS, EVENTS, FLAGS, IN_FILE, OVERRIDES, PAST_ROLLOUTS, REVISIONS, ROLLOUTS, SAMPLES, Texts,
    key, keys_of,
};
use super::transaction::{Writing, newest, one};
use super::{
    Draft, EVENTS_KEPT, FLAG_STATES_KEPT, FlagState, KEPT, LostRace, PAST_ROLLOUTS_KEPT, Revision,
    StoredEvent, stored,
};
use crate::rollout::Rollout;
use crate::slo::Grain;

/// Answers with an inner refusal if somebody else was faster; then nothing must be committed.
pub(super) fn apply(
    writing: &Writing,
    batch: Batch,
) -> Result<Result<Vec<Revision>, CommitError>, Trouble> {
    let mut made = Vec::new();
    for change in batch.changes {
        match change {
            Change::Revise { service, expected, draft, back_to } => {
                match revise(writing, &service, expected, draft, back_to)? {
                    Ok(revision) => made.push(revision),
                    Err(lost) => return Ok(Err(lost.into())),
                }
            }
            Change::Outcome { service, number, text } => {
                set_outcome(writing, &service, number, text)?;
            }
            Change::Rollout(rollout) => {
                put(writing, ROLLOUTS, &rollout.service, &stored::json(&*rollout)?)?;
            }
            Change::EndRollout(rollout) => end_rollout(writing, &rollout)?,
            Change::Settle(rollout) => settle(writing, &rollout)?,
            Change::Set(standing) => {
                let about = stored::override_key(&standing.what.key())?;
                put(writing, OVERRIDES, &about, &stored::override_json(standing)?)?;
            }
            Change::Clear(about) => {
                writing.table(OVERRIDES)?.remove(stored::override_key(&about)?.as_str())?;
            }
            Change::Flag { name, expected, state } => {
                if let Err(lost) = set_flag(writing, &name, expected, state)? {
                    return Ok(Err(lost));
                }
            }
            Change::InFile { of, said: Some(said) } => {
                put(writing, IN_FILE, &of, &stored::json(&said)?)?;
            }
            Change::InFile { of, said: None } => {
                writing.table(IN_FILE)?.remove(of.as_str())?;
            }
            Change::Events(events) => keep_events(writing, &events)?,
            Change::Budget(change) => keep_budget(writing, &change)?,
            Change::ForgetBudget { of } => forget_budget(writing, &of)?,
        }
    }
    Ok(Ok(made))
}

fn revise(
    writing: &Writing,
    service: &Arc<str>,
    expected: u64,
    draft: Draft,
    back_to: Option<u64>,
) -> Result<Result<Revision, LostRace>, Trouble> {
    let before = newest(&writing.table(REVISIONS)?, &keys_of(service), 1, stored::revision)?.pop();
    let current = before.as_ref().map_or(0, |before| before.number);
    if current != expected {
        return Ok(Err(LostRace { expected, current }));
    }
    let then = match back_to {
        Some(number) => one(&writing.table(REVISIONS)?, &key(service, number), stored::revision)?,
        None => None,
    };
    let revision = draft.after(before.as_ref(), then.as_ref());
    put(writing, REVISIONS, &key(service, revision.number), &stored::revision_json(&revision)?)?;
    forget(writing, REVISIONS, service, KEPT)?;
    Ok(Ok(revision))
}

fn set_outcome(writing: &Writing, service: &str, number: u64, text: String) -> Result<(), Trouble> {
    let key = key(service, number);
    let revision = one(&writing.table(REVISIONS)?, &key, stored::revision)?;
    let Some(revision) = revision else { return Ok(()) };
    let revision = Revision { outcome: Some(text), ..revision };
    put(writing, REVISIONS, &key, &stored::revision_json(&revision)?)
}

fn end_rollout(writing: &Writing, rollout: &Rollout) -> Result<(), Trouble> {
    writing.table(ROLLOUTS)?.remove(&*rollout.service)?;
    let key = key(&rollout.service, rollout.id);
    put(writing, PAST_ROLLOUTS, &key, &stored::json(rollout)?)?;
    forget(writing, PAST_ROLLOUTS, &rollout.service, PAST_ROLLOUTS_KEPT)
}

fn settle(writing: &Writing, rollout: &Rollout) -> Result<(), Trouble> {
    let key = key(&rollout.service, rollout.id);
    let known = one(&writing.table(PAST_ROLLOUTS)?, &key, stored::parse::<Rollout>)?;
    match known {
        Some(_) => put(writing, PAST_ROLLOUTS, &key, &stored::json(rollout)?),
        None => Ok(()),
    }
}

fn set_flag(
    writing: &Writing,
    name: &Arc<str>,
    expected: u64,
    state: FlagState,
) -> Result<Result<(), CommitError>, Trouble> {
    let before = newest(&writing.table(FLAGS)?, &keys_of(name), 1, stored::flag)?.pop();
    let current = before.map_or(0, |before| before.revision);
    if current != expected {
        let flag = name.to_string();
        return Ok(Err(CommitError::LostFlagRace { flag, expected, current }));
    }
    let state = FlagState { revision: current + 1, ..state };
    put(writing, FLAGS, &key(name, state.revision), &stored::flag_json(&state)?)?;
    forget(writing, FLAGS, name, FLAG_STATES_KEPT)?;
    Ok(Ok(()))
}

fn keep_events(writing: &Writing, events: &[StoredEvent]) -> Result<(), Trouble> {
    for event in events {
        put(writing, EVENTS, &stored::event_key(event.number), &stored::json(event)?)?;
    }
    let mut table = writing.table(EVENTS)?;
    forget_first(&mut table, "", stored::LAST, EVENTS_KEPT)
}

fn keep_budget(writing: &Writing, change: &BudgetChange) -> Result<(), Trouble> {
    let BudgetChange { of, course, blocks, oldest } = change;
    put(writing, BUDGETS, of, &stored::json(course)?)?;
    let mut table = writing.table(SAMPLES)?;
    for block in blocks {
        let key = stored::block_key(of, block.grain, block.number);
        table.insert(key.as_str(), stored::block_json(block)?.as_str())?;
    }
    for (grain, oldest) in oldest {
        let keys = stored::block_key(of, *grain, 0)..stored::block_key(of, *grain, *oldest);
        table.retain_in::<&str, _>(keys.start.as_str()..keys.end.as_str(), |_, _| false)?;
    }
    Ok(())
}

fn forget_budget(writing: &Writing, of: &str) -> Result<(), Trouble> {
    writing.table(BUDGETS)?.remove(of)?;
    let mut table = writing.table(SAMPLES)?;
    for grain in Grain::ALL {
        let keys = stored::blocks_of(of, grain);
        let keys = keys.start().as_str()..=keys.end().as_str();
        table.retain_in::<&str, _>(keys, |_, _| false)?;
    }
    Ok(())
}

fn put(writing: &Writing, table: Texts, key: &str, json: &str) -> Result<(), Trouble> {
    writing.table(table)?.insert(key, json)?;
    Ok(())
}

/// Keeps the newest of a name.
fn forget(writing: &Writing, table: Texts, name: &str, kept: usize) -> Result<(), Trouble> {
    let keys = keys_of(name);
    forget_first(&mut writing.table(table)?, keys.start(), keys.end(), kept)
}

fn forget_first(
    table: &mut redb::Table<'_, &'static str, &'static str>,
    from: &str,
    to: &str,
    kept: usize,
) -> Result<(), Trouble> {
    use redb::ReadableTable as _;
    let over = table.range::<&str>(from..=to)?.rev().nth(kept).transpose()?;
    if let Some(newest_over) = over.map(|(key, _)| key.value().to_string()) {
        table.retain_in::<&str, _>(from..=newest_over.as_str(), |_, _| false)?;
    }
    Ok(())
}

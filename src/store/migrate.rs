//! What older versions wrote: tables of any format up to ours in, tables of ours out.
//!
//! A step takes the tables of one format, as JSON under their keys, to the next; so it needs none
//! of the types of its time, and files and exports take the same way. It happens in one
//! transaction, and was done on a copy before.

use std::collections::BTreeMap;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use serde_json::{Value, json};

use super::error::Trouble;
use super::stored;
use super::tables::{COMMITS, META, TABLES, Texts};
use super::transaction::{Reading, begin_write};

/// Tables by name, values by key.
pub(super) type Tables = BTreeMap<String, BTreeMap<String, Value>>;

/// Takes tables of one format to the next; or says why they are not of the one.
type Step = fn(&mut Tables) -> Result<(), String>;

/// From format 1 to 2, from 2 to 3, and so on.
const STEPS: &[Step] = &[begin_budgets, part_hearings];

/// What this version writes.
pub(super) const FORMAT: u32 = 1 + STEPS.len() as u32;

/// Where the format is told, in the table of what there is one of.
pub(super) const KEY: &str = "format";

/// Makes an empty database a store, and an older store one of this format.
pub(super) fn make_current(database: &Database) -> Result<(), Trouble> {
    let reading = database.begin_read()?;
    if reading.list_tables()?.next().is_none() {
        return write(database, &empty());
    }
    if !reading.list_tables()?.any(|table| table.name() == META.name()) {
        return Err(Trouble::Damaged("it is a redb file, but no store of pointsman".into()));
    }
    let reading = Reading(reading);
    let format = reading.one(META, KEY, stored::parse::<u32>)?.unwrap_or(0);
    if format == FORMAT {
        let present: Vec<_> = reading.0.list_tables()?.collect();
        let is_missing = |new: &&Texts| !present.iter().any(|table| table.name() == new.name());
        return match TABLES.iter().any(|table| is_missing(&table)) {
            true => add_tables(database),
            false => Ok(()),
        };
    }
    let mut tables = dump(&reading)?;
    upgrade(&mut tables, format)?;
    drop(reading);
    write(database, &tables)
}

/// A table more is no other format: it begins empty.
fn add_tables(database: &Database) -> Result<(), Trouble> {
    let transaction = begin_write(database)?;
    for table in TABLES {
        transaction.open_table(table)?;
    }
    Ok(transaction.commit()?)
}

/// Takes tables of this format to ours.
pub(super) fn upgrade(tables: &mut Tables, format: u32) -> Result<(), Trouble> {
    take_steps(tables, format, STEPS)
}

fn take_steps(tables: &mut Tables, format: u32, steps: &[Step]) -> Result<(), Trouble> {
    let Some(done) = format.checked_sub(1).map(|done| done as usize) else {
        return Err(Trouble::Damaged("it has no format".into()));
    };
    let steps = steps.get(done..).ok_or(Trouble::Newer { found: format, reads: FORMAT })?;
    for (at, step) in (format..).zip(steps) {
        let failed = |what| Trouble::Damaged(format!("it is not of format {at}: {what}"));
        step(tables).map_err(failed)?;
        let meta = tables.entry(META.name().into()).or_default();
        meta.insert(KEY.into(), (at + 1).into());
    }
    Ok(())
}

/// From 1 to 2: error budgets begin, and so do freezes among the overrides. Nothing that was kept
/// changes; but a version that knows none of it would take a freeze for damage.
fn begin_budgets(tables: &mut Tables) -> Result<(), String> {
    for table in ["budgets", "samples"] {
        if tables.insert(table.into(), BTreeMap::new()).is_some() {
            return Err(format!("there were no {table} yet"));
        }
    }
    Ok(())
}

/// From 2 to 3: what the judge of a rollout under way has heard is kept apart from where the rollout
/// is, and that of a past one under its version.
fn part_hearings(tables: &mut Tables) -> Result<(), String> {
    let part = |rollout: &mut Value| -> Result<Option<Value>, String> {
        let fields = rollout.as_object_mut().ok_or("a rollout is no object")?;
        let number = fields.get("id").cloned().ok_or("a rollout has no id")?;
        let heard = fields.remove("hearing");
        Ok(heard.map(|heard| json!({ "version": 1, "rollout": number, "heard": heard })))
    };
    let mut hearings = BTreeMap::new();
    for (service, rollout) in tables.get_mut("rollouts").into_iter().flatten() {
        hearings.extend(part(rollout)?.map(|heard| (service.clone(), heard)));
    }
    for rollout in tables.get_mut("past_rollouts").into_iter().flat_map(BTreeMap::values_mut) {
        if let Some(heard) = part(rollout)? {
            rollout["heard"] = heard;
        }
    }
    match tables.insert("hearings".into(), hearings) {
        Some(_) => Err("there were no hearings yet".into()),
        None => Ok(()),
    }
}

/// A store that nothing has happened to.
fn empty() -> Tables {
    let meta = [(KEY.to_string(), FORMAT.into()), (COMMITS.to_string(), 0.into())];
    [(META.name().to_string(), meta.into_iter().collect())].into_iter().collect()
}

/// Everything there is.
pub(super) fn dump(reading: &Reading) -> Result<Tables, Trouble> {
    let mut tables = Tables::new();
    for handle in reading.0.list_tables()? {
        let table = reading.0.open_table(texts(handle.name()))?;
        let mut values = BTreeMap::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            values.insert(key.value().to_string(), stored::parse(key.value(), value.value())?);
        }
        tables.insert(handle.name().to_string(), values);
    }
    Ok(tables)
}

/// Puts these in the place of all there is.
pub(super) fn write(database: &Database, tables: &Tables) -> Result<(), Trouble> {
    let transaction = begin_write(database)?;
    let before: Vec<_> = transaction.list_tables()?.collect();
    for table in before {
        transaction.delete_table(table)?;
    }
    for table in TABLES {
        transaction.open_table(table)?;
    }
    for (name, values) in tables {
        let mut table = transaction.open_table(texts(name))?;
        for (key, value) in values {
            table.insert(key.as_str(), value.to_string().as_str())?;
        }
    }
    Ok(transaction.commit()?)
}

fn texts(name: &str) -> TableDefinition<'_, &'static str, &'static str> {
    TableDefinition::new(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_format(format: u32) -> Tables {
        let mut tables = empty();
        tables.get_mut("meta").unwrap().insert(KEY.into(), format.into());
        tables.entry("flags".into()).or_default().insert("beta/1".into(), "5".into());
        tables
    }

    /// From 1 to 2: flags are numbers. From 2 to 3: they are called otherwise.
    const STEPS: &[Step] = &[
        |tables| {
            for value in tables.get_mut("flags").ok_or("no flags")?.values_mut() {
                let text = value.as_str().ok_or("a flag is no text")?;
                *value = text.parse::<u64>().map_err(|error| error.to_string())?.into();
            }
            Ok(())
        },
        |tables| {
            let flags = tables.remove("flags").ok_or("no flags")?;
            tables.insert("toggles".into(), flags);
            Ok(())
        },
    ];

    #[test]
    fn every_older_format_takes_the_steps_that_follow_it() {
        let mut tables = of_format(1);
        take_steps(&mut tables, 1, STEPS).unwrap();
        assert_eq!((&tables["meta"][KEY], &tables["toggles"]["beta/1"]), (&3.into(), &5.into()));
        let mut tables = of_format(2);
        take_steps(&mut tables, 2, STEPS).unwrap();
        assert_eq!((&tables["meta"][KEY], &tables["toggles"]["beta/1"]), (&3.into(), &"5".into()));
        let before = of_format(3);
        let mut tables = before.clone();
        take_steps(&mut tables, 3, STEPS).unwrap();
        assert_eq!(tables, before);
    }

    #[test]
    fn a_table_that_came_later_begins_empty() {
        let database = Database::builder();
        let memory = redb::backends::InMemoryBackend::new();
        let database = database.create_with_backend(memory).unwrap();
        make_current(&database).unwrap();
        let transaction = begin_write(&database).unwrap();
        transaction.delete_table(TABLES[7]).unwrap();
        transaction.commit().unwrap();
        make_current(&database).unwrap();
        let reading = Reading(database.begin_read().unwrap());
        assert_eq!(dump(&reading).unwrap()[TABLES[7].name()], BTreeMap::new());
    }

    #[test]
    fn what_cannot_be_upgraded_says_why() {
        let mut tables = of_format(4);
        assert!(matches!(take_steps(&mut tables, 4, STEPS), Err(Trouble::Newer { found: 4, .. })));
        assert!(matches!(take_steps(&mut tables, 0, STEPS), Err(Trouble::Damaged(_))));
        tables.get_mut("flags").unwrap().insert("beta/2".into(), 7.into());
        let Err(Trouble::Damaged(what)) = take_steps(&mut tables, 1, STEPS) else { panic!() };
        assert_eq!(what, "it is not of format 1: a flag is no text");
    }
}

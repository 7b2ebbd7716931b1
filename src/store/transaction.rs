//! Transactions: questions to one moment's state, and changes to the next.

use std::ops::{RangeBounds, RangeInclusive};

use redb::{AccessGuard, Database, ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::error::Trouble;
use super::stored;
use super::tables::{COMMITS, META, Texts, keys_of};

/// One moment's state.
pub(super) struct Reading(pub ReadTransaction);

impl Reading {
    /// The value of a key.
    pub fn one<T>(&self, table: Texts, key: &str, parse: Parse<T>) -> Result<Option<T>, Trouble> {
        one(&self.0.open_table(table)?, key, parse)
    }

    /// At most this many of a range, from its end.
    pub fn newest<T>(
        &self,
        table: Texts,
        keys: &RangeInclusive<String>,
        most: usize,
        parse: Parse<T>,
    ) -> Result<Vec<T>, Trouble> {
        newest(&self.0.open_table(table)?, keys, most, parse)
    }

    /// All of a table, or of a part of it.
    pub fn all<T>(
        &self,
        table: Texts,
        keys: impl RangeBounds<String>,
        most: usize,
        parse: Parse<T>,
    ) -> Result<Vec<T>, Trouble> {
        let table = self.0.open_table(table)?;
        let keys = (keys.start_bound().map(String::as_str), keys.end_bound().map(String::as_str));
        let entries = table.range::<&str>(keys)?.take(most);
        entries.map(|entry| parsed(entry, parse)).collect()
    }

    /// The names that something is numbered within, each with the newest of it.
    pub fn newest_of_each<T>(
        &self,
        table: Texts,
        parse: Parse<T>,
    ) -> Result<Vec<(String, T)>, Trouble> {
        let table = self.0.open_table(table)?;
        let mut found = Vec::new();
        let mut from = String::new();
        while let Some(entry) = table.range::<&str>(from.as_str()..)?.next() {
            let (name, _) = stored::numbered(entry?.0.value())?;
            found.extend(
                newest(&table, &keys_of(&name), 1, parse)?
                    .pop()
                    .map(|newest| (name.clone(), newest)),
            );
            // Comes right after every key of this name, and before that of any other.
            from = format!("{name}0");
        }
        Ok(found)
    }
}

/// What reads a key and its value.
pub(super) type Parse<T> = fn(&str, &str) -> Result<T, Trouble>;

/// The value of a key.
pub(super) fn one<T>(
    table: &impl ReadableTable<&'static str, &'static str>,
    key: &str,
    parse: Parse<T>,
) -> Result<Option<T>, Trouble> {
    table.get(key)?.map(|value| parse(key, value.value())).transpose()
}

/// At most this many of a range, from its end.
pub(super) fn newest<T>(
    table: &impl ReadableTable<&'static str, &'static str>,
    keys: &RangeInclusive<String>,
    most: usize,
    parse: Parse<T>,
) -> Result<Vec<T>, Trouble> {
    let entries = table.range::<&str>(keys.start().as_str()..=keys.end().as_str())?;
    entries.rev().take(most).map(|entry| parsed(entry, parse)).collect()
}

type Guard<'t> = AccessGuard<'t, &'static str>;

fn parsed<'t, T>(
    entry: Result<(Guard<'t>, Guard<'t>), redb::StorageError>,
    parse: Parse<T>,
) -> Result<T, Trouble> {
    let (key, value) = entry?;
    parse(key.value(), value.value())
}

/// Changes under way.
pub(super) struct Writing(pub WriteTransaction);

impl Writing {
    /// One table; it must be dropped before it is asked for again.
    pub fn table(&self, table: Texts) -> Result<Table<'_, &'static str, &'static str>, Trouble> {
        Ok(self.0.open_table(table)?)
    }

    /// Has them on the disk on return.
    pub fn commit(self, commits: u64) -> Result<(), Trouble> {
        self.table(META)?.insert(COMMITS, commits.to_string().as_str())?;
        Ok(self.0.commit()?)
    }
}

/// Begins changes.
pub(super) fn begin_write(database: &Database) -> Result<WriteTransaction, Trouble> {
    let mut transaction = database.begin_write()?;
    // With one phase, redb 3.1 takes a damaged newest commit for one that was cut short, and goes
    // back to the one before without a word.
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

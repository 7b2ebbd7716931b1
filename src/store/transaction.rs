//! Transactions: questions to one moment's state, and changes to the next.

use redb::{Database, ReadTransaction, ReadableTable, Table, WriteTransaction};

use super::error::Trouble;
use super::tables::{COMMITS, META, Texts};

/// One moment's state.
pub(super) struct Reading(pub ReadTransaction);

impl Reading {
    /// The value of a key.
    pub fn one<T>(&self, table: Texts, key: &str, parse: Parse<T>) -> Result<Option<T>, Trouble> {
        let table = self.0.open_table(table)?;
        table.get(key)?.map(|value| parse(key, value.value())).transpose()
    }

    /// Looks at every key and value of a table.
    pub fn each(
        &self,
        table: Texts,
        mut look: impl FnMut(&str, &str) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        for entry in self.0.open_table(table)?.iter()? {
            let (key, value) = entry?;
            look(key.value(), value.value())?;
        }
        Ok(())
    }
}

/// What reads a key and its value.
pub(super) type Parse<T> = fn(&str, &str) -> Result<T, Trouble>;

/// Lets go of all but the last of a table.
pub(super) fn keep_last(
    table: &mut Table<'_, &'static str, &'static str>,
    kept: usize,
) -> Result<(), Trouble> {
    let over = table.iter()?.rev().nth(kept).transpose()?;
    if let Some(newest_over) = over.map(|(key, _)| key.value().to_string()) {
        table.retain_in::<&str, _>(..=newest_over.as_str(), |_, _| false)?;
    }
    Ok(())
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

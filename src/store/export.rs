//! A store as JSON: for moving house, for looking at, and for going back to an older version.

use std::collections::BTreeMap;
use std::path::Path;

use redb::TableHandle;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::entry::Entry;
use super::error::{Doing, StoreError, Trouble};
use super::migrate::{self, Tables};
use super::tables::{BESIDE, EVENTS, META, RECORDED, TABLES, Texts};
use super::{Store, StoredEvent, stored};
use crate::state::State;

/// All of a store. It holds the secret of cohorts, so it is as private as the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    format: u32,
    tables: Tables,
    /// What was measured, and is again without it: a version of the same format that does not know one of
    /// these passes over it, where a table that it does not know would have it refuse all.
    #[serde(default, skip_serializing_if = "Tables::is_empty")]
    measured: Tables,
}

/// What an export is called where a path would stand.
const EXPORT: &str = "the export";

impl Export {
    /// What a store of this state and these events holds.
    pub fn of(state: &State, events: &[StoredEvent]) -> Result<Export, StoreError> {
        let unwritable = |trouble: Trouble| StoreError::NotAnExport { what: trouble.what() };
        let mut tables: Tables =
            TABLES.iter().map(|table| (table.name().to_string(), BTreeMap::new())).collect();
        let mut put = |table: Texts, key: String, json: &str| {
            let value = stored::parse(&key, json)?;
            tables.entry(table.name().to_string()).or_default().insert(key, value);
            Ok(())
        };
        for change in state.changes() {
            let Entry { table, key, value } = Entry::of(&change).map_err(unwritable)?;
            if let Some(json) = value {
                put(table, key, &json).map_err(unwritable)?;
            }
        }
        for event in events {
            let json = stored::json(event).map_err(unwritable)?;
            put(EVENTS, stored::event_key(event.number), &json).map_err(unwritable)?;
        }
        Ok(Export::of_tables(tables))
    }

    /// Of tables of this format.
    fn of_tables(mut tables: Tables) -> Export {
        let beside = BESIDE.iter().filter_map(|table| tables.remove_entry(table.name()));
        // An hour of seconds is large, and an hour later it is there again.
        let beside = beside.filter(|(name, _)| name != RECORDED.name());
        let measured = beside.filter(|(_, values)| !values.is_empty()).collect();
        Export { format: migrate::FORMAT, tables, measured }
    }
}

impl Store {
    /// All that is remembered, as it is on the disk.
    pub fn export(&self) -> Result<Export, StoreError> {
        self.disk.read(|reading| {
            let mut tables = migrate::dump(reading)?;
            // Told once, where whoever reads the export looks first.
            if let Some(meta) = tables.get_mut(META.name()) {
                meta.remove(migrate::KEY);
            }
            Ok(Export::of_tables(tables))
        })
    }

    /// Makes a store of an export, of this format or an older one. A store that is there already
    /// is only replaced if that is said, and never while it is in use.
    pub fn import(path: &Path, export: &Export, replace: bool) -> Result<(), StoreError> {
        Disk::put(path, &export.current()?, replace)
    }
}

impl Export {
    /// The state that a store made of it would have.
    pub fn state(&self) -> Result<State, StoreError> {
        let tables = self.current()?;
        let store = Store::in_memory();
        let put = store.disk.put_all(&tables);
        put.and_then(|()| store.recall()).map_err(|error| match error {
            StoreError::Damaged { what, .. } => StoreError::NotAnExport { what },
            error => error,
        })
    }

    /// Its tables in the format of this version.
    fn current(&self) -> Result<Tables, StoreError> {
        let Export { format, mut tables, mut measured } = self.clone();
        let upgraded = migrate::upgrade(&mut tables, format);
        upgraded.map_err(|trouble| match trouble {
            Trouble::Damaged(what) => StoreError::NotAnExport { what },
            trouble => trouble.while_(Doing::Opening, EXPORT),
        })?;
        let is_known = |name: &&String| TABLES.iter().any(|table| table.name() == *name);
        if let Some(unknown) = tables.keys().find(|name| !is_known(name)) {
            let what = format!("nothing called `{unknown}` is ever stored");
            return Err(StoreError::NotAnExport { what });
        }
        tables.extend(BESIDE.iter().filter_map(|table| measured.remove_entry(table.name())));
        let meta = tables.entry(META.name().into()).or_default();
        meta.insert(migrate::KEY.into(), migrate::FORMAT.into());
        Ok(tables)
    }
}

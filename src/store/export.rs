//! A store as JSON: for moving house, for looking at, and for going back to an older version.

use std::path::Path;

use redb::TableHandle;
use serde::{Deserialize, Serialize};

use super::Store;
use super::disk::Disk;
use super::error::{Doing, StoreError, Trouble};
use super::migrate::{self, Tables};
use super::tables::{META, TABLES};

/// All of a store. It holds the secret of cohorts, so it is as private as the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    format: u32,
    tables: Tables,
}

/// What an export is called where a path would stand.
const EXPORT: &str = "the export";

impl Store {
    /// All that is remembered.
    pub fn export(&self) -> Result<Export, StoreError> {
        self.disk.read(|reading| {
            let mut tables = migrate::dump(reading)?;
            // Told once, where whoever reads the export looks first.
            if let Some(meta) = tables.get_mut(META.name()) {
                meta.remove(migrate::KEY);
            }
            Ok(Export { format: migrate::FORMAT, tables })
        })
    }

    /// Makes a store of an export, of this format or an older one. A store that is there already
    /// is only replaced if that is said, and never while it is in use.
    pub fn import(path: &Path, export: &Export, replace: bool) -> Result<(), StoreError> {
        let Export { format, mut tables } = export.clone();
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
        let meta = tables.entry(META.name().into()).or_default();
        meta.insert(migrate::KEY.into(), migrate::FORMAT.into());
        Disk::put(path, &tables, replace)
    }
}

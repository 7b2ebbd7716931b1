//! The store as it was before another process opened it: a newer version writes another format, and if it then
//! does not serve, this one must read what it reads.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::store::{Store, StoreError};

/// A copy beside the store.
pub(super) struct Copied(Option<PathBuf>);

fn beside(store: &Path) -> PathBuf {
    store.with_extension("before-upgrade")
}

impl Copied {
    /// Of a store that nobody has open. A disk that has no room for it keeps none, and an upgrade that fails
    /// after it has changed the format is one that needs `pointsman store import`.
    pub async fn of(store: &Path) -> Copied {
        let store = store.to_path_buf();
        // Beside the runtime: a disk may take its time. A panic has been reported by itself.
        spawn_blocking(move || Copied::now(&store)).await.unwrap_or(Copied(None))
    }

    fn now(store: &Path) -> Copied {
        let copy = beside(store);
        // What an earlier one left, and no link that anybody else might have put there: `copy` would follow.
        let _ = fs::remove_file(&copy);
        match fs::copy(store, &copy) {
            Ok(_) => Copied(Some(copy)),
            Err(error) => {
                // Half a copy is none to go back to.
                let _ = fs::remove_file(&copy);
                tracing::warn!(%error, "no copy of the store is kept for the time of the upgrade");
                Copied(None)
            }
        }
    }

    /// It is needed no more, or may be.
    pub fn forget_or_keep(self, is_over: bool) {
        if let Some(copy) = self.0.filter(|_| is_over) {
            // What stays is replaced by the next one.
            let _ = fs::remove_file(copy);
        }
    }
}

/// Opens the store again; as it was, if the process that has had it made it another that cannot be read.
pub(super) async fn open_again(store: &Path) -> Result<Store, String> {
    let store = store.to_path_buf();
    // Beside the runtime, as above.
    let opened = spawn_blocking(move || open_now(&store).map_err(|error| error.to_string())).await;
    opened.unwrap_or_else(|panic| Err(panic.to_string()))
}

fn open_now(store: &Path) -> Result<Store, StoreError> {
    let copy = beside(store);
    let opened = match Store::open(store) {
        Err(error) if error.is_unreadable() && copy.exists() => {
            tracing::warn!(%error, "the store is put back as it was before the upgrade");
            let put = fs::rename(&copy, store);
            put.map_err(|error| StoreError::Open { path: store.display().to_string(), error })?;
            Store::open(store)
        }
        opened => opened,
    };
    if opened.is_ok() {
        let _ = fs::remove_file(copy);
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Change;

    #[test]
    fn a_store_that_a_later_version_has_changed_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let secret = [7; 16];
        let store = Store::open(&path).unwrap();
        store.commit(&[Change::Secret(secret)], &[]).unwrap();
        drop(store);
        let _copy = Copied::now(&path);
        // As a version that writes another format leaves it.
        Store::open(&path).unwrap().set_format(1_000).unwrap();
        assert!(Store::open(&path).unwrap_err().is_unreadable());
        let store = open_now(&path).unwrap();
        assert_eq!(store.recall().unwrap().secret(), Some(secret));
        assert!(!beside(&path).exists());
        // One that can be read is as it is.
        drop(store);
        Copied::now(&path).forget_or_keep(false);
        Store::open(&path).unwrap().commit(&[Change::Secret([8; 16])], &[]).unwrap();
        assert_eq!(open_now(&path).unwrap().recall().unwrap().secret(), Some([8; 16]));
        Copied::now(&path).forget_or_keep(true);
        assert!(!beside(&path).exists());
    }

    #[test]
    fn half_a_copy_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        // A file that opens and whose first byte cannot be read.
        std::os::unix::fs::symlink("/proc/self/mem", &path).unwrap();
        let copied = Copied::now(&path);
        assert!(copied.0.is_none() && !beside(&path).exists());
    }
}

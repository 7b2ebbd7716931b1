//! What the system reports of folders: events in, which files are whole and which are being written
//! out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::resting::Report;

/// What was reported since somebody asked last, and who writes.
#[derive(Debug, Default)]
pub(super) struct Stirs {
    noted: Mutex<Noted>,
    /// Something has stirred.
    pub stirred: Notify,
}

#[derive(Debug, Default)]
struct Noted {
    /// Written to and not closed yet.
    open: BTreeSet<PathBuf>,
    /// Closed after a write, or moved into their place.
    whole: BTreeSet<PathBuf>,
    /// A name was put in the place of another, or a link: files may be reached by it.
    is_relinked: bool,
}

/// What was reported up to a moment.
#[derive(Debug, Default)]
pub(super) struct Reports {
    open: BTreeSet<PathBuf>,
    whole: BTreeSet<PathBuf>,
    is_relinked: bool,
}

impl Reports {
    /// That of a file, which may have several names.
    pub fn of(&self, names: &[PathBuf]) -> Report {
        let any = |files: &BTreeSet<PathBuf>| names.iter().any(|name| files.contains(name));
        Report { is_whole: self.is_relinked || any(&self.whole), is_open: any(&self.open) }
    }
}

impl Stirs {
    /// What was reported since it was asked last.
    pub fn take(&self) -> Reports {
        let mut noted = self.noted();
        let (whole, is_relinked) =
            (std::mem::take(&mut noted.whole), std::mem::take(&mut noted.is_relinked));
        Reports { open: noted.open.clone(), whole, is_relinked }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an event.
    fn note(&self, event: &Event) {
        let mut noted = self.noted();
        if event.need_rescan() {
            // Some were lost: nobody knows any more who writes what.
            *noted = Noted::default();
        }
        for path in &event.paths {
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {
                    noted.open.insert(path.clone());
                }
                EventKind::Create(CreateKind::File) if is_being_made(path) => {
                    noted.open.insert(path.clone());
                }
                EventKind::Create(_) => {
                    noted.open.remove(path);
                    noted.is_relinked = true;
                }
                EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                    noted.open.remove(path);
                    noted.whole.insert(path.clone());
                }
                EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => {
                    noted.open.remove(path);
                }
                EventKind::Modify(ModifyKind::Name(_)) => {
                    noted.open.remove(path);
                    noted.whole.insert(path.clone());
                    noted.is_relinked = true;
                }
                _ => {}
            }
        }
        drop(noted);
        let is_read = event.kind.is_access()
            && event.kind != EventKind::Access(AccessKind::Close(AccessMode::Write));
        if !is_read {
            self.stirred.notify_one();
        }
    }
}

/// Whether a new name is that of a new file: a link, hard or soft, is whole as it comes.
fn is_being_made(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.nlink() == 1)
}

/// Folders by their real paths, and which folder each is: one may be moved away and another put in its
/// place. None for one that cannot be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stands(BTreeMap<PathBuf, Option<(u64, u64)>>);

impl Stands {
    /// As they stand now.
    pub fn of(folders: BTreeSet<PathBuf>) -> Stands {
        let stand = |folder: PathBuf| {
            let about = std::fs::metadata(&folder).ok();
            (folder, about.map(|about| (about.dev(), about.ino())))
        };
        Stands(folders.into_iter().map(stand).collect())
    }
}

/// Who reports what happens in folders.
pub(super) struct Folders {
    watcher: Option<notify::RecommendedWatcher>,
    watched: Stands,
}

impl Folders {
    /// Nobody, if the system has no way.
    pub fn reporting_to(stirs: &Arc<Stirs>) -> Folders {
        let stirs = stirs.clone();
        let note = move |event: notify::Result<Event>| {
            if let Ok(event) = event {
                stirs.note(&event);
            }
        };
        let watcher = notify::recommended_watcher(note);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "changes of files are not reported; looking every two seconds");
        }
        Folders { watcher: watcher.ok(), watched: Stands::default() }
    }

    /// Watches these folders and no others, each by its real path. What is watched is a folder, not a path:
    /// another in its place is to be watched anew.
    pub fn follow(&mut self, wanted: Stands) {
        let Some(watcher) = &mut self.watcher else { return };
        let is_same = |folder: &PathBuf, stand: &Option<(u64, u64)>, other: &Stands| {
            other.0.get(folder) == Some(stand)
        };
        let before = std::mem::take(&mut self.watched);
        for (gone, _) in before.0.iter().filter(|(folder, stand)| !is_same(folder, stand, &wanted))
        {
            // It may be gone altogether.
            let _ = watcher.unwatch(gone);
        }
        let mut is_watched = |folder: &PathBuf, stand: &Option<(u64, u64)>| {
            // One that cannot be watched is looked at every two seconds.
            is_same(folder, stand, &before)
                || watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()
        };
        let watched = wanted.0.into_iter().filter(|(folder, stand)| is_watched(folder, stand));
        self.watched = Stands(watched.collect());
    }
}

/// The real name of a folder, if it is there.
pub(super) fn real_folder(folder: &Path) -> Option<PathBuf> {
    let named = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::canonicalize(named).ok()
}

/// The real names of a file, in the folder where it is named and where links lead.
pub(super) fn real_names(path: &Path) -> Vec<PathBuf> {
    let folder = real_folder(path.parent().unwrap_or(Path::new(".")));
    let named = folder.zip(path.file_name()).map(|(folder, name)| folder.join(name));
    named.into_iter().chain(std::fs::canonicalize(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::DataChange;

    fn event(kind: EventKind, path: &Path) -> Event {
        Event::new(kind).add_path(path.to_path_buf())
    }

    #[test]
    fn a_file_is_open_from_the_first_write_to_the_close() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "half").unwrap();
        let stirs = Stirs::default();
        let said = |kind| {
            stirs.note(&event(kind, &file));
            let Report { is_whole, is_open } = stirs.take().of(std::slice::from_ref(&file));
            (is_whole, is_open)
        };
        let write = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let close = EventKind::Access(AccessKind::Close(AccessMode::Write));
        let moved = |mode| EventKind::Modify(ModifyKind::Name(mode));
        assert_eq!(
            said(EventKind::Create(CreateKind::File)),
            (false, true),
            "somebody has made it"
        );
        assert_eq!(said(close), (true, false));
        assert_eq!(said(write), (false, true));
        assert_eq!(said(EventKind::Access(AccessKind::Close(AccessMode::Read))), (false, true));
        assert_eq!(said(close), (true, false));
        assert_eq!(said(write), (false, true));
        assert_eq!(said(moved(RenameMode::To)), (true, false), "another file in its place");
        assert_eq!(said(write), (false, true));
        assert_eq!(said(EventKind::Remove(notify::event::RemoveKind::File)), (false, false));
        std::fs::hard_link(&file, folder.path().join("d.toml")).unwrap();
        assert_eq!(said(EventKind::Create(CreateKind::File)), (true, false), "a link is whole");
        assert_eq!(said(write), (false, true));
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        stirs.note(&lost);
        assert_eq!(stirs.take().of(std::slice::from_ref(&file)), Report::default());
    }

    #[tokio::test]
    async fn another_folder_in_the_place_of_one_is_watched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (config, file) = (folder.path().join("conf"), folder.path().join("conf/c.toml"));
        let stirs = Arc::<Stirs>::default();
        let mut folders = Folders::reporting_to(&stirs);
        std::fs::create_dir(&config).unwrap();
        let stands = || Stands::of([config.clone()].into());
        folders.follow(stands());
        std::fs::rename(&config, folder.path().join("before")).unwrap();
        std::fs::create_dir(&config).unwrap();
        folders.follow(stands());
        std::fs::write(&file, "all of it").unwrap();
        loop {
            stirs.stirred.notified().await;
            if stirs.take().of(std::slice::from_ref(&file)).is_whole {
                break;
            }
        }
    }
}

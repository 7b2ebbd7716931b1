//! The database: transactions over tables of text in, answers or trouble out.
//!
//! redb 3.1 panics over some damaged files rather than answering with an error; so a file is first
//! opened as a copy in memory, with all checksums verified and every value read, and every access
//! contains panics. The damaged file itself is left as it was found.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, StorageBackend};

use super::error::{Doing, StoreError, Trouble};
use super::file::{Growing, beside, link, sync_folder};
use super::memory::Memory;
use super::migrate::{self, Tables};
use super::private::{self, Standing};
use super::stored;
use super::tables::{COMMITS, META};
use super::transaction::{Reading, Writing, begin_write};

/// What is kept in memory of the file; it holds a few MiB at most.
const CACHE: usize = 4 << 20;

/// A database and where it is.
pub(super) struct Disk {
    name: String,
    /// Opens it once more; none for what only this process knows.
    again: Option<Again>,
    /// The file that it is; none without one.
    standing: Option<Standing>,
    state: Mutex<State>,
}

type Again = Box<dyn Fn() -> Result<State, Trouble> + Send + Sync>;

/// An open database.
#[derive(Debug)]
pub(super) struct State {
    /// None after a failure that could not be looked into yet.
    database: Option<Database>,
    commits: u64,
}

impl Disk {
    /// Opens the file, or begins a new one.
    pub fn open(path: &Path) -> Result<Disk, StoreError> {
        let name = path.display().to_string();
        let made = private::folder_of(path);
        made.map_err(|error| StoreError::Open { path: name.clone(), error })?;
        let opened = match open_file(path, Known::Nothing) {
            Err(Trouble::Redb(redb::Error::Io(error)))
                if error.kind() == io::ErrorKind::NotFound =>
            {
                begin_file(path)
            }
            opened => opened,
        };
        let (state, standing) = opened.map_err(|trouble| trouble.while_(Doing::Opening, &name))?;
        let (path, same) = (path.to_path_buf(), standing.clone());
        let again: Again = Box::new(move || {
            // Another in its place is another's state.
            same.check()?;
            open_file(&path, Known::Values).map(|(state, _)| state)
        });
        let (again, standing) = (Some(again), Some(standing));
        Ok(Disk { name, again, standing, state: Mutex::new(state) })
    }

    /// Opens what this backend holds, or begins anew on it.
    pub fn on(backend: impl StorageBackend) -> Result<Disk, StoreError> {
        let state = contain(|| begin(backend, Known::Nothing));
        let state = state.map_err(|trouble| trouble.while_(Doing::Opening, NOWHERE))?;
        let (again, standing) = (None, None);
        Ok(Disk { name: NOWHERE.into(), again, standing, state: Mutex::new(state) })
    }

    /// As [`Disk::on`], with a backend that can be opened a second time, as a file can.
    #[cfg(any(test, fuzzing))]
    pub fn on_again(backend: impl StorageBackend + Clone) -> Result<Disk, StoreError> {
        let disk = Disk::on(backend.clone())?;
        let again: Again = Box::new(move || contain(|| begin(backend.clone(), Known::Values)));
        Ok(Disk { again: Some(again), ..disk })
    }

    /// How many writes have happened.
    #[cfg(any(test, fuzzing))]
    pub fn commits(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).commits
    }

    /// Makes a file of these tables, in the place of one that is not in use.
    pub fn put(path: &Path, tables: &Tables, replace: bool) -> Result<(), StoreError> {
        let name = path.display().to_string();
        let opening = |trouble: Trouble| trouble.while_(Doing::Opening, &name);
        private::folder_of(path).map_err(|error| opening(error.into()))?;
        let before = private::open(path);
        // Locked until the new one is in its place.
        let _before = match before {
            Ok(file) => {
                // Whoever has it would have to be stopped first in any case.
                let locked = FileBackend::new(file).map_err(|error| opening(error.into()))?;
                if !replace {
                    return Err(StoreError::Exists { path: name });
                }
                Some(locked)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(opening(error.into())),
        };
        let (beside, backend, _) = beside(path).map_err(opening)?;
        let made = contain(|| {
            let database = builder().create_with_backend(backend)?;
            migrate::write(&database, tables)?;
            super::check(&Reading(database.begin_read()?))
        });
        let placed = made.map_err(|trouble| match trouble {
            Trouble::Damaged(what) => StoreError::NotAnExport { what },
            trouble => opening(trouble),
        });
        let placed = placed.and_then(|()| {
            let placed = if replace { fs::rename(&beside, path) } else { link(&beside, path) };
            placed.and_then(|()| sync_folder(path)).map_err(|error| opening(error.into()))
        });
        // Gone already, if all went well.
        let _ = fs::remove_file(&beside);
        placed
    }

    /// Has these tables take the place of all there is.
    pub fn put_all(&self, tables: &Tables) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let database = self.database(&mut state)?;
        contain(|| migrate::write(database, tables))
            .map_err(|trouble| trouble.while_(Doing::Reading, &self.name))
    }

    /// Reads one moment's state.
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Reading) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let database = self.database(&mut state)?;
        let read = contain(|| work(&Reading(database.begin_read()?)));
        read.map_err(|trouble| {
            self.let_go(&mut state);
            trouble.while_(Doing::Reading, &self.name)
        })
    }

    /// Does all of `work`, and has it on the disk on return; or nothing.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&Writing) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The system takes what is written to a file that nobody can find any more.
        if let Some(Err(error)) = self.standing.as_ref().map(Standing::check) {
            return Err(StoreError::Moved { path: self.name.clone(), what: error.to_string() });
        }
        let database = self.database(&mut state)?;
        let prepared = contain(|| {
            let writing = Writing(begin_write(database)?);
            let done = work(&writing)?;
            Ok((writing, done))
        });
        let (writing, done) = match prepared {
            // What is dropped uncommitted has not happened.
            Ok((writing, done)) => (writing, done),
            Err(trouble) => {
                // Nothing of it can have happened, whether the file can be opened now or later.
                let _ = self.look_again(&mut state, &trouble);
                return Err(StoreError::Write { path: self.name.clone(), what: trouble.what() });
            }
        };
        let commits = state.commits + 1;
        match contain(|| writing.commit(commits)) {
            Ok(()) => state.commits = commits,
            Err(trouble) => {
                self.look_again(&mut state, &trouble)?;
                if state.commits != commits {
                    let what = trouble.what();
                    return Err(StoreError::Write { path: self.name.clone(), what });
                }
            }
        }
        Ok(done)
    }

    /// Whether the commit that failed last, and of which it was not known, has happened.
    pub fn has_happened(&self) -> Result<bool, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.commits;
        self.database(&mut state)?;
        Ok(state.commits > before)
    }

    fn database<'s>(&self, state: &'s mut State) -> Result<&'s Database, StoreError> {
        if state.database.is_none() {
            let lost = Trouble::Damaged("it is not open any more".into());
            self.look_again(state, &lost)?;
        }
        state.database.as_ref().ok_or_else(|| self.lost("it is not open".into()))
    }

    /// After a failed write redb refuses all work until the file is opened anew; only that tells,
    /// too, whether a commit that failed late has happened after all.
    fn look_again(&self, state: &mut State, trouble: &Trouble) -> Result<(), StoreError> {
        self.let_go(state);
        let Some(again) = &self.again else { return Err(self.lost(trouble.what())) };
        match again() {
            Ok(opened) => *state = opened,
            Err(second) => return Err(self.lost(format!("{}; {}", trouble.what(), second.what()))),
        }
        Ok(())
    }

    /// Closes what may be broken, if it can be opened again.
    fn let_go(&self, state: &mut State) {
        if self.again.is_some() {
            let database = state.database.take();
            // Whatever it says to that, it is gone.
            let _ = contain(|| {
                drop(database);
                Ok(())
            });
        }
    }

    fn lost(&self, what: String) -> StoreError {
        StoreError::Lost { path: self.name.clone(), what }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is known of what is to be opened.
#[derive(Clone, Copy)]
enum Known {
    /// Another process, of another version, may have written it.
    Nothing,
    /// It was open here until something failed: all its values were read then or written by this
    /// process, and checksums say whether they are as they were.
    Values,
}

/// What a store without a file is called.
const NOWHERE: &str = "in memory";

/// Opens an existing file, which must be a store: an empty one was cut short.
fn open_file(path: &Path, known: Known) -> Result<(State, Standing), Trouble> {
    let file = private::open(path)?;
    let standing = Standing::of(path, &file)?;
    let backend = FileBackend::new(file)?;
    if backend.len()? == 0 {
        return Err(Trouble::Damaged("it is empty".into()));
    }
    Ok((contain(|| begin(backend, known))?, standing))
}

/// Begins a new file beside its place and puts it there once it is whole, so that no crash leaves
/// half a store behind.
fn begin_file(path: &Path) -> Result<(State, Standing), Trouble> {
    let (beside, backend, standing) = beside(path)?;
    let state = contain(|| begin(backend, Known::Nothing))?;
    match link(&beside, path) {
        Ok(()) => sync_folder(path)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&beside)?;
            return open_file(path, Known::Nothing);
        }
        Err(error) => return Err(error.into()),
    }
    Ok((state, standing))
}

fn begin(backend: impl StorageBackend, known: Known) -> Result<State, Trouble> {
    let length = backend.len()?;
    if length > 0 {
        rehearse(&backend, length, known)?;
    }
    let database = builder().create_with_backend(Growing(backend))?;
    migrate::make_current(&database)?;
    let commits = Reading(database.begin_read()?).one(META, COMMITS, stored::parse::<u64>)?;
    Ok(State { database: Some(database), commits: commits.unwrap_or(0) })
}

/// Opens a copy in memory and reads what is not known of it. redb would mend, migrate or spoil the original.
fn rehearse(backend: &impl StorageBackend, length: u64, known: Known) -> Result<(), Trouble> {
    let mut bytes = vec![0; length as usize];
    backend.read(0, &mut bytes)?;
    let rehearsed = contain(|| {
        let mut database = builder().create_with_backend(Memory::holding(bytes))?;
        database.check_integrity()?;
        migrate::make_current(&database)?;
        match known {
            Known::Nothing => super::check(&Reading(database.begin_read()?)),
            Known::Values => Ok(()),
        }
    });
    rehearsed.map_err(|trouble| match trouble {
        newer @ Trouble::Newer { .. } => newer,
        // Memory does not fail: what cannot be read of it is not there.
        damage => Trouble::Damaged(damage.what()),
    })
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

thread_local! {
    /// Whether a panic on this thread is only another way to say that a file is damaged.
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Takes a panic for damage, without the words and the backtrace that look like a fault of ours.
fn contain<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            if !IS_CONTAINED.get() {
                usual(about);
            }
        }));
    });
    let before = IS_CONTAINED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    done.unwrap_or_else(|panic| Err(Trouble::Damaged(said(&*panic))))
}

/// What a panic said, in one line.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let line = text.and_then(|text| text.lines().next()).unwrap_or("nothing more is known");
    format!("redb: {line}")
}

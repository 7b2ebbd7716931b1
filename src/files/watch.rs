//! Changes of the config's file, and of static answers, tokens and keys that it names: the files in, a
//! call whenever what they hold is not what was read last out.
//!
//! So are files that come to, or go from, those that it includes. Folders are watched, not files: editors put a new file in its place, and Kubernetes swaps a link
//! beside it. What the system does not report is found by looking every two seconds. Content decides,
//! not time stamps; that there is nothing to read is content too.
//!
//! A saved file that takes away what is in use waits for somebody's word. Before that is said out loud it
//! has a while to change again: it may be half of what is to come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Files;
use super::including::Listing;
use super::prints::{Print, Prints};
use super::read::read;
use super::resting::{Resting, Stamp};
use super::stirs::{Folders, Reports, Stands, Stirs, real_folder, real_names};
use crate::clock::Clock;

/// How often files are looked at without being told.
const LOOK: Duration = Duration::from_secs(2);

/// How soon after a report: more come with it.
const SOON: Duration = Duration::from_millis(100);

/// How long a file that takes away what is in use may change again.
const GRACE: Duration = Duration::from_secs(10);

/// After which it is told that somebody writes and does not close.
const LONG_OPEN: Duration = Duration::from_secs(10);

/// What became of a changed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in force, or was refused.
    Done,
    /// It takes away what is in use: unless it changes again soon, it is to be refused.
    Waits,
}

/// Calls whenever what the files hold is not what was read last; with `true` once a file that waits has
/// not changed for [`GRACE`].
pub async fn watch<F: Future<Output = Taken>>(
    files: Arc<Files>,
    clock: Clock,
    reload: impl Fn(bool) -> F,
) {
    let stirs = Arc::new(Stirs::default());
    let mut folders = Folders::reporting_to(&stirs);
    let mut tried = files.tried.subscribe();
    let mut looks = Looks::default();
    let (mut refused_at, mut hangs, mut pause) = (None::<Instant>, false, Duration::ZERO);
    loop {
        tokio::select! {
            () = stirs.stirred.notified() => sleep(SOON.min(pause)).await,
            // The sender lives as long as the files.
            _ = tried.changed() => {}
            () = sleep(pause) => {}
        }
        let (known, now) = (tried.borrow_and_update().clone(), clock.now());
        let reports = stirs.take();
        let looked = std::mem::take(&mut looks);
        let look = files.beside.run(move || {
            let mut looks = looked;
            let found = looks.look(&known, &reports, now);
            (looks, found)
        });
        let Ok((looked, found)) = look.await else {
            // Told once, by a reload that hangs as well.
            if !std::mem::replace(&mut hangs, true) {
                reload(false).await;
            }
            pause = LOOK;
            continue;
        };
        (looks, hangs) = (looked, false);
        folders.follow(found.folders);
        let is_over = |at: &mut Instant| now >= *at;
        let taken = match found.left {
            None if found.is_changed => Some(reload(false).await),
            None if refused_at.take_if(is_over).is_some() => Some(reload(true).await),
            _ => None,
        };
        match taken {
            Some(Taken::Waits) => refused_at = Some(clock.now() + GRACE),
            Some(Taken::Done) => refused_at = None,
            None => {}
        }
        let grace = refused_at.map(|at| at.saturating_duration_since(clock.now()));
        pause = [found.left, grace].into_iter().flatten().fold(LOOK, Duration::min).max(SOON);
    }
}

/// What was seen of each file.
#[derive(Debug, Default)]
struct Looks {
    files: BTreeMap<PathBuf, (Resting, Option<(Stamp, Print)>)>,
    /// Those of which it was told that nobody closes them.
    told: BTreeSet<PathBuf>,
}

/// What came of a look.
#[derive(Debug, Default)]
struct Found {
    /// How long files have to rest yet; none if all can be read.
    left: Option<Duration>,
    /// Whether one holds something else than was read last. Known only if all can be read.
    is_changed: bool,
    /// The folders that files are in: another may have been put in the place of one.
    folders: Stands,
}

impl Looks {
    fn look(&mut self, known: &Prints, reports: &Reports, now: Instant) -> Found {
        let mut found = Found::default();
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        let listings: Vec<Listing> = known.listings.iter().map(Listing::again).collect();
        for folder in listings.iter().map(|listing| &listing.folder) {
            // As if there were a file in it.
            folders.extend(real_folder(folder));
        }
        let listed = listings.iter().filter_map(|listing| listing.files().ok());
        let listed = listed.flatten().map(PathBuf::as_path);
        let all: BTreeSet<&Path> = known.all().map(|(path, ..)| path).chain(listed).collect();
        self.files.retain(|path, _| all.contains(&**path));
        for path in all {
            let names = real_names(path);
            folders.extend(names.iter().filter_map(|name| name.parent()).map(Path::to_path_buf));
            let stamp = Stamp::of(path);
            let new = || (Resting::new(stamp, now), None);
            let (resting, _) = self.files.entry(path.to_path_buf()).or_insert_with(new);
            resting.note(stamp, reports.of(&names), now);
            let left = resting.left(now).unwrap_or(LOOK);
            found.left = found.left.max((!left.is_zero()).then_some(left));
            match resting.open_for(now).filter(|open| *open >= LONG_OPEN) {
                Some(_) if self.told.insert(path.to_path_buf()) => {
                    let path = path.display();
                    tracing::warn!(
                        "{path} is being written and not closed; it is read once that is done, or by \
                         `pointsman reload`"
                    );
                }
                Some(_) => {}
                None => drop(self.told.remove(path)),
            }
        }
        found.folders = Stands::of(folders);
        if found.left.is_none() {
            found.is_changed = listings != known.listings
                || known.all().any(|(path, most, print)| self.is_other(path, most, print));
        }
        found
    }

    /// Whether a file at rest holds something else.
    fn is_other(&mut self, path: &Path, most: u64, before: &Print) -> bool {
        let Some((resting, seen)) = self.files.get_mut(path) else { return false };
        if let (Some((stamp, print)), Some(now)) = (&*seen, resting.stamp())
            && *stamp == now
        {
            return print != before;
        }
        let print = Print::of(&read(path, most));
        *seen = resting.stamp().map(|stamp| (stamp, print.clone()));
        print != *before
    }
}

#[cfg(test)]
mod tests;

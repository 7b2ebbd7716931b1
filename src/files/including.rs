//! Files that the config's file includes: its text in, theirs beside it out, or which cannot be read and
//! where that is said.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::prints::Prints;
use super::source::{LARGEST, folder, text_of};
use super::{FileError, Rejected};
use crate::config::{Include, MOST_INCLUDED, Problem, Problems, Text, Texts, includes};

/// The names that a folder has of those that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// Where they are looked for.
    pub folder: PathBuf,
    include: Include,
    /// What was found, none if there is no folder; why not, if it is there and cannot be read.
    found: Result<Option<Vec<PathBuf>>, String>,
}

impl Listing {
    /// What is there now.
    pub fn of(folder: PathBuf, include: Include) -> Listing {
        let found = match list(&folder, &include) {
            // Nobody has to have one before there is something to put there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some).map_err(|error| error.to_string()),
        };
        Listing { folder, include, found }
    }

    /// The same, looked at again.
    pub fn again(&self) -> Listing {
        Listing::of(self.folder.clone(), self.include.clone())
    }

    /// The files that it has, in order.
    pub fn files(&self) -> Result<&[PathBuf], String> {
        match &self.found {
            Ok(found) => Ok(found.as_deref().unwrap_or_default()),
            Err(why) => Err(format!("cannot read the folder {}: {why}", self.folder.display())),
        }
    }

    /// What to tell of it if it finds nothing: that may be meant, and may be all that was served.
    fn emptiness(&self) -> Option<String> {
        let (written, folder) = (&self.include.written, self.folder.display());
        match &self.found {
            Ok(None) => Some(format!("`{written}` includes nothing: there is no folder {folder}")),
            Ok(Some(files)) if files.is_empty() => {
                Some(format!("`{written}` includes nothing: there is no such file"))
            }
            Ok(Some(_)) | Err(_) => None,
        }
    }
}

/// The files of a folder that are meant, by their names in order.
fn list(folder: &Path, include: &Include) -> io::Result<Vec<PathBuf>> {
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| include.admits(name)) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// The file with what it includes, and what is odd about that. Files are named as seen from its folder.
pub(super) fn read_included(
    main: Text,
    prints: &mut Prints,
) -> Result<(Texts, Problems), FileError> {
    let wanted = includes(&main);
    let mut texts = Texts { main, included: Vec::new() };
    if wanted.is_empty() {
        return Ok((texts, Problems::default()));
    }
    let mut reading = Reading {
        problems: Problems::default(),
        // A pattern that covers the file itself means the others.
        known: BTreeSet::from([PathBuf::from(&texts.main.path)]),
        prints,
    };
    for (include, place) in wanted {
        let folder = folder(&texts.main).join(&include.folder);
        let files: Vec<PathBuf> = match include.is_one() {
            true => vec![folder.join(&include.name)],
            false => {
                let listing = reading.prints.list(folder, include);
                if let Some(why) = listing.emptiness() {
                    reading.problems.0.push(Problem::error(place.clone(), why).warning());
                }
                // What is in there may be most of what is served.
                listing.files().map(<[PathBuf]>::to_vec).unwrap_or_else(|why| {
                    reading.problems.0.push(Problem::error(place.clone(), why));
                    Vec::new()
                })
            }
        };
        for file in files {
            reading.file(file, &place, &mut texts)?;
        }
    }
    match reading.problems {
        odd if !odd.any_error() => Ok((texts, odd)),
        problems => Err(FileError::Problems(Box::new(Rejected { texts, problems }))),
    }
}

struct Reading<'p> {
    problems: Problems,
    /// What is read already: two patterns may cover one file.
    known: BTreeSet<PathBuf>,
    prints: &'p mut Prints,
}

impl Reading<'_> {
    fn file(
        &mut self,
        file: PathBuf,
        place: &Range<usize>,
        texts: &mut Texts,
    ) -> Result<(), FileError> {
        if !self.known.insert(file.clone()) {
            return Ok(());
        }
        if texts.included.len() == MOST_INCLUDED {
            let message = format!("more than {MOST_INCLUDED} files are included");
            if !self.problems.0.iter().any(|known| known.message == message) {
                self.problems.0.push(Problem::error(place.clone(), message));
            }
            return Ok(());
        }
        let left = LARGEST.saturating_sub(texts.len() as u64);
        let name = file.display().to_string();
        match self.prints.read(&file, left) {
            Ok(bytes) => texts.included.push(text_of(name, bytes)?),
            Err(error) => {
                let problem = Problem::error(place.clone(), format!("cannot read {name}: {error}"));
                self.problems.0.push(problem);
            }
        }
        Ok(())
    }
}

//! One page of the disk that is there before it is needed: what is in force and not stored in, written
//! over what stood there, and out again for the next process.
//!
//! A full disk takes no transaction, but it lets what a file has already be overwritten. So at the start
//! a page is written beside the store, and when an order against a rollout cannot be stored, its name
//! goes there: a process that is killed then does not go on with the rollout as if nothing had been
//! ordered. The page is written whole, with a sum of its text; half of one is no page. A file system
//! that copies on every write may need room all the same: then writing it fails, and who is told of the
//! order is told that too.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::private::{self, Standing};
use crate::state::Unstored;

/// What a disk writes at once, mostly.
const SIZE: usize = 4096;

/// How each page begins, in this version of it.
const MARK: &str = "pointsman unstored 1";

/// A page on the disk.
#[derive(Debug)]
pub struct Page {
    file: File,
    standing: Standing,
}

impl Page {
    /// The page beside a store; answers with what it says too. Begins an empty one where there is none,
    /// and where what is there is none.
    pub fn open(store: &Path) -> io::Result<(Page, Vec<Unstored>)> {
        let path = beside(store);
        private::folder_of(&path)?;
        let file = private::open_or_create(&path)?;
        let page = Page { standing: Standing::of(&path, &file)?, file };
        let mut bytes = [0; SIZE];
        if page.file.metadata()?.len() == SIZE as u64 {
            page.file.read_exact_at(&mut bytes, 0)?;
            if let Some(said) = read(&bytes) {
                return Ok((page, said));
            }
        }
        page.write(&[])?;
        // Its length too.
        page.file.sync_all()?;
        Ok((page, Vec::new()))
    }

    /// Has the page say this and nothing else. It is on the disk when this returns.
    pub fn write(&self, unstored: &[Unstored]) -> io::Result<()> {
        self.standing.check()?;
        let bytes = written(unstored).map_err(io::Error::other)?;
        self.file.write_all_at(&bytes, 0)?;
        self.file.sync_data()
    }

    /// What is said of a store is said of no other that takes its place.
    pub fn remove(store: &Path) -> io::Result<()> {
        match fs::remove_file(beside(store)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn beside(store: &Path) -> PathBuf {
    store.with_extension("unstored")
}

/// As many as have room, as a page: mark and sum, what is said, blanks.
fn written(unstored: &[Unstored]) -> serde_json::Result<[u8; SIZE]> {
    let mut page = [b' '; SIZE];
    for count in (0..=unstored.len()).rev() {
        let said = serde_json::to_string(&unstored[..count])?;
        let text = format!("{MARK} {:016x}\n{said}\n", sum(&said));
        if let Some(place) = page.get_mut(..text.len()) {
            place.copy_from_slice(text.as_bytes());
            break;
        }
    }
    Ok(page)
}

fn read(page: &[u8]) -> Option<Vec<Unstored>> {
    let text = std::str::from_utf8(page).ok()?;
    let (head, rest) = text.split_once('\n')?;
    let (said, _) = rest.split_once('\n')?;
    let named = head.strip_prefix(MARK)?.trim();
    let is_whole = u64::from_str_radix(named, 16) == Ok(sum(said));
    if is_whole { serde_json::from_str(said).ok() } else { None }
}

/// FNV-1a: enough to tell half of a page from a whole one.
fn sum(text: &str) -> u64 {
    let add = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(rollout: u64, what: &str) -> Unstored {
        Unstored { service: "shop".into(), rollout, what: what.into() }
    }

    #[test]
    fn what_was_written_is_found_in_place_of_what_stood_there() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = folder.path().join("store.redb");
        let (page, said) = Page::open(&store).unwrap();
        assert_eq!(said, []);
        page.write(&[order(7, "it was aborted\nby \"ann\"")]).unwrap();
        let (page, said) = Page::open(&store).unwrap();
        assert_eq!(said, [order(7, "it was aborted\nby \"ann\"")]);
        page.write(&[]).unwrap();
        assert_eq!(Page::open(&store).unwrap().1, []);
        let length = fs::metadata(beside(&store)).unwrap().len();
        assert_eq!(length, SIZE as u64, "it takes no more room than it had");
        page.write(&[order(7, "x")]).unwrap();
        Page::remove(&store).unwrap();
        Page::remove(&store).unwrap();
        assert_eq!(Page::open(&store).unwrap().1, []);
    }

    #[test]
    fn as_many_as_have_room_are_kept() {
        let many: Vec<Unstored> = (0..100).map(|n| order(n, &"a".repeat(100))).collect();
        let kept = read(&written(&many).unwrap()).unwrap();
        assert!(kept.len() > 20 && kept[..] == many[..kept.len()], "{}", kept.len());
    }

    #[test]
    fn half_of_a_page_is_none() {
        let before = written(&[order(7, "it was aborted by ann")]).unwrap();
        let after = written(&[order(7, "it was aborted by bob")]).unwrap();
        for end in 0..SIZE {
            let torn = [&after[..end], &before[end..]].concat();
            let is_whole = torn == before || torn == after;
            assert_eq!(read(&torn).is_some(), is_whole, "{end}");
        }
    }
}

//! The corpus of `tests/data/`, as the codec alone reads it.

#[path = "../../../../tests/edge/corpus/entries.rs"]
pub mod entries;

use super::*;
use entries::{Entry, entries};

pub fn of_requests() -> Vec<Entry> {
    entries(include_str!("../../../../tests/data/requests.txt"))
}

pub fn of_responses() -> Vec<Entry> {
    entries(include_str!("../../../../tests/data/responses.txt"))
}

/// Cuts longer messages than these at some places only, in bytes.
const SHORT: usize = 1_500;

/// Each message in these bytes is the same in all cuts.
fn in_all_cuts_one_by_one(entry: &Entry, read: Read) {
    assert!(!entry.wanted.is_empty(), "nothing is said of {}", entry.name);
    let mut raw = &entry.bytes[..];
    while !raw.is_empty() {
        let whole = match raw.len() > SHORT {
            false => in_all_cuts(raw, read),
            true => {
                let whole = read(&[raw]);
                for cut in (0..raw.len()).step_by(raw.len() / 50) {
                    let (one, other) = raw.split_at(cut);
                    assert_eq!(read(&[one, other]), whole, "{}: {cut}", entry.name);
                }
                whole
            }
        };
        let Ok(Some(seen)) = whole else { return };
        raw = &raw[raw.len() - seen.rest..];
    }
}

#[test]
fn a_request_of_the_corpus_is_the_same_however_it_is_cut() {
    of_requests().iter().for_each(|entry| in_all_cuts_one_by_one(entry, request));
}

#[test]
fn a_response_of_the_corpus_is_the_same_however_it_is_cut() {
    of_responses().iter().for_each(|entry| in_all_cuts_one_by_one(entry, response));
}

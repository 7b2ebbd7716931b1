//! What happened in the course of an incident: entries in, a bounded list out.
//!
//! What people wrote and what was gathered have rooms of their own: a storm of events cannot push out
//! a note. Of events that are alike one entry is kept, with how many there were and when the last one
//! came; of those that are not, the first and the last ones are kept and those between are counted.

use serde::{Deserialize, Serialize};

use super::words::{LONGEST_NAME, LONGEST_TEXT, clipped};
use crate::clock::WallTime;
use crate::config::Severity;

/// Entries of people that are kept; the last one is for the word that closes it.
const WRITTEN: usize = 100;

/// Of what was gathered: the first so many are kept, for they tell how it began.
const FIRST: usize = 60;

/// And the last so many.
const LAST: usize = 60;

/// The longest text that is gathered, in characters.
const LONGEST_GATHERED: usize = 400;

/// What happened, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    written: Vec<Entry>,
    first: Vec<Entry>,
    last: Vec<Entry>,
    /// Entries between the first and the last that are not kept.
    #[serde(default)]
    left_out: u64,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: WallTime,
    /// When it happened last, if that was more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<WallTime>,
    /// What kind of entry it is.
    pub kind: EntryKind,
    /// What happened, or what somebody wrote.
    pub text: String,
    /// Who did or wrote it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Where, as in `shop/blue 10.0.0.11:9000`; empty for what is of no service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// How often it happened.
    #[serde(default = "once")]
    pub count: u64,
    /// What makes two of them alike; empty for what is like nothing else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub likeness: String,
}

fn once() -> u64 {
    1
}

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// It was opened.
    Opened,
    /// An event of a service concerned.
    Event,
    /// Somebody wrote it down.
    Note,
    /// Somebody told how it is.
    Update,
    /// Users are not hurt any more.
    Mitigated,
    /// It was closed.
    Closed,
}

impl EntryKind {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            EntryKind::Opened => "opened",
            EntryKind::Event => "event",
            EntryKind::Note => "note",
            EntryKind::Update => "update",
            EntryKind::Mitigated => "mitigated",
            EntryKind::Closed => "closed",
        }
    }
}

impl Entry {
    /// What somebody said, or a rule.
    pub fn said(kind: EntryKind, at: WallTime, author: Option<String>, text: &str) -> Entry {
        Entry {
            at,
            until: None,
            kind,
            text: clipped(text, LONGEST_TEXT),
            author: author.map(|author| clipped(&author, LONGEST_NAME)),
            place: String::new(),
            severity: Severity::Medium,
            count: 1,
            likeness: String::new(),
        }
    }
}

impl Timeline {
    /// Whether there is no room for more words of people but the last one.
    pub fn is_full(&self) -> bool {
        self.written.len() + 1 >= WRITTEN
    }

    /// Takes in what somebody wrote. Whoever calls has asked whether there is room.
    pub fn write(&mut self, entry: Entry) {
        if self.written.len() < WRITTEN {
            self.written.push(entry);
        }
    }

    /// Takes in what was gathered.
    pub fn gather(&mut self, mut entry: Entry) {
        entry.text = clipped(&entry.text, LONGEST_GATHERED);
        entry.place = clipped(&entry.place, LONGEST_GATHERED);
        entry.likeness = clipped(&entry.likeness, LONGEST_GATHERED);
        let is_like =
            |known: &&mut Entry| !entry.likeness.is_empty() && known.likeness == entry.likeness;
        if let Some(known) = self.first.iter_mut().chain(&mut self.last).find(is_like) {
            known.until = Some(entry.at.max(known.until.unwrap_or(known.at)));
            known.count = known.count.saturating_add(entry.count);
            return;
        }
        if self.first.len() < FIRST {
            self.first.push(entry);
            return;
        }
        if self.last.len() >= LAST {
            let gone = self.last.remove(0);
            self.left_out = self.left_out.saturating_add(gone.count);
        }
        self.last.push(entry);
    }

    /// Leaves out what is not for everybody.
    pub fn retain(&mut self, is_kept: impl Fn(&Entry) -> bool) {
        for entries in [&mut self.written, &mut self.first, &mut self.last] {
            entries.retain(&is_kept);
        }
    }

    /// How many things happened between the first and the last ones that are not kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// All entries, the oldest first.
    pub fn entries(&self) -> Vec<&Entry> {
        let mut all: Vec<&Entry> =
            self.written.iter().chain(&self.first).chain(&self.last).collect();
        all.sort_by_key(|entry| entry.at);
        all
    }
}

//! What must be remembered of each service's traffic: drafts in, numbered revisions out.
//!
//! Held in memory here; whatever holds it, a change is a compare-and-swap on the service's newest
//! revision, so that a store on disk or in a cluster can take this place without its callers
//! noticing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::split::Split;

/// Revisions remembered for each service.
pub const KEPT: usize = 1_000;

/// One numbered traffic state of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Counts from 1 within its service.
    pub number: u64,
    /// How traffic divides.
    pub split: Split,
    /// Who made it so: a person, a token, `file`.
    pub author: String,
    /// Why, in the author's words.
    pub reason: Option<String>,
    /// Unix time, in seconds.
    pub at: f64,
}

/// What a revision says before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// How traffic divides.
    pub split: Split,
    /// Who makes it so.
    pub author: String,
    /// Why.
    pub reason: Option<String>,
    /// Unix time, in seconds.
    pub at: f64,
}

/// Somebody else was faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service is at revision {current} by now, not at {expected}")]
pub struct LostRace {
    /// The revision that the change was made for.
    pub expected: u64,
    /// The newest there is; 0 for none.
    pub current: u64,
}

/// All revisions of all services.
#[derive(Debug, Default)]
pub struct Store {
    services: BTreeMap<Arc<str>, VecDeque<Revision>>,
}

impl Store {
    /// The newest revision of a service.
    pub fn newest(&self, service: &str) -> Option<&Revision> {
        self.services.get(service)?.back()
    }

    /// Makes a draft the newest revision, if `expected` is still the newest (0 for none yet).
    pub fn append(
        &mut self,
        service: &Arc<str>,
        expected: u64,
        draft: Draft,
    ) -> Result<Revision, LostRace> {
        let current = self.newest(service).map_or(0, |newest| newest.number);
        if current != expected {
            return Err(LostRace { expected, current });
        }
        let Draft { split, author, reason, at } = draft;
        let revision = Revision { number: current + 1, split, author, reason, at };
        let revisions = self.services.entry(service.clone()).or_default();
        if revisions.len() == KEPT {
            revisions.pop_front();
        }
        revisions.push_back(revision.clone());
        Ok(revision)
    }

    /// The revisions of a service that are remembered, the newest first.
    pub fn history(&self, service: &str) -> Vec<Revision> {
        let revisions = self.services.get(service);
        revisions.map(|list| list.iter().rev().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(author: &str) -> Draft {
        let split = Split::all_to("blue".into());
        Draft { split, author: author.into(), reason: None, at: 0.0 }
    }

    #[test]
    fn of_two_changes_to_one_revision_the_second_loses() {
        let mut store = Store::default();
        let shop: Arc<str> = "shop".into();
        assert_eq!(store.append(&shop, 0, draft("a")).unwrap().number, 1);
        assert_eq!(store.append(&shop, 1, draft("b")).unwrap().number, 2);
        let lost = store.append(&shop, 1, draft("c"));
        assert_eq!(lost, Err(LostRace { expected: 1, current: 2 }));
        assert_eq!(store.newest("shop").unwrap().author, "b");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut store = Store::default();
        let shop: Arc<str> = "shop".into();
        for number in 0..KEPT as u64 + 5 {
            store.append(&shop, number, draft("a")).unwrap();
        }
        let history = store.history("shop");
        assert_eq!((history.len(), history[0].number, history[KEPT - 1].number), (KEPT, 1_005, 6));
    }
}

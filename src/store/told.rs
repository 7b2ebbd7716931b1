//! What stands of services, for another process that serves and decides nothing: a state in, one text out,
//! and back. Entries are as the store keeps them.

use std::collections::BTreeSet;
use std::sync::Arc;

use redb::TableHandle;
use serde::{Deserialize, Serialize};

use super::entry::{self, Entry, OF_STATE};
use super::error::{Doing, StoreError};
use crate::state::{About, Change, State};

#[derive(Serialize, Deserialize)]
struct Told {
    /// Those of which all is told.
    services: Vec<String>,
    /// Table, key, value.
    entries: Vec<(String, String, String)>,
}

/// What stands of these services, and all flags.
pub fn told<'a>(
    state: &State,
    services: impl Iterator<Item = &'a Arc<str>>,
) -> Result<String, StoreError> {
    let services: Vec<&Arc<str>> = services.collect();
    let mut changes: Vec<Change> = Vec::new();
    for service in &services {
        let newest = state.newest(service).cloned();
        changes.extend(
            newest.map(|revision| Change::Revision { service: Arc::clone(service), revision }),
        );
        changes.extend(state.rollout(service).cloned().map(Change::Rollout));
        changes.extend(state.orders_of(service).cloned().map(Change::Order));
    }
    let flags = state.flags();
    changes
        .extend(flags.map(|(name, flag)| Change::Flag { name: name.clone(), state: flag.clone() }));
    let entry = |change: &Change| {
        let Entry { table, key, value } = Entry::of(change)?;
        Ok((table.name().to_string(), key, value.unwrap_or_default()))
    };
    let entries: Result<Vec<_>, _> = changes.iter().map(entry).collect();
    let told = entries.and_then(|entries| {
        let services = services.iter().map(|service| service.to_string()).collect();
        super::stored::json(&Told { services, entries })
    });
    told.map_err(|trouble| trouble.while_(Doing::Reading, "what stands"))
}

/// The changes that make this state stand as it is told. What cannot be read is left as it is: it is of a later
/// version.
pub fn heard(text: &str, state: &State) -> Vec<Change> {
    let Ok(Told { services, entries }) = serde_json::from_str(text) else { return Vec::new() };
    let read = |(table, key, value): &(String, String, String)| {
        let table = OF_STATE.into_iter().find(|known| known.name() == table)?;
        entry::read(table, key, value).ok().flatten()
    };
    let told: Vec<Change> = entries.iter().filter_map(read).collect();
    let stands: BTreeSet<About> = told
        .iter()
        .filter_map(|change| match change {
            Change::Order(standing) => Some(standing.what.about()),
            _ => None,
        })
        .collect();
    let mut changes = Vec::new();
    for service in &services {
        let orders = state.orders_of(service).map(|standing| standing.what.about());
        changes.extend(orders.filter(|about| !stands.contains(about)).map(Change::Clear));
        let goes_on = told.iter().any(
            |change| matches!(change, Change::Rollout(rollout) if *rollout.service == **service),
        );
        if state.rollout(service).is_some() && !goes_on {
            changes.push(Change::EndRollout { service: service.as_str().into() });
        }
    }
    changes.extend(told);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::WallTime;
    use crate::split::{BasisPoints, Layout, Split};
    use crate::state::{Override, Revision, What};

    fn order(what: What) -> Change {
        let at = WallTime::from_millis(5);
        Change::Order(Override { what, author: "ada".into(), reason: None, at, until: None })
    }

    fn revision(number: u64, green: u16) -> Change {
        let share = |points| BasisPoints::new(points).unwrap();
        let pools = [("blue".into(), share(10_000 - green)), ("green".into(), share(green))];
        let split = Split::new(pools).unwrap();
        let revision = Revision {
            number,
            layout: Layout::of(&split),
            split,
            salt: 7,
            author: "ada".into(),
            reason: None,
            at: 5.0,
            outcome: None,
            rollout: None,
            is_back: false,
            versions: Default::default(),
        };
        Change::Revision { service: "shop".into(), revision: Arc::new(revision) }
    }

    #[test]
    fn who_hears_what_stands_stands_alike() {
        let (mut here, mut there) = (State::default(), State::default());
        let maintenance = What::Maintenance { service: "shop".into(), message: None };
        let freeze = What::Freeze { service: "shop".into() };
        let other = What::Freeze { service: "other".into() };
        for state in [&mut here, &mut there] {
            state.apply_all(&[revision(1, 0), order(maintenance.clone()), order(other.clone())]);
        }
        let before = here.clone();
        here.apply_all(&[Change::Clear(maintenance.about()), order(freeze), revision(2, 500)]);
        let text = told(&here, here.services_unlike(&before)).unwrap();
        assert!(!text.contains('\n'));
        there.apply_all(&heard(&text, &there));
        assert_eq!(there, here);
        assert!(heard("{\"of\": \"a later version\"}", &there).is_empty());
    }
}

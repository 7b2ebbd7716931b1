//! Lists of upstreams that stand: those that are others than the file says, as values and as stored;
//! and the labels that they were given.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::snapshot::{Labelled, Snapshot};
use crate::state::{About, State, What};
use crate::upstream::{Address, Labels, Upstream};

/// Pools that have other upstreams than the file says, by service and pool.
pub type Changed = HashMap<(Arc<str>, Arc<str>), Vec<(Address, u16)>>;

/// The pools of a state that have other upstreams than the file says.
pub fn changed_upstreams(state: &State) -> Changed {
    let in_force = state.orders().filter(|standing| !state.is_dormant(&standing.what));
    let changed = in_force.filter_map(|standing| match &standing.what {
        What::Upstreams { service, pool, list, .. } => {
            Some(((service.as_str().into(), pool.as_str().into()), parsed(list)))
        }
        _ => None,
    });
    changed.collect()
}

/// The labels of a state that were given with an order.
pub(super) fn ordered_labels(state: &State) -> Labelled {
    let in_force = state.orders().filter(|standing| !state.is_dormant(&standing.what));
    let ordered = in_force.filter_map(|standing| match &standing.what {
        What::Upstreams { service, pool, labels, .. } if !labels.is_empty() => {
            let one = |(address, labels): (&String, &Labels)| {
                Some((address.parse().ok()?, labels.clone()))
            };
            let labels = labels.iter().filter_map(one).collect();
            Some(((service.as_str().into(), pool.as_str().into()), labels))
        }
        _ => None,
    });
    ordered.collect()
}

/// The labels of a pool's upstreams that were given with an order, by address.
pub(super) fn labels_in(state: &State, service: &str, pool: &str) -> BTreeMap<String, Labels> {
    match state.order(&About::upstreams(service, pool)).map(|standing| &standing.what) {
        Some(What::Upstreams { labels, .. }) => labels.clone(),
        _ => BTreeMap::new(),
    }
}

/// The upstreams of a pool, if they are others than the file says.
pub(super) fn upstreams_in(
    state: &State,
    service: &str,
    pool: &str,
) -> Option<Vec<(Address, u16)>> {
    let standing = state.order(&About::upstreams(service, pool))?;
    match &standing.what {
        What::Upstreams { list, .. } => Some(parsed(list)),
        _ => None,
    }
}

fn parsed(list: &[(String, u16)]) -> Vec<(Address, u16)> {
    let one = |(address, weight): &(String, u16)| Some((address.parse().ok()?, *weight));
    list.iter().filter_map(one).collect()
}

/// A list of upstreams as it is stored.
pub(super) fn written(list: &[(Address, u16)]) -> Vec<(String, u16)> {
    list.iter().map(|(address, weight)| (address.to_string(), *weight)).collect()
}

/// The upstream of this address in a snapshot.
pub(super) fn find_upstream<'s>(
    snapshot: &'s Snapshot,
    service: &str,
    pool: &str,
    address: &str,
) -> Option<&'s Upstream> {
    let pool = snapshot.service(service)?.pool(pool)?;
    let mut upstreams = pool.members.list().iter().map(|member| &*member.upstream);
    upstreams.find(|upstream| &*upstream.name == address)
}

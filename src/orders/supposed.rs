//! What would be in force: a state, a config and what is seen of upstreams in; a snapshot that nobody is served
//! by, out.
//!
//! It is built as a process that begins builds its first one, with the edits of the config taken in, so that
//! whoever asks is told what a reload would come to.

use std::sync::Arc;

use super::{Now, Orders};
use crate::clock::Moment;
use crate::config::Config;
use crate::snapshot::{Blueprint, Snapshot, Traffic};
use crate::split::Secret;
use crate::state::{Revision, State};

/// What is taken for so.
#[derive(Debug)]
pub struct Supposed<'a> {
    /// What outlasts the process.
    pub state: State,
    /// The config.
    pub config: Arc<Config>,
    /// How upstreams stand; none for all of them being well.
    pub seen: Option<&'a Snapshot>,
    /// The traffic state of a service that is taken for the one in force.
    pub at: Option<(&'a Arc<str>, &'a Revision)>,
}

impl Supposed<'_> {
    /// The snapshot of it.
    pub fn snapshot(self, now: Now) -> Snapshot {
        let Supposed { state, config, seen, at } = self;
        let resolved = seen.map(|seen| seen.resolved().clone()).unwrap_or_default();
        let (orders, _) = Orders::open(state, config.clone(), resolved, now);
        let origin = seen.map_or(now.instant, Snapshot::origin);
        let moment = Moment::since(origin, now.instant);
        let mut run_time = orders.run_time(moment, now);
        if let Some((service, revision)) = at {
            let Revision { split, number, salt, layout, .. } = revision.clone();
            let traffic = Traffic { split, revision: number, salt, layout: Some(layout) };
            run_time.traffic.insert(service.clone(), traffic);
        }
        let secret = Secret(orders.state.secret().unwrap_or_default());
        let blueprint = Blueprint { config, run_time: &run_time, secret, now: origin };
        let mut snapshot = Snapshot::build(&blueprint, None);
        orders.tell_upstreams(&snapshot, moment);
        snapshot.suppose(seen, moment);
        snapshot
    }
}

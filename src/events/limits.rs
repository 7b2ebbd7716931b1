//! Rate limits that begin to refuse and have ceased to: their counts in, events out, for each limit at
//! most one of a kind a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Events;
use crate::clock::Moment;
use crate::event::{Event, Kind, Subject};
use crate::rate::Counts;
use crate::snapshot::Snapshot;

/// For how long a limit refuses nobody before that is told.
const QUIET: Duration = Duration::from_secs(60);

/// What was seen of the limits at the last look, by where their counts are.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<usize, Seen>);

#[derive(Debug)]
struct Seen {
    /// Kept, so that nothing else comes to have its address.
    counts: Arc<Counts>,
    refused: u64,
    /// Since it began to refuse: how many it had refused before, and when it did last.
    bites: Option<(u64, Moment)>,
}

impl Limits {
    pub(super) fn look(&mut self, snapshot: &Snapshot, now: Moment, events: &Events) {
        let mut before = std::mem::take(&mut self.0);
        if !snapshot.has_rate_limits() {
            return;
        }
        for service in &snapshot.services {
            for (route, limiter) in service.limits.all() {
                let refused = limiter.counts.refused.load(Ordering::Relaxed);
                let key = Arc::as_ptr(&limiter.counts).addr();
                let new = || Seen { counts: limiter.counts.clone(), refused: 0, bites: None };
                let mut seen = before.remove(&key).unwrap_or_else(new);
                let route = route.map(ToString::to_string);
                let say =
                    |kind| events.say(Event::by_itself(kind, Subject::service(&service.name)));
                match seen.bites {
                    _ if refused > seen.refused => {
                        let since = seen.bites.map_or(seen.refused, |(since, _)| since);
                        if seen.bites.is_none() {
                            let limit = limiter.settings.to_string();
                            say(Kind::LimitBites { route, limit });
                        }
                        seen.bites = Some((since, now));
                    }
                    Some((since, last)) if now.elapsed_since(last) >= QUIET => {
                        say(Kind::LimitRests { route, refused: refused - since });
                        seen.bites = None;
                    }
                    _ => {}
                }
                seen.refused = refused;
                debug_assert!(Arc::ptr_eq(&seen.counts, &limiter.counts));
                self.0.insert(key, seen);
            }
        }
    }
}

//! Requests that events point at: those that failed and are told of in, the last trace of a pool out.
//!
//! Only of what a collector is told: whoever looks for the trace is to find it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Entry;
use crate::clock::WallTime;

/// How old an example may be: what failed before that says nothing of what happens now.
const AGE: Duration = Duration::from_secs(60);

/// The last failed request of each pool.
#[derive(Debug, Default)]
pub struct Examples(Mutex<HashMap<(String, String), (String, WallTime)>>);

impl Examples {
    /// Takes note of one, if it failed.
    pub fn note(&self, entry: &Entry) {
        let kept = &entry.kept;
        if !entry.has_failed || kept.service.is_empty() {
            return;
        }
        let mut all = self.all();
        // Of pools that were taken away nothing stays, and nothing that lies ahead of a clock which was set back.
        all.retain(|_, (_, at)| is_near(*at, kept.at));
        let place = (kept.service.clone(), kept.pool.clone());
        let newest = all.get(&place).is_none_or(|(_, at)| *at <= kept.at);
        if newest {
            all.insert(place, (kept.trace.0.clone(), kept.at));
        }
    }

    /// The trace of the last request of this pool that failed within the last minute; of any pool of the
    /// service if none is named.
    pub fn of(&self, service: &str, pool: &str, now: WallTime) -> Option<String> {
        let all = self.all();
        let is_of =
            |place: &(String, String)| place.0 == service && (pool.is_empty() || place.1 == pool);
        let lately = all.iter().filter(|(place, (_, at))| is_of(place) && is_near(*at, now));
        lately.max_by_key(|(_, (_, at))| *at).map(|(_, (trace, _))| trace.clone())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), (String, WallTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two times are not further apart, whichever is the earlier.
fn is_near(at: WallTime, now: WallTime) -> bool {
    now.elapsed_since(at).max(at.elapsed_since(now)) <= AGE
}

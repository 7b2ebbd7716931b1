//! Which requests are told of: what they bring, or how they went, in; yes or no, and why, out.
//!
//! What is decided when a request begins is told to its upstreams, so that all parts of a trace are
//! there or none. By chance and not by the trace's id: a stranger chooses that.

use std::time::Duration;

use crate::clock::{Draws, Moment};
use crate::config::{Keep, Traces};
use crate::http::failure::Cause;
use crate::rate::{Bucket, Rate};
use crate::record::{Decided, Record};
use crate::snapshot::{Snapshot, TraceLimits};
use crate::split::WHOLE;

/// What a request says of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// It brings none.
    Nothing,
    /// A trusted proxy says whether it is recorded.
    Trusted(bool),
    /// Somebody else says so.
    Strange(bool),
}

/// Decides whether a request is told of when it begins, and by whose word.
pub fn decide(
    brought: Brought,
    traces: &Traces,
    limits: &TraceLimits,
    now: Moment,
    draws: &mut Draws,
) -> (Decided, bool) {
    let by_share = |draws: &mut Draws| draws.below(WHOLE.into()) < traces.share.get().into();
    match brought {
        Brought::Trusted(is_sampled) => (Decided::Parent, is_sampled),
        Brought::Nothing => (Decided::Here, by_share(draws)),
        // Who says no, or says yes too often, is as good as who says nothing: strangers can neither make us
        // tell of everything nor hide from us.
        Brought::Strange(asks) => {
            let is_granted = asks && takes(&limits.strangers, traces.from_strangers, now);
            (Decided::Stranger, is_granted || by_share(draws))
        }
    }
}

/// Why a request is told of that nobody had decided so of when it began; none if it is not.
pub fn kept_for(record: &Record<'_>, traces: &Traces, snapshot: &Snapshot) -> Option<Keep> {
    let traced = record.noted.traced.filter(|traced| !traced.is_sampled)?;
    if traced.decided == Decided::Parent && !traces.despite_parent {
        return None;
    }
    let holds = |keep: &Keep| traces.keep.contains(keep) && is(*keep, record, snapshot);
    Keep::ALL.into_iter().find(holds)
}

/// Whether there is still room for one that is kept once it is over.
pub fn may_be_kept(record: &Record<'_>, traces: &Traces, snapshot: &Snapshot) -> bool {
    let over = record.at + record.duration + record.waited;
    takes(&snapshot.trace_limits.kept, traces.keep_at_most, over)
}

fn is(keep: Keep, record: &Record<'_>, snapshot: &Snapshot) -> bool {
    match keep {
        Keep::Error => {
            let is_meant = is_shed(record.cause) || record.cause == Some(Cause::Maintenance);
            record.has_failed() && !is_meant
        }
        Keep::Retried => record.was_tried_again(),
        Keep::Shed => is_shed(record.cause),
        Keep::Canary => {
            let pool = record.pool.map(|(service, pool)| (&snapshot.services[service], pool));
            pool.is_some_and(|(service, pool)| service.is_canary(pool))
        }
        Keep::Slow => {
            record.service().zip(record.noted.attempts.last()).is_some_and(|(service, last)| {
                let pool = &snapshot.services[service].pools[last.pool];
                last.cause.is_none() && pool.state.slow_from.beyond(last.took()) == BEYOND_P99
            })
        }
    }
}

/// Whether it was refused because too much is asked.
fn is_shed(cause: Option<Cause>) -> bool {
    use Cause::{AuthBusy, Full, RateLimited, Throttled};
    matches!(cause, Some(AuthBusy | Full | RateLimited | Throttled))
}

/// Takes one of so many a second, all of which may come at once.
fn takes(bucket: &Bucket, most: u32, now: Moment) -> bool {
    let rate = Rate { requests: most, period: Duration::from_secs(1), burst: most };
    most > 0 && bucket.take(now, &rate).is_granted
}

/// Slower than all three of a pool's p50, p95 and p99.
const BEYOND_P99: usize = 3;

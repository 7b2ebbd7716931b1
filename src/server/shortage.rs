//! What the process itself lacks: counts of refusals in, an event a minute out.

use std::sync::Arc;
use std::time::Duration;

use std::sync::atomic::Ordering;

use tokio::time::sleep;

use super::descriptors::Shares;
use crate::clock::Clock;
use crate::event::{Event, Kind, Subject};
use crate::events::Events;
use crate::http::failure::Cause;
use crate::observe::{ListenerTally, Process};
use crate::snapshot::Published;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is said while it lasts.
const AGAIN: Duration = Duration::from_secs(60);

/// Says once a minute that connections or requests were refused for lack of descriptors, memory or
/// ports; and once, whenever it is set anew, that more clients are let in than there is room for.
pub async fn watch_shortage(
    process: Arc<Process>,
    admin: Arc<ListenerTally>,
    published: Arc<Published>,
    events: Arc<Events>,
    shares: Shares,
    clock: Clock,
) {
    let (mut seen, mut said, mut wanted) = (0, None, 0);
    loop {
        let connections = published.load().config.server.client.connections;
        if std::mem::replace(&mut wanted, connections) != connections {
            warn_of(connections, shares);
        }
        let all = lacked(&process, &admin);
        let now = clock.now();
        let is_due = said.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN);
        if all > seen && is_due {
            let kind = Kind::Exhausted { times: all - seen, limit: shares.limit };
            events.say(Event::by_itself(kind, Subject::default()));
            (seen, said) = (all, Some(now));
        }
        sleep(LOOK).await;
    }
}

fn lacked(process: &Process, admin: &ListenerTally) -> u64 {
    let of = |tally: &ListenerTally| tally.lacked.load(Ordering::Relaxed);
    let accepts: u64 = process.listeners().iter().map(|tally| of(tally)).sum();
    let exhausted = Cause::Exhausted.reason();
    let counts = process.requests().into_iter().flat_map(|(_, refusals)| refusals.counts());
    let requests: u64 =
        counts.filter(|(reason, _)| *reason == exhausted).map(|(_, count)| count).sum();
    accepts + of(admin) + requests
}

fn warn_of(connections: usize, shares: Shares) {
    let Shares { limit, clients, .. } = shares;
    if connections > clients {
        tracing::warn!(
            "`server.client.connections` is {connections}, but the limit of {limit} file descriptors \
             has room for {clients}: more are closed at once. Raise the limit (`LimitNOFILE=` of \
             systemd, `ulimit -Hn`), or set fewer"
        );
    }
}

//! The ends of holds: snapshots and the time in, a call to whoever waits out.
//!
//! That a hold is over needs no order: whoever asks is told so by the time. Those who stand in line
//! have asked before and are called here, the first of each line, who calls the next.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::{Clock, Moment};
use crate::snapshot::{Published, Snapshot};
use crate::state::State;

/// Calls those who wait for the end of a hold once it has come, until nothing changes any more. It
/// looks whenever another state is published, which is after its snapshot.
pub async fn call_at_ends(
    published: Arc<Published>,
    mut states: watch::Receiver<Arc<State>>,
    clock: Clock,
) {
    let mut called = Moment::default();
    loop {
        states.mark_unchanged();
        let snapshot = published.load();
        let now = snapshot.moment(clock.now());
        call(&snapshot, called, now);
        called = now;
        let is_changed = match next_end(&snapshot, now) {
            Some(end) => tokio::select! {
                changed = states.changed() => changed,
                () = sleep(end.elapsed_since(now)) => Ok(()),
            },
            None => states.changed().await,
        };
        if is_changed.is_err() {
            return;
        }
    }
}

/// Calls those whose hold has ended since the last time.
fn call(snapshot: &Snapshot, last: Moment, now: Moment) {
    for service in &snapshot.services {
        if service.mode.until().is_some_and(|until| last < until && until <= now) {
            service.state.queue.call_next();
        }
    }
}

fn next_end(snapshot: &Snapshot, now: Moment) -> Option<Moment> {
    let ends = snapshot.services.iter().filter_map(|service| service.mode.until());
    ends.filter(|until| *until > now).min()
}

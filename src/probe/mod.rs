//! Active probes: the published snapshots in, what each upstream has proved out. And connect checks
//! of those that refused one, or that somebody is about to give traffic (`checks.rs`).
//!
//! One task keeps the due times and a bounded set of probes, each with a time-out for the whole of
//! it, so that none waits for another's answer. Addresses are probed once, however many pools
//! share them; the results go to the upstreams themselves, which outlive every snapshot.

mod advice;
mod agenda;
mod checks;
mod exchange;
mod failure;
mod grpc;
mod http;
mod probed;
mod roster;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, Draws};
use crate::outgoing::dial::{Dialer, Speaks};
use crate::snapshot::{Published, Service, Snapshot};
use crate::upstream::Probe;

use advice::Advice;
use agenda::{Agenda, Id, Lane};
use failure::ProbeFailure;
use probed::Probed;
use roster::{Subject, roster};

/// How often to look whether there is a new snapshot: a new upstream waits this long at most.
const LOOK: Duration = Duration::from_secs(1);

/// Probes the upstreams of whatever snapshot is in force, for ever. Who wants a connect check at once
/// has `called`.
pub async fn run(published: Arc<Published>, clock: Clock, called: Arc<Notify>) {
    let checks = checks::run(published.clone(), clock, called);
    tokio::join!(checks, Prober::new(published, clock, Dialer::default()).run());
}

struct Prober {
    published: Arc<Published>,
    clock: Clock,
    draws: Draws,
    dialer: Arc<Dialer>,
    /// That of the snapshot the addresses are from; 0 before the first.
    generation: u64,
    next_look: Instant,
    addresses: HashMap<Id, Probed>,
    next_id: Id,
    agenda: Agenda,
    under_way: JoinSet<Result<Advice, ProbeFailure>>,
    /// Whose probe each task of `under_way` is.
    tasks: HashMap<tokio::task::Id, (Id, Lane)>,
}

impl Prober {
    fn new(published: Arc<Published>, clock: Clock, dialer: Dialer) -> Prober {
        Prober {
            published,
            draws: clock.draws(),
            dialer: Arc::new(dialer),
            generation: 0,
            next_look: clock.now(),
            clock,
            addresses: HashMap::new(),
            next_id: 0,
            agenda: Agenda::default(),
            under_way: JoinSet::new(),
            tasks: HashMap::new(),
        }
    }

    async fn run(mut self) {
        loop {
            let now = self.clock.now();
            if self.next_look <= now {
                self.look(now);
            }
            self.begin_due(now);
            let wake = self.agenda.next_due().map_or(self.next_look, |due| due.min(self.next_look));
            tokio::select! {
                Some(ended) = self.under_way.join_next_with_id() => self.on_end(ended),
                () = sleep(wake.saturating_duration_since(now)) => {}
            }
        }
    }

    fn look(&mut self, now: Instant) {
        self.next_look = now + LOOK;
        let snapshot = self.published.load();
        if snapshot.generation != self.generation {
            self.generation = snapshot.generation;
            self.follow(&snapshot, now);
        }
    }

    /// Begins with addresses that are new and forgets those that are gone. What is under way for
    /// the latter ends by itself and tells nobody.
    fn follow(&mut self, snapshot: &Snapshot, now: Instant) {
        let mut wanted = roster(snapshot);
        self.addresses.retain(|_, probed| match wanted.remove(&*probed.subject) {
            Some(subscribers) => {
                probed.subscribe(subscribers, now);
                true
            }
            None => false,
        });
        for (subject, subscribers) in wanted {
            let id = self.next_id;
            self.next_id += 1;
            self.addresses.insert(id, Probed::new(subject, subscribers, now));
            self.agenda.add(now, id, Lane::Steady);
        }
        release(snapshot);
    }

    fn begin_due(&mut self, now: Instant) {
        while let Some((id, lane)) = self.agenda.begin(now) {
            let Some(probed) = self.addresses.get_mut(&id) else {
                self.agenda.end(lane);
                continue;
            };
            if let Some(later) = probed.spare(now, &mut self.draws) {
                self.agenda.end(lane);
                self.agenda.add(later, id, lane);
                continue;
            }
            let probe = probe(self.dialer.clone(), probed.subject.clone());
            let task = self.under_way.spawn(probe).id();
            self.tasks.insert(task, (id, lane));
        }
    }

    fn on_end(
        &mut self,
        ended: Result<(tokio::task::Id, Result<Advice, ProbeFailure>), JoinError>,
    ) {
        let (task, result) = match ended {
            Ok((task, result)) => (task, result),
            Err(error) => (error.id(), Err(ProbeFailure::Crashed)),
        };
        let Some((id, lane)) = self.tasks.remove(&task) else { return };
        self.agenda.end(lane);
        let Some(probed) = self.addresses.get_mut(&id) else { return };
        let due = probed.on_result(&result, self.clock.now(), &mut self.draws);
        let lane = if result.is_ok() { Lane::Steady } else { Lane::Failing };
        self.agenda.add(due, id, lane);
    }
}

/// Upstreams that are not probed any more have no advice to follow.
fn release(snapshot: &Snapshot) {
    let unprobed = |service: &&Service| service.stability.health.is_none();
    for service in snapshot.services.iter().filter(unprobed) {
        for member in service.pools.iter().flat_map(|pool| pool.members.list()) {
            member.upstream.set_advice(None, false);
        }
    }
}

/// One probe, from the dial to the verdict, within its time.
async fn probe(dialer: Arc<Dialer>, subject: Arc<Subject>) -> Result<Advice, ProbeFailure> {
    let Subject { target, authority, health, http2 } = &*subject;
    let speaks = if *http2 { Speaks::Http2 } else { Speaks::Http1 };
    let probe = async {
        match &health.probe {
            Probe::Http(probe) => http::probe(&dialer, target, authority, probe, speaks).await,
            Probe::Tcp => Ok(dialer.connect(target).await.map(|_| Advice::default())?),
            Probe::Grpc(probe) => grpc::probe(&dialer, target, authority, probe).await,
        }
    };
    let late = Err(ProbeFailure::TimedOut(health.timeout));
    timeout(health.timeout, probe).await.unwrap_or(late)
}

#[cfg(test)]
mod tests;

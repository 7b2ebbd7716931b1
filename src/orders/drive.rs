//! Orders with a disk, for tests: what the controller and its commit thread do, in steps.
//!
//! A disk that hangs keeps the batch it was given until it is let go; nothing else is handed to it.

#![allow(clippy::unwrap_used, reason = "a test, which fuzzing has too")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::store::Store;
use crate::store::crash::FrailDisk;

/// Orders, a disk, and what came of both.
pub(super) struct Drive {
    pub disk: FrailDisk,
    pub store: Store,
    pub orders: Orders,
    pub snapshot: Arc<Snapshot>,
    pub now: Now,
    pub effects: Vec<Effect>,
    pub replies: BTreeMap<Ticket, Result<Answered, Refused>>,
    /// Batches that the disk has refused.
    pub failed: usize,
    /// What the disk has in its hands while it hangs.
    pub hung: Option<Vec<Change>>,
    /// Upstreams that accept no connections.
    pub away: BTreeSet<Arc<str>>,
    /// Upstreams that do not even refuse them: their checks do not end.
    pub silent: BTreeSet<Arc<str>>,
}

impl Drive {
    /// A process that begins on what this disk holds; none if the disk dies meanwhile.
    pub fn open(disk: FrailDisk, config: Arc<Config>, now: Now) -> Option<Drive> {
        let store = Store::on_disk(disk.clone()).ok()?;
        let state = store.recall().ok()?;
        let (orders, edits) = Orders::open(state, config, Resolved::new(), now);
        Drive::begin(disk, store, orders, &edits, now)
    }

    /// As [`Drive::open`], with what it has found there.
    pub fn begin(
        disk: FrailDisk,
        store: Store,
        orders: Orders,
        edits: &[Change],
        now: Now,
    ) -> Option<Drive> {
        if !edits.is_empty() {
            store.commit(edits, &[]).ok()?;
        }
        let snapshot = Arc::new(orders.build(None, now));
        Some(Drive {
            disk,
            store,
            orders,
            snapshot,
            now,
            effects: Vec::new(),
            replies: BTreeMap::new(),
            failed: 0,
            hung: None,
            away: BTreeSet::new(),
            silent: BTreeSet::new(),
        })
    }

    pub fn pass(&mut self, length: Duration) {
        let Now { instant, wall } = self.now;
        self.now = Now { instant: instant + length, wall: wall + length };
    }

    /// Makes the connect checks that somebody waits for, and lets go on what waited for them.
    fn check(&mut self) {
        let now = self.snapshot.moment(self.now.instant);
        self.orders.take_wants_checks();
        for service in &self.snapshot.services {
            for pool in &service.pools {
                for member in pool.members.list() {
                    let name = &member.upstream.name;
                    let last = member.upstream.checked.last().map(|(began, _)| began);
                    let is_due = pool.state.wanted.is_due(last, now, Duration::from_secs(1));
                    if is_due && !self.silent.contains(name) {
                        let found = (now, !self.away.contains(name));
                        pool.note_check(member, found, &service.stability, now);
                    }
                }
            }
        }
        if self.orders.is_looking() {
            self.orders.look_again(&self.snapshot, self.now);
        }
    }

    /// Publishes what has changed.
    pub fn settle(&mut self) {
        self.publish();
        self.check();
        self.publish();
    }

    fn publish(&mut self) {
        if self.orders.take_changed() {
            self.snapshot = Arc::new(self.orders.build(Some(&self.snapshot), self.now));
        }
        self.effects.extend(self.orders.take_effects());
        self.replies.extend(self.orders.take_replies());
    }

    /// Has the disk take all that waits for it.
    pub fn run(&mut self, mut counts: Counts) {
        self.settle();
        while self.hung.is_none()
            && let Some(changes) = self.orders.next_write(counts, self.now)
        {
            counts = Counts::Wait;
            let written = self.store.commit(&changes, &[]);
            if self.disk.is_dead() {
                return;
            }
            if self.disk.is_hanging() {
                self.hung = Some(changes);
                return;
            }
            self.written(written.map_err(|error| error.to_string()));
        }
    }

    fn written(&mut self, written: Result<(), String>) {
        self.failed += usize::from(written.is_err());
        self.orders.on_written(written, &self.snapshot, self.now);
        self.settle();
        self.orders.decide_waiting(&self.snapshot, self.now);
        self.settle();
    }

    /// The disk answers again.
    pub fn let_go(&mut self) {
        self.disk.let_go();
        if let Some(changes) = self.hung.take() {
            let written = match self.store.has_happened() {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => self.store.commit(&changes, &[]),
            };
            if self.disk.is_dead() {
                self.hung = Some(changes);
                return;
            }
            self.written(written.map_err(|error| error.to_string()));
            self.run(Counts::Wait);
        }
    }

    /// Gives an order; has the disk take what follows.
    pub fn give(&mut self, order: Order, by: By) -> Ticket {
        let ticket = self.orders.take(order, by, &self.snapshot, self.now);
        self.run(Counts::Wait);
        ticket
    }

    /// Gives an order and takes its answer.
    pub fn order(&mut self, order: Order, by: By) -> Result<Answered, Refused> {
        let ticket = self.give(order, by);
        self.replies.remove(&ticket).expect("it is answered")
    }

    /// A second passes.
    pub fn tick(&mut self) {
        self.orders.on_time(self.now);
        self.orders.history().look(&self.snapshot, self.now.instant, self.now.wall);
        self.orders.tick(&self.snapshot, self.now);
        self.run(Counts::Go);
    }

    /// What was said since it was asked last.
    pub fn said(&mut self) -> Vec<Event> {
        let effects = std::mem::take(&mut self.effects);
        let (said, rest) = effects.into_iter().partition(|effect| matches!(effect, Effect::Say(_)));
        self.effects = rest;
        let event = |effect| match effect {
            Effect::Say(event) => Some(event),
            _ => None,
        };
        let said: Vec<Effect> = said;
        said.into_iter().filter_map(event).collect()
    }
}

impl Orders {
    /// Whether the end of a task waits to be taken in.
    pub(super) fn has_unheard(&self) -> bool {
        !self.unheard.is_empty()
    }

    /// What is stored, and counts that will be.
    pub(super) fn stored(&self) -> &State {
        &self.base
    }

    /// The services of which something is in force that is not stored.
    pub(super) fn services_unstored(&self) -> Vec<Arc<str>> {
        let scopes = self.queue.urgent.iter().map(|job| job.scope.clone());
        let service = |scope| match scope {
            order::Scope::Service(service) => Some(service),
            _ => None,
        };
        scopes.filter_map(service).collect()
    }

    /// What the disk has in its hands.
    pub(super) fn in_hands(&self) -> Vec<Change> {
        match &self.queue.in_hands {
            Some(queue::Held::Urgent) => self.queue.urgent[0].changes.clone(),
            _ => self.queue.changes_in_hands().to_vec(),
        }
    }
}

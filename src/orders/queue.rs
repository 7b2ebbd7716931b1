//! What waits for the disk: jobs in, one batch at a time out, in order; and what becomes of those
//! that the disk does not take in time.
//!
//! The disk has one batch in its hands. Everything else waits here, so that it can be withdrawn: of
//! what the disk has not begun it is certain that nothing was changed. What takes traffic away from
//! something sick does not wait: it is in force when it comes here, goes before everything else and
//! is tried until it is stored. Counts come last.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::order::Scope;
use super::rollouts::Done;
use super::{By, Effect, Haste, Made, Order, Ticket};
use crate::capacity::Overload;
use crate::config::Config;
use crate::snapshot::Resolved;
use crate::state::{Change, Unstored};

/// How long an order waits for the disk at most.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// After which what is in force already is answered though it is not stored.
pub(super) const PROMPT: Duration = Duration::from_millis(500);

/// After which it is worth an event that the disk does not answer.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// How often what is in force unstored is tried again after an error.
const AGAIN: Duration = Duration::from_secs(1);

/// Orders that wait at once; more mean a script in a loop, or a disk that is gone.
const LONGEST: usize = 256;

/// Places beyond them for what may be urgent: a script in a loop must keep nobody from aborting a rollout.
const FOR_URGENT: usize = 64;

/// Whether the disk may have what is counted, if there is nothing else: once a second, so that one
/// that fails is not asked all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Not now.
    Wait,
    /// Now, if there is something.
    Go,
    /// Now; there are events to be stored with it.
    GoWithEvents,
}

/// An order that is not decided yet.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub ticket: Ticket,
    pub order: Order,
    pub by: By,
    pub since: Instant,
    /// Whether it waits for connect checks.
    pub is_unseen: bool,
}

/// Changes that are decided and to be stored together.
#[derive(Debug)]
pub(super) struct Job {
    /// Who asked; none if nobody did.
    pub asked: Option<Asked>,
    /// The task whose end it takes in.
    pub done: Option<Done>,
    pub scope: Scope,
    pub haste: Haste,
    /// What is in force, in words, for who is told that it is not stored.
    pub words: String,
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
    pub answer: Made,
    pub warnings: Vec<Overload>,
    /// What it puts in force: a config, and what its new names resolve to.
    pub config: Option<(Arc<Config>, Resolved)>,
    pub since: Instant,
    pub is_answered: bool,
    /// Whether it was told that it is not stored.
    pub is_told: bool,
    /// What is noted of it while it is not, if it is an order against a rollout.
    pub note: Option<Unstored>,
    /// Whether the disk has that note.
    pub is_noted: bool,
    /// Services of which something else is in force by now, and what.
    pub overtaken: Vec<(Arc<str>, String)>,
}

/// What the disk has in its hands.
#[derive(Debug)]
pub(super) enum Held {
    /// Something that is in force once it is stored.
    Job(Box<Job>),
    /// The first of those that are in force already.
    Urgent,
    /// Counts.
    Counts(Vec<Change>),
}

/// What waits for the disk.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What the file that a process began with has changed, as long as the disk has not taken it: it
    /// goes with whatever is stored first.
    unsaved: Vec<Change>,
    pub undecided: VecDeque<Asked>,
    pub waiting: VecDeque<Job>,
    /// In force, and not stored yet.
    pub urgent: VecDeque<Job>,
    pub in_hands: Option<Held>,
    /// Since when the disk has had it, and whether it was told that this is long.
    pub handed: Option<Instant>,
    pub is_silent: bool,
    /// When something urgent has failed last.
    failed: Option<Instant>,
    /// By entry.
    counts: BTreeMap<(&'static str, String), Change>,
}

impl Job {
    /// The revision of its service that it would make.
    pub fn revision(&self) -> Option<u64> {
        let of = |change: &Change| match change {
            Change::Revision { service, revision } if self.scope.is_of(service) => {
                Some(revision.number)
            }
            _ => None,
        };
        self.changes.iter().filter_map(of).max()
    }

    /// Whether it moves the rollout of a service, or ends it.
    pub fn moves_rollout(&self, service: &str) -> bool {
        let moves = |change: &Change| {
            matches!(change, Change::Rollout(_) | Change::EndRollout { .. })
                && change.service() == Some(service)
        };
        self.changes.iter().any(moves)
    }
}

impl Queue {
    /// Whether a change of this waits for the disk.
    pub fn is_busy(&self, scope: &Scope) -> bool {
        let held = match &self.in_hands {
            Some(Held::Job(job)) => Some(&**job),
            _ => None,
        };
        let mut jobs = self.waiting.iter().chain(&self.urgent).chain(held);
        jobs.any(|job| job.scope.meets(scope))
    }

    /// Whether an order must wait undecided: a change of the same waits, or another order.
    pub fn keeps_back(&self, scope: &Scope) -> bool {
        self.is_busy(scope) || self.undecided.iter().any(|asked| asked.order.scope().meets(scope))
    }

    /// Whether an order waits for connect checks.
    pub fn has_unseen(&self) -> bool {
        self.undecided.iter().any(|asked| asked.is_unseen)
    }

    /// Whether there is no place for one more like this.
    pub fn is_full(&self, order: &Order) -> bool {
        let most = LONGEST + if order.may_be_urgent() { FOR_URGENT } else { 0 };
        self.undecided.len() + self.waiting.len() >= most
    }

    /// How many wait, the one in the disk's hands among them.
    pub fn depth(&self) -> usize {
        let held = usize::from(matches!(self.in_hands, Some(Held::Job(_))));
        self.undecided.len() + self.waiting.len() + self.urgent.len() + held
    }

    /// Whether the disk has something in its hands.
    pub fn is_held(&self) -> bool {
        self.in_hands.is_some()
    }

    /// Whether time alone can change anything.
    pub fn is_waiting(&self) -> bool {
        self.depth() > 0 || self.in_hands.is_some()
    }

    /// What the disk has in its hands.
    pub fn changes_in_hands(&self) -> &[Change] {
        match &self.in_hands {
            Some(Held::Job(job)) => &job.changes,
            Some(Held::Urgent) | None => &[],
            Some(Held::Counts(changes)) => changes,
        }
    }

    /// Keeps counts for when the disk has nothing else to do; the later one of an entry counts.
    pub fn count(&mut self, change: Change) {
        self.counts.insert(change.entry(), change);
    }

    /// What is stored of an entry is later than what was counted of it: counts are stored last.
    pub fn outdate_counts(&mut self, changes: &[Change]) {
        changes.iter().for_each(|change| drop(self.counts.remove(&change.entry())));
    }

    /// Keeps what was in force before anything else was decided, and is not stored.
    pub fn keep_unsaved(&mut self, changes: Vec<Change>) {
        self.unsaved = changes;
    }

    /// It is stored, with what the disk had in its hands; whether there was anything.
    pub fn take_unsaved(&mut self) -> bool {
        !std::mem::take(&mut self.unsaved).is_empty()
    }

    /// Keeps what the disk did not take of counts; what was counted of the same since then is later. Where a
    /// rollout is, and what its judge has heard, comes again by itself. All else does not: that an order is
    /// over, or ends sooner because the clock was set back, is in force, and nobody finds it again.
    pub fn count_again(&mut self, changes: Vec<Change>) {
        for change in changes {
            let comes_again = matches!(change, Change::Rollout(_) | Change::Heard { .. });
            if !comes_again {
                self.counts.entry(change.entry()).or_insert(change);
            }
        }
    }

    /// What the disk is to take next, if it is free.
    pub fn next(&mut self, counts: Counts, now: Instant) -> Option<Vec<Change>> {
        if self.in_hands.is_some() {
            return None;
        }
        let failed = self.failed;
        let is_due = failed.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN);
        let (held, changes) = if let Some(urgent) = self.urgent.front().filter(|_| is_due) {
            (Held::Urgent, urgent.changes.clone())
        } else if let Some(job) = self.next_waiting() {
            let changes = job.changes.clone();
            (Held::Job(Box::new(job)), changes)
        } else if self.urgent.is_empty() && self.has_counts(counts) {
            let counts: Vec<Change> = std::mem::take(&mut self.counts).into_values().collect();
            (Held::Counts(counts.clone()), counts)
        } else {
            return None;
        };
        (self.in_hands, self.handed) = (Some(held), Some(now));
        // What came later of the same entry comes later here too.
        Some(self.unsaved.iter().cloned().chain(changes).collect())
    }

    fn has_counts(&self, counts: Counts) -> bool {
        match counts {
            Counts::Wait => false,
            Counts::Go => !self.counts.is_empty() || !self.unsaved.is_empty(),
            Counts::GoWithEvents => true,
        }
    }

    /// What came after the last try of something urgent waits for the next one.
    fn next_waiting(&mut self) -> Option<Job> {
        let first = self.waiting.front()?;
        let may = self.urgent.is_empty() || self.failed.is_some_and(|at| first.since <= at);
        if may { self.waiting.pop_front() } else { None }
    }

    /// The disk has answered.
    pub fn take_held(&mut self) -> Option<Held> {
        self.handed = None;
        self.in_hands.take()
    }

    /// Whether what is urgent could be stored.
    pub fn note_urgent(&mut self, is_stored: bool, now: Instant) {
        self.failed = (!is_stored).then_some(now);
    }

    /// Takes out what waits for a service, decided or not, but what is about everything.
    pub fn withdraw(&mut self, service: &str) -> (VecDeque<Job>, VecDeque<Asked>) {
        let scope = Scope::Service(service.into());
        let (out, rest) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|job: &Job| job.scope.meets(&scope));
        self.waiting = rest;
        let (asked, rest) = std::mem::take(&mut self.undecided)
            .into_iter()
            .partition(|asked: &Asked| asked.order.scope().is_of(service));
        self.undecided = rest;
        (out, asked)
    }

    /// Takes out what has waited too long without the disk having begun with it.
    pub fn expired(&mut self, now: Instant) -> (VecDeque<Job>, VecDeque<Asked>) {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        let (out, rest) =
            std::mem::take(&mut self.waiting).into_iter().partition(|job: &Job| is_over(job.since));
        self.waiting = rest;
        let (asked, rest) = std::mem::take(&mut self.undecided)
            .into_iter()
            .partition(|asked: &Asked| is_over(asked.since));
        self.undecided = rest;
        (out, asked)
    }
}

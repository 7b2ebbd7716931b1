//! What a target has still to be told: notices and the ends of attempts in, what to send and how
//! long to wait out.
//!
//! The most severe goes first, then the oldest. Failures are the target's and not the notice's: one
//! that is down is tried with one notice after a growing pause, not with all of them. No clock and no
//! chance in here; both are arguments.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Notice, Severity};
use crate::clock::Draws;

/// How long a target is borne with.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The pause after a first failure; each further one in a row doubles it.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Attempts at one notice.
    pub attempts: u32,
    /// How old a notice may become before it is told: then it is news no more.
    pub age: Duration,
    /// How long a key is remembered.
    pub dedup: Duration,
}

impl Default for Patience {
    /// Seven pauses of at most 508 s in all fit into the age, with a time-out of 5 s each.
    fn default() -> Patience {
        Patience {
            first: Duration::from_secs(4),
            longest: Duration::from_secs(256),
            attempts: 8,
            age: Duration::from_secs(600),
            dedup: Duration::from_secs(300),
        }
    }
}

/// Notices that wait, and keys that are remembered.
const ROOM: usize = 1_000;

/// From here on a notice does not wait for what matters less.
const URGENT: Severity = Severity::High;

/// One target's queue.
#[derive(Debug)]
pub struct Queue {
    patience: Patience,
    waiting: BTreeMap<Rank, Waiting>,
    /// By topic.
    recent: HashMap<String, Recent>,
    next_number: u64,
    /// Attempts that failed in a row.
    failures: u32,
    paused_until: Option<Instant>,
    is_closed: bool,
}

/// The order in which notices are told.
type Rank = (Reverse<Urgency>, u64);

/// How soon a notice is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    /// As it matters.
    Of(Severity),
    /// Somebody waits for it.
    Asked,
}

#[derive(Clone, Debug)]
struct Waiting {
    notice: Arc<Notice>,
    since: Instant,
    attempts: u32,
    suppressed: u64,
    /// Whether it is being sent.
    is_out: bool,
}

/// What was last told of a topic, when, how severe it was, and how often it was not told since.
#[derive(Debug)]
struct Recent {
    dedup: String,
    at: Instant,
    severity: Severity,
    is_relief: bool,
    suppressed: u64,
}

/// What became of a notice that was offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It waits.
    Taken,
    /// It waits, and this one, which mattered less, had to go.
    TakenFor(Arc<Notice>),
    /// Its like was told a short while ago.
    Suppressed,
    /// There is no room, or the queue is closed.
    Refused,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this one, and say how it ended.
    Send(Parcel),
    /// Ask again in this time, or when something was offered.
    Wait(Duration),
    /// Ask again when something was offered.
    Idle,
    /// Nothing will come any more.
    Done,
}

/// A notice to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    place: Rank,
    /// What is to be told.
    pub notice: Arc<Notice>,
    /// How many like it were not told since the last.
    pub suppressed: u64,
}

impl Parcel {
    /// Whether it does not wait for what matters less.
    pub fn is_urgent(&self) -> bool {
        self.notice.severity >= URGENT
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was taken.
    Sent,
    /// Another attempt may go better, though not before this time if it was said.
    Failed(Option<Duration>),
    /// No attempt will go better.
    Refused,
}

/// What becomes of a notice after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is told.
    Told,
    /// It is tried again after this time at the earliest.
    Again(Duration),
    /// It is given up.
    Dropped,
}

impl Queue {
    /// Nothing yet.
    pub fn new(patience: Patience) -> Queue {
        Queue {
            patience,
            waiting: BTreeMap::new(),
            recent: HashMap::new(),
            next_number: 0,
            failures: 0,
            paused_until: None,
            is_closed: false,
        }
    }

    /// Takes a notice, unless its like was told a short while ago or there is no room.
    pub fn offer(&mut self, notice: Arc<Notice>, now: Instant) -> Offer {
        if self.is_closed {
            return Offer::Refused;
        }
        if self.is_repetition(&notice, now) {
            return Offer::Suppressed;
        }
        let urgency = Urgency::Of(notice.severity);
        self.take(notice, urgency, now)
    }

    /// Takes one that somebody waits for: before all others, and whatever pause there is.
    pub fn offer_first(&mut self, notice: Arc<Notice>, now: Instant) -> Offer {
        if self.is_closed {
            return Offer::Refused;
        }
        self.take(notice, Urgency::Asked, now)
    }

    fn take(&mut self, notice: Arc<Notice>, urgency: Urgency, now: Instant) -> Offer {
        let mut gone = None;
        if self.waiting.len() >= ROOM {
            let least = self.waiting.iter().rev().find(|(_, waiting)| !waiting.is_out);
            match least.map(|(place, _)| *place) {
                Some(least) if least.0.0 < urgency => gone = self.remove(least),
                _ => return Offer::Refused,
            }
        }
        let suppressed = self.remember(&notice, now);
        let is_first = self.waiting.keys().next().is_none_or(|first| first.0.0 < urgency);
        if is_first && (Urgency::Of(URGENT)..Urgency::Asked).contains(&urgency) {
            // It need not wait because what matters less could not be told. Others of its kind do:
            // a burst of them would use up the attempts at the first of them.
            self.paused_until = None;
        }
        let place = (Reverse(urgency), self.next_number);
        self.next_number += 1;
        let waiting = Waiting { notice, since: now, attempts: 0, suppressed, is_out: false };
        self.waiting.insert(place, waiting);
        gone.map_or(Offer::Taken, Offer::TakenFor)
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Next {
        let Some(place) = self.first() else {
            return if self.is_closed { Next::Done } else { Next::Idle };
        };
        let waits = |until: &Instant| *until > now && place.0.0 != Urgency::Asked;
        if let Some(until) = self.paused_until.filter(waits) {
            return Next::Wait(until - now);
        }
        let Some(waiting) = self.waiting.get_mut(&place) else { return Next::Idle };
        waiting.is_out = true;
        let (notice, suppressed) = (waiting.notice.clone(), waiting.suppressed);
        Next::Send(Parcel { place, notice, suppressed })
    }

    /// Who goes first: the most severe, but what was told of the same before goes before it, so that
    /// the last word on something is the last that was said.
    fn first(&self) -> Option<Rank> {
        let (first, waiting) = self.waiting.iter().next()?;
        let topic = &waiting.notice.topic;
        let same = self.waiting.iter().filter(|(_, other)| other.notice.topic == *topic);
        let oldest = same.map(|(place, _)| *place).min_by_key(|(_, number)| *number);
        if topic.is_empty() { Some(*first) } else { oldest }
    }

    /// Whether trouble with this topic is what was told of it last, or waits to be told.
    pub fn has_told_of_trouble(&self, topic: &str) -> bool {
        self.recent.get(topic).is_some_and(|recent| !recent.is_relief)
    }

    /// An attempt has ended.
    pub fn on_end(&mut self, parcel: &Parcel, end: End, now: Instant, draws: &mut Draws) -> After {
        match end {
            End::Sent => {
                self.failures = 0;
                self.paused_until = None;
                self.waiting.remove(&parcel.place);
                return After::Told;
            }
            End::Refused => {
                self.remove(parcel.place);
                return After::Dropped;
            }
            End::Failed(_) if self.is_closed => {
                self.remove(parcel.place);
                return After::Dropped;
            }
            End::Failed(not_before) => {
                let pause = self.pause(draws).max(not_before.unwrap_or_default());
                let pause = pause.min(self.patience.longest);
                self.failures = self.failures.saturating_add(1);
                self.paused_until = Some(now + pause);
                let attempts = self.patience.attempts;
                if let Some(waiting) = self.waiting.get_mut(&parcel.place) {
                    waiting.is_out = false;
                    waiting.attempts += 1;
                    if waiting.attempts < attempts {
                        return After::Again(pause);
                    }
                }
            }
        }
        self.remove(parcel.place);
        After::Dropped
    }

    /// Takes out those that have waited for too long.
    pub fn expire(&mut self, now: Instant) -> Vec<Arc<Notice>> {
        let age = self.patience.age;
        let old = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= age;
        let places: Vec<Rank> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| old(waiting) && !waiting.is_out)
            .map(|(place, _)| *place)
            .collect();
        places.into_iter().filter_map(|place| self.remove(place)).collect()
    }

    /// Takes no more and pauses no more: each is tried once. Answers whether one waits that does not
    /// wait for what matters less.
    pub fn close(&mut self) -> bool {
        self.is_closed = true;
        self.paused_until = None;
        self.waiting
            .iter()
            .any(|(place, waiting)| place.0.0 >= Urgency::Of(URGENT) && !waiting.is_out)
    }

    /// How many wait, the one that is being sent among them.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Everything that still waits.
    pub fn empty(&mut self) -> Vec<Arc<Notice>> {
        std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.notice).collect()
    }

    /// Full jitter would now and then call at once, again and again; half of it spreads enough.
    fn pause(&self, draws: &mut Draws) -> Duration {
        let doubled = self.patience.first.saturating_mul(1 << self.failures.min(20));
        doubled.min(self.patience.longest).mul_f64(0.5 + draws.unit() / 2.0)
    }

    /// Gives a notice up. Its like is told when it comes again: this one was not.
    fn remove(&mut self, place: Rank) -> Option<Arc<Notice>> {
        let waiting = self.waiting.remove(&place)?;
        let topic = &waiting.notice.topic;
        if self.recent.get(topic).is_some_and(|recent| recent.dedup == waiting.notice.dedup) {
            self.recent.remove(topic);
        }
        Some(waiting.notice)
    }

    fn is_repetition(&mut self, notice: &Notice, now: Instant) -> bool {
        let Some(recent) = self.recent.get_mut(&notice.topic) else { return false };
        let is_over = now.saturating_duration_since(recent.at) >= self.patience.dedup;
        if recent.dedup != notice.dedup || is_over || notice.severity > recent.severity {
            return false;
        }
        recent.suppressed += 1;
        true
    }

    /// Notes that a notice is told; how many like it were not since the last.
    fn remember(&mut self, notice: &Notice, now: Instant) -> u64 {
        if notice.dedup.is_empty() {
            return 0;
        }
        if self.recent.len() >= ROOM && !self.recent.contains_key(&notice.topic) {
            let oldest = self.recent.iter().min_by_key(|(_, recent)| recent.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.recent.remove(&oldest);
            }
        }
        let dedup = notice.dedup.clone();
        let (severity, is_relief) = (notice.severity, notice.is_relief);
        let recent = Recent { dedup, at: now, severity, is_relief, suppressed: 0 };
        // What was held back of another state says nothing of this one.
        let before = self.recent.insert(notice.topic.clone(), recent);
        before.filter(|before| before.dedup == notice.dedup).map_or(0, |before| before.suppressed)
    }
}

#[cfg(test)]
mod tests;

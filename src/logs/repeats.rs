//! Lines that repeat: each line in, the first few of a second out, and how many more there were.
//!
//! What fails a thousand times a second would cost more by being said than by failing, and hide all
//! else. Two lines are the same if they come from one place in the code, say the same sentence and are
//! about the same subject; what differs from request to request makes no other line.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock::Clock;

/// Lines of one kind that are said in a second.
const MOST: u64 = 20;

/// Kinds of lines that are told apart in a second; those beyond count as one.
const KINDS: usize = 256;

/// The longest sentence that is said again, in characters.
const LONGEST: usize = 200;

/// What a line is about, if it says so.
const SUBJECTS: [&str; 9] =
    ["kind", "service", "pool", "upstream", "name", "address", "target", "what", "holder"];

/// How many lines of each kind there were.
#[derive(Debug)]
pub(super) struct Repeats {
    clock: Clock,
    seconds: Mutex<Seconds>,
    /// There is something to be told.
    counted: Condvar,
}

/// What was counted.
#[derive(Debug, Default)]
struct Seconds {
    /// The one under way.
    current: u64,
    kinds: HashMap<u64, Kind>,
    /// Of seconds that are over.
    left_out: Vec<LeftOut>,
}

#[derive(Debug)]
struct Kind {
    seen: u64,
    level: Level,
    /// What it says; only of what is left out.
    says: String,
}

/// Lines that were not said.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    times: u64,
    level: Level,
    says: String,
}

impl Repeats {
    pub fn new(clock: Clock) -> Repeats {
        Repeats { clock, seconds: Mutex::default(), counted: Condvar::new() }
    }

    fn seconds(&self) -> MutexGuard<'_, Seconds> {
        self.seconds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what was left out, a second later. A thread of its own: who says a line cannot say another
    /// one meanwhile.
    pub fn tell_from_a_thread(self: Arc<Repeats>) {
        let tell = move || loop {
            let mut seconds = self.seconds();
            while !seconds.has_more() {
                seconds = self.counted.wait(seconds).unwrap_or_else(PoisonError::into_inner);
            }
            drop(seconds);
            std::thread::sleep(Duration::from_secs(1));
            let left_out = self.seconds().over(self.clock.unix_seconds() as u64);
            left_out.into_iter().for_each(LeftOut::tell);
        };
        // Without it lines are left out and not told, which is better than no log.
        let _ = std::thread::Builder::new().name("log".into()).spawn(tell);
    }
}

impl LeftOut {
    fn tell(self) {
        let LeftOut { times, level, says } = self;
        match level {
            Level::ERROR => tracing::error!(times, "left out, more of: {says}"),
            Level::WARN => tracing::warn!(times, "left out, more of: {says}"),
            Level::INFO => tracing::info!(times, "left out, more of: {says}"),
            Level::DEBUG => tracing::debug!(times, "left out, more of: {says}"),
            Level::TRACE => tracing::trace!(times, "left out, more of: {says}"),
        }
    }
}

impl Seconds {
    /// Whether a line is said.
    fn admit(&mut self, second: u64, kind: u64, level: Level, says: &str) -> bool {
        self.turn(second);
        let is_full = self.kinds.len() >= KINDS && !self.kinds.contains_key(&kind);
        // All that are too many are one kind of their own.
        let kind = if is_full { 0 } else { kind };
        let known = self.kinds.entry(kind).or_insert(Kind { seen: 0, level, says: String::new() });
        known.seen += 1;
        if known.seen == MOST + 1 {
            known.says =
                if is_full { "other lines".into() } else { says.chars().take(LONGEST).collect() };
        }
        known.seen <= MOST
    }

    /// Whether anything is left out and not told.
    fn has_more(&self) -> bool {
        !self.left_out.is_empty() || self.kinds.values().any(|kind| kind.seen > MOST)
    }

    fn turn(&mut self, second: u64) {
        // Who was a little late counts in the second that has begun: else the two would begin again and
        // again.
        if second == self.current || second.checked_add(1) == Some(self.current) {
            return;
        }
        self.current = second;
        for (_, Kind { seen, level, says }) in
            self.kinds.drain().filter(|(_, kind)| kind.seen > MOST)
        {
            let times = seen - MOST;
            let is_full = self.left_out.len() >= KINDS;
            let same = |known: &&mut LeftOut| known.says == says && known.level == level;
            match self.left_out.iter_mut().find(same) {
                Some(known) => known.times += times,
                None if is_full => {}
                None => self.left_out.push(LeftOut { times, level, says }),
            }
        }
    }

    /// What was left out in seconds that are over.
    fn over(&mut self, second: u64) -> Vec<LeftOut> {
        self.turn(second);
        std::mem::take(&mut self.left_out)
    }
}

/// Keeps lines from being said too often.
pub(super) struct Bound(pub Arc<Repeats>);

impl<S: Subscriber> Layer<S> for Bound {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let mut hasher = FixedState::with_seed(0).build_hasher();
        metadata.callsite().hash(&mut hasher);
        let mut line = Line { says: String::new(), hasher };
        event.record(&mut line);
        line.says.hash(&mut line.hasher);
        let second = self.0.clock.unix_seconds() as u64;
        let kind = line.hasher.finish();
        let mut seconds = self.0.seconds();
        let is_said = seconds.admit(second, kind, *metadata.level(), &line.says);
        drop(seconds);
        if !is_said {
            self.0.counted.notify_one();
        }
        is_said
    }
}

/// What a line says, and what it is about.
struct Line<H> {
    says: String,
    hasher: H,
}

impl<H: Hasher> Visit for Line<H> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.says.push_str(value),
            name if SUBJECTS.contains(&name) => value.hash(&mut self.hasher),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            // Writing to a text does not fail.
            let _ = write!(self.says, "{value:?}");
        } else if SUBJECTS.contains(&field.name()) {
            format!("{value:?}").hash(&mut self.hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_repeats_is_said_a_few_times_and_its_number_once() {
        let mut seconds = Seconds::default();
        let said = (0..1_000).filter(|_| seconds.admit(7, 1, Level::WARN, "it fails")).count();
        assert_eq!(said as u64, MOST);
        assert!(seconds.admit(7, 2, Level::WARN, "another"), "others are said all the same");
        assert!(seconds.has_more());
        let left_out = seconds.over(8);
        let more = LeftOut { times: 1_000 - MOST, level: Level::WARN, says: "it fails".into() };
        assert_eq!(left_out, [more]);
        assert!(!seconds.has_more());
        assert_eq!(seconds.over(9), [], "it is told once");
        assert!(seconds.admit(9, 1, Level::WARN, "it fails"));
    }

    #[test]
    fn around_the_turn_of_a_second_lines_are_bounded_as_ever() {
        let mut seconds = Seconds::default();
        let times = (0..1_000).map(|n| if n < 400 { 7 } else { 7 + n % 2 });
        let said = times.filter(|second| seconds.admit(*second, 1, Level::WARN, "it fails"));
        assert_eq!(said.count() as u64, 2 * MOST);
        assert!(seconds.admit(3, 1, Level::WARN, "it fails"), "a clock that was set back");
    }

    #[test]
    fn a_storm_of_many_kinds_takes_little_and_is_counted() {
        let mut seconds = Seconds::default();
        let said = (1..=10_000).filter(|kind| seconds.admit(7, *kind, Level::INFO, "x")).count();
        assert_eq!(said as u64, KINDS as u64 + MOST);
        assert_eq!(seconds.kinds.len(), KINDS + 1);
        let left_out = seconds.over(8);
        assert_eq!(left_out.len(), 1);
        assert_eq!(left_out[0].times, 10_000 - said as u64);
        assert_eq!(left_out[0].says, "other lines");
    }

    #[test]
    fn what_is_told_of_a_line_is_bounded() {
        let mut seconds = Seconds::default();
        let long = "é".repeat(10_000);
        for _ in 0..=MOST {
            seconds.admit(7, 1, Level::INFO, &long);
        }
        assert_eq!(seconds.over(8)[0].says.chars().count(), LONGEST);
    }
}

//! The last hour of one service: its seconds in, whole minutes out.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::{MINUTE, Minute, PoolMinute, Recording, Second};
use crate::clock::WallTime;
use crate::judge::Distribution;
use crate::judge::bursts::ByUpstream;

/// Minutes that are kept: an hour.
pub const MOST_MINUTES: usize = 60;

/// What a pool did in a second.
#[derive(Clone, Copy, Debug)]
pub struct PoolSecond<'s> {
    /// Its name.
    pub pool: &'s Arc<str>,
    /// What each of its upstreams did.
    pub upstreams: &'s [ByUpstream],
    /// How long its good answers took.
    pub took: Option<&'s Distribution>,
    /// From when on its answers are slow; none if that is not known.
    pub slow_from: Option<[Duration; 3]>,
}

/// The last hour of one service.
#[derive(Debug, Default)]
pub struct Ring {
    /// The newest last; at most [`MOST_MINUTES`].
    minutes: VecDeque<Arc<Minute>>,
    filling: Vec<Filling>,
    /// Seconds of the minute that is being filled.
    seconds: usize,
    /// The number of that one.
    next: u64,
    /// Whether it follows the last whole one.
    follows: bool,
    /// How many of the newest nobody has stored yet.
    unsaved: usize,
    /// Numbers of those that were let go of before their time.
    dropped: Vec<u64>,
    /// What the whole ones take.
    bytes: usize,
}

/// A pool in the minute that is being filled.
#[derive(Debug)]
struct Filling {
    pool: Arc<str>,
    slow_from: Option<[Duration; 3]>,
    took: Distribution,
    rows: Vec<(Arc<str>, Row)>,
}

/// The seconds of an upstream.
#[derive(Debug, Default)]
struct Row {
    text: String,
    last: Option<Second>,
    /// How many seconds there have been like the last, which are not in the text yet.
    times: usize,
    /// How many there have been.
    seconds: usize,
}

impl Ring {
    /// Takes in a second that ended now.
    pub fn note<'s>(&mut self, pools: impl Iterator<Item = PoolSecond<'s>>, now: WallTime) {
        for PoolSecond { pool, upstreams, took, slow_from } in pools {
            let place = self.filling.iter().position(|filling| filling.pool == *pool);
            let place = place.unwrap_or_else(|| {
                let (took, rows) = (Distribution::default(), Vec::with_capacity(upstreams.len()));
                self.filling.push(Filling { pool: pool.clone(), slow_from: None, took, rows });
                self.filling.len() - 1
            });
            let filling = &mut self.filling[place];
            filling.slow_from = slow_from;
            took.into_iter().for_each(|took| filling.took += took);
            for (place, upstream) in upstreams.iter().enumerate() {
                filling.row(place, &upstream.name).push(Second::of(upstream), self.seconds);
            }
        }
        self.seconds += 1;
        if self.seconds == MINUTE {
            self.end_minute(now);
        }
    }

    /// What comes next does not follow what came last: part of a minute is none.
    pub fn interrupt(&mut self) {
        self.filling.clear();
        (self.seconds, self.follows) = (0, false);
    }

    fn end_minute(&mut self, now: WallTime) {
        let mut pools: Vec<PoolMinute> =
            std::mem::take(&mut self.filling).into_iter().map(Filling::whole).collect();
        pools.sort_by(|one, other| one.pool.cmp(&other.pool));
        let (number, follows) = (self.next, self.follows);
        self.add(Arc::new(Minute { number, ended: now, follows, pools }));
        self.unsaved = (self.unsaved + 1).min(self.minutes.len());
        (self.seconds, self.follows) = (0, true);
    }

    fn add(&mut self, minute: Arc<Minute>) {
        self.next = minute.number + 1;
        self.bytes += minute.bytes();
        self.minutes.push_back(minute);
        if self.minutes.len() > MOST_MINUTES {
            self.pop();
        }
    }

    fn pop(&mut self) -> Option<Arc<Minute>> {
        let oldest = self.minutes.pop_front()?;
        self.bytes -= oldest.bytes();
        self.unsaved = self.unsaved.min(self.minutes.len());
        Some(oldest)
    }

    /// Lets go of the oldest minute, for there is no room for it.
    pub fn drop_oldest(&mut self) {
        let oldest = self.pop();
        self.dropped.extend(oldest.map(|minute| minute.number));
    }

    /// What it takes to keep it, in bytes, near enough.
    pub fn bytes(&self) -> usize {
        let rows = self.filling.iter().flat_map(|filling| &filling.rows);
        self.bytes + rows.map(|(_, row)| row.text.capacity() + 96).sum::<usize>()
    }

    /// What it holds.
    pub fn recording(&self) -> Recording {
        Recording { minutes: self.minutes.iter().cloned().collect() }
    }

    /// The number of the newest whole minute; none if there is none.
    pub fn newest(&self) -> Option<u64> {
        self.minutes.back().map(|minute| minute.number)
    }

    /// Minutes that are whole since this was asked last, and the numbers of those that were let go of.
    pub fn take_unsaved(&mut self) -> (Vec<Arc<Minute>>, Vec<u64>) {
        let unsaved = std::mem::take(&mut self.unsaved);
        let new = self.minutes.iter().skip(self.minutes.len() - unsaved).cloned().collect();
        (new, std::mem::take(&mut self.dropped))
    }

    /// Goes on from what another process has recorded, unless something is recorded already.
    pub fn restore(&mut self, mut minutes: Vec<Arc<Minute>>) {
        if self.next > 0 || self.seconds > 0 {
            return;
        }
        minutes.sort_by_key(|minute| minute.number);
        minutes.into_iter().for_each(|minute| self.add(minute));
        self.follows = false;
    }
}

impl Filling {
    /// An upstream, which is nearly always in the same place.
    fn row(&mut self, place: usize, name: &Arc<str>) -> &mut Row {
        let is_there = self.rows.get(place).is_some_and(|(known, _)| known == name);
        let found = match is_there {
            true => Some(place),
            false => self.rows.iter().position(|(known, _)| known == name),
        };
        let place = found.unwrap_or_else(|| {
            self.rows.push((name.clone(), Row::default()));
            self.rows.len() - 1
        });
        &mut self.rows[place].1
    }

    fn whole(self) -> PoolMinute {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let whole = |(name, mut row): (Arc<str>, Row)| {
            row.fill(MINUTE);
            row.write();
            (name, row.text.into_boxed_str())
        };
        PoolMinute {
            pool: self.pool,
            slow_from: self.slow_from.map_or([0; 3], |from| from.map(micros)),
            took: self.took,
            upstreams: self.rows.into_iter().map(whole).collect(),
        }
    }
}

impl Row {
    /// What came in the second after so many.
    fn push(&mut self, second: Second, after: usize) {
        self.fill(after);
        self.add(Some(second), 1);
    }

    /// While it was not there nobody knows what it would have done.
    fn fill(&mut self, seconds: usize) {
        if let Some(missing) = seconds.checked_sub(self.seconds).filter(|missing| *missing > 0) {
            self.add(None, missing);
        }
    }

    fn add(&mut self, second: Option<Second>, times: usize) {
        if second != self.last {
            self.write();
            self.last = second;
        }
        self.times += times;
        self.seconds += times;
    }

    fn write(&mut self) {
        let (last, times) = (self.last, std::mem::take(&mut self.times));
        let between = if self.text.is_empty() { "" } else { " " };
        let written = match (last, times) {
            (_, 0) => Ok(()),
            (Some(last), 1) => write!(self.text, "{between}{last}"),
            (Some(last), _) => write!(self.text, "{between}{last}*{times}"),
            (None, 1) => write!(self.text, "{between}-"),
            (None, _) => write!(self.text, "{between}-*{times}"),
        };
        // A text takes whatever is written.
        written.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Counts;

    fn upstream(name: &str, total: u64, bad: u64) -> ByUpstream {
        let attempts = Counts { total, bad };
        ByUpstream { name: name.into(), attempts, answers: total - bad, slow: [1, 0, 0] }
    }

    fn note(ring: &mut Ring, at: u64, upstreams: &[ByUpstream]) {
        let pool = "blue".into();
        let millis = Duration::from_millis;
        let slow_from = Some([50, 100, 200].map(millis));
        let mut took = Distribution::default();
        took.add(millis(70));
        let second = PoolSecond { pool: &pool, upstreams, took: Some(&took), slow_from };
        ring.note([second].into_iter(), WallTime::from_millis(at * 1_000));
    }

    #[test]
    fn an_hour_is_kept_in_whole_minutes_and_goes_on_after_a_restart() {
        let mut ring = Ring::default();
        for at in 1..=3_700u64 {
            let mut now = vec![upstream("a", 9, u64::from(at % 7 == 0)), upstream("b", 8, 0)];
            // One that comes later, and is off the list for a moment.
            now.truncate(if (30..40).contains(&(at % 60)) || at < 5 { 1 } else { 2 });
            note(&mut ring, at, &now);
        }
        let (new, dropped) = ring.take_unsaved();
        let minutes = ring.recording().minutes;
        assert_eq!((minutes.len(), new.len(), dropped.len()), (60, 60, 0));
        let numbers: Vec<u64> = minutes.iter().map(|minute| minute.number).collect();
        assert_eq!((numbers[0], numbers[59]), (1, 60));
        let last = &minutes[59];
        assert_eq!((last.ended.millis(), last.follows), (3_660_000, true));
        let blue = last.pool("blue").unwrap();
        assert_eq!((blue.slow_from, blue.took.total()), ([50_000, 100_000, 200_000], 60));
        let seconds: Result<Vec<_>, _> = Second::read_all(&blue.upstreams[1].1).collect();
        let seconds = seconds.unwrap();
        assert_eq!((seconds.len(), &*blue.upstreams[1].1), (MINUTE, "8+1*29 -*10 8+1*21"));
        assert_eq!(blue.requests(), 60 * 9 + 50 * 8);

        let text = serde_json::to_string(&**last).unwrap();
        assert_eq!(serde_json::from_str::<Minute>(&text).unwrap(), **last);
        let mut next = Ring::default();
        next.restore(minutes.iter().rev().cloned().collect());
        assert_eq!(next.recording(), ring.recording());
        (1..=60).for_each(|at| note(&mut next, 9_000 + at, &[upstream("a", 1, 0)]));
        let (new, _) = next.take_unsaved();
        assert_eq!((new.len(), new[0].number, new[0].follows), (1, 61, false));
        assert_eq!(next.take_unsaved(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_was_interrupted_is_no_minute_and_what_there_is_no_room_for_is_told() {
        let mut ring = Ring::default();
        (0..90).for_each(|at| note(&mut ring, at, &[upstream("a", 5, 0)]));
        ring.interrupt();
        (90..210).for_each(|at| note(&mut ring, at, &[upstream("a", 5, 0)]));
        let follows: Vec<bool> = ring.recording().minutes.iter().map(|one| one.follows).collect();
        assert_eq!(follows, [false, false, true]);
        let before = ring.bytes();
        assert!(before < 3 * 400, "sixty seconds alike are one word: {before}");
        ring.drop_oldest();
        let (new, dropped) = ring.take_unsaved();
        assert_eq!((new.len(), dropped), (2, vec![0]));
        assert!(ring.bytes() < before);
    }
}

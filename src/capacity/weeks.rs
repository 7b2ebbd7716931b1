//! Four weeks of one pool: what it did in each second in; peaks by the hour, and what they come to, out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bands::Bands;
use super::day::{Day, DayNumber, Peak, began, place_of};
use crate::clock::WallTime;
use crate::judge::Distribution;

/// Days that are remembered, the one under way among them.
const DAYS: u32 = 28;

/// Looks that make a window: rates of less are a matter of chance.
const LOOKS: u32 = 10;

/// Looks that are further apart are no neighbours: the machine was busy, or slept, or the pool rested.
const LATE: Duration = Duration::from_secs(5);

/// Answers of a window by which its p99 is known.
const FEWEST_ANSWERS: u64 = 100;

/// Attempts of a window by which it is known what one upstream carried.
const FEWEST_ATTEMPTS: u64 = 10;

/// One in so many attempts fails at most while an upstream carries its load well.
const WELL: u64 = 100;

/// What a pool did since the look before.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// Requests that have ended.
    pub requests: u64,
    /// Requests that it holds now.
    pub in_flight: u32,
    /// The weight of those of its upstreams that are well.
    pub well: u32,
    /// How long answers took.
    pub took: Option<&'a Distribution>,
    /// Its upstreams, in an order that stays as long as they do.
    pub upstreams: Vec<LookAtUpstream<'a>>,
}

/// What one upstream did since the look before.
#[derive(Clone, Debug)]
pub struct LookAtUpstream<'a> {
    /// Its address.
    pub name: &'a Arc<str>,
    /// Relative to the others.
    pub weight: u16,
    /// Attempts at it.
    pub attempts: u64,
    /// Those that failed.
    pub bad: u64,
}

/// What is remembered of one pool.
#[derive(Debug, Default)]
pub struct Weeks {
    days: BTreeMap<DayNumber, Arc<Day>>,
    /// Days that are to be stored now.
    unsaved: BTreeSet<DayNumber>,
    /// Days that are not stored as they are.
    touched: BTreeSet<DayNumber>,
    /// The hour under way as it was stored last.
    stored: (DayNumber, u8, Peak),
    window: Window,
}

/// Ten seconds that are not over.
#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    looked: Option<Instant>,
    looks: u32,
    requests: u64,
    highest: u32,
    /// Sums over the looks.
    in_flight: u64,
    well: u64,
    took: Distribution,
    upstreams: Vec<Done>,
}

#[derive(Debug)]
struct Done {
    name: Arc<str>,
    weight: u16,
    attempts: u64,
    bad: u64,
}

/// What four weeks come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Hours in which anything came, by when they began.
    pub hours: BTreeSet<WallTime>,
    /// The highest rate, in requests per second over ten seconds, and the hour that it was in.
    pub rate: Option<(f64, WallTime)>,
    /// The most requests at once, and the hour that it was in.
    pub in_flight: Option<(u32, WallTime)>,
    /// The most that one upstream carried well: requests per second and 100 of weight.
    pub carried: Option<f64>,
    /// How many requests at once, for each 100 of weight, double its p99.
    pub doubled: Option<f64>,
}

impl Weeks {
    /// Goes on from what was stored.
    pub fn restore(&mut self, day: DayNumber, kept: Arc<Day>) {
        self.days.insert(day, kept);
    }

    /// Takes in a look. Nothing is kept of a window in which the upstreams were others, or that has a gap.
    pub fn note(&mut self, look: &Look<'_>, now: Instant, wall: WallTime) {
        let Some(window) = self.window.take_in(look, now) else { return };
        if window.requests == 0 && window.highest == 0 {
            return;
        }
        let (day, hour) = place_of(wall);
        let p99 = window.p99();
        let rate = window.rate(now);
        let carried = window.carried(now) as f32;
        let before = self.days.get(&day).map(|of_day| of_day.hour(hour)).unwrap_or_default();
        // What is usual is known of all four weeks, which are put together only for what would be a new peak.
        let was_slow = || p99.is_some_and(|p99| self.bands().is_slow(p99));
        let counts = carried > before.carried && !was_slow();
        let peak = Peak {
            rate: rate as f32,
            in_flight: window.highest,
            carried: if counts { carried } else { before.carried },
        };
        let of_day = Arc::make_mut(self.days.entry(day).or_default());
        of_day.raise(hour, peak);
        if let (Some(p99), Some(load)) = (p99, window.load()) {
            of_day.bands.note(load, p99, rate);
        }
        let raised = of_day.hour(hour);
        self.touched.insert(day);
        let (stored_day, stored_hour, stored) = self.stored;
        let is_new_hour = (stored_day, stored_hour) != (day, hour);
        if is_new_hour && self.days.contains_key(&stored_day) {
            // With all windows that have come since its peak was stored.
            self.unsaved.insert(stored_day);
        }
        if is_new_hour || raised.is_news_after(stored) {
            self.unsaved.insert(day);
            self.stored = (day, hour, raised);
        }
    }

    /// Days that are to be stored, and those that are remembered no longer. `all`: whatever is not stored as it
    /// is, however little is new, for nobody will ask again.
    pub fn take_unsaved(
        &mut self,
        wall: WallTime,
        all: bool,
    ) -> Vec<(DayNumber, Option<Arc<Day>>)> {
        let reach = reach(wall);
        let gone: Vec<DayNumber> =
            self.days.keys().copied().filter(|day| !reach.contains(day)).collect();
        gone.iter().for_each(|day| drop(self.days.remove(day)));
        if all {
            self.unsaved.append(&mut self.touched);
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        self.touched.retain(|day| !unsaved.contains(day));
        let new = unsaved.iter().filter_map(|day| Some((*day, Some(self.days.get(day)?.clone()))));
        new.chain(gone.iter().map(|day| (*day, None))).collect()
    }

    /// What is known of it at a moment.
    pub fn known(&self, wall: WallTime) -> Known {
        let reach = reach(wall);
        let mut known = Known::default();
        let mut bands = Bands::default();
        for (number, day) in self.days.iter().filter(|(day, _)| reach.contains(day)) {
            bands.add(&day.bands);
            for (hour, peak) in day.hours() {
                let (at, rate) = (began(*number, hour), f64::from(peak.rate));
                known.hours.insert(at);
                if rate > known.rate.map_or(0.0, |(highest, _)| highest) {
                    known.rate = Some((rate, at));
                }
                if peak.in_flight > known.in_flight.map_or(0, |(highest, _)| highest) {
                    known.in_flight = Some((peak.in_flight, at));
                }
                let carried = f64::from(peak.carried);
                if carried > known.carried.unwrap_or_default() {
                    known.carried = Some(carried);
                }
            }
        }
        known.doubled = bands.doubled();
        known
    }

    fn bands(&self) -> Bands {
        let mut bands = Bands::default();
        self.days.values().for_each(|day| bands.add(&day.bands));
        bands
    }
}

/// The days that are remembered at a moment. A day that is yet to come was noted by a clock that was wrong.
fn reach(wall: WallTime) -> std::ops::RangeInclusive<DayNumber> {
    let (today, _) = place_of(wall);
    (today + 1).saturating_sub(DAYS)..=today + 1
}

impl Window {
    /// Takes in a look; what it has come to once it is over.
    fn take_in(&mut self, look: &Look<'_>, now: Instant) -> Option<Window> {
        let is_late = |looked: Instant| now.saturating_duration_since(looked) > LATE;
        let names = look.upstreams.iter().map(|one| (one.name, one.weight));
        let is_same = self.upstreams.iter().map(|one| (&one.name, one.weight)).eq(names);
        if self.looked.is_none_or(is_late) || !is_same {
            // What is told of now came in nobody knows what time.
            *self = Window::begin(look, now);
            return None;
        }
        self.looked = Some(now);
        self.looks += 1;
        self.requests += look.requests;
        self.highest = self.highest.max(look.in_flight);
        self.in_flight += u64::from(look.in_flight);
        self.well += u64::from(look.well);
        look.took.into_iter().for_each(|took| self.took += took);
        for (done, new) in self.upstreams.iter_mut().zip(&look.upstreams) {
            done.attempts += new.attempts;
            done.bad += new.bad;
        }
        (self.looks >= LOOKS).then(|| std::mem::replace(self, Window::begin(look, now)))
    }

    fn begin(look: &Look<'_>, now: Instant) -> Window {
        let upstream = |one: &LookAtUpstream<'_>| Done {
            name: one.name.clone(),
            weight: one.weight,
            attempts: 0,
            bad: 0,
        };
        Window {
            began: Some(now),
            looked: Some(now),
            upstreams: look.upstreams.iter().map(upstream).collect(),
            ..Window::default()
        }
    }

    fn seconds(&self, now: Instant) -> f64 {
        let length = self.began.map(|began| now.saturating_duration_since(began));
        length.map_or(f64::from(LOOKS), |length| length.as_secs_f64().max(1e-3))
    }

    fn rate(&self, now: Instant) -> f64 {
        self.requests as f64 / self.seconds(now)
    }

    /// Its p99 in seconds, if enough was answered.
    fn p99(&self) -> Option<f64> {
        let known = self.took.total() >= FEWEST_ANSWERS;
        Some(self.took.quantile(0.99).filter(|_| known)?.as_secs_f64())
    }

    /// What was in flight on average, for each 100 of weight that was well.
    fn load(&self) -> Option<f64> {
        (self.well > 0).then(|| self.in_flight as f64 * 100.0 / self.well as f64)
    }

    /// The most that one upstream carried well, in requests per second and 100 of weight. Those that have less
    /// weight than usual in the pool do not count: of three requests nobody can tell what they could carry.
    fn carried(&self, now: Instant) -> f64 {
        let weights: u64 = self.upstreams.iter().map(|one| u64::from(one.weight)).sum();
        let count = self.upstreams.len() as u64;
        let counts = |one: &&Done| {
            let is_heavy = u64::from(one.weight) * count >= weights;
            let is_well = one.bad * WELL <= one.attempts;
            one.weight > 0 && is_heavy && is_well && one.attempts >= FEWEST_ATTEMPTS
        };
        let rate =
            |one: &Done| one.attempts as f64 * 100.0 / f64::from(one.weight) / self.seconds(now);
        self.upstreams.iter().filter(counts).map(rate).fold(0.0, f64::max)
    }
}

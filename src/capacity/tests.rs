//! Four weeks of pools on a clock of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::clock::WallTime;
use crate::judge::Distribution;

const HOUR: u64 = 3_600;

/// A pool of two upstreams of these weights that is looked at once a second.
struct World {
    weeks: Weeks,
    names: [Arc<str>; 2],
    weights: [u16; 2],
    now: Instant,
    wall: WallTime,
}

impl World {
    fn begin() -> World {
        World {
            weeks: Weeks::default(),
            names: ["10.0.0.1:80".into(), "10.0.0.2:80".into()],
            weights: [100, 100],
            now: Instant::now(),
            wall: WallTime::from_millis(20_000 * 24 * HOUR * 1_000),
        }
    }

    /// So many seconds in which the upstreams get so many requests, one in `bad` of which fails.
    fn run(&mut self, seconds: u64, each: [u64; 2], took_ms: u64, bad: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.wall = self.wall + Duration::from_secs(1);
            let requests: u64 = each.iter().sum();
            let mut took = Distribution::default();
            took.add_many(Duration::from_millis(took_ms), requests);
            let upstreams = self.names.iter().zip(self.weights).zip(each);
            let upstreams = upstreams.map(|((name, weight), attempts)| LookAtUpstream {
                name,
                weight,
                attempts,
                bad: attempts.checked_div(bad).unwrap_or_default(),
            });
            let look = Look {
                requests,
                in_flight: (requests * took_ms / 1_000) as u32,
                well: self.weights.iter().map(|weight| u32::from(*weight)).sum(),
                took: Some(&took),
                upstreams: upstreams.collect(),
            };
            self.weeks.note(&look, self.now, self.wall);
        }
    }

    /// So many seconds without a look, as of a pool that rests.
    fn skip(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.wall = self.wall + Duration::from_secs(seconds);
    }

    fn known(&self) -> Known {
        self.weeks.known(self.wall)
    }
}

#[test]
fn the_highest_of_four_weeks_is_known_and_then_forgotten() {
    let mut world = World::begin();
    world.run(60, [200, 100], 50, 0);
    let peak = world.wall;
    world.skip(HOUR);
    world.run(60, [20, 20], 50, 0);
    let known = world.known();
    let (rate, at) = known.rate.unwrap();
    assert!((rate - 300.0).abs() < 1.0, "{rate}");
    assert!(at <= peak && peak.elapsed_since(at) < Duration::from_secs(HOUR));
    assert_eq!((known.in_flight.unwrap().0, known.hours.len()), (15, 2));
    assert!((known.carried.unwrap() - 200.0).abs() < 1.0, "{known:?}");
    world.skip(27 * 24 * HOUR - 2 * HOUR);
    assert!(world.known().rate.is_some());
    world.skip(48 * HOUR);
    assert_eq!(world.known(), Known::default());
    let gone = world.weeks.take_unsaved(world.wall, false);
    assert!(matches!(gone[..], [(20_000, None)]), "{gone:?}");
    assert_eq!(world.weeks.take_unsaved(world.wall, false), Vec::new());
}

#[test]
fn what_is_stored_once_makes_the_same_again() {
    let mut world = World::begin();
    for hour in 0..50 {
        world.run(100, [10 + hour, 20], 30, 0);
        world.skip(HOUR - 100);
    }
    let mut next = Weeks::default();
    for (day, kept) in world.weeks.take_unsaved(world.wall, true) {
        let json = serde_json::to_string(&*kept.unwrap()).unwrap();
        assert!(json.len() < 1_200, "{}", json.len());
        next.restore(day, Arc::new(serde_json::from_str(&json).unwrap()));
    }
    assert_eq!(next.known(world.wall), world.known());
    assert_eq!(world.known().hours.len(), 50);
}

#[test]
fn a_day_has_a_bound_whatever_comes() {
    let mut weeks = Weeks::default();
    let (name, start): (Arc<str>, _) = ("10.0.0.1:80".into(), Instant::now());
    let mut draws = crate::clock::Draws::seeded(7);
    for second in 0..24 * HOUR {
        let mut took = Distribution::default();
        took.add_many(Duration::from_micros(draws.below(60_000_000)), 1_000);
        let upstream = LookAtUpstream { name: &name, weight: 100, attempts: 1_000, bad: 0 };
        let look = Look {
            requests: draws.below(1_000_000),
            // Of every magnitude.
            in_flight: (draws.bits() >> 32 >> draws.below(32)) as u32,
            well: 1 + draws.below(10_000) as u32,
            took: Some(&took),
            upstreams: vec![upstream],
        };
        let wall = WallTime::from_millis(second * 1_000);
        weeks.note(&look, start + Duration::from_secs(second), wall);
    }
    let stored = weeks.take_unsaved(WallTime::default(), false);
    let json = serde_json::to_string(&**stored[0].1.as_ref().unwrap()).unwrap();
    assert!((1_500..6 * 1_024).contains(&json.len()), "{} {json}", json.len());
}

#[test]
fn an_hour_is_stored_when_it_grows_and_when_it_is_over() {
    let mut world = World::begin();
    let mut stored = Vec::new();
    for _ in 0..120 {
        world.run(60, [50, 50], 20, 0);
        stored.push(world.weeks.take_unsaved(world.wall, false).len());
    }
    // Its first window, and the first of the next hour.
    assert_eq!(stored.iter().sum::<usize>(), 2, "{stored:?}");
    world.run(60, [60, 60], 20, 0);
    assert_eq!(world.weeks.take_unsaved(world.wall, false).len(), 1);
    world.run(60, [61, 61], 20, 0);
    assert_eq!(world.weeks.take_unsaved(world.wall, false).len(), 0, "next to nothing is new");
    assert_eq!(world.weeks.take_unsaved(world.wall, true).len(), 1, "the process ends");
    assert_eq!(world.weeks.take_unsaved(world.wall, true).len(), 0);
}

#[test]
fn what_fails_or_is_slow_is_not_carried_well() {
    let mut world = World::begin();
    world.run(120, [50, 50], 20, 0);
    world.run(60, [90, 90], 20, 10);
    world.run(60, [80, 80], 60, 0);
    assert!((world.known().carried.unwrap() - 50.0).abs() < 1.0, "{:?}", world.known());
    world.run(60, [70, 70], 25, 0);
    assert!((world.known().carried.unwrap() - 70.0).abs() < 1.0, "{:?}", world.known());
    // Each hour has a peak of its own, below one of another hour too.
    world.skip(HOUR);
    world.run(60, [60, 60], 60, 0);
    world.run(60, [30, 30], 20, 0);
    world.run(60, [20, 20], 20, 0);
    let stored = world.weeks.take_unsaved(world.wall, true);
    let (_, day) = stored.into_iter().next_back().unwrap();
    let hours: Vec<f32> = day.unwrap().hours().map(|(_, peak)| peak.carried.round()).collect();
    assert_eq!(hours, [70.0, 30.0]);
}

#[test]
fn weights_are_respected_and_chance_on_a_light_one_is_not_taken_for_strength() {
    let mut world = World::begin();
    world.weights = [10_000, 1];
    // By its weight alone the light one would carry 200,000.
    world.run(60, [1_000, 2], 20, 0);
    assert!((world.known().carried.unwrap() - 10.0).abs() < 0.1, "{:?}", world.known());
}

#[test]
fn nothing_is_kept_of_a_window_with_a_gap_or_other_upstreams() {
    let mut world = World::begin();
    world.run(6, [500, 500], 20, 0);
    world.skip(60);
    world.run(6, [500, 500], 20, 0);
    world.names[1] = "10.0.0.3:80".into();
    world.run(6, [500, 500], 20, 0);
    assert_eq!(world.known(), Known::default());
    world.run(5, [500, 500], 20, 0);
    assert!(world.known().rate.is_some());
}

#[test]
fn a_clock_that_was_wrong_leaves_nothing_behind() {
    let mut world = World::begin();
    let right = world.wall;
    world.wall = right + Duration::from_secs(400 * 24 * HOUR);
    world.run(60, [500, 500], 20, 0);
    world.skip(10);
    world.wall = right;
    world.run(60, [5, 5], 20, 0);
    let rate = world.known().rate.unwrap().0;
    assert!((rate - 10.0).abs() < 1.0, "{rate}");
    let days: BTreeMap<_, _> = world.weeks.take_unsaved(world.wall, false).into_iter().collect();
    assert_eq!(days.keys().copied().collect::<Vec<_>>(), [20_000, 20_400]);
    assert!(days[&20_000].is_some() && days[&20_400].is_none());
}

fn now(well: &[u16], in_flight: u32, rate: f64) -> Now {
    Now { rate, in_flight, well: well.to_vec(), ..Now::default() }
}

#[test]
fn head_room_is_that_of_the_lowest_bound() {
    let room = |now: Now, doubled: Option<f64>, carried| {
        let report = Report::of(now, Known { doubled, ..Known::default() }, carried);
        let of = |it: Ceiling| {
            let percent = |room: f64| (room * 100.0).round() as i64;
            (it.by, percent(it.head_room()), percent(it.head_room_without_largest()))
        };
        report.ceiling.map(of)
    };
    let bare = now(&[100, 300], 20, 100.0);
    assert_eq!(room(bare.clone(), None, None), None);
    assert_eq!(room(bare.clone(), None, Some(50.0)), Some((By::Carried, 50, -100)));
    assert_eq!(room(bare.clone(), Some(25.0), Some(50.0)), Some((By::Doubled, 80, 20)));
    let limited = Now { upstream_limit: Some(20), ..bare.clone() };
    assert_eq!(room(limited.clone(), Some(25.0), None), Some((By::Limit, 50, 0)));
    let shared = Now { pool_limit: Some(25), ..limited };
    assert_eq!(room(shared, None, None), Some((By::Limit, 20, 0)));
    let alone = Now { pool_limit: Some(25), ..now(&[100], 5, 9.0) };
    assert_eq!(room(alone, None, None), Some((By::Limit, 80, -100)));
    assert_eq!(room(now(&[], 0, 0.0), Some(1.0), Some(1.0)), None);
}

#[test]
fn a_change_is_warned_of_from_four_fifths_on() {
    let (blue, green): (Arc<str>, Arc<str>) = ("blue".into(), "green".into());
    let carried = [(blue.clone(), 100.0), (green.clone(), 90.0)];
    let of = |rate, share, weights: &[u16], hours| {
        let target = Target { pool: &green, share, weights: weights.to_vec() };
        Overload::of(rate, &target, &carried, hours)
    };
    assert_eq!(of(160.0, 1.0, &[100, 100], 24), None);
    let found = of(162.0, 1.0, &[100, 100], 24).unwrap();
    assert_eq!(
        found.to_string(),
        "each of the 2 upstreams of pool `green` would get 81 requests a second, 81 % of the most that one \
         has carried well in 28 days (100, in `blue`)"
    );
    assert_eq!(of(162.0, 1.0, &[100, 100], 23), None, "not a day");
    assert_eq!(of(162.0, 0.5, &[100, 100], 24), None, "half of it");
    assert_eq!(of(162.0, 1.0, &[], 24), None, "nobody takes it");
    let uneven = of(300.0, 1.0, &[100, 200], 24).unwrap().to_string();
    assert!(
        uneven.starts_with("the heaviest of the 2 upstreams of pool `green` would get 200 "),
        "{uneven}"
    );
    assert!(
        uneven.contains("100 % of the most that one has carried well in 28 days (200, in"),
        "{uneven}"
    );
    assert_eq!(of(300.0, 1.0, &[100, 300], 24), None, "by weight that is 75");
    let alone = of(9.0, 1.0, &[10], 24).unwrap().to_string();
    assert!(alone.starts_with("the only upstream of pool `green` would get 9.0 "), "{alone}");
    let none = Target { pool: &green, share: 1.0, weights: vec![100] };
    assert_eq!(Overload::of(1e6, &none, &[], 600), None, "without a past nothing is said");
}

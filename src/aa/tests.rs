use std::cell::RefCell;
use std::collections::HashMap;

use super::*;
use crate::clock::Draws;
use crate::recording::worlds::seeded;
use crate::recording::{Minute, Recording};
use crate::split::BasisPoints;

fn settings(first: u16) -> RolloutSettings {
    let steps = [first, 10_000].map(|share| BasisPoints::new(share).unwrap());
    RolloutSettings { steps: steps.to_vec(), ..RolloutSettings::default() }
}

/// Trials one after the other, of upstreams in turn and of many recordings of one world.
fn trials(count: u64, first: u16, fails: impl Fn(usize, usize, &mut Draws) -> f64) -> Tally {
    let (settings, mut tally, mut recording) = (settings(first), Tally::default(), None);
    for number in 0..count {
        // Each upstream once in each of them.
        if number % 4 == 0 {
            recording = Some(seeded(number + 1, (16, 4, 50.0), &fails));
        }
        let (begun, _) = Trial::begin(recording.as_ref().unwrap(), &settings, tally.turn);
        let mut trial = begun.unwrap();
        let is_taken_back = loop {
            if let (Some(ended), _) = trial.step() {
                break ended;
            }
        };
        tally.note(&trial.canary().clone(), is_taken_back);
    }
    tally
}

/// Each stalls now and then by itself, and all of them together.
fn bursts(at: usize, _: usize, draws: &mut Draws) -> f64 {
    match draws.unit() {
        _ if at % 200 < 2 => 0.5,
        chance if chance < 1.0 / 30.0 => 0.3,
        _ => 0.001,
    }
}

#[test]
fn upstreams_that_are_alike_are_kept() {
    for first in [100, 2_500] {
        let tally = trials(120, first, bursts);
        let Counts { total, bad } = tally.counts();
        // One in a hundred at most; ten of 120 would be one in 10⁶ then.
        assert!(total == 120 && bad <= 2 && !tally.is_broken(), "{first}: {bad} of {total}");
        assert!(tally.words().starts_with(&format!("{} of 120 kept", total - bad)), "{tally:?}");
    }
}

#[test]
fn one_that_is_bad_for_good_is_told_by_its_name() {
    let tally = trials(48, 2_500, |_, place, _| if place == 2 { 0.04 } else { 0.001 });
    assert!(tally.is_broken(), "{}", tally.words());
    let (name, times) = tally.worst().unwrap();
    assert!(&**name == "10.0.0.2:80" && times >= 10, "{name} {times}");
    let words = tally.words();
    assert!(words.contains(" taken back (") && words.contains("10.0.0.2:80 was it"), "{words}");
    // It is told when it begins to be so, and then no more.
    let (mut told, mut tally) = (0, Tally::default());
    for _ in 0..20 {
        told += u64::from(tally.note(&"a".into(), true));
    }
    assert_eq!(told, 1);
    for _ in 0..3_000 {
        told += u64::from(tally.note(&"a".into(), false));
    }
    assert!(!tally.is_broken() && told == 1, "what was long ago counts no more: {tally:?}");
    for _ in 0..100 {
        told += u64::from(tally.note(&"a".into(), true));
    }
    assert_eq!(told, 2);
}

#[test]
fn what_it_says_is_what_was_shown() {
    let note = |kept: u64, taken_back: u64| {
        let mut tally = Tally::default();
        for number in 0..kept + taken_back {
            tally.note(&"a".into(), number >= kept);
        }
        tally.words()
    };
    assert_eq!(note(0, 0), "no trial yet: it takes five minutes, after ten that are recorded");
    assert_eq!(note(5, 0), "5 of 5 kept; 300 are needed to say 1 %, about a day");
    assert_eq!(note(287, 0), "287 of 287 kept; 300 are needed to say 1 %, about 2h");
    assert_eq!(note(300, 0), "300 of 300 kept: at most 1.0 % are taken back by mistake (95 %)");
    assert_eq!(note(598, 2), "598 of 600 kept: 0.1 % to 1.2 % are taken back (95 %)");
    let one = note(9, 1);
    assert!(one.starts_with("9 of 10 kept: "), "one says nothing: {one}");
    let alone = Tally { why_not: Some(NoTrial::Alone), ..Tally::default() };
    assert_eq!(alone.words(), "needs a second upstream");
    let text = serde_json::to_string(&alone).unwrap();
    assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), alone);
}

#[test]
fn without_a_second_upstream_or_enough_minutes_there_is_no_trial() {
    let begin = |recording: &Recording| Trial::begin(recording, &settings(100), 0).0.err();
    let calm = |_: usize, _: usize, _: &mut Draws| 0.001;
    assert_eq!(begin(&Recording::default()), Some(NoTrial::TooShort));
    assert_eq!(begin(&seeded(1, (14, 3, 5.0), calm)), Some(NoTrial::TooShort));
    assert_eq!(begin(&seeded(1, (1, 1, 5.0), calm)), Some(NoTrial::Alone));
    assert_eq!(begin(&seeded(1, (15, 1, 5.0), calm)), Some(NoTrial::Alone));
    assert_eq!(begin(&seeded(1, (15, 3, 0.0), calm)), Some(NoTrial::Silent));
    let mut broken = seeded(1, (15, 3, 5.0), calm);
    assert_eq!(begin(&broken), None);
    let minute = Minute { follows: false, ..(*broken.minutes[12]).clone() };
    broken.minutes[12] = minute.into();
    assert_eq!(begin(&broken), Some(NoTrial::TooShort));
}

/// What is known of services that all have the same recording, whose newest minute has a number.
struct Same {
    recording: Recording,
    newest: u64,
    tallies: RefCell<HashMap<String, Tally>>,
}

impl Known for Same {
    fn tally(&self, service: &str) -> Tally {
        self.tallies.borrow().get(service).cloned().unwrap_or_default()
    }

    fn newest(&self, _: &str) -> Option<u64> {
        Some(self.newest)
    }

    fn recording(&self, _: &str) -> Recording {
        self.recording.clone()
    }
}

#[test]
fn work_has_a_bound_and_each_service_has_its_turn() {
    let recording = seeded(3, (16, 10, 5.0), |_, _, _| 0.001);
    let newest = recording.minutes[15].number;
    let mut known = Same { recording, newest, tallies: RefCell::default() };
    let names: Vec<Arc<str>> = (0..50).map(|number| format!("s{number}").into()).collect();
    let settings = settings(500);
    let services: Vec<(&Arc<str>, &RolloutSettings)> =
        names.iter().map(|name| (name, &settings)).collect();
    let mut checks = Checks::default();
    let run = |checks: &mut Checks, known: &Same, ticks: usize| {
        let (mut most, mut all) = (0, 0);
        for _ in 0..ticks {
            let (concluded, done) = checks.tick(&services, known);
            (most, all) = (most.max(done), all + done);
            for Concluded { service, tally, .. } in concluded {
                known.tallies.borrow_mut().insert(service.to_string(), tally);
            }
        }
        (most, all)
    };
    // 660 seconds of 11 units and 300 of 51, and what it takes to read them: 23,300 a trial.
    let (most, all) = run(&mut checks, &known, 600);
    assert!(most <= WORK + 400, "{most}");
    let counts: Vec<u64> = names.iter().map(|name| known.tally(name).counts().total).collect();
    assert!(counts.iter().all(|count| *count == 1), "{counts:?}");
    assert!((50 * 21_000..50 * 26_000).contains(&all), "{all}");
    // Nothing is due before there are five minutes more.
    assert_eq!(run(&mut checks, &known, 3), (80, 240));
    known.newest += 5;
    let (_, more) = run(&mut checks, &known, 600);
    assert!(more > 50 * 21_000);
    let turns: Vec<Option<u64>> = names.iter().map(|name| known.tally(name).looked).collect();
    assert!(turns.iter().all(|looked| *looked == Some(known.newest)));
    // Other settings, other counts.
    let judged = known.tally("s1").for_settings(&self::settings(1_000), 20);
    assert_eq!((judged.counts().total, judged.turn, judged.since), (0, 2, Some(20)));
}

#[test]
fn many_upstreams_cost_no_more_over_time_than_few() {
    let recording = seeded(3, (16, 60, 1.0), |_, _, _| 0.001);
    let newest = recording.minutes[15].number;
    let known = Same { recording, newest, tallies: RefCell::default() };
    let (names, settings) = (["a", "b", "c"].map(Arc::<str>::from), settings(500));
    let services: Vec<_> = names.iter().map(|name| (name, &settings)).collect();
    let (mut checks, mut done) = (Checks::default(), Vec::new());
    for second in 1..=60 {
        done.push(checks.tick(&services, &known).1);
        let all: usize = done.iter().sum();
        // To begin one reads five minutes of sixty upstreams, twice.
        assert!(all <= second * WORK + 2 * 3 * 5 * 60 + 4, "{done:?}");
    }
    assert!(done.iter().sum::<usize>() > 59 * WORK, "and none of it is left: {done:?}");
}

/// With these words for what is bad.
fn failing(words: &[&str]) -> RolloutSettings {
    let mut settings = settings(2_500);
    settings.judging.errors = Some(words.iter().map(|word| word.to_string()).collect());
    settings
}

#[test]
fn what_counts_as_a_failure_is_part_of_the_settings_and_a_trial_of_others_is_dropped() {
    let recording = seeded(3, (16, 3, 5.0), |_, _, _| 0.001);
    let newest = recording.minutes[15].number;
    let mut known = Same { recording, newest, tallies: RefCell::default() };
    let (name, mut checks) = (Arc::<str>::from("s"), Checks::default());
    let tick = |checks: &mut Checks, known: &Same, settings: &RolloutSettings| {
        let (concluded, _) = checks.tick(&[(&name, settings)], known);
        for Concluded { service, tally, .. } in concluded {
            known.tallies.borrow_mut().insert(service.to_string(), tally);
        }
    };
    let (own, other) = (failing(&["429"]), failing(&["429", "404"]));
    (0..20).for_each(|_| tick(&mut checks, &known, &own));
    assert_eq!(known.tally("s").counts().total, 1);
    // One is under way when the file says something else.
    let more = |known: &mut Same, minutes: u64| {
        for _ in 0..minutes {
            known.newest += 1;
            let minute = Minute { number: known.newest, ..(*known.recording.minutes[15]).clone() };
            known.recording.minutes.push(minute.into());
        }
    };
    more(&mut known, 5);
    tick(&mut checks, &known, &own);
    (0..20).for_each(|_| tick(&mut checks, &known, &other));
    assert_eq!(known.tally("s").counts().total, 0, "it is of the old settings, and it is dropped");
    // What was recorded until then was counted by the old words.
    for (minutes, trials) in [(5, 0), (5, 0), (5, 1)] {
        more(&mut known, minutes);
        (0..20).for_each(|_| tick(&mut checks, &known, &other));
        assert_eq!(known.tally("s").counts().total, trials, "{:?}", known.tally("s"));
    }
}

//! Recordings played again: worlds are recorded as a proxy records them.

use super::*;
use crate::clock::Draws;
use crate::recording::Recording;
use crate::recording::worlds::recording;

/// A rollout of what was recorded, of a canary that fails so much more and takes so many times as long.
fn replay(recording: &Recording, more: f64, times: f64) -> Scenario {
    let recorded = Arc::new(Recorded::of(recording, "blue").unwrap());
    let stable = Behaviour { errors: 0.0, latency: Latency::default() };
    let latency = stable.latency.times(times).unwrap();
    let canary = Behaviour { errors: more, latency };
    let upstreams = [recorded.upstreams() as u32 - 1, 1];
    Scenario { stable, canary, upstreams, recorded: Some(recorded), ..scenario(0.0) }
}

/// Each upstream fails a third of a second's requests each half a minute, and all of them half of two seconds'
/// each five minutes.
fn bursts(at: usize, _: usize, draws: &mut Draws) -> f64 {
    match draws.unit() {
        _ if at % 300 < 2 => 0.5,
        chance if chance < 1.0 / 30.0 => 0.3,
        _ => 0.001,
    }
}

#[test]
fn a_canary_that_is_as_was_recorded_stays_and_one_that_is_worse_goes_back() {
    let recording = recording(12, 10, 50.0, bursts);
    let identical = runs(replay(&recording, 0.0, 1.0), 60);
    assert!(identical.rolled_back.count <= 2, "{identical:?}");
    assert!(identical.promoted.count >= 50, "{identical:?}");
    let worse = runs(replay(&recording, 0.05, 1.0), 20);
    assert!(worse.rolled_back.count >= 19, "{worse:?}");
    let slower = runs(replay(&recording, 0.0, 1.5), 20);
    assert!(slower.rolled_back.count >= 19 && slower.by[0].0.starts_with('p'), "{slower:?}");
    let rehearsal = Rehearsal::of(replay(&recording, 0.0, 1.0)).unwrap();
    assert_eq!(rehearsal.run(3), rehearsal.run(3));
}

#[test]
fn one_upstream_plays_both_versions() {
    let recording = recording(10, 1, 200.0, |_, _, _| 0.001);
    let mut scenario = replay(&recording, 0.0, 1.0);
    scenario.upstreams = [1, 1];
    let summary = runs(scenario, 20);
    assert!(summary.promoted.count >= 19, "{summary:?}");
}

#[test]
fn a_second_is_its_own_only_if_chance_would_not_make_it_so() {
    let recorded = |fails: fn(usize, usize, &mut Draws) -> f64| {
        Recorded::of(&recording(20, 2, 50.0, fails), "blue").unwrap()
    };
    let chances = |recorded: &Recorded| -> Vec<f64> {
        let seconds = 0..recorded.length();
        seconds.map(|second| recorded.tracks()[0].at(second).fails).collect()
    };
    let calm = chances(&recorded(|_, _, _| 0.01));
    assert!(calm.iter().all(|chance| *chance == calm[0]), "independent failures have one rate");
    assert!((0.008..0.012).contains(&calm[0]), "{}", calm[0]);
    let stalls = recorded(|at, _, _| if at % 30 == 7 { 0.4 } else { 0.001 });
    let found = chances(&stalls);
    let stalled = found.iter().filter(|chance| **chance > 0.2).count();
    assert_eq!(stalled, 40);
    assert!(found.iter().filter(|chance| **chance < 0.003).count() == 1_200 - 40);
    assert!((0.012..0.016).contains(&stalls.errors()), "{}", stalls.errors());
    // Too little in any second, and too much in ten of them.
    let long = chances(&recorded(|at, _, _| if at % 300 < 10 { 0.03 } else { 0.0005 }));
    let worse = long.iter().filter(|chance| **chance > 0.015).count();
    assert!((20..=60).contains(&worse), "{worse}");
}

#[test]
fn what_is_too_short_or_silent_is_refused() {
    let short = Recorded::of(&recording(9, 2, 50.0, |_, _, _| 0.0), "blue").unwrap_err();
    assert_eq!(
        short.to_string(),
        "9 minutes of it are recorded, 10 minutes are needed: what is seldom has not been seen yet"
    );
    let silent = recording(10, 2, 0.0, |_, _, _| 0.0);
    assert_eq!(Recorded::of(&silent, "blue"), Err(NotPlayed::Silent("`blue`".into())));
    assert!(Recorded::of(&recording(10, 2, 5.0, |_, _, _| 0.0), "green").is_err());
}

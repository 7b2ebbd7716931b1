//! Time in which nobody looked.

use super::*;

/// A second later for the clock that it is told by, which may have been set.
fn look(trial: &mut Trial, millis: i64) {
    let now = trial.now.millis().checked_add_signed(millis).unwrap();
    trial.now = WallTime::from_millis(now);
    trial.tell(Input::Tick).unwrap();
}

const HOUR: i64 = 3_600_000;

#[test]
fn a_process_that_was_down_has_held_and_watched_nothing() {
    for (strategy, held) in [(Strategy::Canary, 60), (Strategy::BlueGreen, 600)] {
        let mut trial = Trial::after(&settings(strategy), 31);
        let share = trial.share();
        trial.crash();
        look(&mut trial, HOUR);
        // Three seconds of the hour count, as if it had only been late.
        trial.ticks(held - 30 - 3 - 1);
        assert_eq!((trial.share(), trial.outcome()), (share, "running"), "{strategy:?}");
        trial.tick();
        let gone_on = trial.share() > share || trial.words().starts_with("waits for requests");
        assert!(gone_on, "{strategy:?}: {}", trial.words());
    }
}

#[test]
fn a_target_is_given_its_time_to_become_healthy_by_a_process_that_looks() {
    let mut trial = Trial::of(&settings(Strategy::Canary));
    trial.target_ready = false;
    trial.ticks(10);
    look(&mut trial, HOUR);
    trial.ticks(106);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!(trial.outcome(), "failed");
}

#[test]
fn a_target_is_not_missing_for_as_long_as_nobody_looked() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 1);
    trial.target_ready = false;
    trial.ticks(9);
    trial.crash();
    look(&mut trial, HOUR);
    trial.ticks(9);
    assert_eq!(trial.outcome(), "running");
    trial.ticks(1);
    assert_eq!(trial.outcome(), "rolled-back");
}

#[test]
fn drains_and_proofs_of_a_rolling_rollout_wait_for_a_process_that_looks() {
    let hooks = Hooks { deploy: hook(600), ..Hooks::default() };
    let settings = RolloutSettings { hooks, ..settings(Strategy::Rolling) };
    let mut trial =
        Trial::wishing(&settings, &Wishes { to: Some(BLUE.into()), ..Wishes::default() });
    trial.upstream("a").in_flight = 1;
    trial.ticks(11);
    look(&mut trial, HOUR);
    assert_eq!(trial.begun, []);
    trial.ticks(16);
    assert_eq!(trial.begun, []);
    trial.tick();
    assert_eq!(trial.begun.len(), 1);
    trial.come_back = false;
    trial.pass_all();
    look(&mut trial, HOUR);
    trial.ticks(116);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!(trial.outcome(), "paused");
}

#[test]
fn a_task_is_not_lost_because_nobody_could_hear_of_it() {
    let hooks = Hooks { before_start: hook(10), ..Hooks::default() };
    let mut trial = Trial::of(&RolloutSettings { hooks, ..settings(Strategy::Canary) });
    look(&mut trial, HOUR);
    trial.ticks(36);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!(trial.outcome(), "failed");
}

#[test]
fn a_clock_that_was_set_makes_nothing_last_longer_or_shorter() {
    for set in [-HOUR, -1, HOUR] {
        let mut trial = Trial::after(&settings(Strategy::Canary), 31);
        look(&mut trial, set);
        // Three seconds count if it was set forward, none if it was set back.
        let counted = if set > 0 { 3 } else { 0 };
        trial.ticks(30 - counted - 1);
        assert_eq!(trial.share(), 1, "{set}");
        trial.tick();
        assert_eq!(trial.share(), 10, "{set}");
    }
}

#[test]
fn a_pause_is_left_out_whatever_happens_to_the_clock_meanwhile() {
    for set in [-HOUR, HOUR] {
        let mut trial = Trial::after(&settings(Strategy::Canary), 31);
        trial.order(Order::Pause).unwrap();
        trial.ticks(5);
        look(&mut trial, set);
        trial.ticks(100);
        trial.order(Order::Resume).unwrap();
        trial.ticks(29);
        assert_eq!(trial.share(), 1, "{set}");
        trial.tick();
        assert_eq!(trial.share(), 10, "{set}");
    }
}

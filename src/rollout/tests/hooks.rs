//! Hooks that pass, fail, are lost and are begun again.

use super::*;

fn with(hooks: Hooks) -> RolloutSettings {
    RolloutSettings { hooks, ..settings(Strategy::Canary) }
}

fn before_step() -> Hooks {
    Hooks { before_step: hook(10), ..Hooks::default() }
}

/// A canary at its first share that waits for the hook before its second.
fn before_second() -> Trial {
    let mut trial = Trial::of(&with(before_step()));
    trial.ticks(61);
    assert_eq!(trial.log(), ["shift 1", "begin hook before_step"]);
    trial
}

#[test]
fn what_fails_before_any_traffic_has_moved_ends_it() {
    let start = Hooks { before_start: hook(10), ..Hooks::default() };
    let expand = Hooks { expand: hook(10), ..Hooks::default() };
    let asks = RolloutSettings { smoke: vec![smoke(5)], ..settings(Strategy::BlueGreen) };
    for (plan, why) in [
        (with(start), "hook before_start failed: no"),
        (with(expand), "hook expand failed: no"),
        (asks, "smoke requests failed: no"),
    ] {
        let mut trial = Trial::of(&plan);
        trial.tick();
        trial.fail_one();
        assert_eq!((trial.outcome(), trial.share()), ("failed", 0), "{why}");
        assert!(trial.words().contains(why), "{}", trial.words());
    }
}

#[test]
fn a_gate_that_says_no_pauses_and_is_asked_again_on_resume() {
    for (point, plan) in [
        ("before_step", with(before_step())),
        ("before_promote", with(Hooks { before_promote: hook(10), ..Hooks::default() })),
        ("contract", with(Hooks { contract: hook(10), ..Hooks::default() })),
    ] {
        let mut trial = Trial::of(&plan);
        while trial.begun.is_empty() {
            trial.tick();
        }
        let share = trial.share();
        trial.fail_one();
        assert_eq!(trial.words(), format!("paused: hook {point} failed: no"));
        trial.ticks(1_000);
        assert_eq!((trial.outcome(), trial.share()), ("paused", share));
        trial.log();
        trial.order(Order::Resume).unwrap();
        assert_eq!(trial.log(), [format!("begin hook {point}")]);
        trial.run_out();
        assert_eq!((trial.outcome(), trial.share()), ("promoted", 100));
    }
}

#[test]
fn a_hook_that_passes_during_a_pause_lets_it_go_on_afterwards() {
    let mut trial = before_second();
    trial.order(Order::Pause).unwrap();
    trial.pass_all();
    trial.ticks(100);
    assert_eq!(trial.share(), 1);
    trial.crash();
    assert_eq!(trial.begun, [], "it has passed");
    trial.order(Order::Resume).unwrap();
    assert_eq!(trial.share(), 10);
}

#[test]
fn a_hook_that_fails_during_a_pause_is_asked_again_on_resume() {
    let mut trial = before_second();
    trial.order(Order::Pause).unwrap();
    trial.fail_one();
    trial.crash();
    assert_eq!(trial.begun, [], "it has failed");
    trial.order(Order::Resume).unwrap();
    assert_eq!((trial.share(), trial.begun.len()), (1, 1));
    trial.pass_all();
    assert_eq!(trial.share(), 10);
}

#[test]
fn a_hook_that_passes_while_the_target_fails_gives_it_nothing() {
    let mut trial = before_second();
    trial.verdict = fail();
    trial.pass_all();
    assert_eq!((trial.outcome(), trial.share()), ("rolled-back", 0));
    let mut trial = before_second();
    (trial.verdict, trial.way_back) = (fail(), way_back(false));
    trial.pass_all();
    assert_eq!((trial.outcome(), trial.share()), ("paused", 1));
    (trial.verdict, trial.way_back) = (pass(), way_back(true));
    trial.order(Order::Resume).unwrap();
    assert_eq!(trial.share(), 10);
}

#[test]
fn hooks_that_hold_nothing_up_are_only_told_of() {
    let hooks = Hooks { after_promote: hook(10), after_rollback: hook(10), ..Hooks::default() };
    let mut trial = Trial::of(&RolloutSettings { hooks, ..settings(Strategy::BlueGreen) });
    trial.tick();
    assert_eq!(trial.log(), ["shift 100", "begin hook after_promote"]);
    trial.fail_one();
    assert_eq!(trial.log(), ["Warning: rollout 7: hook after_promote failed: no"]);
    trial.ticks(601);
    assert_eq!((trial.outcome(), trial.share()), ("promoted", 100));
}

#[test]
fn what_had_begun_is_begun_again_after_a_crash_under_its_first_name() {
    let mut trial = before_second();
    let task = trial.begun[0].clone();
    let asked = trial.rollout.asked(&task);
    trial.tick();
    trial.crash();
    assert_eq!((&trial.begun, trial.rollout.asked(&task)), (&vec![task.clone()], asked));
    trial.fail_one();
    trial.order(Order::Resume).unwrap();
    assert_ne!(trial.rollout.asked(&task), asked, "it is asked anew");
}

#[test]
fn a_rollout_that_has_just_ended_still_tells_so_after_a_crash() {
    let hooks = Hooks { after_promote: hook(10), after_rollback: hook(10), ..Hooks::default() };
    let settings = RolloutSettings {
        hooks,
        watch: Duration::ZERO,
        drain: Duration::ZERO,
        ..settings(Strategy::BlueGreen)
    };
    let (promoted, back) =
        (Task::Hook(HookPoint::AfterPromote), Task::Hook(HookPoint::AfterRollback));
    let mut trial = Trial::of(&settings);
    trial.ticks(2);
    assert_eq!(trial.outcome(), "promoted");
    trial.crash();
    assert_eq!(trial.begun, [promoted]);
    trial.fail_one();
    assert!(!trial.rollout.is_pending());
    trial.crash();
    assert_eq!(trial.begun, []);
    // What was taken back is not told as promoted.
    let mut trial = Trial::of(&RolloutSettings { watch: seconds(60), ..settings });
    trial.tick();
    trial.order(Order::Abort).unwrap();
    trial.crash();
    assert_eq!(trial.begun, [back]);
}

#[test]
fn a_task_that_nobody_hears_of_any_more_has_failed() {
    let mut trial = before_second();
    trial.ticks(39);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    let words = trial.words();
    assert_eq!(words, "paused: hook before_step failed: nobody has told its end for 40s");
    // What it says after all is not waited for.
    trial.pass_all();
    assert_eq!((trial.outcome(), trial.share()), ("paused", 1));
    trial.order(Order::Resume).unwrap();
    trial.pass_all();
    assert_eq!(trial.share(), 10);
}

#[test]
fn smoke_requests_have_the_time_that_all_of_them_may_take() {
    let smoke = vec![smoke(5), smoke(15)];
    let mut trial = Trial::of(&RolloutSettings { smoke, ..settings(Strategy::BlueGreen) });
    trial.tick();
    trial.ticks(3 * 20 + 29);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!(trial.outcome(), "failed");
}

#[test]
fn what_is_begun_again_after_a_crash_has_its_whole_time() {
    let mut trial = before_second();
    trial.ticks(39);
    trial.crash();
    trial.ticks(39);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!(trial.outcome(), "paused");
}

#[test]
fn a_store_of_an_older_version_says_only_at_which_stage_it_is() {
    let mut trial = before_second();
    let mut stored = serde_json::to_value(StoredRollout::of(&trial.rollout)).unwrap();
    for added in ["pending", "looked"] {
        stored.as_object_mut().unwrap().remove(added).unwrap();
    }
    let asked = trial.rollout.asked(&trial.begun[0]);
    let stored: StoredRollout = serde_json::from_value(stored).unwrap();
    trial.rollout = stored.read().unwrap();
    trial.begun = trial.rollout.resume(trial.now);
    assert_eq!(trial.begun, [Task::Hook(HookPoint::BeforeStep)]);
    assert_eq!(trial.rollout.asked(&trial.begun[0]), asked);
    trial.pass_all();
    assert_eq!(trial.share(), 10);
}

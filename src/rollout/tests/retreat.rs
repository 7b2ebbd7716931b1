//! Every way back.

use super::*;

fn gated() -> RolloutSettings {
    let hooks = Hooks {
        before_start: hook(10),
        expand: hook(10),
        before_step: hook(10),
        before_promote: hook(10),
        after_rollback: hook(10),
        ..Hooks::default()
    };
    RolloutSettings { hooks, smoke: vec![smoke(5)], ..settings(Strategy::Canary) }
}

/// How far a gated canary is after so many answers of its hooks and so many ticks; the share then.
const STAGES: [(&str, usize, u64, u16); 9] = [
    ("waits for hook before_start", 0, 0, 0),
    ("waits for hook expand", 1, 0, 0),
    ("waits for pool", 2, 0, 0),
    ("makes smoke requests", 2, 1, 0),
    ("holds 1 %", 3, 0, 1),
    ("waits for hook before_step at 1 %", 3, 60, 1),
    ("holds 10 %", 4, 0, 10),
    ("waits for hook before_promote at 10 %", 4, 60, 10),
    ("all traffic is on `green`", 5, 0, 100),
];

/// A canary at a stage of [`STAGES`].
fn at(stage: usize) -> Trial {
    let mut trial = Trial::of(&gated());
    let mut passed = 0;
    for (words, answers, ticks, share) in &STAGES[..=stage] {
        while passed < *answers {
            trial.pass_one();
            passed += 1;
        }
        trial.ticks(*ticks);
        assert!(trial.words().contains(words), "{} instead of {words}", trial.words());
        assert_eq!(trial.share(), *share);
    }
    trial.log();
    trial
}

impl Trial {
    fn pass_one(&mut self) {
        let task = self.begun[0].clone();
        self.done(&task, agreed());
    }
}

#[test]
fn it_can_be_aborted_at_every_stage_and_goes_back_if_traffic_had_moved() {
    for (stage, (words, _, _, share)) in STAGES.iter().enumerate() {
        let mut trial = at(stage);
        trial.order(Order::Abort).unwrap();
        assert_eq!((trial.outcome(), trial.share()), ("aborted", 0), "{words}");
        let moved = ["shift 0", "begin hook after_rollback"];
        let moved = if *share > 0 { &moved[..] } else { &[] };
        assert_eq!(trial.log()[..moved.len()], *moved, "{words}");
        assert_eq!(trial.rollout.is_pending(), *share > 0, "{words}");
    }
}

#[test]
fn a_failing_target_is_taken_back_from_every_stage_in_which_it_has_traffic() {
    for (stage, (words, _, _, share)) in STAGES.iter().enumerate() {
        let mut trial = at(stage);
        trial.verdict = fail();
        trial.tick();
        let expected = if *share > 0 { "rolled-back" } else { "running" };
        assert_eq!((trial.outcome(), trial.share()), (expected, 0), "{words}");
    }
}

#[test]
fn a_paused_canary_is_taken_back_all_the_same() {
    let mut trial = at(4);
    trial.order(Order::Pause).unwrap();
    trial.verdict = fail();
    trial.tick();
    assert_eq!((trial.outcome(), trial.share()), ("rolled-back", 0));
}

#[test]
fn a_target_that_nobody_takes_requests_for_is_taken_back_after_ten_seconds() {
    for (stage, (words, _, _, share)) in STAGES.iter().enumerate().filter(|(_, stage)| stage.3 > 0)
    {
        let mut trial = at(stage);
        trial.target_ready = false;
        trial.ticks(10);
        assert_eq!((trial.outcome(), trial.share()), ("running", *share), "{words}");
        trial.tick();
        assert_eq!((trial.outcome(), trial.share()), ("rolled-back", 0), "{words}");
    }
}

#[test]
fn a_target_that_comes_back_in_time_stays() {
    let mut trial = at(4);
    for _ in 0..5 {
        trial.target_ready = false;
        trial.ticks(10);
        trial.target_ready = true;
        trial.tick();
    }
    assert_eq!(trial.share(), 1);
}

#[test]
fn it_waits_where_it_is_while_nobody_would_take_what_goes_back() {
    let mut trial = at(6);
    trial.log();
    (trial.way_back, trial.verdict) = (WayBack::NotKnown, fail());
    trial.ticks(1);
    assert_eq!((trial.outcome(), trial.share(), trial.log()), ("running", 10, vec![]));
    trial.way_back = way_back(false);
    trial.ticks(3);
    assert_eq!((trial.outcome(), trial.share()), ("paused", 10));
    assert!(trial.words().contains("but pool `blue` has no upstream"), "{}", trial.words());
    let log = trial.log();
    assert!(log.len() == 1 && log[0].starts_with("Alarm: "), "{log:?}");
    let refused = trial.order(Order::Resume).unwrap_err();
    assert!(refused.why.contains("60 of 500 requests failed"), "{}", refused.why);
    trial.way_back = way_back(true);
    trial.tick();
    assert_eq!((trial.outcome(), trial.share()), ("rolled-back", 0));
}

#[test]
fn what_fails_goes_no_further_while_its_way_back_is_not_known() {
    for stage in 0..STAGES.len() {
        let mut trial = at(stage);
        let before = (trial.words(), trial.share());
        if before.1 == 0 {
            continue;
        }
        (trial.way_back, trial.verdict) = (WayBack::NotKnown, fail());
        trial.ticks(1_000);
        assert_eq!(trial.share(), before.1, "{}", before.0);
        assert!(["running", "paused"].contains(&trial.outcome()), "{}", before.0);
        trial.way_back = way_back(true);
        trial.tick();
        assert_eq!((trial.outcome(), trial.share()), ("rolled-back", 0), "{}", before.0);
    }
}

#[test]
fn that_there_is_no_way_back_is_told_though_somebody_has_paused_it() {
    let mut trial = at(6);
    trial.order(Order::Pause).unwrap();
    trial.log();
    (trial.way_back, trial.verdict) = (way_back(false), fail());
    trial.ticks(3);
    let log = trial.log();
    assert!(log.len() == 1 && log[0].starts_with("Alarm: "), "{log:?}");
}

#[test]
fn where_nobody_answers_on_either_side_it_goes_back() {
    let mut trial = at(6);
    (trial.way_back, trial.verdict, trial.target_answers) = (way_back(false), fail(), false);
    trial.tick();
    assert_eq!((trial.outcome(), trial.share()), ("rolled-back", 0));
}

#[test]
fn a_target_that_does_not_become_healthy_gets_nothing() {
    let mut trial = Trial::of(&settings(Strategy::Canary));
    trial.target_ready = false;
    trial.ticks(119);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!((trial.outcome(), trial.share()), ("failed", 0));
    assert!(trial.words().contains("was not healthy within 2m"), "{}", trial.words());
}

#[test]
fn what_ends_while_a_hook_runs_does_not_wait_for_it() {
    let mut trial = at(5);
    trial.verdict = fail();
    trial.tick();
    trial.log();
    let late = Task::Hook(HookPoint::BeforeStep);
    trial.done(&late, agreed());
    assert_eq!((trial.outcome(), trial.share(), trial.log()), ("rolled-back", 0, vec![]));
}

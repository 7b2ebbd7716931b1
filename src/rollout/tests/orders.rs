//! What operators order.

use super::*;

#[test]
fn a_pause_is_no_part_of_a_hold() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 31);
    trial.order(Order::Pause).unwrap();
    assert!(trial.order(Order::Pause).is_err());
    trial.ticks(1_000);
    assert_eq!((trial.share(), trial.words().as_str()), (1, "paused: by bob"));
    trial.order(Order::Resume).unwrap();
    assert!(trial.order(Order::Resume).is_err());
    trial.ticks(29);
    assert_eq!(trial.share(), 1);
    trial.tick();
    assert_eq!(trial.share(), 10);
}

#[test]
fn a_pause_is_no_part_of_a_watch() {
    let mut trial = Trial::after(&settings(Strategy::BlueGreen), 301);
    trial.order(Order::Pause).unwrap();
    trial.ticks(1_000);
    trial.order(Order::Resume).unwrap();
    trial.ticks(299);
    assert_eq!(trial.outcome(), "running");
    trial.run_out();
    assert_eq!(trial.outcome(), "promoted");
}

#[test]
fn a_step_is_taken_at_once_and_a_promotion_goes_to_the_end() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 1);
    trial.order(Order::Step).unwrap();
    assert_eq!(trial.share(), 10);
    let mut trial = Trial::after(&settings(Strategy::Canary), 1);
    trial.order(Order::Pause).unwrap();
    trial.order(Order::Promote).unwrap();
    assert_eq!((trial.share(), trial.outcome()), (100, "running"));
    trial.order(Order::Promote).unwrap();
    trial.tick();
    assert_eq!((trial.share(), trial.outcome()), (100, "promoted"), "the watch is over");
}

#[test]
fn nobody_is_given_more_of_a_target_that_fails() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 1);
    trial.verdict = fail();
    for order in [Order::Step, Order::Promote] {
        assert!(trial.order(order).unwrap_err().why.starts_with("cannot go on: 60 of 500"));
        assert_eq!(trial.share(), 1);
    }
}

#[test]
fn a_step_that_gets_too_few_requests_pauses_and_may_wait_as_long_again() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 1);
    trial.canary = Counts::default();
    trial.ticks(1_799);
    assert_eq!(trial.outcome(), "running");
    trial.tick();
    assert_eq!(trial.words(), "paused: 0 of 500 requests came in 30m: too few to go on");
    trial.order(Order::Resume).unwrap();
    trial.ticks(1_799);
    assert_eq!((trial.outcome(), trial.share()), ("running", 1));
    trial.tick();
    assert_eq!(trial.outcome(), "paused");
    trial.order(Order::Resume).unwrap();
    trial.canary.total = 100;
    trial.ticks(60);
    assert_eq!(trial.share(), 10);
}

#[test]
fn a_step_that_cannot_be_judged_says_so_when_it_pauses() {
    let mut trial = Trial::after(&settings(Strategy::Canary), 1);
    trial.verdict = Verdict::Inconclusive { evidence: "1 in 4 by chance".into() };
    trial.ticks(1_800);
    assert_eq!(trial.words(), "paused: there is no verdict after 30m: 1 in 4 by chance");
}

/// Orders are accepted when, and only when, the status names them.
#[test]
fn the_status_names_the_orders_that_make_sense() {
    let hooks = Hooks {
        before_start: hook(10),
        expand: hook(10),
        before_step: hook(10),
        before_promote: hook(10),
        contract: hook(10),
        deploy: hook(10),
        ..Hooks::default()
    };
    let orders = [
        ("pause", Order::Pause),
        ("resume", Order::Resume),
        ("step", Order::Step),
        ("promote", Order::Promote),
        ("abort", Order::Abort),
    ];
    let mut looked_at = std::collections::BTreeSet::new();
    for strategy in Strategy::ALL {
        let rolls = strategy == Strategy::Rolling;
        let wishes = Wishes { to: rolls.then(|| BLUE.into()), ..Wishes::default() };
        let settings = RolloutSettings {
            hooks: hooks.clone(),
            smoke: vec![smoke(5)],
            watch: seconds(20),
            ..settings(strategy)
        };
        let mut trial = Trial::wishing(&settings, &wishes);
        trial.come_back = false;
        while !trial.rollout.is_over() && trial.now < WallTime::from_millis(1_000_400_000) {
            for paused in [false, true] {
                let before = trial.rollout.clone();
                if paused && trial.order(Order::Pause).is_err() {
                    continue;
                }
                let verbs = trial.rollout.status(trial.now).verbs;
                looked_at.insert((trial.words(), verbs));
                for (verb, order) in orders {
                    let mut copy = trial.rollout.clone();
                    std::mem::swap(&mut trial.rollout, &mut copy);
                    let (split, begun) = (trial.split.clone(), trial.begun.clone());
                    let ready: Vec<_> = trial.upstreams.clone();
                    let accepted = trial.order(order).is_ok();
                    (trial.rollout, trial.split, trial.begun) = (copy, split, begun);
                    trial.upstreams = ready;
                    assert_eq!(accepted, verbs.contains(&verb), "{verb} of {:?}", trial.rollout);
                }
                trial.rollout = before;
            }
            trial.pass_one_or_tick();
        }
    }
    assert!(looked_at.len() > 20, "{looked_at:?}");
}

impl Trial {
    fn pass_one_or_tick(&mut self) {
        match self.begun.first().cloned() {
            Some(task) => self.done(&task, agreed()),
            None => self.tick(),
        }
    }
}

//! Rolling rollouts: one pool, upstream by upstream.

use super::*;

fn rolling(at_once: usize) -> Trial {
    let hooks = Hooks { deploy: hook(600), ..Hooks::default() };
    let settings = RolloutSettings { hooks, at_once, ..settings(Strategy::Rolling) };
    let wishes = Wishes { to: Some(BLUE.into()), ..Wishes::default() };
    Trial::wishing(&settings, &wishes)
}

fn deploy(address: &str) -> Task {
    Task::Hook(HookPoint::Deploy { upstream: address.into() })
}

#[test]
fn each_upstream_is_drained_renewed_and_proven_before_the_next() {
    let mut trial = rolling(1);
    trial.upstream("a").in_flight = 2;
    trial.ticks(10);
    assert_eq!(trial.log(), ["drain a"]);
    trial.upstream("a").in_flight = 0;
    trial.tick();
    assert_eq!(trial.log(), ["begin hook deploy of `a`"]);
    trial.come_back = false;
    trial.pass_all();
    trial.ticks(50);
    assert_eq!(
        (trial.log(), trial.words()),
        (vec!["renew a".to_string()], "0 renewed, `a` has to prove healthy".into())
    );
    (trial.upstream("a").is_ready, trial.come_back) = (true, true);
    trial.tick();
    assert_eq!(trial.log(), ["drain b"]);
    trial.run_out();
    let rest = ["begin hook deploy of `b`", "renew b", "drain c"];
    assert_eq!(trial.log()[..3], rest);
    assert_eq!((trial.outcome(), trial.words()), ("promoted", "pool `blue`: 3 renewed".into()));
    assert_eq!(trial.split, Split::all_to(BLUE.into()), "it shifts nothing");
}

#[test]
fn a_drain_of_an_upstream_does_not_wait_for_ever() {
    let mut trial = rolling(1);
    trial.upstream("a").in_flight = 1;
    trial.ticks(30);
    assert_eq!(trial.log(), ["drain a"]);
    trial.tick();
    assert_eq!(trial.log(), ["begin hook deploy of `a`"]);
}

#[test]
fn as_many_are_out_at_once_as_may_be_and_somebody_always_serves() {
    let mut trial = rolling(2);
    trial.ticks(2);
    assert_eq!(trial.begun, [deploy("a"), deploy("b")]);
    trial.pass_all();
    trial.tick();
    assert_eq!(trial.log()[4..], ["renew a", "renew b", "drain c"]);
    let mut greedy = rolling(9);
    greedy.ticks(2);
    assert_eq!(greedy.begun, [deploy("a"), deploy("b")], "c serves");
    let mut alone = rolling(1);
    (alone.upstream("b").is_ready, alone.upstream("c").is_ready) = (false, false);
    alone.ticks(2);
    assert_eq!(alone.log(), ["drain b", "begin hook deploy of `b`"], "a serves alone");
}

#[test]
fn it_stops_at_the_first_that_does_not_come_back() {
    let mut trial = rolling(1);
    trial.come_back = false;
    trial.run(200);
    assert_eq!(trial.words(), "paused: `a` is not healthy within 2m");
    trial.ticks(1_000);
    assert_eq!(trial.outcome(), "paused");
    trial.log();
    trial.come_back = true;
    trial.order(Order::Resume).unwrap();
    assert_eq!(trial.log(), ["drain a", "begin hook deploy of `a`"], "it is deployed again");
    trial.run_out();
    assert_eq!((trial.outcome(), trial.words()), ("promoted", "pool `blue`: 3 renewed".into()));
}

#[test]
fn one_that_cannot_be_deployed_pauses_and_can_be_left_out() {
    let mut trial = rolling(1);
    trial.ticks(2);
    trial.fail_one();
    assert_eq!(trial.words(), "paused: hook deploy of `a` failed: no");
    trial.order(Order::Step).unwrap();
    trial.run_out();
    assert_eq!(trial.words(), "pool `blue`: 2 renewed, `a` left out");
}

#[test]
fn aborted_it_lets_back_in_what_was_only_drained_and_names_what_stays_out() {
    let mut trial = rolling(2);
    trial.upstream("b").in_flight = 1;
    trial.ticks(2);
    trial.log();
    trial.order(Order::Abort).unwrap();
    assert_eq!(
        trial.log(),
        ["Warning: rollout 7: `a` stays out", "renew b", "Warning: rollout 7 was aborted"]
    );
    assert_eq!((trial.outcome(), trial.rollout.is_pending()), ("aborted", false));
}

#[test]
fn deployments_are_begun_again_after_a_crash_and_the_lost_one_is_stuck() {
    let mut trial = rolling(2);
    trial.ticks(2);
    trial.crash();
    assert_eq!(trial.begun, [deploy("a"), deploy("b")]);
    trial.done(&deploy("b"), agreed());
    trial.ticks(630);
    let words = trial.words();
    assert_eq!(words, "paused: hook deploy of `a` failed: nobody has told its end for 10m 30s");
}

#[test]
fn an_upstream_that_left_the_pool_is_not_waited_for() {
    let mut trial = rolling(1);
    trial.ticks(2);
    trial.upstreams.remove(0);
    trial.tick();
    trial.crash();
    assert_eq!(trial.begun, []);
    trial.run_out();
    assert_eq!(trial.words(), "pool `blue`: 2 renewed");
}

#[test]
fn a_pool_that_fails_meanwhile_pauses_it_until_somebody_has_looked() {
    let mut trial = rolling(1);
    trial.ticks(2);
    trial.verdict = fail();
    trial.tick();
    assert_eq!(trial.words(), "paused: 60 of 500 requests failed");
    trial.verdict = pass();
    trial.order(Order::Resume).unwrap();
    assert_eq!(trial.rollout.seen(), (Counts::default(), Some(trial.now)), "counted anew");
    trial.run_out();
    assert_eq!(trial.outcome(), "promoted");
}

#[test]
fn superseded_it_lets_back_in_what_was_only_drained() {
    let mut trial = rolling(2);
    trial.upstream("b").in_flight = 1;
    trial.ticks(2);
    trial.log();
    trial.supersede("an edit of the file");
    assert_eq!(trial.log(), ["Warning: rollout 7: `a` stays out", "renew b"]);
    trial.crash();
    assert_eq!((trial.outcome(), &trial.begun[..]), ("superseded", &[][..]));
}

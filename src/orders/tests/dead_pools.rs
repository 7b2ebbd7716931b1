//! No traffic for the dead: neither by an order nor by a rollout that goes back.

use super::*;
use crate::judge::ledger::Noted;
use crate::snapshot::Dead;

const BLUE: [&str; 2] = ["192.0.2.1:80", "192.0.2.2:80"];
const GREEN: [&str; 1] = ["192.0.2.3:80"];

fn away(bench: &mut Bench, upstreams: &[&str]) {
    bench.away = upstreams.iter().map(|name| Arc::from(*name)).collect();
}

fn dead(pool: &str) -> Refused {
    Refused::DeadPool { pool: pool.into(), why: Dead::Refuses }
}

fn by_force() -> By {
    By { force: true, ..ada() }
}

fn flip_to(pool: &str) -> Order {
    let to = TrafficOrder::Flip { pool: pool.into() };
    Order::Shift { service: "shop".into(), to }
}

fn start_to_green() -> Order {
    Order::StartRollout { service: "shop".into(), wishes: Box::new(green()) }
}

/// Whose rollouts the guard alone takes back, at once, and which are watched for long.
fn guarded() -> String {
    let guard = "[services.shop.judge]\nenabled = false\n\n[services.shop.pools]";
    FILE.replace("watch = \"2s\"", "watch = \"1h\"").replace("[services.shop.pools]", guard)
}

/// All traffic is on green by a rollout that goes on being watched.
fn watched_at_green() -> Bench {
    let mut bench = Bench::of(&guarded());
    bench.start(&green());
    bench.ticks(1);
    assert_eq!(bench.split(), "green=100");
    bench.said();
    bench
}

/// Half of a second's requests fail on the target; the others, if there are any, are answered well.
fn fail_some(bench: &mut Bench, answers: bool) {
    let service = bench.snapshot.service("shop").unwrap();
    let target = &service.watched.as_ref().unwrap().ledger.target;
    for n in 0..200 {
        target.note(Noted { is_bad: !answers || n % 2 == 0, ..Noted::default() });
    }
    if answers {
        let now = bench.snapshot.moment(bench.now.instant);
        let green = service.pool("green").unwrap();
        green.members.list().iter().for_each(|member| member.upstream.note_answer(now));
    }
}

/// A second in which the target fails.
fn failing_second(bench: &mut Bench, answers: bool) {
    bench.pass(Duration::from_secs(1));
    fail_some(bench, answers);
    bench.tick();
}

#[test]
fn orders_to_a_dead_pool_are_refused_unless_forced() {
    let mut bench = Bench::of(FILE);
    away(&mut bench, &GREEN);
    assert_eq!(bench.order(flip_to("green"), ada()), Err(dead("green")));
    assert_eq!(bench.order(start_to_green(), ada()), Err(dead("green")));
    assert_eq!(dead("green").to_string(), "pool `green` has no upstream that accepts connections");
    assert_eq!((bench.newest(), bench.split().as_str()), (1, "blue=100"));
    bench.order(flip_to("green"), by_force()).unwrap();
    // What it went back to is dead by now.
    away(&mut bench, &BLUE);
    bench.pass(Duration::from_secs(1));
    let back = || Order::Shift { service: "shop".into(), to: TrafficOrder::Back { to: None } };
    assert_eq!(bench.order(back(), ada()), Err(dead("blue")));
    // One of two is enough.
    away(&mut bench, &BLUE[..1]);
    bench.pass(Duration::from_secs(1));
    bench.order(back(), ada()).unwrap();
    assert_eq!(bench.split(), "blue=100");
}

#[test]
fn what_came_back_since_it_refused_may_have_traffic_though_no_request_has_tried_it() {
    let mut bench = Bench::of(FILE);
    let now = bench.snapshot.moment(bench.now.instant);
    let blue = find_upstream(&bench.snapshot, "shop", "green", GREEN[0]).unwrap();
    blue.note_refused(now);
    bench.pass(Duration::from_secs(1));
    bench.order(flip_to("green"), ada()).unwrap();
}

#[test]
fn a_hook_may_start_the_target_of_a_rollout_which_then_waits_for_it() {
    let mut bench = Bench::of(&FILE.replace("deploy =", "before_start ="));
    away(&mut bench, &GREEN);
    bench.order(start_to_green(), ada()).unwrap();
    bench.done(Task::Hook(HookPoint::BeforeStart));
    bench.ticks(3);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "running"));
    away(&mut bench, &[]);
    bench.ticks(2);
    assert_eq!(bench.split(), "green=100");
}

#[test]
fn an_order_waits_for_the_checks_and_keeps_nobody_else_waiting() {
    let mut bench = Bench::of(&format!("{FILE}{API}"));
    bench.silent = [GREEN[0].into()].into();
    let flip = bench.give(flip_to("green"), ada());
    let behind = bench.give(flip_to("blue"), ada());
    let mode = ModeOrder::Maintenance { message: None };
    let other = bench.order(Order::Mode { service: "api".into(), what: mode }, ada());
    assert!(other.is_ok(), "another service's");
    for _ in 0..20 {
        bench.pass(Duration::from_millis(50));
        bench.settle();
    }
    assert_eq!((bench.replies.get(&flip), bench.replies.get(&behind)), (None, None));
    // A check that nobody answered has ended by then.
    bench.silent.clear();
    away(&mut bench, &GREEN);
    bench.settle();
    bench.run(Counts::Wait);
    assert_eq!(bench.replies.remove(&flip), Some(Err(dead("green"))));
    assert!(matches!(bench.replies.remove(&behind), Some(Ok(_))), "then it was its turn");
}

#[test]
fn what_never_comes_to_be_known_is_not_held_against_a_pool() {
    let mut bench = Bench::of(FILE);
    bench.silent = [GREEN[0].into()].into();
    let flip = bench.give(flip_to("green"), ada());
    bench.pass(Duration::from_secs(5));
    bench.settle();
    bench.run(Counts::Wait);
    assert!(matches!(bench.replies.remove(&flip), Some(Ok(_))));
}

#[test]
fn a_failing_target_goes_back_while_one_of_the_old_accepts() {
    let mut bench = watched_at_green();
    away(&mut bench, &BLUE[..1]);
    bench.ticks(2);
    failing_second(&mut bench, true);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "rolled-back"));
}

#[test]
fn it_pauses_where_none_does_and_goes_back_once_one_does() {
    let mut bench = watched_at_green();
    away(&mut bench, &BLUE);
    bench.ticks(2);
    (0..3).for_each(|_| failing_second(&mut bench, true));
    assert_eq!((bench.split().as_str(), bench.state()), ("green=100", "paused"));
    let critical: Vec<Event> =
        bench.said().into_iter().filter(|event| event.severity() == Severity::Critical).collect();
    assert_eq!(critical.len(), 1, "{critical:?}");
    let words = critical[0].words();
    assert!(words.contains("pool `blue` has no upstream that accepts connections"), "{words}");
    let abort = || {
        let what = crate::rollout::Order::Abort;
        Order::Rollout { service: "shop".into(), what }
    };
    assert_eq!(bench.order(abort(), ada()), Err(dead("blue")));
    away(&mut bench, &BLUE[..1]);
    (0..2).for_each(|_| failing_second(&mut bench, true));
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "rolled-back"));
    // Whoever insists is obeyed.
    let mut bench = watched_at_green();
    away(&mut bench, &BLUE);
    bench.ticks(2);
    bench.order(abort(), by_force()).unwrap();
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "aborted"));
}

#[test]
fn where_nobody_is_well_on_either_side_it_goes_back() {
    let mut bench = watched_at_green();
    away(&mut bench, &BLUE);
    bench.ticks(10);
    failing_second(&mut bench, false);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "rolled-back"));
}

/// The time from the first look at a failing target until it is decided, where nothing was known of the
/// old pool and its checks end so late.
fn decided_after(check: Duration, accepts: bool) -> (Duration, &'static str) {
    let mut bench = watched_at_green();
    bench.restart(&guarded(), 20);
    bench.silent = BLUE.iter().map(|name| Arc::from(*name)).collect();
    let began = bench.now.instant;
    let past = |bench: &Bench| bench.now.instant.duration_since(began);
    fail_some(&mut bench, true);
    bench.tick();
    let mut next = Duration::from_secs(1);
    while bench.state() == "running" {
        bench.pass(Duration::from_millis(50));
        if past(&bench) >= check && !bench.silent.is_empty() {
            bench.silent.clear();
            away(&mut bench, if accepts { &[] } else { &BLUE });
        }
        if past(&bench) >= next {
            next += Duration::from_secs(1);
            fail_some(&mut bench, true);
            bench.tick();
        }
        bench.settle();
        bench.run(Counts::Wait);
        assert!(past(&bench) < Duration::from_secs(10));
    }
    (past(&bench), bench.state())
}

#[test]
fn what_swallows_connections_is_decided_within_a_second_and_a_half() {
    let ms = Duration::from_millis;
    let (after, what) = decided_after(ms(1_000), false);
    assert!(after <= ms(1_500) && what == "paused", "{what} after {after:?}");
    let (after, what) = decided_after(ms(300), true);
    assert!(after <= ms(1_500) && what == "rolled-back", "{what} after {after:?}");
    // What no check of ours can find out keeps nobody waiting either.
    let (after, what) = decided_after(ms(60_000), false);
    assert!(after <= ms(1_500) && what == "rolled-back", "{what} after {after:?}");
}

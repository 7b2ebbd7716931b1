//! A disk that does not answer: what is sick loses its traffic all the same, and of everything else it
//! is known what has become of it.

use super::*;

const CANARY: &str = "steps = [10, 50, 100]\nhold = \"1h\"\n";

/// Ten percent are on green, for long.
fn at_ten_percent() -> Bench {
    let mut bench = Bench::of(&FILE.replace("strategy = \"blue-green\"\n", CANARY));
    bench.start(&green());
    bench.ticks(1);
    assert_eq!(bench.split(), "blue=90 green=10");
    bench
}

fn shift_to(green: u16) -> Order {
    let share = |percent: u16| crate::split::BasisPoints::new(percent * 100).unwrap();
    let weights = [("blue", 100 - green), ("green", green)];
    let weights = weights.map(|(pool, percent)| (pool.to_string(), share(percent)));
    Order::Shift { service: "shop".into(), to: TrafficOrder::Weights(weights.into()) }
}

fn abort() -> Order {
    Order::Rollout { service: "shop".into(), what: crate::rollout::Order::Abort }
}

fn by_force() -> By {
    By { force: true, ..ada() }
}

/// The answer to an order, once it has come.
fn answer(bench: &mut Bench, ticket: Ticket) -> Option<Result<bool, Refused>> {
    let reply = bench.replies.remove(&ticket)?;
    Some(reply.map(|answered| answered.stored == Stored::Yes))
}

fn wait(bench: &mut Bench, length: Duration) {
    bench.pass(length);
    let now = bench.now;
    bench.orders.on_time(now);
    bench.settle();
}

#[test]
fn an_abort_is_in_force_at_once_and_answered_after_half_a_second() {
    let mut bench = at_ten_percent();
    bench.disk.fail_after(0, Failure::Hangs);
    let ticket = bench.give(abort(), ada());
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "aborted"));
    wait(&mut bench, Duration::from_millis(499));
    assert_eq!(answer(&mut bench, ticket), None);
    wait(&mut bench, Duration::from_millis(1));
    assert_eq!(answer(&mut bench, ticket), Some(Ok(false)));
    wait(&mut bench, Duration::from_secs(2));
    let said = bench.said();
    assert!(said.iter().any(|event| matches!(event.kind, Kind::DiskSilent { .. })), "{said:?}");
    bench.let_go();
    let said = bench.said();
    assert!(said.iter().any(|event| matches!(event.kind, Kind::Stored { .. })), "{said:?}");
    assert!(said.iter().any(|event| matches!(event.kind, Kind::DiskAnswers { .. })), "{said:?}");
    bench.assert_stored();
}

#[test]
fn what_the_disk_has_not_begun_is_withdrawn_and_what_it_has_is_unknown() {
    let mut bench = Bench::of(&format!("{FILE}{API}"));
    bench.disk.fail_after(0, Failure::Hangs);
    let held = bench.give(shift_to(30), by_force());
    let waits = bench.give(shift_to(40), by_force());
    let other =
        Order::Mode { service: "api".into(), what: ModeOrder::Maintenance { message: None } };
    let other = bench.give(other, ada());
    assert_eq!((bench.split().as_str(), bench.orders.depth()), ("blue=100", 3));
    wait(&mut bench, Duration::from_millis(9_999));
    for ticket in [held, waits, other] {
        assert_eq!(answer(&mut bench, ticket), None);
    }
    wait(&mut bench, Duration::from_millis(1));
    assert_eq!(answer(&mut bench, held), Some(Err(Refused::Unknown { revision: Some(2) })));
    assert_eq!(answer(&mut bench, waits), Some(Err(Refused::Withdrawn)));
    assert_eq!(answer(&mut bench, other), Some(Err(Refused::Withdrawn)));
    bench.let_go();
    assert_eq!((bench.split().as_str(), bench.newest()), ("blue=70 green=30", 2));
    assert_eq!(bench.snapshot.service("api").unwrap().mode, Mode::Serve);
    bench.assert_stored();
}

#[test]
fn orders_of_a_service_wait_for_those_before_and_see_what_they_made() {
    let mut bench = Bench::of(FILE);
    bench.disk.fail_after(0, Failure::Hangs);
    let first = bench.give(shift_to(30), by_force());
    let lost = bench.give(shift_to(40), By { expected: Some(1), ..by_force() });
    let second = bench.give(shift_to(50), By { expected: Some(2), ..by_force() });
    bench.let_go();
    assert_eq!(answer(&mut bench, first), Some(Ok(true)));
    assert!(matches!(answer(&mut bench, lost), Some(Err(Refused::LostRace(_)))));
    assert_eq!(answer(&mut bench, second), Some(Ok(true)));
    assert_eq!((bench.split().as_str(), bench.newest()), ("blue=50 green=50", 3));
    bench.assert_stored();
}

#[test]
fn a_drain_of_what_is_not_well_waits_for_nothing_and_one_of_what_is_well_does() {
    let mut bench = Bench::of(FILE);
    let first = find_upstream(&bench.snapshot, "shop", "blue", "192.0.2.1:80").unwrap();
    first.set_proof(crate::upstream::Proof::Down, Moment::default());
    bench.disk.fail_after(0, Failure::Hangs);
    let well = bench.drain_later("192.0.2.3:80", "green");
    let ill = bench.drain_later("192.0.2.1:80", "blue");
    assert!(bench.is_draining("192.0.2.1:80"));
    wait(&mut bench, Duration::from_millis(500));
    assert_eq!((answer(&mut bench, ill), answer(&mut bench, well)), (Some(Ok(false)), None));
    bench.let_go();
    assert_eq!((answer(&mut bench, well), bench.standing()), (Some(Ok(true)), 2));
    bench.assert_stored();
}

#[test]
fn what_waits_gives_way_to_what_takes_traffic_back() {
    let mut bench = at_ten_percent();
    bench.disk.fail_after(0, Failure::Hangs);
    let held = bench.give(shift_to(30), by_force());
    let waits = bench.give(shift_to(40), by_force());
    let aborted = bench.give(abort(), ada());
    assert_eq!(bench.split(), "blue=100");
    assert!(matches!(answer(&mut bench, waits), Some(Err(Refused::GaveWay { .. }))));
    bench.let_go();
    let overtaken = answer(&mut bench, held);
    assert!(
        matches!(overtaken, Some(Err(Refused::Overtaken { revision: Some(3), .. }))),
        "{overtaken:?}"
    );
    assert_eq!(answer(&mut bench, aborted), Some(Ok(true)));
    assert_eq!((bench.split().as_str(), bench.newest()), ("blue=100", 4));
    bench.assert_stored();
}

#[test]
fn a_step_that_the_disk_has_in_its_hands_moves_nothing_once_the_rollout_is_aborted() {
    for fails in [false, true] {
        let file = FILE.replace("deploy =", "before_promote =");
        let mut bench = Bench::of(&file);
        bench.start(&green());
        bench.ticks(1);
        assert_eq!(bench.words(), "waits for hook before_promote at 0 %");
        bench.disk.fail_after(0, Failure::Hangs);
        bench.done(Task::Hook(HookPoint::BeforePromote));
        assert_eq!(bench.split(), "blue=100", "the step waits for the disk");
        let aborted = bench.give(abort(), ada());
        if fails {
            bench.disk.fail_after(0, Failure::Once);
        }
        bench.let_go();
        bench.ticks(2);
        assert_eq!(answer(&mut bench, aborted), Some(Ok(true)));
        assert_eq!((bench.split().as_str(), bench.newest()), ("blue=100", 3));
        bench.assert_stored();
    }
}

/// A shift, then an abort, with a disk that hangs at this write, and then answers, fails, or dies.
fn shift_then_abort(at: u64, then: Option<Failure>) -> bool {
    let mut bench = at_ten_percent();
    bench.disk.fail_after(at, Failure::Hangs);
    let shifted = bench.give(shift_to(30), by_force());
    if !bench.disk.is_hanging() && answer(&mut bench, shifted) == Some(Ok(true)) {
        // It was stored before the disk hung, so nothing is left to abort.
        return false;
    }
    let aborted = bench.give(abort(), ada());
    assert_eq!(bench.split(), "blue=100", "{at}");
    wait(&mut bench, Duration::from_millis(500));
    assert_eq!(answer(&mut bench, aborted), Some(Ok(false)), "{at}");
    if let Some(failure) = then {
        bench.disk.fail_after(0, failure);
    }
    bench.let_go();
    if bench.disk.is_dead() {
        // The process died before anything more was stored: the abort is undone, as was said.
        let disk = bench.disk.survivor(Leaves::EveryWrite);
        let file = bench.orders.config().clone();
        let next = Drive::open(disk, file, bench.now).unwrap();
        let split = next.snapshot.service("shop").unwrap().split.to_string();
        assert!(["blue=90 green=10", "blue=70 green=30"].contains(&split.as_str()), "{at} {split}");
        return true;
    }
    bench.ticks(2);
    let reply = answer(&mut bench, shifted);
    assert!(matches!(reply, Some(Err(Refused::Overtaken { .. }))), "{at} {then:?} {reply:?}");
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "aborted"), "{at}");
    assert_eq!(bench.newest(), 4, "{at}: both are numbered");
    bench.assert_stored();
    true
}

#[test]
fn an_abort_after_a_shift_stands_wherever_the_disk_hangs() {
    let mut hung = 0;
    for at in 0..40 {
        for then in [None, Some(Failure::Once), Some(Failure::Killed)] {
            hung += u64::from(shift_then_abort(at, then));
        }
    }
    assert!(hung >= 15, "{hung}");
}

#[test]
fn a_canary_that_fails_loses_its_traffic_while_the_disk_hangs() {
    let mut seconds = Vec::new();
    for hangs in [false, true] {
        let mut bench = at_ten_percent();
        if hangs {
            bench.disk.fail_after(0, Failure::Hangs);
        }
        let mut waited = 0;
        while bench.split() != "blue=100" {
            let snapshot = bench.snapshot.clone();
            let service = &snapshot.services[0];
            let watched = service.watched.as_ref().unwrap();
            for (pool, bad) in [(0, false), (1, true)] {
                for _ in 0..20 {
                    let account = watched.account(pool).unwrap();
                    account.arrive(None);
                    let noted = crate::judge::ledger::Noted { is_bad: bad, ..Default::default() };
                    account.note(noted);
                }
            }
            waited += 1;
            assert!(waited < 120, "it keeps its traffic");
            bench.ticks(1);
        }
        bench.let_go();
        bench.ticks(2);
        assert_eq!(bench.state(), "rolled-back");
        bench.assert_stored();
        seconds.push(waited);
    }
    assert_eq!(seconds[0], seconds[1], "as fast as with a good disk");
}

fn hold(service: &str, seconds: u64) -> Order {
    let what = ModeOrder::Hold { length: Duration::from_secs(seconds), most: 9 };
    Order::Mode { service: service.into(), what }
}

/// Whether a service holds its requests now.
fn holds(bench: &Bench, service: &str) -> bool {
    let moment = bench.snapshot.moment(bench.now.instant);
    let service = bench.snapshot.service(service).unwrap();
    matches!(service.mode.at(moment), Mode::Hold { .. })
}

/// How often it was said that a service serves again.
fn ends_told(bench: &mut Bench) -> usize {
    bench.said().iter().filter(|event| event.kind == Kind::Serves).count()
}

#[test]
fn holds_end_at_their_time_whatever_the_disk_does() {
    let mut bench = Bench::of(&format!("{FILE}{API}"));
    for service in ["shop", "api"] {
        bench.order(hold(service, 5), ada()).unwrap();
    }
    bench.disk.fail_after(0, Failure::Hangs);
    // The disk has something of the service in its hands, too.
    let held = bench.give(shift_to(30), by_force());
    wait(&mut bench, Duration::from_millis(4_999));
    assert_eq!(["shop", "api"].map(|service| holds(&bench, service)), [true; 2]);
    wait(&mut bench, Duration::from_millis(1));
    assert_eq!(["shop", "api"].map(|service| holds(&bench, service)), [false; 2]);
    bench.ticks(3);
    assert_eq!((ends_told(&mut bench), bench.standing()), (2, 2), "told once, and not stored yet");
    bench.let_go();
    bench.ticks(1);
    assert_eq!((answer(&mut bench, held), bench.standing()), (Some(Ok(true)), 0));
    bench.assert_stored();
    bench.ticks(2);
    assert_eq!(ends_told(&mut bench), 0);
}

#[test]
fn the_end_of_a_hold_takes_no_later_hold_away() {
    let mut bench = Bench::of(&format!("{FILE}{API}"));
    bench.order(hold("api", 5), ada()).unwrap();
    bench.ticks(4);
    bench.disk.fail_after(0, Failure::Hangs);
    bench.ticks(1);
    // The disk has the end of the first in its hands by now.
    let second = bench.give(hold("api", 60), ada());
    bench.ticks(1);
    bench.let_go();
    assert_eq!(answer(&mut bench, second), Some(Ok(true)));
    bench.ticks(2);
    assert_eq!((holds(&bench, "api"), bench.standing()), (true, 1));
    bench.assert_stored();
    // One that waits for the disk when the first ends.
    bench.order(hold("api", 5), ada()).unwrap();
    bench.disk.fail_after(0, Failure::Hangs);
    let held = bench.give(shift_to(30), by_force());
    let second = bench.give(hold("api", 60), ada());
    bench.ticks(6);
    bench.let_go();
    assert_eq!([held, second].map(|of| answer(&mut bench, of)), [Some(Ok(true)), Some(Ok(true))]);
    bench.ticks(2);
    assert_eq!((holds(&bench, "api"), bench.standing()), (true, 1));
    bench.assert_stored();
}

#[test]
fn a_hold_whose_time_is_over_holds_nobody_after_a_restart() {
    let text = &format!("{FILE}{API}");
    let mut bench = Bench::of(text);
    bench.order(hold("api", 5), ada()).unwrap();
    bench.restart(text, 4);
    assert!(holds(&bench, "api"));
    bench.restart(text, 1);
    assert!(!holds(&bench, "api"));
    bench.ticks(1);
    assert_eq!((ends_told(&mut bench), bench.standing()), (1, 0));
    bench.assert_stored();
}

#[test]
fn a_hold_that_was_over_does_not_begin_again_when_the_clock_is_set_back() {
    let mut bench = Bench::of(&format!("{FILE}{API}"));
    bench.order(hold("api", 5), ada()).unwrap();
    bench.disk.fail_after(0, Failure::Hangs);
    bench.ticks(5);
    bench.0.now.wall = WallTime::from_millis(1_000_000_000);
    // Something else changes, and another snapshot is built.
    bench.orders.resolve(Resolved::new());
    bench.ticks(1);
    assert!(!holds(&bench, "api"));
}

#[test]
fn a_hold_lasts_no_longer_than_it_was_to_though_the_next_process_has_a_clock_that_is_behind() {
    let text = format!("{FILE}{API}");
    let mut bench = Bench::of(&text);
    bench.order(hold("api", 5), ada()).unwrap();
    bench.ticks(1);
    let hour = Duration::from_secs(3_600);
    bench.0.now.wall = bench.now.wall - hour;
    bench.restart(&text, 1);
    let standing = bench.orders.state().orders().next().unwrap().clone();
    assert_eq!(standing.until, Some(bench.now.wall + Duration::from_secs(5)));
    bench.assert_stored();
    // Once more: it does not begin anew each time.
    bench.ticks(2);
    bench.restart(&text, 1);
    assert!(holds(&bench, "api"));
    bench.ticks(2);
    assert!(!holds(&bench, "api"));
    bench.ticks(1);
    assert_eq!(bench.standing(), 0);
}

#[test]
fn a_freeze_lasts_no_longer_than_it_was_to_though_the_clock_is_set_back_meanwhile() {
    let mut bench = Bench::of(FILE);
    let what = FreezeOrder::Freeze { length: Some(Duration::from_secs(60)) };
    let by = By::new("ada", Some("a sale"));
    bench.order(Order::Freeze { service: "shop".into(), what }, by).unwrap();
    bench.0.now.wall = bench.now.wall - Duration::from_secs(3_600);
    bench.ticks(1);
    let standing = bench.orders.state().orders().next().unwrap().clone();
    assert_eq!(standing.until, Some(bench.now.wall + Duration::from_secs(60)));
    bench.ticks(62);
    assert_eq!(bench.standing(), 0);
    bench.assert_stored();
}

/// A service frozen for a minute whose clock was set back by an hour, on a disk that did not take the end that
/// the freeze has by this clock.
fn frozen_and_set_back() -> Bench {
    let mut bench = Bench::of(FILE);
    bench.order(freeze(60), By::new("ada", Some("a sale"))).unwrap();
    bench.ticks(1);
    bench.0.now.wall = bench.now.wall - Duration::from_secs(3_600);
    bench.disk.fail_after(0, Failure::Once);
    assert_eq!(bench.ticks(1), 1);
    bench
}

fn freeze(seconds: u64) -> Order {
    let what = FreezeOrder::Freeze { length: Some(Duration::from_secs(seconds)) };
    Order::Freeze { service: "shop".into(), what }
}

fn frozen_until(state: &State) -> Option<WallTime> {
    state.order(&About::freeze("shop")).and_then(|standing| standing.until)
}

#[test]
fn the_end_of_a_freeze_is_stored_later_if_the_disk_did_not_take_it_at_first() {
    let mut bench = frozen_and_set_back();
    let until = Some(bench.now.wall + Duration::from_secs(60));
    assert_eq!(frozen_until(bench.orders.state()), until);
    assert_eq!(bench.ticks(1), 0);
    assert_eq!(frozen_until(&bench.store.recall().unwrap()), until);
    bench.assert_stored();
    // The next process does not begin it anew.
    bench.restart(FILE, 1);
    assert_eq!(frozen_until(bench.orders.state()), until);
}

#[test]
fn the_end_of_a_freeze_that_is_stored_later_takes_the_place_of_no_newer_order() {
    let by = || By::new("ada", Some("a longer sale"));
    let mut bench = frozen_and_set_back();
    bench.order(freeze(600), by()).unwrap();
    let until = frozen_until(bench.orders.state());
    assert!(until >= Some(bench.now.wall + Duration::from_secs(600)), "{until:?}");
    bench.ticks(2);
    assert_eq!(frozen_until(&bench.store.recall().unwrap()), until);
    bench.assert_stored();
    let mut bench = frozen_and_set_back();
    let lift = Order::Freeze { service: "shop".into(), what: FreezeOrder::Lift };
    bench.order(lift, by()).unwrap();
    bench.ticks(2);
    assert_eq!(bench.standing(), 0);
    bench.assert_stored();
}

#[test]
fn who_takes_traffic_back_has_a_place_though_others_fill_the_line() {
    let mut bench = at_ten_percent();
    bench.disk.fail_after(0, Failure::Hangs);
    let tickets: Vec<Ticket> = (0..300).map(|_| bench.give(hold("shop", 60), ada())).collect();
    assert_eq!(answer(&mut bench, tickets[200]), None, "it waits");
    assert_eq!(answer(&mut bench, tickets[299]), Some(Err(Refused::Withdrawn)));
    bench.give(abort(), by_force());
    assert_eq!(bench.split(), "blue=100");
}

//! An order against a rollout that a full disk does not take: noted, and heeded by the next process.

use super::*;
use crate::state::Unstored;
use crate::store::Store;

/// A rollout at ten percent, on a disk that takes nothing more.
fn aborted_on_a_full_disk() -> (Bench, Ticket) {
    let canary = "steps = [10, 50, 100]\nhold = \"1h\"\n";
    let mut bench = Bench::of(&FILE.replace("strategy = \"blue-green\"\n", canary));
    bench.start(&green());
    bench.ticks(1);
    assert_eq!(bench.split(), "blue=90 green=10");
    bench.disk.fail_after(0, Failure::Once);
    let what = crate::rollout::Order::Abort;
    let ticket = bench.give(Order::Rollout { service: "shop".into(), what }, ada());
    assert_eq!(bench.split(), "blue=100");
    (bench, ticket)
}

fn file() -> String {
    FILE.replace("strategy = \"blue-green\"\n", "steps = [10, 50, 100]\nhold = \"1h\"\n")
}

/// The next process finds this on the page; its disk may be full still.
fn heed(bench: &mut Bench, page: &[Unstored], is_full: bool) {
    bench.restart(&file(), 1);
    if is_full {
        bench.disk.fail_after(0, Failure::Once);
    }
    let (snapshot, now) = (bench.snapshot.clone(), bench.now);
    bench.orders.heed(page, &snapshot, now);
    bench.run(Counts::Wait);
}

#[test]
fn what_is_noted_is_said_in_the_answer_and_is_noted_until_it_is_stored() {
    let (mut bench, ticket) = aborted_on_a_full_disk();
    let page = bench.orders.unstored();
    let what = "rollout 1: aborted by ada".to_string();
    assert_eq!(page, [Unstored { service: "shop".into(), rollout: 1, what }]);
    bench.orders.on_noted(&page);
    bench.pass(Duration::from_millis(500));
    let now = bench.now;
    bench.orders.on_time(now);
    bench.settle();
    let reply = bench.replies.remove(&ticket).unwrap().unwrap();
    assert_eq!(reply.stored, Stored::Noted);
    bench.ticks(1);
    bench.assert_stored();
    assert_eq!(bench.orders.unstored(), []);
}

#[test]
fn a_process_that_is_killed_then_comes_up_with_the_rollout_paused_and_says_why() {
    for is_full in [false, true] {
        let (mut bench, _) = aborted_on_a_full_disk();
        let page = bench.orders.unstored();
        heed(&mut bench, &page, is_full);
        assert_eq!((bench.split().as_str(), bench.state()), ("blue=90 green=10", "paused"));
        let words = bench.words();
        assert!(words.contains("not stored") && words.contains("aborted by ada"), "{words}");
        let said = bench.said();
        let critical = said.iter().find(|event| event.severity() == Severity::Critical);
        assert!(critical.is_some_and(|event| event.words().contains("aborted by ada")), "{said:?}");
        let noted = if is_full { page.clone() } else { Vec::new() };
        assert_eq!(bench.orders.unstored(), noted, "until it is stored");
        bench.ticks(3);
        assert_eq!((bench.state(), bench.orders.unstored()), ("paused", vec![]));
        bench.assert_stored();
    }
}

#[test]
fn what_was_stored_after_all_or_is_another_rollout_is_heeded_by_nobody() {
    let (mut bench, _) = aborted_on_a_full_disk();
    let page = bench.orders.unstored();
    bench.ticks(1);
    heed(&mut bench, &page, false);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=100", "aborted"));
    bench.start(&green());
    bench.ticks(1);
    heed(&mut bench, &page, false);
    assert_eq!((bench.split().as_str(), bench.state()), ("blue=90 green=10", "running"));
}

#[test]
fn an_edited_file_is_in_force_on_a_full_disk_and_is_stored_with_what_comes_first() {
    for comes_first in ["nothing", "an order"] {
        let mut bench = Bench::of(FILE);
        bench.ticks(1);
        let edited = FILE.replace("blue = 100 }", "blue = 70, green = 30 }");
        assert_ne!(edited, FILE);
        let disk = bench.disk.survivor(Leaves::EveryWrite);
        let store = Store::on_disk(disk.clone()).unwrap();
        let (state, config) = (store.recall().unwrap(), config(&edited));
        let (mut orders, edits) = Orders::open(state, config, Resolved::new(), bench.now);
        orders.go_on_unstored(edits, "no space left".into());
        bench.0 = Drive::begin(disk, store, orders, &[], bench.now).unwrap();
        assert_eq!((bench.split().as_str(), bench.newest()), ("blue=70 green=30", 2));
        bench.settle();
        let said = bench.said();
        let critical = said.iter().find(|event| event.severity() == Severity::Critical);
        assert!(critical.is_some_and(|event| event.words().contains("no space left")), "{said:?}");
        bench.disk.fail_after(0, Failure::Once);
        assert_eq!(bench.ticks(1), 1, "it is tried each second");
        let is_stored =
            |bench: &Bench| bench.store.recall().unwrap().newest("shop").unwrap().number;
        assert_eq!(is_stored(&bench), 1);
        if comes_first == "an order" {
            let half = crate::split::BasisPoints::new(5_000).unwrap();
            let weights = [("blue".to_string(), half), ("green".to_string(), half)];
            let (service, to) = ("shop".into(), TrafficOrder::Weights(weights.into()));
            bench.order(Order::Shift { service, to }, ada()).unwrap();
            assert_eq!(is_stored(&bench), 3);
        }
        bench.ticks(1);
        bench.assert_stored();
        let said = bench.said();
        assert!(said.iter().any(|event| matches!(event.kind, Kind::Stored { .. })), "{said:?}");
        // The file brings no news to the next process.
        let newest = bench.newest();
        bench.restart(&edited, 1);
        assert_eq!(bench.newest(), newest);
    }
}

//! What is read of the upstreams of a rollout under way.

use super::*;
use crate::judge::Counts;
use crate::orders::observing::Observing;
use crate::snapshot::{Service, Snapshot};

const BLUE: &str = "192.0.2.1:80";

fn shop(snapshot: &Snapshot) -> &Service {
    snapshot.service("shop").unwrap()
}

/// So many good attempts at the first upstream of blue.
fn attempt(snapshot: &Snapshot, attempts: u64) {
    let upstream = find_upstream(snapshot, "shop", "blue", BLUE).unwrap();
    (0..attempts).for_each(|_| upstream.judged.count(false));
}

/// What is read of it.
fn read(observing: &mut Observing, snapshot: &Snapshot) -> Counts {
    let (reading, _) = observing.read(shop(snapshot), false);
    let one = reading.stable.upstreams.iter().find(|one| &*one.name == BLUE);
    one.unwrap().attempts
}

fn good(total: u64) -> Counts {
    Counts { total, bad: 0 }
}

#[test]
fn what_an_upstream_does_before_the_first_look_is_not_lost() {
    // The hook keeps it from its first step, which would be a look.
    let file = FILE.replace("after_promote", "before_start");
    let mut bench = Bench::of(&file);
    attempt(&bench.snapshot, 9);
    bench.start(&green());
    for process in 0..2 {
        let snapshot = bench.snapshot.clone();
        attempt(&snapshot, 2);
        let watched = bench.orders.watched.get_mut("shop").unwrap();
        assert_eq!(read(&mut watched.observing, &snapshot), good(2), "{process}");
        bench.restart(&file, 1);
    }
}

#[test]
fn one_that_was_removed_and_put_back_between_two_looks_is_a_new_one() {
    let mut bench = Bench::of(FILE);
    bench.start(&green());
    // The same address, and another upstream.
    let (before, after) = (bench.snapshot.clone(), Bench::of(FILE).snapshot.clone());
    let observing = &mut bench.orders.watched.get_mut("shop").unwrap().observing;
    attempt(&before, 9);
    assert_eq!(read(observing, &before), good(9));
    attempt(&after, 3);
    assert_eq!(read(observing, &after), good(3));
    attempt(&after, 4);
    assert_eq!(read(observing, &after), good(4));
}

use super::*;
use crate::store::crash::{Failure, FrailDisk, Leaves};

/// Commits in a row until the disk fails; answers with how many were answered.
fn run(store: &Store) -> u64 {
    for done in 0..COMMITS {
        if everything(done).commit(store).is_err() {
            return done;
        }
    }
    COMMITS
}

const COMMITS: u64 = 8;

/// A disk with an empty store.
fn begun() -> FrailDisk {
    let disk = FrailDisk::default();
    drop(Store::with_backend(disk.clone()).unwrap());
    FrailDisk::holding(disk.bytes())
}

/// What the store is after each number of commits, and how many operations all of it takes.
fn undisturbed() -> (Vec<Export>, u64) {
    let disk = begun();
    let store = Store::with_backend(disk.clone()).unwrap();
    let mut states = vec![store.export().unwrap()];
    for done in 0..COMMITS {
        everything(done).commit(&store).unwrap();
        states.push(store.export().unwrap());
    }
    drop(store);
    (states, disk.taken())
}

/// Runs until the disk dies after so many operations; then, on what is left of it, a second
/// process dies while it recovers; the third must find what was answered.
fn dies_after(operations: u64, leaves: Leaves, states: &[Export]) {
    let disk = begun();
    disk.fail_after(operations, Failure::Killed);
    let answered = Store::with_backend(disk.clone()).map_or(0, |store| run(&store));
    let second = disk.survivor(leaves);
    second.fail_after(operations % 9, Failure::Killed);
    drop(Store::with_backend(second.clone()));
    let third = Store::with_backend(second.survivor(leaves));
    let third = third.unwrap_or_else(|error| panic!("{operations} {leaves:?}: {error}"));
    let found = third.export().unwrap();
    let after = states.iter().position(|state| *state == found);
    let after = after.unwrap_or_else(|| panic!("{operations} {leaves:?}: a state that never was"));
    let answered = answered as usize;
    assert!(
        after == answered || after == answered + 1,
        "{operations} {leaves:?}: {answered} commits were answered, {after} are there"
    );
    // And it goes on.
    if after < COMMITS as usize {
        everything(after as u64).commit(&third).unwrap();
        assert_eq!(third.export().unwrap(), states[after + 1]);
    }
}

#[test]
fn a_kill_at_any_write_loses_nothing_that_was_answered() {
    let (states, operations) = undisturbed();
    assert!(operations > 50, "{operations}");
    (0..=operations).for_each(|at| dies_after(at, Leaves::EveryWrite, &states));
}

#[test]
fn a_power_failure_at_any_write_loses_nothing_that_was_answered() {
    let (states, operations) = undisturbed();
    for at in 0..=operations {
        (0..4).for_each(|seed| dies_after(at, Leaves::SomeWrites(4 * at + seed), &states));
    }
}

#[test]
fn a_power_failure_while_the_file_grows_loses_nothing_that_was_answered() {
    let grow = |store: &Store, number: usize| {
        let reason = Some("so many words ".repeat(60_000 + number));
        let mut batch = Batch::on(store.recall()?);
        batch.revise(&shop(), Draft { reason, ..draft("ada", 5) });
        batch.commit(store)
    };
    let disk = begun();
    let store = Store::with_backend(disk.clone()).unwrap();
    let length = disk.bytes().len();
    (0..2).for_each(|number| grow(&store, number).unwrap());
    assert!(disk.bytes().len() > length, "it has grown");
    let operations = disk.taken();
    for (at, seed) in (0..operations).flat_map(|at| (0..3).map(move |seed| (at, seed))) {
        let disk = begun();
        disk.fail_after(at, Failure::Killed);
        let answered = Store::with_backend(disk.clone()).map_or(0, |store| {
            (0..2).take_while(|&number| grow(&store, number).is_ok()).count() as u64
        });
        let left = Store::with_backend(disk.survivor(Leaves::SomeWrites(3 * at + seed)));
        let left = left.unwrap_or_else(|error| panic!("{at} {seed}: {error}"));
        let newest = left.recall().unwrap().newest("shop").map_or(0, |newest| newest.number);
        assert!((answered..=answered + 1).contains(&newest), "{at} {seed}: {newest}, {answered}");
    }
}

#[test]
fn what_a_full_disk_refused_has_not_happened_and_can_be_asked_for_again() {
    let (states, operations) = undisturbed();
    let mut refused = 0;
    for at in 0..operations {
        let disk = begun();
        let Ok(store) = Store::on_again(disk.clone()) else { continue };
        disk.fail_after(at, Failure::Once);
        for done in 0..3 {
            match everything(done).commit(&store) {
                Ok(()) => {}
                Err(StoreError::Write { .. }) => {
                    refused += 1;
                    assert_eq!(store.export().unwrap(), states[done as usize], "{at}");
                    everything(done).commit(&store).unwrap();
                }
                Err(error) => panic!("{at}: {error}"),
            }
            assert_eq!(store.export().unwrap(), states[done as usize + 1], "{at}");
        }
    }
    assert!(refused > 5, "{refused}");
}

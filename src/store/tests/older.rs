//! What this and every later version must read: stores that older versions wrote.
//!
//! `tests/data/store-N.redb.gz` was written and closed by the last version that wrote format N (and
//! `store-2-judged`, with a judge that had heard something, too), and `store-N.json` is its export by
//! that version. None is ever written again: a field that was added since needs a default, and any
//! other change a step in `migrate.rs`.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use super::*;
use crate::split::Layout;

/// All there are.
const WRITTEN: [&str; 4] = ["1", "2", "2-judged", "3"];

/// A copy of the store that was written in this format.
fn written_in(format: &str, folder: &Path) -> PathBuf {
    let path = folder.join("store.redb");
    let packed = fs::File::open(format!("tests/data/store-{format}.redb.gz")).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn opened(format: &str) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&written_in(format, folder.path())).unwrap();
    (folder, store)
}

#[test]
fn a_store_of_any_format_so_far_says_what_its_export_says() {
    assert!(WRITTEN.contains(&migrate::FORMAT.to_string().as_str()), "of this format too");
    for format in WRITTEN {
        let (folder, store) = opened(format);
        let text = fs::read_to_string(format!("tests/data/store-{format}.json")).unwrap();
        let path = folder.path().join("imported.redb");
        Store::import(&path, &serde_json::from_str(&text).unwrap(), false).unwrap();
        let imported = Store::open(&path).unwrap();
        assert_eq!(store.export().unwrap(), imported.export().unwrap(), "format {format}");
        assert_eq!(store.recall().unwrap(), imported.recall().unwrap(), "format {format}");
    }
}

/// A rollout as format 1 kept it at first, without what has been added to it since.
fn first_rollout(id: u64) -> Arc<Rollout> {
    let stored = crate::rollout::StoredRollout::of(&rollout(id));
    let mut json = serde_json::to_value(stored).unwrap();
    for added in ["pending", "looked"] {
        json.as_object_mut().unwrap().remove(added).unwrap();
    }
    let stored: crate::rollout::StoredRollout = serde_json::from_value(json).unwrap();
    Arc::new(stored.read().unwrap())
}

fn orders(state: &State) -> Vec<Override> {
    state.orders().cloned().collect()
}

/// In the order of keys.
fn sorted(mut orders: Vec<Override>) -> Vec<Override> {
    orders.sort_by_key(|standing| (standing.what.service().to_string(), standing.what.about()));
    orders.dedup_by_key(|standing| standing.what.about());
    orders
}

#[test]
fn what_was_in_a_store_of_format_1_is_found() {
    let (_folder, store) = opened("1");
    let state = store.recall().unwrap();
    let newest = Revision {
        number: 5,
        split: split(5),
        salt: 1,
        layout: Layout::of(&split(5)),
        author: "ada".into(),
        reason: Some("step".into()),
        at: 1.235,
        outcome: None,
        rollout: Some(4),
        is_back: false,
        versions: Default::default(),
    };
    assert_eq!(**state.newest("shop").unwrap(), newest);
    let passed = state.revision("shop", 4).unwrap().outcome.clone();
    assert_eq!((passed.as_deref(), state.secret()), (Some("was passed"), Some([0x5c; 16])));
    let is_old =
        |standing: &Override| !matches!(standing.what, What::Freeze { .. } | What::Lifted { .. });
    let known: Vec<Override> = overrides().into_iter().filter(is_old).collect();
    assert_eq!(orders(&state), sorted(known));
    assert_eq!(state.rollout("shop"), Some(&first_rollout(5)));
    assert_eq!(state.budgets().count(), 0, "they begin with format 2");
    let past: Vec<_> = state.past_rollouts("shop").cloned().collect();
    assert_eq!(past, [first_rollout(4), first_rollout(2)]);
    assert_eq!(**state.flag("beta").unwrap(), FlagState { revision: 5, ..flag(4) });
    assert_eq!(state.in_file()["split shop"], "blue=95 green=5");
    assert_eq!(store.events().unwrap(), (1..=10).map(event).collect::<Vec<_>>());
    // And it goes on.
    nth(state, 5).commit(&store).unwrap();
}

#[test]
fn what_was_in_a_store_of_format_2_is_found() {
    let (_folder, store) = opened("2");
    let state = store.recall().unwrap();
    assert_eq!(orders(&state), sorted(overrides()));
    let Kept { blocks, alarms } = state.budget("shop/availability");
    let rings = Rings::recall(DEFAULT_WINDOW, blocks);
    let whole = budget(5);
    assert_eq!((&alarms, rings.totals()), (whole.alarms(), whole.rings().totals()));
    let (totals, now) = (rings.totals(), rings.newest().unwrap());
    for minutes in [5, 60, 120] {
        let window = Duration::from_secs(minutes * 60);
        let within = rings.within(window, now, totals);
        assert_eq!(within, whole.rings().within(window, now, totals), "{minutes}");
        assert_eq!(within.total, minutes * 600);
    }
    // And it goes on.
    nth(state, 5).commit(&store).unwrap();
}

#[test]
fn what_a_judge_had_heard_in_a_store_of_format_2_is_found() {
    let (_folder, store) = opened("2-judged");
    let state = store.recall().unwrap();
    let under_way = state.rollout("shop").unwrap();
    let past = state.rollout_of("shop", 6).unwrap();
    for (rollout, id) in [(under_way, 7), (past, 6)] {
        assert_eq!((rollout.id, rollout.trail().count()), (id, 20));
        let last = rollout.trail().last().unwrap();
        assert_eq!((last.stable, last.canary.total), (Counts { total: 900, bad: 1 }, 100));
    }
    // Who goes on from what a judge without causes had heard takes traffic back for a burst.
    assert!(past.evidence().is_some() && !past.has_lost_hearing());
    assert!(under_way.evidence().is_none() && under_way.has_lost_hearing());
    // And it goes on.
    nth(state, 5).commit(&store).unwrap();
}

#[test]
fn what_was_in_a_store_of_format_3_is_found() {
    let (_folder, store) = opened("3");
    let state = store.recall().unwrap();
    // What was heard is of a judge without causes, which kept no bursts; the rest is all there is to compare.
    let but_heard = |state: &State| -> Vec<Change> {
        let mut changes = state.changes();
        let is_of_judge =
            |change: &Change| matches!(change, Change::Heard { .. } | Change::Bursts { .. });
        changes.retain(|change| !is_of_judge(change));
        for change in &mut changes {
            if let Change::Rollout(rollout) | Change::Past(rollout) = change {
                Arc::make_mut(rollout).set_heard(Arc::default());
            }
        }
        changes
    };
    assert_eq!(but_heard(&state), but_heard(&everything(4).state));
    let rollout = state.rollout("shop").unwrap();
    assert!(rollout.has_lost_hearing() && rollout.evidence().is_none());
}

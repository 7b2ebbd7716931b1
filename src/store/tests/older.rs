//! What this and every later version must read: stores that older versions wrote.
//!
//! `tests/data/store-N.redb.gz` was written and closed by the last version that wrote format N, and
//! `store-N.json` is its export by that version. Neither is ever written again: a field that was
//! added since needs a default, and any other change a step in `migrate.rs`.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use super::*;
use crate::split::Layout;

/// A copy of the store that was written in this format.
fn written_in(format: u32, folder: &Path) -> PathBuf {
    let path = folder.join("store.redb");
    let packed = fs::File::open(format!("tests/data/store-{format}.redb.gz")).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_store_of_any_format_so_far_says_what_its_export_says() {
    for format in 1..=migrate::FORMAT {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&written_in(format, folder.path())).unwrap();
        let text = fs::read_to_string(format!("tests/data/store-{format}.json")).unwrap();
        let path = folder.path().join("imported.redb");
        Store::import(&path, &serde_json::from_str(&text).unwrap(), false).unwrap();
        let imported = Store::open(&path).unwrap();
        assert_eq!(store.export().unwrap(), imported.export().unwrap(), "format {format}");
        assert_eq!(store.recall().unwrap(), imported.recall().unwrap(), "format {format}");
    }
}

/// A rollout as format 1 kept it at first, without what has been added to it since.
fn first_rollout(id: u64) -> Rollout {
    let mut json = serde_json::to_value(rollout(id)).unwrap();
    for added in ["pending", "looked", "hearing"] {
        json.as_object_mut().unwrap().remove(added).unwrap();
    }
    serde_json::from_value(json).unwrap()
}

#[test]
fn what_was_in_a_store_of_format_1_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&written_in(1, folder.path())).unwrap();
    let memory = store.recall().unwrap();
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
    };
    assert_eq!(memory.newest, [(shop(), newest)].into());
    let passed = store.revision("shop", 4).unwrap().unwrap().outcome;
    assert_eq!((passed.as_deref(), memory.secret), (Some("was passed"), Some([0x5c; 16])));
    let is_old =
        |standing: &Override| !matches!(standing.what, What::Freeze { .. } | What::Lifted { .. });
    let known: Vec<Override> = overrides().into_iter().filter(is_old).collect();
    assert_eq!((memory.rollouts, memory.overrides), (vec![first_rollout(5)], known));
    assert_eq!(store.budgets().unwrap(), [], "they begin with format 2");
    assert_eq!(store.budget("shop", &availability()).unwrap(), Kept::default());
    assert_eq!(store.past_rollouts("shop", 9).unwrap(), [first_rollout(4), first_rollout(2)]);
    assert_eq!(memory.flags, [("beta".into(), FlagState { revision: 5, ..flag(4) })].into());
    assert_eq!(memory.in_file["split shop"], "blue=95 green=5");
    assert_eq!(memory.events, (1..=10).map(event).collect::<Vec<_>>());
    // And it goes on.
    store.commit(everything(5)).unwrap();
}

#[test]
fn what_was_in_a_store_of_format_2_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&written_in(2, folder.path())).unwrap();
    assert_eq!(store.recall().unwrap().overrides, overrides());
    let Kept { blocks, course } = store.budget("shop", &availability()).unwrap();
    let rings = Rings::recall(DEFAULT_WINDOW, blocks);
    let whole = budget(5);
    assert_eq!((&course, rings.totals()), (whole.course(), whole.rings().totals()));
    let (totals, now) = (rings.totals(), rings.newest().unwrap());
    for minutes in [5, 60, 120] {
        let window = Duration::from_secs(minutes * 60);
        let within = rings.within(window, now, totals);
        assert_eq!(within, whole.rings().within(window, now, totals), "{minutes}");
        assert_eq!(within.total, minutes * 600);
    }
    // And it goes on.
    store.commit(everything(5)).unwrap();
}

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state/store.redb");
    (folder, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_store_is_there_again_after_a_restart_and_nobody_else_reads_it() {
    let (_folder, path) = place();
    let store = Store::open(&path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    everything(0).commit(&store).unwrap();
    let memory = store.recall().unwrap();
    drop(store);
    assert_eq!(Store::open(&path).unwrap().recall().unwrap(), memory);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing beside it");
}

#[test]
fn two_do_not_share_a_store() {
    let (_folder, path) = place();
    let store = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
    let export = store.export().unwrap();
    assert!(matches!(Store::import(&path, &export, true), Err(StoreError::InUse { .. })));
    drop(store);
    Store::open(&path).unwrap();
}

#[test]
fn what_a_crash_left_of_a_beginning_is_no_obstacle() {
    let (_folder, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.with_extension("redb.new"), b"half a store").unwrap();
    Store::open(&path).unwrap();
}

#[test]
fn a_damaged_file_is_left_as_it_is() {
    let (_folder, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for content in [&b""[..], b"half", &[7; 20_000]] {
        fs::write(&path, content).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("move the file away to begin anew"));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Open { .. })));
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    let (_folder, path) = place();
    drop(Store::open(&path).unwrap());
    let table = redb::TableDefinition::<&str, &str>::new("meta");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(table)
        .unwrap()
        .insert("format", &*(migrate::FORMAT + 1).to_string())
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = fs::read(&path).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    let (found, reads) = (migrate::FORMAT + 1, migrate::FORMAT);
    let format =
        format!("written by a newer pointsman (format {found}, this one reads up to {reads})");
    assert!(error.contains(&format), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let (_folder, path) = place();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("cats")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(Store::open(&path), Err(StoreError::Damaged { .. })));
}

#[test]
fn an_export_comes_back_whole() {
    let (_folder, path) = place();
    let store = Store::in_memory();
    store.secret(|| Ok([9; 16])).unwrap();
    (0..5).for_each(|n| everything(n).commit(&store).unwrap());
    let export = store.export().unwrap();
    let text = serde_json::to_string_pretty(&export).unwrap();
    Store::import(&path, &serde_json::from_str(&text).unwrap(), false).unwrap();
    assert_eq!(mode(&path), 0o600);
    let back = Store::open(&path).unwrap();
    assert_eq!(back.export().unwrap(), export);
    assert_eq!(back.recall().unwrap(), store.recall().unwrap());
    everything(5).commit(&back).unwrap();
}

#[test]
fn what_was_measured_is_no_reason_for_another_version_to_refuse_an_export() {
    let (_folder, path) = place();
    let store = Store::in_memory();
    everything(0).commit(&store).unwrap();
    let of = "shop/blue";
    let bursts = Change::Bursts { of: of.into(), bursts: Some(Arc::default()) };
    store.commit(&[bursts], &[]).unwrap();
    let mut json = serde_json::to_value(store.export().unwrap()).unwrap();
    // A version of this format that knows nothing of bursts takes the tables that it knows.
    assert!(json["tables"].get("bursts").is_none() && json["tables"].get("revisions").is_some());
    assert!(json["measured"]["bursts"][of].is_object(), "{json}");
    // And this one takes what a later one has measured, and what was written between the two.
    json["measured"]["moods"] = serde_json::json!({ "shop": "good" });
    let export: Export = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(export.state().unwrap(), store.recall().unwrap());
    json["tables"]["bursts"] = json["measured"]["bursts"].take();
    json.as_object_mut().unwrap().remove("measured");
    Store::import(&path, &serde_json::from_value(json).unwrap(), false).unwrap();
    let back = Store::open(&path).unwrap();
    assert_eq!(back.export().unwrap(), store.export().unwrap());
}

#[test]
fn an_import_replaces_a_store_only_if_that_is_said() {
    let (_folder, path) = place();
    let empty = Store::in_memory().export().unwrap();
    let store = Store::open(&path).unwrap();
    everything(0).commit(&store).unwrap();
    drop(store);
    assert!(matches!(Store::import(&path, &empty, false), Err(StoreError::Exists { .. })));
    assert_eq!(Store::open(&path).unwrap().recall().unwrap().history("shop").count(), 1);
    Store::import(&path, &empty, true).unwrap();
    assert_eq!(Store::open(&path).unwrap().recall().unwrap(), State::default());
    fs::write(&path, "garbage").unwrap();
    Store::import(&path, &empty, true).unwrap();
    Store::open(&path).unwrap();
}

#[test]
fn what_is_no_export_is_refused_and_leaves_nothing() {
    let (_folder, path) = place();
    let texts = [
        (r#"{"format":1,"tables":{"cats":{}}}"#, "nothing called `cats` is ever stored"),
        (r#"{"format":0,"tables":{}}"#, "it has no format"),
        (r#"{"format":1,"tables":{"revisions":{"shop/1":{}}}}"#, "`shop/1`: missing field"),
        (r#"{"format":1,"tables":{"meta":{"secret":"xyz"}}}"#, "32 hexadecimal digits"),
        (r#"{"format":7,"tables":{}}"#, "the export was written by a newer pointsman"),
    ];
    for (text, why) in texts {
        let refused = Store::import(&path, &serde_json::from_str(text).unwrap(), false);
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
        let left = fs::read_dir(path.parent().unwrap()).map_or(0, |left| left.count());
        assert_eq!(left, 0);
    }
}

#[test]
fn a_thousand_revisions_of_three_services_stay_small() {
    let (_folder, path) = place();
    let store = Store::open(&path).unwrap();
    // Many in a batch: it is the size that counts here.
    for hundred in 0..11 {
        let mut batch = Batch::on(store.recall().unwrap());
        for number in hundred * 100..hundred * 100 + 100 {
            for service in ["shop", "api", "search"] {
                batch.revise(&service.into(), draft("deploy-token", number % 100));
            }
        }
        batch.commit(&store).unwrap();
    }
    assert_eq!(store.recall().unwrap().history("api").count(), crate::state::KEPT);
    drop(store);
    let size = fs::metadata(&path).unwrap().len();
    assert!(size < 2 << 20, "{size}");
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_link_in_the_place_of_a_store_is_not_followed() {
    let (folder, path) = place();
    let precious = folder.path().join("precious");
    let empty = Store::in_memory().export().unwrap();
    let refused = |done: Result<(), StoreError>| {
        let said = done.unwrap_err().to_string();
        assert!(said.contains(" is a link, and what it leads to may be anybody"), "{said}");
        assert_eq!(fs::read(&precious).unwrap(), b"mine");
    };
    for name in ["store.redb", "store.redb.new", "store.unstored"] {
        let (_inner, path) = place();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&precious, b"mine").unwrap();
        std::os::unix::fs::symlink(&precious, path.with_file_name(name)).unwrap();
        match name {
            "store.unstored" => {
                let said = Page::open(&path).unwrap_err().to_string();
                assert!(said.contains(" is a link, and what it leads to may be anybody"), "{said}");
                Page::remove(&path).unwrap();
                assert_eq!(fs::read(&precious).unwrap(), b"mine");
            }
            _ => {
                refused(Store::open(&path).map(drop));
                refused(Store::import(&path, &empty, true));
            }
        }
    }
    // Where there is nothing behind it, nothing is made there.
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(folder.path().join("nothing"), &path).unwrap();
    assert!(Store::open(&path).is_err() && !folder.path().join("nothing").exists());
}

#[test]
fn what_everybody_can_write_is_refused_and_what_is_too_wide_is_narrowed() {
    let (folder, path) = place();
    let state = path.parent().unwrap();
    drop(Store::open(&path).unwrap());
    drop(Page::open(&path).unwrap());
    let page = path.with_extension("unstored");
    let refused = |done: Result<(), String>| {
        let said = done.unwrap_err();
        assert!(said.contains("by everybody"), "{said}");
    };
    let open = || Store::open(&path).map(drop).map_err(|error| error.to_string());
    let open_page = || Page::open(&path).map(drop).map_err(|error| error.to_string());
    for (place, mode) in [(state, 0o777), (state, 0o1777), (folder.path(), 0o777), (&path, 0o606)] {
        let before = mode_of(place);
        chmod(place, mode);
        refused(open());
        let empty = Store::in_memory().export().unwrap();
        refused(Store::import(&path, &empty, true).map_err(|error| error.to_string()));
        chmod(place, before);
    }
    chmod(&page, 0o602);
    refused(open_page());
    chmod(&page, 0o600);
    for (place, mode, narrowed) in
        [(state, 0o770, 0o750), (&*path, 0o664, 0o600), (&*page, 0o644, 0o600)]
    {
        chmod(place, mode);
        open().unwrap();
        open_page().unwrap();
        assert_eq!(mode_of(place), narrowed, "{place:?}");
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_store_of_another_user_is_refused() {
    let (_folder, path) = place();
    drop(Store::open(&path).unwrap());
    // Only who may do all can give a file away; what is said of owners has a test of its own.
    let Ok(()) = std::os::unix::fs::chown(&path, Some(65_534), None) else { return };
    let said = Store::open(&path).unwrap_err().to_string();
    assert!(said.contains("belongs to user 65534"), "{said}");
}

#[test]
fn a_store_that_vanishes_or_is_replaced_takes_nothing_more() {
    let (_folder, path) = place();
    let aside = path.with_extension("aside");
    let store = Store::open(&path).unwrap();
    let (page, _) = Page::open(&path).unwrap();
    everything(0).commit(&store).unwrap();
    let refused = |why: &str| {
        let said = everything(1).commit(&store).unwrap_err();
        assert!(matches!(said, StoreError::Moved { .. }), "nothing of it has happened: {said}");
        assert!(said.to_string().contains(why), "{said}");
    };
    fs::rename(&path, &aside).unwrap();
    refused("somebody has removed");
    fs::copy(&aside, &path).unwrap();
    refused("another file was put in its place");
    fs::rename(&aside, &path).unwrap();
    everything(1).commit(&store).unwrap();
    fs::remove_file(path.with_extension("unstored")).unwrap();
    assert!(page.write(&[]).unwrap_err().to_string().contains("somebody has removed"));
}
